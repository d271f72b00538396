package reach

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/comptech-lab/redis-wal/reach/snapshot"
)

// Snapshot implements [Site].
func (r *Remote) Snapshot(ctx context.Context, begun func(Taken), each func(snapshot.Entry) error) error {
	var parts whole
	err := r.do(ctx, methodSnapshot, nil, nil, func(b json.RawMessage) error {
		var some wireSome
		if err := json.Unmarshal(b, &some); err != nil {
			return fmt.Errorf("%s: a part of the snapshot cannot be read: %w", r.id.Sites.Self, err)
		}
		if some.Taken != nil {
			begun(*some.Taken)
		}
		return parts.take(some.Entries, each)
	}, nil)
	if err != nil {
		return err
	}
	return parts.end()
}

// Fill implements [Site].
func (r *Remote) Fill(ctx context.Context, how Refill) (Filling, error) {
	f := &remoteFilling{r: r, some: pieces{most: filledBytes}}
	if err := r.do(ctx, methodFill, how, &f.id, nil, nil); err != nil {
		return nil, err
	}
	return f, nil
}

type remoteFilling struct {
	r    *Remote
	id   uint64
	some pieces
}

// Add implements [Filling].
func (f *remoteFilling) Add(ctx context.Context, e snapshot.Entry) error {
	return f.sending(ctx, func() error { return f.some.add(e) })
}

// sending runs do, which may send what was gathered.
func (f *remoteFilling) sending(ctx context.Context, do func() error) error {
	f.some.send = func(some []wireEntry) error {
		return f.r.do(ctx, methodFillAdd, fillAddArgs{f.id, some}, nil, nil, nil)
	}
	return do()
}

// Join implements [Filling].
func (f *remoteFilling) Join(ctx context.Context, at Handover, waits func(string)) (out Joined, err error) {
	if err := f.sending(ctx, f.some.flush); err != nil {
		return out, err
	}
	err = f.r.do(ctx, methodFillJoin, fillJoinArgs{f.id, at}, &out, func(b json.RawMessage) error {
		var what string
		if err := json.Unmarshal(b, &what); err != nil {
			return fmt.Errorf("%s: what it waits for cannot be read: %w", f.r.id.Sites.Self, err)
		}
		waits(what)
		return nil
	}, nil)
	return out, err
}

// Finish implements [Filling].
func (f *remoteFilling) Finish(ctx context.Context) error {
	return f.r.do(ctx, methodFillFinish, fillArgs{f.id}, nil, nil, nil)
}

// Seed implements [Filling].
func (f *remoteFilling) Seed(ctx context.Context, seed string) error {
	if err := f.sending(ctx, f.some.flush); err != nil {
		return err
	}
	return f.r.do(ctx, methodFillSeed, fillSeedArgs{f.id, seed}, nil, nil, nil)
}

// Close implements [Filling].
func (f *remoteFilling) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	return f.r.do(ctx, methodFillClose, fillArgs{f.id}, nil, nil, nil)
}
