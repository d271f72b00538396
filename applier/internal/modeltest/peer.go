package modeltest

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/wal"
)

// peerLog is the log of the other site, as far as it is mirrored: what was appended there, with its barriers, and how far the mirror is.
type peerLog struct {
	signer   *wal.Signer
	streams  [partitions][]*kgo.Record
	carried  [partitions]int
	barriers [partitions]uint64 // number of the last one
	owners   [2]string          // producers of barriers: two appliers that both believe to own a partition
	seq      [2][partitions]int64
	every    int // a barrier stands between so many records, about
}

func newPeerLog(log string, every int) (*peerLog, error) {
	signer, err := wal.NewSigner(log, []byte(sitetest.Key))
	return &peerLog{signer: signer, owners: [2]string{"applier/dr/1", "applier/dr/2"}, every: every}, err
}

// appendPeer appends records at the peer.
func (r *run) appendPeer(n int) error {
	for range n {
		r.peer.append(at(r.recordAt(peer), peer))
		if r.rand.IntN(r.peer.every) == 0 {
			if err := r.appendBarrier(int32(r.rand.IntN(partitions))); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *peerLog) append(rec *kgo.Record) {
	l.streams[rec.Partition] = append(l.streams[rec.Partition], rec)
}

// appendBarrier has an applier of the peer append a barrier. Its number may be the last one's: another owner had the same idea.
func (r *run) appendBarrier(partition int32) error {
	l, owner := r.peer, 0
	if r.rand.IntN(5) == 0 {
		owner = 1
	}
	if owner == 0 || l.barriers[partition] == 0 || r.rand.IntN(2) == 0 {
		l.barriers[partition]++
	}
	now := time.Now()
	value, err := json.Marshal(map[string]any{
		"id": fmt.Sprintf("peer-%x", r.rand.Uint64()), "number": l.barriers[partition], "partitions": partitions, "time": now.UnixMilli(),
	})
	if err != nil {
		return err
	}
	l.seq[owner][partition]++
	rec := &kgo.Record{Topic: r.kafka.Log, Partition: partition, Value: value, Timestamp: now, Headers: []kgo.RecordHeader{
		{Key: wal.HeaderLevel, Value: []byte("1")},
		{Key: wal.HeaderControl, Value: []byte(wal.TypeBarrier)},
		{Key: wal.HeaderSignature, Value: []byte(l.signer.Sign(partition, wal.TypeBarrier, value))},
		{Key: wal.HeaderProducer, Value: []byte(l.owners[owner])},
		{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, l.seq[owner][partition], 10)},
	}}
	l.append(rec)
	return nil
}

// carry takes the next records of each partition's stream, at most so many in all, in the order of their streams.
func (r *run) carry(most int) []*kgo.Record {
	var out []*kgo.Record
	l := r.peer
	for _, p := range r.rand.Perm(partitions) {
		todo := l.streams[p][l.carried[p]:]
		todo = todo[:min(len(todo), most-len(out))]
		for _, rec := range todo {
			out = append(out, at(rec, peer))
		}
		l.carried[p] += len(todo)
	}
	return out
}

// mirrorOn has the peer get records and the mirror carry some of those that are not carried yet. An exactly-once mirror does it in a
// transaction; local records may come in between, which nobody may read before the transaction ends. If it aborts, the same records come
// again.
func (r *run) mirrorOn(ctx context.Context, end kgo.TransactionEndTry) error {
	if err := r.appendPeer(r.rand.IntN(60)); err != nil {
		return err
	}
	if !r.exactlyOnce {
		return r.mirrorOften(ctx)
	}
	if err := r.mirror.BeginTransaction(); err != nil {
		return err
	}
	before := r.peer.carried
	for range 1 + r.rand.IntN(2) {
		if err := r.mirror.ProduceSync(ctx, r.carry(10+r.rand.IntN(120))...).FirstErr(); err != nil {
			return err
		}
		if r.rand.IntN(2) == 0 {
			if err := r.appendLocal(ctx); err != nil {
				return err
			}
		}
	}
	if end == kgo.TryAbort {
		r.peer.carried = before
	}
	return r.mirror.EndTransaction(ctx, end)
}

// mirrorOften carries records at least once: now and then the last ones a second time.
func (r *run) mirrorOften(ctx context.Context) error {
	records := r.carry(10 + r.rand.IntN(200))
	if r.rand.IntN(3) == 0 {
		for _, rec := range records[len(records)-r.rand.IntN(len(records)+1):] {
			records = append(records, at(rec, peer))
		}
	}
	return r.kafka.Client.ProduceSync(ctx, records...).FirstErr()
}

// rewind has the mirror forget how far it was, in one partition or in all: it goes on further back, or at the very beginning.
func (r *run) rewind(ctx context.Context) error {
	one := r.rand.IntN(partitions)
	whole := r.rand.IntN(3) == 0
	for p := range partitions {
		if n := r.peer.carried[p]; n > 0 && (p == one || r.rand.IntN(2) == 0) {
			if r.peer.carried[p] = 0; !whole {
				r.peer.carried[p] = max(0, n-1-r.rand.IntN(150))
			}
		}
	}
	return r.mirrorOn(ctx, kgo.TryCommit)
}

// resend has an application send again what it sent before, here or at the peer.
func (r *run) resend(ctx context.Context) error {
	for _, rec := range r.again(peer, peer, r.rand.IntN(10)) {
		r.peer.append(rec)
	}
	return r.produce(ctx, r.again(self, self, 1+r.rand.IntN(30)))
}

// move has an application go to the other site, send again there what it sent last at the one that it left, and go on there.
func (r *run) move(ctx context.Context) error {
	p := r.producers[r.rand.IntN(len(r.producers))]
	from := p.site
	p.site = other(from)
	var theirs []*kgo.Record
	for _, s := range r.sent {
		if s.site == from && header(s.record, wal.HeaderProducer) == p.id {
			theirs = append(theirs, at(s.record, p.site))
		}
	}
	theirs = theirs[len(theirs)-min(len(theirs), r.rand.IntN(60)):]
	theirs = append(theirs, r.again(from, p.site, r.rand.IntN(5))...)
	if p.site == self {
		return r.produce(ctx, theirs)
	}
	for _, rec := range theirs {
		r.peer.append(rec)
	}
	return nil
}

// restartProducer has an application begin anew, as another producer.
func (r *run) restartProducer(context.Context) error {
	r.producers[r.rand.IntN(len(r.producers))].restart()
	return nil
}

func other(site string) string {
	if site == self {
		return peer
	}
	return self
}

func header(rec *kgo.Record, key string) string {
	for _, h := range rec.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func (r *run) produce(ctx context.Context, records []*kgo.Record) error {
	return r.kafka.Client.ProduceSync(ctx, records...).FirstErr()
}
