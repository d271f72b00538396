package walclient

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/wal"
)

// Ack says where in the log of this site a record stands.
type Ack struct {
	Log       string      // the topic that it was appended to
	TopicID   wal.TopicID // of the log when the Producer met it; zero if Kafka did not tell
	Partition int32       // of the log
	Offset    int64       // of the record in the partition
	Producer  string      // the producer's id
	Seq       int64       // the record's number among those of Producer and Partition
	Time      time.Time   // the record's timestamp, from which relative expiries count
}

// Redis is what [Ack.WaitApplied] needs of a client. All clients of go-redis have it.
type Redis interface {
	HMGet(ctx context.Context, key string, fields ...string) *redis.SliceCmd
}

// ErrOtherLog says that the checkpoint in Redis belongs to another incarnation of the topic than the record: the topic was deleted and
// created again. Make a new Producer.
var ErrOtherLog = errors.New("the log was created anew since; make a new Producer")

// The pauses between two looks at the checkpoint: a record is applied within milliseconds, unless something is wrong.
const (
	minPause = time.Millisecond
	maxPause = 50 * time.Millisecond
)

// WaitApplied waits until the Redis that rdb reads has decided the record: then reads from it show the op. It
// answers "may I read my write here?" by the position that stands in Redis itself, so it is true of a replica as well as of the
// primary, for whichever rdb asks.
//
// It can be asked only at the site where the record was appended; the peer's log counts its offsets apart. Decided
// means that Redis has executed the op, or that it could not, which is not told here: a command that Redis answered with an error
// (WRONGTYPE) is counted by the applier, and a record of a stream that is not open in this epoch is kept in <log>.fenced.
//
// It holds until the next failover: one that loses the last writes takes them back together with their position, the
// applier applies them again within seconds, and in between a read does not show them. Ask again when that matters.
//
// A Redis that cannot be reached is asked again until ctx ends; then the error holds the cause of ctx's end and what Redis said
// last. ErrOtherLog and a denial by Redis end the waiting at once.
func (a Ack) WaitApplied(ctx context.Context, rdb Redis) error {
	key := wal.CheckpointKey(a.Log, a.Partition)
	pause := minPause
	var last error
	for {
		applied, err := a.applied(ctx, rdb, key)
		if applied {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			last = err
			if errors.Is(err, ErrOtherLog) || denied(err) {
				return fmt.Errorf("walclient: %s: %w", key, err)
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			err := fmt.Errorf("walclient: %s: record at offset %d is not applied yet: %w", key, a.Offset, context.Cause(ctx))
			if last != nil {
				err = fmt.Errorf("%w; Redis said: %w", err, last)
			}
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

func (a Ack) applied(ctx context.Context, rdb Redis, key string) (bool, error) {
	values, err := rdb.HMGet(ctx, key, "next", "topic-id").Result()
	if err != nil {
		return false, err
	}
	if len(values) != 2 {
		return false, fmt.Errorf("HMGET answered %d values, want 2", len(values))
	}
	next, ok := values[0].(string)
	if !ok {
		return false, nil // no applier has been here yet
	}
	if id, ok := values[1].(string); ok && a.TopicID != (wal.TopicID{}) && id != a.TopicID.String() {
		return false, fmt.Errorf("topic id is %s, the record's is %s: %w", id, a.TopicID, ErrOtherLog)
	}
	n, err := strconv.ParseInt(next, 10, 64)
	if err != nil {
		return false, fmt.Errorf("field next=%q: %w", next, err)
	}
	return n > a.Offset, nil
}

// denied reports what no second try will change.
func denied(err error) bool {
	for _, prefix := range []string{"NOAUTH", "NOPERM", "WRONGPASS", "WRONGTYPE"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}
