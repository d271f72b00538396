package converge

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// Policy says what a peer that does not answer means for the verdict. A peer that has diverged fails every check that looks at it.
type Policy string

// The policies.
const (
	PeerRequire Policy = "require" // a peer that is silent or behind leaves the check without a verdict
	PeerReport  Policy = "report"  // it is reported only
	PeerOff     Policy = "off"     // the peer is not looked at
)

// Config says what to check.
type Config struct {
	// Sites are the site where the check runs and its peer.
	Sites wal.Sites
	// Log is the topic of the log.
	Log string
	// Partitions is the log's partition count.
	Partitions int32
	// SigningKey signs the barriers.
	SigningKey []byte
	// Kafka says how this site's Kafka is reached.
	Kafka []kgo.Opt
	// Policy says what a silent peer means. Default: PeerRequire.
	Policy Policy
	// Timeout is how long the check waits for the attestations. Default: 2 minutes.
	Timeout time.Duration
	// Observe is called with each attestation that the check reads, old ones first. Default: nothing.
	Observe func(wal.Attestation)
}

// DefaultTimeout is the default of [Config.Timeout]. It is several times the interval of the appliers' own barriers (10 s), of which the
// check needs those of the peer.
const DefaultTimeout = 2 * time.Minute

func (c *Config) complete() error {
	var errs []error
	if c.Sites.Self == "" || c.Sites.Peer == "" || c.Sites.Self == c.Sites.Peer {
		errs = append(errs, fmt.Errorf("sites are %q and %q; want two different names", c.Sites.Self, c.Sites.Peer))
	}
	if c.Log == "" {
		errs = append(errs, errors.New("log is empty; name the topic"))
	}
	if c.Partitions < 1 {
		errs = append(errs, fmt.Errorf("partitions is %d; want the log's partition count", c.Partitions))
	}
	if c.Policy == "" {
		c.Policy = PeerRequire
	}
	if c.Policy != PeerRequire && c.Policy != PeerReport && c.Policy != PeerOff {
		errs = append(errs, fmt.Errorf("policy is %q; want %s, %s or %s", c.Policy, PeerRequire, PeerReport, PeerOff))
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Observe == nil {
		c.Observe = func(wal.Attestation) {}
	}
	return errors.Join(errs...)
}

// Check appends a signed barrier to each partition of this site's log and waits until both sites have attested, for every stream that
// is open, a barrier that is younger than the check's start:
//
//   - for the records of this site, the check's own barrier or any later one;
//   - for the records of the peer, one of the peer's periodic barriers, which the peer appended after it had met the check's barrier. So
//     "younger" is shown by the logs themselves, not by two clocks.
//
// A barrier that gets lost is not appended again: the appliers' periodic ones serve as well.
//
// The wait ends after Config.Timeout or with ctx; what is known by then is the Report. Trouble with Kafka is retried until then
// and ends in the Report, too. The error is only for a Config that cannot work.
func Check(ctx context.Context, c Config) (Report, error) {
	if err := c.complete(); err != nil {
		return Report{}, fmt.Errorf("check: %w", err)
	}
	signer, err := wal.NewSigner(c.Log, c.SigningKey)
	if err != nil {
		return Report{}, fmt.Errorf("check: %w", err)
	}
	w := newWatch(c)
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("no answer within %s", c.Timeout))
	defer cancel()
	trouble := retry(ctx, func() error { return w.run(ctx, signer) })
	return w.report(start, time.Now(), trouble), nil
}

// finalError is what no second try will change.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// retry calls fn until it succeeds, ctx ends or the error is final, and returns the last error that says more than that ctx has ended.
func retry(ctx context.Context, fn func() error) error {
	var last error
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := fn()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if errors.As(err, new(finalError)) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return last
		}
	}
}

// run does the Kafka side of the check once: reads what was attested before, appends the barriers that are not appended yet, and
// reads on until there is nothing left to wait for.
func (w *watch) run(ctx context.Context, signer *wal.Signer) error {
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, w.Kafka...), kgo.ClientID("check-"+w.Sites.Self),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0), kgo.RequiredAcks(kgo.AllISRAcks()))...)
	if err != nil {
		return finalError{err}
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if err := w.checkTopics(ctx, admin); err != nil {
		return err
	}
	tail, err := w.readTail(ctx, admin)
	if err != nil {
		return err
	}
	defer tail.Close()
	if err := w.append(ctx, client, signer); err != nil {
		return err
	}
	for !w.done() {
		if err := w.poll(ctx, tail); err != nil {
			return err
		}
	}
	return nil
}

func (w *watch) checkTopics(ctx context.Context, admin *kadm.Client) error {
	attest := wal.AttestTopic(w.Log)
	topics, err := admin.ListTopics(ctx, w.Log, attest)
	if err != nil {
		return fmt.Errorf("no answer from Kafka of %s: %w", w.Sites.Self, err)
	}
	for _, name := range []string{w.Log, attest} {
		if err := topics[name].Err; err != nil {
			return fmt.Errorf("topic %s at %s: %w; apply the site's program first", name, w.Sites.Self, err)
		}
	}
	if n := int32(len(topics[w.Log].Partitions)); n != w.Partitions {
		return finalError{fmt.Errorf("topic %s at %s has %d partitions, the check was told %d; a log's partition count is fixed", w.Log, w.Sites.Self, n, w.Partitions)}
	}
	w.topicID = wal.TopicID(topics[w.Log].ID)
	return nil
}

// readTail reads the end of the attest topic, from as far back as it takes to learn the highest number of this site's barriers in
// every partition: a number that is too low would look to the appliers like a repeating mirror. It returns the client that reads on.
func (w *watch) readTail(ctx context.Context, admin *kadm.Client) (*kgo.Client, error) {
	attest := wal.AttestTopic(w.Log)
	starts, err := admin.ListStartOffsets(ctx, attest)
	if err != nil {
		return nil, fmt.Errorf("topic %s: start: %w", attest, err)
	}
	ends, err := admin.ListCommittedOffsets(ctx, attest)
	if err != nil {
		return nil, fmt.Errorf("topic %s: end: %w", attest, err)
	}
	first, _ := starts.Lookup(attest, 0)
	end, ok := ends.Lookup(attest, 0)
	if err := errors.Join(first.Err, end.Err); err != nil || !ok {
		return nil, fmt.Errorf("topic %s: offsets: %w", attest, err)
	}
	if w.tail < 0 { // else this is another try, and what came since the first one is new
		w.tail = end.Offset
	}
	for back := 256 + 64*int64(w.Partitions); ; back *= 8 {
		from := max(first.Offset, end.Offset-back)
		client, err := kgo.NewClient(append(append([]kgo.Opt{}, w.Kafka...), kgo.ClientID("check-"+w.Sites.Self),
			kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{attest: {0: kgo.NewOffset().At(from)}}),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(250*time.Millisecond),
			kgo.KeepControlRecords(), // the last offset before the end may be a marker of the mirror's transaction
		)...)
		if err != nil {
			return nil, finalError{err}
		}
		w.next = from
		for w.next < end.Offset {
			if err := w.poll(ctx, client); err != nil {
				client.Close()
				return nil, err
			}
		}
		if from == first.Offset || w.knowsNumbers() {
			return client, nil
		}
		client.Close()
	}
}

func (w *watch) poll(ctx context.Context, client *kgo.Client) error {
	fetches := client.PollFetches(ctx)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := fetches.Err(); err != nil {
		return fmt.Errorf("reading %s: %w", wal.AttestTopic(w.Log), err)
	}
	fetches.EachRecord(func(r *kgo.Record) {
		w.next = r.Offset + 1
		if r.Attrs.IsControl() {
			return
		}
		if !Attests(r) {
			return
		}
		if a, err := wal.ParseAttestation(r.Value); err != nil {
			w.unreadable++
		} else {
			w.add(a, r.Offset >= w.tail)
			w.Observe(a)
		}
	})
	return nil
}

// append appends a barrier to each partition that has none of this check yet.
func (w *watch) append(ctx context.Context, client *kgo.Client, signer *wal.Signer) error {
	var records []*kgo.Record
	for p := range w.Partitions {
		own := &w.own[p]
		if own.appended {
			continue
		}
		own.number = own.highest + 1
		now := time.Now()
		value, err := json.Marshal(wal.Barrier{ID: rand.Text(), Number: own.number, Partitions: w.Partitions, Time: now.UnixMilli()})
		if err != nil {
			return finalError{err}
		}
		w.seq++
		r := &kgo.Record{Topic: w.Log, Partition: p, Value: value, Timestamp: now}
		for _, h := range signer.Headers(p, wal.TypeBarrier, value) {
			r.Headers = append(r.Headers, kgo.RecordHeader(h))
		}
		r.Headers = append(r.Headers,
			kgo.RecordHeader{Key: wal.HeaderProducer, Value: []byte(w.producer)},
			kgo.RecordHeader{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, w.seq, 10)})
		records = append(records, r)
	}
	var failed error
	for _, result := range client.ProduceSync(ctx, records...) {
		if result.Err != nil {
			failed = fmt.Errorf("appending a barrier to %s/%d at %s: %w", w.Log, result.Record.Partition, w.Sites.Self, result.Err)
			continue
		}
		w.own[result.Record.Partition].appended = true
	}
	return failed
}
