package wal

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// WindowSize is how many of a producer's latest sequences a [Window] tells apart.
const WindowSize = 1024

// Meeting says what a [Window] knows of a sequence.
type Meeting uint8

// What a sequence can be.
const (
	FirstMeeting Meeting = iota // it was not met before
	Repeated                    // it was met before
	BelowWindow                 // it is too far behind the highest one to tell
)

// Window remembers which of a producer's latest sequences were met: those that are less than WindowSize below the highest one. The zero
// Window has met none. Sequences are at least 0; those of a producer that skips some, or sends out of order, are told apart too.
type Window struct {
	next uint64 // the highest sequence and 1; 0 = none was met
	run  uint16 // with no bits: so many up to the highest were met, and none before
	bits *windowBits
}

// windowBits has the bit of a sequence at its remainder.
type windowBits [WindowSize / 64]uint64

func (b *windowBits) at(seq uint64) (*uint64, uint64) {
	i := seq % WindowSize
	return &b[i/64], 1 << (i % 64)
}

func (b *windowBits) has(seq uint64) bool { word, bit := b.at(seq); return *word&bit != 0 }
func (b *windowBits) set(seq uint64)      { word, bit := b.at(seq); *word |= bit }
func (b *windowBits) clear(seq uint64)    { word, bit := b.at(seq); *word &^= bit }

// Meet says what a sequence is, and remembers it unless it is below the window.
func (w *Window) Meet(sequence int64) Meeting {
	seq := uint64(sequence)
	switch {
	case seq >= w.next:
		w.raise(seq)
		return FirstMeeting
	case w.next-seq > WindowSize:
		return BelowWindow
	case w.met(seq):
		return Repeated
	}
	w.spread().set(seq)
	return FirstMeeting
}

// met reports whether a sequence in the window was met.
func (w *Window) met(seq uint64) bool {
	if w.bits == nil {
		return w.next-seq <= uint64(w.run)
	}
	return w.bits.has(seq)
}

// raise makes seq the highest one.
func (w *Window) raise(seq uint64) {
	switch gap := seq - w.next; {
	case w.next == 0 || gap >= WindowSize: // nothing that was met is left in the window
		w.run, w.bits = 1, nil
	case gap == 0 && w.bits == nil:
		w.run = min(w.run+1, WindowSize)
	default:
		bits := w.spread()
		for s := w.next; s < seq; s++ {
			bits.clear(s)
		}
		bits.set(seq)
	}
	w.next = seq + 1
}

// spread has the window keep a bit for each sequence: a run does not say all any more.
func (w *Window) spread() *windowBits {
	if w.bits == nil {
		w.bits = new(windowBits)
		for i := range uint64(w.run) {
			w.bits.set(w.next - 1 - i)
		}
	}
	return w.bits
}

// settle lets the bits go if a run says the same: most gaps close soon, and thousands of producers are remembered.
func (w *Window) settle() {
	if w.bits == nil {
		return
	}
	run := uint64(0)
	for run < min(w.next, WindowSize) && w.bits.has(w.next-1-run) {
		run++
	}
	for i := run; i < min(w.next, WindowSize); i++ {
		if w.bits.has(w.next - 1 - i) {
			return
		}
	}
	w.run, w.bits = uint16(run), nil
}

// append appends the window as text: the highest sequence and, after a slash, how many up to it were met; or, after a colon, in base64 the
// bits of those up to it, the highest one first, without the zeros at the end.
func (w *Window) append(dst []byte) []byte {
	w.settle()
	dst = strconv.AppendUint(dst, w.next-1, 10)
	if w.bits == nil {
		return strconv.AppendUint(append(dst, '/'), uint64(w.run), 10)
	}
	var b [WindowSize / 8]byte
	last := 0
	for i := range min(w.next, WindowSize) {
		if w.bits.has(w.next - 1 - i) {
			b[i/8] |= 0x80 >> (i % 8)
			last = int(i / 8)
		}
	}
	return base64.RawStdEncoding.AppendEncode(append(dst, ':'), b[:last+1])
}

func parseWindow(s string) (Window, error) {
	i := strings.IndexAny(s, "/:")
	if i < 0 {
		return Window{}, fmt.Errorf("window %q: want highest/run or highest:bits", s)
	}
	high, err := strconv.ParseUint(s[:i], 10, 63)
	if err != nil {
		return Window{}, fmt.Errorf("window %q: %w", s, err)
	}
	w := Window{next: high + 1}
	if s[i] == '/' {
		run, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || run < 1 || run > min(w.next, WindowSize) {
			return Window{}, fmt.Errorf("window %q: want a run of 1 to %d", s, min(w.next, WindowSize))
		}
		w.run = uint16(run)
		return w, nil
	}
	b, err := base64.RawStdEncoding.DecodeString(s[i+1:])
	if err != nil || len(b) == 0 || len(b) > WindowSize/8 || b[0]&0x80 == 0 {
		return Window{}, fmt.Errorf("window %q: want the bits of at most %d sequences in base64, that of the highest one set", s, WindowSize)
	}
	w.bits = new(windowBits)
	for i := range uint64(8 * len(b)) {
		if b[i/8]&(0x80>>(i%8)) == 0 {
			continue
		}
		if i >= w.next {
			return Window{}, fmt.Errorf("window %q: a bit for a sequence below 0", s)
		}
		w.bits.set(w.next - 1 - i)
	}
	return w, nil
}

// Producer is what is remembered of a producer in one partition.
type Producer struct {
	Last int64 // offset of its last record here: below the log's start it may be forgotten
	// Seen are the sequences that were met in each stream: the same at both sites, because they see a stream in the same order.
	Seen [2]Window // by Origin
	// Applied are the sequences that were executed, whatever the stream.
	Applied Window
	// Fenced are sequences that were fenced and not executed since, with those between them that never came. So what is replayed long after is told from what was
	// executed, though it is far below the window.
	Fenced Ranges
}

// Fence notes that a record with a sequence was fenced, unless it was, or may have been, executed before.
func (p *Producer) Fence(sequence int64) {
	a, n := &p.Applied, len(p.Fenced)
	switch {
	case n > 0 && sequence > p.Fenced[n-1].Last && a.next <= uint64(p.Fenced[n-1].First):
		p.Fenced[n-1].Last = sequence // nothing between was executed: so a producer that skips sequences needs no more room
	case uint64(sequence) >= a.next, a.next-uint64(sequence) <= WindowSize && !a.met(uint64(sequence)):
		p.Fenced.Add(sequence)
	}
}

// Execute says what is known of a sequence that is to be executed, and notes that it was.
func (p *Producer) Execute(sequence int64) Meeting {
	m := p.Applied.Meet(sequence)
	if m == BelowWindow && p.Fenced.Has(sequence) {
		m = FirstMeeting
	}
	p.Fenced.Remove(sequence)
	return m
}

// AppendText appends what stands in Redis of it: last=123 dc=42/42 applied=42/42, without the windows that have met nothing.
func (p *Producer) AppendText(dst []byte, s Sites) []byte {
	dst = strconv.AppendInt(append(dst, "last="...), p.Last, 10)
	for _, o := range Origins {
		if p.Seen[o].next > 0 {
			dst = append(append(append(dst, " seen."...), s.Name(o)...), '=')
			dst = p.Seen[o].append(dst)
		}
	}
	if p.Applied.next > 0 {
		dst = p.Applied.append(append(dst, " applied="...))
	}
	if len(p.Fenced) > 0 {
		dst = p.Fenced.append(append(dst, " fenced="...))
	}
	return dst
}

// ParseProducer reads what AppendText writes. Words that it does not know are an error: what they mean may decide what is executed.
func ParseProducer(text string, s Sites) (Producer, error) {
	var p Producer
	var err error
	for i, word := range strings.Split(text, " ") {
		name, value, _ := strings.Cut(word, "=")
		switch {
		case i == 0 && name == "last":
			p.Last, err = strconv.ParseInt(value, 10, 64)
		case i > 0 && name == "seen."+s.Self:
			p.Seen[Local], err = parseWindow(value)
		case i > 0 && name == "seen."+s.Peer:
			p.Seen[Mirrored], err = parseWindow(value)
		case i > 0 && name == "applied":
			p.Applied, err = parseWindow(value)
		case i > 0 && name == "fenced":
			p.Fenced, err = parseRanges(value)
		default:
			err = fmt.Errorf("%q is not known here", word)
		}
		if err != nil {
			return p, fmt.Errorf("producer %.200q: %w", text, err)
		}
	}
	return p, nil
}

// ProducersKey is the Redis key of the windows of repeats of a partition: a hash from the producer's id to [Producer.AppendText].
func ProducersKey(log string, partition int32) string {
	return CheckpointKey(log, partition) + ":producers"
}
