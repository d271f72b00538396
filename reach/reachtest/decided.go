package reachtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

func checkpoints(t *testing.T, b *bench) {
	if _, err := b.Checkpoints(b.ctx); err == nil || !strings.Contains(err.Error(), "dc has no checkpoint of partition 0") {
		t.Errorf("an empty Redis: got %v", err)
	}
	for p := range int32(partitions) {
		want := wal.Checkpoint{Position: wal.Position{Next: 7 + int64(p), Epoch: wal.Epoch{Minor: 1, Site: "dr"}, Activate: "a"}}
		want.Closings = []wal.Closing{want.Close(wal.Sites{Self: "dc", Peer: "dr"}, 3)}
		for _, f := range want.Fields(wal.Sites{Self: "dc", Peer: "dr"}) {
			if err := b.redis.Client.HSet(b.ctx, wal.CheckpointKey(log, p), f.Name, f.Value).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := b.Checkpoints(b.ctx)
	if err != nil || len(all) != partitions || all[2].Next != 9 || all[2].Activate != "a" || len(all[2].Closings) != 1 || all[2].Closings[0].Offset != 3 {
		t.Errorf("got %+v, %v", all, err)
	}
}

// tail reads the records of dc's own stream from the second on: not those of the peer, repeats, or poison.
func tail(t *testing.T, b *bench) {
	data := func(value string, headers ...kgo.RecordHeader) *kgo.Record {
		k := "k0"
		for i := 0; wal.Partition([]byte(k), partitions) != 1; i++ {
			k = fmt.Sprint("k", i)
		}
		op := wal.Op{Commands: [][][]byte{{[]byte("SET"), []byte(k), []byte(value)}}}
		return &kgo.Record{
			Topic: log, Partition: 1, Key: []byte(k), Value: op.AppendRESP(nil), Timestamp: time.UnixMilli(1000),
			Headers: append([]kgo.RecordHeader{{Key: wal.HeaderLevel, Value: []byte("1")}}, headers...),
		}
	}
	local := kgo.RecordHeader{Key: wal.HeaderLocal, Value: []byte("1")}
	named := []kgo.RecordHeader{local, {Key: wal.HeaderProducer, Value: []byte("p")}, {Key: wal.HeaderSeq, Value: []byte("1")}}
	poison := data("poison", local)
	poison.Value = []byte("garbage")
	counted := []*kgo.Record{data("one", named...), data("two", local), data("three", local)}
	b.produce(t, data("mirrored"), counted[0], data("one", named...), poison, counted[1], data("mirrored"), counted[2])
	var chain wal.Chain
	var at []wal.Counted
	var h wal.Hash
	for i, r := range counted {
		w := wal.Record{Partition: 1, Key: r.Key, Value: r.Value, Timestamp: 1000}
		for _, x := range r.Headers {
			w.Headers = append(w.Headers, wal.Header(x))
		}
		e, err := w.Envelope()
		if err != nil {
			t.Fatal(err)
		}
		h = chain.Next(h, &w, &e)
		at = append(at, wal.Counted{N: uint64(i) + 1, H: h})
	}
	q := writer.TailQuery{Partition: 1, Begin: -1, End: 7, Base: at[0], Last: at[2]}
	got, err := b.Tail(b.ctx, q)
	if err != nil || len(got) != 2 || got[0].N != 2 || got[1].Offset != 6 || string(got[1].Value) != string(counted[2].Value) || len(got[1].Headers) != 2 || got[0].Site != "dc" {
		t.Errorf("got %+v, %v", got, err)
	}
	q.Last.H = wal.Hash{1}
	if got, err := b.Tail(b.ctx, q); err == nil {
		t.Errorf("with another chain: got %d records", len(got))
	}
	q.Last, q.Base = at[2], wal.Counted{N: 1, H: wal.Hash{1}}
	if got, err := b.Tail(b.ctx, q); err == nil || !strings.Contains(err.Error(), "differ in epoch none before its tail") {
		t.Errorf("with another beginning: got %d records, %v", len(got), err)
	}
}
