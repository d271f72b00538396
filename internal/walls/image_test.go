package walls

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The image is built from the folders that the Dockerfile copies: one that the applier needs and that is not among them would be missed at the first build only.
func TestDockerfileCopiesWhatTheApplierNeeds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var copied []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "COPY" && f[1] == f[2] {
			copied = append(copied, f[1])
		}
	}
	for _, dep := range append(deps(t, "applier"), module+"applier") {
		if rest, ok := strings.CutPrefix(dep, module); ok {
			if folder, _, _ := strings.Cut(rest, "/"); !slices.Contains(copied, folder) {
				t.Errorf("the applier needs %s, and the Dockerfile does not copy %s", dep, folder)
			}
		}
	}
}
