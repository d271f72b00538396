package converge

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// DeepReport is the outcome of a comparison of the data.
type DeepReport struct {
	// Verdict is Converged if no key differs, Diverged if some do, Unknown if nobody can tell of some, or the comparison broke off.
	Verdict State `json:"verdict"`
	// Sentence says it to a person.
	Sentence string `json:"sentence"`
	// Reference is the site from which findings are seen: the active one, or if no epoch has begun the one where the check runs.
	Reference string                    `json:"reference"`
	Sites     map[string]wal.DigestSize `json:"sites"` // by name
	Keys      map[string]int64          `json:"keys"`  // that were read, by site; a key that moves while it is counted may be counted twice
	Buckets   int                       `json:"buckets"`
	Differing int                       `json:"differing"` // buckets whose sums differed at first
	Suspects  int                       `json:"suspects"`  // keys that were looked at again
	// Findings are the keys that differ, in order, at most [MaxFindings]; More says that there are others.
	Findings []Finding `json:"findings"`
	More     bool      `json:"more"`
	// Unsettled are keys of which nobody can tell, at most [MaxFindings] of UnsettledKeys.
	Unsettled     []Unsettled `json:"unsettled"`
	UnsettledKeys int         `json:"unsettledKeys"`
	Tolerance     float64     `json:"tolerance"` // of expiries, in seconds
	Seconds       float64     `json:"seconds"`
	// Repair is what was done about the findings, or would be; absent if nothing was asked for.
	Repair *RepairReport `json:"repair,omitempty"`

	epoch wal.Epoch
	under map[int32]string // the ids of the activates, by partition
	// unsettled says why keys must not be repaired one by one; empty = they may.
	unsettled string
}

// Unsettled is a key of which nobody can tell whether it differs.
type Unsettled struct {
	Key       string `json:"key"`
	Bytes     []byte `json:"keyBase64"`
	Partition int32  `json:"partition"`
	Why       string `json:"why"`

	large bool // it was not read, as it would have held up others
}

// textFindings is how many keys a person is shown.
const textFindings = 50

func (d *DeepReport) conclude(r *Report, trouble error) {
	switch {
	case trouble != nil:
		d.Verdict = Unknown
		d.Sentence = fmt.Sprintf("could not compare the data: %v", trouble)
		if len(d.Findings) > 0 {
			d.Verdict = Diverged
		}
	case d.Verdict == Diverged:
		counts := map[Kind]int{}
		for _, f := range d.Findings {
			counts[f.Kind]++
		}
		var kinds []string
		for _, k := range []Kind{Missing, Extra, Unequal, TTL} {
			if counts[k] > 0 {
				kinds = append(kinds, fmt.Sprintf("%d %s", counts[k], k))
			}
		}
		more := ""
		if d.More {
			more = "at least "
		}
		d.Sentence = fmt.Sprintf("data differ: %s%d keys (%s, seen from %s)", more, len(d.Findings), strings.Join(kinds, ", "), d.Reference)
		if d.repaired() {
			d.Sentence = fmt.Sprintf("data differed in %d keys (%s, seen from %s); all were repaired from %s and are equal now", len(d.Findings), strings.Join(kinds, ", "),
				d.Reference, d.Repair.From)
		}
	case d.Verdict == Unknown:
		d.Sentence = fmt.Sprintf("could not tell of %d keys; all others are equal", d.UnsettledKeys)
	default:
		d.Sentence = fmt.Sprintf("data equal: %d keys at %s, %d at %s", d.Keys[r.Site], r.Site, d.Keys[r.Peer], r.Peer)
	}
	switch {
	case r.Exit == 1:
	case d.repaired() && trouble == nil:
		d.Verdict = Converged
		if d.UnsettledKeys > 0 {
			d.Verdict, r.Exit = Unknown, 2
		}
	case d.Verdict == Diverged:
		r.Exit = 1
	case d.Verdict == Unknown:
		r.Exit = 2
	}
}

// repaired reports whether every key that differed is equal now.
func (d *DeepReport) repaired() bool {
	return d.Repair != nil && d.Repair.Written && len(d.Repair.Failed) == 0 && d.Repair.Keys == len(d.Findings) && !d.More
}

// text writes what a person wants to know.
func (d *DeepReport) text(b *strings.Builder, self, peer string) {
	for _, site := range []string{self, peer} {
		s, ok := d.Sites[site]
		if !ok {
			continue
		}
		kind := "the primary, as no replica is in sync"
		if s.Replica {
			kind = "a replica"
		}
		fmt.Fprintf(b, "%s: %d keys, read from %s (%s, Redis %s)\n", site, d.Keys[site], s.From, kind, s.Redis)
	}
	if len(d.Findings) > 0 {
		w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "KEY\tPARTITION\tKIND\t%s\tEXPIRES\t%s\tEXPIRES\n", strings.ToUpper(self), strings.ToUpper(peer))
		for i, f := range d.Findings {
			if i == textFindings {
				break
			}
			fmt.Fprintf(w, "%s\t%d\t%s", short(f.Key), f.Partition, f.Kind)
			for _, site := range []string{self, peer} {
				s := f.Sides[site]
				fmt.Fprintf(w, "\t%s\t%s", strings.TrimSpace(s.Type+" "+s.Digest), expiry(s))
			}
			fmt.Fprintln(w)
		}
		_ = w.Flush() // a strings.Builder takes everything
		if n := len(d.Findings) - textFindings; n > 0 {
			fmt.Fprintf(b, "and %d more: --json lists up to %d\n", n, MaxFindings)
		}
	}
	for i, u := range d.Unsettled {
		if i == textFindings {
			fmt.Fprintf(b, "could not tell of %d keys more\n", d.UnsettledKeys-textFindings)
			break
		}
		fmt.Fprintf(b, "could not tell: %s (partition %d): %s\n", short(u.Key), u.Partition, u.Why)
	}
	if d.Repair != nil {
		d.Repair.text(b)
	}
	fmt.Fprintf(b, "%s (%d suspects looked at again, %.1fs)\n", d.Sentence, d.Suspects, d.Seconds)
}

func expiry(s Side) string {
	switch {
	case s.Type == wal.DigestNone.String():
		return "-"
	case s.ExpireAt == 0:
		return "never"
	default:
		return time.UnixMilli(s.ExpireAt).UTC().Format(time.RFC3339)
	}
}

// short is a key that does not fill the screen; the JSON has all of it.
func short(key string) string {
	const most = 100
	if len(key) <= most {
		return key
	}
	return fmt.Sprintf("%.*q... (%d bytes)", most, key, len(key))
}
