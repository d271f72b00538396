// Package sink is Redis as the applier sees it: the Sentinels that name the primary, and one guarded connection to the primary for
// each partition. The data and the position change in the same transaction, and only on top of the position that the batch
// was planned on; so the position is always true of the data, whatever was lost on the way.
package sink

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/mounted"
	"github.com/comptech-lab/redis-wal/wal"
)

// DialFunc opens a connection, as [net.Dialer.DialContext] does. Tests put faults into it.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Options are what a Sink needs. All fields without "optional" are required.
type Options struct {
	Sites          wal.Sites
	Log            string
	Sentinels      []string // host:port
	SentinelMaster string
	Username       string // optional: the default user
	PasswordFile   string // optional: no authentication
	// SentinelUsername and SentinelPasswordFile are the credentials at the Sentinels, which may ask for their own. Optional.
	SentinelUsername, SentinelPasswordFile string
	// TLS to the primary and to the Sentinels. Optional: plain TCP.
	TLS  *mounted.TLS
	Dial DialFunc // optional: TCP with keep-alive
	// OnFailover is called when the primary changes, with the old and the new address. Optional.
	OnFailover func(from, to string)
}

// Sink opens connections to the primary and closes them when another Redis becomes the primary.
type Sink struct {
	opts      Options
	sentinels *Sentinels

	mu      sync.Mutex
	primary Answer
	asked   bool
	conns   map[*Conn]bool
}

// New returns a Sink. It connects to nothing yet.
func New(o Options) *Sink {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	}
	if o.OnFailover == nil {
		o.OnFailover = func(string, string) {}
	}
	if o.TLS != nil {
		o.Dial = o.TLS.Dial(o.Dial)
	}
	sentinels := NewSentinels(o.SentinelMaster, o.Sentinels, o.Dial, Login{Username: o.SentinelUsername, PasswordFile: o.SentinelPasswordFile})
	return &Sink{opts: o, sentinels: sentinels, conns: map[*Conn]bool{}}
}

// Close closes all connections.
func (s *Sink) Close() error {
	s.mu.Lock()
	for c := range s.conns {
		s.drop(c)
	}
	s.mu.Unlock()
	return s.sentinels.Close()
}

// Watch asks the Sentinels at every tick until ctx ends. When they name another primary, it closes the connections to the old one,
// which may be frozen, or alive and a primary for itself only.
func (s *Sink) Watch(ctx context.Context, tick <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			_, _ = s.ask(ctx) // an error is met again, and returned, by whoever needs the primary
		}
	}
}

// ask asks the Sentinels and acts on a change.
func (s *Sink) ask(ctx context.Context) (Answer, error) {
	a, err := s.sentinels.Ask(ctx)
	if err != nil {
		return a, err
	}
	s.mu.Lock()
	from := s.primary.Primary
	s.primary, s.asked = a, true
	for c := range s.conns {
		if c.addr != a.Primary {
			s.drop(c)
		}
	}
	s.mu.Unlock()
	if from != "" && from != a.Primary {
		s.opts.OnFailover(from, a.Primary)
	}
	return a, nil
}

// Primary is what the Sentinels said last; false if they never did.
func (s *Sink) Primary() (Answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primary, s.asked
}

// Ref names a partition of a log, and the sites that its positions count.
type Ref struct {
	Sites     wal.Sites
	Log       string
	Partition int32
}

// Open connects to the primary for one partition: it asks the Sentinels anew, authenticates, and makes sure of the role.
func (s *Sink) Open(ctx context.Context, partition int32) (*Conn, error) {
	a, err := s.ask(ctx)
	if err != nil {
		return nil, err
	}
	password, err := s.password()
	if err != nil {
		return nil, err
	}
	nc, err := s.opts.Dial(ctx, "tcp", a.Primary)
	if err != nil {
		return nil, fmt.Errorf("connect to the primary: %w", err)
	}
	var c *Conn
	c = newConn(nc, a.Primary, Ref{Sites: s.opts.Sites, Log: s.opts.Log, Partition: partition}, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(c)
	})
	s.mu.Lock()
	s.conns[c] = true
	s.mu.Unlock()
	if err := c.hello(ctx, s.opts.Username, password); err != nil {
		c.Close()
		return nil, fmt.Errorf("greet the primary %s: %w", a.Primary, err)
	}
	return c, nil
}

// drop closes a connection once. A batch in flight on it is dropped: the position tells whether it was applied. The caller holds
// the lock.
func (s *Sink) drop(c *Conn) {
	if s.conns[c] {
		delete(s.conns, c)
		_ = c.net.Close() // what it says is of no interest any more
		close(c.gone)
	}
}

// password reads the file at each connection, so that a rotated password is taken up.
func (s *Sink) password() (string, error) {
	if s.opts.PasswordFile == "" {
		return "", nil
	}
	return mounted.Password("APPLIER_REDIS_PASSWORD_FILE", s.opts.PasswordFile)
}
