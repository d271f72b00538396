package attest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/wal"
)

func isStop(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed)
}

// Follow hands on every attestation, of both sites, that was published since the given time, until ctx ends, and every request of a deep check. What
// does not decode is logged and left out: it is a statement that nobody can use, not a record of the log.
func Follow(ctx context.Context, opts []kgo.Opt, log string, since time.Time, logger *slog.Logger, each func(wal.Attestation), asked func(value, signature []byte)) error {
	topic := wal.AttestTopic(log)
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.ConsumeTopics(topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AfterMilli(since.UnixMilli())),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(1 << 20),
		kgo.FetchMaxWait(time.Second),
	}, opts...)...)
	if err != nil {
		return fmt.Errorf("kafka client for attestations: %w", err)
	}
	defer client.Close()
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(_ string, _ int32, err error) {
			if !isStop(err) {
				logger.Warn("attestations cannot be read", "topic", topic, "error", err)
			}
		})
		fetches.EachRecord(func(r *kgo.Record) {
			if kind, signature := converge.DigestHeaders(r); kind != "" {
				if kind == wal.DigestAsk {
					asked(r.Value, signature)
				}
				return
			}
			if !converge.Attests(r) {
				return
			}
			a, err := wal.ParseAttestation(r.Value)
			if err != nil {
				logger.Warn("attestation left out", "topic", topic, "partition", r.Partition, "offset", r.Offset, "error", err)
				return
			}
			each(a)
		})
	}
	return nil
}
