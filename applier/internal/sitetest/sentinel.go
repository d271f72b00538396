// Package sitetest is a site for tests: a Kafka in memory, Sentinels that say what the test tells them, and a proxy that
// puts faults between the applier and its Redis.
package sitetest

import (
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2/server"
)

// Sentinels are a number of Sentinels that name one primary, or each another one.
type Sentinels struct {
	Addrs []string

	mu      sync.Mutex
	primary []string // by Sentinel
	epoch   int
}

// NewSentinels starts n Sentinels that name the primary.
func NewSentinels(t testing.TB, n int, primary string) *Sentinels {
	t.Helper()
	s := &Sentinels{primary: make([]string, n)}
	for i := range n {
		srv, err := server.NewServer("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(srv.Close)
		s.Addrs = append(s.Addrs, srv.Addr().String())
		s.primary[i] = primary
		if err := srv.Register("SENTINEL", func(c *server.Peer, _ string, args []string) { s.answer(c, i, args) }); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Name makes all Sentinels name a primary.
func (s *Sentinels) Name(primary string) {
	for i := range s.Addrs {
		s.NameBy(i, primary)
	}
}

// NameBy makes one Sentinel name a primary.
func (s *Sentinels) NameBy(i int, primary string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.primary[i] = primary
	s.epoch++
}

func (s *Sentinels) answer(c *server.Peer, i int, args []string) {
	s.mu.Lock()
	primary, epoch := s.primary[i], s.epoch
	s.mu.Unlock()
	fields := func(addr string, more ...string) []string {
		host, port, _ := net.SplitHostPort(addr)
		return append([]string{"ip", host, "port", port}, more...)
	}
	switch {
	case len(args) == 1: // MYID
		c.WriteBulk("sentinel-" + strconv.Itoa(i))
	case args[0] == "master" || args[0] == "MASTER":
		c.WriteStrings(fields(primary, "config-epoch", strconv.Itoa(epoch)))
	case args[0] == "replicas" || args[0] == "REPLICAS":
		c.WriteLen(0)
	default: // SENTINELS
		c.WriteLen(len(s.Addrs) - 1)
		for j, addr := range s.Addrs {
			if j != i {
				c.WriteStrings(fields(addr))
			}
		}
	}
}
