package converge

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// Each line is a barrier at which both sites looked at the key k: its origin, then the values at dc and dr (- = no such key). The verdict is what the last line
// leads to.
func TestSettle(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		epoch wal.Epoch
		seen  string
		want  string
	}{
		{"equal once is equal", wal.Epoch{}, "dc a a", "equal"},
		{"different at a barrier of one stream only: the other stream's records are under way", wal.Epoch{}, "dc a b", "open"},
		{"and at another one of the same stream", wal.Epoch{}, "dc a b, dc a b, dc a b", "open"},
		{"different at a barrier of each, and nothing has moved", wal.Epoch{}, "dc a b, dr a b", "unequal"},
		{"what was under way has arrived", wal.Epoch{}, "dc a b, dr b b", "equal"},
		{"it moves at one site", wal.Epoch{}, "dc a b, dr c b", "open"},
		{"it moves, then holds still", wal.Epoch{}, "dc a b, dr c b, dc c b", "unequal"},
		{"it never holds still", wal.Epoch{}, "dc 1 2, dr 3 4, dc 5 6, dr 7 8, dc 9 0", "open"},
		{"it goes back to what it was", wal.Epoch{}, "dc a b, dr c b, dc a b", "open"},
		{"missing", wal.Epoch{}, "dc a -, dr a -", "missing"},
		{"extra", wal.Epoch{}, "dc - a, dr - a", "extra"},
		{"the same value, another expiry", wal.Epoch{}, "dc a@600 a@1200, dr a@600 a@1200", "ttl"},
		{"the same value, one without expiry", wal.Epoch{}, "dc a@600 a, dr a@600 a", "ttl"},
		{"an expiry within the tolerance", wal.Epoch{}, "dc a@600 a@602", "equal"},
		{"an expiry beyond it", wal.Epoch{}, "dc a@600 a@603, dr a@600 a@603", "ttl"},
		{"expired at one site, just about to at the other", wal.Epoch{}, "dc a@1 -, dr a@1 -", "open"},
		{"gone at both", wal.Epoch{}, "dc a@1 -, dr - -", "equal"},
		{"one open stream: once is not enough, or a read that went wrong is a finding", wal.Epoch{Generation: 1, Site: "dc"}, "dc a b", "open"},
		{"one open stream: what moves is comparable, too", wal.Epoch{Generation: 1, Site: "dc"}, "dc 1 2, dc 3 4", "unequal"},
		{"one open stream: a barrier of the other one says nothing", wal.Epoch{Generation: 1, Site: "dc"}, "dr a b, dr a b, dr a a", "open"},
		{"somebody writes it while it is read", wal.Epoch{}, "dc ? a, dr ? a", "open"},
	}
	now := time.UnixMilli(1_000_000)
	value := func(s string) wal.Digest {
		d := wal.Digest{Key: []byte("k")}
		text, at, expires := strings.Cut(s, "@")
		switch text {
		case "-":
			return d
		case "?":
			d.Type = wal.DigestChanging
			return d
		}
		d.Type = wal.DigestString
		copy(d.Sum[:], text)
		if expires {
			var seconds int64
			_, _ = fmt.Sscan(at, &seconds)
			d.ExpireAt = now.UnixMilli() + 1000*seconds
		}
		return d
	}
	for _, tt := range tests {
		for _, swapped := range []bool{false, true} { // the sites answer in any order
			s := newSettler("dc", "dr", 2*time.Second)
			s.suspect([]byte("k"), 0)
			for i, line := range strings.Split(tt.seen, ", ") {
				f := strings.Fields(line)
				at := wal.DigestAt{Barrier: wal.AttestedBarrier{Origin: f[0], ID: fmt.Sprint(i)}, Epoch: tt.epoch}
				answers := []func(){
					func() { s.add("dc", at, []wal.Digest{value(f[1])}, now) },
					func() { s.add("dr", at, []wal.Digest{value(f[2])}, now) },
				}
				if swapped {
					answers[0], answers[1] = answers[1], answers[0]
				}
				answers[0]()
				answers[0]() // a mirror may repeat it
				answers[1]()
			}
			got := "equal"
			if len(s.open) > 0 {
				got = "open"
			}
			if len(s.findings) > 0 {
				got = string(s.findings[0].Kind)
			}
			if got != tt.want {
				t.Errorf("%s (swapped %t): %s, want %s", tt.name, swapped, got, tt.want)
			}
		}
	}
}

func TestKeyText(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"orders:42": "orders:42", "größe": "größe", "": "", "a b": "a b", "a\nb": `"a\nb"`, "\xff": `"\xff"`, `a"b`: `"a\"b"`, "\x1b[31m": `"\x1b[31m"`,
	} {
		if got := KeyText([]byte(key)); got != want {
			t.Errorf("%q: got %s, want %s", key, got, want)
		}
	}
}
