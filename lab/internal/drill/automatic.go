package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/writer"
	"github.com/comptech-lab/redis-wal/writer/drill"
	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// The drills of this file are about what acts without a person: what the CronJob runs is run at dr, and a witness looks from a third place, the lab itself.
func automaticDrills() []Drill {
	one, once := Needs{Writer: true}, Needs{Real: true, Writer: true}
	same := End{Same: true}
	return []Drill{
		{
			Name: "auto-takeover", Fault: "dc gone, with records that nobody has at dr; the applications move by themselves; nobody is there, and dr takes over; dc returns; failback, cutover back",
			Needs: one, Short: true, Run: takeoverAndBack(byItself), End: same,
		},
		{Name: "false-alarm", Fault: "no network between the sites, while dc is written; what would take dr over runs again and again", Needs: one, Short: true, Run: falseAlarm, End: same},
		{
			Name: "auto-takeover-mm2", Fault: "the Kafka of dc killed, with records that nobody has at dr; the applications move by themselves; nobody is there, and dr takes over; dc returns; failback, cutover back",
			Needs: once, Run: takeoverAndBack(byItself), End: same,
		},
		{Name: "walctl-drill", Fault: "what walctl drill does: a planned cutover to dr, a smoke test, and back", Needs: one, Short: true, Run: rehearsal, End: same},
	}
}

// inHaste is what the drills do not wait a minute for.
func inHaste(place string) ifdown.Config {
	return ifdown.Config{Place: place, After: 4 * time.Second, Looks: 3, CoolDown: 4 * time.Second}
}

// automatic runs what the CronJob of a site runs, which looks at these addresses of the peer's Kafka.
func (s *Scene) automatic(ctx context.Context, site string, peer []string) (r ifdown.Report, err error) {
	c := inHaste(site)
	cmd := exec.CommandContext(ctx, s.Binary, "takeover", "--json")
	for name, value := range s.Pods(site)[0].Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, "APPLIER_TAKEOVER_PEER_BROKERS="+strings.Join(peer, ","), "APPLIER_TAKEOVER_PEER_TLS=true",
		"APPLIER_TAKEOVER_IF_DOWN="+c.After.String(), fmt.Sprint("APPLIER_TAKEOVER_LOOKS=", c.Looks), "APPLIER_TAKEOVER_COOL_DOWN="+c.CoolDown.String())
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	runErr := cmd.Run()
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, fmt.Errorf("redis-applier takeover gave no report: %w: %s", errors.Join(runErr, err), said.String())
	}
	if code := cmd.ProcessState.ExitCode(); code != r.Exit {
		return r, fmt.Errorf("redis-applier takeover ended with %d, and reports %d", code, r.Exit)
	}
	return r, nil
}

// witness has the lab look at the peer of a site once, and write down there what it saw.
func (s *Scene) witness(ctx context.Context, to *reach.Direct, peer []string) error {
	r := ifdown.Observe(ctx, inHaste("lab"), to, ifdown.How{
		Look: func(ctx context.Context) (ifdown.Seen, string) {
			return reach.Look(ctx, reach.Target{Kafka: peer, KafkaTLS: true})
		},
		Say: func(string) {},
	})
	if r.Exit != ifdown.ExitNothing {
		return fmt.Errorf("the witness: %s", r.Why)
	}
	return nil
}

// witnessed runs what the CronJob of dr runs, while the witness looks at other addresses again and again.
func (s *Scene) witnessed(ctx context.Context, to *reach.Direct, peer, seen []string) (r ifdown.Report, err error) {
	watching, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		for {
			err := s.witness(watching, to, seen)
			if watching.Err() != nil {
				err = nil
			}
			if err != nil || watching.Err() != nil {
				ended <- err
				return
			}
			select {
			case <-watching.Done():
			case <-time.After(500 * time.Millisecond): // a scheduler's pause
			}
		}
	}()
	r, err = s.automatic(ctx, s.B, peer)
	stop()
	return r, errors.Join(err, <-ended)
}

// nobody is an address where nothing answers: that of a Kafka that is gone.
func (s *Scene) nobody() ([]string, error) {
	ip, err := s.Block.Next()
	if err != nil {
		return nil, err
	}
	return []string{ip.String() + ":9094"}, nil
}

// wants fails unless a run ended so.
func wants(r ifdown.Report, err error, exit int, why string) error {
	if err == nil && (r.Exit != exit || !strings.Contains(r.Why, why)) {
		err = fmt.Errorf("the automatic takeover ended with %d (%s: %s %s), want %d because of %q", r.Exit, r.Answer, r.Why, r.Error, exit, why)
	}
	return err
}

// die has the Kafka of dc answer nobody. The embedded one cannot be killed without losing its records: then it is looked for where nobody is.
func (s *Scene) die() (addrs []string, back func(context.Context) error, err error) {
	k := s.Kafka(s.A)
	if err := k.Hold(); err == nil {
		return k.Addrs(), k.Release, nil
	}
	addrs, err = s.nobody()
	return addrs, func(context.Context) error { return nil }, err
}

func byItself(ctx context.Context, s *Scene, to *reach.Direct) (fenced int, err error) {
	gone, back, err := s.die()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, back(ctx)) }()
	r, err := s.automatic(ctx, s.B, gone)
	if err := wants(r, err, ifdown.ExitUnknown, "alone"); err != nil { // no witness yet
		return 0, err
	}
	if r, err = s.witnessed(ctx, to, gone, gone); err != nil {
		return 0, err
	}
	if err := wants(r, nil, ifdown.ExitTook, "seen from "+s.B+" and lab"); err != nil {
		return 0, err
	}
	s.Saw("%s", r.Why)
	if err := s.readable(ctx, s.B); err != nil {
		return 0, err
	}
	again, err := s.automatic(ctx, s.B, gone)
	return r.Fenced, wants(again, err, ifdown.ExitNothing, "writer already")
}

// readable waits until a site holds what its own applications have written by now, before anybody came.
func (s *Scene) readable(ctx context.Context, site string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the takeover was to replay them"))
	defer cancel()
	want := s.Load.lengths()
	maps.DeleteFunc(want, func(key string, _ int) bool { return !strings.HasPrefix(key, "ledger:"+site+":") })
	c := reader(s.Redis(site))
	defer func() { _ = c.Close() }()
	return await.True(ctx, "what was written at "+site+" to be readable there", func(ctx context.Context) error {
		n, err := missing(ctx, c, want)
		if err == nil && n > 0 {
			err = fmt.Errorf("%d records are missing", n)
		}
		return err
	})
}

func falseAlarm(ctx context.Context, s *Scene) error {
	to, err := operator(s.Sites, s.B)
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }()
	cut, err := s.nobody()
	if err != nil {
		return err
	}
	s.Fault()
	heal, err := s.alone()
	if err != nil {
		return err
	}
	alive := s.Kafka(s.A).Addrs()
	r, err := s.automatic(ctx, s.B, cut)
	if err := wants(r, err, ifdown.ExitUnknown, "alone"); err != nil {
		return err
	}
	r, err = s.witnessed(ctx, to, cut, alive)
	if err := wants(r, err, ifdown.ExitRefused, "they disagree"); err != nil {
		return err
	}
	s.Saw("%s", r.Why)
	r, err = s.automatic(ctx, s.A, cut) // at dc it is its own turn
	if err := wants(r, err, ifdown.ExitNothing, "writer already"); err != nil {
		return err
	}
	openings, err := writer.Openings(ctx, to)
	if err != nil {
		return err
	}
	for p, o := range openings {
		if o.Epoch.Site != s.A || o.Sealed {
			return fmt.Errorf("partition %d is in epoch %s after a false alarm", p, o.Epoch)
		}
	}
	s.Healed()
	return errors.Join(heal(), s.together(ctx))
}

func rehearsal(ctx context.Context, s *Scene) error {
	x, y, end, err := both(s.Sites, s.A, s.B)
	if err != nil {
		return err
	}
	defer end()
	begun, err := drill.Look(ctx, x)
	if err != nil {
		return err
	}
	if begun.Stage != drill.Fresh || begun.Home != s.A {
		return fmt.Errorf("a drill would be %s at %s, want a fresh one at %s", begun.Stage, begun.Home, s.A)
	}
	s.Fault()
	at := map[string]*reach.Direct{s.A: x, s.B: y}
	done, err := drill.Run(ctx, begun, map[string]writer.Site{s.A: x, s.B: y}, drill.Plan{
		Reason: "drill of the lab", Timeout: patience, Opened: s.Load.Move,
		Read: func(ctx context.Context, site string, keys [][]byte) (out []drill.Value, err error) {
			values, err := at[site].Values(ctx, keys)
			for _, v := range values {
				out = append(out, drill.Value{There: v.Type != "none", Quoted: v.Text})
			}
			return out, err
		},
	})
	if err != nil {
		return err
	}
	s.Healed()
	if done.Smoke.Error != "" {
		return fmt.Errorf("smoke test: %s", done.Smoke.Error)
	}
	for _, m := range []*writer.Moved{done.Out, done.Back} {
		if m.Check.ExitCode() != 0 {
			return errors.New(m.Check.Sentence)
		}
	}
	s.Saw("no partition was without a writer for longer than %.2f s and %.2f s; %d keys readable at %s after %.2f s, at %s after %.2f s",
		done.Out.WithoutWriter, done.Back.WithoutWriter, done.Smoke.Keys, s.B, done.Smoke.Readable[s.B], s.A, done.Smoke.Readable[s.A])
	return s.replayRest(ctx, s.A)
}
