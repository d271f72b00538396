package wal_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

func ExampleSet() {
	op, err := wal.Set("orders:42", "paid").ExpireAfter(time.Hour).IfAbsent().Op()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(text(op))
	// Output: SET orders:42 paid NX PX 3600000
}

func ExampleTx() {
	op, err := wal.Tx(
		wal.HSet("{42}:order", "state", "paid"),
		wal.RPush("{42}:history", "paid"),
		wal.Expire("{42}:history", 24*time.Hour),
	).Op()
	if err != nil {
		fmt.Println(err)
		return
	}
	key, _ := op.RoutingKey()
	fmt.Printf("%s: %s\n", key, text(op))
	// Output: 42: HSET {42}:order state paid; RPUSH {42}:history paid; PEXPIRE {42}:history 86400000
}

func ExampleCmd() {
	_, err := wal.Cmd("SPOP", "winners").Op()
	fmt.Println(err)
	// Output: forbidden-command: SPOP: which member goes is random, each site would lose another; choose one (SRANDMEMBER) and use SREM
}

func text(op wal.Op) string {
	var commands []string
	for _, args := range op.Commands {
		var words []string
		for _, arg := range args {
			words = append(words, string(arg))
		}
		commands = append(commands, strings.Join(words, " "))
	}
	return strings.Join(commands, "; ")
}

func TestBuilders(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_700_000_000_123)
	for want, b := range map[string]wal.Builder{
		"SET k v":                                wal.Set("k", "v"),
		"SET k v PX 1500":                        wal.Set("k", "v").ExpireAfter(1500 * time.Millisecond),
		"SET k v PX 2":                           wal.Set("k", "v").ExpireAfter(1001 * time.Microsecond),
		"SET k v PX 1":                           wal.Set("k", "v").ExpireAfter(1),
		"SET k v PXAT 1700000000123":             wal.Set("k", "v").ExpireAt(at),
		"SET k v KEEPTTL":                        wal.Set("k", "v").KeepTTL(),
		"SET k v NX":                             wal.Set("k", "v").IfAbsent(),
		"SET k v XX KEEPTTL":                     wal.Set("k", "v").IfPresent().KeepTTL(),
		"DEL k":                                  wal.Del("k"),
		"DEL {k}a {k}b":                          wal.Del("{k}a", "{k}b"),
		"UNLINK k k":                             wal.Unlink("k", "k"),
		"INCR k":                                 wal.Incr("k"),
		"INCRBY k -5":                            wal.IncrBy("k", -5),
		"APPEND k v":                             wal.Append("k", "v"),
		"HSET k f v g w":                         wal.HSet("k", "f", "v", "g", "w"),
		"HDEL k f g":                             wal.HDel("k", "f", "g"),
		"LPUSH k a b":                            wal.LPush("k", "a", "b"),
		"RPUSH k a":                              wal.RPush("k", "a"),
		"LTRIM k 0 -2":                           wal.LTrim("k", 0, -2),
		"SADD k a b":                             wal.SAdd("k", "a", "b"),
		"SREM k a":                               wal.SRem("k", "a"),
		"ZADD k 1.5 m":                           wal.ZAdd("k", 1.5, "m"),
		"ZADD k -Inf m":                          wal.ZAdd("k", math.Inf(-1), "m"),
		"ZREM k m n":                             wal.ZRem("k", "m", "n"),
		"XADD k 5-* f v g w":                     wal.XAdd("k", "5-*", "f", "v", "g", "w"),
		"PEXPIRE k 60000":                        wal.Expire("k", time.Minute),
		"PEXPIREAT k 1700000000123":              wal.ExpireAt("k", at),
		"PERSIST k":                              wal.Persist("k"),
		"RENAME {k}a {k}b":                       wal.Rename("{k}a", "{k}b"),
		"SETRANGE k 5 v":                         wal.Cmd("SETRANGE", "k", "5", "v"),
		"INCR k; PEXPIRE k 60000; DEL k; INCR k": wal.Tx(wal.Incr("k"), wal.Tx(wal.Expire("k", time.Minute), wal.Del("k")), wal.Incr("k")),
	} {
		op, err := b.Op()
		if err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		if got := text(op); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if again, err := op.Op(); err != nil || text(again) != want {
			t.Errorf("an op is a builder of itself: got %q, %v; want %q", text(again), err, want)
		}
	}
}

func TestBuildersSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		b      wal.Builder
		reason wal.Reason // empty = not a PoisonError
		want   string
	}{
		{wal.Set("k", "v").ExpireAfter(0), "", `set "k": expire after 0s: want a positive duration`},
		{wal.Set("k", "v").ExpireAfter(-time.Second), "", "want a positive duration"},
		{wal.Set("k", "v").ExpireAfter(time.Second).ExpireAt(time.Now()), "", "exclude each other"},
		{wal.Set("k", "v").ExpireAfter(time.Second).KeepTTL(), "", "exclude each other"},
		{wal.Set("k", "v").IfAbsent().IfPresent(), "", "IfAbsent and IfPresent exclude each other"},
		{wal.Set("k", "v").ExpireAt(time.Time{}), wal.ReasonInvalidExpiry, "want at least 1"},
		{wal.Expire("k", 0), "", `expire "k": expire after 0s`},
		{wal.ZAdd("k", math.NaN(), "m"), "", "not a number"},
		{wal.HSet("k", "f", "v", "g"), wal.ReasonArity, "pairs"},
		{wal.XAdd("k", "*", "f", "v"), wal.ReasonForbiddenCommand, "clock"},
		{wal.Rename("a", "b"), wal.ReasonTwoRoutingKeys, "hash tag"},
		{wal.Del("__wal:redis-writes"), wal.ReasonReservedKey, "__wal:"},
		{wal.Incr("{__wal:redis-writes}x"), wal.ReasonReservedKey, "__wal:"},
		{wal.Cmd(), wal.ReasonEmpty, "without a name"},
		{wal.Cmd("GET", "k"), wal.ReasonForbiddenCommand, "only reads"},
		{wal.Tx(), wal.ReasonEmpty, "no command"},
		{wal.Tx(wal.Incr("a"), wal.Incr("b")), wal.ReasonTwoRoutingKeys, "command 2, INCR"},
		{wal.Tx(wal.Incr("a"), wal.Expire("a", 0)), "", "op 2 of the transaction"},
		{wal.Op{}, wal.ReasonEmpty, "no command"},
		{wal.Op{Commands: [][][]byte{{}}}, wal.ReasonEmpty, "without a name"},
		{wal.Set("k", strings.Repeat("x", wal.MaxRecord)), wal.ReasonTooLarge, "split"},
	} {
		op, err := tt.b.Op()
		if err == nil {
			t.Errorf("got %q, want an error with %q", text(op), tt.want)
			continue
		}
		var p *wal.PoisonError
		var got wal.Reason
		if errors.As(err, &p) {
			got = p.Reason
		}
		if got != tt.reason || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %q with reason %q, want %q with reason %q", err, got, tt.want, tt.reason)
		}
	}
}

// A builder that is used twice must not write into what it gave before.
func TestBuildersShareNothing(t *testing.T) {
	t.Parallel()
	base := wal.Set("k", "v")
	withExpiry := base.ExpireAfter(time.Second)
	plain, _ := base.Op()
	timed, _ := withExpiry.Op()
	if got, want := text(plain)+"|"+text(timed), "SET k v|SET k v PX 1000"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	fields := make([]string, 2, 10)
	fields[0], fields[1] = "g", "w"
	first := wal.HSet("k", "f", "v", fields...)
	fields[0] = "changed"
	op, _ := first.Op()
	if got, want := text(op), "HSET k f v g w"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
