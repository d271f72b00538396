package source

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type (
	kmsgCommitRequest  = kmsg.OffsetCommitRequest
	kmsgCommitResponse = kmsg.OffsetCommitResponse
)

// commitError finds the first error in the answer to a commit.
func commitError(r *kmsgCommitResponse, err error) error {
	if err != nil {
		return fmt.Errorf("commit group offsets: %w", err)
	}
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("commit the group offset of %s partition %d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}
