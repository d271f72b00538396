package pairtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// ErrDead is what a dead site answers.
var ErrDead = errors.New("no answer")

// Identity implements writer.Site.
func (s *Site) Identity() writer.Identity {
	return writer.Identity{Sites: s.ids, Log: Log, Partitions: int32(len(s.partitions))}
}

// Append implements writer.Site.
func (s *Site) Append(_ context.Context, controls []writer.Control) ([]int64, error) {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	if s.dead {
		return nil, ErrDead
	}
	var offsets []int64
	for _, c := range controls {
		producer, seq := c.Producer, c.Seq
		if producer == "" {
			s.pair.next++
			producer, seq = "walctl", int64(s.pair.next)
		}
		typ, payload, err := c.Payload()
		if err != nil {
			return nil, err
		}
		offsets = append(offsets, s.append(c.Partition, typ, payload, producer, seq))
	}
	s.pair.run()
	return offsets, nil
}

// recent is how many attestations of a partition were published since whatever time somebody asks for.
const recent = 30

// Follow implements writer.Site.
func (s *Site) Follow(ctx context.Context, _ time.Time, each func(wal.Attestation) error, caught func()) error {
	stop := context.AfterFunc(ctx, func() {
		s.pair.mu.Lock()
		defer s.pair.mu.Unlock()
		s.pair.more.Broadcast()
	})
	defer stop()
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	begin := len(s.attested)
	if begin == 0 {
		caught()
	}
	for i := max(0, begin-recent*len(s.partitions)); ; {
		for ctx.Err() == nil && !s.dead && i == len(s.attested) {
			s.pair.more.Wait()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.dead {
			return ErrDead
		}
		a := s.attested[i]
		i++
		s.pair.mu.Unlock()
		err := each(a)
		if err == nil && i == begin {
			caught()
		}
		s.pair.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// Ends implements writer.Site.
func (s *Site) Ends(context.Context) (writer.Ends, error) {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	e := writer.Ends{TopicID: id(s.ids.Self)}
	for _, p := range s.partitions {
		e.Start, e.End = append(e.Start, 0), append(e.End, int64(len(p.log)))
	}
	return e, nil
}

// Records implements writer.Site.
func (s *Site) Records(_ context.Context, q int32, from, to int64, each func(wal.Record) error) error {
	s.pair.mu.Lock()
	log := slices.Clone(s.partitions[q].log)
	s.pair.mu.Unlock()
	for _, r := range log[min(from, int64(len(log))):min(to, int64(len(log)))] {
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

// Copies implements writer.Site.
func (s *Site) Copies(_ context.Context, list writer.List, each func(writer.Copy) error) error {
	s.pair.mu.Lock()
	all := slices.Clone(s.lists[list])
	for i := range all {
		all[i].Done = s.marks[all[i].ID()]
	}
	s.pair.mu.Unlock()
	slices.SortStableFunc(all, func(a, b writer.Copy) int { return int(a.Partition) - int(b.Partition) })
	for _, c := range all {
		if err := each(c); err != nil {
			return err
		}
	}
	return nil
}

// Mark implements writer.Site.
func (s *Site) Mark(_ context.Context, _ writer.List, marks []writer.Mark) error {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	if s.dead {
		return ErrDead
	}
	for _, m := range marks {
		if s.marks[m.CopyID] != wal.ClassReplayed {
			s.marks[m.CopyID] = m.As
		}
	}
	return nil
}

// Witness implements ifdown.Site.
func (s *Site) Witness(_ context.Context, o wal.Observation) error {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	if s.dead {
		return ErrDead
	}
	s.seen = append(s.seen, o)
	return nil
}

// Witnessed implements ifdown.Site.
func (s *Site) Witnessed(_ context.Context, since time.Time) (out []wal.Observation, err error) {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	if s.dead {
		return nil, ErrDead
	}
	for _, o := range s.seen {
		if o.Until >= since.UnixMilli() {
			out = append(out, o)
		}
	}
	return out, nil
}

// Dead reports whether nobody answers.
func (s *Site) Dead() bool {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	return s.dead
}

// Keep puts a copy into a list, as an applier does after Redis has refused a command.
func (s *Site) Keep(list writer.List, c writer.Copy) {
	s.set(func() {
		c.TopicID, c.Site = id(s.ids.Self), s.ids.Self
		s.lists[list] = append(s.lists[list], c)
	})
}

// Checkpoints implements writer.Site.
func (s *Site) Checkpoints(context.Context) ([]wal.Checkpoint, error) {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	if s.dead {
		return nil, ErrDead
	}
	var out []wal.Checkpoint
	for _, p := range s.partitions {
		out = append(out, p.at)
	}
	return out, nil
}

// Tail implements writer.Site.
func (s *Site) Tail(ctx context.Context, q writer.TailQuery) ([]writer.TailRecord, error) {
	l := writer.Log{Identity: s.Identity(), TopicID: id(s.ids.Self), Signer: signer()}
	l.Read = func(ctx context.Context, from, to int64, each func(wal.Record) error) error {
		return s.Records(ctx, q.Partition, from, to, each)
	}
	return writer.ReadTail(ctx, l, q)
}

// Repair implements writer.Site. Between the reading of a value and its appending OnRepair is called, once.
func (s *Site) Repair(_ context.Context, keys [][]byte, under map[int32]string, _ time.Duration) (converge.RepairReport, error) {
	out := converge.RepairReport{From: s.ids.Self, To: s.ids.Peer, Written: true, Keys: len(keys)}
	for _, key := range keys {
		q := wal.Partition(wal.RoutingKey(key), int32(len(s.partitions)))
		for range 20 {
			s.pair.mu.Lock()
			part := s.partitions[q]
			if part.at.Activate != under[q] {
				s.pair.mu.Unlock()
				return out, fmt.Errorf("partition %d is under %q, the repair is for %q", q, part.at.Activate, under[q])
			}
			r := wal.Repair{ID: "r", Activate: part.at.Activate, Key: key, Next: part.at.Next}
			if list, ok := part.data[string(key)]; ok {
				r.Dump, _ = json.Marshal(list)
			}
			hook := s.OnRepair
			s.OnRepair = nil
			s.pair.mu.Unlock()
			if hook != nil {
				hook()
			}
			s.pair.mu.Lock()
			s.pair.next++
			s.append(q, wal.TypeRepair, r, "applier", int64(s.pair.next))
			s.pair.run()
			out.Records++
			peer := s.pair.sites[s.ids.Peer].partitions[q]
			same := slices.Equal(part.data[string(key)], peer.data[string(key)])
			s.pair.mu.Unlock()
			if same {
				break
			}
		}
	}
	return out, nil
}

// Check implements writer.Site: both sites append a barrier, and what they attest is compared as the convergence check does.
func (s *Site) Check(context.Context, time.Duration) (converge.Report, error) {
	s.pair.mu.Lock()
	young := map[string][]uint64{}
	for name, x := range s.pair.sites {
		for _, part := range x.partitions {
			young[name] = append(young[name], part.barrier)
		}
	}
	s.pair.mu.Unlock()
	s.pair.Barriers()
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	tracker := converge.NewTracker(s.ids)
	for _, a := range s.attested {
		if a.Fence == nil {
			tracker.Add(a)
		}
	}
	report := converge.Report{Site: s.ids.Self, Peer: s.ids.Peer, Verdict: converge.Converged, Sentence: "converged"}
	for q := range s.partitions {
		origins := []string{s.ids.Self, s.ids.Peer}
		if e := s.partitions[q].at.Epoch; !e.IsNone() {
			origins = []string{e.Site}
		}
		for _, o := range origins {
			v := tracker.Verdict(int32(q), o)
			if v.State == converge.Converged && v.Barrier.Number <= young[o][q] {
				v.State, v.Why = converge.Unknown, "no attestation since the check began"
			}
			report.Streams = append(report.Streams, converge.Row{Partition: int32(q), Origin: o, State: v.State, Why: v.Why, Sites: map[string]converge.Place{}})
			switch {
			case v.State == converge.Diverged:
				report.Verdict, report.Exit, report.Sentence = v.State, 1, v.Why
			case v.State == converge.Unknown && report.Exit == 0:
				report.Verdict, report.Exit, report.Sentence = v.State, 2, v.Why
			}
		}
	}
	return report, nil
}
