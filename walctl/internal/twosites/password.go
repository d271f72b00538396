package twosites

import (
	"context"
	"slices"

	"github.com/comptech-lab/redis-wal/reach/rotate"
)

// passwords are those of a site's three Redises and their Sentinels, by their sums.
type passwords struct {
	mounted string
	redis   []rotate.Redis
	anew    string // with which the pods are made anew; "" = not at all
}

// Passwords gives a site's Redises a password, and makes their pods anew with another one, one after the other, as soon as that is valid everywhere; "" = nobody does.
func (w *World) Passwords(site, now, anew string) {
	w.do(func() {
		p := &passwords{mounted: rotate.Secret(now).Sum(), anew: rotate.Secret(anew).Sum()}
		for _, name := range []string{"-redis-0:6379", "-redis-1:6379", "-redis-2:6379"} {
			p.redis = append(p.redis, rotate.Redis{Addr: site + name, Passwords: []string{p.mounted}, Started: p.mounted, MasterAuth: p.mounted, InRole: true})
		}
		w.sites[site].passwords = p
	})
}

// Third gives one Redis of a site one more password.
func (w *World) Third(site, password string) {
	w.do(func() {
		r := &w.sites[site].passwords.redis[1]
		r.Passwords = append(r.Passwords, rotate.Secret(password).Sum())
	})
}

// Rotate implements [reach.Site].
func (s *Site) Rotate(ctx context.Context, r rotate.Request) (state rotate.State, err error) {
	if err := s.silent(ctx); err != nil {
		return rotate.State{}, err
	}
	s.w.do(func() {
		p := s.passwords
		seen := rotate.Observed{New: r.Password.Sum(), Mounted: p.mounted, Primary: p.redis[0].Addr, Agreed: true, Redis: slices.Clone(p.redis)}
		_, told := r.Told["sentinel"]
		seen.Sentinels = []rotate.Sentinel{{ID: "sentinel", Addr: s.name + "-sentinel:26379", Told: told, Primary: p.redis[0].Addr, Replicas: []string{p.redis[1].Addr, p.redis[2].Addr}}}
		v := rotate.Judge(seen)
		if r.Act {
			steps := v.Steps
			if r.Drop && v.Phase == rotate.PhaseDrop {
				steps = append(steps, v.Drops...)
			}
			for _, step := range steps {
				p.do(step, seen.New, &v.State)
				v.Did = append(v.Did, step.Done(seen.New))
			}
			if v.Phase == rotate.PhaseAnew && p.anew != "" {
				p.make()
			}
		}
		state = v.State
	})
	return state, nil
}

func (p *passwords) do(s rotate.Step, password string, state *rotate.State) {
	i := slices.IndexFunc(p.redis, func(r rotate.Redis) bool { return r.Addr == s.Addr })
	switch s.Do {
	case rotate.Add:
		p.redis[i].Passwords = append(p.redis[i].Passwords, s.Password)
	case rotate.MasterAuth:
		p.redis[i].MasterAuth = password
	case rotate.AuthPass:
		state.Told["sentinel"] = rotate.Mark{}
	case rotate.Drop:
		p.redis[i].Passwords = slices.DeleteFunc(p.redis[i].Passwords, func(sum string) bool { return sum == s.Password })
	}
}

// make makes the next pod anew, the primary last.
func (p *passwords) make() {
	p.mounted = p.anew
	for _, i := range []int{1, 2, 0} {
		if r := &p.redis[i]; r.Started != p.anew {
			r.Started, r.MasterAuth, r.Passwords = p.anew, p.anew, []string{p.anew}
			return
		}
	}
}
