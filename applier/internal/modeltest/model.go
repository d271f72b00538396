package modeltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

const (
	self = "dc"
	peer = "dr"
)

// model is what must have come of a log: it executes the records one by one, in their order, on a Redis of its own.
type model struct {
	client      *redis.Client
	meanings    []meaning
	exactlyOnce bool // the mirror

	positions []*position               // by partition
	copies    map[place]wal.Class       // what the DLQ must name
	refused   map[place]bool            // records of which Redis refused a command
	kept      map[place]bool            // what the topic of fenced records must hold
	attested  map[string]map[string]sum // what a barrier's attestations must say, by its id and partition, and by origin
	fences    map[string]decided        // the same of a seal or an activate, by partition, origin, type and id
	chain     wal.Chain

	Counts
}

// position is what a checkpoint must say.
type position struct {
	next        int64
	leaderEpoch int32
	timestamp   int64
	streams     map[string]*stream // by site
	fence
	applied map[string]*window // by producer
	last    map[string]int64   // offset of a producer's last record
	expired int
	refused int
}

type sum struct {
	n int
	h wal.Hash
}

type stream struct {
	sum
	fenced sum
	barriers
	seen map[string]*window // by producer
}

func newModel(client *redis.Client, meanings []meaning, partitions int, exactlyOnce bool) *model {
	m := &model{
		client: client, meanings: meanings, exactlyOnce: exactlyOnce, copies: map[place]wal.Class{}, refused: map[place]bool{},
		kept: map[place]bool{}, attested: map[string]map[string]sum{}, fences: map[string]decided{},
	}
	for range partitions {
		m.positions = append(m.positions, &position{
			leaderEpoch: -1, fence: fence{sealed: map[string]bool{}}, applied: map[string]*window{}, last: map[string]int64{},
			streams: map[string]*stream{self: {seen: map[string]*window{}}, peer: {seen: map[string]*window{}}},
		})
	}
	return m
}

// fields are those of the checkpoint's hash, without the refused commands.
func (p *position) fields() map[string]string {
	f := map[string]string{
		"next": itoa(p.next), "leader-epoch": itoa(int64(p.leaderEpoch)), "ts": itoa(p.timestamp), "expired.n": strconv.Itoa(p.expired),
	}
	p.fence.fields(f)
	for site, s := range p.streams {
		f["n."+site], f["h."+site] = strconv.Itoa(s.n), s.h.String()
		f["f.n."+site], f["f.h."+site] = strconv.Itoa(s.fenced.n), s.fenced.h.String()
		var marks []string
		for _, m := range s.ring {
			marks = append(marks, m.text)
		}
		f["barriers."+site] = strings.Join(marks, " ")
		f["repeating."+site] = map[bool]string{false: "0", true: "1"}[s.repeating]
	}
	return f
}

// place is a record's place in the log.
type place struct {
	partition int32
	offset    int64
}

// parsed is what the model needs to know of a record.
type parsed struct {
	place
	origin   string
	marked   bool // with wal-local
	producer string
	seq      int64
	sequel   bool // it has both
}

// take executes one record of the log as read_committed shows it.
func (m *model) take(ctx context.Context, r *kgo.Record) error {
	p := m.positions[r.Partition]
	if r.Offset < p.next {
		return fmt.Errorf("read offset %d of partition %d after %d", r.Offset, r.Partition, p.next)
	}
	p.next, p.leaderEpoch = r.Offset+1, r.LeaderEpoch
	if r.Attrs.IsControl() {
		return nil // Kafka's marker
	}
	m.Records++
	p.timestamp = r.Timestamp.UnixMilli()
	rec := wal.Record{Key: r.Key, Value: r.Value, Timestamp: p.timestamp}
	x := parsed{place: place{r.Partition, r.Offset}, origin: peer, seq: -1}
	headers := map[string]string{}
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, wal.Header{Key: h.Key, Value: h.Value})
		headers[h.Key] = string(h.Value)
		if h.Key == wal.HeaderLocal {
			x.origin, x.marked = self, true
		}
	}
	if seq, err := strconv.ParseInt(headers[wal.HeaderSeq], 10, 64); err == nil {
		x.producer, x.seq, x.sequel = headers[wal.HeaderProducer], seq, true
	}
	var meaning meaning
	if n, err := strconv.Atoi(headers[number]); err == nil {
		meaning = m.meanings[n]
	}
	if headers[number] == "" && headers[wal.HeaderControl] == string(wal.TypeBarrier) { // an applier's, here or at the peer
		return m.barrier(p, x, r.Value)
	}
	if meaning.poison != "" || !x.marked && m.exactlyOnce && !r.Attrs.IsTransactional() {
		m.Poison++
		m.copies[x.place] = wal.ClassPoison
		return nil
	}
	s := p.streams[x.origin]
	if !m.fresh(p, s, x) {
		return nil
	}
	if headers[wal.HeaderControl] != "" {
		return m.control(ctx, p, x, r, &rec, meaning.commands)
	}
	if !p.open(x.origin) {
		return m.keep(p, x, &rec, true)
	}
	if err := m.count(p, x, &rec); err != nil {
		return err
	}
	return m.once(ctx, p, x, meaning.commands)
}

func (m *model) count(p *position, x parsed, rec *wal.Record) error {
	e, err := rec.Envelope()
	if err != nil {
		return err
	}
	s := p.streams[x.origin]
	s.n++
	s.h = m.chain.Next(s.h, rec, &e)
	return nil
}

// once executes a record that was not executed before, in whatever stream.
func (m *model) once(ctx context.Context, p *position, x parsed, commands []command) error {
	if x.sequel {
		switch of(p.applied, x.producer).meet(x.seq) {
		case before:
			m.Moved++
			return nil
		case tooLate:
			m.late(x)
			return nil
		}
	}
	return m.execute(ctx, p, x.place, commands)
}

// fresh reports whether a record is none that its stream had before.
func (m *model) fresh(p *position, s *stream, x parsed) bool {
	if !x.sequel {
		return true
	}
	p.last[x.producer] = x.offset
	switch of(s.seen, x.producer).meet(x.seq) {
	case before:
		m.Repeated++
		return false
	case tooLate:
		if !s.repeating {
			m.late(x)
		}
		return false
	}
	return true
}

func (m *model) late(x parsed) {
	m.Late++
	m.copies[x.place] = wal.ClassLate
}

func of(windows map[string]*window, producer string) *window {
	if windows[producer] == nil {
		windows[producer] = &window{}
	}
	return windows[producer]
}

func (m *model) barrier(p *position, x parsed, value []byte) error {
	var b struct {
		ID     string `json:"id"`
		Number uint64 `json:"number"`
	}
	if err := json.Unmarshal(value, &b); err != nil || b.ID == "" {
		return fmt.Errorf("a record that nobody wrote: %.80q (%w)", value, err)
	}
	s := p.streams[x.origin]
	if s.repeats(b.ID, b.Number) {
		m.Repeated++
		return nil
	}
	if !m.fresh(p, s, x) {
		return nil
	}
	s.add(mark{b.ID, b.Number, fmt.Sprintf("%s:%d:%d:%s", b.ID, b.Number, s.n, s.h)})
	m.attested[attestedAt(x.partition, b.ID)] = map[string]sum{self: p.streams[self].sum, peer: p.streams[peer].sum}
	return nil
}

func attestedAt(partition int32, id string) string { return fmt.Sprintf("%d %s", partition, id) }

func (m *model) execute(ctx context.Context, p *position, at place, commands []command) error {
	if len(commands) == 0 {
		return nil
	}
	pipe := m.client.TxPipeline()
	var expired bool
	for _, cmd := range commands {
		args := make([]any, len(cmd.forModel()))
		for i, a := range cmd.forModel() {
			args[i] = a
		}
		pipe.Do(ctx, args...)
		expired = expired || cmd.past
	}
	if expired {
		p.expired++
	}
	answers, err := pipe.Exec(ctx)
	if re := redis.Error(nil); err != nil && !errors.As(err, &re) {
		return err
	}
	for _, a := range answers {
		if err := a.Err(); err != nil && !errors.Is(err, redis.Nil) {
			if redis.HasErrorPrefix(err, "EXECABORT") {
				return fmt.Errorf("the model's own command is wrong: %v: %w", commands, err)
			}
			p.refused++
			m.refused[at] = true
		}
	}
	m.Refused = len(m.refused)
	return nil
}
