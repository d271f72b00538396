package freeport

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestAReservedPortIsNobodyElses(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for range 500 { // enough that two would meet by chance
		port := Reserve(t)
		if seen[port] {
			t.Fatalf("%d was reserved twice", port)
		}
		seen[port] = true
	}
}

func TestAReservedPortCanBeListenedOn(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "127.0.1.1", "0.0.0.0"} { // Redis without "bind" listens on all
		l, err := net.Listen("tcp", ReserveAddr(t, host))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}

func TestAPortThatIsTakenOnOneAddressIsLeftAlone(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.9.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if lock, err := reserve(port, port); err == nil {
		_ = lock.Close()
		t.Fatalf("%d was reserved, and a server listens on it", port)
	} else if !strings.Contains(err.Error(), strconv.Itoa(port)) {
		t.Errorf("%v does not name the ports", err)
	}
}
