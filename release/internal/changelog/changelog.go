// Package changelog joins the fragments of changelog/unreleased into the section of a version. changelog/unreleased/README.md says how a fragment is written.
package changelog

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	folder = "changelog/unreleased"
	page   = "CHANGELOG.md"
	readme = "README.md"
)

// kinds are the kinds of change, in the order in which a section lists them.
var kinds = []string{"Added", "Changed", "Fixed", "Removed"}

const who = `(?:producers|readers|operators|importers|everybody)`

var (
	heading = regexp.MustCompile(`^(` + strings.Join(kinds, "|") + `)(?:,? for |, | \()(` + who + `(?:(?:, | and )` + who + `)*)\)?[.:]?(?:\s+(.*))?$`)
	link    = regexp.MustCompile(`\]\(([^)#:\s]+)((?:#[^)]*)?)\)`)
)

// Fragment is one change that a user sees.
type Fragment struct {
	File string // its name, without a folder
	Kind string // one of Added, Changed, Fixed, Removed
	For  string // whom it concerns: "operators and importers"
	Text string // Markdown; links lead from the repository's root
}

// Fragments reads those of the repository at root, by name. Every fragment that is not well formed is in the error.
func Fragments(root string) ([]Fragment, error) {
	files, err := filepath.Glob(filepath.Join(root, folder, "*"))
	if err != nil {
		return nil, err
	}
	var out []Fragment
	var wrong []error
	for _, file := range files {
		if filepath.Base(file) == readme {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		f, err := parse(filepath.Base(file), string(text))
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s/%s: %w", folder, filepath.Base(file), err))
		}
		for _, m := range link.FindAllStringSubmatch(f.Text, -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				wrong = append(wrong, fmt.Errorf("%s/%s: the link to %s leads nowhere", folder, f.File, m[1]))
			}
		}
		out = append(out, f)
	}
	return out, errors.Join(wrong...)
}

func parse(name, text string) (Fragment, error) {
	if path.Ext(name) != ".md" {
		return Fragment{}, errors.New("a fragment's name ends in .md")
	}
	first, rest, _ := strings.Cut(text, "\n")
	m := heading.FindStringSubmatch(strings.TrimSpace(first))
	if m == nil {
		return Fragment{}, fmt.Errorf(`the first line is %q; it must say what kind of change it is, and for whom, as in "Added, for operators."`, first)
	}
	body := strings.TrimSpace(m[3] + "\n" + rest)
	if body == "" {
		return Fragment{}, errors.New("it does not say what has changed")
	}
	if r, n := utf8.DecodeRuneInString(body); unicode.IsLower(r) {
		body = string(unicode.ToUpper(r)) + body[n:]
	}
	body = link.ReplaceAllStringFunc(body, func(s string) string {
		m := link.FindStringSubmatch(s)
		return "](" + path.Join(folder, m[1]) + m[2] + ")"
	})
	return Fragment{File: name, Kind: m[1], For: m[2], Text: body}, nil
}

// Section is what CHANGELOG.md says of a version.
func Section(version string, at time.Time, fragments []Fragment) string {
	var out strings.Builder
	fmt.Fprintf(&out, "## %s (%s)\n", version, at.Format(time.DateOnly))
	for _, kind := range kinds {
		some := slices.DeleteFunc(slices.Clone(fragments), func(f Fragment) bool { return f.Kind != kind })
		if len(some) > 0 {
			fmt.Fprintf(&out, "\n### %s\n\n", kind)
		}
		for _, f := range some {
			text := strings.ReplaceAll("*For "+f.For+".* "+f.Text, "\n", "\n  ")
			fmt.Fprintf(&out, "- %s\n", strings.ReplaceAll(text, "\n  \n", "\n\n"))
		}
	}
	return out.String()
}

// Released returns the section of version in the repository's CHANGELOG.md, and whether there is one.
func Released(root, version string) (string, bool, error) {
	text, err := os.ReadFile(filepath.Join(root, page))
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	_, section, found := strings.Cut("\n"+string(text), "\n## "+version+" ")
	if !found {
		return "", false, nil
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return "## " + version + " " + strings.TrimRight(section, "\n") + "\n", true, nil
}

// Release moves the fragments into CHANGELOG.md, as the section of version, which comes first.
func Release(root, version string, at time.Time) error {
	fragments, err := Fragments(root)
	if err != nil {
		return err
	}
	if len(fragments) == 0 {
		return fmt.Errorf("%s has no fragment: there is nothing to release", folder)
	}
	if _, found, err := Released(root, version); err != nil {
		return err
	} else if found {
		return fmt.Errorf("%s has a section %s already", page, version)
	}
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	const title = "# Changelog\n"
	older := strings.TrimLeft(strings.TrimPrefix(string(text), title), "\n")
	now := strings.TrimRight(title+"\n"+Section(version, at, fragments)+"\n"+older, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(root, page), []byte(now), 0o644); err != nil {
		return err
	}
	for _, f := range fragments {
		if err := os.Remove(filepath.Join(root, folder, f.File)); err != nil {
			return err
		}
	}
	return nil
}

// Absolute lets the links of a section lead to the files of version at base, for a page that stands elsewhere.
func Absolute(section, base, version string) string {
	return link.ReplaceAllString(section, "]("+base+"/blob/"+version+"/$1$2)")
}
