package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// The command as an operator's program runs it: a process, spoken to on its standard input and output.
func TestCtl(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	k := sitetest.NewKafka(t, "redis-writes", 2)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(sitetest.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"APPLIER_SITE": "dc", "APPLIER_PEER": "dr", "APPLIER_PARTITIONS": strconv.Itoa(2), "APPLIER_SIGNING_KEY_FILE": key,
		"APPLIER_KAFKA_BROKERS": strings.Join(k.Cluster.ListenAddrs(), ","), "APPLIER_SENTINELS": "127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	site, err := reach.Exec(ctx, []string{"redis-applier", "ctl"}) // testscript has put it on the PATH
	if err != nil {
		t.Fatal(err)
	}
	offsets, err := site.Append(ctx, []writer.Control{{Partition: 1, Seal: &wal.Seal{ID: "s"}}, {Partition: 1, Seal: &wal.Seal{ID: "t"}}})
	if err != nil || offsets[1] != 1 {
		t.Errorf("got %v, %v", offsets, err)
	}
	if e, err := site.Ends(ctx); err != nil || e.End[1] != 2 {
		t.Errorf("got %+v, %v", e, err)
	}
	if err := site.Follow(ctx, time.Now(), nil, cancel); ctx.Err() == nil {
		t.Errorf("got %v before it was caught", err)
	}
	if err := site.Close(); err != nil {
		t.Error(err)
	}
}
