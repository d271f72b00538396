package pairtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/applier/internal/pairtest"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// listed are the copies in a list of a site, as offset:done.
func listed(t *testing.T, s writer.Site, list writer.List) (all []writer.Copy, text string) {
	t.Helper()
	var out []string
	if err := s.Copies(t.Context(), list, func(c writer.Copy) error {
		all = append(all, c)
		out = append(out, fmt.Sprintf("%s:%s", c.Class, c.Done))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all, strings.Join(out, " ")
}

// What a takeover has replayed is not shown again, neither there nor at the other site when it is back.
func TestWhatWasReplayedIsNotShownAgain(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	p.At("dc").Write(0, "a", 1)
	p.At("dc").Die()
	p.At("dr").Write(0, "a", 2) // its client has moved by itself
	m, err := takeover(t, p.At("dr"))
	if err != nil || len(m.Fenced) != 1 || !m.Replayed {
		t.Fatalf("got %+v, %v", m, err)
	}
	if m, err := takeover(t, p.At("dr")); err != nil || len(m.Fenced) != 0 {
		t.Errorf("again: got %d fenced, %v; want none", len(m.Fenced), err)
	}
	p.At("dc").Return()
	p.Barriers()
	p.At("dc").Write(0, "b", 1) // a stale client
	if _, got := listed(t, p.At("dc"), writer.Fenced); got != "fenced: fenced:" {
		t.Errorf("dc: got %s", got)
	}
	all, got := listed(t, p.At("dr"), writer.Fenced)
	if got != "fenced:replayed fenced:" {
		t.Fatalf("dr: got %s", got)
	}
	how := writer.Replaying{List: writer.Fenced, By: "test"}
	if done, err := how.Run(t.Context(), p.At("dr"), all); err != nil || done.Records != 1 || done.Before != 1 {
		t.Errorf("got %+v, %v", done, err)
	}
	if n, err := writer.MarkTwins(t.Context(), p.At("dr"), p.At("dc"), writer.Fenced); err != nil || n != 2 {
		t.Errorf("marked %d at dc, %v; want both", n, err)
	}
	if _, got := listed(t, p.At("dc"), writer.Fenced); got != "fenced:replayed fenced:replayed" {
		t.Errorf("dc: got %s", got)
	}
	if n, err := writer.MarkTwins(t.Context(), p.At("dr"), p.At("dc"), writer.Fenced); err != nil || n != 0 {
		t.Errorf("again: marked %d at dc, %v", n, err)
	}
	want := []string{"a/1", "a/2", "b/1"}
	for _, site := range []string{"dc", "dr"} {
		if got := p.At(site).Executed(0); !slices.Equal(got, want) {
			t.Errorf("%s was given %v, want %v", site, got, want)
		}
	}
}

// Whose marks are lost replays again, and nothing is executed twice: neither what was fenced, nor what Redis had refused, nor what has no producer.
func TestReplayTwice(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	p.At("dr").Write(0, "a", 1) // fenced
	fenced, _ := listed(t, p.At("dc"), writer.Fenced)
	anonymous := fenced[0]
	anonymous.Offset, anonymous.Class = 700, wal.ClassRefused
	anonymous.Headers = slices.DeleteFunc(slices.Clone(anonymous.Headers), func(h wal.Header) bool { return h.Key == wal.HeaderProducer || h.Key == wal.HeaderSeq })
	refused := fenced[0]
	refused.Offset, refused.Class = 701, wal.ClassRefused
	for _, c := range []writer.Copy{anonymous, refused} {
		p.At("dc").Keep(writer.DLQ, c)
	}
	dlq, _ := listed(t, p.At("dc"), writer.DLQ)
	for range 2 { // the copies were read before they were marked
		for list, copies := range map[writer.List][]writer.Copy{writer.Fenced: fenced, writer.DLQ: dlq} {
			if done, err := (writer.Replaying{List: list, By: "test"}).Run(t.Context(), p.At("dc"), copies); err != nil || done.Records != len(copies) {
				t.Fatalf("%s: got %+v, %v", list, done, err)
			}
		}
	}
	for _, site := range []string{"dc", "dr"} {
		if got, want := p.At(site).Executed(0), []string{"a/1", "a/1", "a/1"}; !slices.Equal(got, want) { // fenced; and twice refused, of which nothing was executed here
			t.Errorf("%s was given %v, want %v", site, got, want)
		}
	}
	if _, got := listed(t, p.At("dc"), writer.DLQ); got != "refused:replayed refused:replayed" {
		t.Errorf("got %s", got)
	}
}

// Of a record that came too late nobody knows whether it was executed. It is not executed unless somebody insists, and is listed once.
func TestReplayLate(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	p.At("dc").Write(0, "a", 5000)
	p.At("dc").Write(0, "a", 1)
	all, got := listed(t, p.At("dc"), writer.DLQ)
	if got != "late:" {
		t.Fatalf("got %s", got)
	}
	how := writer.Replaying{List: writer.DLQ, By: "test"}
	for range 2 {
		done, err := how.Run(t.Context(), p.At("dc"), all)
		if err != nil || done.Records != 0 || len(done.Unknown) != 1 || done.Unknown[0].ID() != all[0].ID() {
			t.Errorf("got %+v, %v", done, err)
		}
		if _, got := listed(t, p.At("dc"), writer.DLQ); got != "late: late:dropped" {
			t.Errorf("got %s", got)
		}
	}
	how.Force = true
	for range 2 {
		if done, err := how.Run(t.Context(), p.At("dc"), all); err != nil || done.Records != 1 {
			t.Errorf("by force: got %+v, %v", done, err)
		}
	}
	if got, want := p.At("dr").Executed(0), []string{"a/5000", "a/1"}; !slices.Equal(got, want) {
		t.Errorf("dr was given %v, want %v", got, want)
	}
	if _, got := listed(t, p.At("dc"), writer.DLQ); got != "late:replayed late:dropped" {
		t.Errorf("got %s", got)
	}
}

// What cannot be replayed is said before anything is appended.
func TestWhatCannotBeReplayed(t *testing.T) {
	t.Parallel()
	p := pairtest.New(partitions)
	mustCutover(t, p.At("dr"), p.At("dc"))
	p.At("dr").Write(0, "a", 1)
	fenced, _ := listed(t, p.At("dc"), writer.Fenced)
	for want, change := range map[string]func(c *writer.Copy){
		"no applier can ever apply it": func(c *writer.Copy) { c.Class = wal.ClassPoison },
		"names a range":                func(c *writer.Copy) { c.Class = wal.ClassUnconfirmed },
		"value was too large":          func(c *writer.Copy) { c.Without = "value" },
		"belongs into partition":       func(c *writer.Copy) { c.Partition = 1 },
		"partitions":                   func(c *writer.Copy) { c.Partition = 99 },
	} {
		bad := fenced[0]
		bad.Offset = 900
		change(&bad)
		_, err := writer.Replaying{List: writer.DLQ}.Run(t.Context(), p.At("dc"), []writer.Copy{fenced[0], bad})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if err := writer.CanReplay(writer.DLQ, &bad, partitions); err == nil {
			t.Errorf("%s: it can", want)
		}
	}
	if err := writer.Replay(t.Context(), p.At("dr"), fenced); err == nil || !strings.Contains(err.Error(), "is not open at dr") {
		t.Errorf("at the passive site: got %v", err)
	}
	if got := p.At("dc").Executed(0); len(got) != 0 {
		t.Errorf("dc was given %v", got)
	}
}

// A tail is fenced where it arrives late. After the failback it must not be replayed from there.
func TestFailbackMarksItsTail(t *testing.T) {
	t.Parallel()
	for _, ending := range []writer.Ending{writer.ReplayTail, writer.DropTail} {
		p := pairtest.New(partitions)
		mustCutover(t, p.At("dr"), p.At("dc"))
		p.At("dr").Cut(true)
		p.At("dc").Write(0, "a", 1)
		p.At("dc").Cut(true)
		if _, err := takeover(t, p.At("dr")); err != nil {
			t.Fatal(err)
		}
		p.At("dr").Cut(false)
		p.At("dc").Cut(false)
		p.At("dc").Write(0, "b", 1)
		if _, got := listed(t, p.At("dr"), writer.Fenced); got != "fenced: fenced:" {
			t.Fatalf("got %s", got)
		}
		if _, err := writer.Failback(t.Context(), p.At("dc"), p.At("dr"), ending, nil, writer.Plan{}); err != nil {
			t.Fatal(err)
		}
		want := map[writer.Ending]string{writer.ReplayTail: "fenced:replayed fenced:", writer.DropTail: "fenced:dropped fenced:"}[ending]
		if _, got := listed(t, p.At("dr"), writer.Fenced); got != want {
			t.Errorf("%s: got %s, want %s", ending, got, want)
		}
	}
}
