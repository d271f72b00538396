package fencemodel

import (
	"fmt"
	"slices"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/wal"
)

// historyID is the number of a log's content at a site. The empty logs have the numbers of their sites.
type historyID uint32

// history is a log's content, and what the site has made of it.
type history struct {
	site site
	log  []recordID // offset by offset
	own  []recordID // those of its own stream, for the mirror

	at        wal.Checkpoint
	producers []producer // what Redis holds of them
	redis     redis

	decided  []decided     // barriers, seals and activates, in order
	counted  []epochs      // of its own stream, in order: what was counted in each epoch
	closings []wal.Closing // all that there ever were; a checkpoint forgets those before a settling
	fenced   uint8         // the writes that were fenced, of both streams
	kept     []uint8       // those of its own stream, in order
	resolved uint8         // the writes that were resolved
}

// producer is one field of the hash that remembers them.
type producer struct{ id, text string }

// redis is the data of a site, and what the model remembers of how they came about.
type redis struct {
	values   [maxKeys]string
	executed [maxData]uint8 // how often each write was
	early    string         // the writes that were executed before the first epoch
	later    string         // those after it
	streams  uint8          // the streams that those of early stood in
}

// decided is a barrier, seal or activate that was decided, and the history that ends with it.
type decided struct {
	record  recordID
	counted bool
	at      historyID
}

// epochs are the records of an epoch.
type epochs struct {
	epoch   wal.Epoch
	records []recordID
}

// histories have every content of a log planned once.
type histories struct {
	records  *records
	planners [2]*plan.Planner
	all      []*history
	longer   map[extension]historyID
}

type extension struct {
	of     historyID
	record recordID
}

func newHistories(r *records, without plan.Rule) *histories {
	h := &histories{records: r, longer: map[extension]historyID{}}
	for _, s := range sites {
		h.all = append(h.all, &history{site: s, at: wal.Checkpoint{Position: wal.Position{LeaderEpoch: -1}}})
		h.planners[s] = plan.New(plan.Rules{
			Sites: s.names(), Log: logName, Partitions: 1, Signer: r.signer, MirrorExactlyOnce: true, MaxRecords: 100, MaxBytes: 1 << 20, Without: without,
		})
	}
	return h
}

// append is a history with one more record.
func (hs *histories) append(id historyID, r recordID) historyID {
	next, ok := hs.longer[extension{id, r}]
	if !ok {
		next = historyID(len(hs.all))
		hs.all = append(hs.all, hs.plan(hs.all[id], next, r))
		hs.longer[extension{id, r}] = next
	}
	return next
}

// plan has the site's planner decide one more record, and does what the batch says.
func (hs *histories) plan(before *history, next historyID, r recordID) *history {
	rec := &hs.records.all[r]
	h := *before
	h.log = add(h.log, r)
	in := rec.copied
	if rec.origin == h.site {
		in = rec.own
		h.own = add(h.own, r)
	}
	in.Offset = h.at.Next
	stored := make(map[string]wal.Producer, len(h.producers))
	for _, p := range h.producers {
		known, err := wal.ParseProducer(p.text, h.site.names())
		must(err)
		stored[p.id] = known
	}
	b, n, err := hs.planners[h.site].Plan(plan.Input{From: h.at, Records: []wal.Record{in}, Producers: plan.NewProducers(stored), Alone: -1})
	must(err)
	if n != 1 || len(b.Copies) > 0 {
		panic(fmt.Sprintf("fencemodel: %s at %s is no record that an applier takes: %+v", rec.text, h.site, b.Copies))
	}
	h.at = b.To
	h.remember(b.Memory)
	h.execute(b, rec)
	h.note(b, before, next, r, rec)
	return &h
}

// must stops the model at a mistake of its own.
func must(err error) {
	if err != nil {
		panic(fmt.Errorf("fencemodel: %w", err))
	}
}

// add is append that leaves other histories' slices alone.
func add[T any](s []T, v T) []T { return append(s[:len(s):len(s)], v) }

// remember does what keeps the windows of repeats.
func (h *history) remember(wire []byte) {
	if len(wire) == 0 {
		return
	}
	op, err := wal.DecodeOp(wire, "")
	must(err)
	h.producers = slices.Clone(h.producers)
	for _, args := range op.Commands {
		for f := 2; f < len(args); f += 2 {
			p := producer{string(args[f]), string(args[f+1])}
			if i := slices.IndexFunc(h.producers, func(q producer) bool { return q.id == p.id }); i >= 0 {
				h.producers[i] = p
			} else {
				h.producers = append(h.producers, p)
			}
		}
	}
}

// execute does what a batch has Redis do.
func (h *history) execute(b *plan.Batch, rec *record) {
	for _, wire := range b.Wire {
		op, err := wal.DecodeOp(wire, "")
		must(err)
		for _, args := range op.Commands {
			value := &h.redis.values[args[1][1]-'0']
			switch string(args[0]) {
			case "DEL":
				*value = ""
			case "RESTORE":
				*value = string(args[3])
			case "APPEND":
				*value += string(args[2])
				h.redis.executed[rec.data]++
				if h.at.Epoch.IsNone() {
					h.redis.early += letter(rec.data)
					h.redis.streams |= 1 << rec.origin
				} else {
					h.redis.later += letter(rec.data)
				}
			}
		}
	}
}

// note keeps what operators and promises ask for.
func (h *history) note(b *plan.Batch, before *history, next historyID, r recordID, rec *record) {
	bit := uint8(1) << rec.data
	if len(b.Fenced) > 0 {
		h.fenced |= bit
		if rec.origin == h.site && !slices.Contains(h.kept, rec.data) {
			h.kept = add(h.kept, rec.data)
		}
	}
	if rec.kind == aResolve && b.Counts.Void == 0 && b.Counts.Repeats == 0 {
		h.resolved |= bit
	}
	if b.Barrier != nil {
		h.decided = add(h.decided, decided{record: r, counted: true, at: next})
	}
	if b.Fence != nil {
		h.decided = add(h.decided, decided{record: r, counted: b.Fence.Counted, at: next})
		if b.ClosingsChanged {
			if len(h.at.Closings) == 0 {
				panic(fmt.Sprintf("fencemodel: %s has closed an epoch at %s and left no closing", rec.text, h.site))
			}
			h.closings = add(h.closings, h.at.Closings[len(h.at.Closings)-1])
		}
	}
	if own := h.at.Streams[wal.Local].N; own > before.at.Streams[wal.Local].N {
		if n := len(h.counted); n == 0 || h.counted[n-1].epoch != h.at.Epoch {
			h.counted = add(h.counted, epochs{epoch: h.at.Epoch})
		}
		h.counted = slices.Clone(h.counted)
		last := &h.counted[len(h.counted)-1]
		last.records = add(last.records, r)
	}
}

// countedIn are the records of its own stream that the site counted in an epoch.
func (h *history) countedIn(e wal.Epoch) []recordID {
	for _, c := range h.counted {
		if c.epoch == e {
			return c.records
		}
	}
	return nil
}

// decidedLast finds what was decided of the control record with an id. The last answer is the only one, unless barriers are decided more than once.
func (hs *histories) decidedLast(h *history, id string) (decided, bool) {
	for i := len(h.decided) - 1; i >= 0; i-- {
		if hs.records.all[h.decided[i].record].id == id {
			return h.decided[i], true
		}
	}
	return decided{}, false
}

// attested is what the site says at a seal or activate that it has decided.
func (hs *histories) attested(h *history, id string) (wal.Attestation, bool) {
	d, ok := hs.decidedLast(h, id)
	if !ok {
		return wal.Attestation{}, false
	}
	rec := &hs.records.all[d.record]
	typ := wal.ControlType(header(&rec.own, wal.HeaderControl))
	return hs.all[d.at].at.AttestFence(h.site.names(), 0, wal.AttestedFence{Type: typ, ID: id, Origin: rec.origin.String(), Counted: d.counted}), true
}

// now is the latest that the site can have said.
func (h *history) now() wal.Attestation {
	return h.at.AttestFence(h.site.names(), 0, wal.AttestedFence{})
}

func header(r *wal.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
