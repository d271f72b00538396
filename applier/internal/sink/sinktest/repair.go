package sinktest

import (
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// repairs: what is there is replaced, whatever its type; an expiry is absolute, and one that is over leaves nothing; a dump that this Redis cannot read is
// refused, and the batch's other commands stand.
func repairs(t *testing.T, b *bench) {
	b.create(t)
	b.Client.Set(b.ctx, "source", "right", 0)
	dump, err := b.Client.Dump(b.ctx, "source").Result()
	if err != nil {
		t.Fatal(err)
	}
	b.Client.RPush(b.ctx, "list", "wrong")
	b.Client.Set(b.ctx, "kept", "here", 0)
	at := time.Now().Add(time.Hour).UnixMilli()
	newer := []byte(dump)
	newer[len(newer)-10] = 0xff // the version: RESTORE refuses one that is higher than its own
	var ops [][]string
	for _, r := range []wal.Repair{
		{Key: []byte("list"), Dump: []byte(dump)},
		{Key: []byte("ttl"), Dump: []byte(dump), ExpireAt: at},
		{Key: []byte("over"), Dump: []byte(dump), ExpireAt: 1},
		{Key: []byte("source")},
		{Key: []byte("kept"), Dump: newer},
	} {
		var op []string
		for _, arg := range r.Op().Commands[0] {
			op = append(op, string(arg))
		}
		ops = append(ops, op)
	}
	c, cp := b.join(t)
	refused, err := b.commit(c, batch(cp, ops...))
	if err != nil {
		t.Fatal(err)
	}
	if len(refused) != 1 || refused[0].Op.Offset != 4 {
		t.Errorf("got %+v, want the dump of a newer version refused", refused)
	}
	b.want(t, 5, map[string]string{"list": "right", "ttl": "right", "over": "", "source": "", "kept": "here"})
	if got := b.Client.PExpireTime(b.ctx, "ttl").Val().Milliseconds(); got != at {
		t.Errorf("expires at %d, want %d", got, at)
	}
}
