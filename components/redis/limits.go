package redis

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// MaxMemoryPercent is how much of a pod's memory limit maxmemory may take. The rest is for the buffers of replication and
// clients, fragmentation, and the pages that a fork copies while the append-only file is rewritten.
const MaxMemoryPercent = 60

// CheckMaxMemory says whether maxmemory, in Redis units, fits a memory limit, in Kubernetes units.
func CheckMaxMemory(maxmemory, limit string) error {
	most, err := ParseQuantity(limit)
	if err != nil {
		return nil // said where the limit stands
	}
	got, err := ParseMemory(maxmemory)
	if err != nil {
		return err
	}
	if allowed := most / 100 * MaxMemoryPercent; got > allowed {
		return fmt.Errorf("%s is %d %% of the memory limit %s; at most %d %% leaves room for replication and for a fork: set at most %dmb, or raise the limit",
			maxmemory, got*100/most, limit, MaxMemoryPercent, allowed>>20)
	}
	return nil
}

// DefaultMaxMemory is the largest maxmemory for a memory limit, in whole mebibytes.
func DefaultMaxMemory(limit string) (string, error) {
	most, err := ParseQuantity(limit)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%dmb", most/100*MaxMemoryPercent>>20), nil
}

// BacklogPercent is how much of a pod's memory limit the replication backlog may take, besides maxmemory.
const BacklogPercent = 10

// Backlog is the part of the replication stream that a primary keeps in memory. A replica that was cut off for no longer than
// it lasts goes on where it was; after more it copies the whole data set again.
type Backlog struct {
	// WriteRate is how much is written to Redis in a second, in Redis' units such as 2mb.
	WriteRate string `json:"writeRate"`
	// Outage is how long a replica may be cut off and still catch up. Together they must stay below 10 % of the memory limit;
	// empty = 60s, or as long as that lasts.
	Outage time.Duration `json:"outage"`
}

// WithDefaults fills in what is left open, for a memory limit in Kubernetes units.
func (b Backlog) WithDefaults(limit string) Backlog {
	if b.WriteRate == "" {
		b.WriteRate = "1mb"
	}
	if b.Outage == 0 {
		b.Outage = time.Minute
		rate, rateErr := ParseMemory(b.WriteRate)
		most, limitErr := ParseQuantity(limit)
		if rateErr == nil && limitErr == nil { // Check and the limit's own check report the others
			b.Outage = max(min(b.Outage, time.Duration(mostBacklog(most)/rate)*time.Second), time.Second)
		}
	}
	return b
}

// Check says whether the backlog fits a memory limit, in Kubernetes units.
func (b Backlog) Check(limit string) error {
	rate, err := ParseMemory(b.WriteRate)
	if err != nil {
		return fmt.Errorf("writeRate: %w", err)
	}
	most, err := ParseQuantity(limit)
	if err != nil {
		return nil // said where the limit stands
	}
	if got, allowed := b.bytes(), mostBacklog(most); got > allowed {
		return fmt.Errorf("%s a second for %s are %dmb, more than %d %% (%dmb) of the memory limit %s; at that rate an outage of %s fits, or raise the limit",
			b.WriteRate, b.Outage, got>>20, BacklogPercent, allowed>>20, limit, time.Duration(allowed/rate)*time.Second)
	}
	return nil
}

// Size is the size of the backlog in Redis' units.
func (b Backlog) Size() string { return fmt.Sprintf("%dmb", b.bytes()>>20) }

// bytes is the size in bytes, whole mebibytes.
func (b Backlog) bytes() int64 {
	rate, err := ParseMemory(b.WriteRate)
	if err != nil {
		return 0
	}
	return int64(math.Ceil(float64(rate)*b.Outage.Seconds()/(1<<20))) << 20
}

func mostBacklog(limit int64) int64 { return limit / 100 * BacklogPercent >> 20 << 20 }

// CheckReplicas says whether n Redis pods make a Redis that survives the loss of one.
func CheckReplicas(n int) error {
	if n < 2 {
		return fmt.Errorf("%d Redis cannot fail over; want at least 2, better 3", n)
	}
	return nil
}

// CheckSentinels says whether so many Sentinels can elect a new primary.
func CheckSentinels(n int) error {
	if n < 3 || n%2 == 0 {
		return fmt.Errorf("%d Sentinels cannot lose one and keep a majority that outvotes the rest; want 3 or another odd number above it", n)
	}
	return nil
}

// CheckQuorum says whether a quorum can be had. The operator tells the Sentinels their majority and nothing else.
func CheckQuorum(sentinels, quorum int) error {
	switch majority := sentinels/2 + 1; {
	case quorum > sentinels:
		return fmt.Errorf("%d is above the number of Sentinels (%d), so no failover would ever happen; leave it out: the operator sets %d", quorum, sentinels, majority)
	case quorum != majority:
		return fmt.Errorf("%d cannot be had, the operator always sets %d for %d Sentinels; leave it out", quorum, majority, sentinels)
	}
	return nil
}

// ParseMemory reads an amount of memory as redis.conf writes it: 6gb is 6 GiB, 6g is 6 * 10^9.
func ParseMemory(s string) (int64, error) {
	return parseAmount(strings.ToLower(s), s, "Redis units such as 6gb or 512mb", []unit{
		{"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"b", 1}, {"", 1},
	})
}

// ParseQuantity reads an amount of memory or storage as Kubernetes writes it: 8Gi is 8 GiB, 8G is 8 * 10^9.
func ParseQuantity(s string) (int64, error) {
	return parseAmount(s, s, "a Kubernetes quantity such as 8Gi or 512Mi", []unit{
		{"Ki", 1 << 10},
		{"Mi", 1 << 20},
		{"Gi", 1 << 30},
		{"Ti", 1 << 40},
		{"Pi", 1 << 50},
		{"k", 1e3},
		{"M", 1e6},
		{"G", 1e9},
		{"T", 1e12},
		{"P", 1e15},
		{"", 1},
	})
}

type unit struct {
	suffix string
	factor float64
}

func parseAmount(s, shown, want string, units []unit) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(digits, 64)
		if err != nil || n <= 0 || strings.ContainsFunc(digits, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) {
			break
		}
		return int64(n * u.factor), nil
	}
	return 0, fmt.Errorf("%q is not an amount of memory; want %s", shown, want)
}
