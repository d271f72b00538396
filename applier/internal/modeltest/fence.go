package modeltest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/wal"
)

// epoch is who writes, as a record says it; the zero epoch is null there.
type epoch struct {
	Generation uint32 `json:"generation"`
	Minor      uint32 `json:"minor"`
	Site       string `json:"site"`
}

func (e epoch) String() string {
	if e == (epoch{}) {
		return "none"
	}
	return fmt.Sprintf("%d.%d.%s", e.Generation, e.Minor, e.Site)
}

func (e epoch) after(o epoch) bool {
	if e.Generation != o.Generation {
		return e.Generation > o.Generation
	}
	if e.Minor != o.Minor {
		return e.Minor > o.Minor
	}
	return e.Site > o.Site
}

// fence is the part of a position that says which records count.
type fence struct {
	epoch     epoch
	activate  string
	activated int64
	settled   int // epochs that were settled with the peer
	root      wal.Hash
	sealed    map[string]bool // by site
}

// open reports whether what comes in a stream counts.
func (f *fence) open(site string) bool {
	return !f.sealed[site] && (f.epoch == epoch{} || f.epoch.Site == site)
}

// under reports whether a record that counts under one activate only may count.
func (f *fence) under(activate string) bool {
	if f.epoch == (epoch{}) {
		return activate == "none"
	}
	return activate == f.activate
}

func (f *fence) fields(into map[string]string) {
	var sealed []string
	for site, yes := range f.sealed {
		if yes {
			sealed = append(sealed, site)
		}
	}
	slices.Sort(sealed)
	if into["sealed"] = "0"; len(sealed) > 0 {
		into["sealed"] = strings.Join(sealed, " ")
	}
	into["epoch"], into["activate"], into["activated"], into["root"] = f.epoch.String(), f.activate, itoa(f.activated), f.root.String()
}

// said is what a control record other than a barrier says, whichever type it is of.
type said struct {
	ID       string     `json:"id"`
	Epoch    epoch      `json:"epoch"`
	Settles  []wal.Hash `json:"settles"`
	Closes   string     `json:"closes"`
	Activate string     `json:"activate"`
	Producer string     `json:"producer"`
	Seq      int64      `json:"seq"`
}

// decided is a fence as an attestation must tell of it.
type decided struct {
	counted bool
	epoch   string
	root    string
}

// control decides a control record that its stream does not repeat, and that is no barrier. Commands are those that a replay or a repair brings.
func (m *model) control(ctx context.Context, p *position, x parsed, r *kgo.Record, rec *wal.Record, commands []command) error {
	typ := wal.ControlType(header(r, wal.HeaderControl))
	var s said
	if err := json.Unmarshal(r.Value, &s); err != nil {
		return err
	}
	open := p.open(x.origin)
	switch typ {
	case wal.TypeSeal:
		counted := open && s.Epoch == p.epoch
		if counted {
			p.sealed[x.origin] = true
		}
		m.fenced(p, x, typ, s.ID, counted)
	case wal.TypeActivate:
		counted := s.Epoch.Site == x.origin && s.Epoch.after(p.epoch)
		if counted {
			p.begin(x.offset, s, r.Value)
		}
		m.fenced(p, x, typ, s.ID, counted)
	case wal.TypeResolve:
		if open && p.under(s.Activate) {
			of(p.applied, s.Producer).meet(s.Seq)
			p.last[s.Producer] = x.offset
		} else {
			m.Void++
		}
	case wal.TypeReplay:
		if !open || !p.under(s.Activate) {
			return m.keep(p, x, rec, false)
		}
		if err := m.count(p, x, rec); err != nil {
			return err
		}
		m.Replays++
		original := x
		if original.producer, original.seq, original.sequel = s.Producer, s.Seq, s.Producer != ""; original.sequel {
			p.last[s.Producer] = x.offset
		}
		return m.once(ctx, p, original, commands)
	case wal.TypeRepair:
		if !open || !p.under(s.Activate) {
			m.Void++
			return nil
		}
		if err := m.count(p, x, rec); err != nil {
			return err
		}
		if x.origin == self { // its own value: for the other site
			commands = nil
		}
		return m.once(ctx, p, x, commands)
	default:
		return fmt.Errorf("a control record of a type that nobody wrote: %s", typ)
	}
	return nil
}

// fenced notes a seal or an activate that was decided.
func (m *model) fenced(p *position, x parsed, typ wal.ControlType, id string, counted bool) {
	if !counted {
		m.Void++
	} else if typ == wal.TypeActivate {
		m.Epochs++
	}
	m.fences[fmt.Sprintf("%d %s %s %s", x.partition, x.origin, typ, id)] = decided{counted, p.epoch.String(), p.root.String()}
}

// begin closes the epoch and begins another.
func (p *position) begin(offset int64, s said, activate []byte) {
	c := wal.Closing{Activate: p.activate, Root: p.root, Streams: map[string]wal.Counted{}}
	if p.epoch != (epoch{}) {
		c.Epoch = wal.Epoch{Generation: p.epoch.Generation, Minor: p.epoch.Minor, Site: p.epoch.Site}
	}
	for site, st := range p.streams {
		c.Streams[site] = wal.Counted{N: uint64(st.n), H: st.h}
		st.sum = sum{}
	}
	if s.Closes != "" && s.Closes == p.activate && slices.Contains(s.Settles, p.root) {
		p.root = c.Settled(activate)
		p.settled++
	} else {
		p.root = c.Next()
	}
	p.epoch, p.activate, p.activated, p.sealed = s.Epoch, s.ID, offset, map[string]bool{}
}

// keep is what becomes of a record that does not count. An application's own may be replayed later, and is told from what was executed.
func (m *model) keep(p *position, x parsed, rec *wal.Record, own bool) error {
	e, err := rec.Envelope()
	if err != nil {
		return err
	}
	s := p.streams[x.origin]
	s.fenced.n++
	s.fenced.h = m.chain.Next(s.fenced.h, rec, &e)
	m.Fenced++
	m.kept[x.place] = true
	if own && x.sequel {
		of(p.applied, x.producer).fence(x.seq)
	}
	return nil
}

// moves is what persons, and scripts gone wild, have done so far: in each partition the greatest epoch and its activate.
type moves struct {
	signer *wal.Signer
	at     [partitions]struct {
		epoch    wal.Epoch
		activate string
	}
	seq map[string]*[partitions]int64 // of their control records, by site
	n   int                           // ids
}

// fencing is what moves the writer, and what should not.
func (r *run) fencing() []kind {
	return []kind{
		{6, step{"planned cutover", false, r.cutover}},
		{2, step{"takeover", true, r.takeover}},
		{2, step{"control records that come too late", true, r.staleControls}},
		{6, step{"replays", false, r.replay}},
		{3, step{"repairs", false, r.repair}},
	}
}

// some is one partition, or all.
func (r *run) some() []int32 {
	if r.rand.IntN(2) == 0 {
		return []int32{int32(r.rand.IntN(partitions))}
	}
	return []int32{0, 1, 2, 3}
}

// writer is mostly the site that writes in a partition.
func (r *run) writer(p int32) string {
	if site := r.moves.at[p].epoch.Site; site != "" && r.rand.IntN(8) > 0 {
		return site
	}
	return r.site()
}

func (r *run) site() string { return []string{self, peer}[r.rand.IntN(2)] }

// say appends a control record at a site. As after a lost answer, it may come once more at any time.
func (r *run) say(ctx context.Context, site string, partition int32, typ wal.ControlType, payload any, more ...kgo.RecordHeader) error {
	value, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	if r.moves.seq[site] == nil {
		r.moves.seq[site] = &[partitions]int64{}
	}
	r.moves.seq[site][partition]++
	rec := &kgo.Record{Topic: r.kafka.Log, Partition: partition, Value: value, Timestamp: time.Now()}
	for _, h := range r.moves.signer.Headers(partition, typ, value) {
		rec.Headers = append(rec.Headers, kgo.RecordHeader(h))
	}
	rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: wal.HeaderProducer, Value: []byte("walctl/" + site)},
		kgo.RecordHeader{Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, r.moves.seq[site][partition], 10)})
	rec.Headers = append(rec.Headers, more...)
	r.sent = append(r.sent, sent{rec, site})
	if site == peer {
		r.peer.append(at(rec, peer))
		return nil
	}
	return r.produce(ctx, []*kgo.Record{at(rec, self)})
}

func (r *run) id() string {
	r.moves.n++
	return "said-" + strconv.Itoa(r.moves.n)
}

// cutover closes the stream of the site that writes and opens the other one. The activate may be appended before anybody has decided the seal: persons are impatient.
func (r *run) cutover(ctx context.Context) error {
	for _, p := range r.some() {
		now := r.moves.at[p]
		from := now.epoch.Site
		if from == "" {
			from = r.site()
		}
		if err := r.say(ctx, from, p, wal.TypeSeal, wal.Seal{ID: r.id(), Epoch: now.epoch}); err != nil {
			return err
		}
		if r.rand.IntN(4) == 0 {
			continue // died here; the next one goes on
		}
		if err := r.open(ctx, p, now.epoch.Planned(other(from)), "planned"); err != nil {
			return err
		}
	}
	return nil
}

// takeover opens a stream without asking; now and then both sites at once.
func (r *run) takeover(ctx context.Context) error {
	for _, p := range r.some() {
		now, to := r.moves.at[p].epoch, r.site()
		if err := r.open(ctx, p, now.Takeover(to), "takeover"); err != nil {
			return err
		}
		if r.rand.IntN(3) == 0 {
			if err := r.open(ctx, p, now.Takeover(other(to)), "takeover"); err != nil {
				return err
			}
		}
	}
	return nil
}

// open appends an activate. Some of them settle what they close, or try to.
func (r *run) open(ctx context.Context, p int32, e wal.Epoch, reason string) error {
	a := wal.Activate{ID: r.id(), Epoch: e, Reason: reason}
	if last := r.moves.at[p].activate; last != "" && r.rand.IntN(2) == 0 {
		a.Settles, a.Closes = []wal.Hash{{1, 2, 3}, r.root(ctx, p, last)}, last
	}
	if e.Compare(r.moves.at[p].epoch) > 0 {
		r.moves.at[p].epoch, r.moves.at[p].activate = e, a.ID
	}
	return r.say(ctx, e.Site, p, wal.TypeActivate, a)
}

// root is what Redis holds as a partition's root once it has met an activate. Within aWhile: if it is not there by then, what is returned settles nothing.
func (r *run) root(ctx context.Context, p int32, activate string) (h wal.Hash) {
	ctx, cancel := context.WithTimeout(ctx, aWhile/2)
	defer cancel()
	_ = poll(ctx, func() error {
		held, err := r.redises.first().client.HMGet(ctx, wal.CheckpointKey(r.kafka.Log, p), "root", "activate").Result()
		if err != nil || held[1] != activate {
			return errStill
		}
		return h.UnmarshalText([]byte(held[0].(string)))
	})
	return h
}

// staleControls are those that must not do anything: of epochs that are over or that nobody has begun, and in the wrong stream.
func (r *run) staleControls(ctx context.Context) error {
	for _, p := range r.some() {
		now := r.moves.at[p].epoch
		stale := now
		if stale.Minor > 0 {
			stale.Minor--
		}
		if stale.Site == "" {
			stale.Site = r.site()
		}
		for _, say := range []func() error{
			func() error { return r.say(ctx, r.site(), p, wal.TypeSeal, wal.Seal{ID: r.id(), Epoch: stale}) },
			func() error {
				return r.say(ctx, stale.Site, p, wal.TypeActivate, wal.Activate{ID: r.id(), Epoch: stale, Reason: "stale"})
			},
			func() error {
				e := now.Takeover(r.site())
				return r.say(ctx, other(e.Site), p, wal.TypeActivate, wal.Activate{ID: r.id(), Epoch: e, Reason: "in the wrong stream"})
			},
		} {
			if r.rand.IntN(2) == 0 {
				if err := say(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// under is the id under which a replay is said to count; now and then one that is over.
func (r *run) under(p int32) string {
	switch id := r.moves.at[p].activate; {
	case r.rand.IntN(8) == 0:
		return "said-1"
	case id != "":
		return id
	}
	return wal.NoActivate
}

// replay appends again what applications have sent, fenced or not, or drops it for good.
func (r *run) replay(ctx context.Context) error {
	for range 1 + r.rand.IntN(60) {
		if len(r.sent) == 0 {
			return nil
		}
		s := r.sent[r.rand.IntN(len(r.sent))]
		n, err := strconv.Atoi(header(s.record, number))
		if err != nil || header(s.record, wal.HeaderControl) != "" || r.meanings[n].poison != "" {
			continue
		}
		producer := header(s.record, wal.HeaderProducer)
		seq, err := strconv.ParseInt(header(s.record, wal.HeaderSeq), 10, 64)
		if err != nil {
			return err
		}
		p := s.record.Partition
		at := r.writer(p)
		if r.rand.IntN(5) == 0 {
			err = r.say(ctx, at, p, wal.TypeResolve, wal.Resolve{ID: r.id(), Activate: r.under(p), Producer: producer, Seq: seq})
		} else {
			err = r.say(ctx, at, p, wal.TypeReplay, wal.Replay{
				ID: r.id(), Activate: r.under(p), Key: s.record.Key, Value: s.record.Value, Timestamp: s.record.Timestamp.UnixMilli(), Level: 1,
				ContentType: header(s.record, wal.HeaderContentType), Producer: producer, Seq: seq,
			}, kgo.RecordHeader{Key: number, Value: []byte(header(s.record, number))})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// repair appends values of keys, as a deep check's repair does: where they come from they change nothing.
func (r *run) repair(ctx context.Context) error {
	for range 1 + r.rand.IntN(20) {
		key := fmt.Sprintf("{t%d}:s%d", r.rand.IntN(r.ops.tags), r.rand.IntN(3))
		p := wal.Partition(wal.RoutingKey([]byte(key)), r.kafka.Partitions)
		at := r.writer(p)
		repair := wal.Repair{ID: r.id(), Activate: r.under(p), Key: []byte(key), Next: 1}
		cmd := c("DEL", key)
		if r.rand.IntN(3) > 0 {
			repair.Dump = []byte(r.ops.dumps[0])
			cmd = c("RESTORE", key, "0", r.ops.dumps[0], "REPLACE", "ABSTTL")
		}
		r.meanings = append(r.meanings, meaning{commands: []command{cmd}})
		if err := r.say(ctx, at, p, wal.TypeRepair, repair, kgo.RecordHeader{Key: number, Value: strconv.AppendInt(nil, int64(len(r.meanings)-1), 10)}); err != nil {
			return err
		}
	}
	return nil
}
