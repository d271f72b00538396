package reach

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach/rotate"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Remote reaches a site through a [Serve] at the other end of a byte stream. It is safe for use by many goroutines.
type Remote struct {
	id     writer.Identity
	stream io.ReadWriteCloser
	out    *sender
	dead   chan struct{} // nothing comes any more
	err    error         // why; set before dead is closed

	mu      sync.Mutex
	last    uint64 // id of a request
	waiting map[uint64]*waiting
}

// waiting is a request that is not done.
type waiting struct {
	mu   sync.Mutex
	came []incoming
	more chan struct{} // has one when something came
}

// incoming is an answer and the length of its line.
type incoming struct {
	answer[json.RawMessage]
	size int
}

// Dial says hello over a stream, at the other end of which is [Serve]. It waits for the other side's hello as long as the stream stays open; if that does not please,
// the stream is the caller's to close, else [Remote.Close] closes it.
func Dial(stream io.ReadWriteCloser) (*Remote, error) {
	in := scanner(stream)
	id, err := greet(in)
	if err != nil {
		return nil, err
	}
	r := &Remote{id: id, stream: stream, dead: make(chan struct{}), waiting: map[uint64]*waiting{}}
	r.out = newSender(stream, r.dead)
	go r.read(in)
	return r, nil
}

// greet reads the server's hello.
func greet(in *bufio.Scanner) (writer.Identity, error) {
	if !in.Scan() {
		err := in.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return writer.Identity{}, fmt.Errorf("no hello of a `redis-applier ctl`: %w", err)
	}
	var h hello
	if err := json.Unmarshal(in.Bytes(), &h); err != nil || h.Protocol != protocol {
		return h.Identity, fmt.Errorf("no `redis-applier ctl` answers, but %.200q", in.Bytes())
	}
	site := h.Identity.Sites.Self
	switch {
	case h.Version < Version:
		return h.Identity, fmt.Errorf("redis-applier of %s speaks version %d, this program %d; upgrade redis-applier of %s", site, h.Version, Version, site)
	case h.Version > Version:
		return h.Identity, fmt.Errorf("redis-applier of %s speaks version %d, this program %d; upgrade walctl", site, h.Version, Version)
	}
	return h.Identity, nil
}

// read hands on what comes to those who wait for it. It never waits for them: how much they are behind is bounded by the window.
func (r *Remote) read(in *bufio.Scanner) {
	err := readLines(in, func(line []byte) error {
		a := incoming{size: len(line) + 1}
		if err := json.Unmarshal(line, &a.answer); err != nil {
			return fmt.Errorf("an answer cannot be read: %w: %.200q", err, line)
		}
		r.mu.Lock()
		w := r.waiting[a.ID]
		r.mu.Unlock()
		if w != nil {
			w.add(a)
		}
		return nil
	})
	if errors.Is(err, io.EOF) {
		err = errors.New("the other side has ended")
	}
	r.err = fmt.Errorf("%s: %w", r.id.Sites.Self, err)
	close(r.dead)
}

func (w *waiting) add(a incoming) {
	w.mu.Lock()
	w.came = append(w.came, a)
	w.mu.Unlock()
	select {
	case w.more <- struct{}{}:
	default:
	}
}

func (w *waiting) take() (incoming, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.came) == 0 {
		return incoming{}, false
	}
	a := w.came[0]
	w.came = w.came[1:]
	return a, true
}

// Close implements [Site].
func (r *Remote) Close() error {
	err := r.stream.Close()
	<-r.dead
	return err
}

// do sends a request and hands on its items until it is done. The error is that of the server, of item, or of ctx; the latter two end the request there.
func (r *Remote) do(ctx context.Context, method string, args, result any, item func(json.RawMessage) error, caught func()) error {
	id, w := r.enlist()
	defer r.forget(id)
	if err := r.ask(ctx, id, method, args); err != nil {
		return err
	}
	taken := 0
	for {
		a, err := r.next(ctx, w)
		if err == nil && a.Item != nil && item != nil {
			err = item(a.Item)
		}
		if err != nil {
			r.abandon(id)
			return err
		}
		if a.Caught && caught != nil {
			caught()
		}
		if a.Done {
			if a.Error != "" {
				return &farError{a.Error, codes[a.Code]}
			}
			if result == nil {
				return nil
			}
			if err := json.Unmarshal(a.Result, result); err != nil {
				return fmt.Errorf("%s: result of %s: %w", r.id.Sites.Self, method, err)
			}
			return nil
		}
		if a.Item == nil {
			continue
		}
		if taken += a.size; taken >= window/2 {
			b, err := line(request{ID: id, Taken: taken})
			if err == nil {
				err = r.send(ctx, b)
			}
			if err != nil {
				r.abandon(id)
				return err
			}
			taken = 0
		}
	}
}

func (r *Remote) enlist() (uint64, *waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	w := &waiting{more: make(chan struct{}, 1)}
	r.waiting[r.last] = w
	return r.last, w
}

func (r *Remote) forget(id uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, id)
}

func (r *Remote) ask(ctx context.Context, id uint64, method string, args any) error {
	in, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("%s: arguments of %s: %w", r.id.Sites.Self, method, err)
	}
	b, err := line(request{ID: id, Method: method, Args: in})
	if err != nil {
		return fmt.Errorf("%s: arguments of %s: %w", r.id.Sites.Self, method, err)
	}
	return r.send(ctx, b)
}

// send sends a line. When the other side is gone, the error is what was read last of it, which says more.
func (r *Remote) send(ctx context.Context, line []byte) error {
	err := r.out.send(ctx, line)
	if err == nil || ctx.Err() != nil {
		return err
	}
	go func() { _ = r.stream.Close() }() // what cannot be written to will not answer; this ends the reading
	select {
	case <-r.dead:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// abandon tells the server, if it can still be told, that nobody waits any more.
func (r *Remote) abandon(id uint64) {
	b, err := line(request{ID: id, Cancel: true})
	if err == nil {
		go func() { _ = r.send(context.Background(), b) }() // ends with the stream
	}
}

// next is the next answer to a request.
func (r *Remote) next(ctx context.Context, w *waiting) (incoming, error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return incoming{}, err
		}
		if a, ok := w.take(); ok {
			return a, nil
		}
		select {
		case <-w.more:
		case <-ctx.Done():
		case <-r.dead:
			if a, ok := w.take(); ok { // it came before the end
				return a, nil
			}
			return incoming{}, r.err
		}
	}
}

// Identity implements [writer.Site].
func (r *Remote) Identity() writer.Identity { return r.id }

// Append implements [writer.Site].
func (r *Remote) Append(ctx context.Context, controls []writer.Control) (offsets []int64, err error) {
	err = r.do(ctx, methodAppend, controls, &offsets, nil, nil)
	return offsets, err
}

// Follow implements [writer.Site].
func (r *Remote) Follow(ctx context.Context, since time.Time, each func(wal.Attestation) error, caught func()) error {
	return r.do(ctx, methodFollow, followArgs{since}, nil, func(b json.RawMessage) error {
		var a wal.Attestation
		if err := json.Unmarshal(b, &a); err != nil {
			return fmt.Errorf("%s: an attestation cannot be read: %w", r.id.Sites.Self, err)
		}
		return each(a)
	}, caught)
}

// Ends implements [writer.Site].
func (r *Remote) Ends(ctx context.Context) (ends writer.Ends, err error) {
	err = r.do(ctx, methodEnds, nil, &ends, nil, nil)
	return ends, err
}

// Records implements [writer.Site].
func (r *Remote) Records(ctx context.Context, partition int32, from, to int64, each func(wal.Record) error) error {
	return r.do(ctx, methodRecords, recordsArgs{partition, from, to}, nil, func(b json.RawMessage) error {
		var wire wireRecord
		if err := json.Unmarshal(b, &wire); err != nil {
			return fmt.Errorf("%s: a record cannot be read: %w", r.id.Sites.Self, err)
		}
		return each(wire.record())
	}, nil)
}

// Copies implements [writer.Site].
func (r *Remote) Copies(ctx context.Context, list writer.List, each func(writer.Copy) error) error {
	return r.do(ctx, methodCopies, copiesArgs{list}, nil, func(b json.RawMessage) error {
		var wire wireCopy
		if err := json.Unmarshal(b, &wire); err != nil {
			return fmt.Errorf("%s: a copy cannot be read: %w", r.id.Sites.Self, err)
		}
		return each(wire.copy())
	}, nil)
}

// Mark implements [writer.Site].
func (r *Remote) Mark(ctx context.Context, list writer.List, marks []writer.Mark) error {
	for some := range slices.Chunk(marks, someMarks) {
		if err := r.do(ctx, methodMark, markArgs{list, some}, nil, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// Checkpoints implements [writer.Site].
func (r *Remote) Checkpoints(ctx context.Context) (all []wal.Checkpoint, err error) {
	err = r.do(ctx, methodCheckpoints, nil, &all, nil, nil)
	return all, err
}

// Tail implements [writer.Site].
func (r *Remote) Tail(ctx context.Context, q writer.TailQuery) (tail []writer.TailRecord, err error) {
	err = r.do(ctx, methodTail, q, nil, func(b json.RawMessage) error {
		var wire wireTail
		if err := json.Unmarshal(b, &wire); err != nil {
			return fmt.Errorf("%s: a record cannot be read: %w", r.id.Sites.Self, err)
		}
		tail = append(tail, wire.record())
		return nil
	}, nil)
	return tail, err
}

// Repair implements [writer.Site].
func (r *Remote) Repair(ctx context.Context, keys [][]byte, under map[int32]string, timeout time.Duration) (report converge.RepairReport, err error) {
	err = r.do(ctx, methodRepair, repairArgs{keys, under, timeout}, &report, nil, nil)
	return report, err
}

// Check implements [writer.Site].
func (r *Remote) Check(ctx context.Context, timeout time.Duration) (report converge.Report, err error) {
	err = r.do(ctx, methodCheck, checkArgs{timeout}, &report, nil, nil)
	return report, err
}

// Redis implements [Site].
func (r *Remote) Redis(ctx context.Context) (state Redis, err error) {
	err = r.do(ctx, methodRedis, nil, &state, nil, nil)
	return state, err
}

// Values implements [Site].
func (r *Remote) Values(ctx context.Context, keys [][]byte) (values []Value, err error) {
	err = r.do(ctx, methodValues, keys, &values, nil, nil)
	return values, err
}

// Witness implements [Site].
func (r *Remote) Witness(ctx context.Context, o wal.Observation) error {
	return r.do(ctx, methodWitness, o, nil, nil, nil)
}

// Witnessed implements [Site].
func (r *Remote) Witnessed(ctx context.Context, since time.Time) (all []wal.Observation, err error) {
	err = r.do(ctx, methodWitnessed, witnessedArgs{since}, &all, nil, nil)
	return all, err
}

// Adoptable implements [Site].
func (r *Remote) Adoptable(ctx context.Context) (out Adoptable, err error) {
	err = r.do(ctx, methodAdoptable, nil, &out, nil, nil)
	return out, err
}

// Writes implements [Site].
func (r *Remote) Writes(ctx context.Context) (out Writes, err error) {
	err = r.do(ctx, methodWrites, nil, &out, nil, nil)
	return out, err
}

// Rotate implements [Site].
func (r *Remote) Rotate(ctx context.Context, request rotate.Request) (out rotate.State, err error) {
	err = r.do(ctx, methodRotate, request, &out, nil, nil)
	return out, err
}

// Adopt implements [Site].
func (r *Remote) Adopt(ctx context.Context, a Adoption) error {
	return r.do(ctx, methodAdopt, a, nil, nil, nil)
}
