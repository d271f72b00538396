package reachtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Run runs the suite. Open reaches the site of which it is given the environment; the suite closes it.
func Run(t *testing.T, open func(t *testing.T, lookup config.Lookup) reach.Site) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"identity", identity},
		{"records are appended in order and signed", appends},
		{"appends at once keep the order of sequences", appendsAtOnce},
		{"what appliers would call poison is not appended", appendsNoPoison},
		{"a large replay", appendsLarge},
		{"follow from a time, repeatedly", follows},
		{"follow an empty topic", followsEmpty},
		{"caught although the last offsets are markers", catchesMarkers},
		{"follow ends with an error of each", followEndsByEach},
		{"cancel in the middle of follow", followCancelled},
		{"append in the middle of follow", appendsWhileFollowing},
		{"records are as they were appended", records},
		{"records across aborted transactions", recordsAcrossAborted},
		{"offsets that are not there", recordsMissing},
		{"copies without repeats", copies},
		{"copies and what became of them", marks},
		{"ends", ends},
		{"a check that nobody answers", checks},
		{"redis and its checkpoints", redisState},
		{"values", values},
		{"a Redis that can be adopted", adoptable},
		{"who writes", writes},
		{"adopt", adopts},
		{"checkpoints", checkpoints},
		{"a tail", tail},
		{"observations", observations},
		{"a snapshot, and what is filled from it", fills},
		{"a fill is refused, overrun, begun anew", fillsAnew},
		{"a snapshot of a replica", takesFromReplica},
		{"an op is produced", produces},
		{"what appliers would call poison is not produced", producesNoPoison},
		{"commands with the reader's rights", asksAsReader},
		{"commands with the appliers' rights", asksAsAdmin},
		{"a command that is given up", asksInVain},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			b := &bench{site: s, Site: open(t, s.lookup)}
			t.Cleanup(func() { _ = b.Close() })
			tt.run(t, b)
		})
	}
}

type bench struct {
	*site
	reach.Site
}

func identity(t *testing.T, b *bench) {
	if got, want := b.Identity(), (writer.Identity{Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: log, Partitions: partitions}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// all are the records of a partition.
func (b *bench) all(t *testing.T, partition int32) []wal.Record {
	t.Helper()
	e, err := b.Ends(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var out []wal.Record
	if err := b.Records(b.ctx, partition, e.Start[partition], e.End[partition], func(r wal.Record) error {
		out = append(out, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// control verifies a control record.
func (b *bench) control(t *testing.T, r wal.Record) (wal.Envelope, *wal.Control) {
	t.Helper()
	e, err := r.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.signer.Control(&r, &e)
	if err != nil {
		t.Fatal(err)
	}
	if e.Origin != wal.Local {
		t.Errorf("offset %d: got %s, want a record that was first appended here", r.Offset, e.Origin)
	}
	return e, c
}

func appends(t *testing.T, b *bench) {
	epoch := wal.Epoch{Generation: 1, Site: "dc"}
	controls := []writer.Control{
		{Partition: 1, Seal: &wal.Seal{ID: "s"}},
		{Partition: 0, Barrier: &wal.Barrier{ID: "b", Number: 1, Partitions: partitions}},
		{Partition: 1, Activate: &wal.Activate{ID: "a", Epoch: epoch, Reason: "test"}},
		{Partition: 1, Resolve: &wal.Resolve{ID: "r", Activate: "a", Producer: "p", Seq: 3}},
		{Partition: 1, Replay: &wal.Replay{ID: "p", Activate: "a", Key: []byte{0xff}, Level: 1, ContentType: wal.ContentTypeRESP}, Producer: "replay:x:1", Seq: 77},
		{Partition: 1, Barrier: &wal.Barrier{ID: "b", Number: 1, Partitions: partitions}},
		{Partition: 2, Seed: &wal.Seed{ID: "d", Site: "dc", Keys: 7}, Producer: "adopt:d", Seq: 1},
	}
	offsets, err := b.Append(b.ctx, controls)
	if want := []int64{0, 0, 1, 2, 3, 4, 0}; err != nil || !slices.Equal(offsets, want) {
		t.Fatalf("got %v, %v, want %v", offsets, err, want)
	}
	if _, err := b.Append(b.ctx, controls[:1]); err != nil {
		t.Fatal(err)
	}
	if e, c := b.control(t, b.all(t, 2)[0]); c.Seed == nil || *c.Seed != (wal.Seed{ID: "d", Site: "dc", Keys: 7}) || string(e.Producer) != "adopt:d" {
		t.Errorf("got %+v of %s, want the seed that was appended", c.Seed, e.Producer)
	}
	var types []wal.ControlType
	var last wal.Envelope
	for _, r := range b.all(t, 1) {
		e, c := b.control(t, r)
		types = append(types, c.Type)
		switch {
		case c.Type == wal.TypeReplay:
			if string(e.Producer) != "replay:x:1" || e.Sequence != 77 || c.Replay.Key[0] != 0xff || c.Replay.Value != nil {
				t.Errorf("got %s %d, %+v; want what was asked for", e.Producer, e.Sequence, c.Replay)
			}
			continue
		case last.Producer == nil:
			if !strings.HasPrefix(string(e.Producer), "walctl/dc/") || e.Sequence != 1 {
				t.Errorf("got %s %d, want the first of this process", e.Producer, e.Sequence)
			}
		case string(e.Producer) != string(last.Producer) || e.Sequence != last.Sequence+1:
			t.Errorf("got %s %d after %s %d", e.Producer, e.Sequence, last.Producer, last.Sequence)
		}
		last = e
	}
	if want := []wal.ControlType{wal.TypeSeal, wal.TypeActivate, wal.TypeResolve, wal.TypeReplay, wal.TypeBarrier, wal.TypeSeal}; !slices.Equal(types, want) {
		t.Errorf("got %v, want %v", types, want)
	}
}

func appendsAtOnce(t *testing.T, b *bench) {
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range each {
				offsets, err := b.Append(b.ctx, []writer.Control{{Seal: &wal.Seal{ID: fmt.Sprint(i, "a")}}, {Seal: &wal.Seal{ID: fmt.Sprint(i, "b")}}})
				if err != nil || offsets[1] <= offsets[0] {
					t.Errorf("got %v, %v", offsets, err)
				}
			}
		})
	}
	wg.Wait()
	for i, r := range b.all(t, 0) {
		if e, _ := b.control(t, r); e.Sequence != int64(i+1) {
			t.Fatalf("got sequence %d at offset %d", e.Sequence, r.Offset)
		}
	}
	if e, err := b.Ends(b.ctx); err != nil || e.End[0] != 2*writers*each {
		t.Errorf("got %+v, %v", e, err)
	}
}

func appendsNoPoison(t *testing.T, b *bench) {
	good := writer.Control{Seal: &wal.Seal{ID: "s"}}
	for _, tt := range []struct {
		name string
		c    writer.Control
		want string
	}{
		{"no payload", writer.Control{}, "0 payloads"},
		{"two payloads", writer.Control{Seal: good.Seal, Barrier: &wal.Barrier{ID: "b", Number: 1, Partitions: 1}}, "2 payloads"},
		{"a partition that is not there", writer.Control{Partition: 3, Seal: good.Seal}, "there are 3 partitions"},
		{"a payload that is not complete", writer.Control{Seal: &wal.Seal{}}, "id has 0 bytes"},
		{"a producer that is too long", writer.Control{Seal: good.Seal, Producer: strings.Repeat("x", 65)}, "65 bytes"},
	} {
		_, err := b.Append(b.ctx, []writer.Control{good, tt.c})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "at dc") {
			t.Errorf("%s: got %v, want %q, and the site", tt.name, err, tt.want)
		}
	}
	if all := b.all(t, 0); len(all) != 0 {
		t.Errorf("got %d records, want none", len(all))
	}
}

func appendsLarge(t *testing.T, b *bench) {
	// As large as a broker with default settings takes it; base64 twice, on its way.
	large := []byte(strings.Repeat("\xff\x00", 350<<10))
	if _, err := b.Append(b.ctx, []writer.Control{{Replay: &wal.Replay{ID: "p", Activate: "a", Key: []byte("k"), Value: large, Level: 1}}}); err != nil {
		t.Fatal(err)
	}
	all := b.all(t, 0)
	if len(all) != 1 {
		t.Fatalf("got %d records", len(all))
	}
	if _, c := b.control(t, all[0]); string(c.Replay.Value) != string(large) {
		t.Errorf("got %d bytes, want %d", len(c.Replay.Value), len(large))
	}
}

var errEnough = errors.New("the test has seen enough")

// followed are what Follow has handed on by the time it is caught, as site/offset.
func (b *bench) followed(t *testing.T, since time.Time) []string {
	t.Helper()
	ctx, cancel := context.WithCancelCause(b.ctx)
	defer cancel(nil)
	var got []string
	caught := 0
	err := b.Follow(ctx, since, func(a wal.Attestation) error {
		got = append(got, fmt.Sprintf("%s/%d", a.Site, a.Offset))
		return nil
	}, func() {
		caught++
		cancel(errEnough)
	})
	if !errors.Is(err, errEnough) || caught != 1 {
		t.Fatalf("got %v, caught %d times", err, caught)
	}
	return got
}

func follows(t *testing.T, b *bench) {
	digest := attestation(t, "dc", 0, 9, time.UnixMilli(2500))
	digest.Headers = append(digest.Headers, kgo.RecordHeader{Key: wal.HeaderDigest, Value: []byte(wal.DigestAnswer)})
	unreadable := &kgo.Record{Topic: wal.AttestTopic(log), Value: []byte("{"), Timestamp: time.UnixMilli(2600)}
	b.produce(t, attestation(t, "dc", 0, 1, time.UnixMilli(1000)), attestation(t, "dr", 0, 2, time.UnixMilli(2000)), digest, unreadable, attestation(t, "dc", 1, 3, time.UnixMilli(3000)))
	for range 2 {
		if got, want := b.followed(t, time.UnixMilli(2000)), []string{"dr/2", "dc/3"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	if got := b.followed(t, time.Time{}); len(got) != 3 {
		t.Errorf("got %v from the beginning, want three", got)
	}
	if got := b.followed(t, time.UnixMilli(4000)); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
	// Whole, as it was published.
	err := b.Follow(b.ctx, time.UnixMilli(3000), func(a wal.Attestation) error {
		if a.Streams["dc"].N != 5 || a.Epoch != (wal.Epoch{Generation: 1, Site: "dc"}) || a.Partition != 1 || a.Time != 3000 {
			t.Errorf("got %+v", a)
		}
		return errEnough
	}, func() {})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

func followsEmpty(t *testing.T, b *bench) {
	var events []string
	err := b.Follow(b.ctx, time.Now(), func(wal.Attestation) error {
		events = append(events, "attestation")
		return errEnough
	}, func() {
		events = append(events, "caught")
		b.produce(t, attestation(t, "dc", 0, 1, time.Now()))
	})
	if want := []string{"caught", "attestation"}; !errors.Is(err, errEnough) || !slices.Equal(events, want) {
		t.Errorf("got %v, %v, want %v", events, err, want)
	}
}

func catchesMarkers(t *testing.T, b *bench) {
	b.produce(t, attestation(t, "dc", 0, 1, time.UnixMilli(1000)))
	b.transaction(t, kgo.TryCommit, attestation(t, "dr", 0, 2, time.UnixMilli(2000)))
	b.transaction(t, kgo.TryAbort, attestation(t, "dr", 0, 3, time.UnixMilli(3000)), attestation(t, "dr", 0, 4, time.UnixMilli(3000)))
	if got, want := b.followed(t, time.Time{}), []string{"dc/1", "dr/2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := b.followed(t, time.UnixMilli(2500)); len(got) != 0 {
		t.Errorf("got %v of an aborted transaction", got)
	}
	// Caught once only, however much comes after.
	caught, n := 0, 0
	err := b.Follow(b.ctx, time.Time{}, func(wal.Attestation) error {
		if n++; n == 4 {
			return errEnough
		}
		return nil
	}, func() {
		caught++
		b.produce(t, attestation(t, "dc", 0, 5, time.UnixMilli(4000)), attestation(t, "dc", 0, 6, time.UnixMilli(4000)))
	})
	if !errors.Is(err, errEnough) || caught != 1 {
		t.Errorf("got %v, caught %d times", err, caught)
	}
}

func followEndsByEach(t *testing.T, b *bench) {
	b.produce(t, attestation(t, "dc", 0, 1, time.UnixMilli(1000)), attestation(t, "dc", 0, 2, time.UnixMilli(1000)))
	n := 0
	err := b.Follow(b.ctx, time.Time{}, func(wal.Attestation) error { n++; return errEnough }, func() { t.Error("caught after the end") })
	if !errors.Is(err, errEnough) || n != 1 {
		t.Errorf("got %v after %d", err, n)
	}
}

func followCancelled(t *testing.T, b *bench) {
	b.produce(t, attestation(t, "dc", 0, 1, time.UnixMilli(1000)), attestation(t, "dc", 0, 2, time.UnixMilli(1000)))
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	err := b.Follow(ctx, time.Time{}, func(wal.Attestation) error { cancel(); return nil }, func() {})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := b.followed(t, time.Time{}); len(got) != 2 { // the site is as it was
		t.Errorf("got %v", got)
	}
	if err := b.Records(ctx, 0, 0, 1, func(wal.Record) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("records: got %v", err)
	}
	if _, err := b.Append(ctx, []writer.Control{{Seal: &wal.Seal{ID: "s"}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("append: got %v", err)
	}
}

func appendsWhileFollowing(t *testing.T, b *bench) {
	b.produce(t, attestation(t, "dc", 0, 1, time.UnixMilli(1000)))
	err := b.Follow(b.ctx, time.Time{}, func(wal.Attestation) error {
		offsets, err := b.Append(b.ctx, []writer.Control{{Seal: &wal.Seal{ID: "s"}}})
		if err != nil || len(offsets) != 1 {
			t.Errorf("got %v, %v", offsets, err)
		}
		return errEnough
	}, func() {})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

func records(t *testing.T, b *bench) {
	var want []wal.Record
	for i, r := range []wal.Record{
		{Key: []byte("k"), Value: []byte("v"), Headers: []wal.Header{{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderLocal, Value: nil}}},
		{Key: []byte{}, Value: nil},
		{Key: nil, Value: []byte{}, Headers: []wal.Header{{Key: "\xff\x00", Value: []byte{0xfe}}, {Key: "", Value: []byte{}}}},
		{Key: []byte{0xff, 0}, Value: []byte(strings.Repeat("\xff", 900<<10))},
	} {
		r.Partition, r.Offset, r.Timestamp = 2, int64(i), int64(1000+i)
		want = append(want, r)
		b.produce(t, toKafka(log, r))
	}
	got := b.all(t, 2)
	if len(got) != len(want) {
		t.Fatalf("got %d records, want %d", len(got), len(want))
	}
	for i := range want {
		got[i].LeaderEpoch = 0
		if fmt.Sprintf("%q", got[i].Value[:min(9, len(got[i].Value))]) != fmt.Sprintf("%q", want[i].Value[:min(9, len(want[i].Value))]) || !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("offset %d: got %.200v\nwant %.200v", i, fmt.Sprintf("%#v", got[i]), fmt.Sprintf("%#v", want[i]))
		}
	}
	n := 0
	if err := b.Records(b.ctx, 2, 1, 3, func(r wal.Record) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("got %d records from 1 to 3, %v", n, err)
	}
	if err := b.Records(b.ctx, 2, 0, 4, func(wal.Record) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Errorf("got %v, want the error of each", err)
	}
	if err := b.Records(b.ctx, 2, 4, 4, func(wal.Record) error { return errEnough }); err != nil {
		t.Errorf("got %v for no records", err)
	}
}

func recordsAcrossAborted(t *testing.T, b *bench) {
	r := func(value string) *kgo.Record {
		return &kgo.Record{Topic: log, Partition: 1, Value: []byte(value)}
	}
	b.produce(t, r("a"))                             // 0
	b.transaction(t, kgo.TryAbort, r("x"), r("y"))   // 1, 2, marker 3
	b.transaction(t, kgo.TryCommit, r("b"))          // 4, marker 5
	b.transaction(t, kgo.TryAbort, r("z"), r("end")) // 6, 7, marker 8
	for _, tt := range []struct {
		from, to int64
		want     string
	}{{0, 9, "0=a 4=b"}, {0, 3, "0=a"}, {1, 3, ""}, {1, 4, ""}, {4, 6, "4=b"}, {6, 8, ""}, {6, 9, ""}, {8, 9, ""}} {
		var got []string
		if err := b.Records(b.ctx, 1, tt.from, tt.to, func(r wal.Record) error {
			got = append(got, fmt.Sprintf("%d=%s", r.Offset, r.Value))
			if (r.Offset == 4) != r.Transactional || r.Marker {
				t.Errorf("got %+v", r)
			}
			return nil
		}); err != nil || strings.Join(got, " ") != tt.want {
			t.Errorf("from %d to %d: got %v, %v, want %s", tt.from, tt.to, got, err, tt.want)
		}
	}
	// What comes first after the range may be a record: that of another producer, in the middle of the transaction.
	c := b.open(t, kgo.TransactionalID(t.Name()+"-slow"))
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(b.ctx, r("x")).FirstErr(); err != nil { // 9
		t.Fatal(err)
	}
	b.produce(t, r("c")) // 10
	if err := c.EndTransaction(b.ctx, kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	if err := b.Records(b.ctx, 1, 9, 10, func(r wal.Record) error {
		t.Errorf("got offset %d", r.Offset)
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func recordsMissing(t *testing.T, b *bench) {
	for i := range 3 {
		b.produce(t, &kgo.Record{Topic: log, Value: []byte(strconv.Itoa(i))})
	}
	b.truncate(t, 2)
	for _, tt := range []struct {
		partition int32
		from, to  int64
		want      string
	}{{0, 1, 3, "begins at 2"}, {0, 2, 4, "ends at 3"}, {3, 0, 1, "no partition 3"}} {
		err := b.Records(b.ctx, tt.partition, tt.from, tt.to, func(wal.Record) error { return nil })
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "at dc") {
			t.Errorf("got %v, want %q and the site", err, tt.want)
		}
	}
}

func copies(t *testing.T, b *bench) {
	id := wal.TopicID{1, 2}
	own := []wal.Header{{Key: wal.HeaderCopySite, Value: []byte("forged")}, {Key: "h", Value: []byte{0xff}}}
	fenced := func(partition int32, offset int64, by string) *kgo.Record {
		r := wal.Record{Partition: partition, Offset: offset, Timestamp: offset, Key: []byte("k"), Value: []byte{0xff, byte(offset)}, Headers: own}
		return toKafka(wal.FencedTopic(log), r.Copy(by, log, id, "dr", wal.ClassFenced, "fenced", "detail"))
	}
	b.produce(t, fenced(0, 5, "dc"), fenced(0, 6, "dc"), fenced(0, 5, "dc"), fenced(2, 5, "dc"))
	b.produce(t, &kgo.Record{Topic: wal.FencedTopic(log), Partition: 0, Value: []byte("of nobody")})
	refused := wal.Record{Partition: 1, Offset: 5, Key: []byte("k")}
	unconfirmed := wal.Unconfirmed("dc", log, id, 1, 5, 9, 1)
	b.produce(t, toKafka(wal.DLQTopic(log), refused.Copy("dc", log, id, "dc", wal.ClassRefused, "WRONGTYPE", "")), toKafka(wal.DLQTopic(log), unconfirmed),
		toKafka(wal.DLQTopic(log), unconfirmed))
	b.transaction(t, kgo.TryAbort, &kgo.Record{Topic: wal.DLQTopic(log), Partition: 1, Value: []byte("aborted")})
	list := func(l writer.List) (out []writer.Copy) {
		if err := b.Copies(b.ctx, l, func(c writer.Copy) error { out = append(out, c); return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	var got []string
	for _, c := range list(writer.Fenced) {
		got = append(got, fmt.Sprintf("%d/%d", c.Partition, c.Offset))
		if !reflect.DeepEqual(c.Headers, own) || c.Value[0] != 0xff || c.Timestamp != c.Offset || c.TopicID != id || c.Site != "dc" || c.Origin != "dr" || c.Class != wal.ClassFenced {
			t.Errorf("got %+v", c)
		}
	}
	if want := "0/5 0/6 2/5"; strings.Join(got, " ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if dlq := list(writer.DLQ); len(dlq) != 2 || dlq[0].Reason != "WRONGTYPE" || dlq[1].End != 9 {
		t.Errorf("got %+v, want one that was refused, and one range", dlq)
	}
	if err := b.Copies(b.ctx, "shelf", func(writer.Copy) error { return nil }); err == nil || !strings.Contains(err.Error(), `"shelf" is no list`) {
		t.Errorf("got %v", err)
	}
}

func ends(t *testing.T, b *bench) {
	for i := range 3 {
		b.produce(t, &kgo.Record{Topic: log, Partition: 1, Value: []byte(strconv.Itoa(i))})
	}
	b.transaction(t, kgo.TryAbort, &kgo.Record{Topic: log, Partition: 2})
	topics, err := b.admin.ListTopics(b.ctx, log)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Ends(b.ctx)
	if want := (writer.Ends{TopicID: wal.TopicID(topics[log].ID), Start: []int64{0, 0, 0}, End: []int64{0, 3, 2}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	// What is not committed yet is not there yet.
	c := b.open(t, kgo.TransactionalID(t.Name()+"-open"))
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(b.ctx, &kgo.Record{Topic: log, Partition: 1}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Ends(b.ctx); err != nil || got.End[1] != 3 {
		t.Errorf("got %+v, %v, want the end at 3", got, err)
	}
	if err := c.EndTransaction(b.ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

func checks(t *testing.T, b *bench) {
	r, err := b.Check(b.ctx, 300*time.Millisecond)
	if err != nil || r.Exit != 2 || r.Site != "dc" || r.Policy != "require" || !slices.Contains(r.Missing, "dc") || len(r.Streams) != 2*partitions {
		t.Errorf("got %+v, %v, want that dc says nothing", r, err)
	}
	for p := range int32(partitions) {
		if _, c := b.control(t, b.all(t, p)[0]); c.Type != wal.TypeBarrier {
			t.Errorf("partition %d: got %s", p, c.Type)
		}
	}
}
