package mirror

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
)

// keys says of each configuration key that the stand-in knows what it does with the value.
type keys map[string]func(value string) error

// read applies a free map of configuration; every key must be known.
func read(path string, config map[string]any, known keys) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(config)) {
		value, err := manifest.Text(config[key])
		if err == nil {
			if apply, ok := known[key]; ok {
				err = apply(value)
			} else {
				err = errors.New("the lab's mirror does not know this key: teach it, or list it as one that means nothing on one machine")
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %q: %w", path, key, err))
		}
	}
	return errors.Join(errs...)
}

// meaningless is for keys about replicas, other connectors or other clients than the stand-in has.
func meaningless(string) error { return nil }

func only(want ...string) func(string) error {
	return func(v string) error {
		if !slices.Contains(want, v) {
			return fmt.Errorf("%q: the lab's mirror can do %v only", v, want)
		}
		return nil
	}
}

func number[T ~int | ~int32](dst *T) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < 1 {
			return fmt.Errorf("%q: want a number above 0", v)
		}
		*dst = T(n)
		return nil
	}
}

func duration(dst *time.Duration, unit time.Duration) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%q: want a number of %s", v, unit)
		}
		*dst = time.Duration(n) * unit
		return nil
	}
}

const byteArrays = "org.apache.kafka.connect.converters.ByteArrayConverter"

// workerKeys are the keys of the Connect worker at the target.
func workerKeys(s *settings) keys {
	return keys{
		"exactly.once.source.support": func(v string) error {
			s.workerEOS = v == "enabled"
			return only("enabled", "disabled")(v)
		},
		"offset.flush.interval.ms":          duration(&s.offsetFlush, time.Millisecond),
		"offset.storage.partitions":         number(&s.offsetParts),
		"key.converter":                     only(byteArrays),
		"value.converter":                   only(byteArrays),
		"header.converter":                  only(byteArrays),
		"config.storage.replication.factor": meaningless,
		"offset.storage.replication.factor": meaningless,
		"status.storage.replication.factor": meaningless,
		"status.storage.partitions":         meaningless,
	}
}

// sourceKeys are the keys of the clients of the source cluster.
func sourceKeys(s *settings) keys {
	return keys{
		"consumer.isolation.level": isolation(s),
	}
}

func isolation(s *settings) func(string) error {
	return func(v string) error {
		s.readCommitted = v == "read_committed"
		return only("read_committed", "read_uncommitted")(v)
	}
}

// connectorKeys are the keys of the MirrorSourceConnector, transforms and predicates apart.
func connectorKeys(s *settings) keys {
	return keys{
		"replication.policy.class": func(v string) error {
			s.identityPolicy = true
			return only("org.apache.kafka.connect.mirror.IdentityReplicationPolicy")(v)
		},
		"exactly.once.support": func(v string) error {
			s.connectorEOS = v
			return only("required", "requested")(v)
		},
		"transaction.boundary":                                    only("poll"),
		"consumer.isolation.level":                                isolation(s),
		"consumer.max.poll.records":                               number(&s.pollRecords),
		"consumer.auto.offset.reset":                              only("earliest"),
		"refresh.topics.interval.seconds":                         duration(&s.refresh, time.Second),
		"producer.override.linger.ms":                             duration(&s.linger, time.Millisecond),
		"producer.override.max.request.size":                      number(&s.maxRequest),
		"producer.override.transaction.timeout.ms":                duration(&s.txnTimeout, time.Millisecond),
		"producer.override.acks":                                  only("all", "-1"),
		"producer.override.enable.idempotence":                    only("true"),
		"sync.topic.configs.enabled":                              only("false"),
		"sync.topic.acls.enabled":                                 only("false"),
		"heartbeats.replication.enabled":                          only("false"),
		"emit.heartbeats.enabled":                                 only("false"),
		"sync.group.offsets.enabled":                              only("false"), // the checkpoint connector reads it, but it is allowed here
		"key.converter":                                           only(byteArrays),
		"value.converter":                                         only(byteArrays),
		"header.converter":                                        only(byteArrays),
		"replication.factor":                                      meaningless,
		"offset-syncs.topic.replication.factor":                   meaningless,
		"offset-syncs.topic.location":                             meaningless, // syncs serve the translation of group offsets, which is off
		"offset.lag.max":                                          meaningless,
		"emit.offset-syncs.enabled":                               meaningless,
		"producer.override.batch.size":                            meaningless,
		"producer.override.buffer.memory":                         meaningless,
		"producer.override.compression.type":                      meaningless,
		"producer.override.delivery.timeout.ms":                   meaningless,
		"producer.override.max.in.flight.requests.per.connection": meaningless, // order is kept at any number
		"consumer.fetch.min.bytes":                                meaningless,
		"consumer.fetch.max.bytes":                                meaningless,
		"consumer.max.partition.fetch.bytes":                      meaningless,
		"consumer.metadata.max.age.ms":                            meaningless,
		"producer.override.metadata.max.age.ms":                   meaningless,
	}
}

// checkpointKeys are the keys of the MirrorCheckpointConnector, which the lab does not run.
func checkpointKeys() keys {
	return keys{
		"replication.policy.class":              only("org.apache.kafka.connect.mirror.IdentityReplicationPolicy"),
		"sync.group.offsets.enabled":            only("false"),
		"checkpoints.topic.replication.factor":  meaningless,
		"offset-syncs.topic.location":           meaningless,
		"emit.checkpoints.enabled":              meaningless,
		"emit.checkpoints.interval.seconds":     meaningless,
		"refresh.groups.enabled":                meaningless,
		"refresh.groups.interval.seconds":       meaningless,
		"offset-syncs.topic.replication.factor": meaningless,
	}
}
