package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
)

// leastUser is what docs/applier.md asks for, for a bootstrap, of a Redis user that is not allowed everything.
const leastUser = "~* nocommands +@connection +@transaction +info +dbsize +exists +get +set +hgetall +hset +del +restore +flushdb +sync +replconf"

// A snapshot is taken of a replica, and put in, where everybody wants certificates and passwords, and a user may no more than it needs.
func TestBootstrapOfASecureSite(t *testing.T) {
	t.Parallel()
	f := newFort(t)
	d := f.reached()
	primary, _, err := f.primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.until("replica", func(ctx context.Context) error {
		if n, err := primary.Client.Do(ctx, "WAIT", 1, 1000).Int64(); err != nil || n < 1 {
			return fmt.Errorf("%d replicas, %w", n, err)
		}
		return nil
	})
	primary.Client.Set(t.Context(), "k", "v", 0)
	f.everywhere(append([]any{"ACL", "SETUSER", "applier", "resetkeys"}, words(leastUser)...)...)
	take := func() (from reach.Taken, dump []byte, err error) {
		err = d.Snapshot(t.Context(), func(t reach.Taken) { from = t }, func(e snapshot.Entry) error { dump = bytes.Clone(e.Dump); return nil })
		return from, dump, err
	}
	from, dump, err := take()
	if err != nil || from.Primary || len(dump) == 0 {
		t.Fatalf("got %d bytes from %+v, %v; want them from the replica", len(dump), from, err)
	}
	filling, err := d.Fill(t.Context(), reach.Refill{Note: "test", Discard: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := filling.Add(t.Context(), snapshot.Entry{Key: []byte("k"), Dump: dump}); err != nil {
		t.Fatal(err)
	}
	if _, err := filling.Join(t.Context(), reach.Handover{}, nil); err == nil || !strings.Contains(err.Error(), "filled from no log") {
		t.Errorf("got %v", err)
	}
	if got := primary.Client.Get(t.Context(), "k").Val(); got != "v" {
		t.Errorf("k holds %q", got)
	}
	if err := filling.Close(); err != nil {
		t.Error(err)
	}
	primary.Client.Del(t.Context(), "__wal:redis-writes:bootstrap")
	f.everywhere("ACL", "SETUSER", "applier", "-sync")
	if _, _, err := take(); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("got %v, want it to say what the user may not do", err)
	}
}

func words(s string) (out []any) {
	for _, w := range strings.Fields(s) {
		out = append(out, w)
	}
	return out
}
