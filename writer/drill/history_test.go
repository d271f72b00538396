package drill_test

import (
	"reflect"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
	"github.com/comptech-lab/redis-wal/writer/drill"
)

// What drills there were is told by the log alone, also where retention has deleted a half of one.
func TestHistory(t *testing.T) {
	t.Parallel()
	at := func(minor uint32, site, reason string) writer.Activated {
		return writer.Activated{Epoch: wal.Epoch{Minor: minor, Site: site}, Reason: reason, Time: int64(minor) * 1000}
	}
	for name, tt := range map[string]struct {
		activates []writer.Activated
		want      []drill.Past
	}{
		"none": {[]writer.Activated{at(1, "dc", "adopted"), at(2, "dr", "a drill X1: dc to dr"), at(3, "dr", "drill")}, []drill.Past{}},
		"two, in any order": {
			[]writer.Activated{at(3, "dc", "drill X1: back to dc, smoke test failed: monthly: again"), at(9, "dc", "drill X2: back to dc"), at(2, "dr", "drill X1: dc to dr: monthly: again"), at(8, "dr", "drill X2: dc to dr")},
			[]drill.Past{{ID: "X2", Home: "dc", Away: "dr", Out: 8000, Back: 9000}, {ID: "X1", Home: "dc", Away: "dr", Out: 2000, Back: 3000, Smoke: drill.SmokeFailed, Reason: "monthly: again"}},
		},
		"half of it is deleted": {[]writer.Activated{at(3, "dc", "drill X1: back to dc, smoke test passed")}, []drill.Past{{ID: "X1", Home: "dc", Back: 3000, Smoke: drill.SmokePassed}}},
		"under way":             {[]writer.Activated{at(2, "dr", "drill X1: dc to dr")}, []drill.Past{{ID: "X1", Home: "dc", Away: "dr", Out: 2000, Open: true}}},
		"ended by somebody":     {[]writer.Activated{at(2, "dr", "drill X1: dc to dr"), at(3, "dc", "enough")}, []drill.Past{{ID: "X1", Home: "dc", Away: "dr", Out: 2000}}},
	} {
		if got := drill.History(tt.activates); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
}
