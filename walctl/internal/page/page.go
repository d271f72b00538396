// Package page shows what `walctl status` says as a page for a browser. [Render] makes it of a model and of nothing else; [Handler] serves what a [Board] holds, to whoever asks by a name that is this server's.
// The page needs no script: without one it loads itself anew. With it, page.js draws what has changed, from the very page that [Render] makes, so that there is one place that says how things look.
package page

import (
	_ "embed" // the files of the page
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/walctl/internal/status"
)

var (
	//go:embed page.html
	html string
	//go:embed page.css
	css []byte
	//go:embed page.js
	js []byte
)

// page is parsed once; a mistake in it is one of this package.
var page = template.Must(template.New("page").Funcs(template.FuncMap{"spans": spans, "digits": digits, "plural": plural}).Parse(html))

// Look is how the page is shown.
type Look struct {
	// Every is how often it is looked at the sites, and the page drawn anew.
	Every time.Duration
	// Still says that it is not drawn anew: somebody reads.
	Still   bool
	Version string // of walctl
}

// view is what the template is filled with.
type view struct {
	*status.Model
	Look      Look
	Title     string
	Icon      string
	Questions []question
	Lines     []status.Row
	Sites     []site
	Told      bool // whether there were drills
}

type question struct {
	status.Question
	Mark
}

type site struct {
	status.State
	Origins []string
	Places  []place
	Heard   bool // all places are as of the last attestations
}

type place struct {
	status.Place
	Who   string   // writes, and since which epoch
	Count []uint64 // of each origin
	Mark  status.Mark
}

// Mark is how an answer looks, in a word and in a sign: never by its colour alone.
type Mark struct{ Class, Sign string }

var marks = map[status.Answer]Mark{status.Yes: {"yes", "✓"}, status.No: {"no", "✗"}, status.Unknown: {"unknown", "?"}}

// Render writes the page of a model.
func Render(w io.Writer, m *status.Model, l Look) error {
	v := view{Model: m, Lines: rows(m), Look: l, Told: m.Drills != nil, Icon: icon(m.Sleep.Answer), Title: title(m)}
	for _, q := range m.Questions() {
		v.Questions = append(v.Questions, question{q, marks[q.Answer]})
	}
	for _, s := range m.Sites {
		v.Sites = append(v.Sites, siteOf(m, s))
	}
	if err := page.Execute(w, v); err != nil {
		return fmt.Errorf("the page: %w", err)
	}
	return nil
}

// rows are those of the model; a question mark is words here: a screen reader may not read it out.
func rows(m *status.Model) []status.Row {
	out := m.Rows()
	for _, r := range out {
		for _, c := range r.Cells {
			for i := range c.Lines {
				if c.Mark == status.Untold {
					c.Lines[i] = strings.ReplaceAll(c.Lines[i], "?", "not known")
				}
			}
		}
	}
	return out
}

// title is what a tab shows: first whether somebody must look.
func title(m *status.Model) string {
	name := m.Log
	if name == "" {
		name = "no site answers"
	}
	return fmt.Sprintf("%s %s", marks[m.Sleep.Answer].Sign, name)
}

func icon(a status.Answer) string { return "icon-" + marks[a].Class + ".svg" }

func siteOf(m *status.Model, s status.State) site {
	out := site{State: s, Heard: !slices.ContainsFunc(s.Places, func(p status.Place) bool { return !p.Attested })}
	for i := range m.Sites {
		out.Origins = append(out.Origins, m.Sites[i].Site)
	}
	for _, p := range s.Places {
		at := place{Place: p, Who: status.WriterName(p.Writer)}
		if !p.Epoch.IsNone() {
			at.Who += ", " + p.Epoch.String()
		}
		for _, origin := range out.Origins {
			at.Count = append(at.Count, p.Streams[origin].N)
		}
		if p.Halted || p.Writer == "" {
			at.Mark = status.Wrong
		}
		out.Places = append(out.Places, at)
	}
	return out
}

// Refresh is after how many seconds a browser without scripts loads the page anew: not as often as one with them, which only draws what has changed.
func (l Look) Refresh() int { return max(5, int(l.Every.Seconds())) }

// Milliseconds is Every for the script; 0: hold still.
func (l Look) Milliseconds() int64 {
	if l.Still {
		return 0
	}
	return l.Every.Milliseconds()
}

// Seconds is Every for people.
func (l Look) Seconds() string { return strconv.FormatFloat(l.Every.Seconds(), 'f', -1, 64) }

// span is a piece of a sentence.
type span struct {
	Code bool // something that is typed
	Text string
}

// spans are what stands between backticks, and what does not.
func spans(sentence string) []span {
	parts := strings.Split(sentence, "`")
	if len(parts)%2 == 0 { // one is left over
		return []span{{Text: sentence}}
	}
	var out []span
	for i, p := range parts {
		if p != "" {
			out = append(out, span{i%2 == 1, p})
		}
	}
	return out
}

// digits groups a number's digits by threes, with a space that does not break.
func digits(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func plural(n int32, what string) string { return status.Plural(int64(n), what) }
