package status

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
	"github.com/comptech-lab/redis-wal/writer/drill"
)

// Drill is a rehearsed cutover that the log tells of.
type Drill struct {
	ID   string `json:"id"`
	Home string `json:"home"` // the writer but for the drill
	Away string `json:"away"`
	// Out and Back are when the writer was moved to the other site, and back; null: nothing is known of that move. Without Back it did not come back by the drill.
	Out  *time.Time `json:"out"`
	Back *time.Time `json:"back"`
	// Open says that the writer is away for it: it is under way, or was interrupted.
	Open   bool   `json:"open"`
	Smoke  string `json:"smoke"`  // passed, failed, or unknown
	Reason string `json:"reason"` // what the operator said
}

// smokeUnknown is a [Drill.Smoke].
const smokeUnknown = string(Unknown)

// Text is the drill in a line.
func (d *Drill) Text() string {
	text := fmt.Sprintf("%s to %s, %s, %s", d.Home, d.Away, d.When(), d.Outcome())
	if d.Smoke != smokeUnknown {
		text += ", smoke test " + d.Smoke
	}
	return text
}

// When is when it began, or, if that is not known, when the writer came back.
func (d *Drill) When() string {
	switch {
	case d.Out != nil:
		return d.Out.Format(minutes)
	case d.Back != nil:
		return "until " + d.Back.Format(minutes)
	default:
		return unknownText
	}
}

const minutes = "2006-01-02 15:04 MST"

// Outcome is what became of the writer.
func (d *Drill) Outcome() string {
	switch {
	case d.Out != nil && d.Back != nil:
		return fmt.Sprintf("back after %s", seconds(d.Back.Sub(*d.Out).Seconds()))
	case d.Back != nil:
		return "back"
	case d.Open:
		return "under way, or interrupted"
	default:
		return "ended by something else"
	}
}

// drills are those that the activates tell of which either site has read; nil = neither has.
func (j *judge) drills() []Drill {
	var all []writer.Activated
	told := false
	for i := range j.f.Sites {
		told = told || j.f.Sites[i].Activates != nil
		for _, a := range j.f.Sites[i].Activates {
			if !slices.Contains(all, a) {
				all = append(all, a)
			}
		}
	}
	if !told {
		return nil
	}
	moment := func(ms int64) *time.Time {
		if ms == 0 {
			return nil
		}
		t := time.UnixMilli(ms).UTC()
		return &t
	}
	out := []Drill{}
	for _, p := range drill.History(all) {
		d := Drill{ID: p.ID, Home: p.Home, Away: p.Away, Out: moment(p.Out), Back: moment(p.Back), Open: p.Open, Smoke: p.Smoke, Reason: p.Reason}
		if d.Smoke == "" {
			d.Smoke = smokeUnknown
		}
		for i := range j.sites {
			if d.Away == "" && j.sites[i].Self == d.Home {
				d.Away = j.sites[i].Peer
			}
		}
		out = append(out, d)
	}
	return out
}

// someActivates are how many moves of the writer are looked through for drills.
const someActivates = 12

// activates reads those of partition 0, which a drill moves like all others; of before, what was read last is not read again. What cannot be read is left out: it is for people. It takes at most half of
// the patience, and the next look goes on.
func activates(ctx context.Context, s Site, before *Answers) []writer.Activated {
	if d, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, time.Until(d)/2, errEnough)
		defer cancel()
	}
	var known []writer.Activated
	var at *wal.Checkpoint
	if before != nil {
		known = before.Activates
		if r := before.Redis; r != nil && len(r.Checkpoints) > 0 {
			at = r.Checkpoints[0] // of a moment ago: what was moved since is read the next time
		}
	}
	if at == nil {
		all, err := s.Checkpoints(ctx)
		if err != nil || len(all) == 0 {
			return known
		}
		at = &all[0]
	}
	read, err := writer.Activates(ctx, s, 0, at, someActivates, known)
	if err == nil {
		return read
	}
	for _, k := range known {
		if !slices.Contains(read, k) {
			read = append(read, k)
		}
	}
	if len(read) == 0 {
		return nil
	}
	return read
}
