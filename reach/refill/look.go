// Package refill fills the Redis of a site from its peer's, and has its appliers go on in their own log: docs/decisions/2026-11-21-bootstrap.md. Whatever is interrupted is
// begun again from nothing by running it again: until the last step no applier joins, and that step is one transaction.
package refill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Site is what is needed of a site.
type Site interface {
	writer.Site
	Redis(ctx context.Context) (reach.Redis, error)
	Snapshot(ctx context.Context, begun func(reach.Taken), each func(snapshot.Entry) error) error
	Fill(ctx context.Context, how reach.Refill) (reach.Filling, error)
}

// State is how two sites are, of which one is to be filled from the other.
type State struct {
	Log        string `json:"log"`
	Partitions int32  `json:"partitions"`
	Target     string `json:"target"` // to be filled
	Source     string `json:"source"`
	// Held is what the target's Redis holds, Halted why its appliers do not go on with it, and Broken why they could not, as log and Redis are, whether or not one has tried.
	Held   snapshot.Held `json:"held"`
	Halted []Halt        `json:"halted"`
	Broken []Halt        `json:"broken"`
	// From is what the source's Redis holds, Primary where it is, Replicas how many of its replicas could be asked.
	From     snapshot.Held `json:"from"`
	Primary  string        `json:"primary"`
	Replicas int           `json:"replicas"`
	Bytes    int64         `json:"bytes"` // of memory that it uses
	// Unseen are records of the target's own stream that it has applied, and the source has not counted, as both Redis are now; Untold are partitions of which it cannot be told.
	Unseen uint64  `json:"unseen"`
	Untold []int32 `json:"untold"`
	// Refused says why it cannot be done, a sentence each.
	Refused []string `json:"refused"`
}

// Halt is a partition that does not go on.
type Halt struct {
	Partition int32  `json:"partition"`
	Reason    string `json:"reason"`
	Error     string `json:"error"`
	Remedy    string `json:"remedy"`
}

// Healthy reports whether the target's Redis holds data that its appliers go on with, or could. What a look at log and Redis shows, as they are now, is believed; whoever said so may have said it
// before it was mended. Other halts count if this is their remedy.
func (s *State) Healthy() bool {
	return !s.Held.Free() && len(s.Broken) == 0 && !slices.ContainsFunc(s.Halted, func(h Halt) bool { return !slices.Contains(looked, h.Reason) && strings.Contains(h.Remedy, Verb) })
}

// looked are the reasons to halt that Look finds itself.
var looked = []string{"gap", "topic-id", "beyond-end", "not-empty", "log-start", "bootstrap"}

// Verb is the command that an applier names when this package is the remedy for its halt.
const Verb = "walctl bootstrap"

// history is how far back attestations are read.
const history = 10 * time.Minute

// Look says how the sites are. Nothing is written.
func Look(ctx context.Context, target, source Site) (*State, error) {
	x, y := target.Identity(), source.Identity()
	s := &State{
		Log: x.Log, Partitions: x.Partitions, Target: x.Sites.Self, Source: x.Sites.Peer, Halted: []Halt{}, Broken: []Halt{}, Untold: []int32{}, Refused: []string{},
	}
	if y.Sites.Self != x.Sites.Peer || y.Sites.Peer != x.Sites.Self || y.Log != x.Log || y.Partitions != x.Partitions {
		s.refuse("%s (peer %s, log %s, %d partitions) and %s (peer %s, log %s, %d partitions) are not two sites of one log",
			x.Sites.Self, x.Sites.Peer, x.Log, x.Partitions, y.Sites.Self, y.Sites.Peer, y.Log, y.Partitions)
		return s, nil
	}
	ends, err := target.Ends(ctx)
	if err != nil {
		return nil, err
	}
	to, err := target.Redis(ctx)
	if err != nil {
		return nil, err
	}
	from, err := source.Redis(ctx)
	if err != nil {
		return nil, err
	}
	s.Held, s.From, s.Primary, s.Bytes = to.Held, from.Held, from.Primary, from.UsedMemory
	for _, r := range from.Replicas {
		if r.LinkUp {
			s.Replicas++
		}
	}
	if s.Halted, err = halts(ctx, target); err != nil {
		return nil, err
	}
	sick, err := halts(ctx, source)
	if err != nil {
		return nil, err
	}
	for _, h := range sick {
		s.refuse("%s is halted in partition %d (%s): it is no source before it goes on; %s", s.Source, h.Partition, h.Reason, h.Remedy)
	}
	s.Broken = append(broken(&to, &ends), unseeded(&to, &from)...)
	s.source(&from)
	if newer(from.Version, to.Version) {
		s.refuse("the Redis of %s is %s, that of %s %s: it does not know what a newer one stores; upgrade the Redis of %s first", s.Source, from.Version, s.Target, to.Version, s.Target)
	}
	for p := range s.Partitions {
		if int(p) < len(to.Checkpoints) && int(p) < len(from.Checkpoints) && to.Checkpoints[p] != nil && from.Checkpoints[p] != nil {
			n, told := unseen(to.Checkpoints[p], from.Checkpoints[p], s.Target)
			if s.Unseen += n; !told {
				s.Untold = append(s.Untold, p)
			}
		}
	}
	return s, nil
}

func (s *State) refuse(format string, args ...any) {
	s.Refused = append(s.Refused, fmt.Sprintf(format, args...))
}

// source refuses a Redis that is no source.
func (s *State) source(r *reach.Redis) {
	if r.Held.Filling != "" {
		s.refuse("the Redis of %s is being filled itself, or that was interrupted (%s): it is no source", s.Source, r.Held.Filling)
		return
	}
	for p := range s.Partitions {
		switch {
		case int(p) >= len(r.Checkpoints) || r.Checkpoints[p] == nil:
			s.refuse("the Redis of %s has no checkpoint of partition %d: it holds nothing of this log that could be gone on with", s.Source, p)
		case r.Checkpoints[p].Skip != [2]int64{}:
			s.refuse("%s was filled from elsewhere itself, and has not come to an end with it in partition %d: try again in a moment", s.Source, p)
		}
	}
	if r.Meta != nil && r.Meta.Partitions != s.Partitions {
		s.refuse("the Redis of %s was filled from %d partitions, the log has %d", s.Source, r.Meta.Partitions, s.Partitions)
	}
}

// halts are the partitions of which a site has attested last that they are halted.
func halts(ctx context.Context, site Site) ([]Halt, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	self := site.Identity().Sites.Self
	last := map[int32]*wal.AttestedHalt{}
	caught := false
	err := site.Follow(ctx, time.Now().Add(-history), func(a wal.Attestation) error {
		if a.Site == self && !caught {
			last[a.Partition] = a.Halted
		}
		return nil
	}, func() { caught = true; stop() })
	if !caught {
		return nil, errors.Join(err, ctx.Err())
	}
	out := []Halt{}
	for p := range site.Identity().Partitions {
		if h := last[p]; h != nil {
			out = append(out, Halt{p, h.Reason, h.Error, h.Remedy})
		}
	}
	return out, nil
}

// broken are the partitions whose log and Redis cannot be joined.
func broken(r *reach.Redis, ends *writer.Ends) []Halt {
	out := []Halt{}
	for p, end := range ends.End {
		add := func(format string, args ...any) {
			out = append(out, Halt{Partition: int32(p), Error: fmt.Sprintf(format, args...)})
		}
		var at *wal.Checkpoint
		if p < len(r.Checkpoints) {
			at = r.Checkpoints[p]
		}
		switch start := ends.Start[p]; {
		case r.Held.Filling != "":
			add("it is being filled, or that was interrupted: %s", r.Held.Filling)
		case at == nil && r.Held.Data > 0 && r.Meta == nil:
			add("Redis holds %d keys and no checkpoint", r.Held.Data)
		case at == nil && r.Meta != nil:
			add("its checkpoint is missing")
		case at == nil && start > 0:
			add("Redis is empty, and the log begins at %d", start)
		case at == nil:
		case at.TopicID != ends.TopicID:
			add("the log was deleted and created again")
		case at.Next < start:
			add("the next record is %d, and the log begins at %d", at.Next, start)
		case at.Next > end:
			add("the next record is %d, and the log ends at %d", at.Next, end)
		}
	}
	return out
}

// unseeded are the partitions that lack the data with which the source's log begins: they halt at the seed, if they have not met it yet.
func unseeded(to, from *reach.Redis) []Halt {
	out := []Halt{}
	for p, c := range to.Checkpoints {
		if c != nil && c.Seed == "" && p < len(from.Checkpoints) && from.Checkpoints[p] != nil && from.Checkpoints[p].Seed != "" {
			out = append(out, Halt{Partition: int32(p), Error: fmt.Sprintf("it lacks data that are in no record (seed %s)", from.Checkpoints[p].Seed)})
		}
	}
	return out
}

// newer reports whether a version of Redis is a later one than another, as far as what it stores can depend on it. A version that cannot be read is none.
func newer(a, b string) bool {
	x, ok1 := release(a)
	y, ok2 := release(b)
	return ok1 && ok2 && slices.Compare(x[:], y[:]) > 0
}

func release(version string) (out [2]int, ok bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return out, false
	}
	for i := range out {
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return out, false
		}
		out[i] = n
	}
	return out, true
}

// unseen is how many records of a site's own stream it has counted in its epochs, and the peer has not; false: it cannot be told of an epoch.
func unseen(site, peer *wal.Checkpoint, self string) (n uint64, told bool) {
	told = true
	count := func(e wal.Epoch, activate string, own uint64) {
		if own == 0 {
			return
		}
		seen, known := countedBy(peer, e, activate, self)
		told = told && known
		n += own - min(own, seen)
	}
	count(site.Epoch, site.Activate, site.Streams[wal.Local].N)
	if site.Root != peer.Root {
		for i := range site.Closings {
			c := &site.Closings[i]
			count(c.Epoch, c.Activate, c.Streams[self].N)
		}
	}
	return n, told
}

// countedBy is how many records of a stream the peer of its site has counted in an epoch.
func countedBy(peer *wal.Checkpoint, e wal.Epoch, activate, of string) (uint64, bool) {
	if peer.Epoch == e && peer.Activate == activate {
		return peer.Streams[wal.Mirrored].N, true
	}
	for i := range peer.Closings {
		if c := &peer.Closings[i]; c.Epoch == e && c.Activate == activate {
			return c.Streams[of].N, true
		}
	}
	return 0, peer.Epoch.Compare(e) < 0 || len(peer.Closings) < wal.MaxClosings // it never was in that epoch; or it may have forgotten it
}
