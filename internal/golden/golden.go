// Package golden compares what a test got with a file that a person has reviewed. `make golden` writes the files anew; the
// diff is then part of the review.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The flag is a global because that is what package flag offers; only tests import this package.
var update = flag.Bool("update", false, "write golden files anew")

// Updating says whether golden files are being written, for tests that compare more than one file.
func Updating() bool { return *update }

// Compare compares got with the file at path, or writes it with -update.
func Compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (make golden writes it)", err)
	}
	if got == string(want) {
		return
	}
	t.Errorf("%s differs; if that is meant, run make golden and review the diff.\n%s", path, Diff(string(want), got))
}

// Diff shows the lines in which two texts differ, with the line before for orientation: - want, + got.
func Diff(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	// Longest common subsequence, from the end. Golden files have some thousand lines: good enough.
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	context := ""
	if start > 0 {
		context = "  " + a[start-1] + "\n"
	}
	a, b = a[start:], b[start:]
	length := make([][]int, len(a)+1)
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				length[i][j] = length[i+1][j+1] + 1
			} else {
				length[i][j] = max(length[i+1][j], length[i][j+1])
			}
		}
	}
	var out strings.Builder
	out.WriteString(context)
	i, j, shown := 0, 0, 0
	for (i < len(a) || j < len(b)) && shown < 60 {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
			continue
		case j == len(b) || i < len(a) && length[i+1][j] >= length[i][j+1]:
			out.WriteString("- " + a[i] + "\n")
			i++
		default:
			out.WriteString("+ " + b[j] + "\n")
			j++
		}
		shown++
	}
	if shown == 60 {
		out.WriteString("...\n")
	}
	return out.String()
}
