package drill_test

import (
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
	"github.com/comptech-lab/redis-wal/writer/drill"
	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// How far a drill has got is told by the log alone.
func TestFind(t *testing.T) {
	t.Parallel()
	at := func(site, reason string) writer.Opening {
		return writer.Opening{Epoch: wal.Epoch{Minor: 4, Site: site}, Reason: reason}
	}
	sealed := func(o writer.Opening) writer.Opening { o.Sealed = true; return o }
	home, out, back := at("dc", "maintenance is over"), at("dr", "drill X1: dc to dr: monthly"), at("dc", "drill X1: back to dc: monthly")
	for name, tt := range map[string]struct {
		openings []writer.Opening
		want     drill.Begun
		refused  string
	}{
		"fresh":                           {[]writer.Opening{home, home}, drill.Begun{Stage: drill.Fresh, Home: "dc", Away: "dr"}, ""},
		"fresh from the other site":       {[]writer.Opening{at("dr", "power is back"), at("dr", "")}, drill.Begun{Stage: drill.Fresh, Home: "dr", Away: "dc"}, ""},
		"one has ended":                   {[]writer.Opening{back, back}, drill.Begun{Stage: drill.Fresh, Home: "dc", Away: "dr"}, ""},
		"interrupted on the way out":      {[]writer.Opening{out, sealed(home)}, drill.Begun{ID: "X1", Stage: drill.Leaving, Home: "dc", Away: "dr"}, ""},
		"interrupted at the other site":   {[]writer.Opening{out, out}, drill.Begun{ID: "X1", Stage: drill.Away, Home: "dc", Away: "dr"}, ""},
		"interrupted in leaving it":       {[]writer.Opening{sealed(out), out}, drill.Begun{ID: "X1", Stage: drill.Going, Home: "dc", Away: "dr"}, ""},
		"interrupted on the way back":     {[]writer.Opening{back, out}, drill.Begun{ID: "X1", Stage: drill.Going, Home: "dc", Away: "dr"}, ""},
		"interrupted after an older one":  {[]writer.Opening{at("dc", "drill X0: back to dc"), out}, drill.Begun{ID: "X1", Stage: drill.Leaving, Home: "dc", Away: "dr"}, ""},
		"somebody else's cutover":         {[]writer.Opening{sealed(home), home}, drill.Begun{}, "walctl cutover --to dr"},
		"somebody else's, further":        {[]writer.Opening{home, at("dr", "")}, drill.Begun{}, "same writer"},
		"no epoch":                        {[]writer.Opening{{}, {}}, drill.Begun{}, "no epoch"},
		"two at once":                     {[]writer.Opening{out, at("dr", "drill X2: dc to dr")}, drill.Begun{}, "two drills"},
		"a takeover older than the log":   {[]writer.Opening{{Epoch: wal.Epoch{Generation: 1, Site: "dc"}, Gone: true}}, drill.Begun{}, "not in the log any more"},
		"a cutover older than the log":    {[]writer.Opening{{Epoch: wal.Epoch{Generation: 1, Minor: 1, Site: "dc"}, Gone: true}}, drill.Begun{Stage: drill.Fresh, Home: "dc", Away: "dr"}, ""},
		"a takeover that nobody has seen": {[]writer.Opening{at("dc", ifdown.Reason+": dr was silent")}, drill.Begun{}, "automatic takeover"},
	} {
		got, err := drill.Find(tt.openings, wal.Sites{Self: "dr", Peer: "dc"})
		if got != tt.want || (err != nil) != (tt.refused != "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}
