package twosites

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// The logs as they stand, what is produced to them, and what is asked of Redis.

// Readable has both logs handed on as they are: [Site.Records].
func (w *World) Readable() { w.do(func() { w.readable = true }) }

func (w *World) isReadable() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.readable
}

// Retain has retention delete what stands before an offset.
func (w *World) Retain(site string, partition int32, offset int64) {
	w.do(func() { w.sites[site].starts[partition] = offset })
}

// write adds a record to the log, as its origin has it.
func (s *Site) write(r wal.Record, o wal.Origin) {
	r.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(h wal.Header) bool { return h.Key == own || h.Key == wal.HeaderLocal })
	r.Transactional = o == wal.Mirrored
	if o == wal.Local {
		r.Headers = append(r.Headers, wal.Header{Key: wal.HeaderLocal, Value: []byte("1")})
	}
	s.log = append(s.log, r)
}

// writeControl adds a control record. A replay is written when it is counted, as what it repeats.
func (s *Site) writeControl(c *writer.Control, o wal.Origin) {
	typ, payload, err := c.Payload()
	if err != nil {
		panic(err)
	}
	if c.Replay != nil {
		return
	}
	value, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	s.write(wal.Record{
		Partition: c.Partition, Offset: s.positions[c.Partition].Next, Timestamp: time.Now().UnixMilli(), Value: value,
		Headers: []wal.Header{
			{Key: wal.HeaderLevel, Value: []byte("1")},
			{Key: wal.HeaderControl, Value: []byte(typ)},
			{Key: wal.HeaderSignature, Value: []byte("s")},
			{Key: wal.HeaderProducer, Value: []byte("walctl/" + s.name)},
			{Key: wal.HeaderSeq, Value: []byte("1")},
		},
	}, o)
}

func (s *Site) read(partition int32, from, to int64, each func(wal.Record) error) error {
	s.w.mu.Lock()
	all, start := slices.Clone(s.log), s.starts[partition]
	s.w.mu.Unlock()
	if from < start && from < to {
		return fmt.Errorf("redis-writes/%d at %s begins at %d: %d was deleted by retention", partition, s.name, start, from)
	}
	for _, r := range all {
		if r.Partition == partition && r.Offset >= from && r.Offset < to {
			if err := each(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// rings are the barriers that were decided, of a world that is readable.
func (s *Site) rings(partition int32) (out [2]wal.Ring) {
	if !s.w.readable {
		return out
	}
	for _, r := range s.log {
		e, _ := r.Envelope()
		var b wal.Barrier
		if r.Partition == partition && wal.ControlType(e.Control) == wal.TypeBarrier && json.Unmarshal(r.Value, &b) == nil {
			out[e.Origin] = out[e.Origin].Add(wal.Mark{ID: b.ID, Number: b.Number})
		}
	}
	return out
}

// refuse lists what Redis has refused, of a world that is readable.
func (s *Site) refuse(r wal.Record, o wal.Origin) {
	if !s.w.readable {
		return
	}
	at := &s.positions[r.Partition]
	at.Refused.N++
	at.Reported = at.Next
	s.keep(writer.DLQ, r, o, wal.ClassRefused, "WRONGTYPE", "Redis answered: WRONGTYPE")
}

// Produce implements [reach.Site].
func (s *Site) Produce(ctx context.Context, d reach.Data) (at reach.Appended, err error) {
	if err := s.silent(ctx); err != nil {
		return at, err
	}
	s.w.do(func() {
		if s.refuses == 0 {
			err = errors.New("not enough replicas")
			return
		}
		s.refuses = max(-1, s.refuses-1)
		r := d.Record(s.w.partitions, time.Now())
		at = reach.Appended{Partition: r.Partition, Offset: s.positions[r.Partition].Next, Time: r.Timestamp}
		if s.stuck {
			return
		}
		s.record(r)
	})
	return at, err
}

// Ask implements [reach.Site]: GET for the reader, CONFIG for the admin, SET for who bypasses the log.
func (s *Site) Ask(ctx context.Context, q reach.Question) (reach.Replied, error) {
	if err := s.silent(ctx); err != nil {
		return reach.Replied{}, err
	}
	out := reach.Replied{Primary: s.name + "-redis-0:6379"}
	args := make([]string, len(q.Args))
	for i, a := range q.Args {
		args[i] = string(a)
	}
	err := fmt.Errorf("the user reader may not do that: %w", reach.ErrForbidden)
	s.w.do(func() {
		switch name := strings.ToUpper(args[0]); {
		case name == "GET" && len(args) == 2:
			err = nil
			out.Answer = reach.Answer{Kind: reach.KindNil}
			if v, ok := s.data[args[1]]; ok {
				out.Answer = reach.Answer{Kind: reach.KindString, Text: []byte(v)}
			}
		case name == "GET":
			err, out.Answer = nil, reach.Answer{Kind: reach.KindError, Text: []byte("ERR wrong number of arguments for 'get' command")}
		case name == "DBSIZE":
			err, out.Answer = nil, reach.Answer{Kind: reach.KindInt, Int: int64(len(s.data))}
		case name == "CONFIG" && q.Rights != reach.AsReader:
			err, out.Answer = nil, reach.Answer{Kind: reach.KindArray, Items: []reach.Answer{{Kind: reach.KindString, Text: []byte("maxmemory")}, {Kind: reach.KindString, Text: []byte("0")}}}
		case name == "SET" && q.Rights == reach.BypassLog:
			err, out.Answer = nil, reach.Answer{Kind: reach.KindStatus, Text: []byte("OK")}
			s.data[args[1]] = args[2]
		}
	})
	return out, err
}

// door is by what the site's clients find its Redis.
func (s *Site) door() reach.Door {
	return reach.Door{Sentinels: []string{"rfs-redis." + s.name + ".svc:26379", s.name + "-sentinel-1:26379"}, Master: "mymaster"}
}
