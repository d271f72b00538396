package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Narrator writes what happens, a line each, with the seconds since its start. Its methods are safe for concurrent use.
type Narrator struct {
	began time.Time

	mu  sync.Mutex
	out io.Writer
}

// NewNarrator writes to out; its clock starts now.
func NewNarrator(out io.Writer) *Narrator { return &Narrator{out: out, began: time.Now()} }

// Step is one thing that is done.
func (n *Narrator) Step(step, format string, args ...any) {
	n.line("%6.1f s  %-10s  %s", time.Since(n.began).Seconds(), step, fmt.Sprintf(format, args...))
}

// Row is a line of a table that grows while the demo runs; its clock is in the margin, too.
func (n *Narrator) Row(text string) { n.line("%6.1f s  %s", time.Since(n.began).Seconds(), text) }

// Plain is a line without a clock.
func (n *Narrator) Plain(format string, args ...any) { n.line("%s", fmt.Sprintf(format, args...)) }

// Indent is a line under the column of Row.
func (n *Narrator) Indent(text string) { n.line("%10s%s", "", text) }

// Quote is what another program wrote.
func (n *Narrator) Quote(text string) {
	for line := range strings.Lines(text) {
		n.line("%22s%s", "", strings.TrimRight(line, "\n"))
	}
}

// Blank is an empty line.
func (n *Narrator) Blank() { n.line("") }

func (n *Narrator) line(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, _ = io.WriteString(n.out, strings.TrimRight(fmt.Sprintf(format, args...), " ")+"\n") // a reader who has left misses it
}

// thousands writes 1234567 as 1,234,567.
func thousands[T ~int | ~int64](v T) string {
	s := strconv.FormatInt(int64(v), 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}
