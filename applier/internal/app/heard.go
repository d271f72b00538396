package app

import (
	"strconv"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// heard is when the sites were heard of last, of all partitions: whoever owns one tomorrow knows it too.
type heard struct {
	mu       sync.Mutex
	since    int64                      // from when on attestations are read: nothing newer was heard, or it would be known
	attested map[int32]map[string]int64 // newest attestation by the site that attests, ms since 1970
	barriers map[int32]map[string]int64 // newest barrier that this site has decided, by the site that appended it, ms since 1970
	halted   map[int32]bool             // what the newest attestation of the peer says
}

func newHeard() *heard {
	return &heard{attested: map[int32]map[string]int64{}, barriers: map[int32]map[string]int64{}, halted: map[int32]bool{}}
}

// begin says from when on attestations are read.
func (h *heard) begin(since time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since = since.UnixMilli()
}

// add takes note of an attestation. One that says that a partition is halted is a sign of life too.
func (h *heard) add(a wal.Attestation, self string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.Site != self && a.Time >= h.attested[a.Partition][a.Site] {
		h.halted[a.Partition] = a.Halted != nil
	}
	latest(h.attested, a.Partition, a.Site, a.Time)
	if a.Site == self && a.Halted == nil && a.Fence == nil {
		latest(h.barriers, a.Partition, a.Barrier.Origin, a.Barrier.Time)
	}
}

func latest(of map[int32]map[string]int64, part int32, site string, ms int64) {
	if of[part] == nil {
		of[part] = map[string]int64{}
	}
	of[part][site] = max(of[part][site], ms)
}

// show sets the metrics of an owned partition.
func (h *heard) show(m *metrics, sites wal.Sites, part int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since == 0 {
		return
	}
	label, halted := strconv.Itoa(int(part)), 0.0
	if h.halted[part] {
		halted = 1
	}
	m.peerHalted.WithLabelValues(label).Set(halted)
	for _, o := range wal.Origins {
		site := sites.Name(o)
		m.attested.WithLabelValues(label, site).Set(float64(max(h.since, h.attested[part][site])) / 1000)
		if at := h.barriers[part][site]; at > 0 {
			m.barrier.WithLabelValues(label, site).Set(float64(at) / 1000)
		}
	}
}
