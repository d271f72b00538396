// Package drill rehearses a planned cutover: to the other site, a smoke test there, and back. What it has begun stands in the log, in the reasons of its activates, so a drill
// that was interrupted is gone on with by whoever runs it next.
package drill

import (
	"fmt"
	"slices"
	"strings"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// Stage is how far a drill has got.
type Stage string

// The stages.
const (
	Fresh   Stage = "fresh"       // nothing was begun
	Leaving Stage = "leaving"     // the cutover to the other site was interrupted
	Away    Stage = "away"        // the other site is the writer
	Going   Stage = "coming back" // the cutover back was interrupted
)

// Begun is a drill as the log knows it.
type Begun struct {
	ID    string // empty: a fresh one has none yet
	Stage Stage
	Home  string // the site that is the writer but for the drill
	Away  string // the other one
}

// RefusedError says why a drill is not begun. Nothing was written.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return "refused, nothing was written: " + e.Why }

func refused(format string, args ...any) error {
	return &RefusedError{fmt.Sprintf(format, args...)}
}

// The reasons of a drill's activates begin so; what the operator said follows.
func reasonOut(id, home, away string) string {
	return fmt.Sprintf("drill %s: %s to %s", id, home, away)
}
func reasonBack(id, home string) string { return fmt.Sprintf("drill %s: back to %s", id, home) }

// verdict is how the reason goes on in whose run the smoke test was: what came of it is told by the log, too.
func (s *Smoke) verdict() string {
	switch {
	case s == nil:
		return ""
	case s.Error != "":
		return ", smoke test " + SmokeFailed
	default:
		return ", smoke test " + SmokePassed
	}
}

// Find says how far a drill has got, by how the epochs of the partitions were opened.
func Find(openings []writer.Opening, sites wal.Sites) (Begun, error) {
	if len(openings) == 0 {
		return Begun{}, refused("nothing is known of the writer")
	}
	peer := map[string]string{sites.Self: sites.Peer, sites.Peer: sites.Self}
	var out *Begun
	for i := range openings {
		id, said, ok := strings.Cut(strings.TrimPrefix(openings[i].Reason, "drill "), ": ")
		site := openings[i].Epoch.Site
		if ok && strings.HasPrefix(openings[i].Reason, "drill ") && strings.HasPrefix(said, peer[site]+" to "+site) {
			if out != nil && out.ID != id {
				return Begun{}, refused("two drills were interrupted, %s and %s: end them with `walctl cutover`", out.ID, id)
			}
			out = &Begun{ID: id, Home: peer[site], Away: site}
		}
	}
	if out == nil {
		return fresh(openings, peer)
	}
	out.Stage = Away
	for i := range openings {
		switch o := &openings[i]; {
		case o.Epoch.Site == out.Home && strings.HasPrefix(o.Reason, reasonBack(out.ID, out.Home)):
			out.Stage = Going
		case o.Epoch.Site == out.Home && out.Stage == Away:
			out.Stage = Leaving
		}
	}
	if out.Stage == Away && slices.ContainsFunc(openings, func(o writer.Opening) bool { return o.Sealed }) {
		out.Stage = Going // it was sealed to be left
	}
	return *out, nil
}

// fresh is whether one may begin.
func fresh(openings []writer.Opening, peer map[string]string) (Begun, error) {
	home := openings[0].Epoch.Site
	for p := range openings {
		switch o := &openings[p]; {
		case o.Epoch.IsNone():
			return Begun{}, refused("partition %d has no epoch: both sites write; `walctl cutover` makes one the writer", p)
		case o.Sealed:
			return Begun{}, refused("partition %d is sealed in epoch %s: a cutover is under way, or was interrupted; end it with `walctl cutover --to %s`, and move the writer back by another one if it was a drill", p, o.Epoch, peer[o.Epoch.Site])
		case o.Epoch.Site != home:
			return Begun{}, refused("not every partition has the same writer: end the cutover that was interrupted with `walctl cutover`")
		case (o.Gone || o.Unknown) && o.Epoch.Minor == 0:
			return Begun{}, refused("the activate of epoch %s is not in the log any more, or not known here, so whether a person took over cannot be told: move the writer with `walctl cutover` first", o.Epoch)
		case ifdown.Automatic(o): // a drill must not look like a person
			return Begun{}, refused("epoch %s was opened by an automatic takeover, and nobody has been there since: settle it with `walctl failback`, and move the writer with `walctl cutover`", o.Epoch)
		}
	}
	return Begun{Stage: Fresh, Home: home, Away: peer[home]}, nil
}
