package loopback_test

import (
	"net"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/lab/internal/loopback"
)

func TestEveryPodGetsAnAddressThatCanBeBound(t *testing.T) {
	t.Parallel()
	blk, err := loopback.Reserve(6379)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blk.Close() }()
	seen := make(map[string]bool)
	for range 253 {
		ip, err := blk.Next()
		if err != nil {
			t.Fatal(err)
		}
		if seen[ip.String()] {
			t.Fatalf("%s was handed out twice", ip)
		}
		if strings.HasPrefix(ip.String(), "127.0.0.1") {
			t.Fatalf("%s looks like a replica without primary to the operator", ip)
		}
		seen[ip.String()] = true
	}
	if ip, err := blk.Next(); err == nil {
		t.Errorf("a used-up block handed out %s", ip)
	}
}

func TestTwoLabsGetDifferentBlocks(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 500 { // enough that two would meet by chance
		blk, err := loopback.Reserve()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = blk.Close() }()
		if seen[blk.String()] {
			t.Fatalf("%s was reserved twice", blk)
		}
		seen[blk.String()] = true
	}
}

func TestAPortThatIsTakenEverywhereIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = loopback.Reserve(l.Addr().(*net.TCPAddr).Port)
	if err == nil || !strings.Contains(err.Error(), "0.0.0.0") {
		t.Errorf("Reserve = %v, want an error that tells who may hold the port", err)
	}
}
