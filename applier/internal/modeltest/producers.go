package modeltest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// producer is an application that numbers its records. It writes at one site until it moves.
type producer struct {
	id      string
	site    string
	started int                 // incarnations
	next    [partitions]int64   // sequence
	holes   [partitions][]int64 // sequences that it has not used yet, though it used later ones
}

// sent is a record that an application got acknowledged, and may send again because it never learned so.
type sent struct {
	record *kgo.Record
	site   string
}

func newProducers() []*producer {
	var out []*producer
	for i, site := range []string{self, self, self, peer, peer} {
		p := &producer{id: "app-" + strconv.Itoa(i), site: site}
		p.restart()
		out = append(out, p)
	}
	return out
}

// restart makes it another producer, whose sequences begin anew.
func (p *producer) restart() {
	name, _, _ := strings.Cut(p.id, "/")
	p.id, p.next, p.holes = fmt.Sprintf("%s/%d", name, p.started), [partitions]int64{}, [partitions][]int64{}
	p.started++
}

// number gives the record of a producer at a site its sequence: mostly the next one, sometimes one of those that it left out, and
// sometimes it leaves out so many that what was before is too far behind to tell.
func (r *run) number(rec *kgo.Record, site string) {
	var here []*producer
	for _, p := range r.producers {
		if p.site == site {
			here = append(here, p)
		}
	}
	if len(here) == 0 || r.rand.IntN(4) == 0 {
		return // without a number
	}
	p := here[r.rand.IntN(len(here))]
	next, holes := &p.next[rec.Partition], &p.holes[rec.Partition]
	switch {
	case r.rand.IntN(150) == 0:
		*next += 800 + r.rand.Int64N(800)
	case r.rand.IntN(30) == 0:
		for range 1 + r.rand.IntN(5) {
			*holes = append(*holes, *next)
			*next++
		}
	}
	seq := *next
	if n := len(*holes); n > 0 && r.rand.IntN(6) == 0 {
		i := r.rand.IntN(n)
		seq = (*holes)[i]
		*holes = slices.Delete(*holes, i, i+1)
	} else {
		*next++
	}
	rec.Headers = append(rec.Headers,
		kgo.RecordHeader{Key: wal.HeaderProducer, Value: []byte(p.id)}, kgo.RecordHeader{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, seq, 10)})
	r.sent = append(r.sent, sent{rec, site})
}

// again are records that were sent before at one site, as an application sends them at another one, or at the same: most of them lately.
func (r *run) again(from, to string, n int) []*kgo.Record {
	var all []*kgo.Record
	for _, s := range r.sent {
		if s.site == from {
			all = append(all, s.record)
		}
	}
	var out []*kgo.Record
	for range n {
		if len(all) == 0 {
			break
		}
		i := r.rand.IntN(len(all))
		if r.rand.IntN(4) > 0 {
			i = max(0, len(all)-1-r.rand.IntN(40))
		}
		out = append(out, at(all[i], to))
	}
	return out
}

// at is a copy of a record as it is at a site before it is sent: Kafka's fields of the original are not its own.
func at(rec *kgo.Record, site string) *kgo.Record {
	c := &kgo.Record{Topic: rec.Topic, Partition: rec.Partition, Key: rec.Key, Value: rec.Value, Timestamp: rec.Timestamp}
	for _, h := range rec.Headers {
		if h.Key != wal.HeaderLocal {
			c.Headers = append(c.Headers, h)
		}
	}
	if site == self {
		c.Headers = append(c.Headers, kgo.RecordHeader{Key: wal.HeaderLocal, Value: []byte("1")})
	}
	return c
}
