package refill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// keep is how many attestations of a partition at barriers of one site are kept: the newest. A snapshot is taken seconds after the newest of them.
const keep = 16

// heard is what the sites attest while it runs.
type heard struct {
	mu      sync.Mutex
	changed chan struct{}
	source  string
	marks   map[markOf][]wal.Attestation // at barriers, by the source
	fences  map[markOf][]wal.Attestation // activates that counted, by the target
	numbers map[markOf]uint64            // the highest of a site's own barriers
	answers map[string]bool              // ids of barriers that the target has decided
}

type markOf struct {
	site      string // that appended a barrier; else that attested
	partition int32
}

// listen follows what both sites say of themselves until ctx ends. It ends ctx when it cannot any more.
func listen(ctx context.Context, stop context.CancelCauseFunc, target, source Site) *heard {
	h := &heard{
		changed: make(chan struct{}), source: source.Identity().Sites.Self,
		marks: map[markOf][]wal.Attestation{}, fences: map[markOf][]wal.Attestation{}, numbers: map[markOf]uint64{}, answers: map[string]bool{},
	}
	for _, s := range []Site{target, source} {
		self := s.Identity().Sites.Self
		go func() {
			err := s.Follow(ctx, time.Now().Add(-history), func(a wal.Attestation) error {
				if a.Site == self {
					h.take(&a)
				}
				return nil
			}, func() {})
			if err == nil {
				err = errors.New("they ended")
			}
			stop(fmt.Errorf("the attestations of %s: %w", self, err)) // nothing, if ctx has ended
		}()
	}
	return h
}

func (h *heard) take(a *wal.Attestation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b := a.Barrier; b.Origin != "" && a.Halted == nil {
		of := markOf{b.Origin, a.Partition}
		h.numbers[of] = max(h.numbers[of], b.Number)
		if a.Site == h.source {
			h.marks[of] = newest(append(h.marks[of], *a))
		} else {
			h.answers[b.ID] = true
		}
	}
	if f := a.Fence; f != nil && a.Site != h.source && f.Type == wal.TypeActivate && f.Counted {
		of := markOf{a.Site, a.Partition}
		h.fences[of] = newest(append(h.fences[of], *a))
	}
	close(h.changed)
	h.changed = make(chan struct{})
}

func newest(all []wal.Attestation) []wal.Attestation {
	return slices.Delete(all, 0, max(0, len(all)-keep))
}

// attested are what is kept.
func (h *heard) attested() (out []wal.Attestation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, all := range h.marks {
		out = append(out, all...)
	}
	for _, all := range h.fences {
		out = append(out, all...)
	}
	return out
}

func (h *heard) highest(site string, partition int32) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.numbers[markOf{site, partition}]
}

// until waits until ready says so. It is asked under the lock, after each attestation.
func (h *heard) until(ctx context.Context, ready func() bool) error {
	for {
		h.mu.Lock()
		ok, changed := ready(), h.changed
		h.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// decided waits until a site has attested barriers, and returns how many are missing.
func (h *heard) decided(ctx context.Context, by string, barriers map[string]bool) (missing int, err error) {
	err = h.until(ctx, func() bool {
		found := 0
		for _, all := range h.marks {
			for i := range all {
				if all[i].Site == by && barriers[all[i].Barrier.ID] {
					found++
				}
			}
		}
		missing = len(barriers) - found
		return missing == 0
	})
	return missing, err
}

// goOn waits until the target has decided barriers, one of each partition, and returns how many it has. That it was not halted before it was filled says nothing.
func (h *heard) goOn(ctx context.Context, barriers map[string]bool) (n int, err error) {
	err = h.until(ctx, func() bool {
		n = 0
		for id := range barriers {
			if h.answers[id] {
				n++
			}
		}
		return n == len(barriers)
	})
	return n, err
}
