package bootstrap_test

import (
	"net"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/bootstrap"
	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
)

// The whole way, on two real Redis: what the peer's holds comes into an empty one, appliers are kept out until the end, then one joins a log that no longer begins at its beginning,
// and executes what the peer had not decided, and nothing else.
func TestFromOneRedisToAnother(t *testing.T) {
	t.Parallel()
	from, to := redistest.Start(t), redistest.Start(t)
	plain := data(2) // which no window knows
	plain.Headers = plain.Headers[:2]
	f := new(fakeLog).put(false, data(1)).put(true, barrier("b1", 1)).put(false, barrier("b2", 2)).put(false, plain).put(true, data(3)).put(false, data(4))
	f.start = 1
	s := source(1, plain)
	peer := s.Checkpoints[0]
	hset := func(key string, fields []wal.Field) {
		var args []string
		for _, x := range fields {
			args = append(args, x.Name, x.Value)
		}
		if err := from.Client.HSet(t.Context(), key, args).Err(); err != nil {
			t.Fatal(err)
		}
	}
	const log = "redis-writes"
	hset(wal.MetaKey(log), wal.Meta{TopicID: wal.TopicID{1}, Partitions: 1}.Fields())
	hset(wal.CheckpointKey(log, 0), peer.Fields(sites))
	from.Client.HSet(t.Context(), wal.ProducersKey(log, 0), "app", "last=5 seen.dc=1/1 applied=1/1")
	from.Client.Set(t.Context(), "x", 2, 0)

	open := func() (*sink.Conn, plan.Joint, error) {
		sinks := sink.New(sink.Options{Sites: sites, Log: log, Sentinels: sitetest.NewSentinels(t, 3, sitetest.NewProxy(t, to.Addr).Addr).Addrs[:1], SentinelMaster: "mymaster"})
		t.Cleanup(func() { _ = sinks.Close() })
		c, err := sinks.Open(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		stored, err := c.Join(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		joint, err := plan.Join(plan.Rules{Sites: sites, Log: log, Partitions: 1}, 0, stored, plan.Log{TopicID: wal.TopicID{2}, Partitions: 1, Start: []int64{1}, End: []int64{6}})
		return c, joint, err
	}
	halted := func(reason string) {
		t.Helper()
		if _, _, err := open(); err == nil || err.(*wal.HaltError).Reason != reason { //nolint:errorlint // plan.Join returns no other
			t.Fatalf("got %v, want a halt for %q", err, reason)
		}
	}
	halted(plan.HaltLogStart)
	fill, err := snapshot.Begin(t.Context(), to.Client, log, sites, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	halted(plan.HaltBootstrap)
	nc, err := net.DialTimeout("tcp", from.Addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if _, err := snapshot.Take(t.Context(), nc, func(e snapshot.Entry) error { return fill.Add(t.Context(), e) }); err != nil {
		t.Fatal(err)
	}
	put, err := fill.Peer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	halted(plan.HaltBootstrap)
	s.Checkpoints, s.Producers = put.Checkpoints, put.Producers
	point, err := bootstrap.Join(t.Context(), f.Log(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := fill.Finish(t.Context(), wal.Meta{TopicID: point.TopicID, Partitions: 1}, point.Checkpoints, point.Producers); err != nil {
		t.Fatal(err)
	}
	conn, joint, err := open()
	if err != nil {
		t.Fatal(err)
	}
	rules := plan.Rules{Sites: sites, Log: log, Partitions: 1, Signer: signer(), MaxRecords: 100, MaxBytes: 1 << 20}
	at, executed := joint.Found, 0
	for planner := plan.New(rules); at.Next < int64(len(f.log)); {
		b, _, err := planner.Plan(plan.Input{From: at, Records: f.log[at.Next:], Producers: joint.Producers, Alone: -1})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Send(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Receive(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		at, executed = b.To, executed+b.Commands
	}
	// dc is active: of the two records behind the cuts, that of dr is fenced.
	if got := to.Client.Get(t.Context(), "x").Val(); executed != 1 || got != "3" || at.Streams[wal.Mirrored].N != 2 || at.Streams[wal.Local].FencedN != 1 {
		t.Errorf("x is %s after %d commands, and the position %+v", got, executed, at.Position)
	}
	if n := to.Client.DBSize(t.Context()).Val(); n != 4 {
		t.Errorf("%d keys are left, want x and three of the applier: %v", n, to.Client.Keys(t.Context(), "*").Val())
	}
	if to.Client.HExists(t.Context(), wal.CheckpointKey(log, 0), wal.SkipField(sites, wal.Mirrored)).Val() {
		t.Error("what was skipped is not forgotten")
	}
}
