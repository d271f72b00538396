package converge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

const (
	// askAgain is how long an awaited site may be silent before it is asked again: whoever was to answer may be gone.
	askAgain = 5 * time.Second
	// lookAgain is how often a look is asked for again: each time both sites append barriers to look at.
	lookAgain = 300 * time.Millisecond
)

// session is the Kafka side of a deep check: requests go out on this site's attest topic, the mirror carries them to the peer and the answers back.
type session struct {
	Config
	rate    int
	silence time.Duration // of a site, after which it is given up
	signer  *wal.Signer
	client  *kgo.Client
	id      string
	step    int
}

func openSession(ctx context.Context, c Config, d Deep) (*session, error) {
	signer, err := wal.NewSigner(c.Log, c.SigningKey)
	if err != nil {
		return nil, err
	}
	attest := wal.AttestTopic(c.Log)
	admin, err := kgo.NewClient(c.Kafka...)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	ends, err := kadm.NewClient(admin).ListCommittedOffsets(ctx, attest)
	if err != nil {
		return nil, fmt.Errorf("topic %s: end: %w", attest, err)
	}
	end, ok := ends.Lookup(attest, 0)
	if err := end.Err; err != nil || !ok {
		return nil, fmt.Errorf("topic %s: end: %w", attest, err)
	}
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, c.Kafka...), kgo.ClientID("check-"+c.Sites.Self), kgo.ProducerLinger(0), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchMaxBytes(9<<20), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{attest: {0: kgo.NewOffset().At(end.Offset)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(250*time.Millisecond))...)
	if err != nil {
		return nil, err
	}
	return &session{Config: c, rate: d.Rate, silence: d.Silence, signer: signer, client: client, id: rand.Text()}, nil
}

func (s *session) close() { s.client.Close() }

// ask sends a request and hands the answers to take until nobody is awaited any more. Again is how often the request is repeated while one is; 0 = when
// an awaited site says nothing.
func (s *session) ask(ctx context.Context, r wal.DigestRequest, again time.Duration, awaited func() []string, take func(wal.DigestReply) error) error {
	s.step++
	r.Version, r.ID, r.Step, r.Rate = wal.DigestVersion, s.id, s.step, s.rate
	heard := map[string]time.Time{}
	begun := time.Now()
	var sent time.Time
	for {
		waiting := awaited()
		if len(waiting) == 0 {
			return nil
		}
		now := time.Now()
		due := sent.IsZero() || again > 0 && now.Sub(sent) >= again
		for _, site := range waiting {
			last := heard[site]
			if last.IsZero() {
				last = begun
			}
			if again == 0 && now.Sub(last) > s.silence {
				return s.silent(site, heard[site].IsZero())
			}
			due = due || now.Sub(last) >= askAgain && now.Sub(sent) >= askAgain
		}
		if due {
			r.Time = now.UnixMilli()
			if err := s.send(ctx, r); err != nil {
				return err
			}
			sent = now
		}
		if err := s.poll(ctx, func(reply wal.DigestReply) error {
			if reply.ID != s.id || reply.Step != s.step {
				return nil
			}
			heard[reply.Site] = time.Now()
			if reply.Trouble != "" {
				return fmt.Errorf("%s cannot answer: %s", reply.Site, reply.Trouble)
			}
			return take(reply)
		}); err != nil {
			return err
		}
	}
}

func (s *session) silent(site string, always bool) error {
	switch {
	case !always:
		return fmt.Errorf("%s has begun to answer and says nothing for %s", site, s.silence)
	case site == s.Sites.Self:
		return fmt.Errorf("%s says nothing: are its appliers older than this check, or none owns partition 0", site)
	default:
		return fmt.Errorf("%s says nothing: are its appliers older than this check, or do the legs %s->%s and %s->%s not carry %s", site,
			s.Sites.Self, s.Sites.Peer, s.Sites.Peer, s.Sites.Self, wal.AttestTopic(s.Log))
	}
}

func (s *session) send(ctx context.Context, r wal.DigestRequest) error {
	value, headers, err := s.signer.SignDigest(wal.DigestAsk, r)
	if err != nil {
		return err
	}
	record := &kgo.Record{Topic: wal.AttestTopic(s.Log), Key: []byte("digest/" + s.Sites.Self), Value: value}
	for _, h := range headers {
		record.Headers = append(record.Headers, kgo.RecordHeader(h))
	}
	if err := s.client.ProduceSync(ctx, record).FirstErr(); err != nil {
		return fmt.Errorf("asking on %s (the check's user needs Write there): %w", record.Topic, err)
	}
	return nil
}

func (s *session) poll(ctx context.Context, take func(wal.DigestReply) error) error {
	wait, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	fetches := s.client.PollFetches(wait)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var failed error
	fetches.EachError(func(_ string, _ int32, err error) {
		if !errors.Is(err, context.DeadlineExceeded) {
			failed = fmt.Errorf("reading %s: %w", wal.AttestTopic(s.Log), err)
		}
	})
	fetches.EachRecord(func(r *kgo.Record) {
		kind, signature := DigestHeaders(r)
		if kind != wal.DigestAnswer || failed != nil {
			return
		}
		// What is not signed is nobody's answer: the right one is awaited.
		if reply, err := s.signer.OpenDigestReply(r.Value, signature); err == nil {
			failed = take(reply)
		}
	})
	return failed
}

// DigestHeaders are the kind of a message of a deep check, empty for other records, and its signature.
func DigestHeaders(r *kgo.Record) (kind wal.DigestKind, signature []byte) {
	for _, h := range r.Headers {
		switch h.Key {
		case wal.HeaderDigest:
			kind = wal.DigestKind(h.Value)
		case wal.HeaderSignature:
			signature = h.Value
		}
	}
	return kind, signature
}

// Attests reports whether a record of the attest topic is meant as an attestation; else it belongs to a deep check, or is an observation.
func Attests(r *kgo.Record) bool {
	return !slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == wal.HeaderDigest || h.Key == wal.HeaderObservation })
}

// whole puts together the parts of one site's answer.
type whole struct {
	run  string
	next int
	done bool
}

// take reports whether the part is the next one of the attempt that is under way, and whether a new attempt begins with it. Repeated parts are left
// out; an attempt that lost one does not go on.
func (w *whole) take(r wal.DigestReply) (use, begins bool) {
	switch {
	case w.done:
		return false, false
	case r.Run != w.run && r.Part == 0:
		w.run, w.next, begins = r.Run, 0, true
	case r.Run != w.run || r.Part != w.next:
		return false, false
	}
	w.next++
	w.done = r.Last
	return true, begins
}

// both asks both sites and waits until they have answered to the end.
func (s *session) both(ctx context.Context, r wal.DigestRequest, begin func(site string), take func(wal.DigestReply) error) error {
	parts := map[string]*whole{s.Sites.Self: {}, s.Sites.Peer: {}}
	awaited := func() (out []string) {
		for site, w := range parts {
			if !w.done {
				out = append(out, site)
			}
		}
		return out
	}
	return s.ask(ctx, r, 0, awaited, func(reply wal.DigestReply) error {
		w := parts[reply.Site]
		if w == nil {
			return nil
		}
		use, begins := w.take(reply)
		if begins {
			begin(reply.Site)
		}
		if !use {
			return nil
		}
		return take(reply)
	})
}
