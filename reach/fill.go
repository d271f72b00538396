package reach

import (
	"context"
	"errors"

	"github.com/comptech-lab/redis-wal/applier/bootstrap"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
)

// Taken is the Redis of which a snapshot is taken.
type Taken struct {
	Addr    string `json:"addr"`    // host:port
	Primary bool   `json:"primary"` // there is no replica that could be asked
	Keys    int64  `json:"keys"`    // about as many
	Bytes   int64  `json:"bytes"`   // of memory that it uses; what is sent is mostly less
}

// Refill says how a Redis is to be filled.
type Refill struct {
	Note    string // for people who find it half-way
	Discard bool   // it may hold data, which are deleted
}

// Filling is a Redis that is being filled. Nobody else but who began it writes to it; if somebody begins anew elsewhere, or it is emptied, or a failover takes it back, the
// error is [ErrOverrun]. It is for one goroutine.
type Filling interface {
	// Add puts one key in, sooner or later. What it is given may be changed afterwards.
	Add(ctx context.Context, e snapshot.Entry) error
	// Join finds where the appliers will go on, when all keys were added, and waits until ctx ends for what the mirror has not brought yet; waits is told of that. Nothing is
	// written. The error is [ErrHandover] if another snapshot, taken later, may serve.
	Join(ctx context.Context, at Handover, waits func(what string)) (Joined, error)
	// Finish writes where the appliers go on, and lets them join. It is an error before Join has found it.
	Finish(ctx context.Context) error
	// Seed is Join and Finish of a Redis that was filled from one that is no site's: what was added becomes the beginning of the log, and the appliers go on at the log's own
	// beginning. The seeds must stand in the log.
	Seed(ctx context.Context, seed string) error
	// Close lets go of it. Unless it is finished it stays half-way: another one begins anew.
	Close() error
}

// Handover is what is known of the logs, besides what a snapshot holds.
type Handover struct {
	Begin    []int64           // where the site's log ended, by partition, before a barrier was appended there
	Attested []wal.Attestation // of both sites
}

// Joined is where a site goes on, by partition.
type Joined struct {
	Next  []int64    `json:"next"`  // the first record that may be executed
	Skip  [][2]int64 `json:"skip"`  // by origin: what stands before it was decided in the snapshot; 0 = nothing does
	Epoch []string   `json:"epoch"` // that of the snapshot
}

// What a fill may end with. They come through a [Remote] as they are.
var (
	ErrHandover = bootstrap.ErrHandover
	ErrOverrun  = snapshot.ErrOverrun
	ErrNotEmpty = snapshot.ErrNotEmpty
	// ErrBusy says that a site's Redis is being filled itself: it is no source.
	ErrBusy = errors.New("it is being filled itself")
)

// codes are the errors that are known at the other end.
var codes = map[string]error{"handover": ErrHandover, "overrun": ErrOverrun, "not-empty": ErrNotEmpty, "busy": ErrBusy, "forbidden": ErrForbidden}

func codeOf(err error) string {
	for code, known := range codes {
		if errors.Is(err, known) {
			return code
		}
	}
	return ""
}

// farError is an error of the other end.
type farError struct {
	text  string
	known error // one of codes; nil: none
}

func (e *farError) Error() string { return e.text }

func (e *farError) Unwrap() error { return e.known }
