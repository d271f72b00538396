package ifdown_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// The facts of the tests: dr may take over, dc has been silent five times in a minute, mgmt has seen the same, dc has been the writer for a day.
var now = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)

func config() ifdown.Config {
	return ifdown.Config{Place: "dr", After: time.Minute, Looks: 5, CoolDown: time.Hour}
}

func facts() ifdown.Facts {
	f := ifdown.Facts{Sites: wal.Sites{Self: "dr", Peer: "dc"}, Now: now, Heard: now.Add(-65 * time.Second)}
	for i := range 5 {
		f.Looks = append(f.Looks, ifdown.Look{At: now.Add(time.Duration(i-4) * 15 * time.Second), Seen: ifdown.Silent, Why: "refused"})
	}
	for range 3 {
		f.Own = append(f.Own, ifdown.Partition{Opening: opening(wal.Epoch{Generation: 1, Minor: 4, Site: "dc"}, 24*time.Hour, "maintenance is over"), Attested: now.Add(-5 * time.Second)})
	}
	f.Elsewhere = []wal.Observation{saw("mgmt", true, 20*time.Second)}
	return f
}

func opening(e wal.Epoch, ago time.Duration, reason string) writer.Opening {
	return writer.Opening{Epoch: e, Reason: reason, Time: now.Add(-ago).UnixMilli()}
}

// saw is an observation of dc that ended some time ago.
func saw(place string, silent bool, ago time.Duration) wal.Observation {
	until := now.Add(-ago)
	return wal.Observation{Place: place, Site: "dc", Silent: silent, Looks: 5, Since: until.Add(-time.Minute).UnixMilli(), Until: until.UnixMilli(), Why: "it answers"}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	automatic := opening(wal.Epoch{Generation: 2, Site: "dc"}, 48*time.Hour, ifdown.Reason+": dr was silent")
	for name, tt := range map[string]struct {
		change func(c *ifdown.Config, f *ifdown.Facts)
		want   ifdown.Answer
		why    string
	}{
		"down, seen from two places": {nil, ifdown.Act, "seen from dr and mgmt"},
		"a third place and the survivor are two": {func(c *ifdown.Config, f *ifdown.Facts) {
			c.Place, f.Elsewhere = "mgmt", nil
		}, ifdown.Act, "mgmt and dr"},

		"it answers at last": {func(_ *ifdown.Config, f *ifdown.Facts) { f.Looks[4].Seen = ifdown.Answered }, ifdown.Nothing, "answers"},
		"it is the writer already": {func(_ *ifdown.Config, f *ifdown.Facts) {
			for p := range f.Own {
				f.Own[p].Epoch.Site = "dr"
			}
		}, ifdown.Nothing, "writer already"},
		"no look yet":                 {func(_ *ifdown.Config, f *ifdown.Facts) { f.Looks = nil }, ifdown.Wait, ""},
		"one look too few":            {func(_ *ifdown.Config, f *ifdown.Facts) { f.Looks = f.Looks[1:] }, ifdown.Wait, ""},
		"enough looks, too short":     {func(_ *ifdown.Config, f *ifdown.Facts) { f.Looks[0].At = now.Add(-59 * time.Second) }, ifdown.Wait, ""},
		"nobody can tell":             {func(_ *ifdown.Config, f *ifdown.Facts) { f.Looks[4].Seen = ifdown.Unclear }, ifdown.Unknown, "cannot be told"},
		"the mirror still brings":     {func(_ *ifdown.Config, f *ifdown.Facts) { f.Arrived = now.Add(-40 * time.Second) }, ifdown.Refuse, "the mirror brings"},
		"the own site does not say":   {func(_ *ifdown.Config, f *ifdown.Facts) { f.Own = nil }, ifdown.Unknown, "not well"},
		"the own Redis is gone":       {func(_ *ifdown.Config, f *ifdown.Facts) { f.Unwell = errors.New("no primary") }, ifdown.Unknown, "no primary"},
		"the own appliers are silent": {func(_ *ifdown.Config, f *ifdown.Facts) { f.Own[1].Attested = now.Add(-61 * time.Second) }, ifdown.Unknown, "partition 1"},
		"a partition is halted":       {func(_ *ifdown.Config, f *ifdown.Facts) { f.Own[2].Halted = "gap" }, ifdown.Unknown, "partition 2 is halted"},

		"only one place":           {func(_ *ifdown.Config, f *ifdown.Facts) { f.Elsewhere = nil }, ifdown.Wait, "no other place"},
		"only one place, for long": {func(_ *ifdown.Config, f *ifdown.Facts) { f.Elsewhere = nil; long(f) }, ifdown.Unknown, "alone"},
		"the other place disagrees": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Elsewhere = append(f.Elsewhere, saw("mgmt", false, time.Second))
		}, ifdown.Refuse, "they disagree"},
		"one of two disagrees": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Elsewhere = append(f.Elsewhere, saw("lab", false, time.Second))
		}, ifdown.Refuse, "it answers lab"},
		"the other place is late": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Elsewhere = []wal.Observation{saw("mgmt", true, 4*time.Minute)}
		}, ifdown.Wait, "looked last 4m0s ago"},
		"it saw it alive before": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Elsewhere = []wal.Observation{saw("mgmt", false, 2*time.Minute)}
		}, ifdown.Wait, "not looked since"},
		"it looked for too short":   {func(_ *ifdown.Config, f *ifdown.Facts) { f.Elsewhere[0].Since += 2000 }, ifdown.Wait, "58s only"},
		"it looked too seldom":      {func(_ *ifdown.Config, f *ifdown.Facts) { f.Elsewhere[0].Looks = 4 }, ifdown.Wait, "4 times"},
		"it looked at another site": {func(_ *ifdown.Config, f *ifdown.Facts) { f.Elsewhere[0].Site = "dr" }, ifdown.Wait, "no other place"},
		"it is this place":          {func(_ *ifdown.Config, f *ifdown.Facts) { f.Elsewhere[0].Place = "dr" }, ifdown.Wait, "no other place"},
		"it is the site looked at":  {func(_ *ifdown.Config, f *ifdown.Facts) { f.Elsewhere[0].Place = "dc" }, ifdown.Wait, "no other place"},
		"its clock is ahead": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Elsewhere = []wal.Observation{saw("mgmt", true, -time.Minute)}
		}, ifdown.Wait, "no other place"},
		"the mirror was dead before": {func(c *ifdown.Config, f *ifdown.Facts) {
			c.Place, f.Elsewhere, f.Heard = "mgmt", nil, now.Add(-time.Hour)
		}, ifdown.Wait, "says nothing"},
		"a witness of the third place's mirror is the survivor's own": {func(c *ifdown.Config, f *ifdown.Facts) {
			c.Place, f.Elsewhere[0].Place, f.Heard = "mgmt", "dr", now.Add(-time.Hour)
		}, ifdown.Wait, "says nothing"},

		"no epoch":        {func(_ *ifdown.Config, f *ifdown.Facts) { f.Own[0].Opening = writer.Opening{} }, ifdown.Refuse, "both sites write"},
		"sealed":          {func(_ *ifdown.Config, f *ifdown.Facts) { f.Own[0].Sealed = true }, ifdown.Refuse, "somebody moves the writer"},
		"sealed for good": {func(_ *ifdown.Config, f *ifdown.Facts) { f.Own[0].Sealed, f.Own[0].Epoch.Site = true, "dr" }, ifdown.Refuse, "somebody moves the writer"},
		"cool-down": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Own[1].Opening = opening(f.Own[1].Epoch, 59*time.Minute, "maintenance is over")
		}, ifdown.Refuse, "the writer was moved 59m0s ago"},
		"a clock that was ahead": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Own[1].Opening = opening(f.Own[1].Epoch, -time.Hour, "")
		}, ifdown.Refuse, "was moved"},
		"twice without a person": {func(_ *ifdown.Config, f *ifdown.Facts) { f.Own[1].Opening = automatic }, ifdown.Refuse, "nobody has been there since"},
		"a person took over since": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Own[1].Opening = opening(wal.Epoch{Generation: 3, Site: "dc"}, 48*time.Hour, "dr had no power")
		}, ifdown.Act, ""},
		"a takeover older than the log": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Own[1].Opening = writer.Opening{Epoch: wal.Epoch{Generation: 2, Site: "dc"}, Gone: true}
		}, ifdown.Unknown, "cannot be told"},
		"a site that was filled from its peer": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Own[1].Opening = writer.Opening{Epoch: wal.Epoch{Generation: 2, Minor: 1, Site: "dc"}, Unknown: true}
		}, ifdown.Unknown, "filled from its peer"},
		"a cutover older than the log": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Own[1].Opening = writer.Opening{Epoch: wal.Epoch{Generation: 2, Minor: 1, Site: "dc"}, Gone: true}
		}, ifdown.Act, ""},
		"one that was interrupted is gone on with": {func(_ *ifdown.Config, f *ifdown.Facts) {
			f.Own[1].Opening = opening(wal.Epoch{Generation: 2, Site: "dr"}, time.Minute, ifdown.Reason+": dc was silent")
		}, ifdown.Act, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, f := config(), facts()
			if tt.change != nil {
				tt.change(&c, &f)
			}
			if got := ifdown.Decide(c, f); got.Answer != tt.want || !strings.Contains(got.Why, tt.why) {
				t.Errorf("got %q (%s), want %q because of %q", got.Answer, got.Why, tt.want, tt.why)
			}
		})
	}
}

// long has the site looked at until nobody waits for another place any more.
func long(f *ifdown.Facts) {
	f.Looks = append([]ifdown.Look{{At: now.Add(-config().After * 3), Seen: ifdown.Silent}}, f.Looks...)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	sites := wal.Sites{Self: "dr", Peer: "dc"}
	if err := config().Validate(sites); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*ifdown.Config){
		"nowhere":              func(c *ifdown.Config) { c.Place = "" },
		"at the site itself":   func(c *ifdown.Config) { c.Place = "dc" },
		"two looks":            func(c *ifdown.Config) { c.Looks = 2 },
		"at once":              func(c *ifdown.Config) { c.After = 0 },
		"no cool-down to note": func(c *ifdown.Config) { c.CoolDown = time.Second },
	} {
		c := config()
		change(&c)
		if c.Validate(sites) == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
