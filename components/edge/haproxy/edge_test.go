package haproxy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/components/edge/haproxy"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/internal/freeport"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

const (
	theLog     = "redis-writes"
	partitions = 3
	password   = `pass $1 "word" #2`
)

// testSite is a primary with two replicas and three Sentinels, as the operator starts them.
type testSite struct {
	name    string
	servers []*redistest.Server // the primary first

	sentinel *redis.Client
}

func newSite(t *testing.T, name string) *testSite {
	t.Helper()
	s := &testSite{name: name}
	for i := range 3 {
		args := []string{
			"--min-replicas-to-write", "1", "--min-replicas-max-lag", "10", "--repl-ping-replica-period", "1",
			"--user", "reader", "on", ">" + password, "~*", "&*", "+@read", "+@connection", "-@dangerous", "+info", "+role", "-pfcount",
		}
		if i > 0 {
			_, port, _ := net.SplitHostPort(s.servers[0].Addr)
			args = append(args, "--replicaof", "127.0.0.1", port)
		}
		s.servers = append(s.servers, redistest.Start(t, args...))
	}
	_, port, _ := net.SplitHostPort(s.servers[0].Addr)
	var sentinel string
	for range 3 {
		sentinel = redistest.StartSentinel(t, nil, "sentinel monitor mymaster 127.0.0.1 "+port+" 2", "sentinel down-after-milliseconds mymaster 1000",
			"sentinel failover-timeout mymaster 5000")
	}
	s.sentinel = redis.NewClient(&redis.Options{Addr: sentinel, MaxRetries: -1})
	t.Cleanup(func() { _ = s.sentinel.Close() })
	eventually(t, "the Sentinels know each other and the replicas", func() bool {
		knows, err := s.sentinel.Do(t.Context(), "SENTINEL", "MASTER", "mymaster").Result()
		m, ok := knows.(map[any]any)
		return err == nil && ok && m["num-slaves"] == "2" && m["num-other-sentinels"] == "2"
	})
	s.write(t, "none")
	return s
}

// addrs are the addresses of its Redis.
func (s *testSite) addrs() (out []string) {
	for _, r := range s.servers {
		out = append(out, r.Addr)
	}
	return out
}

// primary is who takes writes.
func (s *testSite) primary(ctx context.Context) *redistest.Server {
	for _, r := range s.servers {
		if err := r.Client.Set(ctx, "site", s.name, 0).Err(); err == nil {
			return r
		}
	}
	return nil
}

// write does what the appliers of the site do when an epoch begins.
func (s *testSite) write(t *testing.T, epoch string) {
	t.Helper()
	eventually(t, s.name+" takes writes", func() bool {
		p := s.primary(t.Context())
		if p == nil {
			return false
		}
		for i := range int32(partitions) {
			if p.Client.HSet(t.Context(), wal.CheckpointKey(theLog, i), "epoch", epoch).Err() != nil {
				return false
			}
		}
		return true
	})
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	if err := await.Yes(ctx, what, cond); err != nil {
		t.Fatal(err)
	}
}

// start starts the real haproxy and waits until it listens.
func start(t *testing.T, args haproxy.Args) {
	t.Helper()
	args.HTTP = freeport.ReserveAddr(t, "127.0.0.1")
	text, err := args.Config()
	if err != nil {
		t.Fatal(err)
	}
	file := put(t, filepath.Join(t.TempDir(), "haproxy.cfg"), []byte(text))
	cmd := exec.Command(program(t), "-db", "-f", file)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Env = append(os.Environ(), haproxy.DefaultPasswordEnv+"="+password)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("haproxy said:\n%s", log.String())
		}
	})
	eventually(t, "haproxy listens", func() bool {
		c, err := net.DialTimeout("tcp", args.HTTP, time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// answer is what a reader was told.
type answer struct {
	at, began  time.Time
	role, site string
}

// readers ask through the edge, all the while, and keep every answer: on one connection each for as long as that lasts, or on a new one for each question.
type readers struct {
	mu      sync.Mutex
	answers [][]answer
	failed  []time.Time
}

func read(t *testing.T, addr string, secure *tls.Config) *readers {
	t.Helper()
	const each = 4
	r := &readers{answers: make([][]answer, 2*each)}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	t.Cleanup(func() { cancel(); group.Wait() })
	for i := range 2 * each {
		c := redis.NewClient(&redis.Options{
			Addr: addr, Username: "reader", Password: password, TLSConfig: secure, MaxRetries: -1, PoolSize: 1, DisableIdentity: true,
			DialTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second, DialerRetries: 1,
		})
		group.Go(func() {
			defer func() { _ = c.Close() }()
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				r.ask(ctx, c, i, i >= each)
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
			}
		})
	}
	return r
}

func (r *readers) ask(ctx context.Context, c *redis.Client, i int, anew bool) {
	began := time.Now()
	conn := c.Conn()
	pipe := conn.Pipeline()
	role, site := pipe.Do(ctx, "ROLE"), pipe.Get(ctx, "site")
	if anew {
		pipe.Do(ctx, "QUIT")
	}
	_, _ = pipe.Exec(ctx) // each of the two has its own error
	_ = conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	parts, rerr := role.Slice()
	if rerr != nil || site.Err() != nil {
		if ctx.Err() == nil {
			r.failed = append(r.failed, time.Now())
		}
		return
	}
	r.answers[i] = append(r.answers[i], answer{time.Now(), began, fmt.Sprint(parts[0]), site.Val()})
}

// all says whether the last answer of each reader is of the site, and younger than since.
func (r *readers) all(site string, since time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.answers {
		if len(a) == 0 || a[len(a)-1].began.Before(since) || a[len(a)-1].site != site {
			return false
		}
	}
	return true
}

// onlyPrimaries fails if a replica ever answered, and says how many answers there were.
func (r *readers) onlyPrimaries(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for i, answers := range r.answers {
		for _, a := range answers {
			if n++; a.role != "master" {
				t.Errorf("reader %d was answered by a %s of %s", i, a.role, a.site)
			}
		}
	}
	t.Logf("%d answers, all of primaries; %d questions failed", n, len(r.failed))
}

// neverBack fails if a reader that was once given the site was given another one later, or was given the other one on a connection that it opened after that.
func (r *readers) neverBack(t *testing.T, site string, since time.Time) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, answers := range r.answers {
		moved := false
		for _, a := range answers {
			switch {
			case a.began.Before(since):
			case a.site == site:
				moved = true
			case moved:
				t.Errorf("reader %d was given %s again, %s after %s", i, a.site, a.began.Sub(since), site)
			}
		}
	}
}

// gap is the longest time that a reader had no answer since a moment, and when the last answer of another site than site was given, since then.
func (r *readers) gap(site string, since time.Time) (longest, last time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, answers := range r.answers {
		before := since
		for _, a := range answers {
			if a.at.Before(since) {
				before = a.at
				continue
			}
			longest, before = max(longest, a.at.Sub(before)), a.at
			if a.site != site {
				last = max(last, a.at.Sub(since))
			}
		}
	}
	return longest, last
}

// both are the two sites and an edge that knows the Redis of each.
func both(t *testing.T) (dc, dr *testSite, args haproxy.Args) {
	t.Helper()
	dc, dr = newSite(t, "dc"), newSite(t, "dr")
	return dc, dr, haproxy.Args{
		Log: theLog, Partitions: partitions, User: "reader", Bind: freeport.ReserveAddr(t, "127.0.0.1"),
		Sites: []haproxy.Site{{Name: "dc", Servers: dc.addrs()}, {Name: "dr", Servers: dr.addrs(), Bind: freeport.ReserveAddr(t, "127.0.0.1")}},
	}
}

// The primary is killed; later something comes back at its address that says it is the primary, as a Redis does that was started again without having heard of the
// failover.
func TestThePrimaryDies(t *testing.T) {
	t.Parallel()
	dc, dr, args := both(t)
	dc.write(t, "0.1.dc")
	dr.write(t, "0.1.dc")
	start(t, args)
	r := read(t, args.Bind, nil)
	eventually(t, "everybody reads at dc", func() bool { return r.all("dc", time.Time{}) })

	first := dc.servers[0]
	_, port, _ := net.SplitHostPort(first.Addr)
	killed := time.Now()
	if err := first.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	dc.servers = dc.servers[1:]
	eventually(t, "a replica was promoted", func() bool { return dc.primary(t.Context()) != nil })
	writes := time.Since(killed)
	eventually(t, "everybody reads again", func() bool { return r.all("dc", killed.Add(writes)) })
	gap, _ := r.gap("dc", killed)
	t.Logf("measured: the primary was killed; %.1f s later another one took writes, and readers had no answer for at most %.1f s", writes.Seconds(), gap.Seconds())

	stale := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir(), "--min-replicas-to-write", "0",
		"--user", "reader", "on", ">"+password, "~*", "&*", "+@all")
	stale.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := stale.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stale.Process.Kill(); _ = stale.Wait() })
	eventually(t, "the old primary is back with what it had", func() bool {
		_, err := first.Client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			p.Set(t.Context(), "site", "stale", 0)
			for i := range int32(partitions) {
				p.HSet(t.Context(), wal.CheckpointKey(theLog, i), "epoch", "0.1.dc")
			}
			return nil
		})
		return err == nil || redis.HasErrorPrefix(err, "READONLY")
	})
	eventually(t, "the Sentinels have made it a replica", func() bool {
		role, err := first.Client.Do(t.Context(), "ROLE").Slice()
		return err == nil && role[0] == "slave" && role[3] == "connected"
	})
	back := time.Now()
	eventually(t, "everybody reads on", func() bool { return r.all("dc", back) })
	r.onlyPrimaries(t)
	r.neverBack(t, "dc", killed)
}

// A failover by order: the old primary lives on as a replica, and never answers a reader as such.
func TestThePrimaryIsReplaced(t *testing.T) {
	t.Parallel()
	dc, dr, args := both(t)
	dc.write(t, "0.1.dc")
	dr.write(t, "0.1.dc")
	start(t, args)
	r := read(t, args.Bind, nil)
	eventually(t, "everybody reads at dc", func() bool { return r.all("dc", time.Time{}) })
	first := dc.servers[0]
	ordered := time.Now()
	_, old, _ := net.SplitHostPort(first.Addr)
	if err := dc.sentinel.Do(t.Context(), "SENTINEL", "FAILOVER", "mymaster").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another one is the primary", func() bool {
		p := dc.primary(t.Context())
		return p != nil && p != first && old != ""
	})
	writes := time.Since(ordered)
	eventually(t, "everybody reads again", func() bool { return r.all("dc", ordered.Add(writes)) })
	gap, _ := r.gap("dc", ordered)
	t.Logf("measured: SENTINEL FAILOVER; %.1f s later another one took writes, and readers had no answer for at most %.1f s", writes.Seconds(), gap.Seconds())
	replicas := 0
	r.mu.Lock()
	for _, answers := range r.answers {
		for _, a := range answers {
			if a.role != "master" {
				replicas++
			}
		}
	}
	r.mu.Unlock()
	t.Logf("measured: %d answers were given by the old primary after it had become a replica", replicas)
}

// The writer moves to dr and back. The sites hear of it one after the other, as over a mirror, and at last a takeover is not heard of by the old site at all.
func TestTheWriterMoves(t *testing.T) {
	t.Parallel()
	dc, dr, args := both(t)
	start(t, args)
	r := read(t, args.Bind, nil)
	asked := read(t, args.Sites[1].Bind, nil)
	eventually(t, "before the first epoch everybody reads at the site that is named first", func() bool { return r.all("dc", time.Time{}) })
	for _, step := range []struct {
		epoch    string
		to, from *testSite
		heard    bool // the other site hears of it too
	}{
		{"0.1.dc", dc, dr, true},
		{"0.2.dr", dr, dc, true},
		{"0.3.dc", dc, dr, true},
		{"1.0.dr", dr, dc, false}, // dc goes on to say 0.3.dc
	} {
		moved := time.Now()
		step.to.write(t, step.epoch)
		eventually(t, "everybody reads at "+step.to.name, func() bool { return r.all(step.to.name, moved) })
		if step.heard {
			step.from.write(t, step.epoch)
		}
		heard := time.Now()
		eventually(t, "everybody goes on to read at "+step.to.name, func() bool { return r.all(step.to.name, heard) })
		gap, last := r.gap(step.to.name, moved)
		t.Logf("measured: activate %s; readers had no answer for at most %.2f s, the last answer of the other site came after %.2f s", step.epoch, gap.Seconds(), last.Seconds())
		r.neverBack(t, step.to.name, moved)
	}
	r.onlyPrimaries(t)
	asked.onlyPrimaries(t)
	if !asked.all("dr", time.Time{}) {
		t.Error("who asks for dr is not given dr")
	}
	asked.neverBack(t, "dr", time.Time{})

	// An edge that starts now has no memory, and comes to the same.
	again := args
	again.Bind, again.Sites[1].Bind = freeport.ReserveAddr(t, "127.0.0.1"), ""
	start(t, again)
	fresh := read(t, again.Bind, nil)
	eventually(t, "a new edge serves dr", func() bool { return fresh.all("dr", time.Time{}) })
	fresh.neverBack(t, "dr", time.Time{})
	fresh.onlyPrimaries(t)
}

// The active site is gone: nobody is given the passive one instead.
func TestTheActiveSiteIsGone(t *testing.T) {
	t.Parallel()
	dc, dr, args := both(t)
	dc.write(t, "0.1.dc")
	dr.write(t, "0.1.dc")
	start(t, args)
	r := read(t, args.Bind, nil)
	eventually(t, "everybody reads at dc", func() bool { return r.all("dc", time.Time{}) })
	for _, s := range dc.servers {
		if err := s.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	refused := func() int { r.mu.Lock(); defer r.mu.Unlock(); return len(r.failed) }
	before := refused()
	eventually(t, "many are refused", func() bool { return refused() > before+1000 })
	r.neverBack(t, "dc", time.Time{})
	if r.all("dr", time.Time{}) {
		t.Error("dr is served, and is not the active site")
	}
	took := time.Now()
	dr.write(t, "1.0.dr")
	eventually(t, "everybody reads at dr after the takeover", func() bool { return r.all("dr", took) })
	r.onlyPrimaries(t)
}

// From the outside: an edge in front of the edges of two sites, over TLS both ways.
func TestFromTheOutside(t *testing.T) {
	t.Parallel()
	dc, dr := newSite(t, "dc"), newSite(t, "dr")
	ca, dir := newAuthority(t), t.TempDir()
	certificate, authorities := ca.issue(t, dir, "edge"), ca.write(t, dir)
	mutual := &haproxy.TLS{Certificate: certificate, ClientCA: authorities}
	outer := haproxy.Args{Log: theLog, Partitions: partitions, User: "reader", Bind: freeport.ReserveAddr(t, "127.0.0.1"), TLS: mutual}
	for i, s := range []*testSite{dc, dr} {
		other := []*testSite{dr, dc}[i]
		entry := freeport.ReserveAddr(t, "127.0.0.1")
		start(t, haproxy.Args{
			Log: theLog, Partitions: partitions, User: "reader", Bind: freeport.ReserveAddr(t, "127.0.0.1"), TLS: mutual,
			Sites: []haproxy.Site{{Name: s.name, Servers: s.addrs(), Bind: entry}, {Name: other.name}},
		})
		outer.Sites = append(outer.Sites, haproxy.Site{Name: s.name, Entries: []string{entry}, CA: authorities, Certificate: certificate})
		s.write(t, "0.1.dc")
	}
	start(t, outer)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	pair, err := tls.LoadX509KeyPair(certificate, certificate)
	if err != nil {
		t.Fatal(err)
	}
	r := read(t, outer.Bind, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, ServerName: "localhost"})
	eventually(t, "everybody reads at dc", func() bool { return r.all("dc", time.Time{}) })

	killed := time.Now()
	if err := dc.servers[0].Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	dc.servers = dc.servers[1:]
	eventually(t, "a replica was promoted", func() bool { return dc.primary(t.Context()) != nil })
	promoted := time.Now()
	eventually(t, "everybody reads again", func() bool { return r.all("dc", promoted) })
	gap, _ := r.gap("dc", killed)
	t.Logf("measured: through two edges with TLS, the primary was killed; readers had no answer for at most %.1f s", gap.Seconds())

	moved := time.Now()
	dr.write(t, "0.2.dr")
	eventually(t, "everybody reads at dr", func() bool { return r.all("dr", moved) })
	gap, last := r.gap("dr", moved)
	t.Logf("measured: through two edges with TLS, activate; readers had no answer for at most %.2f s, the last answer of the other site came after %.2f s", gap.Seconds(), last.Seconds())
	r.onlyPrimaries(t)
	r.neverBack(t, "dr", moved)

	stranger := redis.NewClient(&redis.Options{Addr: outer.Bind, Username: "reader", Password: password, MaxRetries: -1, TLSConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"}})
	defer func() { _ = stranger.Close() }()
	if err := stranger.Ping(t.Context()).Err(); err == nil {
		t.Error("a client without a certificate is served")
	}
}
