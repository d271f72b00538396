package refill

import (
	"fmt"
	"testing"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

func TestUnseen(t *testing.T) {
	t.Parallel()
	epoch := func(n uint32) wal.Epoch { return wal.Epoch{Minor: n, Site: "dr"} }
	at := func(e wal.Epoch, id string, local, mirrored uint64, root byte, closings ...wal.Closing) *wal.Checkpoint {
		c := &wal.Checkpoint{Position: wal.Position{Epoch: e, Activate: id, Root: wal.Hash{root}}, Closings: closings}
		c.Streams[wal.Local].N, c.Streams[wal.Mirrored].N = local, mirrored
		return c
	}
	closing := func(e wal.Epoch, id string, n uint64) wal.Closing {
		return wal.Closing{Epoch: e, Activate: id, Streams: map[string]wal.Counted{"dr": {N: n}, "dc": {N: 99}}}
	}
	var many []wal.Closing
	for i := range wal.MaxClosings {
		many = append(many, closing(epoch(uint32(100+i)), fmt.Sprint(i), 1))
	}
	for name, tt := range map[string]struct {
		site, peer *wal.Checkpoint
		n          uint64
		untold     bool
	}{
		"the peer has all":                  {site: at(epoch(1), "a", 5, 7, 1), peer: at(epoch(1), "a", 7, 5, 1)},
		"the peer has more":                 {site: at(epoch(1), "a", 5, 7, 1), peer: at(epoch(1), "a", 7, 9, 1)},
		"the mirror is late":                {site: at(epoch(1), "a", 5, 7, 1), peer: at(epoch(1), "a", 7, 3, 1), n: 2},
		"the peer has closed the epoch":     {site: at(epoch(1), "a", 5, 7, 1), peer: at(epoch(2), "b", 7, 0, 2, closing(epoch(1), "a", 4)), n: 1},
		"the peer has never been there":     {site: at(epoch(3), "c", 5, 7, 1), peer: at(epoch(2), "b", 7, 0, 1), n: 5},
		"another one of the same epoch":     {site: at(epoch(1), "a", 5, 7, 1), peer: at(epoch(1), "other", 7, 5, 2), n: 5},
		"an older tail, not settled":        {site: at(epoch(2), "b", 1, 0, 1, closing(epoch(1), "a", 9)), peer: at(epoch(2), "b", 0, 1, 2, closing(epoch(1), "a", 6)), n: 3},
		"an older tail that was settled":    {site: at(epoch(2), "b", 1, 0, 1, closing(epoch(1), "a", 9)), peer: at(epoch(2), "b", 0, 1, 1, closing(epoch(1), "a", 6))},
		"nothing was written":               {site: at(epoch(9), "x", 0, 7, 1), peer: at(epoch(2), "b", 7, 5, 1)},
		"the peer has forgotten that epoch": {site: at(epoch(1), "a", 5, 7, 1), peer: at(epoch(300), "z", 7, 0, 2, many...), n: 5, untold: true},
	} {
		if n, told := unseen(tt.site, tt.peer, "dr"); n != tt.n || told == tt.untold {
			t.Errorf("%s: got %d, told %t", name, n, told)
		}
	}
}

func TestNewer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"7.2.4", "7.0.15", true},
		{"8.0.0", "7.4.1", true},
		{"7.0.15", "7.0.2", false},
		{"7.0.15", "7.2.0", false},
		{"10.0", "9.9", true},
		{"unstable", "7.0.0", false},
		{"7.0.0", "", false},
	} {
		if got := newer(tt.a, tt.b); got != tt.want {
			t.Errorf("%s and %s: got %t", tt.a, tt.b, got)
		}
	}
}

// What an applier would halt for is found without one.
func TestBroken(t *testing.T) {
	t.Parallel()
	id := wal.TopicID{1}
	ends := &writer.Ends{TopicID: id, Start: []int64{5}, End: []int64{9}}
	at := func(next int64, id wal.TopicID) []*wal.Checkpoint {
		return []*wal.Checkpoint{{Position: wal.Position{Next: next, TopicID: id}}}
	}
	meta := &wal.Meta{TopicID: id, Partitions: 1}
	for name, tt := range map[string]struct {
		r              reach.Redis
		broken, health bool
	}{
		"in step":                {r: reach.Redis{Meta: meta, Held: snapshot.Held{Keys: 3, Data: 1}, Checkpoints: at(7, id)}, health: true},
		"at the end":             {r: reach.Redis{Meta: meta, Held: snapshot.Held{Keys: 3, Data: 1}, Checkpoints: at(9, id)}, health: true},
		"a gap":                  {r: reach.Redis{Meta: meta, Held: snapshot.Held{Keys: 3, Data: 1}, Checkpoints: at(4, id)}, broken: true},
		"beyond the end":         {r: reach.Redis{Meta: meta, Held: snapshot.Held{Keys: 3, Data: 1}, Checkpoints: at(10, id)}, broken: true},
		"another topic":          {r: reach.Redis{Meta: meta, Held: snapshot.Held{Keys: 3, Data: 1}, Checkpoints: at(7, wal.TopicID{2})}, broken: true},
		"data and no checkpoint": {r: reach.Redis{Held: snapshot.Held{Keys: 3, Data: 3}, Checkpoints: make([]*wal.Checkpoint, 1)}, broken: true},
		"a checkpoint is gone":   {r: reach.Redis{Meta: meta, Held: snapshot.Held{Keys: 3, Data: 2}, Checkpoints: make([]*wal.Checkpoint, 1)}, broken: true},
		"empty":                  {r: reach.Redis{Checkpoints: make([]*wal.Checkpoint, 1)}, broken: true},
		"half-way":               {r: reach.Redis{Held: snapshot.Held{Keys: 3, Data: 2, Filling: "x"}, Checkpoints: make([]*wal.Checkpoint, 1)}, broken: true},
	} {
		s := State{Held: tt.r.Held, Broken: broken(&tt.r, ends)}
		if len(s.Broken) > 0 != tt.broken || s.Healthy() != tt.health {
			t.Errorf("%s: got %+v, healthy: %t", name, s.Broken, s.Healthy())
		}
	}
}

// A halt counts if the applier names this remedy; but not what log and Redis show, and do not any more.
func TestHealthy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		h    Halt
		want bool
	}{
		{Halt{Reason: "seed", Remedy: "run `walctl bootstrap`"}, false},
		{Halt{Reason: "bootstrap", Remedy: "run `walctl bootstrap` again"}, true},
		{Halt{Reason: "log-start", Remedy: "run `walctl bootstrap`"}, true},
		{Halt{Reason: "poison", Remedy: "set APPLIER_POISON=skip"}, true},
	} {
		s := State{Held: snapshot.Held{Keys: 9, Data: 5}, Halted: []Halt{tt.h}}
		if s.Healthy() != tt.want {
			t.Errorf("%s: got %t", tt.h.Reason, s.Healthy())
		}
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	good := func() *reach.Redis {
		return &reach.Redis{Meta: &wal.Meta{Partitions: 1}, Held: snapshot.Held{Keys: 3, Data: 1}, Checkpoints: []*wal.Checkpoint{{}}}
	}
	for name, change := range map[string]func(*reach.Redis){
		"":                  func(*reach.Redis) {},
		"being filled":      func(r *reach.Redis) { r.Held.Filling = "x" },
		"no checkpoint":     func(r *reach.Redis) { r.Checkpoints[0] = nil },
		"come to an end":    func(r *reach.Redis) { r.Checkpoints[0].Skip[1] = 5 },
		"from 2 partitions": func(r *reach.Redis) { r.Meta.Partitions = 2 },
	} {
		r := good()
		change(r)
		s := State{Source: "dc", Partitions: 1}
		s.source(r)
		if (len(s.Refused) == 0) != (name == "") {
			t.Errorf("%q: got %q", name, s.Refused)
		}
	}
}
