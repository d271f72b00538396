package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/internal/digest"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/wal"
)

const (
	// requestLife is how old a request may be: what a rewound mirror brings again is answered no more. It bears clocks that differ.
	requestLife = 2 * time.Hour
	// replyBytes is the size at which a part of an answer is sent.
	replyBytes = 256 << 10
	// heartbeat is how often an answer that takes long says that it is being made.
	heartbeat = 2 * time.Second
	// maxRuns is how many deep checks are answered at once.
	maxRuns = 4
)

// digests answers the requests of deep checks: one applier of the site, the owner of partition 0, reads the whole keyspace, and the owner of
// each partition looks at single keys at its barriers.
type digests struct {
	app    *App
	signer *wal.Signer

	mu      sync.Mutex
	runs    map[string]*digestRun // by deep check
	repairs map[string]bool       // that are being appended, by deep check and partition
	wg      sync.WaitGroup
}

// digestRun is an answer that is being made.
type digestRun struct {
	step   int
	cancel context.CancelFunc
}

// asked returns what takes the requests, until ctx ends.
func (d *digests) asked(ctx context.Context) func(value, signature []byte) {
	return func(value, signature []byte) {
		r, err := d.signer.OpenDigestRequest(value, signature)
		if err != nil {
			d.app.once.log(d.app.logger, slog.LevelWarn, "digest", err.Error(), "request left out", "error", err)
			return
		}
		if age := time.Since(time.UnixMilli(r.Time)); age.Abs() > requestLife {
			d.app.once.log(d.app.logger, slog.LevelWarn, "digest", "old", "request of a deep check left out: it is old, or the clocks of the sites differ", "age", age.String())
			return
		}
		switch {
		case r.Look != nil:
			d.look(ctx, r)
		case r.Repair != nil:
			d.repair(ctx, r)
		default:
			d.begin(ctx, r)
		}
	}
}

// look has the owned partitions look at their keys, and appends barriers to do it at.
func (d *digests) look(ctx context.Context, r wal.DigestRequest) {
	keys := map[int32][]string{}
	for _, k := range r.Look.Keys {
		p := wal.Partition(wal.RoutingKey(k), d.app.cfg.Partitions)
		keys[p] = append(keys[p], string(k))
	}
	now := time.Now()
	for _, w := range d.app.list() {
		mine := keys[w.part]
		if len(mine) == 0 || !w.looks.ask(r.ID, r.Step, mine, digest.NewHasher(d.signer.DigestKey(r.ID)), now) {
			continue
		}
		if number, ok := w.nextLook(); ok {
			d.app.publisher.Barrier(ctx, w.part, number, now)
		}
	}
}

// begin begins to answer. A request that is repeated while it is being answered changes nothing; a new one of the same check ends the old one.
func (d *digests) begin(ctx context.Context, r wal.DigestRequest) {
	if !d.app.owns(0) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.runs[r.ID]; now != nil {
		if now.step >= r.Step {
			return
		}
		now.cancel()
	} else if len(d.runs) >= maxRuns {
		d.app.publisher.TryDigest(ctx, 0, wal.DigestReply{
			Version: wal.DigestVersion, ID: r.ID, Step: r.Step, Site: d.app.cfg.Site, Last: true,
			Trouble: fmt.Sprintf("%d other deep checks are running", maxRuns),
		})
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	run := &digestRun{step: r.Step, cancel: cancel}
	d.runs[r.ID] = run
	d.wg.Go(func() {
		defer cancel()
		a := digestAnswer{d: d, request: r, run: randomRun(), said: time.Now()}
		if err := a.make(ctx); err != nil && ctx.Err() == nil {
			d.app.logger.Warn("a deep check is not answered", "check", r.ID, "step", r.Step, "error", err)
			_ = a.send(ctx, wal.DigestReply{Trouble: err.Error(), Last: true}) // if it is lost, the check waits and asks again
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.runs[r.ID] == run {
			delete(d.runs, r.ID)
		}
	})
}

// digestAnswer is the making of one answer.
type digestAnswer struct {
	d       *digests
	request wal.DigestRequest
	run     string
	part    int
	said    time.Time
}

func (a *digestAnswer) send(ctx context.Context, r wal.DigestReply) error {
	r.Version, r.ID, r.Step, r.Site = wal.DigestVersion, a.request.ID, a.request.Step, a.d.app.cfg.Site
	r.Run, r.Part = a.run, a.part
	a.part++
	a.said = time.Now()
	return a.d.app.publisher.Digest(ctx, r)
}

// errNotMine ends an answer when partition 0 has another owner, who is asked again.
var errNotMine = errors.New("another applier answers now")

// alive says on the topic that the answer is being made, and ends it if it is somebody else's to make.
func (a *digestAnswer) alive(ctx context.Context) error {
	if !a.d.app.owns(0) {
		return errNotMine
	}
	if time.Since(a.said) < heartbeat {
		return nil
	}
	return a.send(ctx, wal.DigestReply{})
}

func (a *digestAnswer) make(ctx context.Context) error {
	client, place, err := a.d.app.sink.Reader(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // it only read
	hash := digest.NewHasher(a.d.signer.DigestKey(a.request.ID))
	reader := digest.NewReader(client, hash)
	switch b := a.request.Buckets; {
	case b == nil:
		return a.size(ctx, client, place)
	case len(b.Of) == 0:
		return a.sums(ctx, reader, hash, b.Count)
	default:
		return a.keys(ctx, reader, hash, b)
	}
}

func (a *digestAnswer) size(ctx context.Context, client *redis.Client, place sink.Place) error {
	size := wal.DigestSize{From: place.Addr, Replica: place.Replica}
	var err error
	if size.Keys, err = client.DBSize(ctx).Result(); err != nil {
		return fmt.Errorf("DBSIZE at %s: %w", place.Addr, err)
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil && !redis.HasErrorPrefix(err, "NOPERM") {
		return fmt.Errorf("INFO at %s: %w", place.Addr, err)
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
			size.Redis = v
		}
	}
	dump, err := client.Dump(ctx, wal.MetaKey(a.d.app.cfg.Log)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("DUMP at %s: %w", place.Addr, err)
	}
	size.RDB = digest.DumpVersion(dump)
	return a.send(ctx, wal.DigestReply{Size: &size, Last: true})
}

// sums answers with a sum for each bucket.
func (a *digestAnswer) sums(ctx context.Context, reader *digest.Reader, hash *digest.Hasher, count uint32) error {
	sums := make([]wal.Count, count)
	err := reader.Scan(ctx, a.request.Rate, func(string) bool { return true }, func(found []wal.Digest) error {
		for _, f := range found {
			if f.Type == wal.DigestNone {
				continue
			}
			b := &sums[hash.Bucket(string(f.Key), count)]
			*b = b.Add(hash.Entry(f))
		}
		return a.alive(ctx)
	})
	if err != nil {
		return err
	}
	const each = replyBytes / wal.DigestSumSize
	first := uint32(0)
	for some := range slices.Chunk(sums, each) {
		var b []byte
		for _, c := range some {
			b = wal.AppendSum(b, c)
		}
		r := wal.DigestReply{First: first, Sums: b}
		first += uint32(len(some))
		r.Last = first == count
		if err := a.send(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// keys answers with the keys of some buckets, one by one.
func (a *digestAnswer) keys(ctx context.Context, reader *digest.Reader, hash *digest.Hasher, b *wal.DigestBuckets) error {
	want := make([]bool, b.Count)
	for _, n := range b.Of {
		if n >= b.Count {
			return fmt.Errorf("bucket %d of %d", n, b.Count)
		}
		want[n] = true
	}
	var entries []byte
	err := reader.Scan(ctx, a.request.Rate, func(key string) bool { return want[hash.Bucket(key, b.Count)] }, func(found []wal.Digest) error {
		for _, f := range found {
			if f.Type != wal.DigestNone {
				entries = wal.AppendDigest(entries, f)
			}
		}
		if len(entries) < replyBytes {
			return a.alive(ctx)
		}
		err := a.send(ctx, wal.DigestReply{Entries: entries})
		entries = entries[:0]
		return err
	})
	if err != nil {
		return err
	}
	return a.send(ctx, wal.DigestReply{Entries: entries, Last: true})
}

func randomRun() string { return rand.Text() }
