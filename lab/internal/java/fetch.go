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

// fetch returns the folder with the jars. It is named for the list's hash and appears whole: two labs may fetch at once.
func fetch(ctx context.Context, module string, fetching func()) (string, error) {
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
	maven, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("the jars of %s are not there yet, and to fetch them Maven is needed: `make deps KAFKA=real` installs it", pom)
	}
	fetching()
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".fetching-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // nothing is left there after the rename
	jars := filepath.Join(tmp, "jars")
	out, err := exec.CommandContext(ctx, maven, "-q", "-B", "-f", list, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+jars).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("mvn -f %s dependency:copy-dependencies: %w\n%s", pom, err, out)
	}
	if err := os.Rename(jars, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return dir, nil
}
