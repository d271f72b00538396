package modeltest

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"
)

// relay is the network between a node and whoever reaches it: the appliers and, with real Sentinels, those and the replicas.
type relay struct {
	addr     string
	target   string
	listener net.Listener

	mu      sync.Mutex
	links   map[*relayed]bool
	next    trouble       // strikes at the next transaction
	delay   time.Duration // that each piece takes while it is slow
	held    chan struct{} // closed when the replicas get on; nil = nothing is held
	pending time.Duration // of the armed trouble
}

// trouble is what a network does to one connection of an applier.
type trouble int

const (
	noTrouble trouble = iota
	// late: the applier loses the connection at once, and its transaction arrives afterwards, when the applier or another one has long
	// read the position anew.
	late
	// halfClosed: the applier reads the connection's end while what it goes on writing still arrives.
	halfClosed
	// silent: the transaction arrives and nothing comes back, for a while. Then the connection breaks.
	silent
)

// relayed is one connection.
type relayed struct {
	relay          *relay
	client, server *net.TCPConn

	mu      sync.Mutex
	replica bool // at the client's end
	mute    bool // answers are thrown away
}

func newRelay(t testing.TB, target string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.1.1:0") // not 127.0.0.1, which is what a Sentinel names that was not set up yet
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String(), target: target, listener: l, links: map[*relayed]bool{}}
	t.Cleanup(func() {
		_ = l.Close()
		r.heal()
		r.cut()
	})
	go r.serve()
	return r
}

func (r *relay) serve() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		l := &relayed{relay: r, client: client.(*net.TCPConn), server: server.(*net.TCPConn)}
		r.mu.Lock()
		r.links[l] = true
		r.mu.Unlock()
		go l.requests()
		go l.answers()
	}
}

// arm has the next transaction meet trouble, which lasts for d.
func (r *relay) arm(x trouble, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.pending = x, d
}

// slow makes each piece that passes take so long, until heal.
func (r *relay) slow(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = d
}

// hold keeps from the replicas what the node replicates from now on, until heal. They do not notice.
func (r *relay) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		r.held = make(chan struct{})
	}
}

// heal ends all trouble. What was held arrives.
func (r *relay) heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next, r.delay = noTrouble, 0
	if r.held != nil {
		close(r.held)
		r.held = nil
	}
}

// cut breaks all connections.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.links {
		_, _ = l.client.Close(), l.server.Close()
	}
	clear(r.links)
}

func (l *relayed) close() {
	_, _ = l.client.Close(), l.server.Close()
	l.relay.mu.Lock()
	delete(l.relay.links, l)
	l.relay.mu.Unlock()
}

var (
	batch = []byte("\r\nEXEC\r\n*2\r\n$5\r\nWATCH\r\n") // an applier's, not a Sentinel's
	psync = []byte("\r\nPSYNC\r\n")
)

// meet says what happens to a piece that a client sent.
func (r *relay) meet(piece []byte) (x trouble, lasts, delay time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next != noTrouble && bytes.Contains(piece, batch) {
		x, r.next = r.next, noTrouble
	}
	return x, r.pending, r.delay
}

func (l *relayed) requests() {
	defer l.close()
	buf := make([]byte, 1<<20)
	for {
		n, err := l.client.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(buf[:n], psync) {
			l.mu.Lock()
			l.replica = true
			l.mu.Unlock()
		}
		x, lasts, delay := l.relay.meet(buf[:n])
		time.Sleep(delay)
		switch x {
		case late:
			_ = l.client.Close()
			time.Sleep(lasts)
		case halfClosed:
			_ = l.client.CloseWrite()
			_ = l.client.SetReadDeadline(time.Now().Add(lasts))
		case silent:
			l.mu.Lock()
			l.mute = true
			l.mu.Unlock()
			_ = l.client.SetReadDeadline(time.Now().Add(lasts))
		}
		if _, err := l.server.Write(buf[:n]); err != nil {
			return
		}
		if x == late {
			time.Sleep(lasts) // the server must have read it before it sees the end
			return
		}
	}
}

func (l *relayed) answers() {
	buf := make([]byte, 1<<20)
	for {
		n, err := l.server.Read(buf)
		if err != nil {
			_ = l.client.Close() // requests closes the rest
			return
		}
		l.mu.Lock()
		replica, mute := l.replica, l.mute
		l.mu.Unlock()
		l.relay.mu.Lock()
		delay, held := l.relay.delay, l.relay.held
		l.relay.mu.Unlock()
		time.Sleep(delay)
		if replica && held != nil {
			<-held
		}
		if mute {
			continue
		}
		_, _ = l.client.Write(buf[:n]) // it may read no more; what it sends must still arrive
	}
}
