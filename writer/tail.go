package writer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/comptech-lab/redis-wal/wal"
)

// TailQuery asks a site for the tail that one of its closed epochs left in one partition: the records of its own stream that it had counted there, and its peer had not when it
// closed that epoch.
type TailQuery struct {
	Partition int32     `json:"partition"`
	Epoch     wal.Epoch `json:"epoch"`
	Activate  string    `json:"activate"` // that opened the epoch; empty: none did
	// Begin and End are the offsets, in the site's log, of the activates that opened and ended the epoch; -1: it began with the log.
	Begin int64 `json:"begin"`
	End   int64 `json:"end"`
	// Base is what the peer had counted of the stream, Last what the site itself had.
	Base wal.Counted `json:"base"`
	Last wal.Counted `json:"last"`
}

// TailRecord is a record of a tail.
type TailRecord struct {
	wal.Record `json:"record"`
	TopicID    wal.TopicID `json:"topicId"`
	Site       string      `json:"site"` // whose stream it stands in, and where it was applied
	Epoch      wal.Epoch   `json:"epoch"`
	N          uint64      `json:"n"` // its number in the stream in that epoch
}

// warm is how many offsets before an epoch are read at first, to know what its records repeat. If the chain says that this was not enough, the whole log is.
const warm = 100_000

// Log is a site's own log, to read a tail from.
type Log struct {
	Identity
	TopicID wal.TopicID
	Signer  *wal.Signer
	// Start is the first offset of the partition.
	Start int64
	// Read hands on records as [Site].Records does.
	Read func(ctx context.Context, from, to int64, each func(wal.Record) error) error
}

// ReadTail finds a tail in the log of the site that has it. It counts as an applier does, and believes its count only if the chain hash is that of the peer where the tail begins,
// and the site's own where it ends.
func ReadTail(ctx context.Context, l Log, q TailQuery) ([]TailRecord, error) {
	if l.Start > q.Begin+1 {
		return nil, fmt.Errorf("partition %d: the log of %s begins at offset %d, and the epoch %s at %d: part of its tail is gone by retention; compare the sites with `walctl check --deep`",
			q.Partition, l.Sites.Self, l.Start, q.Epoch, q.Begin+1)
	}
	from := max(l.Start, q.Begin-warm)
	for {
		c := newCounter(l, q)
		if err := l.Read(ctx, from, q.End, c.add); err != nil {
			return nil, err
		}
		err := c.verify()
		if err == nil || from == l.Start {
			return c.out, err
		}
		from = l.Start
	}
}

// counter counts what an applier has counted of its own stream in one epoch.
type counter struct {
	log    Log
	q      TailQuery
	judge  wal.Judge
	chain  wal.Chain
	seen   map[string]*wal.Window
	sealed bool
	at     wal.Counted
	base   wal.Hash
	out    []TailRecord
}

func newCounter(l Log, q TailQuery) *counter {
	return &counter{
		log: l, q: q, seen: map[string]*wal.Window{},
		judge: wal.Judge{Partition: q.Partition, Partitions: l.Partitions, Signer: l.Signer},
	}
}

func (c *counter) add(r wal.Record) error {
	c.judge.Reset()
	j, err := c.judge.Judge(&r)
	if _, bad := errors.AsType[*wal.PoisonError](err); bad || err == nil && j.Origin != wal.Local {
		return nil
	}
	if err != nil {
		return fmt.Errorf("partition %d offset %d: %w", r.Partition, r.Offset, err)
	}
	if j.Producer != nil {
		w := c.seen[string(j.Producer)]
		if w == nil {
			w = new(wal.Window)
			c.seen[string(j.Producer)] = w
		}
		if w.Meet(j.Sequence) != wal.FirstMeeting {
			return nil
		}
	}
	if r.Offset <= c.q.Begin || !c.counts(&j) {
		return nil
	}
	c.at.N++
	c.at.H = c.chain.Next(c.at.H, &r, &j.Envelope)
	switch {
	case c.at.N == c.q.Base.N:
		c.base = c.at.H
	case c.at.N > c.q.Base.N:
		r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		r.Headers = slices.Clone(r.Headers)
		c.out = append(c.out, TailRecord{Record: r, TopicID: c.log.TopicID, Site: c.log.Sites.Self, Epoch: c.q.Epoch, N: c.at.N})
	}
	return nil
}

// counts reports whether a record of the epoch was counted: the site's stream was open in it until it was sealed.
func (c *counter) counts(j *wal.Judged) bool {
	under := c.q.Activate
	if c.q.Epoch.IsNone() {
		under = wal.NoActivate
	}
	switch x := j.Control; {
	case x == nil:
	case x.Seal != nil:
		c.sealed = c.sealed || x.Seal.Epoch == c.q.Epoch
		return false
	case x.Replay != nil:
		return !c.sealed && x.Replay.Activate == under
	case x.Repair != nil:
		return !c.sealed && x.Repair.Activate == under
	default:
		return false
	}
	return !c.sealed
}

func (c *counter) verify() error {
	if c.at != c.q.Last {
		return fmt.Errorf("partition %d: the tail of epoch %s cannot be read from the log of %s: %d records counted, and the chain is not the one of the %d that were counted when it was applied",
			c.q.Partition, c.q.Epoch, c.log.Sites.Self, c.at.N, c.q.Last.N)
	}
	if c.q.Base.N > 0 && c.base != c.q.Base.H {
		return fmt.Errorf("partition %d: the sites differ in epoch %s before its tail: %s had counted %d records of %s, and not those that %s has; compare them with `walctl check --deep`",
			c.q.Partition, c.q.Epoch, c.log.Sites.Peer, c.q.Base.N, c.log.Sites.Self, c.log.Sites.Self)
	}
	return nil
}

// tailQueries are what a site has to be asked for, so that all tails of a partition are known that it has: of every epoch that was closed at both sites since they were settled last, in
// which it had counted more of its own stream than its peer.
func tailQueries(partition int32, site string, own, peer []wal.Closing) ([]TailQuery, error) {
	var out []TailQuery
	first := agreed(own, peer)
	if first < 0 && len(own) >= wal.MaxClosings {
		return nil, fmt.Errorf("partition %d: %s and its peer have differed since before the last %d epochs, which is all that is remembered: the tail cannot be told; compare the sites with `walctl check --deep`",
			partition, site, len(own))
	}
	for _, c := range own[max(0, first):] {
		if !c.Epoch.IsNone() && c.Epoch.Site != site {
			continue
		}
		q := TailQuery{Partition: partition, Epoch: c.Epoch, Activate: c.Activate, Begin: c.Begin, End: c.Offset, Last: c.Streams[site]}
		if j := slices.IndexFunc(peer, func(x wal.Closing) bool { return x.Epoch == c.Epoch }); j >= 0 {
			q.Base = peer[j].Streams[site]
		}
		if q.Last == q.Base {
			continue
		}
		if q.Last.N <= q.Base.N {
			return nil, fmt.Errorf("partition %d: %s has counted %d records of its own stream in epoch %s, and its peer %d: that is no tail, the sites have diverged otherwise; compare them with `walctl check --deep`",
				partition, site, q.Last.N, c.Epoch, q.Base.N)
		}
		out = append(out, q)
	}
	return out, nil
}

// agreed is the last of a site's closings before which both sites had the same root: what is before it needs no settling. -1 = there is none.
func agreed(own, peer []wal.Closing) int {
	for i := len(own) - 1; i >= 0; i-- {
		j := slices.IndexFunc(peer, func(x wal.Closing) bool { return x.Epoch == own[i].Epoch && x.Activate == own[i].Activate })
		if j >= 0 && peer[j].Root == own[i].Root {
			return i
		}
	}
	return -1
}

// Tails finds the tails of both sites: what each applied in a closed epoch and the other did not, in the order in which each site's log has it. Both sites must be in the same
// epoch, so that all that a tail can be in is closed. The two logs are read; nothing is written.
func Tails(ctx context.Context, a, b Site) ([]TailRecord, error) {
	if err := matching(a, b); err != nil {
		return nil, err
	}
	x, err := a.Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	y, err := b.Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	var out []TailRecord
	for p := range a.Identity().Partitions {
		if x[p].Epoch != y[p].Epoch || x[p].Activate != y[p].Activate {
			return nil, fmt.Errorf("partition %d is in epoch %s at %s and in %s at %s: wait until the mirror has brought the last activate to both", p, x[p].Epoch, a.Identity().Sites.Self, y[p].Epoch, b.Identity().Sites.Self)
		}
		if x[p].Root == y[p].Root {
			continue
		}
		for _, side := range []struct {
			site      Site
			own, peer []wal.Closing
		}{{a, x[p].Closings, y[p].Closings}, {b, y[p].Closings, x[p].Closings}} {
			queries, err := tailQueries(p, side.site.Identity().Sites.Self, side.own, side.peer)
			if err != nil {
				return nil, err
			}
			for _, q := range queries {
				some, err := side.site.Tail(ctx, q)
				if err != nil {
					return nil, err
				}
				out = append(out, some...)
			}
		}
	}
	return out, nil
}
