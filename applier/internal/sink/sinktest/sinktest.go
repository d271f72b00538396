// Package sinktest is what every Redis that the sink writes to must do. It runs on the Redis in memory at each run, and on a real
// redis-server.
package sinktest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/wal"
)

// Redis is one empty Redis of a test.
type Redis struct {
	Addr   string
	Client *redis.Client
}

var sites = wal.Sites{Self: "dc", Peer: "dr"}

const log = "redis-writes"

// Run runs the suite. Each test gets a Redis of its own from open.
func Run(t *testing.T, open func(t *testing.T) Redis) {
	run(t, open, map[string]func(*testing.T, *bench){
		"a batch and its position are applied together":           together,
		"a batch that Redis refuses leaves data and position":     allOrNothing,
		"a batch on an old position is not applied":               zombie,
		"what another connection writes after the read counts":    lateWriter,
		"a refused command is named and the others stand":         refused,
		"batches follow each other on one connection":             rhythm,
		"a Redis that is not empty is not created again":          createOnce,
		"a Redis that is being filled is not created":             notWhileFilled,
		"what was skipped is forgotten when it is passed":         forgetsWhatWasSkipped,
		"a checkpoint comes back as it was written":               roundTrip,
		"a lost answer is decided by the position":                lostReply,
		"a transaction that breaks before EXEC leaves no trace":   beforeExec,
		"another primary closes the connections to the old one":   otherPrimary,
		"a Sentinel that still watches 127.0.0.1 is not believed": freshSentinel,
	})
}

// RunStrict runs what only a real Redis does: it replicates, and it looks at a command before it queues it.
func RunStrict(t *testing.T, open func(t *testing.T) Redis) {
	run(t, open, map[string]func(*testing.T, *bench){
		"an unknown command is named and nothing is applied":            unknownCommand,
		"a replica is no primary, whatever the Sentinels say":           replica,
		"a primary that becomes a replica applies nothing more":         demoted,
		"a full Redis refuses the batch whole and it may be sent again": full,
		"a full Redis lets through what frees memory":                   frees,
		"what frees memory is not applied on an old position":           freesGuarded,
		"a command too wide for a script is not begun":                  freesWide,
		"a repair puts its value in place, or is refused":               repairs,
	})
}

func run(t *testing.T, open func(t *testing.T) Redis, tests map[string]func(*testing.T, *bench)) {
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := open(t)
			proxy := sitetest.NewProxy(t, r.Addr)
			sentinels := sitetest.NewSentinels(t, 3, proxy.Addr)
			s := sink.New(sink.Options{Sites: sites, Log: log, Sentinels: sentinels.Addrs[:1], SentinelMaster: "mymaster"})
			t.Cleanup(func() { _ = s.Close() })
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			t.Cleanup(cancel)
			test(t, &bench{Redis: r, ctx: ctx, sink: s, proxy: proxy, sentinels: sentinels})
		})
	}
}

type bench struct {
	Redis
	ctx       context.Context
	sink      *sink.Sink
	proxy     *sitetest.Proxy
	sentinels *sitetest.Sentinels
}

func (b *bench) create(t *testing.T) {
	t.Helper()
	c := b.open(t)
	defer c.Close()
	err := c.Create(b.ctx, plan.Creation{
		Meta:        wal.Meta{TopicID: wal.TopicID{1}, Partitions: 1},
		Checkpoints: map[int32]wal.Checkpoint{0: {Position: wal.Position{TopicID: wal.TopicID{1}, LeaderEpoch: -1}}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) open(t *testing.T) *sink.Conn {
	t.Helper()
	c, err := b.sink.Open(b.ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// join opens a connection and reads the checkpoint.
func (b *bench) join(t *testing.T) (*sink.Conn, wal.Checkpoint) {
	t.Helper()
	c := b.open(t)
	stored, err := c.Join(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	cp, err := wal.ParseCheckpoint(stored.Checkpoint, sites)
	if err != nil {
		t.Fatal(err)
	}
	return c, cp
}

// batch is a batch of ops on top of a checkpoint: each op is one command.
func batch(from wal.Checkpoint, ops ...[]string) *plan.Batch {
	b := &plan.Batch{From: from, To: from}
	for _, op := range ops {
		wire := fmt.Appendf(nil, "*%d\r\n", len(op))
		for _, a := range op {
			wire = fmt.Appendf(wire, "$%d\r\n%s\r\n", len(a), a)
		}
		b.Wire = append(b.Wire, wire)
		b.Ops = append(b.Ops, plan.Op{Offset: b.To.Next, Origin: wal.Local, Commands: 1})
		b.Commands++
		b.To.Next++
		b.To.Streams[wal.Local].N++
	}
	return b
}

func (b *bench) commit(c *sink.Conn, batch *plan.Batch) ([]plan.Refused, error) {
	if err := c.Send(b.ctx, batch); err != nil {
		return nil, err
	}
	return c.Receive(b.ctx, batch)
}

func (b *bench) want(t *testing.T, next int64, values map[string]string) {
	t.Helper()
	_, cp := b.join(t)
	if cp.Next != next {
		t.Errorf("got position %d, want %d", cp.Next, next)
	}
	for k, want := range values {
		got, err := b.Client.Get(b.ctx, k).Result()
		if errors.Is(err, redis.Nil) {
			got = ""
		} else if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("got %s=%q, want %q", k, got, want)
		}
	}
}

func together(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	if _, err := b.commit(c, batch(cp, []string{"SET", "a", "1"}, []string{"INCR", "n"})); err != nil {
		t.Fatal(err)
	}
	b.want(t, 2, map[string]string{"a": "1", "n": "1"})
}

func allOrNothing(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	_, err := b.commit(c, batch(cp, []string{"SET", "a", "1"}, []string{"SET", "b"}))
	var n *sink.NotApplied
	if !errors.As(err, &n) {
		t.Fatalf("got %v, want *NotApplied", err)
	}
	b.want(t, 0, map[string]string{"a": "", "b": ""})
}

func zombie(t *testing.T, b *bench) {
	b.create(t)
	old, cp := b.join(t)
	owner, _ := b.join(t)
	if _, err := b.commit(owner, batch(cp, []string{"INCR", "n"})); err != nil {
		t.Fatal(err)
	}
	if _, err := b.commit(old, batch(cp, []string{"INCR", "n"})); !errors.Is(err, sink.ErrMoved) {
		t.Errorf("got %v, want ErrMoved", err)
	}
	b.want(t, 1, map[string]string{"n": "1"})
}

// The WATCH that rides with a batch must guard the next one, not only the first.
func lateWriter(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	first := batch(cp, []string{"INCR", "n"})
	if _, err := b.commit(c, first); err != nil {
		t.Fatal(err)
	}
	other, cp2 := b.join(t)
	if _, err := b.commit(other, batch(cp2, []string{"INCR", "n"})); err != nil {
		t.Fatal(err)
	}
	if _, err := b.commit(c, batch(first.To, []string{"INCR", "n"})); !errors.Is(err, sink.ErrMoved) {
		t.Errorf("got %v, want ErrMoved", err)
	}
	b.want(t, 2, map[string]string{"n": "2"})
}

func refused(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	got, err := b.commit(c, batch(cp, []string{"SET", "s", "x"}, []string{"LPUSH", "s", "1"}, []string{"SET", "b", "2"}))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Op.Offset != 1 || got[0].Command != 0 {
		t.Errorf("got %+v, want one refused command at offset 1", got)
	}
	b.want(t, 3, map[string]string{"s": "x", "b": "2"})
}

func unknownCommand(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	_, err := b.commit(c, batch(cp, []string{"SET", "a", "1"}, []string{"NOSUCH", "b"}))
	var n *sink.NotApplied
	if !errors.As(err, &n) || !n.UnknownCommand() || n.Command != 1 {
		t.Fatalf("got %v, want an unknown command 1", err)
	}
	b.want(t, 0, map[string]string{"a": ""})
	// The connection is still good: what was refused left the rhythm whole.
	if _, err := b.commit(c, batch(cp, []string{"SET", "a", "1"})); err != nil {
		t.Fatal(err)
	}
	b.want(t, 1, map[string]string{"a": "1"})
}

func rhythm(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	for i := range 50 {
		next := batch(cp, []string{"INCR", "n"})
		if _, err := b.commit(c, next); err != nil {
			t.Fatalf("batch %d: %v", i, err)
		}
		cp = next.To
	}
	b.want(t, 50, map[string]string{"n": "50"})
}

func createOnce(t *testing.T, b *bench) {
	b.create(t)
	c := b.open(t)
	err := c.Create(b.ctx, plan.Creation{Meta: wal.Meta{TopicID: wal.TopicID{9}, Partitions: 1}})
	if !errors.Is(err, sink.ErrMoved) {
		t.Errorf("got %v, want ErrMoved", err)
	}
}

func roundTrip(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	next := batch(cp, []string{"SET", "a", "1"})
	to := &next.To
	to.LeaderEpoch, to.Root, to.Activate, to.Epoch = 3, wal.Hash{1, 2}, "a-1", wal.Epoch{Generation: 1, Minor: 2, Site: "dr"}
	to.Streams[wal.Mirrored] = wal.Stream{N: 7, H: wal.Hash{3}, Sealed: true, FencedN: 1, FencedH: wal.Hash{4}}
	to.Refused, to.Expired, to.Timestamp, to.Reported = wal.Count{N: 1, H: wal.Hash{5}}, 2, 1234, 1
	to.Barriers[wal.Mirrored] = to.Barriers[wal.Mirrored].Add(wal.Mark{ID: "b1", Number: 1, N: 7, H: wal.Hash{3}})
	next.RingChanged[wal.Mirrored] = true
	to.Closings, next.ClosingsChanged = []wal.Closing{cp.Close(wal.Sites{Self: "dc", Peer: "dr"}, 5)}, true
	if _, err := b.commit(c, next); err != nil {
		t.Fatal(err)
	}
	_, got := b.join(t)
	if got.Position != to.Position || len(got.Barriers[wal.Mirrored]) != 1 || got.Barriers[wal.Mirrored][0] != to.Barriers[wal.Mirrored][0] || !reflect.DeepEqual(got.Closings, to.Closings) {
		t.Errorf("got  %+v\nwant %+v", got, *to)
	}
}

func lostReply(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	b.proxy.Break(sitetest.LostReply)
	if _, err := b.commit(c, batch(cp, []string{"INCR", "n"})); err == nil || errors.Is(err, sink.ErrMoved) {
		t.Fatalf("got %v, want a broken connection", err)
	}
	b.want(t, 1, map[string]string{"n": "1"})
}

func beforeExec(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	b.proxy.Break(sitetest.BeforeExec)
	if _, err := b.commit(c, batch(cp, []string{"INCR", "n"})); err == nil {
		t.Fatal("got no error, want a broken connection")
	}
	b.want(t, 0, map[string]string{"n": ""})
}

func otherPrimary(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	other := sitetest.NewProxy(t, b.Addr)
	b.sentinels.Name(other.Addr)
	tick := make(chan time.Time, 1)
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan struct{})
	go func() { defer close(done); b.sink.Watch(ctx, tick) }()
	tick <- time.Now()
	for { // until the watcher has acted on the tick
		if a, _ := b.sink.Primary(); a.Primary == other.Addr {
			break
		}
		select {
		case <-b.ctx.Done():
			t.Fatal("the watcher never saw the other primary")
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	<-done
	if _, err := b.commit(c, batch(cp, []string{"INCR", "n"})); err == nil {
		t.Error("a batch went to the old primary")
	}
}

func freshSentinel(t *testing.T, b *bench) {
	b.create(t)
	b.sentinels.NameBy(0, "127.0.0.1:6379")
	c := b.open(t)
	if got, want := c.Addr(), b.proxy.Addr; got != want {
		t.Errorf("got primary %s, want %s", got, want)
	}
	if a, _ := b.sink.Primary(); !a.Agreed {
		t.Error("two Sentinels of three name the primary, and it does not count as agreed")
	}
	b.sentinels.NameBy(1, "127.0.0.1:6379")
	b.open(t)
	if a, _ := b.sink.Primary(); a.Agreed {
		t.Error("one Sentinel of three names the primary, and it counts as agreed")
	}
	b.sentinels.NameBy(2, "127.0.0.1:6379")
	if _, err := b.sink.Open(b.ctx, 0); !errors.Is(err, sink.ErrNoPrimary) {
		t.Errorf("got %v, want ErrNoPrimary", err)
	}
}

func replica(t *testing.T, b *bench) {
	b.create(t)
	if err := b.Client.ReplicaOf(b.ctx, "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.sink.Open(b.ctx, 0); !errors.Is(err, sink.ErrNoPrimary) {
		t.Errorf("got %v, want ErrNoPrimary", err)
	}
}

func demoted(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	if err := b.Client.ReplicaOf(b.ctx, "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	_, err := b.commit(c, batch(cp, []string{"INCR", "n"}))
	if err == nil || sink.Retry(err) {
		t.Errorf("got %v, want an error that ends the session", err)
	}
	if err := b.Client.ReplicaOf(b.ctx, "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	b.want(t, 0, map[string]string{"n": ""})
}

func full(t *testing.T, b *bench) {
	b.create(t)
	c, cp := b.join(t)
	if err := b.Client.ConfigSet(b.ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	next := batch(cp, []string{"SET", "a", "1"})
	_, err := b.commit(c, next)
	var n *sink.NotApplied
	if !errors.As(err, &n) || !sink.Full(err) || n.Err.Remedy() == "" {
		t.Fatalf("got %v, want a refusal because Redis is full, with a remedy", err)
	}
	if err := b.Client.ConfigSet(b.ctx, "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.commit(c, next); err != nil {
		t.Fatal(err)
	}
	b.want(t, 1, map[string]string{"a": "1"})
}
