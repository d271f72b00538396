package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/walctl/internal/command"
	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
	"github.com/comptech-lab/redis-wal/walctl/internal/twosites"
)

func env(w *twosites.World, path string, out, errs *safe, args ...string) command.Env {
	return command.Env{
		Args: append([]string{"--config", path}, args...), Stdin: strings.NewReader(""), Stdout: out, Stderr: errs,
		Lookup: func(string) (string, bool) { return "", false }, Now: time.Now, Every: 10 * time.Millisecond, Patience: 200 * time.Millisecond,
		Open: func(_ context.Context, s contexts.Site) (command.Site, error) { return w.Site(s.Exec[0]), nil },
	}
}

// until runs walctl until its output has what is wanted, then interrupts it.
func until(t *testing.T, e command.Env, out *safe, want func(string) bool) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	code := make(chan int, 1)
	go func() { code <- command.Run(ctx, e) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !want(out.String()) {
		select {
		case <-tick.C:
		case got := <-code:
			t.Fatalf("it ended with %d:\n%s", got, out.String())
		}
	}
	cancel()
	return <-code
}

func TestWatch(t *testing.T) {
	t.Parallel()
	path := write(t)
	for name, tt := range map[string]struct {
		screen bool
		args   []string
		frames func(string) int
	}{
		"plain":  {false, nil, func(s string) int { return strings.Count(s, "Can I sleep? Yes.\n") }},
		"screen": {true, nil, func(s string) int { return strings.Count(s, "\x1b[H\x1b[2Jredis-writes") }},
		"json":   {true, []string{"--json"}, func(s string) int { return strings.Count(s, "\n") }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errs safe
			e := env(twosites.New(2), path, &out, &errs, append([]string{"status", "-w"}, tt.args...)...)
			e.Screen = tt.screen
			if code := until(t, e, &out, func(s string) bool { return tt.frames(s) > 2 }); code != 0 {
				t.Errorf("got %d, want what was seen last\n%s", code, errs.String())
			}
			if name == "json" {
				for line := range strings.Lines(out.String()) {
					if !json.Valid([]byte(line)) {
						t.Errorf("no object: %s", line)
					}
				}
			}
			if name == "plain" && strings.Contains(out.String(), "\x1b") {
				t.Error("codes of a terminal are written to what is none")
			}
		})
	}
}

// A site that is lost while one watches is reached anew when it is back.
func TestWatchReachesAgain(t *testing.T) {
	t.Parallel()
	var out, errs safe
	w := twosites.New(2)
	e := env(w, write(t), &out, &errs, "status", "--watch")
	var opened atomic.Int32
	e.Open = func(_ context.Context, s contexts.Site) (command.Site, error) {
		if s.Exec[0] == "dr" && opened.Add(1) < 3 {
			return nil, errors.New("the pod is gone")
		}
		return w.Site(s.Exec[0]), nil
	}
	until(t, e, &out, func(s string) bool {
		return strings.Contains(s, "dr is not reached: the pod is gone") && strings.Contains(s, "Can I sleep? Yes.")
	})
}

// While a question is open, an interrupt is no.
func TestInterruptIsNo(t *testing.T) {
	t.Parallel()
	var out, errs safe
	w := twosites.New(1)
	e := env(w, write(t), &out, &errs, "cutover", "--to", "dr")
	e.Terminal, e.Stdin = true, silence{}
	if code := until(t, e, &errs, func(s string) bool { return strings.Contains(s, "Go on? [y/N]") }); code != 1 {
		t.Errorf("got %d\n%s", code, errs.String())
	}
	if r, _ := w.Site("dr").Redis(context.Background()); !r.Checkpoints[0].Epoch.IsNone() {
		t.Error("the writer was moved")
	}
}

// silence is a user who does not answer.
type silence struct{}

func (silence) Read([]byte) (int, error) { select {} }
