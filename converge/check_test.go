package converge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/internal/freeport"
	"github.com/comptech-lab/redis-wal/wal"
)

func TestCheckConverged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	for p := range int32(partitions) {
		w.dc.write(p, "a", "1")
		w.dr.write(p, "b", "2")
	}
	r := w.dc.checkUntil(converge.PeerRequire, never)
	if r.Exit != 0 || r.Verdict != converge.Converged || len(r.Missing) != 0 {
		t.Fatalf("got %+v, want converged", r)
	}
	if got, want := r.Sentence, "converged: dc and dr agree on all 2 partitions of redis-writes"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Both streams are open, so each partition needs a barrier of each origin.
	if got, want := len(r.Streams), 2*partitions; got != want {
		t.Fatalf("got %d streams, want %d", got, want)
	}
	for _, row := range r.Streams {
		dc, dr := row.Sites["dc"], row.Sites["dr"]
		if row.Barrier == nil || dc.N != 1 || dr.N != 1 || dc.H != dr.H {
			t.Errorf("got %+v, want one record at both", row)
		}
	}
	// A second check goes on from the numbers of the first, and from the other side.
	r = w.dr.checkUntil(converge.PeerRequire, never)
	if r.Exit != 0 {
		t.Errorf("got %s, want converged from the other side, too", r.Sentence)
	}
	for _, row := range r.Streams {
		if row.Barrier.Number < 2 {
			t.Errorf("got barrier %d of %s, want a number above the first check's", row.Barrier.Number, row.Origin)
		}
	}
}

// In an epoch only the active site's stream is open: a check at the passive site waits for the active one's next barrier.
func TestCheckInAnEpoch(t *testing.T) {
	t.Parallel()
	for _, active := range []string{"dc", "dr"} {
		t.Run(active+" is active", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{epoch: wal.Epoch{Generation: 1, Site: active}})
			r := w.dc.checkUntil(converge.PeerRequire, never)
			if r.Exit != 0 || len(r.Streams) != partitions {
				t.Fatalf("got exit %d, %d streams: %s; want 0, %d", r.Exit, len(r.Streams), r.Sentence, partitions)
			}
			for _, row := range r.Streams {
				if row.Origin != active {
					t.Errorf("got origin %s, want %s", row.Origin, active)
				}
			}
		})
	}
}

// A barrier of the peer that both attested before the check began tells nothing about what came since.
func TestCheckWantsYoungBarriers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{noPeriod: true})
	w.peerBarriersFrom(1)
	before := map[string]bool{}
	w.dc.watch(func(a wal.Attestation) bool { // until both have attested them
		before[fmt.Sprint(a.Site, a.Partition)] = true
		return len(before) == 4
	})
	seen := map[string]bool{}
	r := w.dc.checkUntil(converge.PeerRequire, func(a wal.Attestation) bool {
		seen[fmt.Sprint(a.Site, a.Partition, a.Barrier.Origin)] = true
		return len(seen) == 8
	})
	if r.Exit != 2 || !strings.Contains(r.Sentence, "dr has appended no barrier of its own since") {
		t.Errorf("got exit %d, %s; want 2: no young barrier of dr", r.Exit, r.Sentence)
	}
	for _, row := range r.Streams {
		want := converge.Converged
		if row.Origin == "dr" {
			want = converge.Unknown
		}
		if row.State != want {
			t.Errorf("partition %d, origin %s: got %s, want %s", row.Partition, row.Origin, row.State, want)
		}
	}
}

// Nor does a barrier of this site: what a check has found says nothing about what came after it.
func TestCheckWantsItsOwnBarrier(t *testing.T) {
	t.Parallel()
	var cut atomic.Bool
	w := newWorld(t, setup{loses: func(from string, _ *kgo.Record) bool { return from == "dc" && cut.Load() }})
	first := w.dc.checkUntil(converge.PeerRequire, never)
	if first.Exit != 0 {
		t.Fatal(first.Sentence)
	}
	cut.Store(true)
	seen := map[int32]bool{}
	r := w.dc.checkUntil(converge.PeerRequire, func(a wal.Attestation) bool {
		if a.Site == "dc" && a.Barrier.Origin == "dc" && a.Barrier.Number > first.Streams[0].Barrier.Number {
			seen[a.Partition] = true
		}
		return len(seen) == partitions
	})
	for _, row := range r.Streams {
		if row.State != converge.Unknown {
			t.Errorf("partition %d, origin %s: got %s on barrier %d, want unknown", row.Partition, row.Origin, row.State, row.Barrier.Number)
		}
	}
}

// The mirror writes in transactions, so the attest topic may end in a marker that is no record.
func TestCheckReadsOverMarkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	c := w.dc.open(kgo.TransactionalID("mirror"))
	if err := c.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: wal.AttestTopic(topic), Value: []byte("{}")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := c.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	r := w.dc.checkUntil(converge.PeerRequire, never)
	if r.Exit != 0 || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "could not be read") }) {
		t.Errorf("got exit %d, notes %v: %s; want converged, and the unreadable record noted", r.Exit, r.Notes, r.Sentence)
	}
}

// A number below those that the appliers remember would look like a repeating mirror, so the check reads back as far as it must.
func TestCheckLearnsTheNumberFromAfar(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	w.dc.barrier(0, 40)
	w.dc.barrier(1, 41)
	attested := map[int32]bool{}
	w.dc.watch(func(a wal.Attestation) bool { // at dc
		attested[a.Partition] = attested[a.Partition] || a.Site == "dc" && a.Barrier.Number >= 40
		return attested[0] && attested[1]
	})
	// Attestations of the peer's barriers bury them.
	for i := range 1000 {
		w.dc.attest(wal.Attestation{
			Version: 1, Site: "dc", TopicID: w.dc.topicID, Offset: int64(i), Barrier: wal.AttestedBarrier{Origin: "dr", Number: 1, ID: "old"},
			Streams: map[string]wal.StreamState{"dr": {}}, Time: 1,
		})
	}
	r := w.dc.checkUntil(converge.PeerRequire, never)
	if r.Exit != 0 {
		t.Fatal(r.Sentence)
	}
	for _, row := range r.Streams {
		if least := uint64(41 + row.Partition); row.Origin == "dc" && row.Barrier.Number < least {
			t.Errorf("partition %d: got number %d, want at least %d", row.Partition, row.Barrier.Number, least)
		}
	}
}

// A mirror that loses one record: the check names partition, origin and the first barrier that differs.
func TestCheckFindsOneLostRecord(t *testing.T) {
	t.Parallel()
	lost := func(from string, r *kgo.Record) bool {
		return from == "dc" && r.Partition == 1 && string(r.Key) == "lost"
	}
	for _, policy := range []converge.Policy{converge.PeerRequire, converge.PeerReport} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, setup{loses: lost})
			w.dc.write(0, "a", "1")
			w.dc.write(1, "a", "1")
			if r := w.dc.checkUntil(policy, never); r.Exit != 0 {
				t.Fatalf("got %s before the loss, want converged", r.Sentence)
			}
			w.dc.write(1, "lost", "1")
			w.dc.write(1, "b", "1")
			r := w.dr.checkUntil(policy, never)
			if r.Exit != 1 || r.Verdict != converge.Diverged {
				t.Fatalf("got exit %d, %s; want 1, diverged", r.Exit, r.Sentence)
			}
			for _, want := range []string{"diverged: partition 1, origin dc, first at barrier", "dr has counted 2 records, dc 3", "mirror dc->dr"} {
				if !strings.Contains(r.Sentence, want) {
					t.Errorf("got %s, want %q in it", r.Sentence, want)
				}
			}
			for _, row := range r.Streams {
				want := converge.Converged
				if row.Partition == 1 && row.Origin == "dc" {
					want = converge.Diverged
				}
				if row.State != want {
					t.Errorf("partition %d, origin %s: got %s, want %s", row.Partition, row.Origin, row.State, want)
				}
			}
		})
	}
	t.Run("off", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, setup{loses: lost})
		w.dc.write(1, "lost", "1")
		if r := w.dc.checkUntil(converge.PeerOff, never); r.Exit != 0 || r.Verdict == converge.Converged {
			t.Errorf("got exit %d, %s; want 0 and no verdict", r.Exit, r.Verdict)
		}
	})
}

func TestCheckCouldNotTell(t *testing.T) {
	t.Parallel()
	all := func(int32) bool { return true }
	only := func(p int32) func(int32) bool { return func(q int32) bool { return p == q } }
	// ofCheck tells the check's own barriers from those of the scripted appliers by their long ids.
	ofCheck := func(a wal.Attestation) bool { return len(a.Barrier.ID) > 12 }
	// bySite counts attestations of the check's barriers until a site has attested n.
	bySite := func(site string, n int) func() func(wal.Attestation) bool {
		return func() func(wal.Attestation) bool {
			got := map[int32]bool{}
			return func(a wal.Attestation) bool {
				if a.Site == site && ofCheck(a) {
					got[a.Partition] = true
				}
				return len(got) == n
			}
		}
	}
	dataOnly := func(from string, r *kgo.Record) bool { return from == "dr" && r.Topic != topic }
	tests := []struct {
		name    string
		setup   setup
		prepare func(w *world)
		enough  func() func(wal.Attestation) bool
		exit    map[converge.Policy]int
		missing string
		want    string
	}{
		{
			name: "no applier at the peer", setup: setup{drMute: all}, enough: bySite("dc", partitions),
			exit:    map[converge.Policy]int{converge.PeerRequire: 2, converge.PeerReport: 0, converge.PeerOff: 0},
			missing: "dr->dc", want: "the leg dr->dc is cut, or no applier runs at dr",
		},
		{
			name: "the mirror is cut both ways", setup: setup{loses: everything}, enough: bySite("dc", partitions),
			exit:    map[converge.Policy]int{converge.PeerRequire: 2, converge.PeerReport: 0, converge.PeerOff: 0},
			missing: "dr->dc", want: "nothing of dr has arrived",
		},
		{
			name:    "the peer decides all partitions but one",
			setup:   setup{drMute: only(1)},
			enough:  both(bySite("dc", partitions), both(peersOwn(1), mirrored(1))),
			exit:    map[converge.Policy]int{converge.PeerRequire: 2, converge.PeerReport: 0},
			missing: "dr", want: "dr attests other partitions, not this one",
		},
		{
			name:  "what goes to the peer is lost",
			setup: setup{loses: func(from string, r *kgo.Record) bool { return from == "dc" && r.Topic == topic }},
			prepare: func(w *world) {
				w.peerBarriersFrom(1)
			},
			enough:  both(bySite("dc", partitions), peersOwn(partitions)),
			exit:    map[converge.Policy]int{converge.PeerRequire: 2, converge.PeerReport: 0},
			missing: "dc->dr", want: "the leg dc->dr is cut",
		},
		{
			name: "the attest topic is not mirrored", setup: setup{loses: dataOnly},
			enough:  both(bySite("dc", partitions), mirrored(partitions)),
			exit:    map[converge.Policy]int{converge.PeerRequire: 2, converge.PeerReport: 0},
			missing: "dr", want: "does not carry the attest topic",
		},
		{
			name: "one partition of this site is not decided", setup: setup{dcMute: only(0)}, enough: bySite("dr", partitions),
			exit:    map[converge.Policy]int{converge.PeerRequire: 2, converge.PeerReport: 2, converge.PeerOff: 2},
			missing: "dc", want: "dc itself does not answer: partition 0",
		},
		{
			name: "no applier at this site", setup: setup{dcMute: all}, enough: bySite("dr", partitions),
			exit:    map[converge.Policy]int{converge.PeerRequire: 2, converge.PeerReport: 2, converge.PeerOff: 2},
			missing: "dc", want: "dc has attested nothing since the check's start",
		},
	}
	for _, tt := range tests {
		for policy, exit := range tt.exit {
			t.Run(tt.name+", "+string(policy), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, tt.setup)
				for p := range int32(partitions) {
					w.dc.write(p, "a", "1")
				}
				enough := tt.enough()
				stop := enough
				if tt.prepare != nil {
					began := false
					stop = func(a wal.Attestation) bool {
						if !began && a.Site == "dc" && ofCheck(a) { // the check has begun
							began = true
							tt.prepare(w)
						}
						return enough(a)
					}
				}
				r := w.dc.checkUntil(policy, stop)
				if r.Exit != exit || r.Verdict != converge.Unknown {
					t.Fatalf("got exit %d, %s: %s; want %d, unknown", r.Exit, r.Verdict, r.Sentence, exit)
				}
				if policy == converge.PeerOff && exit == 0 {
					return
				}
				if !strings.Contains(r.Sentence, tt.want) || !strings.Contains(r.Sentence, errEnough.Error()) || !slices.Contains(r.Missing, tt.missing) {
					t.Errorf("got %v, %s\nwant %s, %q", r.Missing, r.Sentence, tt.missing, tt.want)
				}
				if noted := slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "not required") }); noted != (policy == converge.PeerReport && exit == 0) {
					t.Errorf("got notes %v", r.Notes)
				}
			})
		}
	}
}

func both(a, b func() func(wal.Attestation) bool) func() func(wal.Attestation) bool {
	return func() func(wal.Attestation) bool {
		x, y := a(), b()
		var xs, ys bool
		return func(at wal.Attestation) bool {
			xs, ys = x(at) || xs, y(at) || ys
			return xs && ys
		}
	}
}

// peersOwn waits until dr has attested barriers of its own in n partitions.
func peersOwn(n int) func() func(wal.Attestation) bool { return own("dr", n) }

// mirrored waits until dc has attested barriers of dr in n partitions.
func mirrored(n int) func() func(wal.Attestation) bool { return own("dc", n) }

func own(site string, n int) func() func(wal.Attestation) bool {
	return func() func(wal.Attestation) bool {
		got := map[int32]bool{}
		return func(a wal.Attestation) bool {
			if a.Site == site && a.Barrier.Origin == "dr" {
				got[a.Partition] = true
			}
			return len(got) == n
		}
	}
}

// peerBarriersFrom appends a periodic barrier of dr to each partition.
func (w *world) peerBarriersFrom(number uint64) {
	for p := range int32(partitions) {
		w.dr.barrier(p, number)
	}
}

func TestCheckKafkaTrouble(t *testing.T) {
	t.Parallel()
	t.Run("absent", func(t *testing.T) {
		t.Parallel()
		addr := freeport.ReserveAddr(t, "127.0.0.1")
		c := converge.Config{
			Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: topic, Partitions: 1, SigningKey: secret, Policy: converge.PeerReport,
			Kafka: []kgo.Opt{kgo.SeedBrokers(addr)}, Timeout: 200 * time.Millisecond,
		}
		r, err := converge.Check(t.Context(), c)
		if err != nil || r.Exit != 2 || !strings.Contains(r.Sentence, "no answer from Kafka of dc") {
			t.Errorf("got %v, %+v; want exit 2 and that Kafka gives no answer", err, r)
		}
	})
	t.Run("no topic", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, setup{})
		c := w.dc.config(converge.PeerRequire)
		c.Log, c.Timeout = "typo", 300*time.Millisecond
		r, err := converge.Check(t.Context(), c)
		if err != nil || r.Exit != 2 || !strings.Contains(r.Sentence, "topic typo at dc") || !strings.Contains(r.Sentence, "apply the site's program") {
			t.Errorf("got %v, %+v; want exit 2 and the topic's name", err, r)
		}
	})
	t.Run("another partition count", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, setup{})
		c := w.dc.config(converge.PeerRequire)
		c.Partitions = 3
		r, err := converge.Check(t.Context(), c)
		if err != nil || r.Exit != 2 || !strings.Contains(r.Sentence, "has 2 partitions, the check was told 3") {
			t.Errorf("got %v, %+v; want exit 2 and both counts", err, r)
		}
	})
}

func TestCheckConfig(t *testing.T) {
	t.Parallel()
	_, err := converge.Check(t.Context(), converge.Config{Sites: wal.Sites{Self: "dc", Peer: "dc"}, Policy: "maybe"})
	for _, want := range []string{"sites", "log", "partitions", "policy"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
	c := converge.Config{Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: "l", Partitions: 1}
	if _, err := converge.Check(t.Context(), c); err == nil || !strings.Contains(err.Error(), "signing key") {
		t.Errorf("got %v, want it to name the signing key", err)
	}
}

func TestReportForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, setup{})
	w.dc.write(0, "a", "1")
	r := w.dc.checkUntil(converge.PeerRequire, never)
	var text, js bytes.Buffer
	if err := errors.Join(r.WriteText(&text), r.WriteJSON(&js)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if got, want := len(lines), 1+2*partitions+1; got != want {
		t.Errorf("got %d lines, want %d:\n%s", got, want, text.String())
	}
	for i, want := range map[int]string{0: "PARTITION  ORIGIN  STATE", 1: "n=1", len(lines) - 1: r.Sentence} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d: got %s, want %q in it", i, lines[i], want)
		}
	}
	var fields map[string]any
	if err := json.Unmarshal(js.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"v", "log", "site", "peer", "policy", "verdict", "exit", "sentence", "missing", "notes", "streams", "started", "seconds"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("field %q is missing", name)
		}
	}
	row := fields["streams"].([]any)[0].(map[string]any)
	for _, name := range []string{"partition", "origin", "state", "why", "barrier", "first", "sites"} {
		if _, ok := row[name]; !ok {
			t.Errorf("field streams.%q is missing", name)
		}
	}
	if err := r.WriteText(failing{}); err == nil {
		t.Error("a report that could not be written is an error")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, context.Canceled }
