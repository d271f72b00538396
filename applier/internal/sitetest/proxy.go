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
	times    int           // how often it strikes yet
	done     chan struct{} // closed when the fault struck for the last time
	held     *hold
}

// Fault is what a Proxy does to the next transaction, or to the next reading of a position.
type Fault int

// The faults, each named for the moment at which the connection breaks.
const (
	None        Fault = iota
	BeforeWatch       // the next reading of a position does not reach Redis
	AfterWatch        // Redis answers the reading of a position and the answer is lost
	BeforeMulti       // nothing of the transaction reaches Redis
	BeforeExec        // the transaction does not reach Redis whole
	LostReply         // Redis executes the transaction and the answer is lost
	HalfReply         // the answer breaks off within what EXEC answered
	AfterExec         // EXEC's answer arrives whole, that to the WATCH behind it does not
	AfterReply        // the answer arrives, and then the connection breaks
	Denied            // Redis executes a transaction of one op, and its answer to that op is made NOPERM
	Hold              // the transaction is on its way until Release, even if the applier has hung up
)

// hold is what keeps transactions on their way.
type hold struct {
	free     chan struct{} // closed by Release
	answered sync.WaitGroup
}

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
		p.Release()
	})
	go p.serve()
	return p
}

// Break arms a fault. The channel is closed when it struck.
func (p *Proxy) Break(f Fault) <-chan struct{} { return p.BreakNext(1, f) }

// BreakNext arms a fault for the next n times. The channel is closed when it struck for the last time.
func (p *Proxy) BreakNext(n int, f Fault) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.times, p.done = f, n, make(chan struct{})
	if f == Hold && p.held == nil {
		p.held = &hold{free: make(chan struct{})}
	}
	return p.done
}

// Release lets what is held go on to Redis, and returns when Redis has answered it.
func (p *Proxy) Release() {
	p.mu.Lock()
	h := p.held
	p.held = nil
	p.mu.Unlock()
	if h != nil {
		close(h.free)
		h.answered.Wait()
	}
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

// strike returns the armed fault if it is one of those that strike here.
func (p *Proxy) strike(here func(Fault) bool) (f Fault, struck func(), held *hold) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == None || !here(p.fault) {
		return None, func() {}, nil
	}
	f, struck, held = p.fault, func() {}, p.held
	if p.times--; p.times == 0 {
		done := p.done
		p.fault, struck = None, func() { close(done) }
	}
	if f == Hold {
		held.answered.Add(1)
	}
	return f, struck, held
}

func atRead(f Fault) bool { return f == BeforeWatch || f == AfterWatch }

func atExec(f Fault) bool { return !atRead(f) }

// link is one proxied connection.
type link struct {
	proxy         *Proxy
	client, redis net.Conn

	mu     sync.Mutex
	fault  Fault
	struck func()
	held   *hold
}

func (l *link) close() {
	_ = l.client.Close()
	_ = l.redis.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		l.held.answered.Done()
		l.held = nil
	}
}

var (
	// read is what a position is read with when an applier joins.
	read = []byte("\r\nUNWATCH\r\n")
	// execute ends a batch: the guard of the next one rides with it, as with no transaction of a Sentinel.
	execute = []byte("\r\nEXEC\r\n*2\r\n$5\r\nWATCH\r\n")
	// executed is the beginning of EXEC's answer, after those to what was queued.
	executed = []byte("\r\n*")
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
		if !l.request(buf[:n]) {
			return
		}
	}
}

// request passes a request on, and says whether the connection lives.
func (l *link) request(b []byte) bool {
	var f Fault
	struck := func() {}
	var held *hold
	if bytes.Contains(b, read) {
		f, struck, held = l.proxy.strike(atRead)
	}
	end := bytes.Index(b, execute)
	if end >= 0 {
		f, struck, held = l.proxy.strike(atExec)
	}
	switch f {
	case BeforeWatch, BeforeMulti:
		struck()
		return false
	case BeforeExec:
		_, _ = l.redis.Write(b[:end])
		struck()
		return false
	case Hold:
		l.mu.Lock()
		l.held = held
		l.mu.Unlock()
		struck()
		<-held.free
	case None:
	default: // strikes when the answer comes
		l.mu.Lock()
		l.fault, l.struck = f, struck
		l.mu.Unlock()
	}
	_, err := l.redis.Write(b)
	if f == Hold && err == nil {
		held.answered.Wait() // the client may be gone, and reading from it would close the connection under the transaction
	}
	return err == nil
}

func (l *link) replies() {
	defer l.close()
	buf := make([]byte, 1<<20)
	var seen []byte // since the fault was armed
	for {
		n, err := l.redis.Read(buf)
		if err != nil {
			return
		}
		l.mu.Lock()
		f, struck := l.fault, l.struck
		if l.held != nil {
			l.held.answered.Done()
			l.held = nil
		}
		l.mu.Unlock()
		if f == Denied && bytes.Contains(buf[:n], oneOp) {
			// *2 :1 becomes *2 -NOPERM denied 1: the op's answer and the checkpoint's.
			n = copy(buf, bytes.Replace(buf[:n], oneOp, oneDenied, 1))
			l.mu.Lock()
			l.fault = None
			l.mu.Unlock()
			f = None
			struck()
		}
		pass := buf[:n]
		over := false
		if f != None {
			seen = append(seen, pass...)
			pass, over = cutOff(f, seen, pass)
		}
		if _, err := l.client.Write(pass); err != nil {
			return
		}
		if over {
			struck()
			return
		}
	}
}

// cutOff says how much of what came last is passed on, given all that came since the fault was armed, and whether the connection breaks then.
func cutOff(f Fault, seen, last []byte) (pass []byte, over bool) {
	before := len(seen) - len(last)
	upTo := func(end int) []byte { return seen[before:max(before, end)] }
	begun, guarded := bytes.Index(seen, executed), bytes.Index(seen, guard)
	switch {
	case f == AfterWatch:
		return nil, true
	case f == LostReply:
		return nil, begun >= 0
	case f == HalfReply && begun >= 0:
		return upTo(begun + len(executed) + 1), true
	case f == AfterExec && guarded >= 0:
		return upTo(guarded), true
	case f == AfterReply && guarded >= 0:
		return last, true
	}
	return last, false
}
