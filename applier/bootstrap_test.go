package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/refill"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// lost is two sites of which dr has lost its Redis, and its log no longer reaches back; applications write at both all the time.
type lost struct {
	*pair
	t        *testing.T
	at       map[string]reach.Site
	replica  *redistest.Server // of dc
	load     *load
	progress lines
}

// load appends to lists: what is lost, or applied twice, shows.
type load struct {
	stop context.CancelFunc
	done sync.WaitGroup
	mu   sync.Mutex
	n    map[string]int // appended, by list
}

const loadLists = 50

func (p *pair) load() *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{stop: cancel, n: map[string]int{}}
	for _, h := range []*half{p.dc, p.dr} {
		l.done.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ctx.Err() == nil; n++ {
				<-tick.C
				list := fmt.Sprintf("%s:%d", h.name, n%loadLists)
				l.mu.Lock()
				next := l.n[list] + 1
				l.mu.Unlock()
				r := h.kafka.Op("RPUSH", list, strconv.Itoa(next))
				if n%3 > 0 {
					r.Headers = append(r.Headers, kgo.RecordHeader{Key: wal.HeaderProducer, Value: []byte(h.name)}, kgo.RecordHeader{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, int64(n), 10)})
				}
				h.kafka.Append(p.t, r)
				l.mu.Lock()
				l.n[list] = next
				l.mu.Unlock()
			}
		})
	}
	return l
}

func newLost(t *testing.T, remote bool) *lost {
	t.Helper()
	return newLostBy(t, remote, (*lost).wipe)
}

func newLostBy(t *testing.T, remote bool, lose func(*lost)) *lost {
	t.Helper()
	l := &lost{t: t, at: map[string]reach.Site{}, pair: newPair(t, func(c *config.Run) { c.HaltConfirm = 200 * time.Millisecond })}
	l.replica = redistest.Start(t, "--replicaof", strings.Replace(l.dc.redis.Addr, ":", " ", 1))
	for _, h := range []*half{l.dc, l.dr} {
		d, err := reach.NewDirect(h.cfg)
		if err != nil {
			t.Fatal(err)
		}
		l.at[h.name] = d
		if remote {
			l.at[h.name] = throughStreams(t, d)
		}
		t.Cleanup(func() { _ = l.at[h.name].Close(); _ = d.Close() })
	}
	var fill []*kgo.Record
	for i := range 2000 {
		k := strconv.Itoa(i)
		fill = append(fill, l.dc.kafka.Op("SET", "string:"+k, strings.Repeat("value "+k, 20)), l.dc.kafka.Op("HSET", "hash:"+k, "a", k, "b", k))
	}
	l.dc.kafka.Append(t, fill...)
	l.load = l.pair.load()
	t.Cleanup(func() { l.load.stop(); l.load.done.Wait() })
	l.same(4000)
	lose(l)
	return l
}

// throughStreams reaches a site as through `redis-applier ctl`.
func throughStreams(t *testing.T, d reach.Site) reach.Site {
	t.Helper()
	in, toServer := io.Pipe()
	fromServer, out := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = reach.Serve(context.Background(), d, in, out)
		_ = out.Close()
	}()
	r, err := reach.Dial(struct {
		io.Reader
		io.Writer
		io.Closer
	}{fromServer, toServer, closer(func() error { err := toServer.Close(); <-ended; return err })})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type closer func() error

func (c closer) Close() error { return c() }

// wipe takes dr's data, and what of its log they came from.
func (l *lost) wipe() {
	l.t.Helper()
	l.truncate()
	l.dr.do(l.t, "FLUSHALL")
}

// truncate deletes dr's log, as retention does.
func (l *lost) truncate() {
	l.t.Helper()
	ends, err := l.at["dr"].Ends(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	sent := map[string]int{} // the mirror must have fetched what is deleted
	for i := range loadLists {
		list := fmt.Sprint("dr:", i)
		sent[list] = l.load.appended(list)
	}
	l.until(func() error {
		for list, n := range sent {
			if got := int(l.dc.redis.Client.LLen(l.t.Context(), list).Val()); got < n {
				return fmt.Errorf("%s: %d of %d are at dc", list, got, n)
			}
		}
		return nil
	})
	for p, end := range ends.End {
		l.dr.kafka.Truncate(l.t, int32(p), end)
	}
}

func (l *lost) how() refill.How {
	return refill.How{Timeout: 40 * time.Second, Again: time.Millisecond, Progress: func(line string) { fmt.Fprintln(&l.progress, line) }}
}

func (l *lost) run(target refill.Site, source refill.Site) (*refill.Done, error) {
	return refill.Run(l.t.Context(), target, source, l.how())
}

// proven is what must hold at the end: nothing lost, nothing twice, in order, and both sites alike.
func (l *lost) proven(done *refill.Done) {
	l.t.Helper()
	if done == nil || done.Check == nil || done.Check.Exit != 0 {
		l.t.Fatalf("got %+v\n%s", done, l.progress.String())
	}
	l.load.stop()
	l.load.done.Wait()
	total := 0
	for _, n := range l.load.n {
		total += n
	}
	for _, h := range []*half{l.dc, l.dr} {
		l.until(func() error {
			n := 0
			for list := range l.load.n {
				n += int(h.redis.Client.LLen(context.Background(), list).Val())
			}
			if n < total {
				return fmt.Errorf("%s has %d of %d", h.name, n, total)
			}
			return nil
		})
		for list, n := range l.load.n {
			got := h.redis.Client.LRange(context.Background(), list, 0, -1).Val()
			if len(got) != n || !slices.IsSortedFunc(got, func(a, b string) int { x, _ := strconv.Atoi(a); y, _ := strconv.Atoi(b); return x - y }) {
				l.t.Errorf("%s: %s holds %v, want 1 to %d", h.name, list, got, n)
			}
		}
	}
	if r := l.deep(converge.Deep{}); r.Exit != 0 || r.Deep.Verdict != converge.Converged {
		l.t.Errorf("exit %d: %s", r.Exit, r.Deep.Sentence)
	}
}

func (l *lost) until(ready func() error) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	if err := await.True(ctx, "the sites", func(context.Context) error { return ready() }); err != nil {
		l.t.Fatal(err)
	}
}

// A site that was wiped beyond retention, under load at both sites, comes back.
func TestBootstrap(t *testing.T) {
	for name, remote := range map[string]bool{"directly": false, "through streams": true} {
		t.Run(name, func(t *testing.T) {
			l := newLost(t, remote)
			l.until(func() error { // its appliers say so
				s, err := refill.Look(t.Context(), l.at["dr"], l.at["dc"])
				if err != nil {
					t.Fatal(err)
				}
				if len(s.Refused) > 0 || s.Healthy() || !s.Held.Free() || s.From.Data < 4000 {
					t.Fatalf("got %+v", s)
				}
				if len(s.Halted) < pairPartitions || s.Halted[0].Reason != "log-start" {
					return fmt.Errorf("halted: %+v", s.Halted)
				}
				return nil
			})
			done, err := l.run(l.at["dr"], l.at["dc"])
			if err != nil {
				t.Fatal(err, l.progress.String())
			}
			if done.From.Primary || done.Keys < 4000 || done.Snapshots != 1 || len(done.Joined.Next) != pairPartitions {
				t.Errorf("got %+v; want it from the replica", done)
			}
			// It is not halted: it is filled once more only if that is said. Its appliers are at work meanwhile.
			how := l.how()
			how.DiscardData = true
			if done, err = refill.Run(t.Context(), l.at["dr"], l.at["dc"], how); err != nil || done.Already || done.Keys < 4000 {
				t.Fatalf("got %+v, %v\n%s", done, err, l.progress.String())
			}
			l.proven(done)
			again, err := l.run(l.at["dr"], l.at["dc"])
			if err != nil || !again.Already || again.Keys != 0 || again.Check.Exit != 0 {
				t.Errorf("once more: %+v, %v; want nothing to be done", again, err)
			}
		})
	}
}

// A site that was away for longer than retention keeps what it had, and halts: what it holds is deleted, because it cannot go on with it. What it had applied of its own, the peer has counted.
func TestBootstrapOfASiteThatWasAway(t *testing.T) {
	l := newLostBy(t, false, func(l *lost) {
		l.dr.stop()
		at := l.load.appended("dr:0") + l.load.appended("dr:1")
		l.until(func() error { // both sites are written meanwhile
			if n := l.load.appended("dr:0") + l.load.appended("dr:1"); n < at+3 {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		l.truncate()
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { defer close(ended); l.dr.apply(ctx, t) }()
		t.Cleanup(func() { stop(); <-ended })
	})
	l.until(func() error {
		s, err := refill.Look(t.Context(), l.at["dr"], l.at["dc"])
		if err != nil {
			t.Fatal(err)
		}
		if s.Healthy() || s.Held.Free() || s.Held.Data < 4000 || s.Unseen > 0 {
			t.Fatalf("got %+v", s)
		}
		if len(s.Halted) < pairPartitions || s.Halted[0].Reason != "gap" {
			return fmt.Errorf("halted: %+v", s.Halted)
		}
		return nil
	})
	l.dr.do(t, "SET", "around the log", "it goes")
	done, err := l.run(l.at["dr"], l.at["dc"])
	if err != nil {
		t.Fatal(err, l.progress.String())
	}
	l.proven(done)
}

func (l *load) appended(list string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n[list]
}

var errKilled = errors.New("killed")

// killed is a site that answers nothing any more after some calls. They are counted over both sites.
type killed struct {
	reach.Site
	left *int
}

func (k killed) call(do func() error) error {
	if *k.left--; *k.left < 0 {
		return errKilled
	}
	err := do()
	if *k.left--; *k.left < 0 { // it was done, and nobody knows
		return errKilled
	}
	return err
}

func (k killed) Append(ctx context.Context, c []writer.Control) (at []int64, err error) {
	return at, k.call(func() error { at, err = k.Site.Append(ctx, c); return err })
}

func (k killed) Checkpoints(ctx context.Context) (at []wal.Checkpoint, err error) {
	return at, k.call(func() error { at, err = k.Site.Checkpoints(ctx); return err })
}

func (k killed) Snapshot(ctx context.Context, begun func(reach.Taken), each func(snapshot.Entry) error) error {
	return k.call(func() error {
		n := 0
		return k.Site.Snapshot(ctx, begun, func(e snapshot.Entry) error {
			if n++; n%1000 == 0 {
				if err := k.call(func() error { return nil }); err != nil {
					return err
				}
			}
			return each(e)
		})
	})
}

func (k killed) Fill(ctx context.Context, how reach.Refill) (f reach.Filling, err error) {
	err = k.call(func() error { f, err = k.Site.Fill(ctx, how); return err })
	return killedFilling{f, k}, err
}

func (k killed) Check(ctx context.Context, timeout time.Duration) (r converge.Report, err error) {
	return r, k.call(func() error { r, err = k.Site.Check(ctx, timeout); return err })
}

type killedFilling struct {
	reach.Filling
	k killed
}

func (f killedFilling) Join(ctx context.Context, at reach.Handover, waits func(string)) (j reach.Joined, err error) {
	return j, f.k.call(func() error { j, err = f.Filling.Join(ctx, at, waits); return err })
}

func (f killedFilling) Finish(ctx context.Context) error {
	return f.k.call(func() error { return f.Filling.Finish(ctx) })
}

func (f killedFilling) Close() error {
	if f.Filling == nil {
		return nil
	}
	return f.Filling.Close()
}

// It is killed after each of its calls, begun or done, and run again. No applier has joined before the end.
func TestBootstrapIsInterruptedAnywhere(t *testing.T) {
	l := newLost(t, false)
	finished := false
	for calls := 0; ; calls++ {
		left := calls
		done, err := l.run(killed{l.at["dr"], &left}, killed{l.at["dc"], &left})
		if err == nil {
			if calls < 20 {
				t.Errorf("there were %d calls only", calls)
			}
			l.proven(done)
			return
		}
		if !errors.Is(err, errKilled) {
			t.Fatalf("after %d calls: %v\n%s", calls, err, l.progress.String())
		}
		state, err := l.at["dr"].Redis(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch joined := state.Held.Filling == "" && state.Held.Keys > 0; {
		case joined:
			finished = true
			if state.Held.Data < 4000 {
				t.Fatalf("after %d calls its appliers may join, and it holds %+v", calls, state.Held)
			}
		case finished:
			t.Fatalf("after %d calls it is half-way again", calls)
		}
	}
}

// A failover of the Redis that is filled takes it back to the beginning, or leaves it half-way: either way it is not joined, and begun again.
func TestBootstrapMeetsAFailover(t *testing.T) {
	l := newLost(t, false)
	other := redistest.Start(t, "--replicaof", strings.Replace(l.dr.redis.Addr, ":", " ", 1))
	l.until(func() error {
		if s, err := l.at["dr"].Redis(t.Context()); err != nil || len(s.Replicas) == 0 || !s.Replicas[0].LinkUp {
			return fmt.Errorf("no replica: %+v, %w", s.Replicas, err)
		}
		return nil
	})
	old := l.dr.redis
	_, err := l.run(at(l.at["dr"], 1500, func() {
		host, port, _ := strings.Cut(other.Addr, ":")
		_ = other.Client.ReplicaOf(t.Context(), "NO", "ONE").Err()
		_ = old.Client.ReplicaOf(t.Context(), host, port).Err()
		l.dr.redis = other
		l.dr.sentinels.Name(l.dr.addr())
	}), l.at["dc"])
	if err == nil || errors.Is(err, reach.ErrHandover) {
		t.Fatalf("got %v, want it to end", err)
	}
	state, err := l.at["dr"].Redis(t.Context())
	if err != nil || state.Held.Keys > 0 && state.Held.Filling == "" {
		t.Fatalf("it holds %+v, %v", state.Held, err)
	}
	done, err := l.run(l.at["dr"], l.at["dc"])
	if err != nil {
		t.Fatal(err, l.progress.String())
	}
	l.proven(done)
}

// at does something when so many keys were added.
func at(s reach.Site, keys int, do func()) reach.Site { return &when{Site: s, left: keys, do: do} }

type when struct {
	reach.Site
	left int
	do   func()
}

func (w *when) Fill(ctx context.Context, how reach.Refill) (reach.Filling, error) {
	f, err := w.Site.Fill(ctx, how)
	return &whenFilling{f, w}, err
}

type whenFilling struct {
	reach.Filling
	w *when
}

func (f *whenFilling) Add(ctx context.Context, e snapshot.Entry) error {
	if f.w.left--; f.w.left == 0 {
		f.w.do()
	}
	return f.Filling.Add(ctx, e)
}

// The Redis that is asked dies: another one is asked when it is run again.
func TestBootstrapLosesItsSource(t *testing.T) {
	l := newLost(t, true)
	_, err := l.run(at(l.at["dr"], 1500, func() {
		_ = l.replica.Client.ShutdownNoSave(t.Context()).Err()
	}), cutOff{l.at["dc"]}) // what is on its way then may be all there is
	if err == nil || !strings.Contains(err.Error(), "after ") {
		t.Fatalf("got %v, want it to end", err)
	}
	s, err := refill.Look(t.Context(), l.at["dr"], l.at["dc"])
	if err != nil || s.Held.Filling == "" || !strings.Contains(s.Held.Filling, "from dc, by walctl bootstrap, since ") || s.Healthy() {
		t.Fatalf("got %+v, %v; want it half-way", s, err)
	}
	done, err := l.run(l.at["dr"], l.at["dc"])
	if err != nil {
		t.Fatal(err, l.progress.String())
	}
	if !done.From.Primary || !strings.Contains(l.progress.String(), "the primary: there is no replica that could be asked") {
		t.Errorf("got %+v; want it from the primary, and said", done.From)
	}
	l.proven(done)
}

// cutOff is a site whose snapshot ends in the middle.
type cutOff struct{ reach.Site }

func (h cutOff) Snapshot(ctx context.Context, begun func(reach.Taken), each func(snapshot.Entry) error) error {
	n := 0
	return h.Site.Snapshot(ctx, begun, func(e snapshot.Entry) error {
		if n++; n > 2000 {
			return io.ErrUnexpectedEOF
		}
		return each(e)
	})
}

// A snapshot that cannot be joined is followed by another one, so often as is said.
func TestBootstrapTakesAnotherSnapshot(t *testing.T) {
	l := newLost(t, false)
	how := l.how()
	how.Attempts = 2
	if _, err := refill.Run(t.Context(), &unjoined{l.at["dr"], 2}, l.at["dc"], how); !errors.Is(err, reach.ErrHandover) || !strings.Contains(err.Error(), "2 snapshots could not be joined") {
		t.Errorf("got %v", err)
	}
	how.Attempts = 3
	done, err := refill.Run(t.Context(), &unjoined{l.at["dr"], 2}, l.at["dc"], how)
	if err != nil || done.Snapshots != 3 {
		t.Fatalf("got %+v, %v", done, err)
	}
	l.proven(done)
}

// unjoined is a site of which some snapshots cannot be joined.
type unjoined struct {
	reach.Site
	times int
}

func (u *unjoined) Fill(ctx context.Context, how reach.Refill) (reach.Filling, error) {
	f, err := u.Site.Fill(ctx, how)
	return &unjoinedFilling{f, u}, err
}

type unjoinedFilling struct {
	reach.Filling
	u *unjoined
}

func (f *unjoinedFilling) Join(ctx context.Context, at reach.Handover, waits func(string)) (reach.Joined, error) {
	if f.u.times--; f.u.times >= 0 {
		at.Attested = nil // as if they had been too old
	}
	return f.Filling.Join(ctx, at, waits)
}
