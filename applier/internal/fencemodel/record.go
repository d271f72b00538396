package fencemodel

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/comptech-lab/redis-wal/wal"
)

// site is the number of a site.
type site uint8

const (
	dc site = iota
	dr
)

var (
	sites = [2]site{dc, dr}
	names = [2]string{"dc", "dr"}
)

func (s site) String() string { return names[s] }
func (s site) peer() site     { return 1 - s }

// names seen from a site.
func (s site) names() wal.Sites { return wal.Sites{Self: s.String(), Peer: s.peer().String()} }

func siteOf(name string) site {
	if name == names[dc] {
		return dc
	}
	return dr
}

// originAt is the origin of a stream as a site calls it.
func originAt(at, stream site) wal.Origin {
	if at == stream {
		return wal.Local
	}
	return wal.Mirrored
}

const (
	logName  = "redis-writes"
	client   = "app" // the producer of all data: its sequence is the record's number
	maxData  = 8
	maxKeys  = 2
	aTime    = 1000
	noRecord = recordID(0)
)

type recordID uint32

// kind is what a record is.
type kind uint8

const (
	aWrite kind = iota
	aReplay
	aResolve
	aRepair
	aBarrier
	aFence
)

// record is one that somebody appended. The same one may stand in a log several times.
type record struct {
	kind   kind
	origin site
	data   uint8 // the number of the write, of the one that is replayed, or of the one that is resolved
	key    uint8
	id     string // of a control record
	text   string
	own    wal.Record // as the log of its origin holds it; that of the peer holds copied
	copied wal.Record
}

// letter is a write as traces and values show it.
func letter(data uint8) string { return string(rune('a' + data)) }

func keyName(key uint8) []byte { return fmt.Appendf(nil, "k%d", key) }

// records gives every record that is made a number. Equal ones have the same.
type records struct {
	signer *wal.Signer
	keys   uint8
	all    []record
	known  map[string]recordID
}

func newRecords(keys int) (*records, error) {
	signer, err := wal.NewSigner(logName, make([]byte, wal.MinSigningKey))
	return &records{signer: signer, keys: uint8(keys), all: make([]record, 1), known: map[string]recordID{}}, err
}

func (r *records) keyOf(data uint8) uint8 { return data % r.keys }

func (r *records) intern(text string, make func() record) recordID {
	if id, ok := r.known[text]; ok {
		return id
	}
	made := make()
	made.copied = made.own
	made.copied.Headers = slices.DeleteFunc(slices.Clone(made.own.Headers), func(h wal.Header) bool { return h.Key == wal.HeaderLocal })
	made.copied.Transactional = true
	id := recordID(len(r.all))
	r.all = append(r.all, made)
	r.known[text] = id
	return id
}

// value is what a write does: it appends its letter, so that one that is lost or done twice shows.
func (r *records) value(data uint8) (key, value []byte) {
	key = keyName(r.keyOf(data))
	return key, wal.Op{Commands: [][][]byte{{[]byte("APPEND"), key, []byte(letter(data))}}}.AppendRESP(nil)
}

func (r *records) write(origin site, data uint8) recordID {
	return r.intern(origin.String()+letter(data), func() record {
		key, value := r.value(data)
		return record{kind: aWrite, origin: origin, data: data, key: r.keyOf(data), text: letter(data), own: wal.Record{
			Timestamp: aTime, Key: key, Value: value,
			Headers: append([]wal.Header{{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderLocal, Value: []byte("1")}}, sequenced(client, int64(data))...),
		}}
	})
}

func sequenced(producer string, seq int64) []wal.Header {
	return []wal.Header{{Key: wal.HeaderProducer, Value: []byte(producer)}, {Key: wal.HeaderSeq, Value: strconv.AppendInt(nil, seq, 10)}}
}

// author is who appends a control record: his name and the record's sequence make its id.
type author struct {
	name string
	seq  uint8
}

func (a author) id() string { return fmt.Sprintf("%s.%d", a.name, a.seq) }

// control makes a control record of which template says what is no payload.
func (r *records) control(by author, typ wal.ControlType, payload any, template record) recordID {
	value, err := json.Marshal(payload)
	if err != nil {
		panic(err) // of texts and numbers: never fails
	}
	return r.intern(template.origin.String()+string(typ)+by.id()+string(value), func() record {
		template.id = by.id()
		template.own = wal.Record{Timestamp: aTime, Value: value, Headers: append(r.signer.Headers(0, typ, value), sequenced(by.name, int64(by.seq))...)}
		return template
	})
}

func (r *records) barrier(by author, at site, number uint64) recordID {
	return r.control(by, wal.TypeBarrier, wal.Barrier{ID: by.id(), Number: number, Partitions: 1}, record{kind: aBarrier, origin: at, text: "barrier"})
}

func (r *records) seal(by author, at site, e wal.Epoch) recordID {
	return r.control(by, wal.TypeSeal, wal.Seal{ID: by.id(), Epoch: e}, record{kind: aFence, origin: at, text: fmt.Sprintf("seal{%s}", e)})
}

func (r *records) activate(by author, at site, a wal.Activate) recordID {
	a.ID, a.Reason = by.id(), "model"
	text := fmt.Sprintf("activate{%s}", a.Epoch)
	if a.Settles != nil {
		text = fmt.Sprintf("activate{%s, settles}", a.Epoch)
	}
	return r.control(by, wal.TypeActivate, a, record{kind: aFence, origin: at, text: text})
}

func (r *records) replay(by author, at site, under string, data uint8) recordID {
	key, value := r.value(data)
	return r.control(by, wal.TypeReplay, wal.Replay{ID: by.id(), Activate: under, Key: key, Value: value, Timestamp: aTime, Level: 1, Producer: client, Seq: int64(data)},
		record{kind: aReplay, origin: at, data: data, key: r.keyOf(data), text: fmt.Sprintf("replay{%s}", letter(data))})
}

func (r *records) resolve(by author, at site, under string, data uint8) recordID {
	return r.control(by, wal.TypeResolve, wal.Resolve{ID: by.id(), Activate: under, Producer: client, Seq: int64(data)},
		record{kind: aResolve, origin: at, data: data, text: fmt.Sprintf("resolve{%s}", letter(data))})
}

func (r *records) repair(by author, at site, under string, key uint8, value string, next int64) recordID {
	p := wal.Repair{ID: by.id(), Activate: under, Key: keyName(key), Next: next}
	if value != "" {
		p.Dump = []byte(value)
	}
	return r.control(by, wal.TypeRepair, p, record{kind: aRepair, origin: at, key: key, text: fmt.Sprintf("repair{k%d = %q}", key, value)})
}
