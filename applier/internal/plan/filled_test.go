package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// Two sites, one partition. Clients write and send again at both, mirrors run when they like, the writer is moved. At some moment dr loses its Redis, and later it is filled from a snapshot of
// dc, taken at any moment, and cut into its own log, which begins anywhere before. In the end it must hold what a dr holds that never lost anything.

// fault is a mistake in how the site is filled. Each must be found by the property.
type fault uint8

const (
	noFault fault = iota
	skipsLess
	skipsMore
	forgetsWindows
	forgetsRings
	ignoresTheFence
	beginsEarly
	faults
	// These two the chain refuses: nothing is filled wrongly.
	wrongBarrier
	ignoresTheEpoch
)

var faultNames = [...]string{"none", "skips one record too few", "skips one record too many", "forgets the windows", "forgets the rings", "leaves the epoch out", "begins at the upper cut"}

const (
	dc = iota
	dr
)

// site is a log and what was made of it.
type site struct {
	names   wal.Sites
	log     []wal.Record
	labels  []string // what stands at each offset, as the stream calls it
	own     []int    // offsets of its own stream
	carried int      // how many of them the mirror has brought to the other site
	node    node     // that never lost anything
}

// node is a Redis and what its applier has said.
type node struct {
	checkpoint map[string]string
	producers  map[string]string
	executed   []string
	attested   []wal.Attestation
	copies     []string // listed in the DLQ or as fenced
}

type world struct {
	r         *rand.Rand
	planner   [2]*Planner
	rules     [2]Rules
	sites     [2]site
	sequences map[string]int64
	sent      []wal.Record // sequenced, to be sent again
	sentLabel []string
	labels    int
	barriers  [2]uint64
	controls  int64
	sealed    string // id of the seal of a cutover that is under way
	plain     bool   // unsequenced records too: then mirrors are not rewound
	takeovers bool
}

func newWorld(seed uint64) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 1)), sequences: map[string]int64{}}
	w.plain, w.takeovers = w.r.IntN(2) == 0, w.r.IntN(4) == 0
	for s, names := range [2]wal.Sites{{Self: "dc", Peer: "dr"}, {Self: "dr", Peer: "dc"}} {
		rules := testRules()
		rules.Sites, rules.Partitions, rules.MirrorExactlyOnce, rules.MaxRecords = names, 1, true, 7
		w.rules[s], w.planner[s] = rules, New(rules)
		w.sites[s].names = names
		w.sites[s].node = newNode(wal.Checkpoint{Position: wal.Position{TopicID: wal.TopicID{byte(s + 1)}, LeaderEpoch: -1}}, names)
	}
	if w.r.IntN(3) > 0 {
		w.activate(w.r.IntN(2), wal.Epoch{Minor: 1})
		w.deliver()
		w.decide(dc, &w.sites[dc].node, 1000)
		w.decide(dr, &w.sites[dr].node, 1000)
	}
	return w
}

func newNode(c wal.Checkpoint, names wal.Sites) node {
	return node{checkpoint: fieldMap(c.Fields(names)), producers: map[string]string{}}
}

func (n *node) at(names wal.Sites) wal.Checkpoint {
	c, err := wal.ParseCheckpoint(n.checkpoint, names)
	if err != nil {
		panic(err)
	}
	return c
}

func (n *node) clone() node {
	return node{maps.Clone(n.checkpoint), maps.Clone(n.producers), slices.Clone(n.executed), slices.Clone(n.attested), nil}
}

func parseProducers(stored map[string]string, names wal.Sites) map[string]wal.Producer {
	out := map[string]wal.Producer{}
	for id, text := range stored {
		p, err := wal.ParseProducer(text, names)
		if err != nil {
			panic(err)
		}
		out[id] = p
	}
	return out
}

func (w *world) append(s int, r wal.Record, label string) {
	r.Offset = int64(len(w.sites[s].log))
	w.sites[s].log = append(w.sites[s].log, r)
	w.sites[s].labels = append(w.sites[s].labels, label)
}

func (w *world) own(s int, r wal.Record, label string) {
	w.sites[s].own = append(w.sites[s].own, len(w.sites[s].log))
	w.append(s, r, label)
}

func (w *world) write(s int) {
	w.labels++
	label := "w" + strconv.Itoa(w.labels)
	r := rec(0, "RPUSH", "x", label)
	if !w.plain || w.r.IntN(2) == 0 {
		id := fmt.Sprintf("app%d", w.r.IntN(2))
		w.sequences[id]++
		r.Headers = append(r.Headers, wal.Header{Key: wal.HeaderProducer, Value: []byte(id)}, wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, w.sequences[id], 10)})
		w.sent, w.sentLabel = append(w.sent, r), append(w.sentLabel, label)
	}
	w.own(s, r, label)
}

func (w *world) control(s int, typ wal.ControlType, payload any) {
	value, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	w.controls++
	w.own(s, wal.Record{Timestamp: 1000, Value: value, Headers: append(w.rules[s].Signer.Headers(0, typ, value),
		wal.Header{Key: wal.HeaderProducer, Value: fmt.Appendf(nil, "control%d", s)}, wal.Header{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, w.controls, 10)})}, string(typ))
}

func (w *world) barrier(s int) {
	w.barriers[s]++
	w.control(s, wal.TypeBarrier, wal.Barrier{ID: fmt.Sprintf("b%d.%d", s, w.barriers[s]), Number: w.barriers[s], Partitions: 1})
}

func (w *world) activate(s int, e wal.Epoch) {
	e.Site = w.sites[s].names.Self
	w.control(s, wal.TypeActivate, wal.Activate{ID: fmt.Sprintf("a%d", w.controls), Epoch: e, Reason: "test"})
}

// cutover takes the next step of one.
func (w *world) cutover() {
	var at [2]wal.Checkpoint
	for s := range at {
		at[s] = w.sites[s].node.at(w.sites[s].names)
	}
	if at[0].Epoch != at[1].Epoch || at[0].Epoch.IsNone() {
		return
	}
	active, other := dc, dr
	if at[0].Epoch.Site == "dr" {
		active, other = dr, dc
	}
	e := at[active].Epoch.String()
	switch {
	case w.sealed != e:
		w.sealed = e
		w.control(active, wal.TypeSeal, wal.Seal{ID: "s" + e, Epoch: at[active].Epoch})
	case at[active].Streams[wal.Local].Sealed && at[other].Streams[wal.Mirrored].Sealed:
		w.activate(other, wal.Epoch{Generation: at[active].Epoch.Generation, Minor: at[active].Epoch.Minor + 1})
	}
}

// carry has the mirror bring one record from a site.
func (w *world) carry(s int) {
	from := &w.sites[s]
	if from.carried == len(from.own) {
		return
	}
	i := from.own[from.carried]
	from.carried++
	w.append(1-s, mirrored(from.log[i]), from.labels[i])
}

func (w *world) deliver() {
	for s := range w.sites {
		for w.sites[s].carried < len(w.sites[s].own) {
			w.carry(s)
		}
	}
}

// decide has a node apply some records of a site's log.
func (w *world) decide(s int, n *node, most int) {
	for most > 0 {
		at := n.at(w.sites[s].names)
		if at.Next >= int64(len(w.sites[s].log)) {
			return
		}
		k := min(most, 1+w.r.IntN(9))
		records := w.sites[s].log[at.Next:min(int(at.Next)+k, len(w.sites[s].log))]
		b, took, err := w.planner[s].Plan(Input{From: at, Records: records, Producers: NewProducers(parseProducers(n.producers, w.sites[s].names)), Alone: -1})
		if err != nil {
			panic(err)
		}
		most -= took
		for _, op := range b.Ops {
			n.executed = append(n.executed, w.sites[s].labels[op.Offset])
		}
		for _, c := range append(b.Copies, b.Fenced...) {
			n.copies = append(n.copies, w.sites[s].labels[c.Offset])
		}
		maps.Copy(n.checkpoint, fieldMap(b.To.Fields(w.sites[s].names)))
		for _, o := range wal.Origins { // which the applier writes as 0
			n.checkpoint[wal.RepeatingField(w.sites[s].names, o)] = wal.FormatBool(b.To.Repeating[o])
		}
		n.remember(b.Memory)
		if b.Barrier != nil {
			n.attested = append(n.attested, b.To.Attest(w.sites[s].names, 0, b.Barrier.Origin, &b.Barrier.Barrier))
		}
	}
}

func (n *node) remember(wire []byte) {
	if len(wire) == 0 {
		return
	}
	op, err := wal.DecodeOp(wire, "")
	if err != nil {
		panic(err)
	}
	for _, args := range op.Commands {
		hash := n.checkpoint
		if strings.HasSuffix(string(args[1]), ":producers") {
			hash = n.producers
		}
		switch string(args[0]) {
		case "HSET":
			for i := 2; i < len(args); i += 2 {
				hash[string(args[i])] = string(args[i+1])
			}
		case "HDEL":
			for _, field := range args[2:] {
				delete(hash, string(field))
			}
		}
	}
}

// step is one thing that happens.
func (w *world) step() {
	s := w.r.IntN(2)
	switch k := w.r.IntN(40); {
	case k < 10:
		w.write(s)
	case k < 12 && len(w.sent) > 0:
		i := max(0, len(w.sent)-1-w.r.IntN(12))
		w.own(s, w.sent[i], w.sentLabel[i])
	case k < 13:
		w.own(s, rec(0, "SPOP", "x"), "poison")
	case k < 16:
		w.barrier(s)
	case k < 27:
		for range 1 + w.r.IntN(3) {
			w.carry(s)
		}
	case k < 37:
		w.decide(s, &w.sites[s].node, 1+w.r.IntN(10))
	case k < 38:
		w.cutover()
	case k < 39 && w.takeovers:
		e := w.sites[s].node.at(w.sites[s].names).Epoch
		w.activate(s, wal.Epoch{Generation: e.Generation + 1})
	case k < 40 && !w.plain && w.sites[s].carried > 0:
		w.sites[s].carried -= w.r.IntN(min(20, w.sites[s].carried))
	}
}

// fill fills dr from dc, and goes on until it is. It returns the node as it begins, and how many snapshots it took.
func (w *world) fill(f fault) (node, int, error) {
	begin := int64(len(w.sites[dr].log))
	w.barrier(dr)
	w.barrier(dc)
	start := w.r.Int64N(begin + 1) // retention
	if w.r.IntN(2) == 0 {
		start = 0
	}
	for snapshots := 1; snapshots < 40; snapshots++ {
		for range w.r.IntN(60) {
			w.step()
		}
		peer := w.sites[dc].node.clone()
		of := Handover{
			Peer: peer.at(w.sites[dr].names), Producers: parseProducers(peer.producers, w.sites[dr].names), Attested: peer.attested, Begin: begin, Activated: -1,
		}
		planted(f, &of)
		c, err := NewCut(w.rules[dr], of)
		missing := ""
		for next, waits := start, 0; err == nil && !c.Found(); waits++ {
			if waits > 2000 {
				return node{}, snapshots, fmt.Errorf("it waits for what does not come: %s", missing)
			}
			for ; err == nil && next < int64(len(w.sites[dr].log)) && !c.Found(); next++ {
				err = c.Meet(&w.sites[dr].log[next])
			}
			if err == nil && !c.Found() {
				if missing, err = c.Missing(); err == nil {
					w.step()
					w.carry(dc) // it is what is waited for
				}
			}
		}
		if err != nil {
			if !errors.Is(err, ErrHandover) {
				return node{}, snapshots, err
			}
			continue
		}
		at, producers := c.Checkpoint(wal.TopicID{2})
		switch f {
		case skipsLess, skipsMore:
			for o := range at.Skip {
				if at.Skip[o] > 0 {
					at.Skip[o] += map[fault]int64{skipsLess: -1, skipsMore: 1}[f]
				}
			}
		case forgetsWindows:
			producers = nil
		case forgetsRings:
			at.Barriers = [2]wal.Ring{}
		case ignoresTheFence:
			at.Epoch, at.Streams[0].Sealed, at.Streams[1].Sealed = wal.Epoch{}, false, false
		case beginsEarly:
			at.Next = max(at.Next, at.Skip[0], at.Skip[1])
		}
		filled := newNode(at, w.sites[dr].names)
		filled.executed = peer.executed
		for id, p := range producers {
			filled.producers[id] = string(p.AppendText(nil, w.sites[dr].names))
		}
		return filled, snapshots, nil
	}
	return node{}, 40, ErrHandover
}

// planted changes what a site is filled from.
func planted(f fault, of *Handover) {
	for i := range of.Attested {
		a := &of.Attested[i]
		switch f {
		case wrongBarrier: // of the other stream
			a.Streams = map[string]wal.StreamState{"dc": a.Streams["dr"], "dr": a.Streams["dc"]}
		case ignoresTheEpoch:
			a.Epoch, a.Activate, a.Root = of.Peer.Epoch, of.Peer.Activate, of.Peer.Root
			for site, o := range map[string]wal.Origin{"dr": wal.Local, "dc": wal.Mirrored} {
				s := a.Streams[site]
				s.Sealed = of.Peer.Streams[o].Sealed
				a.Streams[site] = s
			}
		}
	}
}

// same says how what was filled differs from what was never lost.
func (w *world) same(filled *node) error {
	names := w.sites[dr].names
	ref := &w.sites[dr].node
	got, want, peer := filled.at(names), ref.at(names), w.sites[dc].node.at(names)
	twice := map[string]bool{}
	for _, label := range filled.executed {
		if twice[label] {
			return fmt.Errorf("%s was executed twice", label)
		}
		twice[label] = true
	}
	if got.Skip != [2]int64{} || got.Next != want.Next {
		return fmt.Errorf("still at %d of %d, skipping to %d", got.Next, want.Next, got.Skip)
	}
	diverged := func(a, b *wal.Checkpoint) bool {
		return a.Epoch != b.Epoch || a.Root != b.Root || a.Streams[0].N != b.Streams[0].N || a.Streams[0].H != b.Streams[0].H || a.Streams[1].N != b.Streams[1].N || a.Streams[1].H != b.Streams[1].H
	}
	if got.Epoch != want.Epoch || got.Activate != want.Activate {
		return fmt.Errorf("it is in epoch %s (%s), and would be in %s (%s)", got.Epoch, got.Activate, want.Epoch, want.Activate)
	}
	ordered := func(a []string) []string { return slices.Sorted(slices.Values(a)) }
	if !diverged(&got, &peer) && !reflect.DeepEqual(ordered(filled.executed), ordered(w.sites[dc].node.executed)) {
		return errors.New("the check says converged, and the data differ")
	}
	if w.takeovers { // a tail is wherever the site happened to be: the filled one has the peer's
		return nil
	}
	if diverged(&want, &peer) {
		return errors.New("the test is wrong: without a takeover the sites differ")
	}
	switch {
	case diverged(&got, &want):
		return fmt.Errorf("the position differs:\n%+v\n%+v", got.Position, want.Position)
	case got.Streams != want.Streams:
		return fmt.Errorf("the streams differ:\n%+v\n%+v", got.Streams, want.Streams)
	case !reflect.DeepEqual(ordered(filled.executed), ordered(ref.executed)):
		return fmt.Errorf("the data differ:\n%v\n%v", filled.executed, ref.executed)
	}
	for o := range got.Barriers { // what a mark counted in a stream that is closed depends on the site
		if x, y := ids(got.Barriers[o]), ids(want.Barriers[o]); !slices.Equal(x, y) {
			return fmt.Errorf("the rings differ:\n%v\n%v", x, y)
		}
	}
	a, b := parseProducers(filled.producers, names), parseProducers(ref.producers, names)
	for id := range b {
		x, y := a[id], b[id]
		x.Last, y.Last = 0, 0
		if string(x.AppendText(nil, names)) != string(y.AppendText(nil, names)) {
			return fmt.Errorf("the windows of %s differ:\n%s\n%s", id, x.AppendText(nil, names), y.AppendText(nil, names))
		}
	}
	return nil
}

func ids(r wal.Ring) []string {
	var out []string
	for _, m := range r {
		out = append(out, m.ID)
	}
	return out
}

// live is one such history, from its beginning to its end. Found is false if dr could not be filled.
func live(seed uint64, f fault) (found bool, snapshots int, err error) {
	w := newWorld(seed)
	for range 20 + w.r.IntN(150) {
		w.step()
	}
	filled, snapshots, err := w.fill(f)
	if err != nil {
		if errors.Is(err, ErrHandover) {
			return false, snapshots, nil
		}
		return false, snapshots, err
	}
	for range w.r.IntN(80) {
		w.step()
		if w.r.IntN(3) == 0 {
			w.decide(dr, &filled, 1+w.r.IntN(10))
		}
	}
	for range 3 { // a cutover that is under way ends, and barriers end a stream's repeating
		w.barrier(dc)
		w.barrier(dr)
		w.deliver()
		w.decide(dc, &w.sites[dc].node, 1<<20)
		w.decide(dr, &w.sites[dr].node, 1<<20)
	}
	w.decide(dr, &filled, 1<<20)
	return true, snapshots, w.same(&filled)
}

func TestAFilledSiteIsAsIfNothingWasLost(t *testing.T) {
	t.Parallel()
	const histories = 150
	filled, snapshots := 0, 0
	for seed := range uint64(histories) {
		found, n, err := live(seed, noFault)
		if err != nil {
			t.Fatalf("history %d: %v", seed, err)
		}
		if found {
			filled++
		}
		snapshots += n
	}
	t.Logf("%d histories, %d filled, %d snapshots", histories, filled, snapshots)
	if filled < histories*95/100 {
		t.Errorf("only %d of %d were filled", filled, histories)
	}
}

// What the property cannot see it does not promise: each mistake must be found in one of the histories.
func TestMistakesInFillingAreFound(t *testing.T) {
	t.Parallel()
	for f := noFault + 1; f < faults; f++ {
		t.Run(faultNames[f], func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(100) {
				if _, _, err := live(seed, f); err != nil {
					t.Logf("history %d: %v", seed, err)
					return
				}
			}
			t.Error("nothing shows it")
		})
	}
}

// What begins to count at a wrong place, or in another epoch, does not meet the peer's count and chain, and is refused rather than filled.
func TestWhatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	for f, name := range map[fault]string{wrongBarrier: "counts from the marks of the other stream", ignoresTheEpoch: "takes barriers of another epoch"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			snapshots, honest := 0, 0
			for seed := range uint64(25) {
				for _, x := range []struct {
					f fault
					n *int
				}{{f, &snapshots}, {noFault, &honest}} {
					_, n, err := live(seed, x.f)
					if err != nil {
						t.Fatalf("history %d: %v", seed, err)
					}
					*x.n += n
				}
			}
			t.Logf("%d snapshots, and %d without the mistake", snapshots, honest)
		})
	}
}
