package demo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/lab/internal/model"
	"github.com/comptech-lab/redis-wal/wal"
)

// shown is how many differences are printed; the number of all is in the table.
const shown = 10

// compare reads both sites and the model and compares every key.
func (d *demo) compare(ctx context.Context) (bool, error) {
	want, err := model.Read(ctx, d.model.Client())
	if err != nil {
		return false, fmt.Errorf("model: %w", err)
	}
	d.say.Blank()
	d.say.Step("compare", "every key, value and expiry with a Redis that got the same operations directly")
	d.say.Indent(fmt.Sprintf("%-8s %10s %12s %9s %9s %9s", "", "keys", "with expiry", "missing", "extra", "unequal"))
	d.say.Indent(fmt.Sprintf("%-8s %10s %12s", "model", thousands(want.Len()), thousands(want.Expiring())))
	var examples []string
	for _, site := range d.sites.Names() {
		f := d.sites.Redis(site)
		addr, err := f.Primary(ctx)
		if err != nil {
			return false, err
		}
		c := redis.NewClient(&redis.Options{Addr: addr, Password: f.Password(), Protocol: 2, DisableIdentity: true})
		got, err := model.Read(ctx, c)
		_ = c.Close()
		if err != nil {
			return false, fmt.Errorf("%s: %w", site, err)
		}
		counts := make(map[string]int)
		for _, diff := range model.Compare(want, got) {
			switch diff.What {
			case "missing", "extra":
				counts[diff.What]++
			default:
				counts["unequal"]++
			}
			if len(examples) < shown {
				examples = append(examples, site+": "+diff.String())
			}
		}
		d.say.Indent(fmt.Sprintf("%-8s %10s %12s %9s %9s %9s", site, thousands(got.Len()), thousands(got.Expiring()),
			thousands(counts["missing"]), thousands(counts["extra"]), thousands(counts["unequal"])))
	}
	for _, e := range examples {
		d.say.Indent(e)
	}
	return len(examples) == 0, nil
}

// count compares what the sites set aside, poison and refused commands, with what was produced of them.
func (d *demo) count(ctx context.Context) (bool, error) {
	ok := true
	for _, site := range d.sites.Names() {
		poison, err := d.dlq(ctx, site)
		if err != nil {
			return false, fmt.Errorf("%s: read the DLQ: %w", site, err)
		}
		refused, err := d.refusals(ctx, site)
		if err != nil {
			return false, fmt.Errorf("%s: read the checkpoints: %w", site, err)
		}
		// Redis tells what it refused only in its answer. An answer that a kill cuts off takes the count with it, so that
		// a site may have counted less than there was. It is for people, nothing is decided by it.
		line := fmt.Sprintf("%d records of poison in its DLQ, %d of %d refused commands counted", sum(poison), refused, d.refused)
		if !maps.Equal(poison, d.poison) || refused > d.refused {
			ok = false
			line += fmt.Sprintf("; poison produced:%s; found:%s", spell(d.poison), spell(poison))
		}
		d.say.Step("aside "+site, "%s", line)
	}
	return ok, nil
}

// denied says what the Kafkas denied to anybody: an ACL that is too narrow, even where the system lives with it.
func (d *demo) denied() (bool, error) {
	ok := true
	for _, site := range d.sites.Names() {
		lines, err := d.sites.Kafka(site).Denied()
		if err != nil {
			return false, err
		}
		for _, line := range lines {
			d.say.Step("denied "+site, "%s", line)
			ok = false
		}
	}
	return ok, nil
}

// refusals is what the checkpoints of the site count as refused.
func (d *demo) refusals(ctx context.Context, site string) (int, error) {
	f, declared := d.sites.Redis(site), d.sites.Declared(site)
	addr, err := f.Primary(ctx)
	if err != nil {
		return 0, err
	}
	c := redis.NewClient(&redis.Options{Addr: addr, Password: f.Password(), Protocol: 2, DisableIdentity: true})
	defer func() { _ = c.Close() }()
	total := 0
	for p := range declared.Partitions {
		n, err := c.HGet(ctx, wal.CheckpointKey(declared.Log, p), "refused.n").Int()
		if err != nil && !errors.Is(err, redis.Nil) {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// dlq reads the DLQ of a site to its end and counts the poison by reason. Copies of the same record, which a crash in between can leave, count once.
func (d *demo) dlq(ctx context.Context, site string) (map[string]int, error) {
	out := make(map[string]int)
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	kafka, topic := d.sites.Kafka(site), d.sites.Declared(site).Log+".dlq"
	ends, err := kafka.Ends(ctx, topic)
	if err != nil {
		return out, err
	}
	begin := make(map[int32]kgo.Offset)
	for p, end := range ends {
		if end > 0 {
			begin[p] = kgo.NewOffset().AtStart()
		}
	}
	if len(begin) == 0 {
		return out, nil
	}
	cl, err := kafka.Client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: begin}), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return out, err
	}
	defer cl.Close()
	seen := make(map[string]bool)
	for len(begin) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return out, err
		}
		for _, r := range fetches.Records() {
			if r.Offset+1 >= ends[r.Partition] {
				delete(begin, r.Partition)
			}
			h := make(map[string]string)
			for _, header := range r.Headers {
				h[header.Key] = string(header.Value)
			}
			id := h["dlq-topic-id"] + "/" + h["dlq-partition"] + "/" + h["dlq-offset"]
			if r.Attrs.IsControl() || seen[id] {
				continue
			}
			seen[id] = true
			if h["dlq-class"] == "poison" {
				reason, _, _ := strings.Cut(h["dlq-reason"], ":")
				out[reason]++
			}
		}
	}
	return out, nil
}

func sum(m map[string]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func spell(m map[string]int) string {
	s := ""
	for _, k := range sorted(m) {
		s += fmt.Sprintf(" %s=%d", k, m[k])
	}
	return s
}
