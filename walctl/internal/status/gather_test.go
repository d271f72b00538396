package status_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
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

// mute never says where the partitions stand, whatever becomes of its context.
type mute struct {
	status.Site
	release chan struct{}
}

func (m mute) Checkpoints(context.Context) ([]wal.Checkpoint, error) {
	<-m.release
	return nil, errors.New("too late")
}

// Nobody is kept awake because a site does not say what drills there were.
func TestGatherDoesNotNeedDrills(t *testing.T) {
	t.Parallel()
	w := twosites.New(2)
	release := make(chan struct{})
	defer close(release)
	f := status.Gather(context.Background(), time.Now(), [2]status.Source{source("dc", mute{w.Site("dc"), release}), source("dr", mute{w.Site("dr"), release})}, nil, 500*time.Millisecond)
	if m := status.Judge(f); m.Exit != 0 || m.Drills != nil {
		t.Errorf("got exit %d and drills %v\n%s", m.Exit, m.Drills, m.Text())
	}
}

// counting counts how often records are asked for.
type counting struct {
	status.Site
	asked *atomic.Int32
	err   error
}

func (c counting) Records(ctx context.Context, partition int32, from, to int64, each func(wal.Record) error) error {
	c.asked.Add(1)
	if c.err != nil {
		return c.err
	}
	return c.Site.Records(ctx, partition, from, to, each)
}

// What the log tells of drills is read once, and new ones when they come; that it cannot be read is no reason to stay awake.
func TestGatherDrills(t *testing.T) {
	t.Parallel()
	w := twosites.New(2)
	activate := func(minor uint32, site, reason string) {
		t.Helper()
		for p := range int32(2) {
			a := &wal.Activate{ID: reason, Epoch: wal.Epoch{Minor: minor, Site: site}, Reason: reason}
			if _, err := w.Site(site).Append(context.Background(), []writer.Control{{Partition: p, Activate: a}}); err != nil {
				t.Fatal(err)
			}
		}
		w.Barriers()
	}
	activate(1, "dc", "adopted")
	activate(2, "dr", "drill X1: dc to dr")
	activate(3, "dc", "drill X1: back to dc")
	var asked atomic.Int32
	look := func(before *status.Facts, err error) (status.Facts, status.Model) {
		sites := [2]status.Source{source("dc", counting{w.Site("dc"), &asked, err}), source("dr", counting{w.Site("dr"), &asked, err})}
		f := status.Gather(context.Background(), time.Now(), sites, before, 10*time.Second)
		return f, status.Judge(f)
	}
	none, m := look(nil, errors.New("not authorized"))
	if m.Drills != nil || m.Exit != 0 {
		t.Errorf("got %v and exit %d where the log cannot be read\n%s", m.Drills, m.Exit, m.Text())
	}
	first, m := look(&none, nil)
	if len(m.Drills) != 1 || m.Drills[0].ID != "X1" || m.Drills[0].Back == nil {
		t.Errorf("got %+v", m.Drills)
	}
	asked.Store(0)
	second, m := look(&first, nil)
	if len(m.Drills) != 1 || asked.Load() != 0 {
		t.Errorf("what does not change was asked for %d times more: %+v", asked.Load(), m.Drills)
	}
	activate(4, "dr", "drill X2: dc to dr")
	third, _ := look(&second, nil)
	_, m = look(&third, nil)
	if len(m.Drills) != 2 || m.Drills[0].ID != "X2" || !m.Drills[0].Open || asked.Load() != 2 {
		t.Errorf("got %+v after %d questions", m.Drills, asked.Load())
	}
}
