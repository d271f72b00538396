package status

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Site is what is asked of a site.
type Site interface {
	writer.Site
	Redis(ctx context.Context) (reach.Redis, error)
}

// Source is a site that may not be reached.
type Source struct {
	Name string
	Open func(ctx context.Context) (Site, error)
}

// Patience is how long a site is waited for.
const Patience = 5 * time.Second

// question is one thing that is asked: what it is called for people, and who asks it. Ask returns what takes note of the answer.
type question struct {
	name string
	ask  func(ctx context.Context, s Site) (func(*Answers), error)
	// spare: without an answer nothing is missed that anything is judged by.
	spare bool
}

// Gather asks both sites all questions at once, and returns after a time at the latest, with the answers that have come. Before is what was gathered last, or nil: what
// it holds of the attestations is not asked for again.
func Gather(ctx context.Context, now time.Time, sites [2]Source, before *Facts, patience time.Duration) Facts {
	f := Facts{Now: now}
	var group sync.WaitGroup
	for i, s := range sites {
		group.Go(func() {
			var known []wal.Attestation
			since := now.Add(-history)
			var last *Answers
			if before != nil {
				last = &before.Sites[i]
			}
			if before != nil && before.Sites[i].Heard != nil {
				known = slices.DeleteFunc(slices.Clone(before.Sites[i].Heard), func(a wal.Attestation) bool { return a.Time < since.UnixMilli() })
				since = before.Now.Add(-overlap)
			}
			f.Sites[i] = ask(ctx, s, questions(since, known, last), patience)
		})
	}
	group.Wait()
	return f
}

// overlap covers what the clocks of walctl and of a Kafka may differ by.
const overlap = time.Minute

// ask does not wait for a site that hangs, whatever it hangs in.
func ask(ctx context.Context, source Source, questions []question, patience time.Duration) Answers {
	out := Answers{Name: source.Name}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %s", patience))
	defer cancel()
	type answer struct {
		question int
		note     func(*Answers)
		err      error
	}
	answers := make(chan answer, len(questions)) // nobody who comes too late is stuck
	opened := make(chan error, 1)
	go func() {
		s, err := source.Open(ctx)
		if err != nil {
			opened <- err
			return
		}
		id := s.Identity()
		answers <- answer{question: -1, note: func(a *Answers) { a.Identity = &id }}
		for i, q := range questions {
			go func() {
				note, err := q.ask(ctx, s)
				answers <- answer{i, note, err}
			}()
		}
	}()
	left := map[int]bool{-1: true}
	for i := range questions {
		left[i] = true
	}
	silent := make([]string, len(questions))
	for len(left) > 0 {
		select {
		case err := <-opened:
			out.Silent = []string{fmt.Sprintf("%s is not reached: %v", source.Name, err)}
			return out
		case a := <-answers:
			delete(left, a.question)
			if a.err != nil {
				silent[a.question] = fmt.Sprintf("%s: %s: %v", source.Name, questions[a.question].name, a.err)
			} else {
				a.note(&out)
			}
		case <-ctx.Done():
			if left[-1] {
				out.Silent = []string{fmt.Sprintf("%s is not reached: %v", source.Name, context.Cause(ctx))}
				return out
			}
			for i := range left {
				if questions[i].spare {
					continue
				}
				silent[i] = fmt.Sprintf("%s: %s: %v", source.Name, questions[i].name, context.Cause(ctx))
			}
			left = nil
		}
	}
	out.Silent = slices.DeleteFunc(silent, func(s string) bool { return s == "" })
	return out
}

func questions(since time.Time, known []wal.Attestation, last *Answers) []question {
	return []question{
		{name: "attestations", ask: func(ctx context.Context, s Site) (func(*Answers), error) {
			heard, err := attestations(ctx, s, since)
			return func(a *Answers) { a.Heard = append(append([]wal.Attestation{}, known...), heard...) }, err
		}},
		{name: "ends of the log", ask: func(ctx context.Context, s Site) (func(*Answers), error) {
			ends, err := s.Ends(ctx)
			if err != nil {
				return nil, err
			}
			first := oldest(ctx, s, ends)
			return func(a *Answers) { a.Ends, a.Oldest = &ends, first }, nil
		}},
		{name: "Redis", ask: func(ctx context.Context, s Site) (func(*Answers), error) {
			r, err := s.Redis(ctx)
			return func(a *Answers) { a.Redis = &r }, err
		}},
		{name: "fenced records", ask: count(writer.Fenced, func(a *Answers, c *Count) { a.Fenced = c })},
		{name: "DLQ", ask: count(writer.DLQ, func(a *Answers, c *Count) { a.DLQ = c })},
		{name: "drills", spare: true, ask: func(ctx context.Context, s Site) (func(*Answers), error) {
			read := activates(ctx, s, last)
			return func(a *Answers) { a.Activates = read }, nil
		}},
	}
}

// attestations are those on the site's topic since a time.
func attestations(ctx context.Context, s Site, since time.Time) ([]wal.Attestation, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var heard []wal.Attestation
	caught := false
	err := s.Follow(ctx, since, func(a wal.Attestation) error {
		if !caught { // what comes after that is for the next time
			heard = append(heard, a)
		}
		return nil
	}, func() { caught = true; stop() })
	if caught {
		return heard, nil
	}
	if err == nil {
		err = errors.New("they ended")
	}
	return nil, err
}

// oldest are the timestamps of the first records that are left in partitions where retention has deleted some. What cannot be read is unknown: they are for people.
func oldest(ctx context.Context, s Site, ends writer.Ends) []int64 {
	out := make([]int64, len(ends.Start))
	var group sync.WaitGroup
	for p, from := range ends.Start {
		if from == 0 || from >= ends.End[p] {
			continue
		}
		group.Go(func() {
			_ = s.Records(ctx, int32(p), from, min(from+someRecords, ends.End[p]), func(r wal.Record) error {
				out[p] = r.Timestamp
				return errEnough
			})
		})
	}
	group.Wait()
	return out
}

// someRecords is how many offsets are looked through for a record that is no transaction marker.
const someRecords = 10

var errEnough = errors.New("enough")

// count counts copies for at most half the patience, so that its answer is in time.
func count(list writer.List, note func(*Answers, *Count)) func(context.Context, Site) (func(*Answers), error) {
	return func(ctx context.Context, s Site) (func(*Answers), error) {
		if d, ok := ctx.Deadline(); ok {
			var cancel context.CancelFunc
			half := time.Until(d) / 2
			ctx, cancel = context.WithTimeoutCause(ctx, half, fmt.Errorf("no answer within %s", half.Round(time.Millisecond)))
			defer cancel()
		}
		var c Count
		some := false
		err := s.Copies(ctx, list, func(copied writer.Copy) error {
			if some = true; copied.Done == "" {
				c.N++
			}
			return nil
		})
		if err != nil && some {
			c.More, err = true, nil // at least so many
		}
		return func(a *Answers) { note(a, &c) }, err
	}
}
