package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/internal/digest"
	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/wal"
)

const (
	// lookFor is how long keys are looked at after they were asked for last; lookTimes, at how many barriers.
	lookFor   = 30 * time.Second
	lookTimes = 16
	// lookTimeout bounds one look: the partition waits meanwhile. What was not read by then is asked for again.
	lookTimeout = 2 * time.Second
	// lookAlone is the same for a key that is asked for alone.
	lookAlone = 10 * time.Second
	// lookLarge is how many bytes of a value are read together with others.
	lookLarge = 4 << 20
	// maxLooks is how many deep checks are served at once.
	maxLooks = 4
)

// looks are the keys of one partition that deep checks want to see at barriers: between a barrier and what follows it both sites hold, of the stream in
// which the barrier stands, exactly the same. Nothing else tells a difference from what is just under way.
type looks struct {
	mu sync.Mutex
	by map[string]*lookAt // by deep check
}

type lookAt struct {
	id    string
	step  int
	keys  []string
	hash  *digest.Hasher
	until time.Time
	left  int
}

// ask has keys looked at from now on; false if too many others ask already.
func (l *looks) ask(id string, step int, keys []string, hash *digest.Hasher, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = map[string]*lookAt{}
	}
	l.drop(now)
	if l.by[id] == nil && len(l.by) >= maxLooks {
		return false
	}
	l.by[id] = &lookAt{id: id, step: step, keys: keys, hash: hash, until: now.Add(lookFor), left: lookTimes}
	return true
}

func (l *looks) drop(now time.Time) {
	maps.DeleteFunc(l.by, func(_ string, a *lookAt) bool { return a.left <= 0 || now.After(a.until) })
}

// due are the looks for a barrier that was just decided.
func (l *looks) due(now time.Time) []lookAt {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.by) == 0 {
		return nil
	}
	l.drop(now)
	var out []lookAt
	for _, a := range l.by {
		a.left--
		out = append(out, *a)
	}
	return out
}

// nextLook is [worker.nextBarrier] for a look; false also while a barrier that is not old is under way: it serves as
// well, and a partition that lags is not made to lag more.
func (w *worker) nextLook() (uint64, bool) {
	w.mu.Lock()
	waits := w.highest > w.decided && time.Since(w.lookedFor) < lookPatience
	w.mu.Unlock()
	if waits {
		return 0, false
	}
	number, ok := w.nextBarrier()
	if ok {
		w.mu.Lock()
		w.lookedFor = time.Now()
		w.mu.Unlock()
	}
	return number, ok
}

// lookPatience is how long a barrier may be under way before another is appended.
const lookPatience = time.Second

// look reads, right behind a barrier, what deep checks want to see there. Nothing of the partition is in flight, and the position in Redis tells
// whether somebody else has gone on: then there is no answer. The check asks again.
func (w *worker) look(ctx context.Context, conn *sink.Conn, b *plan.Batch) {
	due := w.looks.due(time.Now())
	if len(due) == 0 {
		return
	}
	client := w.app.sink.ReaderAt(conn.Addr())
	defer func() { _ = client.Close() }() // it only read
	for _, l := range due {
		found, err := w.read(ctx, client, b, l)
		if err != nil {
			w.app.once.log(w.logger, slog.LevelWarn, fmt.Sprint("look ", w.part), err.Error(), "keys not read at a barrier for a deep check", "error", err)
			continue
		}
		var entries []byte
		for _, d := range found {
			entries = wal.AppendDigest(entries, d)
		}
		w.app.publisher.TryDigest(ctx, w.part, wal.DigestReply{
			Version: wal.DigestVersion, ID: l.id, Step: l.step, Site: w.app.cfg.Site, Run: b.Barrier.ID, Last: true, Entries: entries,
			At: &wal.DigestAt{
				Partition: w.part, Offset: b.To.Next - 1, Epoch: b.To.Epoch,
				Barrier: wal.AttestedBarrier{Origin: w.app.rules.Sites.Name(b.Barrier.Origin), Number: b.Barrier.Number, ID: b.Barrier.ID, Time: b.Barrier.Time},
			},
		})
	}
}

// read reads as many of the keys as there is time for.
func (w *worker) read(ctx context.Context, client *redis.Client, b *plan.Batch, l lookAt) ([]wal.Digest, error) {
	here := func(ctx context.Context) error {
		next, err := client.HGet(ctx, wal.CheckpointKey(w.app.rules.Log, w.part), "next").Result()
		if err == nil && next != strconv.FormatInt(b.To.Next, 10) {
			err = sink.ErrMoved
		}
		return err
	}
	if err := here(ctx); err != nil {
		return nil, err
	}
	patience := lookTimeout
	reader := digest.NewReader(client, l.hash)
	if reader.Limit(lookLarge); len(l.keys) == 1 { // a large value is asked for alone
		reader.Limit(0)
		patience = lookAlone
	}
	reading, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var found []wal.Digest
	for some := range slices.Chunk(l.keys, lookChunk) {
		more, err := reader.Keys(reading, some)
		if reading.Err() != nil && len(l.keys) == 1 && ctx.Err() == nil { // it will not do better at the next barrier
			more, err = []wal.Digest{{Key: []byte(some[0]), Type: wal.DigestLarge}}, nil
		} else if reading.Err() != nil {
			break
		}
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, here(ctx)
}

// lookChunk is how many keys are read before the time is looked at.
const lookChunk = 128
