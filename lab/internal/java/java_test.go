package java

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/script"
)

// fake puts a java of that version, with those modules, into a folder that JAVA_HOME could name.
func fake(t *testing.T, version string, modules ...string) (home string) {
	t.Helper()
	home = t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("#!/bin/sh\nif [ $1 = --list-modules ]; then echo java.base %s; else echo 'openjdk version \"%s\" 2025-01-01' >&2; fi\n", strings.Join(modules, " "), version)
	script.Write(t, filepath.Join(home, "bin", "java"), text)
	return home
}

func TestAJavaThatKafkaDoesNotRunOnIsPassedOver(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"1.8.0_402": false, "11.0.2": false, "17.0.15": true, "21": true, "23.0.1": true, "25": false} {
		got, err := fits(t.Context(), filepath.Join(fake(t, version), "bin", "java"), JRE)
		if want && (err != nil || got != version) || !want && (err == nil || !strings.Contains(err.Error(), "is Java "+version)) {
			t.Errorf("Java %s: %q, %v; want fits = %t", version, got, err, want)
		}
	}
}

func TestAJREIsNoJDK(t *testing.T) {
	t.Parallel()
	path := func(home string) string { return filepath.Join(home, "bin", "java") }
	jre, jdk, newer := path(fake(t, "17.0.15")), path(fake(t, "17.0.15", "jdk.compiler@17.0.15")), path(fake(t, "25", "jdk.compiler@25"))
	if _, err := fits(t.Context(), jre, JRE); err != nil {
		t.Errorf("a JRE where a JRE is wanted: %v", err)
	}
	if _, err := fits(t.Context(), jdk, JDK); err != nil {
		t.Errorf("a JDK where a JDK is wanted: %v", err)
	}
	if _, err := fits(t.Context(), jre, JDK); err == nil || !strings.Contains(err.Error(), "without a compiler") {
		t.Errorf("a JRE where a JDK is wanted: %v", err)
	}
	if _, err := fits(t.Context(), newer, JDK); err == nil || !strings.Contains(err.Error(), "is Java 25") {
		t.Errorf("a JDK that Kafka does not run on: %v", err)
	}
}

func TestJavaHomeComesFirst(t *testing.T) {
	t.Parallel()
	home := fake(t, "21.0.99")
	path, version, err := Find(t.Context(), JRE, func(string) (string, bool) { return home, true })
	if err != nil || version != "21.0.99" || path != filepath.Join(home, "bin", "java") {
		t.Errorf("Find = %s, %s, %v, want the one in JAVA_HOME", path, version, err)
	}
}

func TestACommandLineShowsNoSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := &Runtime{java: "/bin/java", jars: "/jars"}
	spec, err := r.Spec(Program{Name: "p", Class: "a.B", Args: []string{`scram=[password="s3cret\"]`}, Heap: 64, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if words := strings.Join(append(spec.Args, spec.Env...), " "); strings.Contains(words, "s3cret") {
		t.Errorf("command line and environment: %s", words)
	}
	file := strings.TrimPrefix(spec.Args[0], "@")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"scram=[password=\"s3cret\\\"]"`; !strings.Contains(string(text), want) {
		t.Errorf("no %s in\n%s", want, text)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want a file for its owner only", info.Mode(), err)
	}
}

func TestTheJarsAreFetchedOnceForAList(t *testing.T) {
	t.Parallel()
	module := t.TempDir()
	if err := os.MkdirAll(filepath.Join(module, "lab", "kafka"), 0o755); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(module, filepath.FromSlash(pom))
	if err := os.WriteFile(list, []byte("<project/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	fetched := 0
	maven := func(_ context.Context, _, to string) error {
		fetched++
		return os.MkdirAll(to, 0o755)
	}
	get := func() string {
		t.Helper()
		dir, err := fetch(t.Context(), module, maven)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	first := get()
	if again := get(); again != first || fetched != 1 {
		t.Errorf("fetched %d times, %s and %s; want once", fetched, first, again)
	}
	if err := os.WriteFile(list, []byte("<project>other</project>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if other := get(); other == first || fetched != 2 {
		t.Errorf("another list: fetched %d times, %s", fetched, other)
	}
	left, err := filepath.Glob(filepath.Join(module, "bin", "kafka", ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
