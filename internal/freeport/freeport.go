// Package freeport reserves TCP ports for programs that tests start, and start again, by number. A port that was merely free a moment
// ago is not enough: tests of other packages run beside them and look for ports too, and every connection takes one.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Ports come from below Linux's own range for connections (32768-60999, ip_local_port_range in ip-sysctl.rst of the kernel), so that no
// connection takes one, and from above the fixed ports of the programs that are tested, 26379 being the highest.
const first, last = 27000, 31999

// lockHost is where the UDP port of the same number is held for as long as a port is reserved. It is in no program's way, whichever
// addresses that listens on, and the kernel frees it with the process.
const lockHost = "127.0.0.1"

// attempts bounds the search: with 5,000 ports, this many that are taken mean something else is wrong.
const attempts = 200

// Reserve reserves a port on all addresses until the test ends, among all tests of this machine that reserve theirs.
func Reserve(t testing.TB) int {
	t.Helper()
	lock, err := reserve(first, last)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	return lock.LocalAddr().(*net.UDPAddr).Port
}

// ReserveAddr is host:port of a port that was reserved.
func ReserveAddr(t testing.TB, host string) string {
	t.Helper()
	return net.JoinHostPort(host, strconv.Itoa(Reserve(t)))
}

func reserve(from, to int) (net.PacketConn, error) {
	var last error
	for range attempts {
		port := strconv.Itoa(from + rand.IntN(to-from+1))
		// All addresses: a listener on any one of them makes this fail.
		all, err := net.Listen("tcp4", "0.0.0.0:"+port)
		if err == nil {
			err = all.Close()
		}
		var lock net.PacketConn
		if err == nil {
			lock, err = net.ListenPacket("udp4", net.JoinHostPort(lockHost, port))
		}
		if err == nil {
			return lock, nil
		}
		last = err
	}
	return nil, fmt.Errorf("no free port from %d to %d in %d attempts: %w", from, to, attempts, last)
}
