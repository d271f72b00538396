// Package snippet takes the examples out of a page, so that what stands there is what a test runs.
package snippet

import (
	"fmt"
	"regexp"
	"strings"
)

// Snippet is a fenced block of a page. Its first line names it: ```python run=reader.
type Snippet struct {
	// Language is what the page colours it as: sh, go, python, java.
	Language string
	// Text is the block as it stands on the page.
	Text string
}

var (
	opening = regexp.MustCompile("^```(\\w*)(?: run=([a-z-]+))?$")
	slot    = regexp.MustCompile(`(?m)^[ \t]*(?://|#) SNIPPET ([a-z-]+)$`)
)

// Of returns the fenced blocks of a page by their names. A block without a name is an error: nobody would run it.
func Of(page string) (map[string]Snippet, error) {
	all := make(map[string]Snippet)
	var name string
	var open *Snippet
	number := 0
	for line := range strings.Lines(page) {
		number++
		word := strings.TrimSpace(line)
		switch m := opening.FindStringSubmatch(word); {
		case open != nil && word == "```":
			all[name], open = *open, nil
		case open != nil:
			open.Text += line
		case !strings.HasPrefix(word, "```"):
		case m == nil || m[1] == "" || m[2] == "":
			return nil, fmt.Errorf("line %d: %q: want a language and run=NAME, by which a test runs the block", number, word)
		case all[m[2]] != (Snippet{}):
			return nil, fmt.Errorf("line %d: a second block %s", number, m[2])
		default:
			name, open = m[2], &Snippet{Language: m[1]}
		}
	}
	if open != nil {
		return nil, fmt.Errorf("block %s has no end", name)
	}
	return all, nil
}

// Fill returns a program's text with what text gives in the place of its comments `SNIPPET name`.
func Fill(program string, text func(name string) string) string {
	return slot.ReplaceAllStringFunc(program, func(comment string) string {
		return strings.TrimSuffix(text(slot.FindStringSubmatch(comment)[1]), "\n")
	})
}
