package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/wal"
)

// What a log keeps for life. With any other the partitions that are read end: joining anew tells what follows, and halts.
var (
	// ErrTopic says that the log is another topic than the one that was read: it was deleted and created again. The Kafka client never takes up
	// such a topic; it would wait for records of the old one for ever, and say nothing. Only another process can read it.
	ErrTopic = errors.New("the log is another topic than before")
	// ErrPartitions says that the log has not as many partitions as it is read with.
	ErrPartitions = errors.New("the log has another number of partitions")
)

// Same asks Kafka what the log is now, and returns [ErrTopic] or [ErrPartitions] if it changed. A record in a wrong partition may come from a client
// that knows already of more partitions: such a log must halt, and the record must not be decided. It asks one broker, and no cache.
func (s *Source) Same(ctx context.Context) error {
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
		return fmt.Errorf("describe topic %s: %w", s.log, err)
	}
	return s.same(wal.TopicID(meta.Topics[0].TopicID), len(meta.Topics[0].Partitions))
}

// same ends the reading of all partitions if the log changed.
func (s *Source) same(id wal.TopicID, partitions int) error {
	err := s.Reads(id)
	if err == nil && partitions != int(s.partitions) {
		err = fmt.Errorf("%s: %w: %d, not %d", s.log, ErrPartitions, partitions, s.partitions)
	}
	if err == nil {
		return nil
	}
	s.mu.Lock()
	parts := slices.Collect(maps.Values(s.parts))
	s.mu.Unlock()
	for _, p := range parts {
		p.end(err)
	}
	return err
}

// Reads returns [ErrTopic] if the topic of that id is not the one that was met first.
func (s *Source) Reads(id wal.TopicID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topic == nil {
		s.topic = &id
	}
	if *s.topic != id {
		return fmt.Errorf("%s: %w: topic id %s, not %s", s.log, ErrTopic, id, *s.topic)
	}
	return nil
}
