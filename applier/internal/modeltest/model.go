package modeltest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// model is what must have come of a log: it executes the records one by one, in their order, on a Redis of its own.
type model struct {
	client   *redis.Client
	meanings []meaning

	positions []position // by partition
	poison    map[place]bool
	chain     wal.Chain
}

// position is what a checkpoint must say.
type position struct {
	next        int64
	leaderEpoch int32
	timestamp   int64
	streams     map[string]*stream // by site
	expired     int
	refused     int
}

type stream struct {
	n     int
	h     wal.Hash
	marks []string // of barriers
}

const (
	self     = "dc"
	peer     = "dr"
	ringSize = 64
)

func newModel(client *redis.Client, meanings []meaning, partitions int) *model {
	m := &model{client: client, meanings: meanings, poison: map[place]bool{}}
	for range partitions {
		m.positions = append(m.positions, position{leaderEpoch: -1, streams: map[string]*stream{self: {}, peer: {}}})
	}
	return m
}

// fields are those of the checkpoint's hash, without the refused commands.
func (p *position) fields() map[string]string {
	f := map[string]string{
		"next": itoa(p.next), "leader-epoch": itoa(int64(p.leaderEpoch)), "ts": itoa(p.timestamp), "expired.n": strconv.Itoa(p.expired),
		"sealed": "0", "epoch": "none",
	}
	for site, s := range p.streams {
		f["n."+site], f["h."+site] = strconv.Itoa(s.n), s.h.String()
		f["barriers."+site] = strings.Join(s.marks, " ")
	}
	return f
}

// place is a record's place in the log.
type place struct {
	partition int32
	offset    int64
}

// take executes one record of the log as read_committed shows it.
func (m *model) take(ctx context.Context, r *kgo.Record) error {
	p := &m.positions[r.Partition]
	if r.Offset < p.next {
		return fmt.Errorf("read offset %d of partition %d after %d", r.Offset, r.Partition, p.next)
	}
	p.next, p.leaderEpoch = r.Offset+1, r.LeaderEpoch
	if r.Attrs.IsControl() {
		return nil // Kafka's marker
	}
	p.timestamp = r.Timestamp.UnixMilli()
	rec := wal.Record{Key: r.Key, Value: r.Value, Timestamp: p.timestamp}
	headers := map[string][]byte{}
	s := p.streams[peer]
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, wal.Header{Key: h.Key, Value: h.Value})
		headers[h.Key] = h.Value
		if h.Key == wal.HeaderLocal {
			s = p.streams[self]
		}
	}
	if headers[number] == nil { // an applier's
		return s.barrier(r.Value)
	}
	n, err := strconv.Atoi(string(headers[number]))
	if err != nil {
		return err
	}
	meaning := m.meanings[n]
	if meaning.poison != "" {
		m.poison[place{r.Partition, r.Offset}] = true
		return nil
	}
	e, err := rec.Envelope()
	if err != nil {
		return err
	}
	s.n++
	s.h = m.chain.Next(s.h, &rec, &e)
	return m.execute(ctx, p, meaning.commands)
}

func (s *stream) barrier(value []byte) error {
	var b struct {
		ID     string `json:"id"`
		Number uint64 `json:"number"`
	}
	if err := json.Unmarshal(value, &b); err != nil || b.ID == "" {
		return fmt.Errorf("a record that nobody wrote: %.80q (%w)", value, err)
	}
	s.marks = append(s.marks, fmt.Sprintf("%s:%d:%d:%s", b.ID, b.Number, s.n, s.h))
	s.marks = s.marks[max(0, len(s.marks)-ringSize):]
	return nil
}

func (m *model) execute(ctx context.Context, p *position, commands []command) error {
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
		}
	}
	return nil
}

// readLog hands each record of the log to f, partition by partition and in order, markers included, up to the last stable offsets.
func readLog(ctx context.Context, brokers []string, log string, ends []int64, f func(*kgo.Record) error) error {
	for p, end := range ends {
		if end == 0 {
			continue
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.KeepControlRecords(), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.FetchMaxWait(50*time.Millisecond),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{log: {int32(p): kgo.NewOffset().AtStart()}}))
		if err != nil {
			return err
		}
		for next := int64(0); next < end && err == nil; {
			fetches := client.PollFetches(ctx)
			for _, r := range fetches.Records() {
				if next = r.Offset + 1; next <= end && err == nil {
					err = f(r)
				}
			}
			if ctx.Err() != nil {
				err = fmt.Errorf("read the log: partition %d stands at %d of %d: %w", p, next, end, ctx.Err())
			}
		}
		client.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// differences compares what a Redis holds with the model.
func (m *model) differences(ctx context.Context, log string, got *redis.Client) ([]string, error) {
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for p := range m.positions {
		have, err := got.HGetAll(ctx, wal.CheckpointKey(log, int32(p))).Result()
		if err != nil {
			return nil, err
		}
		for name, want := range m.positions[p].fields() {
			if have[name] != want {
				add("partition %d: %s\n got %s\nwant %s", p, name, have[name], want)
			}
		}
		// Fewer are possible: those of a batch whose answer was lost are not known.
		if n, err := strconv.Atoi(have["refused.n"]); err != nil || n > m.positions[p].refused {
			add("partition %d: %s refused, want at most %d", p, have["refused.n"], m.positions[p].refused)
		}
	}
	keys := map[string]bool{}
	for _, c := range []*redis.Client{got, m.client} {
		it := c.Scan(ctx, 0, "", 1000).Iterator()
		for it.Next(ctx) {
			keys[it.Val()] = true
		}
		if it.Err() != nil {
			return nil, it.Err()
		}
	}
	delete(keys, wal.MetaKey(log))
	for p := range m.positions {
		delete(keys, wal.CheckpointKey(log, int32(p)))
	}
	for k := range keys {
		have, err := read(ctx, got, k)
		if err != nil {
			return nil, err
		}
		want, err := read(ctx, m.client, k)
		if err != nil {
			return nil, err
		}
		if have != want {
			add("%s (partition %d):\n got %s\nwant %s", k, wal.Partition(wal.RoutingKey([]byte(k)), int32(len(m.positions))), have, want)
		}
	}
	return out, nil
}

// read is a key's value, and when it expires, as text that two Redis share. DUMP alone would not do: the order of a large set depends on
// the process.
func read(ctx context.Context, c *redis.Client, k string) (string, error) {
	typ, err := c.Type(ctx, k).Result()
	if err != nil {
		return "", err
	}
	var v any
	switch typ {
	case "none":
		return "nothing", nil
	case "string":
		var s string
		s, err = c.Get(ctx, k).Result()
		v = hex.EncodeToString([]byte(s)) + fmt.Sprintf(" %.200q", s)
	case "hash":
		v, err = c.HGetAll(ctx, k).Result() // printed in order
	case "list":
		v, err = c.LRange(ctx, k, 0, -1).Result()
	case "set":
		var s []string
		s, err = c.SMembers(ctx, k).Result()
		slices.Sort(s)
		v = s
	case "zset":
		v, err = c.ZRangeWithScores(ctx, k, 0, -1).Result()
	case "stream":
		v, err = entries(ctx, c, k)
	default:
		return "", fmt.Errorf("%s is of type %s", k, typ)
	}
	if err != nil {
		return "", err
	}
	at, err := c.PExpireTime(ctx, k).Result()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %q, expires %d", typ, fmt.Sprint(v), at.Milliseconds()), nil
}

func entries(ctx context.Context, c *redis.Client, k string) (string, error) {
	list, err1 := c.XRange(ctx, k, "-", "+").Result()
	info, err2 := c.XInfoStream(ctx, k).Result()
	groups, err3 := c.XInfoGroups(ctx, k).Result()
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", err
	}
	return fmt.Sprint(list, info.LastGeneratedID, info.EntriesAdded, info.MaxDeletedEntryID, groups), nil
}
