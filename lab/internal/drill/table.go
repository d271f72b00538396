package drill

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Line is a row in words, for whoever watches.
func (r Row) Line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-18s %s\n", r.Drill.Name, r.Drill.Fault)
	if r.Skipped != "" {
		fmt.Fprintf(&b, "%19sSKIPPED: %s\n", "", r.Skipped)
		return b.String()
	}
	for _, f := range [][2]string{
		{"lasted", short(r.Lasted)},
		{"clients", r.Clients},
		{"seen", r.Seen},
		{"recovery", r.recovery()},
		{"lost", fmt.Sprint(r.Lost)},
		{"duplicated", fmt.Sprint(r.Duplicated)},
		{"keys that differ", fmt.Sprint(r.Differ)},
		{"check", r.Verdict},
	} {
		if f[1] != "" {
			fmt.Fprintf(&b, "%19s%s: %s\n", "", f[0], f[1])
		}
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "%19sFAILED: %s\n", "", f)
	}
	fmt.Fprintf(&b, "%19s%s in %.0f s\n", "", r.outcome(), r.Took.Seconds())
	return b.String()
}

func (r Row) recovery() string {
	switch {
	case r.Drill.End.Halted != "":
		return "none in this version"
	case r.Drill.End.Lost != 0:
		return "by a person"
	case !r.Late:
		return "nothing was late"
	case r.Recovery == 0:
		return "before the fault was over"
	}
	return short(r.Recovery)
}

func (r Row) outcome() string {
	switch {
	case r.Skipped != "":
		return "skipped"
	case len(r.Failures) > 0:
		return "FAILED"
	}
	return "as it must be"
}

// Write writes the page with the results. Drills that were not run keep the row that they have on the old page.
func Write(w io.Writer, old string, rows []Row, at time.Time) error {
	day := at.UTC().Format("2006-01-02")
	kept := make(map[string]string)
	for line := range strings.Lines(old) {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(rest, "`")
			kept[name] = line
		}
	}
	for _, r := range rows {
		kept[r.Drill.Name] = r.tableRow(day)
	}
	var b strings.Builder
	b.WriteString(head)
	b.WriteString("| drill | fault | lasted | what the clients saw | what the system said | recovery | lost | duplicated | keys that differ | check | outcome | took, on |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, d := range List() {
		b.WriteString(kept[d.Name])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Row) tableRow(day string) string {
	cell := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "|", `\|`), "\n", " ") }
	if r.Skipped != "" {
		return fmt.Sprintf("| `%s` (%s) | %s | | | %s | | | | | | skipped | %s |\n", r.Drill.Name, r.Drill.Needs, cell(r.Drill.Fault), cell(r.Skipped), day)
	}
	return fmt.Sprintf("| `%s` (%s) | %s | %s | %s | %s | %s | %d | %d | %d | %s | %s | %.0f s, %s |\n", r.Drill.Name, r.Drill.Needs, cell(r.Drill.Fault),
		short(r.Lasted), cell(r.Clients), cell(r.Seen), r.recovery(), r.Lost, r.Duplicated, r.Differ, r.Verdict, r.outcome(), r.Took.Seconds(), day)
}

const head = `# Drills

<!-- Written by ` + "`make drill`" + `; what is changed by hand is gone with the next run. -->

Faults, one at a time, on the [lab](lab.md), while applications write and read at both sites. ` + "`make drill`" + ` runs them all and writes this page;
` + "`make drill-short`" + ` runs the ones that need no Java and end soon; ` + "`go run ./lab drill -only NAME`" + ` runs one
(and renews its row with ` + "`-page docs/drills.md`" + `). The exit status is 0 if each
ended as it must. [What they fail of](decisions/2026-11-21-drills-fail.md) was seen by
taking their protections out.

The load: 400 operations per second at dc and 100 at dr, all with ` + "`wal-seq`" + `. Half of dc's are those of the demo. The others, and all at dr, are the ledgers:
lists to which every record appends its own number, so that one that is missing or was applied twice is seen by its number. In the end both
checks run, every ledger is read at both sites, and every key, value and expiry of both sites is compared with a Redis that got the same
operations directly.

- *lasted*: from the fault to its end; 0 for one that is over at once.
- *no read for*: the longest time in which a client that asks the Sentinels for the primary got no answer; it reads every 20 ms and waits for half a second.
- *recovery*: from the end of the fault until everything was readable at both sites again within 1.5 s of its acknowledgement.
- *lost, duplicated*: ledger records, over both sites. *Keys that differ*: from the model, over both sites.

The times are those of two cores that other work may have shared: they are an order of magnitude, not a promise.

`
