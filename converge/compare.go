// Package converge proves that two sites have decided the same, or shows where they differ.
//
// Every applier answers a barrier in the log with an attestation: the count and the chain hash of what it has decided up to there.
// Two attestations of the same barrier by the two sites, compared, are a verdict on the stream in which the barrier stands.
// [Compare] is that comparison, a [Tracker] keeps the newest verdict of every stream while attestations arrive, and [Check] asks for
// a verdict at once, by a barrier of its own, and waits for it.
package converge

import (
	"fmt"

	"github.com/comptech-lab/redis-wal/wal"
)

// State is what is known about a stream at a barrier.
type State string

// The states.
const (
	Converged State = "converged" // both sites have decided the same up to the barrier
	Diverged  State = "diverged"  // they have not, and no later record will change that by itself
	Unknown   State = "unknown"   // the attestations do not tell
)

// Result is the outcome of a comparison.
type Result struct {
	State State
	// Why says what differs (Diverged) or what the comparison lacks (Unknown), with the names of the sites; empty if Converged.
	Why string
	// Notes say what the log does not show although it is equal: reasons to compare the data themselves.
	Notes []string
}

// Compare compares the attestations of the two sites at one barrier, for the stream of the barrier's origin.
//
// The sites see different interleavings of the two streams, so a barrier tells only about the stream in which it stands, and only
// while that stream is open in the same epoch at both: before the first epoch each origin's, then the active site's.
// Everything else is Unknown.
func Compare(a, b wal.Attestation) Result {
	switch {
	case a.Site == b.Site:
		return unknown("both attestations are of %s", a.Site)
	case a.Partition != b.Partition:
		return unknown("the attestations are of partitions %d and %d", a.Partition, b.Partition)
	case a.Barrier.ID != b.Barrier.ID || a.Barrier.Origin != b.Barrier.Origin:
		return unknown("the attestations are of two barriers, %s of %s and %s of %s", a.Barrier.ID, a.Barrier.Origin, b.Barrier.ID, b.Barrier.Origin)
	}
	for _, x := range []wal.Attestation{a, b} {
		if _, ok := x.Streams[x.Barrier.Origin]; !ok {
			return unknown("%s attests nothing about the records of %s; it knows the sites by other names", x.Site, x.Barrier.Origin)
		}
	}
	sa, sb := statementOf(a), statementOf(b)
	return compare(a.Barrier.Origin, [2]string{a.Site, b.Site}, &sa, &sb)
}

func unknown(format string, args ...any) Result {
	return Result{State: Unknown, Why: fmt.Sprintf(format, args...)}
}

// Statement is what a site attests of one stream at a barrier.
type Statement struct {
	TopicID    wal.TopicID
	Offset     int64 // of the barrier in the site's log
	Epoch      wal.Epoch
	Root       wal.Hash
	Seed       string // the data that the site began with, and that are in no record; empty = none
	Sealed     bool   // the stream
	N          uint64 // records of the stream that count in this epoch
	H          wal.Hash
	Refused    wal.Count
	Expired    uint64
	LagRecords int64 // behind the barrier in the site's log when it was decided
	Time       int64 // when it was decided, ms since 1970
}

func statementOf(a wal.Attestation) Statement {
	s := a.Streams[a.Barrier.Origin]
	return Statement{
		TopicID: a.TopicID, Offset: a.Offset, Epoch: a.Epoch, Root: a.Root, Seed: a.Seed, Sealed: s.Sealed, N: s.N, H: s.H,
		Refused: a.Refused, Expired: a.Expired, LagRecords: a.Lag, Time: a.Time,
	}
}

func compare(origin string, sites [2]string, a, b *Statement) Result {
	switch {
	case a.Epoch != b.Epoch:
		return unknown("%s is in epoch %s, %s in %s", sites[0], a.Epoch, sites[1], b.Epoch)
	case !a.Epoch.IsNone() && a.Epoch.Site != origin:
		return unknown("%s is not the active site in epoch %s: its records do not count", origin, a.Epoch)
	}
	if why := difference(sites, a, b); why != "" {
		return Result{State: Diverged, Why: why}
	}
	return Result{State: Converged, Notes: notes(sites, a, b)}
}

func difference(sites [2]string, a, b *Statement) string {
	switch {
	case a.Seed != b.Seed:
		return fmt.Sprintf("the log begins with data that are in no record, and only one site has them (seed %q at %s, %q at %s): fill the other one with `walctl bootstrap`", a.Seed, sites[0], b.Seed, sites[1])
	case a.Root != b.Root:
		return fmt.Sprintf("an earlier epoch ended differently (root %s at %s, %s at %s): one site has records of it that the other has not", a.Root, sites[0], b.Root, sites[1])
	case a.N != b.N:
		return fmt.Sprintf("%s has counted %d records, %s %d", sites[0], a.N, sites[1], b.N)
	case a.H != b.H:
		return fmt.Sprintf("both have counted %d records, but not the same ones in the same order", a.N)
	case a.Sealed != b.Sealed:
		// In one stream the seal stands before the barrier at both sites or at neither.
		sealed := sites[0]
		if b.Sealed {
			sealed = sites[1]
		}
		return fmt.Sprintf("only %s has counted a seal", sealed)
	default:
		return ""
	}
}

func notes(sites [2]string, a, b *Statement) []string {
	var out []string
	if a.Refused.N != b.Refused.N {
		out = append(out, fmt.Sprintf("Redis has refused %d commands at %s, %d at %s", a.Refused.N, sites[0], b.Refused.N, sites[1]))
	} else if a.Refused.H != b.Refused.H {
		out = append(out, fmt.Sprintf("Redis has refused %d commands at both sites, but not the same ones", a.Refused.N))
	}
	for i, s := range []*Statement{a, b} {
		if s.Expired > 0 {
			out = append(out, fmt.Sprintf("%d records arrived at %s with their expiry over", s.Expired, sites[i]))
		}
	}
	return out
}
