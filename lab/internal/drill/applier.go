package drill

import (
	"context"
	"syscall"
	"time"
)

func applierDrills() []Drill {
	return []Drill{
		{Name: "kill-applier", Fault: "SIGKILL to an applier", Short: true, Run: killApplier},
		{Name: "freeze-applier", Fault: "SIGSTOP to an applier that is idle; its records come; SIGCONT after 20 s", Run: freezeApplier},
		{Name: "kill-appliers", Fault: "all appliers of a site dead for 5 s", Short: true, Run: killAppliers},
	}
}

func killApplier(_ context.Context, s *Scene) error {
	s.Fault()
	return s.Pods(s.A)[0].Kill()
}

// freezeApplier lets an applier sleep for longer than its group waits for it: another takes its partitions over, and it wakes up with records
// of theirs in its hands. It falls asleep with nothing under way: then the first thing that it sends is a batch of those records. (Else it is the
// end of what was under way, which changes no data, and of which it learns that it is late.)
func freezeApplier(ctx context.Context, s *Scene) error {
	p := s.Pods(s.A)[0]
	s.Undo(func() error { return p.Signal(syscall.SIGCONT) })
	if err := s.Load.Stop(ctx); err != nil {
		return err
	}
	if err := s.Applied(ctx); err != nil {
		return err
	}
	if err := s.Last(ctx, calm); err != nil {
		return err
	}
	s.Fault()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	s.Load.Start(ctx)
	if err := s.Last(ctx, 20*time.Second); err != nil {
		return err
	}
	s.Healed()
	return p.Signal(syscall.SIGCONT)
}

func killAppliers(ctx context.Context, s *Scene) error {
	s.Fault()
	for _, p := range s.Pods(s.A) {
		s.Undo(func() error { p.Release(); return nil })
		if err := p.Hold(); err != nil {
			return err
		}
	}
	if err := s.Last(ctx, 5*time.Second); err != nil {
		return err
	}
	s.Healed()
	for _, p := range s.Pods(s.A) {
		p.Release()
	}
	return nil
}
