package status_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/walctl/internal/twosites"
	"github.com/comptech-lab/redis-wal/writer"
)

func source(name string, s status.Site) status.Source {
	return status.Source{Name: name, Open: func(context.Context) (status.Site, error) { return s, nil }}
}

// stubborn hangs in one question, whatever becomes of its context.
type stubborn struct {
	status.Site
	release chan struct{}
}

func (s stubborn) Redis(context.Context) (reach.Redis, error) {
	<-s.release
	return reach.Redis{}, errors.New("too late")
}

// broken answers some questions with errors.
type broken struct{ status.Site }

func (broken) Ends(context.Context) (writer.Ends, error) {
	return writer.Ends{}, errors.New("not authorized")
}

func (broken) Follow(context.Context, time.Time, func(wal.Attestation) error, func()) error {
	return errors.New("not authorized either")
}

// What answers is shown, whatever the rest does: an operator looks because something hangs.
func TestGatherDoesNotWait(t *testing.T) {
	t.Parallel()
	w := twosites.New(2)
	release := make(chan struct{})
	defer close(release)
	never := status.Source{Name: "dr", Open: func(context.Context) (status.Site, error) {
		<-release // not even its context ends it
		return nil, errors.New("too late")
	}}
	done := make(chan status.Facts, 1)
	go func() {
		done <- status.Gather(context.Background(), time.Now(), [2]status.Source{source("dc", stubborn{w.Site("dc"), release}), never}, nil, 200*time.Millisecond)
	}()
	var f status.Facts
	select {
	case f = <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for a site that hangs")
	}
	dc, dr := &f.Sites[0], &f.Sites[1]
	if dc.Identity == nil || dc.Ends == nil || dc.Heard == nil || dc.Fenced == nil || dc.DLQ == nil {
		t.Errorf("what dc answered is not there: %+v", dc)
	}
	if dc.Redis != nil || len(dc.Silent) != 1 || dc.Silent[0] != "dc: Redis: no answer within 200ms" {
		t.Errorf("got %q of the question in which dc hangs", dc.Silent)
	}
	if dr.Identity != nil || len(dr.Silent) != 1 || dr.Silent[0] != "dr is not reached: no answer within 200ms" {
		t.Errorf("got %q of dr", dr.Silent)
	}
	m := status.Judge(f)
	if m.Exit != 2 || !strings.Contains(m.Text(), "both, no epoch yet: 0-1") {
		t.Errorf("got exit %d\n%s", m.Exit, m.Text())
	}
}

func TestGatherSaysWhatFailed(t *testing.T) {
	t.Parallel()
	w := twosites.New(2)
	f := status.Gather(context.Background(), time.Now(), [2]status.Source{source("dc", broken{w.Site("dc")}), source("dr", w.Site("dr"))}, nil, 10*time.Second)
	want := "dc: attestations: not authorized either\ndc: ends of the log: not authorized"
	if got := strings.Join(f.Sites[0].Silent, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if m := status.Judge(f); m.Sites[0].Heard == nil || m.Exit != 2 {
		t.Errorf("what dr has heard of dc is not used: %+v", m.Sites[0])
	}
}

// since notes from when on attestations are asked for.
type since struct {
	status.Site
	asked *[]time.Time
}

func (s since) Follow(ctx context.Context, at time.Time, each func(wal.Attestation) error, caught func()) error {
	*s.asked = append(*s.asked, at)
	return s.Site.Follow(ctx, at, each, caught)
}

// A second look asks only for what is new, and forgets what is old: status --watch runs for days.
func TestGatherGoesOn(t *testing.T) {
	t.Parallel()
	w := twosites.New(2)
	var asked []time.Time
	sites := [2]status.Source{source("dc", since{w.Site("dc"), &asked}), source("dr", w.Site("dr"))}
	now := time.Now()
	first := status.Gather(context.Background(), now, sites, nil, 10*time.Second)
	second := status.Gather(context.Background(), now.Add(2*time.Second), sites, &first, 10*time.Second)
	if m := status.Judge(second); m.Exit != 0 {
		t.Errorf("got\n%s", m.Text())
	}
	third := status.Gather(context.Background(), now.Add(20*time.Minute), sites, &second, 10*time.Second)
	if got, want := len(third.Sites[0].Heard), len(first.Sites[0].Heard); got != want {
		t.Errorf("%d attestations are kept, want %d: what is older than the history is of no use", got, want)
	}
	if back := now.Sub(asked[0]); back < 5*time.Minute || now.Sub(asked[1]) > 2*time.Minute {
		t.Errorf("asked for attestations since %v", asked)
	}
}
