package twosites

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
)

// Wipe takes a site's Redis, and what of its log it was built from: it halts.
func (w *World) Wipe(site string) {
	w.do(func() {
		s := w.sites[site]
		s.wiped, s.data = true, map[string]string{}
		s.halt("log-start", "Redis is empty and the log starts at offset 7: 7 records are gone that it would need")
	})
}

// Interrupt leaves a site's Redis as a bootstrap does that was interrupted.
func (w *World) Interrupt(site string) {
	w.do(func() {
		s := w.sites[site]
		s.filling, s.data = "from dc, by walctl bootstrap, since 2026-11-21T12:00:00Z", map[string]string{"left": "over"}
		s.halt("bootstrap", "Redis is being filled from the peer: "+s.filling)
	})
}

// Deafen has nothing of its peer arrive at a site.
func (w *World) Deafen(site string) { w.do(func() { w.sites[site].deaf = true }) }

// Stick has the appliers of a site stay halted when its Redis is filled.
func (w *World) Stick(site string) { w.do(func() { w.sites[site].stuck = true }) }

// Unjoin has the next n snapshots with which a site is filled not be joined.
func (w *World) Unjoin(site string, n int) { w.do(func() { w.sites[site].unjoined = n }) }

func (s *Site) halt(reason, why string) {
	for p := range s.positions {
		s.halted[int32(p)] = true
		s.publish(s.positions[p].AttestHalt(s.names(), int32(p), wal.AttestedHalt{
			Reason: reason, Error: why, Remedy: "fill this Redis from the peer: `walctl bootstrap`", Since: time.Now().UnixMilli(),
		}))
	}
}

func (s *Site) held() snapshot.Held {
	h := snapshot.Held{Keys: int64(len(s.data)), Data: int64(len(s.data)), Filling: s.filling}
	switch {
	case s.filling != "":
		h.Keys++
	case !s.wiped:
		h.Keys += 1 + int64(len(s.positions))
		h.New = h.Data == 0
		for i := range s.positions {
			at := &s.positions[i]
			h.New = h.New && at.Streams[0].N+at.Streams[1].N+at.Streams[0].FencedN+at.Streams[1].FencedN == 0 && at.Root == wal.Hash{}
		}
	}
	return h
}

// Snapshot implements [reach.Site].
func (s *Site) Snapshot(ctx context.Context, begun func(reach.Taken), each func(snapshot.Entry) error) error {
	if err := s.silent(ctx); err != nil {
		return err
	}
	s.w.mu.Lock()
	data, h := maps.Clone(s.data), s.held()
	s.w.mu.Unlock()
	if h.Filling != "" {
		return fmt.Errorf("%w: %s", reach.ErrBusy, h.Filling)
	}
	begun(reach.Taken{Addr: s.name + "-redis-1:6379", Keys: h.Keys, Bytes: 1 << 20})
	for k, v := range data {
		if err := each(snapshot.Entry{Key: []byte(k), Dump: []byte(v)}); err != nil {
			return err
		}
	}
	return nil
}

// Fill implements [reach.Site].
func (s *Site) Fill(ctx context.Context, how reach.Refill) (reach.Filling, error) {
	if err := s.silent(ctx); err != nil {
		return nil, err
	}
	f := &filling{site: s, data: map[string]string{}}
	var err error
	s.w.do(func() {
		if h := s.held(); !h.Free() && !how.Discard {
			err = fmt.Errorf("%w: it holds %d keys", reach.ErrNotEmpty, h.Keys)
			return
		}
		s.begun++
		f.number = s.begun
		s.filling, s.data, s.wiped = how.Note, map[string]string{}, false
		s.halt("bootstrap", "Redis is being filled from the peer: "+how.Note)
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

type filling struct {
	site   *Site
	number int
	data   map[string]string
	joined bool
}

// Add implements [reach.Filling].
func (f *filling) Add(ctx context.Context, e snapshot.Entry) error {
	f.data[string(e.Key)] = string(e.Dump)
	return f.site.silent(ctx)
}

// Join implements [reach.Filling].
func (f *filling) Join(ctx context.Context, at reach.Handover, waits func(string)) (reach.Joined, error) {
	s := f.site
	if err := s.silent(ctx); err != nil {
		return reach.Joined{}, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if s.unjoined > 0 {
		s.unjoined--
		return reach.Joined{}, fmt.Errorf("%w: partition 0: the log has later barriers of %s", reach.ErrHandover, s.peer)
	}
	var out reach.Joined
	for p := range s.positions {
		known := map[string]bool{}
		for i := range at.Attested {
			if a := &at.Attested[i]; a.Site == s.peer && a.Partition == int32(p) {
				known[a.Barrier.Origin] = true
			}
		}
		if len(known) < 2 {
			return out, fmt.Errorf("%w: partition %d: there are barriers of %v only", reach.ErrHandover, p, known)
		}
		out.Next, out.Skip, out.Epoch = append(out.Next, at.Begin[p]), append(out.Skip, [2]int64{}), append(out.Epoch, "none")
	}
	waits("partition 0: a barrier of " + s.peer)
	f.joined = true
	return out, nil
}

// Seed implements [reach.Filling].
func (f *filling) Seed(context.Context, string) error {
	return errors.New("nothing is adopted from elsewhere here")
}

// Finish implements [reach.Filling].
func (f *filling) Finish(ctx context.Context) error {
	s := f.site
	if err := s.silent(ctx); err != nil {
		return err
	}
	if !f.joined {
		return errors.New("it is not known yet where the appliers go on")
	}
	var err error
	s.w.do(func() {
		if s.begun != f.number {
			err = reach.ErrOverrun
			return
		}
		peer := s.w.sites[s.peer]
		for p := range s.positions {
			at := peer.positions[p]
			at.Streams[wal.Local], at.Streams[wal.Mirrored] = at.Streams[wal.Mirrored], at.Streams[wal.Local]
			at.Next, at.TopicID = s.positions[p].Next, s.topic
			s.positions[p] = at
			if !s.stuck {
				delete(s.halted, int32(p))
			}
		}
		s.data, s.executed, s.filling = f.data, maps.Clone(peer.executed), ""
		for p := range s.w.partitions {
			if s.stuck {
				break
			}
			s.w.ids++
			s.publish(s.positions[p].Attest(s.names(), p, wal.Local, &wal.Barrier{ID: fmt.Sprint("b", s.w.ids), Number: uint64(s.w.ids), Partitions: s.w.partitions, Time: time.Now().UnixMilli()}))
		}
	})
	return err
}

// Close implements [reach.Filling].
func (f *filling) Close() error { return nil }
