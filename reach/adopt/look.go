// Package adopt makes the data that a site's Redis holds the beginning of its log: a Redis that applications wrote to themselves, or that somebody else has filled. It only appends
// seeds to a log that is new, and then has the checkpoints written; whatever is interrupted is gone on with by doing it again.
package adopt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Log is what of a site tells whether its log is new.
type Log interface {
	Identity() writer.Identity
	Ends(ctx context.Context) (writer.Ends, error)
	Records(ctx context.Context, partition int32, from, to int64, each func(wal.Record) error) error
}

// Site is the site whose Redis is adopted. It is a [reach.Site] as a rule.
type Site interface {
	Log
	Append(ctx context.Context, controls []writer.Control) ([]int64, error)
	Adoptable(ctx context.Context) (reach.Adoptable, error)
	Writes(ctx context.Context) (reach.Writes, error)
	Adopt(ctx context.Context, a reach.Adoption) error
	Checkpoints(ctx context.Context) ([]wal.Checkpoint, error)
	Follow(ctx context.Context, since time.Time, each func(wal.Attestation) error, caught func()) error
}

// Target is a site that is to begin with the data of another Redis. It is a [reach.Site] as a rule.
type Target interface {
	Site
	Redis(ctx context.Context) (reach.Redis, error)
	Fill(ctx context.Context, how reach.Refill) (reach.Filling, error)
}

// Source is that other Redis: a [reach.Foreign].
type Source interface {
	Adoptable(ctx context.Context, id writer.Identity) (reach.Adoptable, error)
	Writes(ctx context.Context) (reach.Writes, error)
	Snapshot(ctx context.Context, each func(snapshot.Entry) error) error
}

// Found is how a site is, before it is adopted or half-way.
type Found struct {
	Site, Log string
	// Redis is the one that holds the data: the site's own, or that which From says.
	Redis reach.Adoptable
	// From is where the data are; nil: in the site's own Redis.
	From    Source
	TopicID wal.TopicID
	// Seed is the id of an adoption of this Redis that was begun; empty: none was.
	Seed string
	// Seeded are the offsets of its seeds in the site's log, by partition; -1: there is none yet.
	Seeded []int64
	// Written says that the checkpoints are there: nothing is left to be done but to wait for the appliers.
	Written bool
	// Refusals say why it must not be adopted; Notes, what whoever adopts it should know.
	Refusals, Notes []string
}

// Begun reports whether an adoption was begun, and is to be gone on with.
func (f *Found) Begun() bool { return f.Seed != "" }

func (f *Found) refuse(format string, args ...any) {
	f.Refusals = append(f.Refusals, fmt.Sprintf(format, args...))
}

// Look says how a site is. Peer is the log of the other one; nil: it is not there yet, and nobody looks at it. An error says that it could not be told.
func Look(ctx context.Context, site Site, peer Log) (*Found, error) {
	id := site.Identity()
	f := &Found{Site: id.Sites.Self, Log: id.Log}
	var err error
	if f.Redis, err = site.Adoptable(ctx); err != nil {
		return nil, err
	}
	if f.begun(&f.Redis); !f.Written {
		f.holds("its Redis", id.Log, &f.Redis)
	}
	return f, f.logs(ctx, site, peer)
}

// LookFrom is [Look] for a site whose Redis is empty, and which is to begin with the data of another one.
func LookFrom(ctx context.Context, site Target, from Source, peer Log) (*Found, error) {
	id := site.Identity()
	f := &Found{Site: id.Sites.Self, Log: id.Log, From: from}
	var err error
	if f.Redis, err = from.Adoptable(ctx, id); err != nil {
		return nil, err
	}
	own, err := site.Adoptable(ctx)
	if err != nil {
		return nil, err
	}
	held, err := site.Redis(ctx)
	if err != nil {
		return nil, err
	}
	switch f.begun(&own); {
	case f.Written:
	case !held.Held.Free():
		f.refuse("its Redis holds %d keys already: only an empty one is filled", held.Held.Keys)
	}
	if !f.Written {
		f.holds("the Redis at "+f.Redis.Primary, id.Log, &f.Redis)
	}
	return f, f.logs(ctx, site, peer)
}

// logs judges the logs.
func (f *Found) logs(ctx context.Context, site Site, peer Log) error {
	id := site.Identity()
	own, err := scan(ctx, site)
	if err != nil {
		return err
	}
	f.TopicID, f.Seeded = own.ends.TopicID, make([]int64, id.Partitions)
	logs := []*scanned{own}
	if peer == nil {
		f.Notes = append(f.Notes, fmt.Sprintf("%s was not asked: nobody has looked whether its log is new", id.Sites.Peer))
	} else {
		other, err := scan(ctx, peer)
		if err != nil {
			return err
		}
		logs = append(logs, other)
	}
	f.seeds(own, logs)
	if !f.Written {
		f.news(logs)
	}
	return nil
}

// begun finds out whether the site's checkpoints are written already.
func (f *Found) begun(own *reach.Adoptable) {
	if !own.Begun || own.Filling != "" {
		return
	}
	for _, c := range own.Checkpoints {
		if c == nil || c.Seed == "" || c.Seed != own.Checkpoints[0].Seed {
			return
		}
	}
	f.Written, f.Seed = true, own.Checkpoints[0].Seed
}

// holds judges what the Redis holds that is to be adopted.
func (f *Found) holds(which, log string, r *reach.Adoptable) {
	switch {
	case r.Filling != "":
		f.refuse("%s is being filled from elsewhere (%s)", which, r.Filling)
	case r.Begun:
		f.refuse("%s has checkpoints of %s already: what it holds came from that log, or an applier has begun to fill it", which, log)
	case r.Keys == 0:
		f.refuse("%s is empty: there is nothing to adopt, the appliers build it from the log", which)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Databases)) {
		f.refuse("%s of %s holds %d keys: a log is about database 0. Move them there, or elsewhere", name, which, r.Databases[name])
	}
	if len(r.Modules) > 0 {
		f.refuse("modules are loaded (%s): a value of a module's own type cannot be carried to the other site. Unload them, if no such value is there", strings.Join(r.Modules, ", "))
	}
	if len(r.Reserved) > 0 {
		f.refuse("keys begin with %s, which is the appliers' (such as %s): the other site would not get them. Rename or delete them", wal.ReservedPrefix, strings.Join(r.Reserved, ", "))
	}
	if len(r.Functions) > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("function libraries are no keys, and are not carried: load them where they are needed yourself (%s)", strings.Join(r.Functions, ", ")))
	}
	if r.Eviction != "" && r.Eviction != "noeviction" {
		f.Notes = append(f.Notes, fmt.Sprintf("maxmemory-policy is %s: what Redis evicts at one site stays at the other", r.Eviction))
	}
}

// seeds judges the seeds that stand in the logs.
func (f *Found) seeds(own *scanned, logs []*scanned) {
	for p := range f.Seeded {
		f.Seeded[p] = -1
	}
	ids := map[string]string{} // whose
	for _, l := range logs {
		for _, s := range l.seeds {
			ids[s.ID] = s.Site
		}
	}
	for _, s := range own.seeds {
		if s.Site == f.Site && f.Seeded[s.partition] < 0 {
			f.Seeded[s.partition] = s.offset
		}
	}
	for id, site := range ids {
		switch {
		case len(ids) > 1 || f.Written && id != f.Seed:
			f.refuse("the log has more than one beginning (seeds %s): begin again with a new log (docs/migrate.md)", strings.Join(slices.Sorted(maps.Keys(ids)), ", "))
			return
		case site != f.Site:
			f.refuse("the log begins with the data of %s: fill this Redis with them, `walctl bootstrap --site %s`", site, f.Site)
			return
		}
		f.Seed = id
	}
	if f.Written && slices.Contains(f.Seeded, -1) && own.whole() {
		f.refuse("its Redis was adopted into a log that this one is not: the seeds are missing")
	}
}

// news judges whether the logs are new. Behind the first seed they need not be: it was appended when they were.
func (f *Found) news(logs []*scanned) {
	for _, l := range logs {
		for p, start := range l.ends.Start {
			if start > 0 {
				f.refuse("partition %d of the log at %s begins at offset %d: what stood before it was deleted, and nobody knows whether it was data. Make the topic anew", p, l.site, start)
				break
			}
		}
		if l.data != "" && !f.Begun() {
			f.refuse("the log at %s is not new: %s. What it holds would be executed on top of the data", l.site, l.data)
		}
	}
}

// scanned is what was found in a log.
type scanned struct {
	site  string
	ends  writer.Ends
	seeds []placed
	data  string // where the first record stands that is data, or speaks of them; empty: there is none
}

type placed struct {
	wal.Seed
	partition int32
	offset    int64
}

// whole reports whether nothing was deleted of the log.
func (s *scanned) whole() bool { return slices.Max(s.ends.Start) == 0 }

// maxScanned is how many records of a partition are looked at: the seeds stand at its beginning.
const maxScanned = 1_000_000

var errEnough = errors.New("enough")

// scan reads a log up to the first record in each partition that is data.
func scan(ctx context.Context, l Log) (*scanned, error) {
	out := &scanned{site: l.Identity().Sites.Self}
	var err error
	if out.ends, err = l.Ends(ctx); err != nil {
		return nil, err
	}
	for p, start := range out.ends.Start {
		end := min(out.ends.End[p], start+maxScanned)
		err := l.Records(ctx, int32(p), start, end, func(r wal.Record) error {
			switch typ := controlType(&r); typ {
			case wal.TypeBarrier, wal.TypeSeal, wal.TypeActivate:
			case wal.TypeSeed:
				s := placed{partition: int32(p), offset: r.Offset}
				if err := json.Unmarshal(r.Value, &s.Seed); err == nil { // else it is poison: no applier heeds it
					out.seeds = append(out.seeds, s)
				}
			default:
				what := "a record"
				if typ != "" {
					what = fmt.Sprintf("a control record %q", typ)
				}
				if out.data == "" {
					out.data = fmt.Sprintf("partition %d has %s at offset %d, of %s", p, what, r.Offset, time.UnixMilli(r.Timestamp).UTC().Format(time.DateTime))
				}
				return errEnough
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) {
			return nil, err
		}
	}
	return out, nil
}

func controlType(r *wal.Record) wal.ControlType {
	for _, h := range r.Headers {
		if h.Key == wal.HeaderControl {
			return wal.ControlType(h.Value)
		}
	}
	return ""
}
