package program_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/release/internal/program"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// `make build`, the Dockerfile and a release build with the same flags. -buildvcs=false is the release's own: in the Dockerfile there is no repository.
func TestFlagsAreTheSameEverywhere(t *testing.T) {
	t.Parallel()
	flags := strings.TrimSuffix(strings.Join(program.Flags(), " "), " -buildvcs=false")
	if want := "SMALL    := " + flags + "\n"; !strings.Contains(read(t, "Makefile"), want) {
		t.Errorf("Makefile does not say %q", want)
	}
	if want := "LDFLAGS  := " + program.LinkerFlags("$(VERSION)") + "\n"; !strings.Contains(read(t, "Makefile"), want) {
		t.Errorf("Makefile does not say %q", want)
	}
	if want := "CGO_ENABLED=0 go build " + flags + ` -ldflags "` + program.LinkerFlags("${VERSION}") + `" -o /redis-applier ./applier`; !strings.Contains(read(t, "Dockerfile"), want) {
		t.Errorf("Dockerfile does not say %q", want)
	}
}

// `make build` makes the programs of a release, and no others.
func TestMakeBuildsTheSamePrograms(t *testing.T) {
	t.Parallel()
	_, recipe, _ := strings.Cut(read(t, "Makefile"), "\nbuild: ")
	recipe, _, _ = strings.Cut(recipe, "\n\n")
	built := map[string]bool{}
	for _, m := range regexp.MustCompile(`-o (?:\.\./)?bin/([a-z-]+) `).FindAllStringSubmatch(recipe, -1) {
		built[m[1]] = true
	}
	for _, p := range program.Released() {
		if !built[p.Name] {
			t.Errorf("`make build` does not build %s, and a release has it", p.Name)
		}
		delete(built, p.Name)
		if _, err := os.Stat(filepath.Join("../../..", p.Module, p.Package, "main.go")); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	for name := range built {
		t.Errorf("`make build` builds %s, and no release would have it: add it to program.Released", name)
	}
}
