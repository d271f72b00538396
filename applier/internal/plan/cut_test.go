package plan

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// attested is what the peer of dr says at a barrier.
func attested(origin, id string, number uint64, p wal.Position) wal.Attestation {
	o := wal.Local
	if origin == "dr" {
		o = wal.Mirrored
	}
	return p.Attest(wal.Sites{Self: "dc", Peer: "dr"}, 0, o, &wal.Barrier{ID: id, Number: number, Partitions: 1})
}

func cutRules() Rules {
	rules := testRules()
	rules.Sites, rules.Partitions = wal.Sites{Self: "dr", Peer: "dc"}, 1
	return rules
}

// handover is the smallest that fits: a barrier of each site, and nothing behind it.
func handover() Handover {
	p := wal.Position{Next: 40, TopicID: wal.TopicID{1}, Epoch: wal.Epoch{Minor: 1, Site: "dc"}, Activate: "a", Activated: 7}
	c := wal.Checkpoint{Position: p, Closings: []wal.Closing{{Epoch: wal.Epoch{}, Begin: -1, Offset: 7}}}
	c.Barriers[wal.Local] = wal.Ring{{ID: "b1", Number: 1}}
	c.Barriers[wal.Mirrored] = wal.Ring{{ID: "b2", Number: 2}}
	return Handover{
		Peer: c, Producers: map[string]wal.Producer{"app": {Last: 31}}, Begin: 5, Activated: -1,
		Attested: []wal.Attestation{attested("dr", "b1", 1, p), attested("dc", "b2", 2, p)},
	}
}

func TestNewCutRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*Handover)
		want   string // empty = it is taken
	}{
		{"what fits", func(*Handover) {}, ""},
		{"no attestation of a barrier of this site", func(h *Handover) { h.Attested = h.Attested[1:] }, "no barrier of dr"},
		{"no attestation of a barrier of the peer", func(h *Handover) { h.Attested = h.Attested[:1] }, "no barrier of dc"},
		{"a barrier that is not in the snapshot", func(h *Handover) { h.Peer.Barriers[wal.Mirrored] = nil }, "no barrier of dc"},
		{"another epoch", func(h *Handover) { h.Attested[1].Epoch.Minor = 0 }, "no barrier of dc"},
		{"another activate", func(h *Handover) { h.Attested[1].Activate = "b" }, "no barrier of dc"},
		{"another root", func(h *Handover) { h.Attested[0].Root = wal.Hash{1} }, "no barrier of dr"},
		{"a stream that was sealed since", func(h *Handover) { h.Peer.Streams[wal.Mirrored].Sealed = true }, "no barrier of dc"},
		{"an attestation of the site itself", func(h *Handover) { h.Attested[1].Site = "dr" }, "no barrier of dc"},
		{"another partition", func(h *Handover) { h.Attested[1].Partition = 1 }, "no barrier of dc"},
		{"an earlier topic of the peer", func(h *Handover) { h.Attested[1].TopicID = wal.TopicID{9} }, "no barrier of dc"},
		{"a peer that was filled itself", func(h *Handover) { h.Peer.Skip[wal.Local] = 50 }, "filled from elsewhere"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := handover()
			tt.change(&h)
			_, err := NewCut(cutRules(), h)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func cutBarrier(rules Rules, offset int64, id string, number uint64) wal.Record {
	r := barrier(rules, offset, number)
	value, err := json.Marshal(wal.Barrier{ID: id, Number: number, Partitions: 1})
	if err != nil {
		panic(err)
	}
	r.Value = value
	r.Headers = append(rules.Signer.Headers(0, wal.TypeBarrier, value), wal.Header{Key: wal.HeaderProducer, Value: []byte(id)}, wal.Header{Key: wal.HeaderSeq, Value: []byte("1")})
	return r
}

// What this site had appended before it began to be filled, the peer must have decided: this site may have spoken of it. So an older barrier does not serve.
func TestCutOfTheOwnStreamIsBehindTheBeginning(t *testing.T) {
	t.Parallel()
	rules := cutRules()
	c, err := NewCut(rules, handover())
	if err != nil {
		t.Fatal(err)
	}
	late := cutBarrier(rules, 6, "b9", 9)
	for _, r := range []wal.Record{cutBarrier(rules, 4, "b1", 1), mirrored(cutBarrier(rules, 5, "b2", 2)), late} {
		if err := c.Meet(&r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Missing(); c.Found() || !errors.Is(err, ErrHandover) {
		t.Errorf("got %v, want it to be refused", err)
	}
}

// The peer's offsets mean nothing in this log.
func TestCutCheckpointSpeaksOfThisLog(t *testing.T) {
	t.Parallel()
	rules, h := cutRules(), handover()
	h.Peer.Repeating = [2]bool{true, true}
	c, err := NewCut(rules, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []wal.Record{mirrored(cutBarrier(rules, 3, "b2", 2)), rec(4, "SET", "x", "stale"), {Offset: 5, Marker: true}, cutBarrier(rules, 6, "b1", 1)} {
		if err := c.Meet(&r); err != nil {
			t.Fatal(err)
		}
	}
	if !c.Found() {
		t.Fatal(c.Missing())
	}
	got, producers := c.Checkpoint(wal.TopicID{2})
	if got.Next != 4 || got.Skip != [2]int64{wal.Local: 7} || got.Reported != 4 || got.LeaderEpoch != -1 || got.TopicID != (wal.TopicID{2}) || got.Activated != -1 {
		t.Errorf("got %+v, skipping %d", got.Position, got.Skip)
	}
	if got.Repeating != [2]bool{} {
		t.Error("it was the peer's log that repeated")
	}
	if x := got.Closings[0]; x.Begin != -1 || x.Offset != -1 || h.Peer.Closings[0].Offset != 7 {
		t.Errorf("got %+v, want offsets that are not known, and the peer's left alone", x)
	}
	if producers["app"].Last != 6 {
		t.Errorf("got %d, want the last record that is skipped", producers["app"].Last)
	}
}

// A client sends again what stands before the barrier and behind it: the peer has counted it once.
func TestCutLeavesRepeatsOut(t *testing.T) {
	t.Parallel()
	rules, h := cutRules(), handover()
	once := mirrored(rec(0, "SET", "x", "1"))
	once.Headers = append(once.Headers, wal.Header{Key: wal.HeaderProducer, Value: []byte("app")}, wal.Header{Key: wal.HeaderSeq, Value: []byte("1")})
	plain := mirrored(rec(0, "SET", "x", "2"))
	e, err := plain.Envelope()
	if err != nil {
		t.Fatal(err)
	}
	h.Peer.Streams[wal.Mirrored].N, h.Peer.Streams[wal.Mirrored].H = 1, new(wal.Chain).Next(wal.Hash{}, &plain, &e)
	c, err := NewCut(rules, h)
	if err != nil {
		t.Fatal(err)
	}
	for offset, r := range []wal.Record{once, mirrored(cutBarrier(rules, 0, "b2", 2)), once, plain, once, cutBarrier(rules, 0, "b1", 1)} {
		r.Offset = int64(offset)
		if err := c.Meet(&r); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := c.Checkpoint(wal.TopicID{2}); !c.Found() || got.Next != 4 || got.Skip[wal.Local] != 6 {
		t.Errorf("got %d and %d, want 4 and 6", got.Next, got.Skip)
	}
}

// Poison is listed though it stands where the rest is skipped: the peer may never have had the record.
func TestPlanSkips(t *testing.T) {
	t.Parallel()
	rules := testRules()
	from := wal.Checkpoint{Position: wal.Position{Next: 3, TopicID: testID}, Skip: [2]int64{wal.Local: 6}}
	p := New(rules)
	b, n := mustPlan(t, p, from, rec(3, "SET", "x", "1"), mirrored(rec(4, "SET", "x", "2")), rec(5, "SPOP", "x"))
	if n != 3 || b.Commands != 1 || b.Counts.Skipped != 1 || len(b.Copies) != 1 || b.To.Streams[wal.Local].N != 0 || b.To.Streams[wal.Mirrored].N != 1 {
		t.Errorf("got %+v", b)
	}
	if b.To.Skip != [2]int64{} || !strings.Contains(string(b.Memory), "n.skip.dc") || b.MemoryCommands != 1 {
		t.Errorf("got %d and %q, want what was passed to be forgotten", b.To.Skip, b.Memory)
	}
	b, _ = mustPlan(t, p, from, rec(3, "SET", "x", "1"), cutBarrier(rules, 4, "b", 1))
	if b.To.Skip[wal.Local] != 6 || b.MemoryCommands != 0 || b.Barrier != nil {
		t.Errorf("got %d and %+v, want it to go on, and no answer to the barrier", b.To.Skip, b.Barrier)
	}
}
