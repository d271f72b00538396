// Package drill breaks a running lab on purpose, one fault at a time, while applications write and read, and says what they saw, how
// long it lasted, and whether both sites have every record exactly once in the end.
package drill

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/sites"
)

// Needs says on which lab a drill runs.
type Needs struct {
	// Real is Apache Kafka and MirrorMaker 2; otherwise the embedded Kafka and the stand-in.
	Real bool
	// AtLeastOnce is the mirror's mode; otherwise it is exactly-once.
	AtLeastOnce bool
	// Writer has one site be the writer, and the applications follow it; otherwise both streams are open, and both sites are written.
	Writer bool
	// Careful has the applications make no mistakes, so that the DLQ stays empty.
	Careful bool
}

func (n Needs) String() string {
	text := "embedded"
	switch {
	case n.Real && n.AtLeastOnce:
		text = "real, at-least-once"
	case n.Real:
		text = "real, exactly-once"
	}
	if n.Writer {
		text += ", one writer"
	}
	return text
}

// Drill is one fault and what must come of it.
type Drill struct {
	// Name is how -only picks it, Fault says what is done.
	Name, Fault string
	Needs       Needs
	// Short says that it is in the subset that CI runs.
	Short bool
	// Quiet stops the load and lets both sites apply everything before the fault.
	Quiet bool
	// Passive has nothing ever written at the peer. Such a drill gets a lab that no other drill has used.
	Passive bool
	// Within is how long the drill may take; 0 = twice patience.
	Within time.Duration
	// Run injects the fault, waits until it is seen and heals it.
	Run func(ctx context.Context, s *Scene) error
	// End is what must be in the end.
	End End
	// Spoils says that the lab cannot be used for another drill.
	Spoils bool
}

// End is the state in which a drill must leave the sites. The zero value: both sites hold every record once and equal the model, and both
// checks say converged.
type End struct {
	// Check is the exit code of both checks: 0 converged, 1 diverged, 2 could not tell.
	Check int
	// Says are words that both checks must print.
	Says []string
	// Halted is a site of which some partitions stay halted: its peer must equal the model.
	Halted string
	// Lost is how many ledger records the peer must miss; -1 = at least one.
	Lost int
	// Differ are the keys that may differ, by prefix.
	Differ string
	// Same compares the sites with each other, not with the model: what was fenced and replayed stands behind what was written meanwhile.
	Same bool
}

// Row is the outcome of one drill.
type Row struct {
	Drill Drill
	// Skipped is why it was not run; empty = it was.
	Skipped string
	// Lasted is from the fault to its end, Recovery from there to all applied at both sites, Took the whole drill.
	Lasted, Recovery, Took time.Duration
	// Late says that some records were late for the fault; otherwise there was nothing to recover from.
	Late bool
	// Clients is what applications saw, Seen what the system said meanwhile.
	Clients, Seen string
	// Lost and Duplicated are records of the ledgers, over both sites; Differ is the number of keys not as the model has them.
	Lost, Duplicated, Differ int
	// Verdict is what both checks said.
	Verdict string
	// Failures are what was not as it must be.
	Failures []string
}

// Scene is what a drill has to work with.
type Scene struct {
	*sites.Sites
	// A is the site that most of the load is written at, B its peer.
	A, B string
	// Load is the running load.
	Load *Traffic

	dir   string
	began time.Time

	mu            sync.Mutex
	fault, healed time.Time
	logs          map[string]int // how long the appliers' logs were at the fault
	seen          []string
	undo          []func() error
}

// Fault says that the fault begins now.
func (s *Scene) Fault() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs = make(map[string]int)
	for _, site := range s.Names() {
		for _, p := range s.Pods(site) {
			if info, err := os.Stat(s.Group.LogFile(p.Name)); err == nil {
				s.logs[p.Name] = int(info.Size())
			}
		}
	}
	s.fault = time.Now()
}

// Healed says that the fault is over, or that its remedy was applied.
func (s *Scene) Healed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.healed = time.Now()
}

// Saw notes what the system did or said during the fault.
func (s *Scene) Saw(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, fmt.Sprintf(format, args...))
}

// Undo is done when the drill is over, however it ends.
func (s *Scene) Undo(f func() error) { s.undo = append(s.undo, f) }

// Last waits for d: a fault that must last for a given time has no condition to wait for.
func (s *Scene) Last(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
