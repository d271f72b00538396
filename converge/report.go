package converge

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// ReportVersion is the version of the report's JSON. Fields may be added within a version.
const ReportVersion = 1

// Report is the outcome of a check. Its JSON is for programs; the field names are stable.
type Report struct {
	Version int    `json:"v"`
	Log     string `json:"log"`
	Site    string `json:"site"`
	Peer    string `json:"peer"`
	Policy  Policy `json:"policy"`
	// Verdict is over all streams: Diverged if one has, Converged if all that are open have, else Unknown.
	Verdict State `json:"verdict"`
	// Exit is what ExitCode returns.
	Exit int `json:"exit"`
	// Sentence says the verdict to a person, with what to do.
	Sentence string `json:"sentence"`
	// Missing names who did not answer: a site (dr) or a leg of the mirror (dc->dr). Empty unless something was not told.
	Missing []string `json:"missing"`
	// Notes are reasons to compare the data although the log is equal, and what the policy passes over.
	Notes   []string  `json:"notes"`
	Streams []Row     `json:"streams"` // the open streams, by partition
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"` // how long the check took
	// Deep is the comparison of the data; absent unless [CheckDeep] made one.
	Deep *DeepReport `json:"deep,omitempty"`
}

// Row is what is known of one stream.
type Row struct {
	Partition int32  `json:"partition"`
	Origin    string `json:"origin"`
	State     State  `json:"state"`
	Why       string `json:"why"` // empty if Converged
	// Barrier is the one on which the state rests; null if there is none.
	Barrier *wal.AttestedBarrier `json:"barrier"`
	// First is the first known barrier at which the sites differ; null unless Diverged.
	First *wal.AttestedBarrier `json:"first"`
	// Sites says where each site is, by its name.
	Sites map[string]Place `json:"sites"`
}

// Place is where a site stands in a stream: at its newest attestation of a barrier of that origin.
type Place struct {
	Attested   bool      `json:"attested"` // false: it has attested none, and the rest is zero
	Barrier    uint64    `json:"barrier"`  // number
	Offset     int64     `json:"offset"`   // of the barrier in the site's log
	Epoch      wal.Epoch `json:"epoch"`
	N          uint64    `json:"n"`
	H          wal.Hash  `json:"h"`
	LagRecords int64     `json:"lagRecords"` // that the site's log held behind the barrier when it was decided
	// LagSeconds is from the barrier's appending to its being decided, or until now if a newer one is known. It
	// compares the clocks of two sites.
	LagSeconds float64 `json:"lagSeconds"`
}

// ExitCode is that of diff(1): 0 converged, 1 diverged, 2 could not tell. A policy may turn 2 into 0, never 1.
func (r *Report) ExitCode() int { return r.Exit }

// WriteJSON writes the report as one JSON object, indented.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // the legs of the mirror have an arrow
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// WriteText writes the report as a table, its notes and the sentence; then what is said of the data, which ends with a sentence too.
func (r *Report) WriteText(out io.Writer) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if len(r.Streams) > 0 {
		fmt.Fprintf(w, "PARTITION\tORIGIN\tSTATE\tBARRIER\t%s\tLAG\t%s\tLAG\n", strings.ToUpper(r.Site), strings.ToUpper(r.Peer))
	}
	for _, row := range r.Streams {
		barrier := "-"
		if row.Barrier != nil {
			barrier = fmt.Sprint(row.Barrier.Number)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s", row.Partition, row.Origin, row.State, barrier)
		for _, site := range []string{r.Site, r.Peer} {
			p := row.Sites[site]
			if !p.Attested {
				fmt.Fprint(w, "\t-\t-")
				continue
			}
			fmt.Fprintf(w, "\tn=%d %s\t%d records, %.1fs", p.N, p.H.String()[:8], p.LagRecords, p.LagSeconds)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // a strings.Builder takes everything
	var said []string
	for _, row := range r.Streams {
		if row.Why != "" && !slices.Contains(said, row.Why) {
			said = append(said, row.Why)
			fmt.Fprintf(&b, "partition %d, origin %s: %s\n", row.Partition, row.Origin, row.Why)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	fmt.Fprintln(&b, r.Sentence)
	if r.Deep != nil {
		r.Deep.text(&b, r.Site, r.Peer)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// report puts together what is known. Trouble is what kept the check from going on; nil if it had nothing left to wait for.
func (w *watch) report(start, now time.Time, trouble error) Report {
	r := Report{
		Version: ReportVersion, Log: w.Log, Site: w.Sites.Self, Peer: w.Sites.Peer, Policy: w.Policy, Verdict: Converged,
		Missing: []string{}, Notes: []string{}, Streams: []Row{}, Started: start.UTC(), Seconds: now.Sub(start).Seconds(),
	}
	began := false
	for p := range w.Partitions {
		began = began || w.own[p].appended
	}
	if !began {
		r.Verdict, r.Exit, r.Missing = Unknown, 2, []string{w.Sites.Self}
		r.Sentence = fmt.Sprintf("could not tell: %v", trouble)
		return r
	}
	silent := "" // what this site does not answer
	var diverged, untold *Row
	for p := range w.Partitions {
		self := w.own[p].self != nil
		if !self && silent == "" {
			_, why := w.missing(p, w.Sites.Self)
			silent = fmt.Sprintf("partition %d: %s", p, why)
		}
		if w.Policy == PeerOff && self {
			continue
		}
		for _, origin := range w.origins(p) {
			row, who := w.row(p, origin, now)
			r.Streams = append(r.Streams, row)
			if who != "" && !slices.Contains(r.Missing, who) {
				r.Missing = append(r.Missing, who)
			}
			switch {
			case row.State == Diverged && diverged == nil:
				diverged = &row
			case row.State == Unknown && untold == nil:
				untold = &row
			case row.State == Converged:
				r.Notes = w.noteData(r.Notes, p, origin)
			}
		}
	}
	if w.unreadable > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d records of %s could not be read: another version wrote them", w.unreadable, wal.AttestTopic(w.Log)))
	}
	w.conclude(&r, silent, diverged, untold, trouble)
	return r
}

// noteData adds why the data may differ although the log is equal.
func (w *watch) noteData(notes []string, p int32, origin string) []string {
	for _, n := range w.tracker.Verdict(p, origin).Notes {
		n = fmt.Sprintf("log equal, but in partition %d %s: the data may differ", p, n)
		if !slices.Contains(notes, n) { // both origins' barriers tell of the same partition
			notes = append(notes, n)
		}
	}
	return notes
}

func (w *watch) row(p int32, origin string, now time.Time) (row Row, missing string) {
	v := w.tracker.Verdict(p, origin)
	row = Row{Partition: p, Origin: origin, State: v.State, Why: v.Why, Sites: map[string]Place{}}
	if v.Barrier.ID != "" {
		row.Barrier = &v.Barrier
	}
	switch {
	case v.State == Diverged: // an old one counts, too: nothing newer contradicts it
		row.First = &v.First
	case v.State == Unknown || !w.fresh(v):
		row.State = Unknown
		missing, row.Why = w.missing(p, origin)
	}
	var newest uint64
	for _, site := range []string{w.Sites.Self, w.Sites.Peer} {
		newest = max(newest, w.last[heard{site, p, origin}].Barrier.Number)
	}
	for _, site := range []string{w.Sites.Self, w.Sites.Peer} {
		a, ok := w.last[heard{site, p, origin}]
		if !ok {
			row.Sites[site] = Place{}
			continue
		}
		decided := a.Time
		if a.Barrier.Number < newest {
			decided = now.UnixMilli()
		}
		s := statementOf(a)
		row.Sites[site] = Place{
			Attested: true, Barrier: a.Barrier.Number, Offset: s.Offset, Epoch: s.Epoch, N: s.N, H: s.H, LagRecords: s.LagRecords,
			LagSeconds: max(0, float64(decided-a.Barrier.Time)/1000),
		}
	}
	return row, missing
}

// conclude sets verdict, exit code and sentence.
func (w *watch) conclude(r *Report, silent string, diverged, untold *Row, trouble error) {
	self, peer := w.Sites.Self, w.Sites.Peer
	because := ""
	if trouble != nil {
		because = fmt.Sprintf(" (%v)", trouble)
	}
	switch {
	case diverged != nil && w.Policy != PeerOff:
		r.Verdict, r.Exit = Diverged, 1
		other := peer
		if diverged.Origin == peer {
			other = self
		}
		r.Sentence = fmt.Sprintf("diverged: partition %d, origin %s, first at barrier %d (id %s): %s. What %s appended before that barrier did not arrive alike at %s: "+
			"look there for records that the mirror %s->%s lost or repeated, and fill the Redis of %s anew from %s",
			diverged.Partition, diverged.Origin, diverged.First.Number, diverged.First.ID, diverged.Why, diverged.Origin, other, diverged.Origin, other, other, diverged.Origin)
	case silent != "":
		r.Verdict, r.Exit = Unknown, 2
		r.Sentence = fmt.Sprintf("could not tell: %s itself does not answer: %s%s", self, silent, because)
	case w.Policy == PeerOff:
		r.Verdict = Unknown // of the two sites; this one is well
		r.Sentence = fmt.Sprintf("%s has decided every partition of %s up to the check's barriers; %s was not looked at", self, w.Log, peer)
	case untold == nil:
		r.Sentence = fmt.Sprintf("converged: %s and %s agree on all %d partitions of %s", self, peer, w.Partitions, w.Log)
	default:
		r.Verdict, r.Exit = Unknown, 2
		r.Sentence = fmt.Sprintf("could not tell: partition %d, origin %s: %s%s", untold.Partition, untold.Origin, untold.Why, because)
		if w.Policy == PeerReport {
			r.Exit = 0
			r.Notes = append(r.Notes, fmt.Sprintf("%s is not required to answer (policy %s)", peer, w.Policy))
		}
	}
}
