package sinktest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/comptech-lab/redis-wal/applier/internal/sink"
)

// fill writes some keys, and leaves Redis at maxmemory.
func (b *bench) fill(t *testing.T) {
	t.Helper()
	b.create(t)
	c, cp := b.join(t)
	if _, err := b.commit(c, batch(cp, []string{"SET", "a", "1"}, []string{"SET", "b", "2"})); err != nil {
		t.Fatal(err)
	}
	if err := b.Client.ConfigSet(b.ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
}

func frees(t *testing.T, b *bench) {
	b.fill(t)
	c, cp := b.join(t)
	first := batch(cp, []string{"DEL", "a"}, []string{"LPOP", "b"})
	first.Memory, first.MemoryCommands = []byte("*4\r\n$4\r\nHSET\r\n$30\r\n__wal:redis-writes:0:producers\r\n$1\r\np\r\n$6\r\nlast=0\r\n"), 1
	refused, err := c.Free(b.ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	if len(refused) != 1 || refused[0].Op.Offset != 3 {
		t.Fatalf("got %+v, want the command on the wrong type to be refused", refused)
	}
	b.want(t, 4, map[string]string{"a": "", "b": "2"})
	if got := b.Client.HGet(b.ctx, "__wal:redis-writes:0:producers", "p").Val(); got != "last=0" {
		t.Errorf("the windows of repeats are %q", got)
	}
	// Both ways must name a refused command alike, because sites compare what was refused.
	if err := b.Client.ConfigSet(b.ctx, "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	again, err := b.commit(c, batch(first.To, []string{"LPOP", "b"}, []string{"SET", "c", "3"}))
	if err != nil || len(again) != 1 || again[0].Message != refused[0].Message {
		t.Fatalf("got %+v and %v on the same connection, want %q again", again, err, refused[0].Message)
	}
	b.want(t, 6, map[string]string{"c": "3"})
}

func freesGuarded(t *testing.T, b *bench) {
	b.fill(t)
	c, cp := b.join(t)
	other, _ := b.join(t)
	if _, err := other.Free(b.ctx, batch(cp, []string{"DEL", "a"})); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Free(b.ctx, batch(cp, []string{"DEL", "b"})); !errors.Is(err, sink.ErrMoved) {
		t.Fatalf("got %v, want that the checkpoint moved", err)
	}
	b.want(t, 3, map[string]string{"a": "", "b": "2"})
}

func freesWide(t *testing.T, b *bench) {
	b.fill(t)
	c, cp := b.join(t)
	wide := []string{"DEL"}
	for i := range 10_000 {
		wide = append(wide, fmt.Sprint("k", i))
	}
	if _, err := c.Free(b.ctx, batch(cp, []string{"DEL", "a"}, wide)); !errors.Is(err, sink.ErrTooWide) {
		t.Fatalf("got %v, want that it cannot be done", err)
	}
	b.want(t, 2, map[string]string{"a": "1"})
}
