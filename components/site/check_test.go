package site_test

import (
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/components/site"
)

// The check runs again when what it proves may have changed, and not because there are more pods or larger volumes.
func TestWhenTheCheckRunsAgain(t *testing.T) {
	t.Parallel()
	trigger := func(t *testing.T, change func(*site.Args)) any {
		t.Helper()
		a := args()
		change(&a)
		for _, r := range run(t, map[string]site.Args{"east-redis": a}).Resources {
			if r.Kind() == "Job" {
				return r.ReplacementTrigger
			}
		}
		t.Fatal("there is no Job")
		return nil
	}
	before := trigger(t, func(*site.Args) {})
	if before == nil {
		t.Fatal("the Job has no trigger")
	}
	tests := []struct {
		name   string
		change func(*site.Args)
		again  bool
	}{
		{"the number of appliers", func(a *site.Args) { a.Applier.Replicas = 5 }, false},
		{"the number of mirror workers", func(a *site.Args) { a.Mirror.Replicas = 3 }, false},
		{"the number of Redis", func(a *site.Args) { a.Redis.Replicas = 5 }, false},
		{"the number of Sentinels", func(a *site.Args) { a.Sentinel.Replicas = 5 }, false},
		{"the size of the volumes", func(a *site.Args) { a.Redis.Storage.Size = "32Gi" }, false},
		{"the backup", func(a *site.Args) { a.Storage.Backup.Schedule = "0 1 * * *" }, false},
		{"the snapshot", func(a *site.Args) { a.Storage.Snapshot.Schedule = "0 * * * *" }, false},
		{"the monitors", func(a *site.Args) { a.Monitoring.Enabled = true }, false},
		{"a producer more", func(a *site.Args) {
			a.Producers, a.Secrets = append(a.Producers, site.Producer{Name: "stock"}), secrets("shop", "stock")
		}, false},
		{"the applier's image", func(a *site.Args) { a.Applier.Image = "redis-applier:0.2.0" }, true},
		{"the applier's environment", func(a *site.Args) { a.Applier.Env = map[string]string{"APPLIER_POISON": "halt"} }, true},
		{"where spans go", func(a *site.Args) {
			a.Applier.Env = map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
			a.Network.Collector.Port = 4318
		}, false},
		{"the Redis image", func(a *site.Args) { a.Redis.Image = "redis:7.4.3-alpine" }, true},
		{"Redis' maxmemory", func(a *site.Args) { a.Redis.MaxMemory = "1gb" }, true},
		{"the log's retention", func(a *site.Args) { a.Log.Retention = time.Hour }, true},
		{"the way to the peer", func(a *site.Args) { a.PeerKafka.Bootstrap = []string{"kafka-2.west.example.com:9094"} }, true},
		{"the mirror's guarantee", func(a *site.Args) { a.Mirror.ExactlyOnce = new(bool) }, true},
		{"network policies", func(a *site.Args) { a.Network.Enabled = new(bool) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if again := trigger(t, tt.change) != before; again != tt.again {
				t.Errorf("the check runs again: %t, want %t", again, tt.again)
			}
		})
	}
}
