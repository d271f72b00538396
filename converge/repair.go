package converge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// Repair says what to do about keys that differ.
type Repair struct {
	// From is the site whose values the other one gets. In an epoch it is the active one, and need not be said. Before the first epoch both sites are
	// written, so only a person can say whose values are right.
	From string
	// Write appends the repairs; without it they are only listed.
	Write bool
}

// RepairReport is what was done about the keys that differ.
type RepairReport struct {
	From    string `json:"from"` // whose values hold
	To      string `json:"to"`   // the site that gets them
	Written bool   `json:"written"`
	Keys    int    `json:"keys"`    // that were repaired, and are equal now
	Records int    `json:"records"` // that were appended for them
	// Failed are the keys that are not equal yet.
	Failed []Unsettled `json:"failed"`
}

const (
	// repairRounds is how often a key is repaired: again whenever a record on it came between the reading of its value and the repair.
	repairRounds = 6
	repairPause  = 100 * time.Millisecond // doubled each time
	repairKeys   = 500
	repairBytes  = 64 << 10
)

// RepairKeys gives the other site the values that a site has of certain keys, as the repair of a deep check does, without comparing the rest: the appliers of the site
// append them to the log, again whenever a record on a key came in between, until both hold the same. It waits until ctx ends. Keys that are not equal then are in the report; the
// error says that the sites do not answer.
//
// Under is the id of the activate that each partition of the keys is under, [wal.NoActivate] before the first: if somebody moves the writer, the repair ends.
func RepairKeys(ctx context.Context, c Config, keys [][]byte, from string, under map[int32]string, progress func(string)) (RepairReport, error) {
	d := Deep{Repair: &Repair{From: from, Write: true}, Tolerance: DefaultTolerance, Progress: progress}
	if err := errors.Join(c.complete(), d.complete(c)); err != nil {
		return RepairReport{}, fmt.Errorf("repair: %w", err)
	}
	s, err := openSession(ctx, c, d)
	if err != nil {
		return RepairReport{}, err
	}
	defer s.close()
	k := &comparison{session: s, deep: d, out: &DeepReport{Sites: map[string]wal.DigestSize{}, under: under}}
	for _, key := range keys {
		k.out.Findings = append(k.out.Findings, Finding{Key: KeyText(key), Bytes: key, Partition: k.partition(key)})
	}
	if err := k.size(ctx); err != nil {
		return RepairReport{}, err
	}
	if err := k.repair(ctx, *d.Repair); err != nil {
		return RepairReport{}, err
	}
	return *k.out.Repair, nil
}

// repair has the site whose values hold append them to the log, and looks whether that made the keys equal. A repair is executed at the other site only, so that
// nothing is lost of what the first one has; if it overtook a record there, the key differs and is repaired again.
func (k *comparison) repair(ctx context.Context, r Repair) error {
	from := r.From
	if active := k.out.epoch; !active.IsNone() {
		if from != "" && from != active.Site {
			return fmt.Errorf("repair from %s: %s is the active site, and only its values can be right", from, active.Site)
		}
		from = active.Site
	}
	if k.out.unsettled != "" {
		return fmt.Errorf("repair: %s: settle that first with `walctl failback`, which repairs what it touched", k.out.unsettled)
	}
	if from == "" {
		return errors.New("repair: both sites are written, so say whose values are right with --from; what the other site holds of these keys is then overwritten")
	}
	to := k.Sites.Self
	if from == to {
		to = k.Sites.Peer
	}
	out := &RepairReport{From: from, To: to, Failed: []Unsettled{}}
	k.out.Repair = out
	if a, b := k.out.Sites[from], k.out.Sites[to]; a.RDB > b.RDB {
		return fmt.Errorf("repair: Redis %s at %s cannot read what Redis %s at %s dumps (RDB version %d, it knows %d): upgrade the Redis of %s first",
			b.Redis, to, a.Redis, from, a.RDB, b.RDB, to)
	}
	if !r.Write {
		return nil
	}
	out.Written = true
	var keys [][]byte
	for _, f := range k.out.Findings {
		keys = append(keys, f.Bytes)
	}
	left := map[string]string{} // why, by key
	for round := range repairRounds {
		var again [][]byte
		for len(keys) > 0 {
			var some [][]byte
			for size := 0; len(keys) > 0 && len(some) < repairKeys && (size == 0 || size+len(keys[0]) < repairBytes); keys = keys[1:] {
				size += len(keys[0])
				some = append(some, keys[0])
			}
			more, err := k.repairSome(ctx, out, some, left)
			if err != nil {
				return err
			}
			again = append(again, more...)
		}
		if keys = again; len(keys) == 0 {
			break
		}
		k.deep.Progress(fmt.Sprintf("%d keys are repaired again", len(keys)))
		pause := time.NewTimer(repairPause << round) // who writes in bursts is given time to end
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return context.Cause(ctx)
		}
	}
	for _, key := range keys {
		left[string(key)] = fmt.Sprintf("it is written all the time: after %d repairs it still differs. Repair it when it is quiet", repairRounds)
	}
	for _, f := range k.out.Findings {
		if why, ok := left[string(f.Bytes)]; ok {
			out.Failed = append(out.Failed, Unsettled{Key: f.Key, Bytes: f.Bytes, Partition: f.Partition, Why: why})
		}
	}
	out.Keys = len(k.out.Findings) - len(out.Failed)
	return nil
}

// repairSome repairs keys once and returns those that are not equal after it.
func (k *comparison) repairSome(ctx context.Context, out *RepairReport, keys [][]byte, left map[string]string) ([][]byte, error) {
	waits := map[int32]bool{}
	for _, key := range keys {
		waits[k.partition(key)] = true
	}
	behind := map[int32]int64{} // the last repair of each partition, in the log of the site whose values hold
	not := map[string]bool{}
	awaited := func() []string {
		if len(waits) == 0 {
			return nil
		}
		return []string{out.From}
	}
	request := wal.DigestRequest{Repair: &wal.DigestRepair{From: out.From, Keys: keys, Under: k.out.under}}
	err := k.ask(ctx, request, 0, awaited, func(r wal.DigestReply) error {
		done := r.Repair
		if done == nil || r.Site != out.From || !waits[done.Partition] {
			return nil
		}
		delete(waits, done.Partition)
		behind[done.Partition] = done.Offset
		out.Records += done.Appended
		for _, n := range done.Not {
			left[string(n.Key)] = n.Why
			not[string(n.Key)] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	look := slices.DeleteFunc(slices.Clone(keys), func(key []byte) bool { return not[string(key)] })
	differ, large, err := k.lookBehind(ctx, out, look, behind, left)
	if err != nil {
		return nil, err
	}
	for _, key := range large {
		more, _, err := k.lookBehind(ctx, out, [][]byte{key}, behind, left)
		if err != nil {
			return nil, err
		}
		differ = append(differ, more...)
	}
	return differ, nil
}

// lookBehind looks at keys at barriers behind the repairs, and returns those that differ, and those that have to be looked at alone. Why is told of those that were not
// seen.
func (k *comparison) lookBehind(ctx context.Context, out *RepairReport, keys [][]byte, behind map[int32]int64, why map[string]string) (differ, large [][]byte, err error) {
	s := newSettler(out.From, out.To, k.deep.Tolerance)
	for _, key := range keys {
		s.suspect(key, k.partition(key))
	}
	counts := func(site string, at wal.DigestAt) bool { return site != out.From || at.Offset > behind[at.Partition] }
	if err := k.look(ctx, s, keys, firstLooks, counts); err != nil {
		return nil, nil, err
	}
	for _, f := range s.findings {
		differ = append(differ, f.Bytes)
	}
	for key, left := range s.open {
		switch {
		case len(s.common[left.partition]) == 0: // to repair it again would not help
			why[key] = "it was repaired, but whether it is equal now was not seen: the two sites did not look at one barrier of its partition"
		case left.large && len(keys) == 1:
			why[key] = "it was repaired, but whether it is equal now was not seen: it is too large to be read while its partition waits"
		case left.large:
			large = append(large, []byte(key))
		default: // it moves
			differ = append(differ, []byte(key))
		}
	}
	return differ, large, nil
}

// text says it to a person.
func (r *RepairReport) text(b *strings.Builder) {
	if !r.Written {
		fmt.Fprintf(b, "--repair would give %s the values of %s for these keys; what %s holds of them would be overwritten. Nothing was written: add --yes\n", r.To, r.From, r.To)
		return
	}
	fmt.Fprintf(b, "repaired: %d keys at %s, with the values of %s (%d records in the log)\n", r.Keys, r.To, r.From, r.Records)
	for i, f := range r.Failed {
		if i == textFindings {
			fmt.Fprintf(b, "and %d more were not repaired\n", len(r.Failed)-textFindings)
			break
		}
		fmt.Fprintf(b, "not repaired: %s (partition %d): %s\n", short(f.Key), f.Partition, f.Why)
	}
}
