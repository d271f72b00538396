package status

import (
	"fmt"
	"strings"

	"github.com/comptech-lab/redis-wal/converge"
)

// Row is a line of what is said of the sites: on a terminal and on the page alike.
type Row struct {
	Name  string
	Cells []Cell // one for each of the Model's Sites
}

// Cell is what is said of one site.
type Cell struct {
	Lines []string // at least one
	Mark  Mark
}

// Mark says that a cell is what somebody should look at first.
type Mark string

// The marks.
const (
	Plain  Mark = ""
	Wrong  Mark = "wrong"   // it is a reason against sleep
	Untold Mark = "unknown" // the site did not say it
)

// cell is what is said, line by line.
func cell(text string, wrong bool) Cell {
	c := Cell{Lines: strings.Split(text, "\n")}
	switch {
	case wrong:
		c.Mark = Wrong
	case text == unknownText:
		c.Mark = Untold
	}
	return c
}

// Rows are what is said of each site.
func (m *Model) Rows() []Row {
	var out []Row
	row := func(name string, of func(*State) Cell) {
		r := Row{Name: name}
		for i := range m.Sites {
			r.Cells = append(r.Cells, of(&m.Sites[i]))
		}
		out = append(out, r)
	}
	ofRedis := func(of func(*Redis) Cell) func(*State) Cell {
		return func(s *State) Cell {
			if s.Redis == nil {
				return cell(unknownText, false)
			}
			return of(s.Redis)
		}
	}
	row("answers", func(s *State) Cell {
		switch {
		case !s.Reached:
			return Cell{[]string{"no"}, Untold}
		case len(s.Silent) > 0:
			return Cell{[]string{"all but " + Plural(int64(len(s.Silent)), "question")}, Untold}
		}
		return cell("yes", false)
	})
	row("writer", func(s *State) Cell {
		return cell(lines(s.Epochs, writerText), len(s.Epochs) > 1 || len(s.Epochs) == 1 && s.Epochs[0].Writer == "")
	})
	row("behind its log", func(s *State) Cell { return cell(lagText(s), s.Lag.slow()) })
	row("mirror", func(s *State) Cell {
		c := cell(mirrorText(s), s.Mirror.slow())
		if !s.Mirror.Known && c.Mark == Plain {
			c.Mark = Untold
		}
		return c
	})
	row("to retention", func(s *State) Cell { return cell(retentionText(s), s.Mirror.near()) })
	row("primary", ofRedis(func(r *Redis) Cell { return cell(primaryText(r), r.Primary == "" || !r.Agreed) }))
	row("replicas", ofRedis(func(r *Redis) Cell { return cell(replicasText(r), r.alone()) }))
	row("memory", ofRedis(func(r *Redis) Cell { return cell(memoryText(r), r.full()) }))
	row("halted", func(s *State) Cell { return cell(haltedText(s), len(s.Halted) > 0) })
	row("fenced, DLQ", func(s *State) Cell {
		c := cell(countText(s.Fenced)+", "+countText(s.DLQ), false)
		if s.Fenced == nil || s.DLQ == nil {
			c.Mark = Untold
		}
		return c
	})
	row("last heard", func(s *State) Cell {
		if s.Heard == nil {
			return cell(unknownText, false)
		}
		return cell(seconds(*s.Heard)+" ago", *s.Heard > stale.Seconds())
	})
	return out
}

// Question is one of an operator's, and its answer.
type Question struct {
	Text string
	Reply
}

// Questions are the operator's.
func (m *Model) Questions() []Question {
	out := []Question{{"Can I sleep?", m.Sleep}}
	for _, c := range m.Cutover {
		text := fmt.Sprintf("Can I cut over to %s?", c.To)
		if c.HalfWay {
			text = fmt.Sprintf("Can I go on with the cutover, to %s?", c.To)
		}
		out = append(out, Question{text, c.Reply})
	}
	return out
}

// Nowhere says that there is no site to cut over to: the one that is not the writer is not known.
func (m *Model) Nowhere() bool { return len(m.Cutover) == 0 && m.Log != "" }

// Said is the answer in words.
func (r *Reply) Said() string {
	return map[Answer]string{Yes: "Yes", No: "No", Unknown: "It could not be told"}[r.Answer]
}

// VerdictText says whether the sites are converged.
func (m *Model) VerdictText() string {
	switch m.Verdict.State {
	case converge.Converged:
		return fmt.Sprintf("The sites are converged, as of barriers %s ago.", seconds(m.Verdict.Seconds))
	case converge.Diverged:
		return "The sites are diverged."
	default:
		return "The sites are not known to be converged."
	}
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
	return fmt.Sprintf("%s, %s: %s", WriterName(g.Writer), epochText(g), Ranges(g.Partitions))
}

func epochText(g Group) string {
	if g.Epoch.IsNone() {
		return "no epoch yet"
	}
	return "epoch " + g.Epoch.String()
}

// WriterName is a [Group.Writer] for people.
func WriterName(writer string) string {
	if writer == "" {
		return "nobody (sealed)"
	}
	return writer
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

func primaryText(r *Redis) string {
	switch {
	case r.Primary == "":
		return "none"
	case !r.Agreed:
		return r.Primary + ", not agreed"
	}
	return fmt.Sprintf("%s (%s)", r.Primary, r.Version)
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

func memoryText(r *Redis) string {
	if r.MaxMemory == 0 {
		return size(r.UsedMemory) + ", no limit"
	}
	return fmt.Sprintf("%s of %s (%d %%)", size(r.UsedMemory), size(r.MaxMemory), 100*r.UsedMemory/r.MaxMemory)
}

func haltedText(s *State) string {
	switch {
	case len(s.Halted) > 0:
		return lines(s.Halted, func(h Halt) string { return fmt.Sprintf("partition %d: %s", h.Partition, h.Reason) })
	case s.Heard == nil:
		return unknownText
	default:
		return "none"
	}
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
