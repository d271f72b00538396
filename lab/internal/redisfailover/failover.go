package redisfailover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

// Config says where and how a RedisFailover runs.
type Config struct {
	Spec Spec
	// Password is the auth Secret's key `password`; empty = no authentication.
	Password string
	// Dir is the folder for configuration and data. A pod's data outlive its restarts, as its claim does.
	Dir string
	// Prefix goes before the processes' names, so that two sites' logs tell apart.
	Prefix string
	// Next hands out a pod's address.
	Next func() (netip.Addr, error)
	// Group runs the processes.
	Group *process.Group
	// RestartAfter is how long a Redis that died stays away; 0 = twice the Sentinels' down-after and a second, so that
	// it comes back after the failover, as a pod does that had to move to another node.
	RestartAfter time.Duration
	// Log gets a line for each restart and for what the operator's rounds could not do.
	Log *slog.Logger
}

// Failover is a running RedisFailover. Its methods are safe for concurrent use.
type Failover struct {
	cfg       Config
	redis     []*pod
	sentinels []*pod
	cancel    context.CancelFunc
	rounds    sync.WaitGroup
}

// pod is one process with an address of its own.
type pod struct {
	name, ip string
	port     int
	dir      string
	restart  time.Duration
	prepare  func() (process.Spec, error)
	kept     *process.Kept // nil until started
}

func (p *pod) addr() string { return net.JoinHostPort(p.ip, strconv.Itoa(p.port)) }

// Start starts the processes and the operator's rounds, and returns once there is a primary that all its replicas follow
// and that all Sentinels watch. On an error nothing of it stays but files.
func Start(ctx context.Context, cfg Config) (_ *Failover, err error) {
	server, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, fmt.Errorf("%w; install redis-server: make deps", err)
	}
	if cfg.RestartAfter == 0 {
		cfg.RestartAfter = 2*cfg.Spec.DownAfter() + time.Second
	}
	f := &Failover{cfg: cfg}
	rounds, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f.cancel = cancel
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%s: %w", cfg.Spec, err), f.Close())
		}
	}()
	name := cfg.Spec.Metadata.Name
	for i := range cfg.Spec.Spec.Redis.Replicas {
		p, err := f.newPod(fmt.Sprintf("rfr-%s-%d", name, i), cfg.Spec.Spec.Redis.Port, server, cfg.Spec.Spec.Redis.Command)
		if err != nil {
			return nil, err
		}
		p.restart = cfg.RestartAfter
		f.redis = append(f.redis, p)
	}
	for i := range cfg.Spec.Spec.Sentinel.Replicas {
		p, err := f.newPod(fmt.Sprintf("rfs-%s-%d", name, i), SentinelPort, server, cfg.Spec.Spec.Sentinel.Command)
		if err != nil {
			return nil, err
		}
		p.restart = time.Second
		f.sentinels = append(f.sentinels, p)
	}
	for _, p := range append(append([]*pod{}, f.redis...), f.sentinels...) {
		p.kept, err = cfg.Group.Keep(process.Keeping{Name: p.name, Prepare: p.prepare, After: p.restart, Log: cfg.Log})
		if err != nil {
			return nil, err
		}
	}
	op := &operator{f: f}
	f.rounds.Go(func() { op.work(rounds) })
	if err := await.True(ctx, "a primary, its replicas and their Sentinels", f.whole); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Failover) newPod(name string, port int, server string, command []string) (*pod, error) {
	ip, err := f.cfg.Next()
	if err != nil {
		return nil, err
	}
	if command[0] != "redis-server" {
		return nil, fmt.Errorf("command %q: the lab knows redis-server only", command[0])
	}
	p := &pod{name: f.cfg.Prefix + name, ip: ip.String(), port: port, dir: filepath.Join(f.cfg.Dir, name)}
	data := filepath.Join(p.dir, "data")
	p.prepare = func() (process.Spec, error) {
		if err := os.MkdirAll(data, 0o700); err != nil {
			return process.Spec{}, err
		}
		// Written at every start: Redis and Sentinel rewrite their files, but a pod's come fresh from the ConfigMap.
		for file, text := range map[string]string{
			"redis.conf":    redisConf(p.ip, p.port, data, f.cfg.Password),
			"sentinel.conf": sentinelConf(p.ip, data),
		} {
			if err := os.WriteFile(filepath.Join(p.dir, file), []byte(text), 0o600); err != nil {
				return process.Spec{}, err
			}
		}
		args := make([]string, 0, len(command))
		for _, a := range command[1:] {
			args = append(args, mounted(mounted(a, dataMount, data), confMount, p.dir))
		}
		return process.Spec{Name: p.name, Path: server, Args: args, Dir: data}, nil
	}
	return p, nil
}

// mounted turns a path below the mount point into the folder that stands for it.
func mounted(arg, mount, dir string) string {
	if arg == mount {
		return dir
	}
	if rest, ok := strings.CutPrefix(arg, mount+"/"); ok {
		return filepath.Join(dir, rest)
	}
	return arg
}

// Redis are the addresses of the Redis pods, by ordinal.
func (f *Failover) Redis() []string { return addrs(f.redis) }

// Sentinels are the addresses of the Sentinel pods.
func (f *Failover) Sentinels() []string { return addrs(f.sentinels) }

// Password is what Redis asks for; empty = nothing.
func (f *Failover) Password() string { return f.cfg.Password }

func addrs(pods []*pod) []string {
	out := make([]string, len(pods))
	for i, p := range pods {
		out[i] = p.addr()
	}
	return out
}

// KillPrimary sends SIGKILL to the pod that a majority of the Sentinels calls the primary, and returns its name and address.
func (f *Failover) KillPrimary(ctx context.Context) (name, addr string, err error) {
	p, err := f.PrimaryPod(ctx)
	if err != nil {
		return "", "", err
	}
	return p.Name(), p.Addr, p.Signal(syscall.SIGKILL)
}

// Pod is one process of a Redis or a Sentinel, for those who break it.
type Pod struct {
	*process.Kept
	// Addr is its address, Data its volume.
	Addr, Data string
}

// RedisPods and SentinelPods are the processes, by ordinal.
func (f *Failover) RedisPods() []Pod    { return pods(f.redis) }
func (f *Failover) SentinelPods() []Pod { return pods(f.sentinels) }

func pods(all []*pod) []Pod {
	out := make([]Pod, len(all))
	for i, p := range all {
		out[i] = Pod{p.kept, p.addr(), filepath.Join(p.dir, "data")}
	}
	return out
}

// PrimaryPod is the pod that a majority of the Sentinels calls the primary.
func (f *Failover) PrimaryPod(ctx context.Context) (Pod, error) {
	addr, err := f.Primary(ctx)
	if err != nil {
		return Pod{}, err
	}
	for _, p := range f.RedisPods() {
		if p.Addr == addr {
			return p, nil
		}
	}
	return Pod{}, fmt.Errorf("%s: the Sentinels name a primary %s that is none of its pods", f.cfg.Spec, addr)
}

// Whole says what is missing to one primary, all replicas in step with it, and Sentinels that know them all; nil = nothing.
func (f *Failover) Whole(ctx context.Context) error { return f.whole(ctx) }

// Close stops the operator's rounds and all its processes.
func (f *Failover) Close() error {
	f.cancel()
	f.rounds.Wait()
	var errs []error
	for _, p := range append(append([]*pod{}, f.sentinels...), f.redis...) {
		if p.kept != nil {
			errs = append(errs, p.kept.Stop(2*time.Second))
		}
	}
	return errors.Join(errs...)
}
