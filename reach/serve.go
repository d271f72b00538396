package reach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/comptech-lab/redis-wal/reach/rotate"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

var (
	errInputEnded = errors.New("the input has ended")
	errCancelled  = errors.New("the client has cancelled the request")
)

// Serve answers a [Remote] that writes to in and reads from out, until in ends, which is no error, or ctx does. What is running then is cancelled and awaited. A read from in, or a
// write to out, that does not come back stays behind. Nothing else may write to out.
func Serve(ctx context.Context, site Site, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := make(chan struct{})
	s := &server{site: site, out: newSender(out, stop), running: map[uint64]*call{}, fills: map[uint64]*farFill{}}
	defer close(stop)
	defer s.letGo()
	defer s.all.Wait()
	defer cancel(nil)
	first, err := line(hello{Protocol: protocol, Version: Version, Identity: site.Identity()})
	if err == nil {
		err = s.out.send(ctx, first)
	}
	if err != nil {
		return fmt.Errorf("serve %s: hello: %w", site.Identity().Sites.Self, err)
	}
	requests, ended := make(chan request), make(chan error, 1)
	go func() {
		ended <- readLines(scanner(in), func(line []byte) error {
			var r request
			if err := json.Unmarshal(line, &r); err != nil {
				return fmt.Errorf("a request cannot be read: %w", err)
			}
			select {
			case requests <- r:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
	}()
	for {
		select {
		case r := <-requests:
			s.take(ctx, r)
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				cancel(errInputEnded)
				return nil
			}
			return fmt.Errorf("serve %s: %w", site.Identity().Sites.Self, err)
		case <-s.out.ended:
			return fmt.Errorf("serve %s: write an answer: %w", site.Identity().Sites.Self, s.out.err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

type server struct {
	site Site
	out  *sender
	all  sync.WaitGroup

	mu      sync.Mutex
	running map[uint64]*call
	fills   map[uint64]*farFill
	filled  uint64 // of a fill
}

// call is a running request.
type call struct {
	id     uint64
	out    *sender
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	underway int           // bytes of items that the client has not taken
	taken    chan struct{} // has one when the client took some
}

func (s *server) take(ctx context.Context, r request) {
	s.mu.Lock()
	c := s.running[r.ID]
	s.mu.Unlock()
	switch {
	case c == nil && (r.Method == "" || r.Cancel): // it has ended meanwhile
	case r.Cancel:
		c.cancel(errCancelled)
	case r.Method == "":
		c.took(r.Taken)
	case c != nil:
		c.cancel(fmt.Errorf("the client has used the id %d twice", r.ID))
	default:
		ctx, cancel := context.WithCancelCause(ctx)
		c := &call{id: r.ID, out: s.out, cancel: cancel, taken: make(chan struct{}, 1)}
		s.mu.Lock()
		s.running[r.ID] = c
		s.mu.Unlock()
		s.all.Go(func() {
			defer cancel(nil)
			s.run(ctx, c, r)
		})
	}
}

func (s *server) run(ctx context.Context, c *call, r request) {
	result, err := s.do(ctx, c, r)
	s.mu.Lock()
	delete(s.running, r.ID)
	s.mu.Unlock()
	last := answer[any]{ID: r.ID, Done: true, Result: result}
	if err != nil {
		last.Result, last.Error, last.Code = nil, err.Error(), codeOf(err)
	}
	b, err := line(last)
	if err != nil {
		b, _ = line(answer[any]{ID: r.ID, Done: true, Error: fmt.Sprintf("the result of %s cannot be carried: %v", r.Method, err)})
	}
	_ = s.out.send(ctx, b) // a client that is gone, or has cancelled, has nobody to tell
}

func (s *server) do(ctx context.Context, c *call, r request) (any, error) {
	switch r.Method {
	case methodAppend:
		controls, err := args[[]writer.Control](r)
		if err != nil {
			return nil, err
		}
		return s.site.Append(ctx, controls)
	case methodFollow:
		a, err := args[followArgs](r)
		if err != nil {
			return nil, err
		}
		return nil, s.site.Follow(ctx, a.Since, func(a wal.Attestation) error { return c.item(ctx, a) }, func() {
			if b, err := line(answer[any]{ID: c.id, Caught: true}); err == nil {
				_ = c.out.send(ctx, b) // what fails here fails at the next item too
			}
		})
	case methodEnds:
		return s.site.Ends(ctx)
	case methodRecords:
		a, err := args[recordsArgs](r)
		if err != nil {
			return nil, err
		}
		return nil, s.site.Records(ctx, a.Partition, a.From, a.To, func(r wal.Record) error {
			if err := c.item(ctx, wireRecord{r, toWire(r.Headers)}); err != nil {
				return fmt.Errorf("the record at offset %d of partition %d: %w", r.Offset, r.Partition, err)
			}
			return nil
		})
	case methodCopies:
		a, err := args[copiesArgs](r)
		if err != nil {
			return nil, err
		}
		return nil, s.site.Copies(ctx, a.List, func(copied writer.Copy) error {
			if err := c.item(ctx, wireCopy{copied, toWire(copied.Headers)}); err != nil {
				return fmt.Errorf("the copy of offset %d of partition %d: %w", copied.Offset, copied.Partition, err)
			}
			return nil
		})
	case methodMark:
		a, err := args[markArgs](r)
		if err != nil {
			return nil, err
		}
		return nil, s.site.Mark(ctx, a.List, a.Marks)
	case methodCheckpoints:
		return s.site.Checkpoints(ctx)
	case methodTail:
		q, err := args[writer.TailQuery](r)
		if err != nil {
			return nil, err
		}
		tail, err := s.site.Tail(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, t := range tail {
			if err := c.item(ctx, wireTail{t, wireRecord{t.Record, toWire(t.Headers)}}); err != nil {
				return nil, fmt.Errorf("the record at offset %d of partition %d: %w", t.Offset, t.Partition, err)
			}
		}
		return nil, nil
	case methodRepair:
		a, err := args[repairArgs](r)
		if err != nil {
			return nil, err
		}
		return s.site.Repair(ctx, a.Keys, a.Under, a.Timeout)
	case methodCheck:
		a, err := args[checkArgs](r)
		if err != nil {
			return nil, err
		}
		return s.site.Check(ctx, a.Timeout)
	case methodRedis:
		return s.site.Redis(ctx)
	case methodValues:
		keys, err := args[[][]byte](r)
		if err != nil {
			return nil, err
		}
		return s.site.Values(ctx, keys)
	case methodWitness:
		o, err := args[wal.Observation](r)
		if err != nil {
			return nil, err
		}
		return nil, s.site.Witness(ctx, o)
	case methodWitnessed:
		a, err := args[witnessedArgs](r)
		if err != nil {
			return nil, err
		}
		return s.site.Witnessed(ctx, a.Since)
	case methodSnapshot:
		return nil, s.snapshot(ctx, c)
	case methodFill, methodFillAdd, methodFillJoin, methodFillFinish, methodFillSeed, methodFillClose:
		return s.fill(ctx, c, r)
	case methodAdoptable:
		return s.site.Adoptable(ctx)
	case methodWrites:
		return s.site.Writes(ctx)
	case methodAdopt:
		a, err := args[Adoption](r)
		if err != nil {
			return nil, err
		}
		return nil, s.site.Adopt(ctx, a)
	case methodRotate:
		a, err := args[rotate.Request](r)
		if err != nil {
			return nil, err
		}
		return s.site.Rotate(ctx, a)
	case methodProduce:
		return serveProduce(ctx, s.site, r.Args)
	case methodAsk:
		return serveAsk(ctx, s.site, r.Args)
	}
	return nil, fmt.Errorf("redis-applier of %s does not know %q; upgrade it", s.site.Identity().Sites.Self, r.Method)
}

func args[T any](r request) (T, error) {
	var a T
	if err := json.Unmarshal(r.Args, &a); err != nil {
		return a, fmt.Errorf("arguments of %s: %w", r.Method, err)
	}
	return a, nil
}

// item sends an item, as soon as the client has taken enough of those before it.
func (c *call) item(ctx context.Context, v any) error {
	b, err := line(answer[any]{ID: c.id, Item: v})
	if err != nil {
		return err
	}
	for !c.room(len(b)) {
		select {
		case <-c.taken:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return c.out.send(ctx, b)
}

func (c *call) room(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.underway >= window {
		return false
	}
	c.underway += n
	return true
}

func (c *call) took(n int) {
	c.mu.Lock()
	c.underway -= n
	c.mu.Unlock()
	select {
	case c.taken <- struct{}{}:
	default:
	}
}
