package comment

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/sergi/go-diff/diffmatchpatch"
)

// around is how many lines stay around those that differ.
const around = 2

// lines shows in which lines two texts differ. JSON gets a line for each value first.
func lines(before, after *string) string {
	m := diffmatchpatch.New()
	a, b, all := m.DiffLinesToChars(spread(before), spread(after))
	parts := m.DiffCharsToLines(m.DiffMain(a, b, false), all)
	var out strings.Builder
	for i, part := range parts {
		same := part.Type == diffmatchpatch.DiffEqual
		some := strings.SplitAfter(strings.TrimSuffix(part.Text, "\n"), "\n")
		from, to := 0, len(some)
		if same && i > 0 { // after a difference
			from = min(around, len(some))
			write(&out, "  ", some[:from])
		}
		if same && i < len(parts)-1 { // before one
			to = max(from, len(some)-around)
		}
		if same {
			if to > from && len(some) > 0 {
				out.WriteString("  ...\n")
			}
			if i < len(parts)-1 {
				write(&out, "  ", some[to:])
			}
			continue
		}
		write(&out, map[diffmatchpatch.Operation]string{diffmatchpatch.DiffDelete: "- ", diffmatchpatch.DiffInsert: "+ "}[part.Type], some)
	}
	return out.String()
}

func write(b *strings.Builder, sign string, lines []string) {
	for _, line := range lines {
		b.WriteString(sign + strings.TrimSuffix(line, "\n") + "\n")
	}
}

// spread is a text that ends with a line end, and JSON line by line.
func spread(v *string) string {
	if v == nil || *v == "" {
		return ""
	}
	text := strings.TrimSuffix(*v, "\n") + "\n"
	var pretty bytes.Buffer
	if strings.ContainsAny(text[:1], "{[") && json.Indent(&pretty, []byte(text), "", "  ") == nil {
		return pretty.String()
	}
	return text
}
