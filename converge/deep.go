package converge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// Deep says how the data are compared.
type Deep struct {
	// Rate is how many keys a second each site may read. Default: 20,000. Readers of the Redis that is read wait for each pipeline of it.
	Rate int
	// Tolerance is how far the expiry of a key may differ; 0 = not at all. [DefaultTolerance] bears clocks that differ a little.
	Tolerance time.Duration
	// Silence is how long a site may say nothing before the check gives up. Default: 30 s.
	Silence time.Duration
	// Looks is at how many barriers of each stream a key that differs and keeps changing is looked at before nobody can tell. Default: 10.
	Looks int
	// Repair says what to do about the findings; nil = nothing.
	Repair *Repair
	// Progress is called with a line for people now and then. Default: nothing.
	Progress func(string)
}

// The defaults of [Deep].
const (
	DefaultRate      = 20_000
	DefaultTolerance = 2 * time.Second
	DefaultSilence   = 30 * time.Second
	DefaultLooks     = 10
)

func (d *Deep) complete(c Config) error {
	d.Rate = cmp.Or(d.Rate, DefaultRate)
	d.Silence = cmp.Or(d.Silence, DefaultSilence)
	d.Looks = cmp.Or(d.Looks, DefaultLooks)
	if d.Progress == nil {
		d.Progress = func(string) {}
	}
	var errs []error
	if d.Rate < 1 || d.Looks < 1 || d.Tolerance < 0 || d.Silence < 0 {
		errs = append(errs, errors.New("rate and looks must be at least 1; tolerance and silence must not be negative"))
	}
	if d.Repair != nil && d.Repair.From != "" && d.Repair.From != c.Sites.Self && d.Repair.From != c.Sites.Peer {
		errs = append(errs, fmt.Errorf("repair from %q; want %s or %s", d.Repair.From, c.Sites.Self, c.Sites.Peer))
	}
	if c.Policy == PeerOff {
		errs = append(errs, fmt.Errorf("a deep check looks at both sites; policy %s looks at one", PeerOff))
	}
	return errors.Join(errs...)
}

const (
	perBucket  = 128
	minBuckets = 16
	// minPortion is how many keys are at least asked for one by one at a time. A site goes through all its names for each portion; maxPortions
	// bounds how often.
	minPortion  = 50_000
	maxPortions = 16
	// lookKeys and lookBytes bound one look.
	lookKeys  = 2000
	lookBytes = 256 << 10
	// MaxFindings is how many keys a report lists. When there are so many, the search ends.
	MaxFindings = 1000
)

// CheckDeep is [Check], and if the log has a verdict, a comparison of the data key by key, which is added to the report:
//
//   - each site sums up its keys in buckets, on a replica;
//   - of buckets that differ, each site tells the keys one by one;
//   - keys that differ are looked at again by the owners of their partitions, right behind barriers, until it is clear whether they differ.
//
// So what is written meanwhile is no finding. The error is for a Config that cannot work; everything else is in the report.
func CheckDeep(ctx context.Context, c Config, d Deep) (Report, error) {
	if err := errors.Join(c.complete(), d.complete(c)); err != nil {
		return Report{}, fmt.Errorf("check: %w", err)
	}
	var epoch wal.Epoch
	observe := c.Observe
	newest := map[int32]map[string]wal.Attestation{}
	c.Observe = func(a wal.Attestation) {
		observe(a)
		epoch = a.Epoch
		if newest[a.Partition] == nil {
			newest[a.Partition] = map[string]wal.Attestation{}
		}
		newest[a.Partition][a.Site] = a
	}
	r, err := Check(ctx, c)
	if err != nil {
		return r, err
	}
	c.Observe = observe
	if r.Verdict == Unknown {
		r.Exit = 2
		r.Notes = append(r.Notes, "the data were not compared: that needs both sites")
		return r, nil
	}
	began := time.Now()
	reference := c.Sites.Self
	if !epoch.IsNone() {
		reference = epoch.Site
	}
	r.Deep = &DeepReport{
		epoch:   epoch,
		Verdict: Unknown, Reference: reference, Sites: map[string]wal.DigestSize{}, Keys: map[string]int64{}, Findings: []Finding{}, Unsettled: []Unsettled{}, Tolerance: d.Tolerance.Seconds(),
	}
	r.Deep.under, r.Deep.unsettled = underOf(newest, reference), unsettled(newest)
	err = deepCheck(ctx, c, d, r.Deep)
	r.Deep.Seconds = time.Since(began).Seconds()
	r.Deep.conclude(&r, err)
	return r, nil
}

// underOf are the activates that the partitions are under, as a site attests it.
func underOf(newest map[int32]map[string]wal.Attestation, site string) map[int32]string {
	out := map[int32]string{}
	for p, by := range newest {
		if a, ok := by[site]; ok {
			out[p] = a.Under()
		}
	}
	return out
}

// unsettled says in which partition an earlier epoch ended differently at the two sites.
func unsettled(newest map[int32]map[string]wal.Attestation) string {
	for p, by := range newest {
		var roots []wal.Hash
		for _, a := range by {
			roots = append(roots, a.Root)
		}
		if len(roots) == 2 && roots[0] != roots[1] {
			return fmt.Sprintf("an earlier epoch ended differently at the sites (partition %d)", p)
		}
	}
	return ""
}

func deepCheck(ctx context.Context, c Config, d Deep, out *DeepReport) error {
	s, err := openSession(ctx, c, d)
	if err != nil {
		return err
	}
	defer s.close()
	k := &comparison{session: s, deep: d, out: out, other: c.Sites.Peer}
	if out.Reference == k.other {
		k.other = c.Sites.Self
	}
	if err := k.size(ctx); err != nil {
		return err
	}
	if err := k.compare(ctx); err != nil {
		return err
	}
	out.Verdict = Converged
	switch {
	case len(out.Findings) > 0:
		out.Verdict = Diverged
	case out.UnsettledKeys > 0:
		out.Verdict = Unknown
	}
	if d.Repair == nil || len(out.Findings) == 0 {
		return nil
	}
	return k.repair(ctx, *d.Repair)
}

// comparison is a deep check under way.
type comparison struct {
	*session
	deep  Deep
	out   *DeepReport
	other string // the site that is not the reference
}

// size asks how many keys there are, and where they are read.
func (k *comparison) size(ctx context.Context) error {
	return k.both(ctx, wal.DigestRequest{Size: true}, func(string) {}, func(r wal.DigestReply) error {
		if r.Size != nil {
			k.out.Sites[r.Site] = *r.Size
		}
		return nil
	})
}

// compare finds the keys that differ.
func (k *comparison) compare(ctx context.Context) error {
	most := int64(0)
	for _, s := range k.out.Sites {
		most = max(most, s.Keys)
	}
	count := uint32(minBuckets)
	if n := uint64(most) / perBucket; n > minBuckets {
		count = uint32(min(wal.MaxDigestBuckets, 1<<bits.Len64(n-1)))
	}
	sums, err := k.sums(ctx, count)
	if err != nil {
		return err
	}
	var of []uint32
	a, b := sums[k.Sites.Self], sums[k.Sites.Peer]
	for i := range a {
		if a[i] != b[i] {
			of = append(of, uint32(i))
		}
		k.out.Keys[k.Sites.Self] += int64(a[i].N)
		k.out.Keys[k.Sites.Peer] += int64(b[i].N)
	}
	k.out.Buckets, k.out.Differing = int(count), len(of)
	k.deep.Progress(fmt.Sprintf("%d keys at %s, %d at %s; %d of %d buckets differ", k.out.Keys[k.Sites.Self], k.Sites.Self, k.out.Keys[k.Sites.Peer], k.Sites.Peer, len(of), count))
	portion := max(minPortion, most/maxPortions)
	for len(of) > 0 && len(k.out.Findings) < MaxFindings {
		n, keys := 0, int64(0)
		for n < len(of) && (n == 0 || keys < portion) {
			keys += int64(max(a[of[n]].N, b[of[n]].N))
			n++
		}
		if err := k.portion(ctx, count, of[:n]); err != nil {
			return err
		}
		of = of[n:]
	}
	if len(of) > 0 || len(k.out.Findings) > MaxFindings {
		k.out.Findings, k.out.More = k.out.Findings[:MaxFindings], true
	}
	slices.SortFunc(k.out.Findings, func(a, b Finding) int { return slices.Compare(a.Bytes, b.Bytes) })
	return nil
}

func (k *comparison) sums(ctx context.Context, count uint32) (map[string][]wal.Count, error) {
	sums := map[string][]wal.Count{}
	err := k.both(ctx, wal.DigestRequest{Buckets: &wal.DigestBuckets{Count: count}},
		func(site string) { sums[site] = make([]wal.Count, count) },
		func(r wal.DigestReply) error {
			for i := 0; i+wal.DigestSumSize <= len(r.Sums); i += wal.DigestSumSize {
				n := uint64(r.First) + uint64(i/wal.DigestSumSize)
				if n >= uint64(count) {
					return fmt.Errorf("%s answers bucket %d of %d", r.Site, n, count)
				}
				sums[r.Site][n] = wal.ParseSum(r.Sums[i:])
			}
			return nil
		})
	return sums, err
}

// portion compares the keys of some buckets one by one, and settles those that differ.
func (k *comparison) portion(ctx context.Context, count uint32, of []uint32) error {
	found := map[string]map[string]wal.Digest{}
	err := k.both(ctx, wal.DigestRequest{Buckets: &wal.DigestBuckets{Count: count, Of: of}},
		func(site string) { found[site] = map[string]wal.Digest{} },
		func(r wal.DigestReply) error {
			all, err := wal.ParseDigests(r.Entries)
			for _, d := range all {
				found[r.Site][string(d.Key)] = d
			}
			return err
		})
	if err != nil {
		return err
	}
	var suspects [][]byte
	for site, all := range found {
		other := found[k.Sites.Self]
		if site == k.Sites.Self {
			other = found[k.Sites.Peer]
		}
		for key, d := range all {
			e, ok := other[key]
			if ok && site == k.Sites.Peer {
				continue // seen from the other side
			}
			if differ(d, e, k.deep.Tolerance) != "" {
				suspects = append(suspects, []byte(key))
			}
		}
	}
	k.out.Suspects += len(suspects)
	slices.SortFunc(suspects, slices.Compare)
	return k.settle(ctx, suspects)
}

// settle looks at suspects until each is a finding, equal, or one of which nobody can tell. A key that takes long does not hold up the others: it is looked
// at once more at the end.
func (k *comparison) settle(ctx context.Context, suspects [][]byte) error {
	rest, err := k.looks(ctx, suspects, min(k.deep.Looks, firstLooks), lookKeys)
	if err != nil || len(k.out.Findings) >= MaxFindings {
		return err
	}
	var again, alone [][]byte
	for _, u := range rest {
		if u.large {
			alone = append(alone, u.Bytes)
		} else {
			again = append(again, u.Bytes)
		}
	}
	if rest, err = k.looks(ctx, again, k.deep.Looks, lookKeys); err != nil {
		return err
	}
	large, err := k.looks(ctx, alone, k.deep.Looks, 1)
	if err != nil {
		return err
	}
	rest = append(rest, large...)
	for _, u := range rest {
		if k.out.UnsettledKeys++; len(k.out.Unsettled) < MaxFindings {
			k.out.Unsettled = append(k.out.Unsettled, u)
		}
	}
	return nil
}

// firstLooks is at how many barriers of each stream keys are looked at before others have their turn.
const firstLooks = 2

// looks looks at suspects, some at a time, and returns those that it could not tell of.
func (k *comparison) looks(ctx context.Context, suspects [][]byte, times, most int) (rest []Unsettled, err error) {
	for len(suspects) > 0 && len(k.out.Findings) < MaxFindings {
		s := newSettler(k.out.Reference, k.other, k.deep.Tolerance)
		var keys [][]byte
		for size := 0; len(suspects) > 0 && len(keys) < most && (size == 0 || size+len(suspects[0]) < lookBytes); suspects = suspects[1:] {
			size += len(suspects[0])
			keys = append(keys, suspects[0])
			s.suspect(suspects[0], k.partition(suspects[0]))
		}
		if err := k.look(ctx, s, keys, times, nil); err != nil {
			return nil, err
		}
		k.out.Findings = append(k.out.Findings, s.findings...)
		for _, key := range keys {
			left := s.open[string(key)]
			if left == nil {
				continue
			}
			why := "it was not read at enough barriers"
			if len(s.common[left.partition]) == 0 {
				why = "the two sites did not look at one barrier of its partition"
			} else if left.large {
				why = "it is too large to be read while its partition waits"
			} else if left.moved > 0 {
				why = "it changes all the time"
			}
			rest = append(rest, Unsettled{Key: KeyText(key), Bytes: key, Partition: left.partition, Why: why, large: left.large})
		}
		if len(suspects) > 0 {
			k.deep.Progress(fmt.Sprintf("%d keys to be looked at again", len(suspects)))
		}
	}
	return rest, nil
}

func (k *comparison) partition(key []byte) int32 {
	return wal.Partition(wal.RoutingKey(key), k.Partitions)
}

// look has both sites look at keys until the settler has none left open, or has seen those at so many barriers of each stream. It ends also when the sites
// come to no common barrier any more.
func (k *comparison) look(ctx context.Context, s *settler, keys [][]byte, times int, counts func(site string, at wal.DigestAt) bool) error {
	request := &wal.DigestKeys{Keys: slices.Clone(keys)}
	seen, progress := 0, time.Now()
	awaited := func() []string {
		if s.pairs > seen {
			seen, progress = s.pairs, time.Now()
		}
		if s.done(times) || time.Since(progress) > k.silence {
			return nil
		}
		request.Keys = slices.DeleteFunc(request.Keys, func(key []byte) bool { return s.open[string(key)] == nil }) // what is asked for again
		return []string{k.Sites.Self, k.Sites.Peer}
	}
	return k.ask(ctx, wal.DigestRequest{Look: request}, lookAgain, awaited, func(r wal.DigestReply) error {
		if r.At == nil || counts != nil && !counts(r.Site, *r.At) {
			return nil
		}
		all, err := wal.ParseDigests(r.Entries)
		if err == nil {
			s.add(r.Site, *r.At, all, time.Now())
		}
		return err
	})
}
