package wal

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var rewriteDocs = flag.Bool("rewrite-docs", false, "write the tables of docs/wal-format.md anew from the command table")

const formatPage = "../docs/wal-format.md"

// The page is what other teams read, so it lists what the table says and nothing else.
func TestDocsListTheCommands(t *testing.T) {
	t.Parallel()
	page := readPage(t)
	want := section(t, page, "allowed", allowedTable())
	want = section(t, want, "refused", refusedTable())
	if *rewriteDocs {
		if err := os.WriteFile(formatPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if page != want {
		t.Errorf("%s does not list the commands as the table has them; run: go test ./wal -run TestDocs -rewrite-docs", formatPage)
	}
}

func TestDocsListTheReasons(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	reasons := regexp.MustCompile(`Reason\w+ +Reason = "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(reasons) == 0 {
		t.Fatal("no reasons found")
	}
	page := readPage(t)
	for _, reason := range reasons {
		if !strings.Contains(page, "\n| `"+reason[1]+"` |") {
			t.Errorf("%s does not explain the reason %s", formatPage, reason[1])
		}
	}
}

func readPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(formatPage)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// section puts content between the page's marks of that name.
func section(t *testing.T, page, name, content string) string {
	t.Helper()
	head, rest, ok := strings.Cut(page, "<!-- "+name+":")
	mark, rest, ok2 := strings.Cut(rest, "-->\n")
	_, tail, ok3 := strings.Cut(rest, "<!-- /"+name+" -->")
	if !ok || !ok2 || !ok3 {
		t.Fatalf("%s: no marks %q", formatPage, name)
	}
	return head + "<!-- " + name + ":" + mark + "-->\n" + content + "<!-- /" + name + " -->" + tail
}

func allowedTable() string {
	var b strings.Builder
	b.WriteString("| writes | commands |\n|---|---|\n")
	for _, c := range []class{classString, classBitmap, classHLL, classHash, classList, classSet, classZSet, classGeo, classStream, classGeneric} {
		var names []string
		for _, row := range rows(commands) {
			if row.class != c || row.level > Level || row.refused != "" {
				continue
			}
			name := "`" + row.name + "`"
			if row.frees {
				name += `\*`
			}
			names = append(names, name)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", c, strings.Join(names, " "))
	}
	return b.String()
}

func refusedTable() string {
	var reasons []string
	names := map[string][]string{}
	for _, row := range refusals() {
		if !slices.Contains(reasons, row.refused) {
			reasons = append(reasons, row.refused)
		}
		names[row.refused] = append(names[row.refused], "`"+row.name+"`")
	}
	var b strings.Builder
	b.WriteString("| commands | why, and what to use instead |\n|---|---|\n")
	for _, reason := range reasons {
		fmt.Fprintf(&b, "| %s | %s |\n", strings.Join(names[reason], " "), reason)
	}
	return b.String()
}
