// Package pairtest is two sites in memory: logs, the mirrors between them, and appliers that decide by the planner of package plan. It is what package writer is
// tested on, where a cutover takes milliseconds and can be cut off at any step. There is no Kafka and no Redis: those are the lab's.
package pairtest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Log is the name of the log.
const Log = "redis-writes"

// Pair is two sites, dc and dr.
type Pair struct {
	mu    sync.Mutex
	more  *sync.Cond
	sites map[string]*Site
	next  uint64 // for ids
}

// Site is one of them.
type Site struct {
	pair       *Pair
	ids        wal.Sites
	partitions []*partition
	attested   []wal.Attestation // on the site's topic
	mirrored   int               // of the peer's attestations, how many are on this topic too
	lists      map[writer.List][]writer.Copy
	marks      map[wal.CopyID]wal.Class // of copies in them
	cut        bool                     // nothing of the peer arrives
	dead       bool                     // nobody answers
	// OnRepair is called once between the reading of a value that is to repair a key and its appending.
	OnRepair func()
	seq      map[string]int64
	seen     []wal.Observation
}

type partition struct {
	log      []wal.Record
	mirrored int // of the peer's log, how many records were looked at
	at       wal.Checkpoint
	known    *plan.Producers
	planner  *plan.Planner
	paused   bool
	barrier  uint64
	executed []string            // what was pushed, in order
	data     map[string][]string // the lists
}

// New makes two sites whose log has so many partitions. Every partition is attested once.
func New(partitions int32) *Pair {
	p := &Pair{sites: map[string]*Site{}}
	p.more = sync.NewCond(&p.mu)
	for _, ids := range []wal.Sites{{Self: "dc", Peer: "dr"}, {Self: "dr", Peer: "dc"}} {
		s := &Site{pair: p, ids: ids, seq: map[string]int64{}, lists: map[writer.List][]writer.Copy{}, marks: map[wal.CopyID]wal.Class{}}
		for q := range partitions {
			s.partitions = append(s.partitions, &partition{known: plan.NewProducers(nil), planner: plan.New(plan.Rules{
				Sites: ids, Log: Log, Partition: q, Partitions: partitions, Signer: signer(), MirrorExactlyOnce: true, MaxRecords: 1000, MaxBytes: 1 << 20,
			}), data: map[string][]string{}, at: wal.Checkpoint{Position: wal.Position{TopicID: id(ids.Self)}}})
		}
		p.sites[ids.Self] = s
	}
	p.Barriers()
	return p
}

func id(site string) (out wal.TopicID) { copy(out[:], site); return out }

func signer() *wal.Signer {
	s, err := wal.NewSigner(Log, []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		panic(err)
	}
	return s
}

// At is a site by its name.
func (p *Pair) At(site string) *Site { return p.sites[site] }

// Barriers has every applier append a barrier to each of its partitions, as they do every ten seconds.
func (p *Pair) Barriers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.sites {
		if !s.dead {
			s.barriers()
		}
	}
	p.run()
}

func (s *Site) barriers() {
	for q, part := range s.partitions {
		part.barrier++
		s.pair.next++
		s.append(int32(q), wal.TypeBarrier, wal.Barrier{ID: fmt.Sprint("b", s.pair.next), Number: part.barrier, Partitions: int32(len(s.partitions)), Time: 1}, "applier", int64(s.pair.next))
	}
}

// append puts a control record into the log.
func (s *Site) append(q int32, typ wal.ControlType, payload any, producer string, seq int64) int64 {
	value, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	return s.put(wal.Record{Partition: q, Value: value, Timestamp: time.Now().UnixMilli(), Headers: append(signer().Headers(q, typ, value),
		wal.Header{Key: wal.HeaderProducer, Value: []byte(producer)}, wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, seq, 10)})})
}

func (s *Site) put(r wal.Record) int64 {
	part := s.partitions[r.Partition]
	r.Offset = int64(len(part.log))
	part.log = append(part.log, r)
	return r.Offset
}

// Write is what a client does: it appends the number n to the list of its key, as producer, with sequence n. It returns false if the site does not answer.
func (s *Site) Write(q int32, producer string, n int64) bool {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	if s.dead {
		return false
	}
	key := KeyOf(q, int32(len(s.partitions)))
	word := fmt.Sprintf("%s/%d", producer, n)
	s.put(wal.Record{
		Partition: q, Key: []byte(key), Timestamp: 1,
		Value: wal.Op{Commands: [][][]byte{{[]byte("RPUSH"), []byte(key), []byte(word)}}}.AppendRESP(nil),
		Headers: []wal.Header{
			{Key: wal.HeaderLevel, Value: []byte("1")},
			{Key: wal.HeaderLocal, Value: []byte("1")},
			{Key: wal.HeaderProducer, Value: []byte(producer)},
			{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, n, 10)},
		},
	})
	s.pair.run()
	return true
}

// KeyOf is a key of a partition.
func KeyOf(q, partitions int32) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("k", i); wal.Partition([]byte(key), partitions) == q {
			return key
		}
	}
}

// Cut stops what the peer sends from arriving at a site, or lets it again.
func (s *Site) Cut(cut bool) { s.set(func() { s.cut = cut }) }

// Die has a site answer nobody, apply nothing and send nothing; Return ends that.
func (s *Site) Die() { s.set(func() { s.dead = true }) }

// Return has the site go on where it was.
func (s *Site) Return() { s.set(func() { s.dead = false }) }

// Forget has a site never have heard of its peer, and hear nothing of it from now on.
func (s *Site) Forget() {
	s.set(func() {
		s.cut = true
		s.attested = slices.DeleteFunc(s.attested, func(a wal.Attestation) bool { return a.Site != s.ids.Self })
	})
}

// Pause stops the applier of a partition, or lets it go on.
func (s *Site) Pause(q int32, paused bool) { s.set(func() { s.partitions[q].paused = paused }) }

func (s *Site) set(f func()) {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	f()
	s.pair.run()
}

// Executed is what a partition's Redis was given, in order.
func (s *Site) Executed(q int32) []string {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	return slices.Clone(s.partitions[q].executed)
}

// List is what the list of a partition holds.
func (s *Site) List(q int32) []string {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	return slices.Clone(s.partitions[q].data[KeyOf(q, int32(len(s.partitions)))])
}

// Checkpoint is where a partition stands.
func (s *Site) Checkpoint(q int32) wal.Checkpoint {
	s.pair.mu.Lock()
	defer s.pair.mu.Unlock()
	return s.partitions[q].at
}

// run lets mirrors and appliers do all that they can.
func (p *Pair) run() {
	for moved := true; moved; {
		moved = false
		for _, name := range []string{"dc", "dr"} {
			s := p.sites[name]
			moved = s.mirror(p.sites[s.ids.Peer]) || moved
			moved = s.apply() || moved
		}
	}
	p.more.Broadcast()
}

// mirror brings what was first appended at the peer.
func (s *Site) mirror(peer *Site) (moved bool) {
	if s.cut || s.dead || peer.dead {
		return false
	}
	for q, part := range s.partitions {
		for ; part.mirrored < len(peer.partitions[q].log); part.mirrored++ {
			r := peer.partitions[q].log[part.mirrored]
			i := slices.IndexFunc(r.Headers, func(h wal.Header) bool { return h.Key == wal.HeaderLocal })
			if i < 0 {
				continue
			}
			r.Headers = slices.Delete(slices.Clone(r.Headers), i, i+1)
			r.Transactional = true
			s.put(r)
			moved = true
		}
	}
	for ; s.mirrored < len(peer.attested); s.mirrored++ {
		if a := peer.attested[s.mirrored]; a.Site == peer.ids.Self {
			s.attested = append(s.attested, a)
			moved = true
		}
	}
	return moved
}

func (s *Site) apply() (moved bool) {
	if s.dead {
		return false
	}
	for q, part := range s.partitions {
		for !part.paused && part.at.Next < int64(len(part.log)) {
			moved = true
			s.decide(int32(q), part)
		}
	}
	return moved
}

func (s *Site) decide(q int32, part *partition) {
	b, _, err := part.planner.Plan(plan.Input{From: part.at, Records: part.log[part.at.Next:], Producers: part.known, Now: 2, Alone: -1})
	if err != nil {
		panic(fmt.Sprintf("%s partition %d: %v", s.ids.Self, q, err))
	}
	for _, w := range b.Wire {
		op, err := wal.DecodeOp(slices.Clone(w), wal.ContentTypeRESP)
		if err != nil {
			panic(err)
		}
		part.execute(op.Commands[0])
	}
	for list, copies := range map[writer.List][]wal.Record{writer.Fenced: b.Fenced, writer.DLQ: b.Copies} {
		for i := range copies {
			c, err := wal.ParseCopy(&copies[i])
			if err != nil {
				panic(err)
			}
			s.lists[list] = append(s.lists[list], c)
		}
	}
	part.at = b.To
	switch {
	case b.Barrier != nil:
		s.attest(b.To.Attest(s.ids, q, b.Barrier.Origin, &b.Barrier.Barrier))
		if b.Barrier.Origin == wal.Local {
			part.barrier = max(part.barrier, b.Barrier.Number)
		}
	case b.Fence != nil:
		s.attest(b.To.AttestFence(s.ids, q, wal.AttestedFence{
			Type: b.Fence.Type, ID: b.Fence.ID, Origin: s.ids.Name(b.Fence.Origin), Counted: b.Fence.Counted,
		}))
	}
}

func (s *Site) attest(a wal.Attestation) {
	a.Time = time.Now().UnixMilli()
	s.attested = append(s.attested, a)
}

// execute does what Redis would. A value that is dumped is JSON.
func (p *partition) execute(command [][]byte) {
	key := string(command[1])
	switch string(command[0]) {
	case "RPUSH":
		p.executed = append(p.executed, string(command[2]))
		p.data[key] = append(p.data[key], string(command[2]))
	case "DEL":
		delete(p.data, key)
	case "RESTORE":
		var list []string
		if err := json.Unmarshal(command[3], &list); err != nil {
			panic(err)
		}
		p.data[key] = list
	default:
		panic(string(command[0]))
	}
}
