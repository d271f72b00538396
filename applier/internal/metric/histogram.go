package metric

import (
	"slices"
	"sync"
)

// Histogram counts observations in buckets.
type Histogram struct {
	name, help string
	bounds     []float64 // upper, included, ascending

	mu     sync.Mutex
	counts []uint64 // by bucket; the last is above all bounds
	sum    float64
}

// Histogram makes a histogram with the upper bounds of its buckets, in ascending order.
func (r *Registry) Histogram(name, help string, bounds []float64) *Histogram {
	h := &Histogram{name: name, help: help, bounds: bounds, counts: make([]uint64, len(bounds)+1)}
	r.add(h)
	return h
}

// ExponentialBuckets are n bounds, of which the first is given and each is factor times the one before.
func ExponentialBuckets(first, factor float64, n int) []float64 {
	bounds := make([]float64, n)
	for i := range bounds {
		bounds[i] = first
		first *= factor
	}
	return bounds
}

// Observe counts one observation.
func (h *Histogram) Observe(v float64) {
	i, _ := slices.BinarySearch(h.bounds, v) // the first bound that is not below v
	h.mu.Lock()
	h.counts[i]++
	h.sum += v
	h.mu.Unlock()
}

func (h *Histogram) describe() Description { return Description{h.name, h.help, "histogram", nil} }

func (h *Histogram) appendText(b []byte) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	b = appendHead(b, h.name, h.help, "histogram")
	var below uint64
	for i, n := range h.counts {
		below += n
		bound := []byte("+Inf")
		if i < len(h.bounds) {
			bound = appendFloat(bound[:0], h.bounds[i])
		}
		b = appendSample(b, h.name+"_bucket", `{le="`+string(bound)+`"}`, float64(below))
	}
	b = appendSample(b, h.name+"_sum", "", h.sum)
	return appendSample(b, h.name+"_count", "", float64(below))
}
