package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/lab/internal/link"
	"github.com/comptech-lab/redis-wal/lab/internal/realise"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// The drills of this file move the writer while applications write and follow it: they learn who it is when walctl says so, so some of what they write in between is
// acknowledged, and does not count until it is replayed.
func writerDrills() []Drill {
	one := Needs{Writer: true}
	once := Needs{Real: true, Writer: true}
	same := End{Same: true}
	return []Drill{
		{Name: "cutover", Fault: "a planned cutover to dr and one back", Needs: one, Short: true, Run: cutovers(1), End: same},
		{Name: "cutover-100", Fault: "a hundred planned cutovers, to dr and back in turn", Needs: one, Within: 20 * time.Minute, Run: cutovers(50), End: same},
		{Name: "stale-writer", Fault: "a planned cutover, and an application that goes on writing at the old site", Needs: one, Short: true, Run: staleWriter, End: same},
		{
			Name: "takeover", Fault: "dc gone, with records that nobody has at dr; the applications move by themselves; takeover; dc returns; failback, cutover back",
			Needs: one, Short: true, Run: takeoverAndBack(byHand), End: same,
		},
		{Name: "two-takeovers", Fault: "no network between the sites, and each taken over by somebody; then failback", Needs: one, Run: twoTakeovers, End: same},
		{Name: "cutover-mm2", Fault: "five planned cutovers to dr and back", Needs: once, Run: cutovers(5), End: same},
		{
			Name: "takeover-mm2", Fault: "dc gone, with records that nobody has at dr; the applications move by themselves; takeover; dc returns; failback, cutover back",
			Needs: once, Run: takeoverAndBack(byHand), End: same,
		},
	}
}

// operator reaches a site as walctl does: with what its appliers are given.
func operator(s *sites.Sites, site string) (*reach.Direct, error) {
	env := s.Pods(site)[0].Env
	cfg, err := config.ReadRun(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		return nil, err
	}
	return reach.NewDirect(cfg)
}

// both reaches two sites.
func both(s *sites.Sites, a, b string) (x, y *reach.Direct, end func(), err error) {
	if x, err = operator(s, a); err != nil {
		return nil, nil, nil, err
	}
	if y, err = operator(s, b); err != nil {
		return nil, nil, nil, errors.Join(err, x.Close())
	}
	return x, y, func() { _, _ = x.Close(), y.Close() }, nil
}

// moveWriter is a planned cutover.
func moveWriter(ctx context.Context, s *sites.Sites, from, to string, p writer.Plan) (*writer.Moved, error) {
	x, y, end, err := both(s, from, to)
	if err != nil {
		return nil, err
	}
	defer end()
	p.Timeout, p.Replay = patience, true
	m, err := writer.Cutover(ctx, x, y, p)
	if err == nil && m.Check.ExitCode() != 0 {
		err = fmt.Errorf("after the cutover to %s the check says %s", to, m.Check.Sentence)
	}
	return m, err
}

// follow is a planned cutover that the applications follow.
func (s *Scene) follow(ctx context.Context, from, to string) (*writer.Moved, error) {
	return moveWriter(ctx, s.Sites, from, to, writer.Plan{Opened: func() { s.Load.Move(to) }, Reason: "drill"})
}

// cutovers goes to the peer and back so many times.
func cutovers(times int) func(context.Context, *Scene) error {
	return func(ctx context.Context, s *Scene) error {
		s.Fault()
		longest, fenced := 0.0, 0
		for i := range times {
			for _, way := range [][2]string{{s.A, s.B}, {s.B, s.A}} {
				m, err := s.follow(ctx, way[0], way[1])
				if err != nil {
					return fmt.Errorf("cutover %d to %s: %w", i+1, way[1], err)
				}
				longest, fenced = max(longest, m.WithoutWriter), fenced+len(m.Fenced)
			}
		}
		s.Healed()
		s.Saw("no partition was without a writer for longer than %.2f s; %d records were acknowledged in between, and replayed", longest, fenced)
		return s.replayRest(ctx, s.A)
	}
}

// replayRest replays what applications that were late wrote at the old site after a cutover was over: an operator does it when he sees it.
func (s *Scene) replayRest(ctx context.Context, site string) error {
	if err := s.Load.Stop(ctx); err != nil {
		return err
	}
	defer s.Load.Start(ctx)
	o, err := operator(s.Sites, site)
	if err != nil {
		return err
	}
	defer func() { _ = o.Close() }()
	report, err := o.Check(ctx, patience) // so that all that was appended is decided
	if err != nil {
		return err
	}
	if report.ExitCode() != 0 {
		return errors.New(report.Sentence)
	}
	var rest []writer.Copy
	if err := o.Copies(ctx, writer.Fenced, func(c writer.Copy) error { rest = append(rest, c); return nil }); err != nil {
		return err
	}
	if len(rest) == 0 {
		return nil
	}
	return writer.Replay(ctx, o, rest)
}

func staleWriter(ctx context.Context, s *Scene) error {
	s.Fault()
	if _, err := s.follow(ctx, s.A, s.B); err != nil {
		return err
	}
	s.Load.Move(s.A) // they fell back
	if err := s.Last(ctx, 2*time.Second); err != nil {
		return err
	}
	s.Load.Move(s.B)
	if _, err := s.Said(ctx, s.A, "records of a stream that is not open"); err != nil {
		return err
	}
	s.Saw("the appliers say that records are fenced")
	s.Healed()
	if err := s.replayRest(ctx, s.B); err != nil {
		return err
	}
	_, err := s.follow(ctx, s.B, s.A)
	return err
}

// alone cuts the sites off from each other. MirrorMaker 2 does not go through the links, so it is stopped.
func (s *Scene) alone() (heal func() error, err error) {
	if _, standIn := s.Mirror(s.A).(realise.Loser); standIn {
		set := func(q link.Quality) {
			s.Link(s.A).Set(q)
			s.Link(s.B).Set(q)
		}
		heal = func() error { set(link.Quality{}); return nil }
		s.Undo(heal)
		set(link.Quality{Cut: true})
		return heal, nil
	}
	heal = func() error { return errors.Join(s.Mirror(s.A).Start(), s.Mirror(s.B).Start()) }
	return heal, errors.Join(s.Mirror(s.A).Stop(), s.Mirror(s.B).Stop())
}

// together waits until both mirrors run again.
func (s *Scene) together(ctx context.Context) error {
	return errors.Join(s.AwaitMirror(ctx, s.A), s.AwaitMirror(ctx, s.B))
}

// written are the ledger numbers that Kafka has acknowledged so far.
func (t *Traffic) written() map[int]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[int]bool{}
	for _, numbers := range t.acked {
		for _, n := range numbers {
			out[n] = true
		}
	}
	return out
}

// takeoverAndBack has dc go away, dr taken over in some way, and dc return. Take returns how many records were replayed that were written at dr before.
func takeoverAndBack(take func(ctx context.Context, s *Scene, to *reach.Direct) (fenced int, err error)) func(context.Context, *Scene) error {
	return func(ctx context.Context, s *Scene) error { return s.takenOver(ctx, take) }
}

// byHand is a takeover by a person.
func byHand(ctx context.Context, _ *Scene, to *reach.Direct) (fenced int, err error) {
	m, err := writer.Takeover(ctx, to, writer.Plan{Replay: true, Reason: "drill", Timeout: patience})
	if err != nil {
		return 0, err
	}
	return len(m.Fenced), nil
}

func (s *Scene) takenOver(ctx context.Context, take func(ctx context.Context, s *Scene, to *reach.Direct) (fenced int, err error)) error {
	if err := s.Load.Stop(ctx); err != nil {
		return err
	}
	if err := s.Applied(ctx); err != nil {
		return err
	}
	before := s.Load.written()
	s.Fault()
	heal, err := s.alone()
	if err != nil {
		return err
	}
	for range 200 { // dc acknowledges them, and nobody at dr will have them
		s.Load.enter(s.A, -1)
	}
	if err := s.Load.Stop(ctx); err != nil {
		return err
	}
	tail := s.Load.written()
	for n := range before {
		delete(tail, n)
	}
	s.Load.Move(s.B) // by bootstrap alone: nobody has told them
	s.Load.Start(ctx)
	if err := s.Last(ctx, 2*time.Second); err != nil {
		return err
	}
	x, y, end, err := both(s.Sites, s.A, s.B)
	if err != nil {
		return err
	}
	defer end()
	fenced, err := take(ctx, s, y)
	if err != nil {
		return err
	}
	s.Saw("takeover; %d records that were written at %s before it were replayed", fenced, s.B)
	if err := s.Last(ctx, time.Second); err != nil {
		return err
	}
	s.Healed()
	if err := errors.Join(heal(), s.together(ctx)); err != nil {
		return err
	}
	var listed []writer.TailRecord
	f, err := writer.Failback(ctx, x, y, writer.ReplayTail, func(t []writer.TailRecord) error { listed = t; return nil }, writer.Plan{Reason: "drill", Timeout: patience})
	if err != nil {
		return err
	}
	if err := exactly(listed, tail); err != nil {
		return err
	}
	s.Saw("failback listed exactly the %d records that dr had not, and replayed them; %d keys repaired", len(listed), len(f.Keys))
	if f.Check.ExitCode() != 0 {
		return fmt.Errorf("after the failback the check says %s", f.Check.Sentence)
	}
	_, err = s.follow(ctx, s.B, s.A)
	return errors.Join(err, s.replayRest(ctx, s.A))
}

// exactly compares a tail with the ledger numbers that it must be.
func exactly(listed []writer.TailRecord, want map[int]bool) error {
	got := map[int]bool{}
	for _, r := range listed {
		op, err := wal.DecodeOp(r.Value, "")
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(op.Commands[0][2]))
		if err != nil {
			return err
		}
		if got[n] {
			return fmt.Errorf("the tail lists %d twice", n)
		}
		got[n] = true
	}
	var wrong []int
	for n := range got {
		if !want[n] {
			wrong = append(wrong, n)
		}
	}
	for n := range want {
		if !got[n] {
			wrong = append(wrong, n)
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return fmt.Errorf("the tail lists %d records, want %d; such as %d is wrong, or missing", len(got), len(want), wrong[0])
	}
	return nil
}

func twoTakeovers(ctx context.Context, s *Scene) error {
	x, y, end, err := both(s.Sites, s.A, s.B)
	if err != nil {
		return err
	}
	defer end()
	s.Fault()
	heal, err := s.alone()
	if err != nil {
		return err
	}
	for _, site := range []*reach.Direct{y, x} { // x is the writer already, and stays one
		if _, err := writer.Takeover(ctx, site, writer.Plan{Replay: true, Reason: "drill", Timeout: patience}); err != nil {
			return err
		}
	}
	for _, site := range []string{s.A, s.B} {
		s.Load.Move(site)
		if err := s.Last(ctx, time.Second); err != nil {
			return err
		}
	}
	s.Healed()
	if err := errors.Join(heal(), s.together(ctx)); err != nil {
		return err
	}
	f, err := writer.Failback(ctx, x, y, writer.ReplayTail, nil, writer.Plan{Reason: "drill", Timeout: patience})
	if err != nil {
		return err
	}
	if f.Active != s.B {
		return fmt.Errorf("%s is the writer after both were taken over, want %s: its epoch is greater", f.Active, s.B)
	}
	s.Saw("%s is the writer everywhere; %d records of %s were listed and replayed", f.Active, len(f.Tail), s.A)
	_, err = s.follow(ctx, s.B, s.A)
	return errors.Join(err, s.replayRest(ctx, s.A))
}
