package stacks_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/internal/reference"
	"github.com/comptech-lab/redis-wal/stacks"
)

// The structs are the only description of the configuration: the page for people and the description in Pulumi.yaml are made
// of their comments and of the defaults that the program fills in.
func TestReference(t *testing.T) {
	t.Parallel()
	// What other values derive from, so that the derived defaults are shown as they are.
	sample := stacks.Config{Args: site.Args{Kafka: site.Kafka{Cluster: "<cluster>"}, Log: site.Log{Partitions: 12}}}.WithDefaults()
	entries, err := reference.Of(sample, "..")
	if err != nil {
		t.Fatal(err)
	}

	var page, listing strings.Builder
	section := ""
	for _, e := range entries {
		top, _, nested := strings.Cut(e.Path, ".")
		top = strings.TrimSuffix(top, "[]")
		if !nested && e.Kind == reference.Object || e.Kind == reference.Objects && !strings.Contains(e.Path, ".") {
			section = top
			fmt.Fprintf(&page, "\n## %s\n\n%s\n\n| field | type | default | what |\n|---|---|---|---|\n", top, prose(e.Doc))
			continue
		}
		if top != section && section != "site" {
			section = "site"
			page.WriteString("\n## the site itself\n\n| field | type | default | what |\n|---|---|---|---|\n")
		}
		if e.Kind == reference.Object || e.Kind == reference.Objects {
			continue // its fields follow
		}
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", e.Path, e.Kind, code(e.Value), prose(e.Doc))
		fmt.Fprintf(&listing, "      %s (%s%s): %s\n", e.Path, e.Kind, shown(e.Value), e.Doc)
	}

	for _, f := range []struct{ path, text string }{
		{"../docs/configuration.md", page.String()},
		{"../Pulumi.yaml", listing.String()},
	} {
		old, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		begin, end := "<!-- fields: written by make golden -->\n", "<!-- end of fields -->\n"
		if strings.HasSuffix(f.path, ".yaml") {
			begin, end = "      Its fields:\n", "      (end of the fields)\n"
		}
		before, rest, ok := strings.Cut(string(old), begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s: the marks %q and %q are gone", f.path, begin, end)
		}
		golden.Compare(t, f.path, before+begin+f.text+end+after)
	}
}

// The page lists the secrets that the program asks for.
func TestReferenceOfSecrets(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	c := stacks.Config{Args: site.Args{Producers: []site.Producer{{Name: "<name>"}}}}.WithDefaults()
	for _, s := range stacks.SecretsOf(c) {
		if !strings.Contains(string(page), "`"+s.Key+"`") {
			t.Errorf("docs/configuration.md does not tell of the secret %s", s.Key)
		}
	}
}

// prose is text in a Markdown table.
func prose(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(strings.ToUpper(s[:1]) + s[1:])
}

func code(v string) string {
	if v == "" || v == reference.Required {
		return v
	}
	return "`" + v + "`"
}

func shown(v string) string {
	switch v {
	case "":
		return ""
	case reference.Required:
		return ", required"
	default:
		return ", default " + v
	}
}
