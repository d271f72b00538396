package link_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/link"
)

// echo is a server on loopback that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, l *link.Link) net.Conn {
	t.Helper()
	c, err := l.Dial(t.Context(), "tcp", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestACutLinkTellsNobodyAndDeliversWhenMended(t *testing.T) {
	t.Parallel()
	var l link.Link
	c := dial(t, &l)
	if _, err := c.Write([]byte("before")); err != nil {
		t.Fatal(err)
	}
	l.Set(link.Quality{Cut: true})
	got := make(chan string, 1)
	go func() {
		b := make([]byte, 16)
		n, _ := c.Read(b)
		got <- string(b[:n])
	}()
	if err := c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := c.Write([]byte("meanwhile")); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("write on a cut link = %v, want a timeout", err)
	}
	select {
	case s := <-got:
		t.Errorf("read %q on a cut link", s)
	default:
	}
	l.Set(link.Quality{})
	if s := <-got; s != "before" {
		t.Errorf("read %q after it was mended, want what was under way", s)
	}
}

func TestALossyLinkBreaksConnections(t *testing.T) {
	t.Parallel()
	var l link.Link
	c := dial(t, &l)
	l.Set(link.Quality{Break: 1})
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 || l.Broken() != 1 {
		t.Errorf("read = %d, %v, %d broken, want a broken connection", n, err, l.Broken())
	}
}
