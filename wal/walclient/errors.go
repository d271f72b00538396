package walclient

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	// ErrClosed says that the Producer is closed.
	ErrClosed = errors.New("walclient: the producer is closed")

	// ErrUnknown says that the record may be in the log or not, and that it may still get there. An op that is harmless when
	// it happens twice, such as SET or SADD, can be done again. For one that is not, such as INCR, use DoAsync, whose
	// callback knows the outcome later.
	ErrUnknown = errors.New("outcome unknown")

	// ErrNoLog says that the topic does not exist at this site.
	ErrNoLog = errors.New("the topic does not exist at this site; check Options.Log and Options.Brokers, or have the platform team declare the site's log")

	// ErrDenied says that Kafka does not let this user write the log.
	ErrDenied = errors.New("denied by Kafka; have the platform team add the application's user to the site's producers, and check Options.SASL")

	// ErrTimeout says that Kafka did not take the record within Options.DeliveryTimeout. It is not in the log.
	ErrTimeout = errors.New("not appended: Kafka did not take the record within the delivery timeout")
)

// PartitionsChangedError says that the topic has another partition count than when the Producer met it. Keys would move to other
// partitions and lose their order, so the count of a log never changes; the appliers halt, too. A log with another count is a
// new log, with a cutover.
type PartitionsChangedError struct {
	Log      string // the topic
	Was, Now int32  // the counts: when the Producer met it, and now
}

// Error names the log, both counts and the remedy.
func (e *PartitionsChangedError) Error() string {
	return fmt.Sprintf("walclient: log %s: not appended: had %d partitions, has %d now; a log's partition count is fixed: use a new log and cut over to it", e.Log, e.Was, e.Now)
}

// explain puts what the Kafka client says into this package's words.
func (p *Producer) explain(err error) error {
	if n := p.changed.Load(); n != 0 && strings.Contains(err.Error(), "partitioning choice") {
		return &PartitionsChangedError{Log: p.opts.Log, Was: p.log.Load().partitions, Now: n}
	}
	is := func(targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	var known error
	switch {
	case is(kgo.ErrClientClosed):
		return fmt.Errorf("walclient: log %s: %w: %w", p.opts.Log, ErrUnknown, ErrClosed)
	case is(kgo.ErrRecordTimeout):
		known = ErrTimeout
	case is(kerr.UnknownTopicOrPartition, kerr.UnknownTopicID):
		known = ErrNoLog
	case is(kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.SaslAuthenticationFailed):
		known = ErrDenied
	default:
		return fmt.Errorf("walclient: log %s: not appended: %w", p.opts.Log, err)
	}
	return fmt.Errorf("walclient: log %s: %w (%w)", p.opts.Log, known, err)
}
