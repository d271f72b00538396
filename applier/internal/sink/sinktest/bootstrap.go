package sinktest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/wal"
)

// notWhileFilled: the key that stands there while Redis is filled is seen by who joins, and by who would create the checkpoints, even if it comes between his look and his
// transaction.
func notWhileFilled(t *testing.T, b *bench) {
	addr := relay(t, b.Addr, "MULTI", func() { b.Client.Set(b.ctx, wal.BootstrapKey(log), "now", 0) })
	slow := sink.New(sink.Options{Sites: sites, Log: log, Sentinels: sitetest.NewSentinels(t, 3, addr).Addrs[:1], SentinelMaster: "mymaster"})
	t.Cleanup(func() { _ = slow.Close() })
	c, err := slow.Open(b.ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Create(b.ctx, plan.Creation{Meta: wal.Meta{TopicID: wal.TopicID{1}, Partitions: 1}}); !errors.Is(err, sink.ErrMoved) {
		t.Errorf("got %v, want it to leave the Redis alone", err)
	}
	stored, err := b.open(t).Join(b.ctx)
	if err != nil || stored.Bootstrap != "now" || len(stored.Meta) > 0 {
		t.Errorf("got %+v, %v, want the key, and no meta", stored, err)
	}
}

// forgetsWhatWasSkipped: the field is in the checkpoint as long as it is needed, and goes with the batch that passes it.
func forgetsWhatWasSkipped(t *testing.T, b *bench) {
	b.create(t)
	field := wal.SkipField(sites, wal.Mirrored)
	b.Client.HSet(b.ctx, wal.CheckpointKey(log, 0), field, 2)
	rules := plan.Rules{Sites: sites, Log: log, Partitions: 1, MaxRecords: 1, MaxBytes: 1 << 20}
	record := wal.Record{Key: []byte("x"), Value: []byte("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\n1\r\n"), Headers: []wal.Header{{Key: wal.HeaderLevel, Value: []byte("1")}}}
	for i, want := range []bool{true, false} {
		c, cp := b.join(t)
		if cp.Skip[wal.Mirrored] != 2 {
			t.Fatalf("got %d, want what stands there", cp.Skip)
		}
		record.Offset = int64(i)
		planned, _, err := plan.New(rules).Plan(plan.Input{From: cp, Records: []wal.Record{record}, Producers: plan.NewProducers(nil), Alone: -1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.commit(c, planned); err != nil {
			t.Fatal(err)
		}
		if got := b.Client.HExists(b.ctx, wal.CheckpointKey(log, 0), field).Val(); got != want {
			t.Errorf("after offset %d: got %v, want %v", i, got, want)
		}
	}
	b.want(t, 2, map[string]string{"x": ""})
}

// relay passes on to a Redis what comes in at its address, and does something before what contains a word.
func relay(t *testing.T, target, word string, before func()) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.1.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				return
			}
			go func() {
				_, _ = io.Copy(client, server)
				_ = client.Close()
			}()
			go func() {
				defer func() { _ = server.Close() }()
				buf := make([]byte, 64<<10)
				for {
					n, err := client.Read(buf)
					if err != nil {
						return
					}
					if bytes.Contains(buf[:n], []byte(word)) {
						before()
					}
					if _, err := server.Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
