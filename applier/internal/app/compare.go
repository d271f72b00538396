package app

import (
	"strconv"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
)

// compare returns the function that takes the attestations of both sites as they arrive, so that divergence is known within seconds and
// not at the next deployment. Each applier speaks only of the partitions that it owns.
func (a *App) compare() func(wal.Attestation) {
	tracker := converge.NewTracker(a.rules.Sites)
	return func(at wal.Attestation) {
		a.heard.add(at, a.rules.Sites.Self)
		changed := tracker.Add(at)
		if !a.owns(at.Partition) {
			return
		}
		for _, o := range wal.Origins {
			a.showVerdict(tracker.Verdict(at.Partition, a.rules.Sites.Name(o)))
		}
		for _, v := range changed {
			switch v.State {
			case converge.Diverged:
				a.logger.Error("diverged", "partition", v.Partition, "origin", v.Origin, "barrier", v.First.Number, "error", v.Why,
					"remedy", "run `redis-applier check`; docs/runbook.md says how to go on")
			case converge.Converged:
				a.logger.Info("converged", "partition", v.Partition, "origin", v.Origin, "barrier", v.Barrier.Number, "records", v.Self.N)
			}
		}
	}
}

func (a *App) owns(part int32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.workers[part] != nil
}

func (a *App) showVerdict(v converge.Verdict) {
	labels := []string{strconv.Itoa(int(v.Partition)), v.Origin}
	switch v.State {
	case converge.Converged:
		a.metrics.converged.WithLabelValues(labels...).Set(1)
	case converge.Diverged:
		a.metrics.converged.WithLabelValues(labels...).Set(0)
	default:
		a.metrics.converged.DeleteLabelValues(labels...) // neither is known
	}
}
