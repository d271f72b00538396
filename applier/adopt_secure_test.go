package main

import (
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
)

// leastAdopter is what docs/applier.md asks for, for an adoption in place, of a Redis user that is not allowed everything.
const leastAdopter = "~* nocommands +@connection +@transaction +info +dbsize +exists +get +hgetall +hlen +hset +scan +command +client|list +module|list +function|list"

// A Redis behind certificates and passwords is adopted by a user who may no more than it needs.
func TestAdoptOfASecureSite(t *testing.T) {
	t.Parallel()
	f := newFort(t)
	d := f.reached()
	primary, _, err := f.primary(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	primary.Client.Set(t.Context(), "k", "v", 0)
	f.everywhere(append([]any{"ACL", "SETUSER", "applier", "resetkeys"}, words(leastAdopter)...)...)
	at, err := d.Adoptable(t.Context())
	if err != nil || at.Keys < 1 || at.Begun {
		t.Fatalf("got %+v, %v", at, err)
	}
	w, err := d.Writes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Adopt(t.Context(), reach.Adoption{Seed: "s", TopicID: wal.TopicID{1}, Writes: w}); err != nil {
		t.Fatal(err)
	}
	if at, err = d.Adoptable(t.Context()); err != nil || !at.Begun || at.Checkpoints[0] == nil || at.Checkpoints[0].Seed != "s" {
		t.Errorf("got %+v, %v", at, err)
	}
	f.everywhere("ACL", "SETUSER", "applier", "-client|list")
	if _, err := d.Adoptable(t.Context()); err == nil || !strings.Contains(err.Error(), "NOPERM") {
		t.Errorf("got %v, want it to say what the user may not do", err)
	}
}
