package reach_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/rotate"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// fake is a site that does what a test tells it.
type fake struct {
	appends func(ctx context.Context) ([]int64, error)
	follow  func(ctx context.Context, each func(wal.Attestation) error) error
	copies  func(each func(writer.Copy) error) error
	closed  atomic.Bool

	snapshot func(each func(snapshot.Entry) error) error
}

var errNot = errors.New("dr: not of this test")

func (*fake) Identity() writer.Identity {
	return writer.Identity{Sites: wal.Sites{Self: "dr", Peer: "dc"}, Log: "redis-writes", Partitions: 1}
}

func (f *fake) Append(ctx context.Context, _ []writer.Control) ([]int64, error) {
	return f.appends(ctx)
}

func (f *fake) Follow(ctx context.Context, _ time.Time, each func(wal.Attestation) error, _ func()) error {
	return f.follow(ctx, each)
}

func (*fake) Ends(context.Context) (writer.Ends, error) {
	return writer.Ends{Start: []int64{0}, End: []int64{7}}, nil
}

func (*fake) Records(context.Context, int32, int64, int64, func(wal.Record) error) error {
	return errNot
}

func (f *fake) Copies(_ context.Context, _ writer.List, each func(writer.Copy) error) error {
	return f.copies(each)
}

func (*fake) Mark(context.Context, writer.List, []writer.Mark) error              { return errNot }
func (*fake) Checkpoints(context.Context) ([]wal.Checkpoint, error)               { return nil, errNot }
func (*fake) Tail(context.Context, writer.TailQuery) ([]writer.TailRecord, error) { return nil, errNot }
func (*fake) Repair(context.Context, [][]byte, map[int32]string, time.Duration) (converge.RepairReport, error) {
	return converge.RepairReport{}, errNot
}

func (*fake) Check(context.Context, time.Duration) (converge.Report, error) {
	return converge.Report{}, errNot
}

func (*fake) Redis(context.Context) (reach.Redis, error)              { return reach.Redis{}, errNot }
func (*fake) Values(context.Context, [][]byte) ([]reach.Value, error) { return nil, errNot }
func (*fake) Witness(context.Context, wal.Observation) error          { return errNot }
func (*fake) Witnessed(context.Context, time.Time) ([]wal.Observation, error) {
	return nil, errNot
}
func (*fake) Fill(context.Context, reach.Refill) (reach.Filling, error) { return nil, errNot }
func (*fake) Adoptable(context.Context) (reach.Adoptable, error)        { return reach.Adoptable{}, errNot }
func (*fake) Writes(context.Context) (reach.Writes, error)              { return reach.Writes{}, errNot }
func (*fake) Adopt(context.Context, reach.Adoption) error               { return errNot }
func (*fake) Rotate(context.Context, rotate.Request) (rotate.State, error) {
	return rotate.State{}, errNot
}

func (f *fake) Snapshot(_ context.Context, _ func(reach.Taken), each func(snapshot.Entry) error) error {
	return f.snapshot(each)
}

func (*fake) Produce(context.Context, reach.Data) (reach.Appended, error) {
	return reach.Appended{}, errNot
}

func (*fake) Ask(context.Context, reach.Question) (reach.Replied, error) {
	return reach.Replied{}, errNot
}
func (f *fake) Close() error { f.closed.Store(true); return nil }

// pipe is one end of two pipes.
type pipe struct {
	io.Reader
	io.Writer
	close func() error
}

func (p *pipe) Close() error { return p.close() }

// served is a site behind a Serve in this process.
type served struct {
	stream *pipe
	server *pipe         // its end
	ended  chan struct{} // Serve has returned
	err    error         // what
}

func serve(ctx context.Context, site reach.Site) *served {
	in, toServer := io.Pipe()
	fromServer, out := io.Pipe()
	s := &served{ended: make(chan struct{})}
	s.server = &pipe{in, out, func() error { return errors.Join(out.Close(), in.Close()) }}
	s.stream = &pipe{fromServer, toServer, func() error { // as the end of a command that is awaited
		err := toServer.Close()
		<-s.ended
		return errors.Join(err, fromServer.Close())
	}}
	go func() {
		defer close(s.ended)
		defer func() { _ = out.Close() }()
		s.err = reach.Serve(ctx, site, in, out)
	}()
	return s
}
