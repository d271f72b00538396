package writer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// heard is an attestation that a site published of itself.
type heard struct {
	site int
	at   wal.Attestation
}

// watch follows what sites attest of themselves, and keeps the newest statement of each partition.
type watch struct {
	sites  []Site
	newest [][]*wal.Attestation // by site and partition
	// highest is the highest number of each partition's barriers of a site's own, by site.
	highest [][]uint64
	comes   chan heard
	failed  chan error
	each    func(site int, a wal.Attestation) // called with every one, the old ones included
}

// follow begins to watch, and returns when what was published since a time is known.
func follow(ctx context.Context, since time.Time, each func(site int, a wal.Attestation), sites ...Site) (*watch, error) {
	w := &watch{sites: sites, comes: make(chan heard), failed: make(chan error, len(sites)), each: each}
	caught := make(chan struct{}, len(sites))
	for i, s := range sites {
		n := s.Identity().Partitions
		w.newest = append(w.newest, make([]*wal.Attestation, n))
		w.highest = append(w.highest, make([]uint64, n))
		go func() {
			w.failed <- s.Follow(ctx, since, func(a wal.Attestation) error {
				if a.Site != s.Identity().Sites.Self || a.Halted != nil {
					return nil // a halt says nothing about the log
				}
				select {
				case w.comes <- heard{i, a}:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}, func() { caught <- struct{}{} })
		}()
	}
	for left := len(sites); left > 0; {
		select {
		case <-caught:
			left--
		case h := <-w.comes:
			w.take(h)
		case err := <-w.failed:
			return nil, w.over(ctx, err)
		}
	}
	return w, nil
}

func (w *watch) over(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		err = errors.New("the attestations ended")
	}
	return err
}

// until takes attestations until ready says so. It is asked after each, and once a second: what was asked for may be lost.
func (w *watch) until(ctx context.Context, ready func() (bool, error)) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		select {
		case h := <-w.comes:
			w.take(h)
		case <-tick.C:
		case err := <-w.failed:
			return w.over(ctx, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *watch) take(h heard) {
	all := w.newest[h.site]
	if h.at.Partition >= int32(len(all)) {
		return
	}
	p := &all[h.at.Partition]
	// What is decided of a log's records never changes, so whoever has got furthest holds; an applier that decides some again after a failover says the same. Another topic id is
	// another log.
	switch old := *p; {
	case old == nil, old.TopicID == h.at.TopicID && h.at.Offset >= old.Offset, old.TopicID != h.at.TopicID && h.at.Time > old.Time:
		*p = &h.at
	}
	if b := h.at.Barrier; b.Origin == h.at.Site {
		highest := &w.highest[h.site][h.at.Partition]
		*highest = max(*highest, b.Number)
	}
	if w.each != nil {
		w.each(h.site, h.at)
	}
}

// known waits until every partition is attested at every site.
func (w *watch) known(ctx context.Context) error {
	missing := ""
	err := w.until(ctx, func() (bool, error) {
		missing = ""
		for i, s := range w.sites {
			for p, a := range w.newest[i] {
				if a == nil {
					missing = fmt.Sprintf("partition %d of %s", p, s.Identity().Sites.Self)
					return false, nil
				}
			}
		}
		return true, nil
	})
	if err != nil && missing != "" {
		return fmt.Errorf("%s is not attested: are the appliers of that site up, and is the partition halted? %w", missing, err)
	}
	return err
}

// behind appends control records at one site, and a barrier behind them in each of the partitions, and returns what another site, or the same one, attests when it has decided
// those barriers. On an error it returns those that are known.
func (w *watch) behind(ctx context.Context, at, by int, controls []Control, partitions []int32) (map[int32]wal.Attestation, error) {
	waits := map[string]bool{}
	for _, p := range partitions {
		id := rand.Text()
		waits[id] = true
		w.highest[at][p]++
		controls = append(controls, Control{Partition: p, Barrier: &wal.Barrier{
			ID: id, Number: w.highest[at][p], Partitions: w.sites[at].Identity().Partitions, Time: time.Now().UnixMilli(),
		}})
	}
	decided := map[int32]wal.Attestation{}
	each := w.each
	defer func() { w.each = each }()
	w.each = func(site int, a wal.Attestation) {
		if site == by && waits[a.Barrier.ID] {
			decided[a.Partition] = a
		}
		if each != nil {
			each(site, a)
		}
	}
	if _, err := w.sites[at].Append(ctx, controls); err != nil {
		return nil, err
	}
	return decided, w.until(ctx, func() (bool, error) { return len(decided) == len(partitions), nil })
}
