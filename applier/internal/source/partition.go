package source

import (
	"context"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// Partition is the records of one partition of the log, from the offset that was sought last.
//
// What was fetched carries the generation of the seek that asked for it; what another seek asked for is dropped. Without
// that, records that were already polled are taken on top of a position that a failover rolled back, and those between are lost.
type Partition struct {
	s  *Source
	id int32

	mu     sync.Mutex
	wanted uint64 // generation of the last SeekTo
	active uint64 // generation that the poll loop has put into effect
	queue  []fetched
	bytes  int
	paused bool // then bytes are not part of Source.queued
	closed bool
	signal chan struct{} // holds a token when something was put, or changed
}

type fetched struct {
	generation uint64
	records    []wal.Record
	bytes      int
	err        error
}

// Open returns a partition's records. Nothing is fetched before the first SeekTo.
func (s *Source) Open(id int32) *Partition {
	p := &Partition{s: s, id: id, signal: make(chan struct{}, 1)}
	s.mu.Lock()
	s.parts[id] = p
	s.mu.Unlock()
	return p
}

// Close stops fetching the partition.
func (p *Partition) Close() {
	p.mu.Lock()
	p.closed = true
	p.clear()
	p.mu.Unlock()
	p.s.request(func() {
		p.s.mu.Lock()
		mine := p.s.parts[p.id] == p
		if mine {
			delete(p.s.parts, p.id)
		}
		p.s.mu.Unlock()
		if mine { // else it was opened again, and sought or about to be
			p.s.fetch.RemoveConsumePartitions(map[string][]int32{p.s.log: {p.id}})
		}
	})
}

// SeekTo goes on at an offset. Everything that was fetched before is dropped. The leader epoch is that of the record before the offset
// (-1 = unknown): with it the broker notices that the log was truncated.
func (p *Partition) SeekTo(offset int64, leaderEpoch int32) {
	p.mu.Lock()
	p.wanted++
	generation := p.wanted
	p.clear()
	p.mu.Unlock()
	p.s.request(func() {
		partition := map[string][]int32{p.s.log: {p.id}}
		p.s.fetch.RemoveConsumePartitions(partition)
		p.s.fetch.ResumeFetchPartitions(partition)
		p.mu.Lock()
		p.active = generation
		if p.paused {
			p.paused = false
			p.s.queued.Add(int64(p.bytes))
		}
		closed := p.closed
		p.mu.Unlock()
		if closed {
			return
		}
		p.s.fetch.AddConsumePartitions(map[string]map[int32]kgo.Offset{
			p.s.log: {p.id: kgo.NewOffset().At(offset).WithEpoch(leaderEpoch)},
		})
	})
}

// pieceRecords is how many records are handed on at once, as many as a batch has: what waits in the queue is counted, what was handed on
// is not.
const pieceRecords = 1000

// put queues what was fetched in the generation that is in effect.
func (p *Partition) put(records []wal.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for piece := range slices.Chunk(records, pieceRecords) {
		n := 0
		for i := range piece {
			n += len(piece[i].Key) + len(piece[i].Value)
		}
		p.queue = append(p.queue, fetched{p.active, piece, n, nil})
		p.grow(n)
	}
	if err != nil {
		p.queue = append(p.queue, fetched{p.active, nil, 0, err})
	}
	p.notify()
}

// end has Next return an error after what is queued, once.
func (p *Partition) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.queue); p.closed || n > 0 && p.queue[n-1].err != nil {
		return
	}
	p.queue = append(p.queue, fetched{p.active, nil, 0, err})
	p.notify()
}

// grow counts what was queued, or taken. The caller holds the lock, as it does for clear.
func (p *Partition) grow(n int) {
	p.bytes += n
	switch {
	case !p.paused:
		if total := p.s.queued.Add(int64(n)); n < 0 && total <= queueBytes && total-int64(n) > queueBytes {
			p.s.request(func() {}) // the poll loop waits for room
		}
	case p.bytes == 0: // somebody applies it again
		p.paused = false
		p.s.request(func() { p.s.fetch.ResumeFetchPartitions(map[string][]int32{p.s.log: {p.id}}) })
	}
}

func (p *Partition) clear() {
	p.queue = nil
	p.grow(-p.bytes)
}

// pauseAbove marks the partition as paused if more than n bytes of it are queued, and reports whether it did.
func (p *Partition) pauseAbove(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused || p.bytes <= n || p.closed {
		return false
	}
	p.paused = true
	p.s.queued.Add(-int64(p.bytes))
	return true
}

func (p *Partition) notify() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

// Next waits for records that follow those that it returned before. It returns nil when ctx ends. An error ends the generation:
// join anew and seek.
func (p *Partition) Next(ctx context.Context) ([]wal.Record, error) {
	for {
		if records, err, ok := p.take(); ok {
			return records, err
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-p.signal:
		}
	}
}

// TryNext is Next without waiting: nil if nothing was fetched yet.
func (p *Partition) TryNext() ([]wal.Record, error) {
	records, err, _ := p.take()
	return records, err
}

func (p *Partition) take() ([]wal.Record, error, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 {
		f := p.queue[0]
		p.queue[0] = fetched{} // let the records go when they are applied
		p.queue = p.queue[1:]
		p.grow(-f.bytes)
		if f.generation != p.wanted {
			continue
		}
		return f.records, f.err, true
	}
	return nil, nil, false
}
