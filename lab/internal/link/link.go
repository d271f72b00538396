// Package link is the network between two sites, for those who break it: connections over it can be cut without either end being told,
// slowed down, and broken off at random.
package link

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Quality is how bad a link is. The zero value is a good one.
type Quality struct {
	// Cut lets nothing through. Neither end is told: packets are dropped, as by a firewall or a dead router.
	Cut bool
	// Delay is added to every write.
	Delay time.Duration
	// BytesPerSecond bounds what each connection reads; 0 = no bound.
	BytesPerSecond int
	// Break is how likely each read breaks its connection off: 0 to 1.
	Break float64
}

// Link is one network path. The zero value is a good link. Its methods are safe for concurrent use.
type Link struct {
	mu      sync.Mutex
	quality Quality
	changed chan struct{} // closed at a change
	broken  int
}

// errBroken is what a connection that is broken off says.
var errBroken = errors.New("the link broke this connection off")

// Set changes the quality, of the connections that exist too. A connection that was cut and is mended goes on: what was under way arrives.
func (l *Link) Set(q Quality) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quality = q
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Broken is how many connections were broken off.
func (l *Link) Broken() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

func (l *Link) now() (Quality, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.quality, l.changed
}

// pass waits until the link lets something through, or until over is closed, the deadline passes or ctx ends.
func (l *Link) pass(ctx context.Context, over <-chan struct{}) (Quality, error) {
	for {
		q, changed := l.now()
		if !q.Cut {
			return q, nil
		}
		select {
		case <-changed:
		case <-over:
			return q, net.ErrClosed
		case <-ctx.Done():
			return q, ctx.Err()
		}
	}
}

// Dial connects over the link.
func (l *Link) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if _, err := l.pass(ctx, nil); err != nil {
		return nil, err
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, link: l, over: make(chan struct{})}, nil
}

// conn is a connection over a link.
type conn struct {
	net.Conn
	link *Link
	over chan struct{}
	once sync.Once

	mu          sync.Mutex
	read, write time.Time // deadlines
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.over) })
	return c.Conn.Close()
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.read = t
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.write = t
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(t)
}

// pass waits as the link does; a deadline's end is the error that net has for it.
func (c *conn) pass(deadline *time.Time) (Quality, error) {
	c.mu.Lock()
	at := *deadline
	c.mu.Unlock()
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if !at.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, at)
	}
	defer cancel()
	q, err := c.link.pass(ctx, c.over)
	if errors.Is(err, context.DeadlineExceeded) {
		err = &net.OpError{Op: "link", Net: "tcp", Err: context.DeadlineExceeded} // its Timeout says true
	}
	return q, err
}

func (c *conn) wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-c.over:
		return net.ErrClosed
	}
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		return n, err
	}
	q, err := c.pass(&c.read) // what comes while the link is cut comes when it is mended
	if err != nil {
		return 0, err
	}
	if q.Break > 0 && rand.Float64() < q.Break {
		c.link.mu.Lock()
		c.link.broken++
		c.link.mu.Unlock()
		return 0, errors.Join(errBroken, c.Close())
	}
	if q.BytesPerSecond > 0 {
		return n, c.wait(time.Duration(float64(n) / float64(q.BytesPerSecond) * float64(time.Second)))
	}
	return n, nil
}

func (c *conn) Write(b []byte) (int, error) {
	q, err := c.pass(&c.write)
	if err != nil {
		return 0, err
	}
	if err := c.wait(q.Delay); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
