package modeltest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/wal"
)

// verdict is what a comparison found.
type verdict struct {
	differences     []string
	lost, duplicate int // witnesses: records of which Redis holds none, or more than one
}

// compare compares what a Redis holds with the model.
func (m *model) compare(ctx context.Context, log string, got *redis.Client) (v verdict, err error) {
	out := &v.differences
	add := func(format string, args ...any) { *out = append(*out, fmt.Sprintf(format, args...)) }
	for p := range m.positions {
		have, err := got.HGetAll(ctx, wal.CheckpointKey(log, int32(p))).Result()
		if err != nil {
			return v, err
		}
		for name, want := range m.positions[p].fields() {
			if strings.HasPrefix(name, "repeating.") && have[name] == "" {
				have[name] = "0" // absent until it is 1 for the first time
			}
			if have[name] != want {
				add("partition %d: %s\n got %s\nwant %s", p, name, have[name], want)
			}
		}
		// Fewer are possible: those of a batch whose answer was lost are not known.
		if n, err := strconv.Atoi(have["refused.n"]); err != nil || n > m.positions[p].refused {
			add("partition %d: %s refused, want at most %d", p, have["refused.n"], m.positions[p].refused)
		}
		if err := m.compareProducers(ctx, p, producersKey(log, p), got, add); err != nil {
			return v, err
		}
	}
	keys := map[string]bool{}
	for _, c := range []*redis.Client{got, m.client} {
		it := c.Scan(ctx, 0, "", 1000).Iterator()
		for it.Next(ctx) {
			keys[it.Val()] = true
		}
		if it.Err() != nil {
			return v, it.Err()
		}
	}
	delete(keys, wal.MetaKey(log))
	for p := range m.positions {
		delete(keys, wal.CheckpointKey(log, int32(p)))
		delete(keys, producersKey(log, p))
	}
	for k := range keys {
		have, err := read(ctx, got, k)
		if err != nil {
			return v, err
		}
		want, err := read(ctx, m.client, k)
		if err != nil {
			return v, err
		}
		if have == want {
			continue
		}
		add("%s (partition %d):\n got %s\nwant %s", k, wal.Partition(wal.RoutingKey([]byte(k)), int32(len(m.positions))), have, want)
		if strings.HasSuffix(k, witness) {
			if err := v.count(ctx, got, m.client, k); err != nil {
				return v, err
			}
		}
	}
	return v, nil
}

// count counts the records that a list of witnesses lacks, and those that it has more than once.
func (v *verdict) count(ctx context.Context, got, want *redis.Client, k string) error {
	have, err1 := got.LRange(ctx, k, 0, -1).Result()
	all, err2 := want.LRange(ctx, k, 0, -1).Result()
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("%s: %w", k, err)
	}
	n := map[string]int{}
	for _, w := range have {
		n[w]++
	}
	for _, w := range all {
		n[w]--
	}
	for _, more := range n {
		v.lost += max(0, -more)
		v.duplicate += max(0, more)
	}
	return nil
}

func producersKey(log string, partition int) string {
	return wal.CheckpointKey(log, int32(partition)) + ":producers"
}

// compareProducers compares the windows of repeats: which producers there are, and the highest sequence of each window.
func (m *model) compareProducers(ctx context.Context, p int, key string, got *redis.Client, add func(string, ...any)) error {
	have, err := got.HGetAll(ctx, key).Result()
	if err != nil {
		return err
	}
	want := m.positions[p].producers()
	for producer, text := range have {
		if _, ok := want[producer]; !ok {
			add("partition %d: nobody expects the producer %s, %s", p, producer, text)
		}
	}
	for producer, text := range want {
		if have := highest(have[producer]); have != text {
			add("partition %d: producer %s:\n got %s\nwant %s", p, producer, have, text)
		}
	}
	return nil
}

// producers is the highest sequence of each window, and those that were fenced, by producer.
func (p *position) producers() map[string]string {
	out := map[string]string{}
	for _, x := range []struct {
		name    string
		windows map[string]*window
	}{{"seen." + self, p.streams[self].seen}, {"seen." + peer, p.streams[peer].seen}, {"applied", p.applied}} {
		for producer, w := range x.windows {
			if w.all != nil {
				out[producer] = strings.TrimSpace(out[producer] + " " + x.name + "=" + itoa(w.highest))
			}
		}
	}
	for producer, w := range p.applied {
		var fenced []string
		for _, run := range w.runs() {
			fenced = append(fenced, itoa(run.first)+"-"+itoa(run.last))
		}
		if len(fenced) > 0 {
			out[producer] = strings.TrimSpace(out[producer] + " fenced=" + strings.Join(fenced, ","))
		}
	}
	return out
}

// highest leaves the highest sequences of what a checkpoint says of a producer: last=7 seen.dc=9/3 applied=9:8A becomes seen.dc=9 applied=9. What was fenced
// is left as it is.
func highest(text string) string {
	var out []string
	for _, word := range strings.Fields(text) {
		if !strings.HasPrefix(word, "last=") {
			out = append(out, strings.FieldsFunc(word, func(c rune) bool { return c == '/' || c == ':' })[0])
		}
	}
	return strings.Join(out, " ")
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
