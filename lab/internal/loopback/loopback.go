// Package loopback gives every pod of a lab an address of its own, so that the ports of the resources (6379, 26379, 9180)
// stay what they are. Linux answers on all of 127.0.0.0/8 without any set-up.
package loopback

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// lockPort is bound on a block's first address for as long as the block is in use; the kernel frees it with the process.
const lockPort = 19180

// attempts bounds the search for a free block: with 118 x 256 blocks, this many clashes mean something else is wrong.
const attempts = 50

// Block is a 127.A.B.0/24 that belongs to one lab. Its methods are safe for concurrent use.
type Block struct {
	lock net.Listener
	a, b byte

	mu   sync.Mutex
	next int
}

// Reserve takes a free block on which all the given TCP ports can be bound. A never is 0: the Redis operator takes
// any replica whose master_host begins with 127.0.0.1 for one that waits to be told its primary.
func Reserve(ports ...int) (*Block, error) {
	var last error
	for range attempts {
		blk := &Block{a: byte(10 + rand.IntN(118)), b: byte(rand.IntN(256)), next: 2}
		lock, err := net.Listen("tcp", blk.at(1, lockPort))
		if errors.Is(err, syscall.EADDRINUSE) {
			last = err
			continue // another lab's block
		}
		if err != nil {
			return nil, fmt.Errorf("bind %s: %w; the lab needs the whole of 127.0.0.0/8 as loopback, as Linux has it", blk.at(1, lockPort), err)
		}
		blk.lock = lock
		if err := blk.probe(ports); err != nil {
			last = err
			_ = lock.Close()
			continue
		}
		return blk, nil
	}
	return nil, fmt.Errorf("no free 127.A.B.0/24 in %d attempts; a program that listens on all addresses (0.0.0.0) may hold a port that the lab needs: %w", attempts, last)
}

func (b *Block) at(host, port int) string {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, b.a, b.b, byte(host)}), uint16(port)).String()
}

func (b *Block) probe(ports []int) error {
	for _, p := range ports {
		l, err := net.Listen("tcp", b.at(1, p))
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Next hands out an address that was not handed out before. The error says that the block is used up.
func (b *Block) Next() (netip.Addr, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next > 254 {
		return netip.Addr{}, fmt.Errorf("all addresses of %s are handed out; a lab has room for 253 pods", b)
	}
	ip := netip.AddrFrom4([4]byte{127, b.a, b.b, byte(b.next)})
	b.next++
	return ip, nil
}

// String is the block in CIDR notation.
func (b *Block) String() string { return fmt.Sprintf("127.%d.%d.0/24", b.a, b.b) }

// Close gives the block back.
func (b *Block) Close() error { return b.lock.Close() }
