package sitetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/freeport"
	"github.com/comptech-lab/redis-wal/internal/redistest"
)

// Master is what the Sentinels of a Failover call the primary.
const Master = "mymaster"

// host is where all processes of a Failover listen: not 127.0.0.1, which is what a Sentinel names that was not set up yet.
const host = "127.0.2.1"

// Failover is a primary, a replica and three Sentinels, all of them real, and a replication that can be made to lag.
type Failover struct {
	First, Second *redistest.Server // the primary, and the replica that the Sentinels promote when it is gone
	Sentinels     []string          // host:port

	lagging atomic.Bool
}

// NewFailover starts them and returns when the replica follows and the Sentinels know of it and of each other.
func NewFailover(t testing.TB) *Failover {
	t.Helper()
	f := &Failover{}
	f.First = redistest.Start(t, "--bind", "127.0.0.1", host)
	_, port, _ := net.SplitHostPort(f.First.Addr)
	linkHost, linkPort, _ := net.SplitHostPort(f.link(t, f.First.Addr))
	f.Second = redistest.Start(t, "--bind", "127.0.0.1", host, "--replica-announce-ip", host, "--replicaof", linkHost, linkPort)
	for range 3 {
		f.Sentinels = append(f.Sentinels, startSentinel(t, port))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := f.whole(ctx)
		if err == nil {
			return f
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Lag cuts the replica off from what is written from now on. Both ends believe that they are connected, as when packets are lost between two nodes
// of which one is about to die.
func (f *Failover) Lag() { f.lagging.Store(true) }

// KillFirst kills the primary, and with it what the replica did not get.
func (f *Failover) KillFirst() error { return f.First.Signal(syscall.SIGKILL) }

// Promoted reports whether the replica has become a primary and a Sentinel says so: before, nobody can know.
func (f *Failover) Promoted(ctx context.Context) bool {
	_, port, _ := net.SplitHostPort(f.Second.Addr)
	for _, addr := range f.Sentinels {
		c := redis.NewSentinelClient(&redis.Options{Addr: addr, DisableIdentity: true})
		at, err := c.GetMasterAddrByName(ctx, Master).Result()
		_ = c.Close()
		if err == nil && len(at) == 2 && at[1] == port {
			return true
		}
	}
	return false
}

func (f *Failover) whole(ctx context.Context) error {
	for _, addr := range f.Sentinels {
		c := redis.NewSentinelClient(&redis.Options{Addr: addr, DisableIdentity: true})
		m, err := c.Master(ctx, Master).Result()
		_ = c.Close()
		if err == nil && (m["num-slaves"] != "1" || m["num-other-sentinels"] != "2" || m["flags"] != "master") {
			err = fmt.Errorf("sentinel %s knows %s replicas and %s other Sentinels, flags %s", addr, m["num-slaves"], m["num-other-sentinels"], m["flags"])
		}
		if err != nil {
			return err
		}
	}
	role, err := f.Second.Client.Do(ctx, "ROLE").Slice()
	if err == nil && (len(role) < 4 || role[3] != "connected") {
		err = errors.New("the replica does not follow yet")
	}
	return err
}

// link is the way from the replica to the primary.
func (f *Failover) link(t testing.TB, primary string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			replica, err := l.Accept()
			if err != nil {
				return
			}
			redis, err := net.Dial("tcp", primary)
			if err != nil {
				_ = replica.Close()
				continue
			}
			go func() { _, _ = io.Copy(redis, replica); _ = redis.Close() }()
			go func() {
				defer replica.Close()
				defer redis.Close()
				buf := make([]byte, 64<<10)
				for {
					n, err := redis.Read(buf)
					if err != nil {
						return
					}
					if !f.lagging.Load() {
						_, _ = replica.Write(buf[:n])
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func startSentinel(t testing.TB, primaryPort string) string {
	t.Helper()
	port, dir := freeport.Reserve(t), t.TempDir()
	conf := filepath.Join(dir, "sentinel.conf")
	// Down is not what a busy machine does for a moment. The failover timeout is also when Sentinels put a replica right that follows another
	// address than they know, such as a link.
	text := "port " + strconv.Itoa(port) + "\nbind " + host + "\ndir " + dir + "\nlogfile " + filepath.Join(dir, "sentinel.log") + "\nsentinel announce-ip " + host +
		"\nsentinel monitor " + Master + " " + host + " " + primaryPort + " 2\nsentinel down-after-milliseconds " + Master + " 1500" +
		"\nsentinel failover-timeout " + Master + " 30000\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("redis-server", conf, "--sentinel")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves nothing behind
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return net.JoinHostPort(host, strconv.Itoa(port))
}
