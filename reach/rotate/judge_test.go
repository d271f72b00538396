package rotate_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/reach/rotate"
)

const (
	oldSum = "OLD"
	newSum = "NEW"
)

// observed is a site with one password, of which the first Redis is the primary.
func observed(started ...string) rotate.Observed {
	o := rotate.Observed{New: newSum, Mounted: oldSum, Primary: "a", Agreed: true}
	for i, s := range started {
		o.Redis = append(o.Redis, rotate.Redis{Addr: string(rune('a' + i)), Passwords: []string{s}, Started: s, MasterAuth: s, InRole: true})
	}
	for _, name := range []string{"s", "t", "u"} {
		o.Sentinels = append(o.Sentinels, rotate.Sentinel{ID: name, Addr: name, Primary: "a", Replicas: []string{"b", "c"}})
	}
	return o
}

// with changes it.
func with(o rotate.Observed, change func(*rotate.Observed)) rotate.Observed {
	change(&o)
	return o
}

// both is a site where both passwords are valid, and the new one is shown everywhere.
func both(o *rotate.Observed) {
	for i := range o.Redis {
		o.Redis[i].Passwords, o.Redis[i].MasterAuth = []string{oldSum, newSum}, newSum
	}
	for i := range o.Sentinels {
		o.Sentinels[i].Told = true
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	dropped := func(o *rotate.Observed) {
		both(o)
		o.Mounted = newSum
		for i := range o.Redis {
			o.Redis[i].Passwords = []string{newSum}
		}
	}
	for _, tt := range []struct {
		name  string
		seen  rotate.Observed
		phase string
		steps string // what is done, and where
		drops string
		says  string // in what is waited for, or refused
	}{
		{"the beginning", observed(oldSum, oldSum, oldSum), rotate.PhaseBoth, "+NEW b, +NEW c, +NEW a", "-OLD b, -OLD c, -OLD a", ""},
		{"one Redis is away", with(observed(oldSum, oldSum, oldSum), func(o *rotate.Observed) { o.Redis[2] = rotate.Redis{Addr: "c", Silent: "refused"} }), rotate.PhaseBoth, "+NEW b, +NEW a", "-OLD b, -OLD a", "c does not answer: refused"},
		{"the new one is valid everywhere, but at one that is away", with(observed(oldSum, oldSum, oldSum), func(o *rotate.Observed) {
			o.Redis[0].Passwords, o.Redis[1].Passwords, o.Redis[2] = []string{oldSum, newSum}, []string{oldSum, newSum}, rotate.Redis{Addr: "c", Silent: "refused"}
		}), rotate.PhaseBoth, "", "-OLD b, -OLD a", "c does not answer: refused"},
		{"the new one is valid everywhere", with(observed(oldSum, oldSum, oldSum), func(o *rotate.Observed) {
			for i := range o.Redis {
				o.Redis[i].Passwords = []string{oldSum, newSum}
			}
		}), rotate.PhaseBoth, "auth b, auth c, auth a, pass s, pass t, pass u", "-OLD b, -OLD c, -OLD a", ""},
		{"both are valid", with(observed(oldSum, oldSum, oldSum), both), rotate.PhaseAnew, "", "-OLD b, -OLD c, -OLD a", "started with the old password: b, c, a"},
		{"a pod was made anew", with(observed(oldSum, newSum, oldSum), func(o *rotate.Observed) { both(o); o.Redis[1].Passwords = []string{newSum} }), rotate.PhaseBoth, "+OLD b", "-OLD c, -OLD a", ""},
		{"a pod was made anew too early", with(observed(oldSum, oldSum, oldSum), func(o *rotate.Observed) {
			both(o)
			o.Redis[1].Passwords, o.Redis[1].MasterAuth = []string{oldSum}, oldSum
		}), rotate.PhaseBoth, "+NEW b", "-OLD b, -OLD c, -OLD a", ""},
		{"all pods were, and the file was not", with(observed(newSum, newSum, newSum), both), rotate.PhaseAnew, "", "-OLD b, -OLD c, -OLD a", "the applier's pod has the old password"},
		{"nobody knows the old one but the file", with(observed(newSum, newSum, newSum), func(o *rotate.Observed) { both(o); dropped(o); o.Mounted = oldSum }), rotate.PhaseBoth, "+OLD b, +OLD c, +OLD a", "", ""},
		{"everything was made anew", with(observed(newSum, newSum, newSum), func(o *rotate.Observed) { both(o); o.Mounted = newSum }), rotate.PhaseDrop, "", "-OLD b, -OLD c, -OLD a", ""},
		{"a Sentinel was made anew", with(observed(newSum, newSum, newSum), func(o *rotate.Observed) { both(o); o.Mounted = newSum; o.Sentinels[1].Told = false }), rotate.PhaseBoth, "pass t", "-OLD b, -OLD c, -OLD a", ""},
		{"a Sentinel does not reach a Redis", with(observed(newSum, newSum, newSum), func(o *rotate.Observed) { both(o); o.Mounted = newSum; o.Sentinels[1].Down = []string{"b"} }), rotate.PhaseDrop, "", "-OLD b, -OLD c, -OLD a", "the Sentinel t does not reach b"},
		{"a Sentinel does not know a replica", with(observed(newSum, newSum, newSum), func(o *rotate.Observed) { both(o); o.Mounted = newSum; o.Sentinels[1].Replicas = []string{"c"} }), rotate.PhaseDrop, "", "-OLD b, -OLD c, -OLD a", "the Sentinel t does not know b"},
		{"a replica is not in sync", with(observed(newSum, newSum, newSum), func(o *rotate.Observed) { both(o); o.Mounted = newSum; o.Redis[1].InRole = false }), rotate.PhaseDrop, "", "-OLD b, -OLD c, -OLD a", "b is not in sync with the primary"},
		{"no replica is known", with(observed(newSum), func(o *rotate.Observed) { both(o); o.Mounted = newSum }), rotate.PhaseDrop, "", "-OLD a", "the Sentinels know no replica"},
		{"it died between two drops", with(observed(newSum, newSum, newSum), func(o *rotate.Observed) { both(o); o.Mounted = newSum; o.Redis[1].Passwords = []string{newSum} }), rotate.PhaseDrop, "", "-OLD c, -OLD a", ""},
		{"done", with(observed(newSum, newSum, newSum), dropped), rotate.PhaseDone, "", "", ""},
		{"back to the password of before", with(observed(newSum, newSum, newSum), func(o *rotate.Observed) {
			both(o)
			o.Mounted = newSum
			for i := range o.Redis {
				o.Redis[i].MasterAuth = oldSum
			}
		}), rotate.PhaseBoth, "auth b, auth c, auth a", "-OLD b, -OLD c, -OLD a", ""},
		{"a third password", with(observed(oldSum, oldSum, oldSum), func(o *rotate.Observed) { o.Redis[1].Passwords = []string{oldSum, "THIRD"} }), "", "", "", "there are 2 passwords besides the new one"},
		{"the Secret got another one", with(observed(oldSum, oldSum, oldSum), func(o *rotate.Observed) { both(o); o.Mounted = "THIRD" }), "", "", "", "the Secret set to another password"},
		{"no password is needed", with(observed(oldSum, oldSum), func(o *rotate.Observed) { o.Redis[1].NoPass = true }), "", "", "", "needs no password"},
		{"requirepass is not set", with(observed(oldSum, oldSum), func(o *rotate.Observed) { o.Redis[1].Started = "" }), "", "", "", "b was not started with a password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := rotate.Judge(tt.seen)
			if v.Phase != tt.phase || words(v.Steps) != tt.steps || words(v.Drops) != tt.drops {
				t.Errorf("got %q: %s; %s\nwant %q: %s; %s", v.Phase, words(v.Steps), words(v.Drops), tt.phase, tt.steps, tt.drops)
			}
			said := strings.Join(slices.Concat(v.Waits, v.Refused), "\n")
			if tt.says == "" && said != "" || !strings.Contains(said, tt.says) {
				t.Errorf("got %q said, want %q", said, tt.says)
			}
			if strings.Contains(said, oldSum) || strings.Contains(said, newSum) || strings.Contains(said, "THIRD") {
				t.Errorf("a password's sum is in %q", said)
			}
			if done := v.Settled(); done != (tt.phase == rotate.PhaseDone) {
				t.Errorf("settled: got %t in phase %q", done, v.Phase)
			}
		})
	}
}

func words(steps []rotate.Step) string {
	var out []string
	for _, s := range steps {
		switch s.Do {
		case rotate.Add:
			out = append(out, "+"+s.Password+" "+s.Addr)
		case rotate.MasterAuth:
			out = append(out, "auth "+s.Addr)
		case rotate.AuthPass:
			out = append(out, "pass "+s.Addr)
		case rotate.Drop:
			out = append(out, "-"+s.Password+" "+s.Addr)
		}
	}
	return strings.Join(out, ", ")
}

// model is a site, and what really is: what a Sentinel shows, which nobody can ask it.
type model struct {
	rotate.Observed
	shows    []string // by Sentinel
	declared string   // the Secret
}

// lockedOut says who shows a password that a Redis does not take. A pod that was just made anew is given the other one at the next step, so it is left out.
func (m *model) lockedOut(young int) string {
	for i, r := range m.Redis {
		takes := func(sum string) bool { return i == young || slices.Contains(r.Passwords, sum) }
		for _, o := range m.Redis {
			if !takes(o.MasterAuth) {
				return fmt.Sprintf("%s shows %s to %s, which takes %v", o.Addr, o.MasterAuth, r.Addr, r.Passwords)
			}
		}
		for j, shown := range m.shows {
			if !takes(shown) {
				return fmt.Sprintf("the Sentinel %s shows %s to %s, which takes %v", m.Sentinels[j].Addr, shown, r.Addr, r.Passwords)
			}
		}
		if !takes(m.Mounted) {
			return fmt.Sprintf("the applier shows %s to %s, which takes %v", m.Mounted, r.Addr, r.Passwords)
		}
	}
	return ""
}

func (m *model) do(s rotate.Step) {
	for i := range m.Redis {
		if r := &m.Redis[i]; r.Addr == s.Addr {
			switch s.Do {
			case rotate.Add:
				r.Passwords = append(slices.Clone(r.Passwords), s.Password)
			case rotate.MasterAuth:
				r.MasterAuth = newSum
			case rotate.Drop:
				r.Passwords = slices.DeleteFunc(slices.Clone(r.Passwords), func(p string) bool { return p == s.Password })
			}
		}
	}
	for i := range m.Sentinels {
		if o := &m.Sentinels[i]; o.Addr == s.Addr && s.Do == rotate.AuthPass {
			m.shows[i], o.Told = newSum, true
		}
	}
}

// Whatever happens in whatever order, and wherever whoever rotates dies: nobody is locked out, the old password is dropped only when everything was made anew, and it ends.
func TestJudgeThroughEverything(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := &model{Observed: observed(oldSum, oldSum, oldSum), shows: []string{oldSum, oldSum, oldSum}, declared: oldSum}
		var log []string
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("seed %d: %s\n%s", seed, fmt.Sprintf(format, args...), strings.Join(log, "\n"))
		}
		young := -1
		look := func(steps int) rotate.Verdict {
			v := rotate.Judge(m.Observed)
			if len(v.Refused) > 0 {
				fail("refused: %v", v.Refused)
			}
			todo := v.Steps
			if v.Phase == rotate.PhaseDrop && len(v.Waits) == 0 {
				if m.Mounted != newSum || slices.ContainsFunc(m.Redis, func(r rotate.Redis) bool { return r.Started != newSum }) {
					fail("the old password is dropped before everything was made anew: %+v", m.Observed)
				}
				todo = slices.Concat(todo, v.Drops)
			}
			for _, s := range todo[:min(steps, len(todo))] {
				m.do(s)
				if log = append(log, words([]rotate.Step{s})); s.Do != rotate.Add {
					young = -1
				}
				if out := m.lockedOut(young); out != "" {
					fail("%s", out)
				}
			}
			if steps >= len(todo) {
				young = -1
			}
			return v
		}
		for range 40 {
			switch r.IntN(7) {
			case 0: // it dies after some steps, and another one begins
				look(r.IntN(3))
				for i := range m.Sentinels {
					m.Sentinels[i].Told = false
				}
				log = append(log, "died")
			case 1: // a pod is made anew with what the Secret holds
				i := r.IntN(3)
				m.Redis[i].Started, m.Redis[i].MasterAuth, m.Redis[i].Passwords = m.declared, m.declared, []string{m.declared}
				log = append(log, fmt.Sprintf("%s anew with %s", m.Redis[i].Addr, m.declared))
				young = i
				look(99)
				look(99)
			case 2: // a failover
				m.Primary = string(rune('a' + r.IntN(3)))
				for i := range m.Sentinels {
					m.Sentinels[i].Primary, m.Sentinels[i].Replicas = m.Primary, slices.DeleteFunc([]string{"a", "b", "c"}, func(s string) bool { return s == m.Primary })
				}
				log = append(log, m.Primary+" is the primary")
			case 3: // a Sentinel is made anew
				i := r.IntN(3)
				m.Sentinels[i].Told, m.shows[i] = false, m.declared
				log = append(log, m.Sentinels[i].Addr+" anew with "+m.declared)
			case 4: // the person does what was said
				if v := look(99); v.Phase == rotate.PhaseAnew {
					m.declared = newSum
					log = append(log, "declared")
				}
			case 5: // the kubelet
				if m.Mounted != m.declared {
					m.Mounted = m.declared
					log = append(log, "mounted")
				}
			default:
				look(99)
			}
			if out := m.lockedOut(young); out != "" {
				fail("%s", out)
			}
		}
		for i := range m.Redis {
			look(99)
			look(99)
			m.declared, m.Mounted = newSum, newSum
			m.Redis[i].Started, m.Redis[i].MasterAuth, m.Redis[i].Passwords, young = newSum, newSum, []string{newSum}, i
		}
		for range 4 {
			look(99)
		}
		if v := look(99); v.Phase != rotate.PhaseDone {
			fail("it does not end: %+v", v.State)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for password, want := range map[string]string{
		"":                        "has 0 characters",
		"short":                   "has 5 characters; want at least 16",
		"long enough, with blank": "character 5 of the new password breaks redis.conf",
		"sixteen-letters\n":       "character 16",
		"sixteen-letters\"quoted": "character 16",
		"sixteen-letters-":        "",
	} {
		err := rotate.Secret(password).Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v, want %q", password, err, want)
		}
		if err != nil && password != "" && strings.Contains(err.Error(), password) {
			t.Errorf("%q is shown: %v", password, err)
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(format, rotate.Request{Password: "a-secret-password"}); strings.Contains(text, "a-secret") {
			t.Errorf("%s shows it: %s", format, text)
		}
	}
}
