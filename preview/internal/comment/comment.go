// Package comment writes what a preview found as one comment for a review, in the Markdown that GitHub and GitLab share.
package comment

import (
	"fmt"
	"strings"

	"github.com/comptech-lab/redis-wal/preview/internal/change"
)

// Max is the longest comment in bytes: GitHub takes 65,536 characters.
const Max = 60_000

// Comment says what to write.
type Comment struct {
	Stack string
	// Way is how it was found out, such as offline: a pull request has one comment for each stack and way.
	Way string
	// Against says in a few words what the program was compared with, such as: main (3f2c1aa), realised by a stand-in.
	Against string
	Preview change.Preview
}

// marker is the first line of the comment, by which it is found again. People do not see it.
func (c Comment) marker() string {
	return "<!-- redis-wal preview of " + c.Stack + ", " + c.Way + " -->"
}

// Refused reports why a change must not be merged as it is; nil = it may be.
func (c Comment) Refused() error {
	losses := c.Preview.Losses()
	switch {
	case len(losses) > 0:
		return fmt.Errorf("stack %s: %s would be %s: protected data are replaced or deleted by hand only, see docs/runbook.md", c.Stack, losses[0], losses[0].Op)
	case len(c.Preview.Errors) > 0:
		return fmt.Errorf("stack %s: the preview failed: %s", c.Stack, firstLine(c.Preview.Errors[0]))
	case c.Preview.Incomplete:
		return fmt.Errorf("stack %s: the preview failed", c.Stack)
	}
	return nil
}

// Markdown is the comment. One that would be too long leaves out fields, and then names, and says so.
func (c Comment) Markdown() string {
	for _, d := range []detail{everything, withoutTexts, namesOnly, countsOnly} {
		if text := c.write(d); len(text) <= Max {
			return text
		}
	}
	return c.marker() + "\n### " + c.title() + "\n" // never
}

// detail is how much is said.
type detail int

const (
	everything   detail = iota
	withoutTexts        // long values are left out
	namesOnly           // all values are
	countsOnly
)

func (c Comment) title() string {
	p := c.Preview
	var parts []string
	for _, op := range change.Ops {
		if n := p.Count(op); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, op))
		}
	}
	stack := "`" + c.Stack + "`: "
	switch {
	case len(p.Losses()) > 0:
		return stack + "**data would be lost**"
	case p.Incomplete:
		return stack + "the preview failed"
	case len(parts) == 0:
		return stack + "nothing changes"
	}
	return stack + strings.Join(parts, ", ")
}

func (c Comment) write(d detail) string {
	var b strings.Builder
	p := c.Preview
	fmt.Fprintf(&b, "%s\n### %s\n\n", c.marker(), c.title())
	fmt.Fprintf(&b, "Compared with %s.", c.Against)
	if !p.Incomplete {
		b.WriteString(" " + stay(p.Same) + ".")
	}
	b.WriteString("\n")
	for _, e := range p.Errors {
		b.WriteString("\n" + fence(e, ""))
	}
	if losses := p.Losses(); len(losses) > 0 {
		b.WriteString("\n> **This must not be merged.** Data go with these objects:\n>\n")
		for _, x := range losses {
			fmt.Fprintf(&b, "> - %s: %s\n", x.Op, name(x))
		}
		b.WriteString(">\n> Data are replaced or deleted by hand only: see docs/runbook.md.\n")
	}
	if p.Incomplete {
		b.WriteString("\nThe preview ended there. What else would change is not known.\n")
		return b.String()
	}
	for _, op := range change.Ops {
		c.section(&b, op, d)
	}
	if d != everything {
		b.WriteString("\n(Shortened: the whole of it does not fit into a comment. `pulumi preview --diff` shows it.)\n")
	}
	return b.String()
}

func (c Comment) section(b *strings.Builder, op change.Op, d detail) {
	n := c.Preview.Count(op)
	if n == 0 || d == countsOnly {
		return
	}
	heading := strings.ToUpper(string(op[:1])) + string(op[1:])
	if op == change.Created || op == change.Changed && n > 20 { // many, and seldom a surprise
		fmt.Fprintf(b, "\n<details><summary><b>%s (%d)</b></summary>\n\n", heading, n)
		defer b.WriteString("\n</details>\n")
	} else {
		fmt.Fprintf(b, "\n**%s (%d)**\n\n", heading, n)
	}
	for _, x := range c.Preview.Changes {
		if x.Op != op {
			continue
		}
		fmt.Fprintf(b, "- %s\n", name(x))
		if d == namesOnly {
			continue
		}
		for _, f := range x.Fields {
			field(b, f, d)
		}
	}
}

// name is an object with what marks it.
func name(x change.Change) string {
	out := ""
	if x.Holds != "" {
		out = "**" + string(x.Holds) + "** "
	}
	out += x.Kind + " " + code(strings.TrimPrefix(x.String(), x.Kind+" "))
	switch {
	case x.Op == change.Forgotten:
		out += ", which stays in the cluster"
	case x.Op == change.Replaced && x.Kind == "Job":
		out += ", which runs again"
	}
	return out
}

// short is how long a value may be to stand in its line.
const short = 100

func field(b *strings.Builder, f change.Field, d detail) {
	fmt.Fprintf(b, "  - %s:", code(f.Path))
	switch {
	case f.Old != nil && f.New != nil && *f.Old == change.Secret && *f.New == change.Secret:
		b.WriteString(" another secret value\n")
	case fits(f.Old) && fits(f.New):
		fmt.Fprintf(b, " %s → %s\n", value(f.Old), value(f.New))
	case d == withoutTexts:
		fmt.Fprintf(b, " %s → %s\n", size(f.Old), size(f.New))
	default:
		b.WriteString("\n\n" + indent(fence(lines(f.Old, f.New), "diff"), "    "))
	}
}

func fits(v *string) bool { return v == nil || len(*v) <= short && !strings.Contains(*v, "\n") }

func value(v *string) string {
	switch {
	case v == nil:
		return "none"
	case *v == "":
		return "empty"
	}
	return code(*v)
}

func size(v *string) string {
	if fits(v) {
		return value(v)
	}
	return fmt.Sprintf("a text of %d characters", len([]rune(*v)))
}

// code is text in a code span, whatever backquotes it has.
func code(text string) string {
	ticks := "`"
	for strings.Contains(text, ticks) {
		ticks += "`"
	}
	if len(ticks) > 1 || strings.HasPrefix(text, "`") {
		return ticks + " " + text + " " + ticks
	}
	return ticks + text + ticks
}

// fence is text in a block of code.
func fence(text, language string) string {
	ticks := "```"
	for strings.Contains(text, ticks) {
		ticks += "`"
	}
	return ticks + language + "\n" + strings.TrimSuffix(text, "\n") + "\n" + ticks + "\n"
}

func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(by + line)
	}
	return b.String()
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

func stay(n int) string {
	if n == 1 {
		return "1 resource stays as it is"
	}
	return fmt.Sprintf("%d resources stay as they are", n)
}
