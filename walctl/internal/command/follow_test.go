package command_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/command"
	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
	"github.com/comptech-lab/redis-wal/walctl/internal/twosites"
	"github.com/comptech-lab/redis-wal/writer"
)

// meddled is a site to which something happens when it is asked.
type meddled struct {
	*twosites.Site
	ends    func() error
	topic   wal.TopicID // in place of its own; zero: its own
	produce func()
}

func (m *meddled) Ends(ctx context.Context) (writer.Ends, error) {
	if m.ends != nil {
		if err := m.ends(); err != nil {
			return writer.Ends{}, err
		}
	}
	e, err := m.Site.Ends(ctx)
	if m.topic != (wal.TopicID{}) {
		e.TopicID = m.topic
	}
	return e, err
}

func (m *meddled) Produce(ctx context.Context, d reach.Data) (reach.Appended, error) {
	m.produce()
	return m.Site.Produce(ctx, d)
}

// Those that come are shown as they come; a site that is silent is asked again; what retention deleted meanwhile is said; Ctrl-C is 0.
func TestFollow(t *testing.T) {
	t.Parallel()
	for _, asJSON := range []bool{false, true} {
		var out, errs safe
		w := twosites.New(2)
		w.Readable()
		w.Write("dc", 0, 1)
		args := []string{"tail", "-f", "--site", "dc", "-n", "1"}
		if asJSON {
			args = append(args, "--json")
		}
		e := env(w, write(t), &out, &errs, args...)
		var asked atomic.Int32
		e.Open = func(_ context.Context, s contexts.Site) (command.Site, error) {
			return &meddled{Site: w.Site(s.Exec[0]), ends: func() error {
				switch asked.Add(1) {
				case 1:
					return nil
				case 2:
					w.Write("dc", 1, 3) // of which retention deletes two before they are read
					w.Retain("dc", 1, 4)
				case 3, 4, 5:
					return errors.New("the broker is gone")
				case 7:
					w.Write("dr", 0, 2)
				}
				return nil
			}}, nil
		}
		lines := func(s string) int { return strings.Count(s, "SET key-") }
		if code := until(t, e, &out, func(s string) bool { return lines(s) == 1+1+2 }); code != 0 {
			t.Errorf("got %d\n%s", code, errs.String())
		}
		for _, want := range []string{"partition 1: 2 to 3 were deleted by retention before they were read", "the broker is gone: asking again", "it answers again"} {
			if strings.Count(errs.String(), want) != 1 {
				t.Errorf("want once %q in\n%s", want, errs.String())
			}
		}
		if asJSON && strings.Count(out.String(), "\n") != 4 {
			t.Errorf("got more than the records:\n%s", out.String())
		}
	}
}

// A log that was made anew is not read on as if it were the old one.
func TestFollowOfALogMadeAnew(t *testing.T) {
	t.Parallel()
	var out, errs safe
	w := twosites.New(1)
	w.Readable()
	e := env(w, write(t), &out, &errs, "tail", "--follow", "--site", "dc")
	var asked atomic.Int32
	e.Open = func(_ context.Context, s contexts.Site) (command.Site, error) {
		m := &meddled{Site: w.Site(s.Exec[0])}
		m.ends = func() error {
			if asked.Add(1) > 1 {
				m.topic = wal.TopicID{99}
			}
			return nil
		}
		return m, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if code := command.Run(ctx, e); code != 1 || !strings.Contains(errs.String(), "was made anew") {
		t.Errorf("got %d\n%s", code, errs.String())
	}
}

// The writer moves between the question and the record: it is fenced, which is said, and is not called done.
func TestProduceWhileTheWriterMoves(t *testing.T) {
	t.Parallel()
	var out, errs safe
	w := twosites.New(1)
	w.Readable()
	move := func(epoch wal.Epoch) {
		if _, err := w.Site(epoch.Site).Append(context.Background(), []writer.Control{{Activate: &wal.Activate{ID: epoch.String(), Epoch: epoch}}}); err != nil {
			t.Error(err)
		}
	}
	move(wal.Epoch{Minor: 1, Site: "dc"})
	e := env(w, write(t), &out, &errs, "produce", "--yes", "SET", "k", "v")
	e.Open = func(_ context.Context, s contexts.Site) (command.Site, error) {
		return &meddled{Site: w.Site(s.Exec[0]), produce: func() { move(wal.Epoch{Minor: 2, Site: "dr"}) }}, nil
	}
	if code := command.Run(t.Context(), e); code != 1 || !strings.Contains(out.String(), "at dc: fenced: ") || !strings.Contains(errs.String(), "the writer was moved meanwhile") {
		t.Errorf("got %d\n%s%s", code, out.String(), errs.String())
	}
	if slices.Contains(strings.Fields(out.String()), "decided") {
		t.Errorf("a fenced record is called decided:\n%s", out.String())
	}
}
