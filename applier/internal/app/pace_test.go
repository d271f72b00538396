package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	t.Parallel()
	var held int64
	var failing error
	asked, slowed := 0, 0
	p := &pace{
		limit:  100,
		buffer: func(context.Context) (int64, error) { asked++; return held, failing },
		slowed: func(int64) { slowed++ },
	}
	look := func(written int, holds int64, want bool) {
		t.Helper()
		held = holds
		p.wrote(written)
		p.look(t.Context())
		if got := p.slow(); got != want {
			t.Errorf("slow = %v with %d bytes held, want %v", got, holds, want)
		}
	}
	look(1, 1000, false)
	if asked != 0 {
		t.Error("the replicas are looked at though hardly anything was written")
	}
	look(paceBytes, 100, false)
	look(paceBytes, 101, true)
	look(0, 51, true) // slow until they have caught up well
	look(0, 50, false)
	look(paceBytes, 101, true)
	failing = errors.New("no primary")
	look(0, 101, false)
	if slowed != 2 {
		t.Errorf("said %d times that it slows, want 2", slowed)
	}
	p.limit, failing, asked = 0, nil, 0
	if look(paceBytes, 1<<40, false); asked != 0 {
		t.Error("the replicas are looked at though there is no limit")
	}
}

func TestPaceHoldsABatchUntilTheReplicasHaveCaughtUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pace{limit: 100, slowed: func(int64) {}}
		p.wait(t.Context()) // nothing to wait for
		held := func(ctx context.Context) (released func() bool) {
			done := make(chan struct{})
			go func() { defer close(done); p.wait(ctx) }()
			return func() bool {
				synctest.Wait()
				select {
				case <-done:
					return true
				default:
					return false
				}
			}
		}
		p.set(101)
		released := held(t.Context())
		if released() {
			t.Error("a batch goes on though a replica is behind")
		}
		if p.set(10); !released() {
			t.Error("a batch waits though the replicas have caught up")
		}

		p.set(101)
		ctx, cancel := context.WithCancel(t.Context())
		released = held(ctx)
		if cancel(); !released() {
			t.Error("a batch outlasts its worker")
		}

		// A replica that stands still slows the log, and does not stop it.
		began := time.Now()
		p.wait(t.Context())
		if waited := time.Since(began); waited != paceMost {
			t.Errorf("waited %s, want %s", waited, paceMost)
		}
	})
}
