package app_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/app"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
)

// The group shares out its partitions anew, and one member, whose node hangs, does not take part: until the group gives it up, every
// other member waits in its request to join. One that is told to stop waited there too, far longer than it promises.
func TestStopWhileTheGroupSharesOut(t *testing.T) {
	t.Parallel()
	kafka := sitetest.NewKafka(t, "redis-writes", 1)
	joining := make(chan struct{})
	var once sync.Once
	kafka.Cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		kafka.Cluster.KeepControl()
		once.Do(func() { close(joining) })
		return nil, nil, true // no answer
	})
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(sitetest.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.DefaultRun()
	cfg.Site, cfg.Peer, cfg.Partitions, cfg.SigningKeyFile, cfg.Listen = "dc", "dr", 1, key, "127.0.0.1:0"
	cfg.Brokers, cfg.Sentinels = kafka.Cluster.ListenAddrs(), sitetest.NewSentinels(t, 1, "127.0.0.1:1").Addrs
	a, err := app.New(cfg, app.Options{Logger: slog.New(slog.DiscardHandler), Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- a.Run(ctx) }()
	<-joining
	cancel()
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second): // the group would take a minute
		t.Error("it waits for the group")
	}
}
