package reach

import (
	"context"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
)

// CheckDeep runs the convergence check from this site, and compares the data.
func (d *Direct) CheckDeep(ctx context.Context, timeout time.Duration, how converge.Deep) (converge.Report, error) {
	return converge.CheckDeep(ctx, converge.Config{
		Sites: d.id.Sites, Log: d.id.Log, Partitions: d.id.Partitions, SigningKey: d.key, Kafka: d.kafka, Policy: converge.PeerRequire, Timeout: timeout,
	}, how)
}
