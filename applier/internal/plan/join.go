package plan

import (
	"errors"
	"fmt"

	"github.com/comptech-lab/redis-wal/wal"
)

// The reasons to halt that are found outside package wal. They label the metric wal_partition_halted.
const (
	HaltGap        = "gap"        // the log no longer holds the next record
	HaltTopicID    = "topic-id"   // the topic was deleted and created again
	HaltPartitions = "partitions" // the partition count changed
	HaltBeyondEnd  = "beyond-end" // the log ends before the position
	HaltTruncated  = "truncated"  // the log lost records that were applied
	HaltNotEmpty   = "not-empty"  // Redis holds data and no checkpoint
	HaltLogStart   = "log-start"  // Redis is empty and the log does not start at its beginning
	HaltBootstrap  = "bootstrap"  // Redis is being filled from the peer's, or that was interrupted
	HaltCheckpoint = "checkpoint" // the checkpoint cannot be read, or is missing beside others
	HaltSeed       = "seed"       // the log begins with data that this Redis was not filled with
	HaltPoison     = "poison"     // APPLIER_POISON=halt
	HaltTable      = "table"      // Redis does not know a command that the table allows
	HaltExec       = "exec"       // Redis answered inside a transaction as it never should
)

// Stored is what a partition's part of Redis holds.
type Stored struct {
	Meta       map[string]string // the hash wal.MetaKey, empty if there is none
	Checkpoint map[string]string // the hash wal.CheckpointKey, empty if there is none
	Producers  map[string]string // the hash wal.ProducersKey, empty if there is none
	Keys       int64             // DBSIZE
	Bootstrap  string            // the value of wal.BootstrapKey, empty if there is none: for people
}

// Log is what Kafka says of the log.
type Log struct {
	TopicID    wal.TopicID
	Partitions int32
	Start, End []int64 // first offset, and last stable offset, of each partition
}

// Joint is where log and Redis are joined.
type Joint struct {
	// Found is the checkpoint, if there is one.
	Found wal.Checkpoint
	// Producers are the windows of repeats there.
	Producers *Producers
	// Create, if not nil, must be written to the empty Redis first: the meta, and a checkpoint at the log's beginning for each partition.
	Create *Creation
}

// Creation is what a new Redis begins with.
type Creation struct {
	Meta        wal.Meta
	Checkpoints map[int32]wal.Checkpoint
}

// A new log gets from the mirror what was first appended at the peer. What was first appended here, the peer has as mirrored records, which do not
// come back.
const remedyTopicID = "if nothing was ever appended at this site and the peer's log still begins at offset 0, delete the mirror's offsets and empty this Redis: " +
	"it is built from the peer's records; else run `walctl bootstrap`, because what was appended here is in no log any more"

// Join finds where partition p goes on, or why it must not. The error is a *wal.HaltError: what Redis holds and what the log
// holds cannot be joined without a guess.
func Join(r Rules, p int32, s Stored, l Log) (Joint, error) {
	halt := func(reason, remedy, format string, args ...any) (Joint, error) {
		return Joint{}, &wal.HaltError{Reason: reason, Remedy: remedy, Err: fmt.Errorf("%s partition %d: "+format, append([]any{r.Log, p}, args...)...)}
	}
	if l.Partitions != r.Partitions {
		return halt(HaltPartitions, "the partition count of a log is fixed for its life; correct log.partitions, or move to a new log",
			"the topic has %d partitions, the configuration says %d", l.Partitions, r.Partitions)
	}
	if s.Bootstrap != "" {
		return halt(HaltBootstrap, "wait until it has ended; if nobody is at it any more, run `walctl bootstrap` again: it begins anew", "Redis is being filled from the peer: %s", s.Bootstrap)
	}
	if len(s.Meta) == 0 && len(s.Checkpoint) == 0 {
		if s.Keys > 0 {
			return halt(HaltNotEmpty, "if the log is new, make these data its beginning with `walctl adopt`; if not, replace them by the peer's with `walctl bootstrap`",
				"Redis holds %d keys but no checkpoint, so nobody knows which records they contain", s.Keys)
		}
		return create(r, p, l, halt)
	}
	if len(s.Meta) == 0 {
		return halt(HaltCheckpoint, "restore the key, or empty this Redis to rebuild it", "there is a checkpoint, but no %s", wal.MetaKey(r.Log))
	}
	meta, err := wal.ParseMeta(s.Meta)
	if err != nil {
		return halt(HaltCheckpoint, "run the applier version that wrote it, or empty this Redis to rebuild it", "%s: %w", wal.MetaKey(r.Log), err)
	}
	if meta.TopicID != l.TopicID {
		return halt(HaltTopicID, remedyTopicID,
			"Redis holds data of topic id %s, the topic's id is %s: it was deleted and created again", meta.TopicID, l.TopicID)
	}
	if meta.Partitions != l.Partitions {
		return halt(HaltPartitions, "the partition count of a log is fixed for its life; move to a new log",
			"Redis was filled from %d partitions, the topic has %d", meta.Partitions, l.Partitions)
	}
	if len(s.Checkpoint) == 0 {
		if l.Start[p] > 0 {
			return halt(HaltLogStart, "fill this Redis from the peer: `walctl bootstrap`", "the log starts at offset %d and Redis has no checkpoint", l.Start[p])
		}
		return halt(HaltCheckpoint, "empty this Redis to rebuild it, or fill it from the peer: `walctl bootstrap`",
			"%s is missing, though Redis was filled from this log: somebody deleted it", wal.CheckpointKey(r.Log, p))
	}
	c, err := wal.ParseCheckpoint(s.Checkpoint, r.Sites)
	if err != nil {
		return halt(HaltCheckpoint, "restore the key, or empty this Redis to rebuild it", "%s: %w", wal.CheckpointKey(r.Log, p), err)
	}
	if c.TopicID != l.TopicID {
		return halt(HaltTopicID, remedyTopicID,
			"the checkpoint is of topic id %s, the topic's id is %s", c.TopicID, l.TopicID)
	}
	if c.Next < l.Start[p] {
		return halt(HaltGap, "fill this Redis from the peer: `walctl bootstrap`; raise the log's retention if this comes from lag",
			"the next record is %d, the log starts at %d: %d records were deleted before they were applied", c.Next, l.Start[p], l.Start[p]-c.Next)
	}
	if c.Next > l.End[p] {
		return halt(HaltBeyondEnd, "the log lost records that were applied; compare the sites with `redis-applier check`, then rebuild this Redis: empty it, or fill it from the peer with `walctl bootstrap`",
			"the next record is %d, the log ends at %d", c.Next, l.End[p])
	}
	stored := make(map[string]wal.Producer, len(s.Producers))
	for id, text := range s.Producers {
		if stored[id], err = wal.ParseProducer(text, r.Sites); err != nil {
			return halt(HaltCheckpoint, "run the applier version that wrote it, or empty this Redis to rebuild it", "%s: %w", wal.ProducersKey(r.Log, p), err)
		}
	}
	return Joint{Found: c, Producers: NewProducers(stored)}, nil
}

func create(r Rules, p int32, l Log, halt func(reason, remedy, format string, args ...any) (Joint, error)) (Joint, error) {
	if l.Start[p] > 0 {
		return halt(HaltLogStart, "fill this Redis from the peer: `walctl bootstrap`",
			"Redis is empty and the log starts at offset %d: %d records are gone that it would need", l.Start[p], l.Start[p])
	}
	c := &Creation{Meta: wal.Meta{TopicID: l.TopicID, Partitions: l.Partitions}, Checkpoints: map[int32]wal.Checkpoint{}}
	for q := range l.Partitions {
		if l.Start[q] == 0 {
			c.Checkpoints[q] = wal.Checkpoint{Position: wal.Position{TopicID: l.TopicID, LeaderEpoch: -1}}
		}
	}
	if len(c.Checkpoints) == 0 {
		return Joint{}, errors.New("plan: no partition starts at its beginning") // not reached: partition p does
	}
	return Joint{Create: c}, nil
}
