package bootstrap_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/bootstrap"
	"github.com/comptech-lab/redis-wal/wal"
)

var sites = wal.Sites{Self: "dr", Peer: "dc"}

func signer() *wal.Signer {
	s, err := wal.NewSigner("redis-writes", []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		panic(err)
	}
	return s
}

// fakeLog is one partition; what is in later comes when its end was asked for twice.
type fakeLog struct {
	mu    sync.Mutex
	start int64
	log   []wal.Record
	later []wal.Record
	asked int
	read  int
}

func (f *fakeLog) put(local bool, r wal.Record) *fakeLog {
	f.log = append(f.log, f.at(local, r, len(f.log)))
	return f
}

func (f *fakeLog) at(local bool, r wal.Record, offset int) wal.Record {
	r.Offset = int64(offset)
	var kept []wal.Header
	for _, h := range r.Headers {
		if local || h.Key != wal.HeaderLocal {
			kept = append(kept, h)
		}
	}
	r.Headers = kept
	return r
}

func barrier(id string, number uint64) wal.Record {
	value, err := json.Marshal(wal.Barrier{ID: id, Number: number, Partitions: 1})
	if err != nil {
		panic(err)
	}
	return wal.Record{Value: value, Headers: append(signer().Headers(0, wal.TypeBarrier, value),
		wal.Header{Key: wal.HeaderProducer, Value: []byte(id)}, wal.Header{Key: wal.HeaderSeq, Value: []byte("1")})}
}

func data(seq int) wal.Record {
	return wal.Record{Key: []byte("x"), Value: []byte("*2\r\n$4\r\nINCR\r\n$1\r\nx\r\n"), Headers: []wal.Header{
		{Key: wal.HeaderLevel, Value: []byte("1")},
		{Key: wal.HeaderLocal, Value: []byte("1")},
		{Key: wal.HeaderProducer, Value: []byte("app")},
		{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, int64(seq), 10)},
	}}
}

func (f *fakeLog) Log() bootstrap.Log {
	return bootstrap.Log{
		Sites: sites, Name: "redis-writes", Partitions: 1, Signer: signer(),
		Ends: func(context.Context) (wal.TopicID, []int64, []int64, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.asked++; f.asked > 2 {
				for _, r := range f.later {
					f.put(false, r)
				}
				f.later = nil
			}
			return wal.TopicID{2}, []int64{f.start}, []int64{int64(len(f.log))}, nil
		},
		Records: func(_ context.Context, _ int32, from, to int64, each func(wal.Record) error) error {
			if from < f.start {
				return errors.New("deleted by retention")
			}
			for _, r := range f.log[min(from, to):to] {
				f.read++
				if err := each(r); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// source is a peer that has met b1 of dr and b2 of dc, and then records of its own.
func source(begin int64, after ...wal.Record) bootstrap.Source {
	at := wal.Checkpoint{Position: wal.Position{Next: 90, TopicID: wal.TopicID{1}, Epoch: wal.Epoch{Minor: 1, Site: "dc"}, Activate: "a", Activated: 7}}
	at.Barriers = [2]wal.Ring{wal.Local: {{ID: "b1", Number: 1}}, wal.Mirrored: {{ID: "b2", Number: 2}}}
	from := wal.Sites{Self: "dc", Peer: "dr"}
	s := bootstrap.Source{Begin: []int64{begin}, Producers: []map[string]wal.Producer{{}}, Attested: []wal.Attestation{
		at.Attest(from, 0, wal.Mirrored, &wal.Barrier{ID: "b1", Number: 1}), at.Attest(from, 0, wal.Local, &wal.Barrier{ID: "b2", Number: 2}),
	}}
	var chain wal.Chain
	for _, r := range after {
		e, err := r.Envelope()
		if err != nil {
			panic(err)
		}
		dc := &at.Streams[wal.Mirrored]
		dc.N++
		dc.H = chain.Next(dc.H, &r, &e)
	}
	s.Checkpoints = []wal.Checkpoint{at}
	return s
}

func join(t *testing.T, f *fakeLog, s bootstrap.Source) (bootstrap.Point, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return bootstrap.Join(ctx, f.Log(), s)
}

func TestJoin(t *testing.T) {
	t.Parallel()
	f := new(fakeLog).put(false, data(1)).put(false, barrier("b2", 2)).put(false, data(2)).put(true, barrier("b1", 1)).put(false, data(3)).put(false, data(4))
	s := source(3, data(2), data(3))
	s.Attested = append(s.Attested, wal.Attestation{Site: "dr", TopicID: wal.TopicID{2}, Offset: 17, Fence: &wal.AttestedFence{Type: wal.TypeActivate, ID: "a", Counted: true}})
	got, err := join(t, f, s)
	if err != nil {
		t.Fatal(err)
	}
	if c := got.Checkpoints[0]; c.Next != 4 || c.Skip != [2]int64{wal.Mirrored: 5} || c.Activated != 17 || got.TopicID != (wal.TopicID{2}) {
		t.Errorf("got %+v, skipping %d", c.Position, c.Skip)
	}
}

// The mirror is behind the snapshot: what it brings is waited for.
func TestJoinWaitsForTheMirror(t *testing.T) {
	t.Parallel()
	f := new(fakeLog).put(true, barrier("b1", 1)).put(false, barrier("b2", 2))
	f.later = []wal.Record{data(1), data(2)}
	s := source(0, data(1), data(2))
	var waits []string
	s.Waits = func(what string) { waits = append(waits, what) }
	got, err := join(t, f, s)
	if err != nil || got.Checkpoints[0].Next != 1 || got.Checkpoints[0].Skip[wal.Mirrored] != 4 {
		t.Errorf("got %+v, %v", got, err)
	}
	if len(waits) != 1 || !strings.Contains(waits[0], "records of dc: 0 were met, of 2") {
		t.Errorf("said %q", waits)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.Waits = func(string) { cancel() }
	if _, err := bootstrap.Join(ctx, new(fakeLog).put(true, barrier("b1", 1)).Log(), s); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "does the mirror run?") {
		t.Errorf("got %v, want it to say what it waited for", err)
	}
}

// A client sends again what stands further back than was read at first: then the whole log is read.
func TestJoinReadsTheWholeLogIfItMust(t *testing.T) {
	t.Parallel()
	f := new(fakeLog).put(false, data(1))
	for len(f.log) < 100_050 {
		f.log = append(f.log, wal.Record{Offset: int64(len(f.log)), Marker: true})
	}
	begin := int64(len(f.log))
	f.put(true, barrier("b1", 1)).put(false, barrier("b2", 2)).put(false, data(1)).put(false, data(2))
	got, err := join(t, f, source(begin, data(2)))
	if err != nil || got.Checkpoints[0].Next != begin+1 || got.Checkpoints[0].Skip[wal.Mirrored] != begin+4 {
		t.Errorf("got %+v, %v", got.Checkpoints, err)
	}
}

// The last common barrier of the peer stands far back: its mirror is late.
func TestJoinFindsABarrierFarBack(t *testing.T) {
	t.Parallel()
	f := new(fakeLog).put(false, barrier("b2", 2))
	for len(f.log) < 100_050 {
		f.log = append(f.log, wal.Record{Offset: int64(len(f.log)), Marker: true})
	}
	begin := int64(len(f.log))
	f.put(true, barrier("b1", 1)).put(false, data(2))
	got, err := join(t, f, source(begin, data(2)))
	if err != nil || got.Checkpoints[0].Next != begin+1 || got.Checkpoints[0].Skip[wal.Mirrored] != begin+2 {
		t.Errorf("got %+v, %v", got.Checkpoints, err)
	}
}

func TestJoinRefuses(t *testing.T) {
	t.Parallel()
	f := new(fakeLog).put(true, barrier("b1", 1)).put(false, barrier("b3", 3))
	if _, err := join(t, f, source(0)); !errors.Is(err, bootstrap.ErrHandover) || !strings.Contains(err.Error(), "no common barrier is left") {
		t.Errorf("got %v", err)
	}
	f = new(fakeLog).put(true, barrier("b1", 1)).put(false, barrier("b2", 2)).put(false, data(1))
	if _, err := join(t, f, source(0, data(2))); !errors.Is(err, bootstrap.ErrHandover) || !strings.Contains(err.Error(), "chain") {
		t.Errorf("got %v", err)
	}
	s := source(0)
	s.Checkpoints = append(s.Checkpoints, s.Checkpoints[0])
	if _, err := join(t, f, s); err == nil || !strings.Contains(err.Error(), "2 partitions") {
		t.Errorf("got %v", err)
	}
}
