package converge

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// Kind says how a key differs, seen from [DeepReport.Reference].
type Kind string

// The kinds.
const (
	Missing Kind = "missing" // the other site does not have the key
	Extra   Kind = "extra"   // only the other site has it
	Unequal Kind = "unequal" // type or value differ
	TTL     Kind = "ttl"     // the values are equal, and expire at different times
)

// Finding is a key that differs.
type Finding struct {
	Key       string          `json:"key"` // as text; what is not printable is escaped as in Go
	Bytes     []byte          `json:"keyBase64"`
	Partition int32           `json:"partition"`
	Kind      Kind            `json:"kind"`
	Sides     map[string]Side `json:"sides"` // by site
}

// Side is what a site holds under a key.
type Side struct {
	Type   string `json:"type"`   // none = there is no such key
	Digest string `json:"digest"` // the beginning of the value's digest; it can be compared within one check only
	// ExpireAt is when it expires, ms since 1970; 0 = never.
	ExpireAt int64 `json:"expireAt"`
}

func sideOf(d wal.Digest) Side {
	s := Side{Type: d.Type.String(), ExpireAt: d.ExpireAt}
	if d.Type != wal.DigestNone {
		s.Digest = d.Short()
	}
	return s
}

// KeyText is a key for people: itself if it can be printed, else quoted as in Go.
func KeyText(key []byte) string {
	text := strconv.Quote(string(key))
	if inner := text[1 : len(text)-1]; inner == string(key) {
		return inner
	}
	return text
}

// differ is how two sites differ in a key; empty if they do not.
func differ(a, b wal.Digest, tolerance time.Duration) Kind {
	switch {
	case a.Type == wal.DigestNone && b.Type == wal.DigestNone:
		return ""
	case b.Type == wal.DigestNone:
		return Missing
	case a.Type == wal.DigestNone:
		return Extra
	case a.Type != b.Type || a.Sum != b.Sum || a.Type == wal.DigestChanging:
		return Unequal
	case a.ExpireAt == b.ExpireAt:
		return ""
	case a.ExpireAt == 0 || b.ExpireAt == 0 || time.Duration((a.ExpireAt-b.ExpireAt)*int64(time.Millisecond)).Abs() > tolerance:
		return TTL
	default:
		return ""
	}
}

// settler decides about suspects. Both sites look at them right behind barriers, where they hold the same of the stream in which the barrier stands.
//
// A key that is equal once at a barrier of both is equal. One that differs is a finding if
//
//   - an epoch has begun, and it differs at two barriers of the active site: its stream is the only one that counts; or
//   - both streams are open, and it differs at a barrier of each, while neither site's value changed from the one to the other. What one stream
//     has brought to one site only would have changed the other site's by the second barrier.
//
// The rest is looked at again, until its time is up: then nobody can tell.
type settler struct {
	sites     [2]string // the reference first
	tolerance time.Duration
	open      map[string]*suspect
	half      map[string]*atBarrier    // attested by one site, by barrier id
	common    map[int32]map[string]int // barriers at which both sites looked, by partition and origin
	active    map[int32]string         // the site whose stream alone counts; empty = both do
	pairs     int                      // all common barriers
	findings  []Finding
	equal     int
}

type suspect struct {
	partition int32
	seen      map[string]int // at how many barriers of each origin it was different; while both streams are open, with the values of last
	last      [2]wal.Digest
	large     bool // to be looked at alone
	moved     int  // how often it was different, and not as before
}

type atBarrier struct {
	at      wal.DigestAt
	site    int
	entries map[string]wal.Digest
}

func newSettler(reference, other string, tolerance time.Duration) *settler {
	return &settler{
		sites: [2]string{reference, other}, tolerance: tolerance, open: map[string]*suspect{}, half: map[string]*atBarrier{}, common: map[int32]map[string]int{}, active: map[int32]string{},
	}
}

// suspect adds a key to be settled.
func (s *settler) suspect(key []byte, partition int32) {
	s.open[string(key)] = &suspect{partition: partition, seen: map[string]int{}}
}

// add takes what a site saw at a barrier.
func (s *settler) add(site string, at wal.DigestAt, entries []wal.Digest, now time.Time) {
	i := slices.Index(s.sites[:], site)
	if i < 0 {
		return
	}
	found := make(map[string]wal.Digest, len(entries))
	for _, e := range entries {
		found[string(e.Key)] = e
	}
	id := strconv.Itoa(int(at.Partition)) + "/" + at.Barrier.Origin + "/" + at.Barrier.ID
	other := s.half[id]
	if other == nil || other.site == i {
		s.half[id] = &atBarrier{at: at, site: i, entries: found}
		return
	}
	delete(s.half, id)
	if at.Epoch != other.at.Epoch || !at.Epoch.IsNone() && at.Epoch.Site != at.Barrier.Origin {
		return // the sites' places in the log have nothing in common
	}
	if s.common[at.Partition] == nil {
		s.common[at.Partition] = map[string]int{}
	}
	s.common[at.Partition][at.Barrier.Origin]++
	s.active[at.Partition] = at.Epoch.Site
	s.pairs++
	for key, d := range found {
		e, ok := other.entries[key]
		k := s.open[key]
		if !ok || k == nil {
			continue
		}
		pair := [2]wal.Digest{}
		pair[i], pair[1-i] = d, e
		s.judge(key, k, at, pair, now)
	}
}

// done reports whether no key is left open, but for those that were seen at so many barriers of each stream.
func (s *settler) done(times int) bool {
	for _, k := range s.open {
		if k.large {
			continue
		}
		common, active := s.common[k.partition], s.active[k.partition]
		for _, origin := range s.sites {
			if (active == "" || active == origin) && common[origin] < times {
				return false
			}
		}
	}
	return true
}

func (s *settler) judge(key string, k *suspect, at wal.DigestAt, pair [2]wal.Digest, now time.Time) {
	if pair[0].Type == wal.DigestLarge || pair[1].Type == wal.DigestLarge {
		k.large = true
		return
	}
	kind := differ(pair[0], pair[1], s.tolerance)
	if kind == "" {
		delete(s.open, key)
		s.equal++
		return
	}
	for _, d := range pair {
		// The sites were not read at the same moment: what expires just now may be gone at one of them only.
		if d.ExpireAt > 0 && d.ExpireAt <= now.Add(s.tolerance).UnixMilli() {
			return
		}
	}
	single := !at.Epoch.IsNone()
	if same := sameDigest(pair[0], k.last[0]) && sameDigest(pair[1], k.last[1]); !same && !single && len(k.seen) > 0 {
		k.moved++
		clear(k.seen)
	}
	k.last = pair
	k.seen[at.Barrier.Origin]++
	if single && k.seen[at.Barrier.Origin] < 2 || !single && (k.seen[s.sites[0]] == 0 || k.seen[s.sites[1]] == 0) {
		return
	}
	if pair[0].Type == wal.DigestChanging || pair[1].Type == wal.DigestChanging {
		return // somebody writes past the log just now
	}
	delete(s.open, key)
	s.findings = append(s.findings, Finding{
		Key: KeyText([]byte(key)), Bytes: []byte(key), Partition: k.partition, Kind: kind,
		Sides: map[string]Side{s.sites[0]: sideOf(pair[0]), s.sites[1]: sideOf(pair[1])},
	})
}

func sameDigest(a, b wal.Digest) bool {
	return bytes.Equal(a.Key, b.Key) && a.Type == b.Type && a.Sum == b.Sum && a.ExpireAt == b.ExpireAt
}
