package status

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Text is the model on one screen.
func (m *Model) Text() string {
	var b strings.Builder
	if m.Log == "" {
		fmt.Fprintf(&b, "no site answers, %s\n\n", m.Time.Format(time.TimeOnly+" MST"))
	} else {
		fmt.Fprintf(&b, "%s, %s, %s\n\n", m.Log, Plural(int64(m.Partitions), "partition"), m.Time.Format(time.TimeOnly+" MST"))
	}
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, s := range m.Sites {
		fmt.Fprint(w, "\t", strings.ToUpper(s.Site))
	}
	fmt.Fprintln(w)
	for _, row := range m.Rows() {
		lines := 1
		for _, c := range row.Cells {
			lines = max(lines, len(c.Lines))
		}
		name := row.Name
		for n := range lines {
			fmt.Fprint(w, name)
			for _, c := range row.Cells {
				text := ""
				if n < len(c.Lines) {
					text = c.Lines[n]
				}
				fmt.Fprint(w, "\t", text)
			}
			fmt.Fprintln(w)
			name = ""
		}
	}
	_ = w.Flush() // a strings.Builder takes everything
	text := trimLines(b.String())
	b.Reset()
	b.WriteString(text)
	fmt.Fprintf(&b, "\n%s\n", m.VerdictText())
	for _, q := range m.Questions() {
		said(&b, q)
	}
	if m.Nowhere() {
		b.WriteString("Can I cut over? There is nowhere to go.\n")
	}
	if len(m.Drills) > 0 {
		fmt.Fprintf(&b, "Last drill: %s.\n", m.Drills[0].Text())
	}
	for _, n := range m.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String()
}

func trimLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// said writes a question and its answer: the reasons as a list if there are more than one.
func said(b *strings.Builder, q Question) {
	switch len(q.Reasons) {
	case 0:
		fmt.Fprintf(b, "%s %s.\n", q.Text, q.Said())
	case 1:
		fmt.Fprintf(b, "%s %s: %s.\n", q.Text, q.Said(), q.Reasons[0])
	default:
		fmt.Fprintf(b, "%s %s:\n", q.Text, q.Said())
		for _, reason := range q.Reasons {
			fmt.Fprintf(b, "  - %s\n", reason)
		}
	}
}
