package reach_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/internal/freeport"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/rotate"
)

const (
	oldPassword = "the-old-password-0123"
	newPassword = "the-new-password-4567"
)

// pods are what the operator makes: a primary, two replicas and three Sentinels, each of which starts from a file as in its pod.
type pods struct {
	*testing.T
	ctx       context.Context
	mounted   string // the file in the applier's pod
	dir       string
	redis     []string // ports
	sentinels []string
	running   map[string]*exec.Cmd
}

func startPods(t *testing.T) *pods {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	p := &pods{T: t, ctx: ctx, dir: t.TempDir(), running: map[string]*exec.Cmd{}}
	t.Cleanup(func() {
		for port := range p.running {
			p.stop(port)
		}
	})
	p.mounted = filepath.Join(p.dir, "password")
	p.mount(oldPassword)
	for range 3 {
		p.redis, p.sentinels = append(p.redis, strconv.Itoa(freeport.Reserve(t))), append(p.sentinels, strconv.Itoa(freeport.Reserve(t)))
	}
	p.start(p.redis[0], "", oldPassword)
	p.start(p.redis[1], p.redis[0], oldPassword)
	p.start(p.redis[2], p.redis[0], oldPassword)
	for _, s := range p.sentinels {
		p.startSentinel(s, p.redis[0], oldPassword)
	}
	return p
}

// mount has the kubelet bring a password to the applier's pod.
func (p *pods) mount(password string) {
	p.Helper()
	if err := os.WriteFile(p.mounted+".next", []byte(password+"\n"), 0o600); err != nil {
		p.Fatal(err)
	}
	if err := os.Rename(p.mounted+".next", p.mounted); err != nil {
		p.Fatal(err)
	}
}

// start starts a Redis as its pod does: with the operator's two lines, and told by the operator whom to follow.
func (p *pods) start(port, primary, password string) {
	p.Helper()
	conf := "bind 127.0.0.1 " + redistest.Host + "\nreplica-announce-ip " + redistest.Host + "\nsave \"\"\nrepl-diskless-sync-delay 0\nmasterauth " + password + "\nrequirepass " + password + "\n"
	if primary != "" {
		conf += "replicaof " + redistest.Host + " " + primary + "\n"
	}
	p.run(port, conf)
}

// startSentinel starts a Sentinel, and tells it what the operator tells it.
func (p *pods) startSentinel(port, primary, password string) {
	p.Helper()
	p.run(port, fmt.Sprintf("bind %[1]s\nsentinel announce-ip %[1]s\nsentinel monitor mymaster %[1]s %[2]s 2\nsentinel auth-pass mymaster %[3]s\nsentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 3000\n",
		redistest.Host, primary, password), "--sentinel")
}

func (p *pods) run(port, conf string, args ...string) {
	p.Helper()
	dir, err := os.MkdirTemp(p.dir, port+"-")
	if err != nil {
		p.Fatal(err)
	}
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte("port "+port+"\ndir "+dir+"\nlogfile "+filepath.Join(dir, "log")+"\n"+conf), 0o600); err != nil {
		p.Fatal(err)
	}
	cmd := exec.Command("redis-server", append([]string{file}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.running[port] = cmd
	p.until(func() error {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(redistest.Host, port), time.Second)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
}

func (p *pods) stop(port string) {
	_ = p.running[port].Process.Kill()
	_ = p.running[port].Wait()
	delete(p.running, port)
}

func (p *pods) until(holds func() error) {
	p.Helper()
	if err := await.True(p.ctx, "the pods", func(context.Context) error { return holds() }); err != nil {
		p.Fatal(err)
	}
}

// ask asks one Redis, or a Sentinel with the password "".
func (p *pods) ask(port, password string, args ...any) (any, error) {
	c := redis.NewClient(&redis.Options{Addr: net.JoinHostPort(redistest.Host, port), Password: password, DisableIdentity: true, Protocol: 2, MaxRetries: -1})
	defer func() { _ = c.Close() }()
	return c.Do(p.ctx, args...).Result()
}

// primary is the port that most Sentinels name.
func (p *pods) primary() string {
	votes := map[string]int{}
	for _, s := range p.sentinels {
		if a, err := p.ask(s, "", "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"); err == nil {
			port := fmt.Sprint(a.([]any)[1])
			if votes[port]++; votes[port] == 2 {
				return port
			}
		}
	}
	return ""
}

// follows waits until a Redis is in sync with the primary.
func (p *pods) follows(port, password string) {
	p.Helper()
	p.until(func() error {
		text, err := p.ask(port, password, "INFO", "replication")
		if err == nil && (!strings.Contains(fmt.Sprint(text), "master_link_status:up") || !strings.Contains(fmt.Sprint(text), "master_port:"+p.primary()+"\r")) {
			err = fmt.Errorf("%s is not in sync: %s", port, text)
		}
		return err
	})
}

// anew makes all pods anew as the operator does: the replicas, and then the primary, which hands over.
func (p *pods) anew(password string) {
	p.Helper()
	last := p.primary()
	for _, port := range p.redis {
		if port != last {
			p.stop(port)
			p.start(port, last, password)
			p.follows(port, password)
		}
	}
	p.handOver()
	p.stop(last)
	p.start(last, p.primary(), password)
	p.follows(last, password)
}

// handOver has another Redis become the primary.
func (p *pods) handOver() {
	p.Helper()
	last := p.primary()
	p.until(func() error {
		_, err := p.ask(p.sentinels[0], "", "SENTINEL", "FAILOVER", "mymaster")
		if now := p.primary(); now != "" && now != last {
			return nil
		}
		return fmt.Errorf("%s is still the primary: %w", last, err)
	})
}

func (p *pods) direct() *reach.Direct {
	p.Helper()
	key := filepath.Join(p.dir, "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		p.Fatal(err)
	}
	env := map[string]string{
		"APPLIER_SITE": "dc", "APPLIER_PEER": "dr", "APPLIER_LOG": "redis-writes", "APPLIER_PARTITIONS": "1", "APPLIER_SIGNING_KEY_FILE": key,
		"APPLIER_KAFKA_BROKERS": "127.0.0.1:1", "APPLIER_SENTINELS": net.JoinHostPort(redistest.Host, p.sentinels[0]), "APPLIER_REDIS_PASSWORD_FILE": p.mounted,
	}
	return direct(p.T, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

// said keeps what is said, and that no password is in it.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// over is a new ctl of the site.
func (p *pods) over() *reach.Remote {
	p.Helper()
	d := p.direct()
	s := serve(p.ctx, d)
	r, err := reach.Dial(s.stream)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _, _ = r.Close(), d.Close() })
	return r
}

func (p *pods) rotate(ctx context.Context, how rotate.How) (rotate.State, *said, error) {
	p.Helper()
	out := &said{}
	how.Settle, how.Every, how.Progress = 500*time.Millisecond, 30*time.Millisecond, out.add
	if how.Password == "" {
		how.Password = newPassword
	}
	state, err := rotate.Run(ctx, p.over(), how)
	text := fmt.Sprintf("%s %+v %v", out, state, err)
	for _, secret := range []string{oldPassword, newPassword, rotate.Secret(oldPassword).Sum(), rotate.Secret(newPassword).Sum()} {
		if strings.Contains(text, secret) {
			p.Errorf("a password, or its sum, is in what is said:\n%s", text)
		}
	}
	return state, out, err
}

// replaced checks that only the new password opens, and that whoever is connected anew gets in: replicas and Sentinels.
func (p *pods) replaced() {
	p.Helper()
	for _, port := range p.redis {
		if _, err := p.ask(port, oldPassword, "PING"); !redis.HasErrorPrefix(err, "WRONGPASS") {
			p.Errorf("%s, the old password: got %v, want it refused", port, err)
		}
		for _, kind := range []string{"normal", "pubsub", "replica"} {
			if _, err := p.ask(port, newPassword, "CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"); err != nil {
				p.Errorf("%s: %v", port, err)
			}
		}
	}
	for _, port := range p.redis {
		if port != p.primary() {
			p.follows(port, newPassword)
		}
		p.until(func() error {
			text, err := p.ask(port, newPassword, "CLIENT", "LIST")
			if n := strings.Count(fmt.Sprint(text), "-cmd "); err == nil && n != len(p.sentinels) {
				err = fmt.Errorf("%d Sentinels are connected to %s again, want %d", n, port, len(p.sentinels))
			}
			return err
		})
	}
	before := p.primary()
	p.handOver()
	p.follows(before, newPassword)
}

// The pods are made anew while both passwords are valid: data and order stay, nobody is locked out, and at the end the old one opens nothing.
func TestRotate(t *testing.T) {
	t.Parallel()
	p := startPods(t)
	for _, port := range p.redis[1:] {
		p.follows(port, oldPassword)
	}
	for i := range 100 {
		if _, err := p.ask(p.redis[0], oldPassword, "SET", i, i); err != nil {
			t.Fatal(err)
		}
	}
	var person sync.WaitGroup
	state, said, err := p.rotate(p.ctx, rotate.How{Both: func(s rotate.State) {
		if s.Mounted != rotate.Old {
			t.Errorf("got %q mounted, want the old one", s.Mounted)
		}
		person.Go(func() {
			p.anew(newPassword) // the pods of the appliers still have the old one
			for _, port := range p.redis {
				p.until(func() error { _, err := p.ask(port, oldPassword, "PING"); return err })
			}
			p.mount(newPassword)
		})
	}})
	person.Wait()
	if err != nil || state.Phase != rotate.PhaseDone || !state.Settled() {
		t.Fatalf("got %+v, %v\n%s", state, err, said)
	}
	p.replaced()
	primary := p.primary()
	if n, err := p.ask(primary, newPassword, "DBSIZE"); err != nil || fmt.Sprint(n) != "100" {
		t.Errorf("got %v keys, %v, want 100", n, err)
	}
	at := func(part string) int {
		return slices.IndexFunc(said.lines, func(l string) bool { return strings.Contains(l, part) })
	}
	first, last := at("no longer takes the old password"), 0
	for i, l := range said.lines {
		if strings.Contains(l, "no longer takes the old password") {
			last = i
		}
	}
	if first < 0 || at("started with the old password") > first || at("shows the new password to its primary") < 0 || !strings.Contains(said.lines[last], state.Primary) {
		t.Errorf("want the new password used, then the pods, then the old one dropped, at the primary last:\n%s", said)
	}
	// Again there is nothing to do, and nothing is done.
	again := p.over()
	p.until(func() error {
		state, err := again.Rotate(p.ctx, rotate.Request{Password: newPassword})
		if err == nil && !state.Settled() { // the failover that was just made
			err = fmt.Errorf("again: got %+v, want nothing to be done", state)
		}
		return err
	})
}

// A Redis is away, the primary fails over, a Sentinel starts anew with what the Secret held: it is waited for, and told again, and walctl may die at any time.
func TestRotateThroughTrouble(t *testing.T) {
	t.Parallel()
	p := startPods(t)
	p.follows(p.redis[1], oldPassword)
	p.follows(p.redis[2], oldPassword)
	for _, s := range p.sentinels {
		p.until(func() error {
			a, err := p.ask(s, "", "SENTINEL", "REPLICAS", "mymaster")
			if all, _ := a.([]any); err == nil && len(all) != 2 {
				err = fmt.Errorf("%d replicas are known", len(all))
			}
			return err
		})
	}
	p.stop(p.redis[2])
	ctx, cancel := context.WithTimeout(p.ctx, 2*time.Second)
	state, said, err := p.rotate(ctx, rotate.How{})
	cancel()
	if err == nil || state.Phase != rotate.PhaseBoth || !strings.Contains(said.String(), ":"+p.redis[2]+" does not answer") || strings.Contains(said.String(), "to its primary") {
		t.Fatalf("one Redis is away: got %+v, %v, want it named, and nobody to show what it may not take\n%s", state, err, said)
	}
	p.start(p.redis[2], p.redis[0], oldPassword)
	p.follows(p.redis[2], oldPassword)

	both := func() {
		t.Helper()
		ctx, cancel := context.WithCancel(p.ctx)
		defer cancel()
		if state, said, err := p.rotate(ctx, rotate.How{Both: func(rotate.State) { cancel() }}); state.Phase != rotate.PhaseAnew {
			t.Fatalf("got %+v, %v\n%s", state, err, said)
		}
	}
	both()
	p.handOver()
	both()
	// Who makes a Sentinel anew tells it what the Secret holds. Whoever looks again does too.
	d := p.over()
	told := map[string]rotate.Mark{}
	step := func() (told2 int) {
		p.until(func() error {
			s, err := d.Rotate(p.ctx, rotate.Request{Password: newPassword, Act: true, Told: told})
			if err == nil {
				for _, line := range s.Did {
					if strings.HasPrefix(line, "the Sentinel") {
						told2++
					}
				}
				if told = s.Told; len(s.Told) != 3 || len(s.Waits) > 0 && s.Phase == rotate.PhaseBoth {
					err = fmt.Errorf("got %+v", s)
				}
			}
			return err
		})
		return told2
	}
	if n := step(); n < 3 { // or again, those that hear of the failover only now
		t.Errorf("a walctl that starts tells %d Sentinels, want all", n)
	}
	p.until(func() error {
		if n := step(); n != 0 {
			return fmt.Errorf("%d Sentinels were told again, want none: it has them connect anew", n)
		}
		return nil
	})
	p.stop(p.sentinels[2])
	p.startSentinel(p.sentinels[2], p.primary(), oldPassword)
	if n := step(); n != 1 {
		t.Errorf("%d Sentinels were told, want the one that was started anew", n)
	}
}
