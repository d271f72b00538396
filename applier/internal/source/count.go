package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrPartitions says that the log has not the partitions that it is read with. Joining anew tells why, and halts.
var ErrPartitions = errors.New("the log has another number of partitions")

// Counted asks Kafka how many partitions the log has now, and returns [ErrPartitions] if it is another number. A record in a wrong partition may
// come from a client that knows already of more: such a log must halt, and the record must not be decided. It asks one broker, and no cache.
func (s *Source) Counted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &s.log
	req.Topics = append(req.Topics, topic)
	meta, err := req.RequestWith(ctx, s.fetch)
	if err == nil && len(meta.Topics) != 1 {
		err = fmt.Errorf("got %d topics", len(meta.Topics))
	}
	if err == nil {
		err = kerr.ErrorForCode(meta.Topics[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("count the partitions of %s: %w", s.log, err)
	}
	return s.counted(len(meta.Topics[0].Partitions))
}

// counted ends the reading of all partitions if the log has another number of them.
func (s *Source) counted(n int) error {
	if n == int(s.partitions) {
		return nil
	}
	err := fmt.Errorf("%s: %w: %d, not %d", s.log, ErrPartitions, n, s.partitions)
	s.mu.Lock()
	parts := slices.Collect(maps.Values(s.parts))
	s.mu.Unlock()
	for _, p := range parts {
		p.end(err)
	}
	return err
}
