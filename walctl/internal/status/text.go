package status

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
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
	row := func(name string, cell func(*State) string) {
		cells := make([][]string, len(m.Sites))
		lines := 1
		for i := range m.Sites {
			cells[i] = strings.Split(cell(&m.Sites[i]), "\n")
			lines = max(lines, len(cells[i]))
		}
		for n := range lines {
			fmt.Fprint(w, name)
			for i := range cells {
				text := ""
				if n < len(cells[i]) {
					text = cells[i][n]
				}
				fmt.Fprint(w, "\t", text)
			}
			fmt.Fprintln(w)
			name = ""
		}
	}
	row("", func(s *State) string { return strings.ToUpper(s.Site) })
	row("answers", func(s *State) string {
		switch {
		case !s.Reached:
			return "no"
		case len(s.Silent) > 0:
			return fmt.Sprintf("all but %s", Plural(int64(len(s.Silent)), "question"))
		}
		return "yes"
	})
	row("writer", func(s *State) string { return lines(s.Epochs, writerText) })
	row("behind its log", lagText)
	row("mirror", mirrorText)
	row("to retention", retentionText)
	row("primary", redisText(func(r *Redis) string {
		switch {
		case r.Primary == "":
			return "none"
		case !r.Agreed:
			return r.Primary + ", not agreed"
		}
		return fmt.Sprintf("%s (%s)", r.Primary, r.Version)
	}))
	row("replicas", redisText(replicasText))
	row("memory", redisText(func(r *Redis) string {
		if r.MaxMemory == 0 {
			return size(r.UsedMemory) + ", no limit"
		}
		return fmt.Sprintf("%s of %s (%d %%)", size(r.UsedMemory), size(r.MaxMemory), 100*r.UsedMemory/r.MaxMemory)
	}))
	row("halted", func(s *State) string {
		if len(s.Halted) == 0 && s.Heard == nil {
			return unknownText
		}
		if len(s.Halted) == 0 {
			return "none"
		}
		return lines(s.Halted, func(h Halt) string { return fmt.Sprintf("partition %d: %s", h.Partition, h.Reason) })
	})
	row("fenced, DLQ", func(s *State) string { return countText(s.Fenced) + ", " + countText(s.DLQ) })
	row("last heard", func(s *State) string {
		if s.Heard == nil {
			return unknownText
		}
		return seconds(*s.Heard) + " ago"
	})
	_ = w.Flush() // a strings.Builder takes everything
	text := trimLines(b.String())
	b.Reset()
	b.WriteString(text)
	fmt.Fprintf(&b, "\nThe sites are %s.\n", m.verdictText())
	said(&b, "Can I sleep?", m.Sleep)
	if len(m.Cutover) == 0 && m.Log != "" {
		b.WriteString("Can I cut over? There is nowhere to go.\n")
	}
	for _, c := range m.Cutover {
		question := fmt.Sprintf("Can I cut over to %s?", c.To)
		if c.HalfWay {
			question = fmt.Sprintf("Can I go on with the cutover, to %s?", c.To)
		}
		said(&b, question, c.Reply)
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

const unknownText = "?"

func lines[T any](list []T, line func(T) string) string {
	var out []string
	for _, x := range list {
		out = append(out, line(x))
	}
	if len(out) == 0 {
		return unknownText
	}
	return strings.Join(out, "\n")
}

func writerText(g Group) string {
	who := g.Writer
	if who == "" {
		who = "nobody (sealed)"
	}
	in := "no epoch yet"
	if !g.Epoch.IsNone() {
		in = "epoch " + g.Epoch.String()
	}
	return fmt.Sprintf("%s, %s: %s", who, in, Ranges(g.Partitions))
}

func lagText(s *State) string {
	switch l := s.Lag; {
	case !l.Known:
		return unknownText
	case l.Attested && l.Records == 0:
		return "no, when last heard"
	case l.Attested:
		return Plural(l.Records, "record") + ", when last heard"
	case l.Records == 0:
		return "no"
	default:
		return fmt.Sprintf("%s, %s", Plural(l.Records, "record"), seconds(l.Seconds))
	}
}

func mirrorText(s *State) string {
	leg := s.Mirror.From + "->" + s.Site + ": "
	switch m := s.Mirror; {
	case !m.Known:
		return leg + unknownText
	case m.Records == 0 && m.Seconds < 1:
		return leg + "up to date"
	default:
		return fmt.Sprintf("%s%s, %s behind", leg, Plural(int64(m.Records), "record"), seconds(m.Seconds))
	}
}

func retentionText(s *State) string {
	switch t := s.Mirror.Retention; {
	case t == nil:
		return unknownText
	case t.Whole:
		return "nothing deleted yet"
	case t.Hours == nil:
		return Plural(t.Records, "record")
	default:
		return fmt.Sprintf("%s, %.1f h", Plural(t.Records, "record"), *t.Hours)
	}
}

func redisText(text func(*Redis) string) func(*State) string {
	return func(s *State) string {
		if s.Redis == nil {
			return unknownText
		}
		return text(s.Redis)
	}
}

func replicasText(r *Redis) string {
	if len(r.Replicas) == 0 {
		return "none"
	}
	out := make([]string, len(r.Replicas))
	for i, replica := range r.Replicas {
		out[i] = replica.Addr + " down"
		if replica.LinkUp {
			out[i] = fmt.Sprintf("%s up, lag %s", replica.Addr, size(replica.Lag))
		}
	}
	return strings.Join(out, "\n")
}

func countText(c *Count) string {
	switch {
	case c == nil:
		return unknownText
	case c.More:
		return fmt.Sprintf("%d+", c.N)
	default:
		return fmt.Sprint(c.N)
	}
}

// seconds writes a time as a person would say it.
func seconds(s float64) string {
	switch {
	case s < 10:
		return fmt.Sprintf("%.1f s", s)
	case s < 120:
		return fmt.Sprintf("%.0f s", s)
	case s < 7200:
		return fmt.Sprintf("%.0f min", s/60)
	default:
		return fmt.Sprintf("%.0f h", s/3600)
	}
}

// size writes bytes as a person would say them.
func size(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 1<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	default:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
}

func (m *Model) verdictText() string {
	switch m.Verdict.State {
	case converge.Converged:
		return fmt.Sprintf("converged, as of barriers %s ago", seconds(m.Verdict.Seconds))
	case converge.Diverged:
		return "diverged"
	default:
		return "not known to be converged"
	}
}

// said writes a question and its answer: the reasons as a list if there are more than one.
func said(b *strings.Builder, question string, r Reply) {
	switch answer := map[Answer]string{Yes: "Yes", No: "No", Unknown: "It could not be told"}[r.Answer]; len(r.Reasons) {
	case 0:
		fmt.Fprintf(b, "%s %s.\n", question, answer)
	case 1:
		fmt.Fprintf(b, "%s %s: %s.\n", question, answer, r.Reasons[0])
	default:
		fmt.Fprintf(b, "%s %s:\n", question, answer)
		for _, reason := range r.Reasons {
			fmt.Fprintf(b, "  - %s\n", reason)
		}
	}
}
