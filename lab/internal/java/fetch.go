package java

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// pom lists the jars, within the module.
const pom = "lab/kafka/pom.xml"

// fetch returns the folder with the jars, which resolve is asked to fill the first time. It is named for the list's hash and appears
// whole: two labs may fetch at once.
func fetch(ctx context.Context, module string, resolve func(ctx context.Context, list, to string) error) (string, error) {
	list := filepath.Join(module, filepath.FromSlash(pom))
	text, err := os.ReadFile(list)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(module, "bin", "kafka", fmt.Sprintf("%x", sha256.Sum256(text))[:16])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".fetching-")
	if err != nil {
		return "", err
	}
	jars := filepath.Join(tmp, "jars")
	err = resolve(ctx, list, jars)
	if err == nil {
		err = os.Rename(jars, dir)
	}
	if errors.Is(err, fs.ErrExist) { // another lab was faster
		err = nil
	}
	return dir, errors.Join(err, os.RemoveAll(tmp))
}

// maven copies the jars of a list, and those that they need, into a folder.
func maven(fetching func()) func(ctx context.Context, list, to string) error {
	return func(ctx context.Context, list, to string) error {
		mvn, err := exec.LookPath("mvn")
		if err != nil {
			return fmt.Errorf("the jars of %s are not there yet, and to fetch them Maven is needed: `make deps KAFKA=real` installs it", pom)
		}
		fetching()
		out, err := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", list,
			"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+to).CombinedOutput()
		if err != nil {
			return fmt.Errorf("mvn -f %s dependency:copy-dependencies: %w\n%s", pom, err, out)
		}
		return nil
	}
}
