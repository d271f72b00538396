package twosites

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// The records of the two sites, what they do to the keys, and the lists. Redis knows two commands here: SET KEY VALUE, and DEL KEY.

// counted is a record that a site has counted of its own stream.
type counted struct {
	wal.Record
	epoch wal.Epoch
	n     uint64
}

// KeyOf is the key of a partition that is written.
func KeyOf(partition, partitions int32) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("key-", i); wal.Partition([]byte(key), partitions) == partition {
			return key
		}
	}
}

// dataRecord is the n-th record that a client writes.
func dataRecord(partition, partitions int32, n int) wal.Record {
	key := KeyOf(partition, partitions)
	return wal.Record{
		Partition: partition, Key: []byte(key), Timestamp: time.Now().UnixMilli(),
		Value: wal.Op{Commands: [][][]byte{{[]byte("SET"), []byte(key), fmt.Append(nil, "value-", n)}}}.AppendRESP(nil),
		Headers: []wal.Header{
			{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderProducer, Value: []byte("orders/1")}, {Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, int64(n), 10)},
		},
	}
}

// replayRecord is what a replay repeats. Its own producer and sequence are beside.
func replayRecord(c *writer.Control) wal.Record {
	r := wal.Record{
		Partition: c.Partition, Key: c.Replay.Key, Value: c.Replay.Value, Timestamp: c.Replay.Timestamp,
		Headers: []wal.Header{{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: own, Value: []byte(once(c.Producer, c.Seq))}},
	}
	if c.Replay.Producer != "" {
		r.Headers = append(r.Headers, wal.Header{Key: wal.HeaderProducer, Value: []byte(c.Replay.Producer)}, wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, c.Replay.Seq, 10)})
	}
	return r
}

// own is the header that holds a replay's own producer and sequence.
const own = "own"

func once(producer string, seq int64) string { return fmt.Sprint(producer, "/", seq) }

func (s *Site) count(r wal.Record, o wal.Origin) {
	at := &s.positions[r.Partition]
	at.Next++
	at.Timestamp = time.Now().UnixMilli()
	r.Offset = at.Next - 1
	s.write(r, o)
	stream := &at.Streams[o]
	if !at.Open(o, s.names()) {
		stream.FencedN++
		reason, detail := "not-active", fmt.Sprintf("%s is not the active site in epoch %s", s.names().Name(o), at.Epoch)
		if stream.Sealed {
			reason, detail = "sealed", fmt.Sprintf("the stream of %s is sealed in epoch %s", s.names().Name(o), at.Epoch)
		}
		s.keep(writer.Fenced, r, o, wal.ClassFenced, reason, detail)
		return
	}
	if !s.first(&r, own, o) {
		return
	}
	stream.N++
	stream.H = wal.Hash(sum(stream.H, r.Key, r.Value))
	if o == wal.Local {
		s.counted = append(s.counted, counted{r, at.Epoch, stream.N})
	}
	e, _ := r.Envelope()
	if len(e.Producer) > 0 {
		id := once(string(e.Producer), e.Sequence)
		if s.executed[id] {
			return
		}
		s.executed[id] = true
	}
	op, err := wal.DecodeOp(slices.Clone(r.Value), string(e.ContentType))
	if err != nil {
		panic(err)
	}
	switch key := string(op.Commands[0][1]); string(op.Commands[0][0]) {
	case s.w.ignored:
		s.refuse(r, o)
	case "DEL":
		delete(s.data, key)
	default:
		s.data[key] = string(op.Commands[0][2])
	}
}

// Ignore has both sites' Redis ignore a command.
func (w *World) Ignore(command string) { w.do(func() { w.ignored = command }) }

// first reports whether no record with the value of that header was counted before.
func (s *Site) first(r *wal.Record, header string, o wal.Origin) bool {
	for _, h := range r.Headers {
		if h.Key == header {
			id := fmt.Sprint(o, string(h.Value))
			if s.executed[id] {
				return false
			}
			s.executed[id] = true
		}
	}
	return true
}

func (s *Site) keep(list writer.List, r wal.Record, o wal.Origin, class wal.Class, reason, detail string) {
	s.lists[list] = append(s.lists[list], writer.Copy{
		Record: r, TopicID: s.topic, Site: s.name, Origin: s.names().Name(o), Class: class, Reason: reason, Detail: detail,
	})
}

// Reject has a client append a record at a site that goes to the DLQ of both. It is not counted.
func (w *World) Reject(site string, partition int32, class wal.Class, reason, detail string) {
	w.do(func() {
		w.ids++
		s := w.sites[site]
		r := dataRecord(partition, w.partitions, w.ids)
		reject := func(s *Site, o wal.Origin) {
			at := &s.positions[partition]
			r := r
			r.Offset = at.Next
			at.Next++
			s.write(r, o)
			if class == wal.ClassUnconfirmed {
				r.Key, r.Value, r.Headers = nil, nil, nil
			}
			s.keep(writer.DLQ, r, o, class, reason, detail)
			if class == wal.ClassUnconfirmed {
				l := s.lists[writer.DLQ]
				l[len(l)-1].End = r.Offset + 3
			}
		}
		reject(s, wal.Local)
		s.carry(func() { reject(w.sites[s.peer], wal.Mirrored) })
	})
}

// Forget has a site lose what it knows of its own stream, as retention would.
func (w *World) Forget(site string) { w.do(func() { w.sites[site].counted = nil }) }

// Get is the value of the key of a partition at a site; empty: there is none.
func (w *World) Get(site string, partition int32) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sites[site].data[KeyOf(partition, w.partitions)]
}

// close closes the epoch of a partition at an activate that counts.
func (s *Site) close(partition int32, a *wal.Activate) {
	p := &s.positions[partition]
	closing := p.Close(s.names(), p.Next)
	if a.Closes != "" && a.Closes == p.Activate && slices.Contains(a.Settles, p.Root) {
		p.Root = closing.Settled([]byte(a.ID))
		s.closings[partition] = []wal.Closing{closing}
		return
	}
	p.Root = closing.Next()
	s.closings[partition] = append(s.closings[partition], closing)
}

// Copies implements [reach.Site].
func (s *Site) Copies(ctx context.Context, list writer.List, each func(writer.Copy) error) error {
	if err := s.silent(ctx); err != nil {
		return err
	}
	s.w.mu.Lock()
	all := slices.Clone(s.lists[list])
	for i := range all {
		all[i].Done = s.marks[all[i].ID()]
	}
	s.w.mu.Unlock()
	slices.SortStableFunc(all, func(a, b writer.Copy) int { return int(a.Partition) - int(b.Partition) })
	for _, c := range all {
		if err := each(c); err != nil {
			return err
		}
	}
	return nil
}

// Mark implements [reach.Site].
func (s *Site) Mark(ctx context.Context, _ writer.List, marks []writer.Mark) error {
	if err := s.silent(ctx); err != nil {
		return err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, m := range marks {
		if s.marks[m.CopyID] != wal.ClassReplayed {
			s.marks[m.CopyID] = m.As
		}
	}
	return nil
}

// Tail implements [reach.Site].
func (s *Site) Tail(ctx context.Context, q writer.TailQuery) (out []writer.TailRecord, err error) {
	if err := s.silent(ctx); err != nil {
		return nil, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, c := range s.counted {
		if c.Partition == q.Partition && c.epoch == q.Epoch && c.n > q.Base.N {
			out = append(out, writer.TailRecord{Record: c.Record, TopicID: s.topic, Site: s.name, Epoch: c.epoch, N: c.n})
		}
	}
	if n := uint64(len(out)); n != q.Last.N-q.Base.N {
		return nil, errors.New("part of its tail is gone by retention")
	}
	return out, nil
}

// Repair implements [reach.Site].
func (s *Site) Repair(ctx context.Context, keys [][]byte, _ map[int32]string, _ time.Duration) (converge.RepairReport, error) {
	if err := s.silent(ctx); err != nil {
		return converge.RepairReport{}, err
	}
	s.w.do(func() {
		for _, key := range keys {
			partition := wal.Partition(wal.RoutingKey(key), s.w.partitions)
			value, ok := s.data[string(key)]
			set := func(s *Site, o wal.Origin) {
				at := &s.positions[partition]
				at.Next++
				at.Streams[o].N++
				at.Streams[o].H = wal.Hash(sum(at.Streams[o].H, key, value))
				if o == wal.Local {
					return
				}
				if delete(s.data, string(key)); ok {
					s.data[string(key)] = value
				}
			}
			set(s, wal.Local)
			s.carry(func() { set(s.w.sites[s.peer], wal.Mirrored) })
		}
	})
	return converge.RepairReport{From: s.name, To: s.peer, Written: true, Keys: len(keys), Records: len(keys)}, nil
}

// Values implements [reach.Site].
func (s *Site) Values(ctx context.Context, keys [][]byte) ([]reach.Value, error) {
	if err := s.silent(ctx); err != nil {
		return nil, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	out := make([]reach.Value, len(keys))
	for i, k := range keys {
		out[i] = reach.Value{Key: k, Type: "none"}
		if v, ok := s.data[string(k)]; ok {
			out[i] = reach.Value{Key: k, Type: "string", Size: int64(len(v)), Text: strconv.Quote(v)}
		}
	}
	return out, nil
}
