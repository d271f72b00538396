package reachtest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
)

func produces(t *testing.T, b *bench) {
	value := wal.Op{Commands: [][][]byte{{[]byte("SET"), []byte("{o}:\xff"), []byte("v"), []byte("EX"), []byte("60")}}}.AppendRESP(nil)
	for i, d := range []reach.Data{
		{Key: []byte("o"), Value: value, Producer: "walctl-x", Seq: 1},
		{Key: []byte("o"), Producer: "walctl-x", Seq: 2}, // a null value
		{Key: []byte("o"), Value: []byte(`{"cmd":["INCR","o"]}`), ContentType: wal.ContentTypeJSON, Producer: "walctl-y", Seq: 1},
	} {
		before := time.Now().UnixMilli()
		at, err := b.Produce(b.ctx, d)
		if err != nil || at.Partition != wal.Partition([]byte("o"), partitions) || at.Offset != int64(i) || at.Time < before {
			t.Fatalf("got %+v, %v", at, err)
		}
		r := b.all(t, at.Partition)[i]
		e, err := r.Envelope()
		if err != nil || e.Origin != wal.Local || string(e.Producer) != d.Producer || e.Sequence != d.Seq || string(e.ContentType) != d.ContentType || e.Control != nil {
			t.Errorf("got %+v, %v", e, err)
		}
		if string(r.Key) != "o" || string(r.Value) != string(d.Value) || (r.Value == nil) != (d.Value == nil) || r.Timestamp != at.Time {
			t.Errorf("got %+v, want what was asked for", r)
		}
	}
}

func producesNoPoison(t *testing.T, b *bench) {
	set := wal.Op{Commands: [][][]byte{{[]byte("SET"), []byte("k"), []byte("v")}}}.AppendRESP(nil)
	for _, tt := range []struct {
		name string
		d    reach.Data
		want wal.Reason
	}{
		{"another key", reach.Data{Key: []byte("l"), Value: set, Producer: "p"}, wal.ReasonKeyMismatch},
		{"no op", reach.Data{Key: []byte("k"), Value: []byte{}, Producer: "p"}, wal.ReasonEmpty},
		{"no producer", reach.Data{Key: []byte("k"), Value: set}, wal.ReasonBadHeader},
		{"a type that nobody knows", reach.Data{Key: []byte("k"), Value: set, Producer: "p", ContentType: "text/plain"}, wal.ReasonBadHeader},
		{"the appliers' key", reach.Data{Key: []byte("__wal:x"), Producer: "p"}, wal.ReasonReservedKey},
		{"no key", reach.Data{Producer: "p"}, wal.ReasonNullKey},
	} {
		_, err := b.Produce(b.ctx, tt.d)
		if err == nil || !strings.Contains(err.Error(), string(tt.want)+":") || !strings.Contains(err.Error(), "at dc") {
			t.Errorf("%s: got %v, want %s, and the site", tt.name, err, tt.want)
		}
	}
	for p := range int32(partitions) {
		if all := b.all(t, p); len(all) != 0 {
			t.Errorf("got %d records, want none", len(all))
		}
	}
}

// ask asks in words.
func (b *bench) ask(ctx context.Context, rights reach.Rights, words ...string) (reach.Replied, error) {
	q := reach.Question{Rights: rights}
	for _, w := range words {
		q.Args = append(q.Args, []byte(w))
	}
	return b.Ask(ctx, q)
}

// reader makes the user of applications, as the program declares it.
func (b *bench) reader(t *testing.T) {
	t.Helper()
	rule := []any{"ACL", "SETUSER", reach.ReaderUser, "on", ">secret", "~*", "&*", "+@read", "+@connection", "-@dangerous", "+info", "+role", "-pfcount"}
	if err := b.redis.Client.Do(b.ctx, rule...).Err(); err != nil {
		t.Fatal(err)
	}
}

func asksAsReader(t *testing.T, b *bench) {
	if _, err := b.ask(b.ctx, reach.AsReader, "GET", "k"); !errors.Is(err, reach.ErrForbidden) || !strings.Contains(err.Error(), "no user reader") {
		t.Errorf("got %v, want that there is no reader by whose rights to judge", err)
	}
	b.reader(t)
	if err := b.redis.Client.Set(b.ctx, "k", "\xff\r\n", 0).Err(); err != nil {
		t.Fatal(err)
	}
	got, err := b.ask(b.ctx, reach.AsReader, "GET", "k")
	if err != nil || got.Primary != b.addr || got.Answer.Kind != reach.KindString || string(got.Answer.Text) != "\xff\r\n" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err = b.ask(b.ctx, reach.AsReader, "get", "none"); err != nil || got.Answer.Kind != reach.KindNil {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err = b.ask(b.ctx, reach.AsReader, "MGET", "k", "none"); err != nil || len(got.Answer.Items) != 2 || got.Answer.Items[1].Kind != reach.KindNil {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err = b.ask(b.ctx, reach.AsReader, "STRLEN", "k"); err != nil || got.Answer.Int != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err = b.ask(b.ctx, reach.AsReader, "HGETALL", "k"); err != nil || got.Answer.Kind != reach.KindError || !strings.HasPrefix(string(got.Answer.Text), "WRONGTYPE") {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, words := range [][]string{
		{"SET", "k", "v"},
		{"DEL", "k"},
		{"FLUSHALL"},
		{"KEYS", "*"},
		{"CONFIG", "GET", "*"},
		{"EVAL", "return 1", "0"},
		{"EVAL_RO", "return 1", "0"},
		{"SORT", "k", "STORE", "l"},
		{"CLIENT", "KILL", "TYPE", "normal"},
		{"ACL", "WHOAMI"},
		{"PFCOUNT", "k"},
		{"SHUTDOWN"},
		{"NONSENSE"},
		{"GETEX", "k", "PERSIST"},
		{"AUTH", "x"},
		{"MULTI"},
		{"SUBSCRIBE", "c"},
		{"client", "reply", "off"},
		{"MONITOR"},
		{"GET"},
		{},
	} {
		if got, err := b.ask(b.ctx, reach.AsReader, words...); !errors.Is(err, reach.ErrForbidden) {
			t.Errorf("%v: got %+v, %v", words, got, err)
		}
	}
	if v, err := b.redis.Client.Get(b.ctx, "k").Result(); err != nil || v != "\xff\r\n" {
		t.Errorf("got %q, %v: something was written", v, err)
	}
	if err := b.redis.Client.Set(b.ctx, "large", strings.Repeat("x", 4<<20), 0).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ask(b.ctx, reach.AsReader, "GET", "large"); !errors.Is(err, reach.ErrForbidden) || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %.100v", err)
	}
}

func asksAsAdmin(t *testing.T, b *bench) {
	got, err := b.ask(b.ctx, reach.AsAdmin, "CONFIG", "GET", "maxmemory")
	if err != nil || len(got.Answer.Items) != 2 || string(got.Answer.Items[1].Text) != "0" {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, words := range [][]string{{"CLIENT", "LIST"}, {"SLOWLOG", "GET"}, {"DBSIZE"}, {"KEYS", "*"}, {"MEMORY", "USAGE", "k"}, {"XINFO", "STREAM", "s"}, {"NONSENSE"}, {"EVAL_RO", "return 1", "0"}, {"SCRIPT", "EXISTS", "x"}, {"PUBLISH", "c", "m"}} {
		if _, err := b.ask(b.ctx, reach.AsAdmin, words...); err != nil {
			t.Errorf("%v: got %v", words, err)
		}
	}
	for _, words := range [][]string{
		{"SET", "k", "v"},
		{"flushall"},
		{"EVAL", "return redis.call('set','k','v')", "0"},
		{"XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"},
		{"FUNCTION", "FLUSH"},
		{"REPLICAOF", "NO", "ONE"},
		{"DEBUG", "RELOAD"},
		{"GETDEL", "k"},
		{"MULTI"},
		{"RESTORE", "k", "0", "x"},
		{"PFCOUNT", "k"},
		{"EVALSHA", "x", "0"},
		{"FCALL", "f", "0"},
		{"SWAPDB", "0", "1"},
		{"MIGRATE", "h", "1", "k", "0", "1"},
	} {
		if got, err := b.ask(b.ctx, reach.AsAdmin, words...); !errors.Is(err, reach.ErrForbidden) {
			t.Errorf("%v: got %+v, %v", words, got, err)
		}
	}
	if n, err := b.redis.Client.DBSize(b.ctx).Result(); err != nil || n != 0 {
		t.Errorf("got %d keys, %v", n, err)
	}
	got, err = b.ask(b.ctx, reach.BypassLog, "SET", "k", "v")
	if err != nil || got.Answer.Kind != reach.KindStatus || string(got.Answer.Text) != "OK" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := b.ask(b.ctx, "more", "GET", "k"); !errors.Is(err, reach.ErrForbidden) {
		t.Errorf("got %v for rights that nobody knows", err)
	}
}

func asksInVain(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := b.ask(ctx, reach.AsAdmin, "XREAD", "BLOCK", "0", "STREAMS", "s", "$")
		ended <- err
	}()
	b.until(t, func() error { // it is asked
		all, err := b.redis.Client.ClientList(b.ctx).Result()
		if err == nil && !strings.Contains(all, "cmd=xread") {
			err = errors.New(all)
		}
		return err
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
