package twosites

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// strange is a Redis that somebody else has filled, and that no applier goes on with.
type strange struct {
	keys   int64
	writes int64 // how many more there are at each look
	wrote  int64
	left   []writer.Control // what the appliers have not decided, because they are halted
	from   []wal.Origin
}

// Strange has a site's Redis hold keys that came from no log, so that its appliers are halted. Writes is how often it is written to between two looks.
func (w *World) Strange(site string, keys, writes int64) {
	w.do(func() {
		s := w.sites[site]
		s.strange = &strange{keys: keys, writes: writes}
		for p := range w.partitions {
			s.halted[p] = true
		}
	})
}

// seeded decides a seed.
func (s *Site) seeded(c writer.Control, o wal.Origin) {
	s.positions[c.Partition].Next++
	if c.Seed.ID != s.seed {
		s.halted[c.Partition] = true
	}
}

// note keeps a seed, so that it can be read.
func (s *Site) note(c writer.Control) {
	value, err := json.Marshal(c.Seed)
	if err != nil {
		panic(err)
	}
	at := s.positions[c.Partition].Next
	if slices.ContainsFunc(s.seeds, func(r wal.Record) bool { return r.Partition == c.Partition && string(r.Value) == string(value) }) {
		return // when it is decided later
	}
	s.seeds = append(s.seeds, wal.Record{Partition: c.Partition, Offset: at, Value: value, Headers: []wal.Header{{Key: wal.HeaderControl, Value: []byte(wal.TypeSeed)}}})
}

// Adoptable implements [reach.Site].
func (s *Site) Adoptable(ctx context.Context) (reach.Adoptable, error) {
	if err := s.silent(ctx); err != nil {
		return reach.Adoptable{}, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	out := reach.Adoptable{Primary: s.name + "-redis-0:6379", Keys: int64(len(s.data)), Begun: s.strange == nil, Checkpoints: make([]*wal.Checkpoint, s.w.partitions)}
	if s.strange != nil {
		out.Keys = s.strange.keys
		if s.strange.writes > 0 {
			out.Clients = []reach.Client{{Addr: "10.0.3.7:40112", Name: "orders", User: "default", Command: "set"}}
		}
		return out, nil
	}
	for p := range out.Checkpoints {
		out.Checkpoints[p] = &wal.Checkpoint{Position: s.positions[p], Seed: s.seed}
	}
	return out, nil
}

// Writes implements [reach.Site].
func (s *Site) Writes(ctx context.Context) (out reach.Writes, err error) {
	if err := s.silent(ctx); err != nil {
		return out, err
	}
	s.w.do(func() {
		out = reach.Writes{Run: s.name, Calls: map[string]int64{}}
		if s.strange != nil {
			s.strange.wrote += s.strange.writes
			out.Calls["set"] = s.strange.wrote
		}
	})
	return out, nil
}

// Adopt implements [reach.Site]. The appliers go on at once.
func (s *Site) Adopt(ctx context.Context, a reach.Adoption) (err error) {
	if err := s.silent(ctx); err != nil {
		return err
	}
	s.w.do(func() {
		if s.strange == nil {
			err = fmt.Errorf("somebody has begun to use it for this log meanwhile")
			return
		}
		left, from := s.strange.left, s.strange.from
		s.strange, s.seed, s.halted = nil, a.Seed, map[int32]bool{}
		for i, c := range slices.Clone(left) {
			s.decide(c, from[i])
		}
	})
	return err
}
