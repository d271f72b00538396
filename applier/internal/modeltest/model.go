package modeltest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// model is what must have come of a log: it executes the records one by one, in their order, on a Redis of its own.
type model struct {
	sites    wal.Sites
	client   *redis.Client
	meanings []meaning

	checkpoints []wal.Checkpoint // by partition
	poison      map[place]bool
	chain       wal.Chain
}

// place is a record's place in the log.
type place struct {
	partition int32
	offset    int64
}

// take executes one record of the log as read_committed shows it.
func (m *model) take(ctx context.Context, r *kgo.Record) error {
	c := &m.checkpoints[r.Partition]
	if r.Offset < c.Next {
		return fmt.Errorf("read offset %d of partition %d after %d", r.Offset, r.Partition, c.Next)
	}
	c.Next, c.LeaderEpoch = r.Offset+1, r.LeaderEpoch
	if r.Attrs.IsControl() {
		return nil // Kafka's marker
	}
	c.Timestamp = r.Timestamp.UnixMilli()
	rec := wal.Record{Key: r.Key, Value: r.Value, Timestamp: c.Timestamp}
	headers, origin := map[string][]byte{}, wal.Mirrored
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, wal.Header{Key: h.Key, Value: h.Value})
		headers[h.Key] = h.Value
		if h.Key == wal.HeaderLocal {
			origin = wal.Local
		}
	}
	if headers[number] == nil { // an applier's
		return m.barrier(c, origin, r.Value)
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
	s := &c.Streams[origin]
	s.N++
	s.H = m.chain.Next(s.H, &rec, &e)
	return m.execute(ctx, c, meaning.commands)
}

func (m *model) barrier(c *wal.Checkpoint, o wal.Origin, value []byte) error {
	var b struct {
		ID     string `json:"id"`
		Number uint64 `json:"number"`
	}
	if err := json.Unmarshal(value, &b); err != nil || b.ID == "" {
		return fmt.Errorf("a record that nobody wrote: %.80q (%w)", value, err)
	}
	c.Barriers[o] = append(slices.Clone(c.Barriers[o]), wal.Mark{ID: b.ID, Number: b.Number, N: c.Streams[o].N, H: c.Streams[o].H})
	if n := len(c.Barriers[o]); n > 64 {
		c.Barriers[o] = c.Barriers[o][n-64:]
	}
	return nil
}

func (m *model) execute(ctx context.Context, c *wal.Checkpoint, commands []command) error {
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
		c.Expired++
	}
	answers, err := pipe.Exec(ctx)
	if re := redis.Error(nil); err != nil && !errors.As(err, &re) {
		return err
	}
	for i, a := range answers {
		if err := a.Err(); err != nil && !errors.Is(err, redis.Nil) {
			if redis.HasErrorPrefix(err, "EXECABORT") {
				return fmt.Errorf("the model's own command is wrong: %v: %w", commands, err)
			}
			_ = i
			c.RefusedN++
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
	for p, want := range m.checkpoints {
		fields, err := got.HGetAll(ctx, wal.CheckpointKey(log, int32(p))).Result()
		if err != nil {
			return nil, err
		}
		have, err := wal.ParseCheckpoint(fields, m.sites)
		if err != nil {
			return nil, err
		}
		if have.RefusedN > want.RefusedN { // fewer is possible: those before a broken connection are not counted again
			add("partition %d: %d refused, want at most %d", p, have.RefusedN, want.RefusedN)
		}
		have.RefusedN, have.RefusedH, want.RefusedN = 0, wal.Hash{}, 0
		want.TopicID = have.TopicID
		if have.Position != want.Position {
			add("partition %d: position\n got %+v\nwant %+v", p, have.Position, want.Position)
		}
		for _, o := range wal.Origins {
			if have.Barriers[o].String() != want.Barriers[o].String() {
				add("partition %d: ring of %s\n got %s\nwant %s", p, o, have.Barriers[o], want.Barriers[o])
			}
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
	for p := range m.checkpoints {
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
			add("%s (partition %d):\n got %s\nwant %s", k, wal.Partition(wal.RoutingKey([]byte(k)), int32(len(m.checkpoints))), have, want)
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
		v, err = stream(ctx, c, k)
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

func stream(ctx context.Context, c *redis.Client, k string) (string, error) {
	entries, err1 := c.XRange(ctx, k, "-", "+").Result()
	info, err2 := c.XInfoStream(ctx, k).Result()
	groups, err3 := c.XInfoGroups(ctx, k).Result()
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", err
	}
	return fmt.Sprint(entries, info.LastGeneratedID, info.EntriesAdded, info.MaxDeletedEntryID, groups), nil
}
