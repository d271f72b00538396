package redis_test

import (
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/components/redis"
	_ "github.com/comptech-lab/redis-wal/internal/golden" // for the flag of make golden, which runs all tests here
)

// Redis and Kubernetes write the same letters for different amounts.
func TestAmounts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text       string
		redis      int64 // 0 = refused
		kubernetes int64
	}{
		{"6gb", 6 << 30, 0},
		{"6GB", 6 << 30, 0},
		{"6g", 6e9, 0},
		{"6G", 6e9, 6e9},
		{"6Gi", 0, 6 << 30},
		{"512mb", 512 << 20, 0},
		{"512Mi", 0, 512 << 20},
		{"512m", 512e6, 0},
		{"1.5Gi", 0, 3 << 29},
		{"1073741824", 1 << 30, 1 << 30},
		{"", 0, 0},
		{"0", 0, 0},
		{"-1gb", 0, 0},
		{"1e9", 0, 0},
		{"1e9gb", 0, 0},
		{"many", 0, 0},
	}
	for _, tt := range tests {
		if got, err := redis.ParseMemory(tt.text); got != tt.redis || (err == nil) != (tt.redis != 0) {
			t.Errorf("ParseMemory(%q): got %d, %v, want %d", tt.text, got, err, tt.redis)
		}
		if got, err := redis.ParseQuantity(tt.text); got != tt.kubernetes || (err == nil) != (tt.kubernetes != 0) {
			t.Errorf("ParseQuantity(%q): got %d, %v, want %d", tt.text, got, err, tt.kubernetes)
		}
	}
}

// The largest maxmemory that is proposed is one that is accepted, and one more is not.
func TestMaxMemory(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"512Mi", "1Gi", "8Gi", "10G", "333Mi"} {
		most, err := redis.DefaultMaxMemory(limit)
		if err != nil {
			t.Fatal(err)
		}
		if err := redis.CheckMaxMemory(most, limit); err != nil {
			t.Errorf("limit %s: %v", limit, err)
		}
	}
	if redis.CheckMaxMemory("615mb", "1Gi") == nil {
		t.Error("615mb of 1Gi passed, which is more than 60 %")
	}
	if err := redis.CheckMaxMemory("614mb", "1Gi"); err != nil {
		t.Errorf("614mb of 1Gi: %v", err)
	}
}

// The backlog follows from rate and outage, in whole mebibytes, and never takes more than its share of the memory.
func TestBacklog(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rate   string
		outage time.Duration
		limit  string
		size   string // empty = refused
	}{
		{"", 0, "4Gi", "60mb"},
		{"2mb", time.Minute, "4Gi", "120mb"},
		{"2mb", 90 * time.Second, "8Gi", "180mb"},
		{"100kb", time.Second, "4Gi", "1mb"},
		{"1m", time.Minute, "4Gi", "58mb"}, // 60 million bytes, rounded up
		{"", 0, "512Mi", "51mb"},           // the default outage is shorter where memory is small
		{"20mb", 0, "4Gi", "400mb"},
		{"20mb", time.Minute, "4Gi", ""},
		{"1mb", time.Minute, "512Mi", ""},
		{"1Mi", time.Minute, "4Gi", ""},
	}
	for _, tt := range tests {
		b := redis.Backlog{WriteRate: tt.rate, Outage: tt.outage}.WithDefaults(tt.limit)
		err := b.Check(tt.limit)
		if (err == nil) != (tt.size != "") || err == nil && b.Size() != tt.size {
			t.Errorf("%q for %s in %s: got %s, %v, want %q", tt.rate, tt.outage, tt.limit, b.Size(), err, tt.size)
		}
	}
}

// What is configured at most leaves a share of the memory for what comes and goes: buffers of replicas and clients beyond the
// backlog, and the pages that a fork copies.
func TestMemoryIsNotPromisedTwice(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{"512Mi", "1Gi", "4Gi", "64Gi"} {
		total, err := redis.ParseQuantity(limit)
		if err != nil {
			t.Fatal(err)
		}
		data, err := redis.DefaultMaxMemory(limit)
		if err != nil {
			t.Fatal(err)
		}
		maxmemory, err := redis.ParseMemory(data)
		if err != nil {
			t.Fatal(err)
		}
		backlog, err := redis.ParseMemory(redis.Backlog{WriteRate: "50mb"}.WithDefaults(limit).Size())
		if err != nil {
			t.Fatal(err)
		}
		if left := total - maxmemory - backlog; left < total*3/10 {
			t.Errorf("limit %s: maxmemory %d and a backlog of %d leave %d, want 30 %%", limit, maxmemory, backlog, left)
		}
	}
}

func TestSentinels(t *testing.T) {
	t.Parallel()
	tests := []struct {
		sentinels, quorum int
		want              bool
	}{{3, 2, true}, {5, 3, true}, {1, 1, false}, {2, 2, false}, {4, 3, false}, {3, 1, false}, {3, 3, false}, {3, 4, false}, {5, 2, false}}
	for _, tt := range tests {
		got := redis.CheckSentinels(tt.sentinels) == nil && redis.CheckQuorum(tt.sentinels, tt.quorum) == nil
		if got != tt.want {
			t.Errorf("%d Sentinels, quorum %d: got %v, want %v", tt.sentinels, tt.quorum, got, tt.want)
		}
	}
}
