package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/components/edge/haproxy"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
)

func edgeDrills() []Drill {
	return []Drill{{
		Name: "edge", Fault: "readers without Sentinel, behind an HAProxy: SIGKILL to the primary of dc; then a planned cutover to dr, and one back",
		Needs: Needs{Writer: true}, Short: true, Run: throughAnEdge, End: End{Same: true},
	}}
}

// edgeReaders are the readers that keep their connection for as long as it lasts, and as many that open one for each question.
const edgeReaders = 4

// throughAnEdge has applications read through the edge that docs/edge.md describes for machines outside of Kubernetes.
func throughAnEdge(ctx context.Context, s *Scene) error {
	e, err := startEdge(ctx, s)
	if err != nil {
		return err
	}
	if err := e.reads(ctx, s.A, time.Time{}); err != nil {
		return err
	}

	s.Fault()
	began := time.Now()
	_, old, err := s.Redis(s.A).KillPrimary(ctx)
	if err != nil {
		return err
	}
	if _, err := s.Redis(s.A).AwaitPrimary(ctx, old); err != nil {
		return err
	}
	promoted := time.Now()
	if err := e.reads(ctx, s.A, promoted); err != nil {
		return err
	}
	s.Saw("another primary after %s; through the edge no reader waited longer than %s for an answer", short(promoted.Sub(began)), short(e.gap(began)))
	if err := await.True(ctx, "the Redis of "+s.A, s.Redis(s.A).Whole); err != nil {
		return err
	}

	for _, way := range [][2]string{{s.A, s.B}, {s.B, s.A}} {
		began := time.Now()
		m, err := s.follow(ctx, way[0], way[1])
		if err != nil {
			return err
		}
		moved := time.Now()
		if err := e.reads(ctx, way[1], moved); err != nil {
			return err
		}
		last, err := e.leaves(way[0], moved.Add(edgeSlack))
		if err != nil {
			return err
		}
		s.Saw("cutover to %s: without a writer for %.2f s; through the edge no reader waited longer than %s, and the last answer of %s came %s before the end of the cutover",
			way[1], m.WithoutWriter, short(e.gap(began)), way[0], short(moved.Sub(last)))
	}
	s.Healed()
	if err := e.onlyPrimaries(); err != nil {
		return err
	}
	s.Saw("%d answers through the edge, all of primaries", e.answered())
	return s.replayRest(ctx, s.A)
}

// edgeSlack is how long after a cutover an answer of the site that the writer left may still come: the edge looks every 0.3 s, and a machine may be busy.
const edgeSlack = 2 * time.Second

// edge is a running HAProxy, and those who read through it.
type edge struct {
	sites map[string]string // by the address of a Redis: whose it is

	mu      sync.Mutex
	answers [2 * edgeReaders][]edgeAnswer
}

type edgeAnswer struct {
	began, at  time.Time
	role, site string
}

func startEdge(ctx context.Context, s *Scene) (*edge, error) {
	program, err := haproxyProgram()
	if err != nil {
		return nil, err
	}
	host, err := s.Block.Next()
	if err != nil {
		return nil, err
	}
	e := &edge{sites: map[string]string{}}
	args := haproxy.Args{
		Log: s.Declared(s.A).Log, Partitions: int(s.Declared(s.A).Partitions), User: "reader", PasswordEnv: haproxy.DefaultPasswordEnv,
		Bind: net.JoinHostPort(host.String(), "6379"), HTTP: net.JoinHostPort(host.String(), "9180"),
	}
	for _, site := range s.Names() {
		args.Sites = append(args.Sites, haproxy.Site{Name: site, Servers: s.Redis(site).Redis()})
		for _, addr := range s.Redis(site).Redis() {
			e.sites[addr] = site
		}
	}
	text, err := args.Config()
	if err != nil {
		return nil, err
	}
	password, err := readerPassword(s.Sites, s.A)
	if err != nil {
		return nil, err
	}
	if other, err := readerPassword(s.Sites, s.B); err != nil || other != password {
		return nil, errors.Join(err, errors.New("an edge reads with one password at both sites, and the sites have two"))
	}
	file := filepath.Join(s.dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := s.Group.Start(process.Spec{Name: "edge", Path: program, Args: []string{"-db", "-f", file}, Env: []string{haproxy.DefaultPasswordEnv + "=" + password}})
	if err != nil {
		return nil, err
	}
	s.Undo(func() error { return p.Stop(time.Second) })
	reading, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	for i := range e.answers {
		group.Go(func() { e.read(reading, args.Bind, password, i) })
	}
	s.Undo(func() error { stop(); group.Wait(); return nil })
	return e, nil
}

// haproxyProgram is where the program is: Debian has it in a folder that is not on everybody's PATH.
func haproxyProgram() (string, error) {
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no haproxy; make deps installs it")
}

// readerPassword is that of the user who may only read.
func readerPassword(s *sites.Sites, site string) (string, error) {
	for _, o := range s.Declared(site).Objects {
		h, err := manifest.As[manifest.Head](o)
		if err != nil {
			return "", err
		}
		if h.Kind == "Secret" && strings.HasSuffix(h.Metadata.Name, "-reader") {
			b, err := s.Secret(site, h.Metadata.Namespace, h.Metadata.Name, "password")
			return string(b), err
		}
	}
	return "", fmt.Errorf("the program of %s declares no Secret of the reader", site)
}

func (e *edge) read(ctx context.Context, addr, password string, i int) {
	c := redis.NewClient(&redis.Options{
		Addr: addr, Username: "reader", Password: password, MaxRetries: -1, PoolSize: 1, DisableIdentity: true,
		DialTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second, DialerRetries: 1,
	})
	defer func() { _ = c.Close() }()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for ctx.Err() == nil {
		a := edgeAnswer{began: time.Now()}
		conn := c.Conn()
		pipe := conn.Pipeline()
		role, info := pipe.Do(ctx, "ROLE"), pipe.Do(ctx, "CLIENT", "INFO")
		if i >= edgeReaders {
			pipe.Do(ctx, "QUIT")
		}
		_, _ = pipe.Exec(ctx) // each of the two has its own error
		_ = conn.Close()
		if parts, err := role.Slice(); err == nil && len(parts) > 0 {
			if text, err := info.Text(); err == nil {
				a.at, a.role, a.site = time.Now(), fmt.Sprint(parts[0]), e.sites[local(text)]
				e.mu.Lock()
				e.answers[i] = append(e.answers[i], a)
				e.mu.Unlock()
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// local is the address of the Redis, as CLIENT INFO has it.
func local(info string) string {
	for field := range strings.FieldsSeq(info) {
		if addr, ok := strings.CutPrefix(field, "laddr="); ok {
			return addr
		}
	}
	return ""
}

// reads waits until each reader was answered by the site, on a question asked after since.
func (e *edge) reads(ctx context.Context, site string, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return await.True(ctx, "all readers behind the edge to read at "+site, func(context.Context) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		for i, answers := range e.answers {
			if len(answers) == 0 {
				return fmt.Errorf("reader %d was never answered", i)
			}
			if a := answers[len(answers)-1]; a.began.Before(since) || a.site != site {
				return fmt.Errorf("reader %d was last answered by %q", i, a.site)
			}
		}
		return nil
	})
}

// gap is the longest time for which a reader had no answer since a moment.
func (e *edge) gap(since time.Time) (longest time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, answers := range e.answers {
		before := since
		for _, a := range answers {
			if a.at.After(since) {
				longest, before = max(longest, a.at.Sub(before)), a.at
			}
		}
	}
	return longest
}

// leaves is when the site gave its last answer, or an error if that was to a question asked after the deadline.
func (e *edge) leaves(site string, deadline time.Time) (last time.Time, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, answers := range e.answers {
		for _, a := range slices.Backward(answers) {
			if a.site == site {
				if a.began.After(deadline) {
					return last, fmt.Errorf("reader %d was answered by the passive %s %s after it had to be cut off", i, site, short(a.began.Sub(deadline)))
				}
				if a.at.After(last) {
					last = a.at
				}
				break
			}
		}
	}
	return last, nil
}

func (e *edge) onlyPrimaries() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, answers := range e.answers {
		for _, a := range answers {
			if a.role != "master" || a.site == "" {
				return fmt.Errorf("reader %d was answered by a %s of %q", i, a.role, a.site)
			}
		}
	}
	return nil
}

func (e *edge) answered() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, answers := range e.answers {
		n += len(answers)
	}
	return n
}
