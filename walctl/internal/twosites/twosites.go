// Package twosites is two sites in memory, for tests: their appliers decide control records by the rules of the log (docs/wal-format.md), a mirror carries what
// is appended, and each thing that a site may do wrong can be asked for. Nothing in it waits.
package twosites

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// World is two sites.
type World struct {
	mu         sync.Mutex
	partitions int32
	sites      map[string]*Site
	cut        bool   // the mirrors
	ignored    string // a command
	readable   bool   // the logs are handed on as they are
	changed    chan struct{}
	ids        int
}

// Site is one of them. It is a [reach.Site].
type Site struct {
	w          *World
	name, peer string
	topic      wal.TopicID
	positions  []wal.Position
	attested   []wal.Attestation // what stands on its topic
	outbox     []func()          // what the mirror has not carried
	lists      map[writer.List][]writer.Copy
	marks      map[wal.CopyID]wal.Class
	closings   [][]wal.Closing // by partition
	counted    []counted
	data       map[string]string // by key
	executed   map[string]bool   // by producer and sequence
	down       bool
	refuses    int // how many appends are taken until all are refused; -1 = all are taken
	halted     map[int32]bool
	seen       []wal.Observation
	controls   map[int32][]wal.Record // activates of a partition, as they stand in the log
	ago        time.Duration          // how long ago activates are said to have been appended
	stuck      bool                   // its appliers do not go on
	deaf       bool                   // nothing arrives from its peer
	wiped      bool                   // its Redis is empty, and its log no longer begins at its beginning
	filling    string                 // the note of a bootstrap
	begun      int                    // how many
	unjoined   int                    // snapshots that cannot be joined
	barriers   []wal.Record
	strange    *strange // what its Redis held before anybody adopted it; nil: it was built from the log
	seed       string   // it began with
	seeds      []wal.Record
	passwords  *passwords   // nil: nobody asks for them
	log        []wal.Record // all of it, as it is to be read once the world is readable
	starts     map[int32]int64
}

var _ reach.Site = (*Site)(nil)

// New returns two sites, dc and dr, without an epoch, whose appliers have attested a barrier of each.
func New(partitions int32) *World {
	w := &World{partitions: partitions, sites: map[string]*Site{}, changed: make(chan struct{})}
	for i, name := range []string{"dc", "dr"} {
		w.sites[name] = &Site{
			w: w, name: name, peer: []string{"dr", "dc"}[i], topic: wal.TopicID{byte(i + 1)}, positions: make([]wal.Position, partitions), refuses: -1, halted: map[int32]bool{},
			lists: map[writer.List][]writer.Copy{}, marks: map[wal.CopyID]wal.Class{}, closings: make([][]wal.Closing, partitions), data: map[string]string{}, executed: map[string]bool{},
			controls: map[int32][]wal.Record{}, starts: map[int32]int64{},
		}
	}
	for _, s := range w.sites {
		for p := range s.positions {
			s.positions[p].TopicID = s.topic
		}
	}
	w.Barriers()
	return w
}

// Site returns one by its name; nil if there is none.
func (w *World) Site(name string) *Site { return w.sites[name] }

// Barriers has both appliers append a barrier to each partition, as they do every ten seconds.
func (w *World) Barriers() {
	w.do(func() {
		for _, s := range w.sites {
			for p := range w.partitions {
				w.ids++
				s.append(writer.Control{Partition: p, Barrier: &wal.Barrier{ID: fmt.Sprint("b", w.ids), Number: uint64(w.ids), Partitions: w.partitions, Time: time.Now().UnixMilli()}})
			}
		}
	})
}

// Write has a client append n records at a site: each sets a key of the partition to another value.
func (w *World) Write(site string, partition int32, n int) {
	w.do(func() {
		for range n {
			w.ids++
			w.sites[site].record(dataRecord(partition, w.partitions, w.ids))
		}
	})
}

// Lose has a site count a record that the other one never gets.
func (w *World) Lose(site string, partition int32) {
	w.do(func() {
		w.ids++
		w.sites[site].count(dataRecord(partition, w.partitions, w.ids), wal.Local)
	})
}

// Cut stops the mirrors, both ways; Heal lets them go on.
func (w *World) Cut() { w.do(func() { w.cut = true }) }

// Heal lets the mirrors go on with what has gathered.
func (w *World) Heal() {
	w.do(func() {
		w.cut = false
		w.flush()
	})
}

func (w *World) flush() {
	for _, s := range w.sites {
		if w.cut || w.sites[s.peer].down || w.sites[s.peer].deaf {
			continue
		}
		waiting := s.outbox
		s.outbox = nil
		for _, carry := range waiting {
			carry()
		}
	}
}

// Down has a site answer nobody, and its appliers decide nothing.
func (w *World) Down(site string) { w.do(func() { w.sites[site].down = true }) }

// Up has it answer again.
func (w *World) Up(site string) {
	w.do(func() {
		w.sites[site].down = false
		w.flush()
	})
}

// Refuse has a site refuse what is appended after n more control records; -1 = never.
func (w *World) Refuse(site string, n int) { w.do(func() { w.sites[site].refuses = n }) }

// Halt halts a partition at a site.
func (w *World) Halt(site string, partition int32, reason string) {
	w.do(func() {
		s := w.sites[site]
		s.halted[partition] = true
		a := s.positions[partition].AttestHalt(s.names(), partition, wal.AttestedHalt{
			Reason: reason, Error: "1 record was deleted", Remedy: "fill this Redis from the peer: `walctl bootstrap`", Since: time.Now().UnixMilli(),
		})
		s.publish(a)
	})
}

// do changes the world and tells everybody.
func (w *World) do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

func (s *Site) names() wal.Sites { return wal.Sites{Self: s.name, Peer: s.peer} }

// carry does something at the peer, now or when the mirror goes on.
func (s *Site) carry(f func()) {
	if s.w.cut || s.w.sites[s.peer].down || s.w.sites[s.peer].deaf {
		s.outbox = append(s.outbox, f)
		return
	}
	f()
}

func (s *Site) publish(a wal.Attestation) {
	a.Time = time.Now().UnixMilli()
	peer := s.w.sites[s.peer]
	s.attested = append(s.attested, a)
	s.carry(func() { peer.attested = append(peer.attested, a) })
}

func (s *Site) append(c writer.Control) int64 {
	at := s.decide(c, wal.Local)
	peer := s.w.sites[s.peer]
	s.carry(func() { peer.decide(c, wal.Mirrored) })
	return at
}

func (s *Site) record(r wal.Record) {
	s.count(r, wal.Local)
	peer := s.w.sites[s.peer]
	s.carry(func() { peer.count(r, wal.Mirrored) })
}

func sum(parts ...any) [16]byte {
	h := sha256.Sum256(fmt.Append(nil, parts...))
	return [16]byte(h[:16])
}

// decide decides a control record, and returns its offset.
func (s *Site) decide(c writer.Control, o wal.Origin) int64 {
	p, origin := &s.positions[c.Partition], s.names().Name(o)
	s.writeControl(&c, o)
	fence := func(t wal.ControlType, id string, counted bool) {
		p.Next++
		at := (&wal.Checkpoint{Position: *p}).AttestFence(s.names(), c.Partition, wal.AttestedFence{Type: t, ID: id, Origin: origin, Counted: counted})
		s.publish(at)
	}
	if c.Barrier != nil {
		value, err := json.Marshal(c.Barrier)
		if err != nil {
			panic(err)
		}
		s.barriers = append(s.barriers, wal.Record{Partition: c.Partition, Value: value, Headers: []wal.Header{{Key: wal.HeaderControl, Value: []byte(wal.TypeBarrier)}}})
	}
	if c.Seed != nil {
		s.note(c)
	}
	switch {
	case s.strange != nil: // nobody decides it, until there is a checkpoint
		s.strange.left, s.strange.from = append(s.strange.left, c), append(s.strange.from, o)
	case s.halted[c.Partition]: // it stays where it is
	case c.Seed != nil:
		s.seeded(c, o)
	case c.Seal != nil:
		counts := c.Seal.Epoch == p.Epoch && (p.Epoch.IsNone() || p.Epoch.Site == origin) && !p.Streams[o].Sealed
		if counts {
			p.Streams[o].Sealed = true
		}
		fence(wal.TypeSeal, c.Seal.ID, counts)
	case c.Activate != nil:
		counts := c.Activate.Epoch.Compare(p.Epoch) > 0
		if counts {
			s.close(c.Partition, c.Activate)
			p.Epoch, p.Activate, p.Activated = c.Activate.Epoch, c.Activate.ID, p.Next
			value, _ := json.Marshal(c.Activate) // it has no field that could fail
			s.controls[c.Partition] = append(s.controls[c.Partition], wal.Record{Partition: c.Partition, Offset: p.Next, Value: value, Timestamp: time.Now().UnixMilli()})
			for i := range p.Streams {
				p.Streams[i] = wal.Stream{FencedN: p.Streams[i].FencedN}
			}
		}
		fence(wal.TypeActivate, c.Activate.ID, counts)
	case c.Replay != nil:
		s.count(replayRecord(&c), o)
	case c.Resolve != nil:
		p.Next++
		s.executed[once(c.Resolve.Producer, c.Resolve.Seq)] = true
	case c.Barrier != nil:
		p.Next++
		s.publish(p.Attest(s.names(), c.Partition, o, c.Barrier))
	}
	return p.Next - 1
}

// silent is what a site that is down answers: nothing, until nobody waits any more.
func (s *Site) silent(ctx context.Context) error {
	s.w.mu.Lock()
	down := s.down
	s.w.mu.Unlock()
	if !down {
		return nil
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// Open waits as long as the site is down.
func (s *Site) Open(ctx context.Context) error { return s.silent(ctx) }

// Close implements [reach.Site].
func (s *Site) Close() error { return nil }

// Identity implements [reach.Site].
func (s *Site) Identity() writer.Identity {
	return writer.Identity{Sites: s.names(), Log: "redis-writes", Partitions: s.w.partitions}
}

// Append implements [reach.Site].
func (s *Site) Append(ctx context.Context, controls []writer.Control) (offsets []int64, err error) {
	if err := s.silent(ctx); err != nil {
		return nil, err
	}
	s.w.do(func() {
		for _, c := range controls {
			if s.refuses == 0 {
				err = errors.New("not enough replicas")
				return
			}
			s.refuses = max(-1, s.refuses-1)
			offsets = append(offsets, s.append(c))
		}
	})
	return offsets, err
}

// Follow implements [reach.Site].
func (s *Site) Follow(ctx context.Context, _ time.Time, each func(wal.Attestation) error, caught func()) error {
	if err := s.silent(ctx); err != nil {
		return err
	}
	for n, first := 0, true; ; first = false {
		s.w.mu.Lock()
		all, changed := slices.Clone(s.attested[n:]), s.w.changed
		s.w.mu.Unlock()
		n += len(all)
		for _, a := range all {
			if err := each(a); err != nil {
				return err
			}
		}
		if first {
			caught()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Ends implements [reach.Site].
func (s *Site) Ends(ctx context.Context) (writer.Ends, error) {
	if err := s.silent(ctx); err != nil {
		return writer.Ends{}, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	e := writer.Ends{TopicID: s.topic}
	for i, p := range s.positions {
		start := s.starts[int32(i)]
		if s.wiped {
			start = p.Next
		}
		e.Start, e.End = append(e.Start, start), append(e.End, p.Next)
	}
	return e, nil
}

// Records implements [reach.Site]: of the logs only activates, at their offsets, and barriers, seeds and that there are data are to be read, these always but where one activate is asked for.
func (s *Site) Records(ctx context.Context, partition int32, from, to int64, each func(wal.Record) error) error {
	if err := s.silent(ctx); err != nil {
		return err
	}
	if s.w.isReadable() {
		return s.read(partition, from, to, each)
	}
	s.w.mu.Lock()
	var all []wal.Record
	for _, r := range s.controls[partition] {
		if r.Offset >= from && r.Offset < to {
			r.Timestamp -= s.ago.Milliseconds()
			all = append(all, r)
		}
	}
	if len(all) == 0 || to > from+1 {
		all = slices.Concat(all, s.barriers, s.seeds)
		for _, c := range s.counted {
			all = append(all, c.Record)
		}
		all = slices.DeleteFunc(all, func(r wal.Record) bool { return r.Partition != partition })
	}
	s.w.mu.Unlock()
	for _, r := range all {
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}

// Later has activates of before be so much older at both sites.
func (w *World) Later(d time.Duration) {
	w.do(func() {
		for _, s := range w.sites {
			s.ago = d
		}
	})
}

// Witness implements [reach.Site].
func (s *Site) Witness(ctx context.Context, o wal.Observation) error {
	if err := s.silent(ctx); err != nil {
		return err
	}
	s.w.do(func() { s.seen = append(s.seen, o) })
	return nil
}

// Witnessed implements [reach.Site].
func (s *Site) Witnessed(ctx context.Context, _ time.Time) ([]wal.Observation, error) {
	if err := s.silent(ctx); err != nil {
		return nil, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return slices.Clone(s.seen), nil
}

// IsDown reports whether a site answers nobody.
func (w *World) IsDown(site string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sites[site].down
}

// Checkpoints implements [reach.Site].
func (s *Site) Checkpoints(ctx context.Context) ([]wal.Checkpoint, error) {
	if err := s.silent(ctx); err != nil {
		return nil, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var out []wal.Checkpoint
	for p := range s.positions {
		out = append(out, wal.Checkpoint{Position: s.positions[p], Closings: slices.Clone(s.closings[p]), Seed: s.seed, Barriers: s.rings(int32(p))})
	}
	return out, nil
}

// Check implements [reach.Site].
func (s *Site) Check(ctx context.Context, _ time.Duration) (converge.Report, error) {
	if err := s.silent(ctx); err != nil {
		return converge.Report{}, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	peer := s.w.sites[s.peer]
	r := converge.Report{
		Version: converge.ReportVersion, Log: "redis-writes", Site: s.name, Peer: s.peer, Verdict: converge.Converged, Sentence: "converged: both sites agree",
		Missing: []string{}, Notes: []string{}, Streams: []converge.Row{},
	}
	if peer.down || s.w.cut {
		r.Verdict, r.Exit, r.Sentence = converge.Unknown, 2, "could not tell: "+s.peer+" does not answer"
		return r, nil
	}
	for p := range s.positions {
		a, b := &s.positions[p], &peer.positions[p]
		if a.Root != b.Root || a.Epoch != b.Epoch || a.Streams[wal.Local].H != b.Streams[wal.Mirrored].H || a.Streams[wal.Mirrored].H != b.Streams[wal.Local].H {
			r.Verdict, r.Exit, r.Sentence = converge.Diverged, 1, fmt.Sprintf("diverged: partition %d", p)
			return r, nil
		}
	}
	return r, nil
}

// Redis implements [reach.Site].
func (s *Site) Redis(ctx context.Context) (reach.Redis, error) {
	if err := s.silent(ctx); err != nil {
		return reach.Redis{}, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	r := reach.Redis{Door: s.door(), Primary: s.name + "-redis-0:6379", Agreed: true, Version: "7.0.15", UsedMemory: 1 << 20, Replicas: []reach.Replica{{Addr: s.name + "-redis-1:6379", LinkUp: true}}}
	r.Held = s.held()
	for p := range s.positions {
		if s.wiped || s.filling != "" {
			r.Checkpoints = append(r.Checkpoints, nil)
			continue
		}
		r.Checkpoints = append(r.Checkpoints, &wal.Checkpoint{Position: s.positions[p], Closings: slices.Clone(s.closings[p])})
	}
	if !s.wiped && s.filling == "" {
		r.Meta = &wal.Meta{TopicID: s.topic, Partitions: s.w.partitions}
	}
	return r, nil
}
