package sitetest

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// Proxy stands between the applier and a Redis. Its address is what the Sentinels name.
type Proxy struct {
	Addr string

	listener net.Listener
	mu       sync.Mutex
	target   string
	conns    map[net.Conn]bool
	fault    Fault
	done     chan struct{} // closed when the fault struck
}

// Fault is what a Proxy does to the next transaction.
type Fault int

// The faults, each named for the moment at which the connection breaks.
const (
	None       Fault = iota
	BeforeExec       // the transaction does not reach Redis whole
	LostReply        // Redis executes the transaction and the answer is lost
	AfterReply       // the answer arrives, and then the connection breaks
	Denied           // Redis executes a transaction of one op, and its answer to that op is made NOPERM
)

// NewProxy starts a proxy to a Redis.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.1.1:0") // not 127.0.0.1, which is what a Sentinel names that was not set up yet
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), listener: l, target: target, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = l.Close()
		p.Cut()
	})
	go p.serve()
	return p
}

// Break arms a fault for the next transaction. The channel is closed when it struck.
func (p *Proxy) Break(f Fault) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.done = f, make(chan struct{})
	return p.done
}

// Cut breaks all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		redis, err := net.Dial("tcp", target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[redis] = true, true
		p.mu.Unlock()
		l := &link{proxy: p, client: client, redis: redis}
		go l.requests()
		go l.replies()
	}
}

// strike returns the armed fault once.
func (p *Proxy) strike() (Fault, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.fault
	p.fault = None
	return f, p.done
}

// link is one proxied connection.
type link struct {
	proxy         *Proxy
	client, redis net.Conn

	mu    sync.Mutex
	fault Fault
	done  chan struct{}
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.redis.Close()
}

var (
	exec = []byte("\r\nEXEC\r\n")
	// guard is the end of the answer to a batch: WATCH's, and the beginning of HMGET's.
	guard     = []byte("+OK\r\n*")
	oneOp     = []byte("\r\n*2\r\n:")
	oneDenied = []byte("\r\n*2\r\n-NOPERM denied ")
)

func (l *link) requests() {
	defer l.close()
	buf := make([]byte, 1<<20)
	for {
		n, err := l.client.Read(buf)
		if err != nil {
			return
		}
		if i := bytes.Index(buf[:n], exec); i >= 0 {
			f, done := l.proxy.strike()
			if f == BeforeExec {
				_, _ = l.redis.Write(buf[:i])
				close(done)
				return
			}
			l.mu.Lock()
			l.fault, l.done = f, done
			l.mu.Unlock()
		}
		if _, err := l.redis.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (l *link) replies() {
	defer l.close()
	buf := make([]byte, 1<<20)
	var seen []byte
	for {
		n, err := l.redis.Read(buf)
		if err != nil {
			return
		}
		l.mu.Lock()
		f, done := l.fault, l.done
		l.mu.Unlock()
		if f == Denied {
			// *2 :1 becomes *2 -NOPERM denied 1: the op's answer and the checkpoint's.
			if was := buf[:n]; bytes.Contains(was, oneOp) {
				changed := bytes.Replace(was, oneOp, oneDenied, 1)
				n = copy(buf, changed)
				l.mu.Lock()
				l.fault = None
				l.mu.Unlock()
				f = None
				close(done)
			}
		}
		if f != LostReply {
			if _, err := l.client.Write(buf[:n]); err != nil {
				return
			}
		}
		if f == None {
			continue
		}
		seen = append(seen, buf[:n]...)
		if bytes.Contains(seen, guard) {
			close(done)
			return
		}
	}
}
