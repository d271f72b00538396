// Package java runs Apache Kafka's own programs: it finds a Java, has Maven fetch the pinned jars once, and says how a class of
// theirs is run as a process.
package java

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

// The Java versions that Kafka 4.1 supports. Nothing else says which: the Makefile asks cmd/find-java.
const oldest, newest = 17, 23

// Kind is what a Java must bring.
type Kind string

const (
	// JRE runs programs, such as Kafka.
	JRE Kind = "jre"
	// JDK also compiles them: it runs a program that is given as its source.
	JDK Kind = "jdk"
)

// Runtime is a Java with the jars of Kafka. Its methods are safe for concurrent use.
type Runtime struct {
	// Version is Java's, such as 17.0.15; Kafka is Kafka's.
	Version, Kafka string
	// Optimise gives a program both compilers of Java, as it has them on a cluster. The better one costs a lab more at the start than it
	// gives back: a broker needs 11.5 s of CPU instead of 7 until it is up and down again.
	Optimise bool

	java, jars string
}

// Open finds a Java as Find does, and the jars of lab/kafka/pom.xml of the module in its folder bin, where Maven puts them the first
// time. fetching is told before that, because it takes long.
func Open(ctx context.Context, module string, kind Kind, fetching func()) (*Runtime, error) {
	r := &Runtime{}
	module, err := filepath.Abs(module)
	if err != nil {
		return nil, err
	}
	if r.java, r.Version, err = Find(ctx, kind, os.LookupEnv); err != nil {
		return nil, err
	}
	if r.jars, err = fetch(ctx, module, maven(fetching)); err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(r.jars, "kafka-server-[0-9]*.jar"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("%s: want one kafka-server jar, found %v; remove the folder to have it made anew", r.jars, found)
	}
	r.Kafka = strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), "kafka-server-"), ".jar")
	return r, nil
}

// Find returns the first Java of that kind that Kafka runs on: in JAVA_HOME, in the PATH or in /usr/lib/jvm.
func Find(ctx context.Context, kind Kind, lookup func(string) (string, bool)) (path, version string, err error) {
	var candidates []string
	if home, ok := lookup("JAVA_HOME"); ok && home != "" {
		candidates = append(candidates, filepath.Join(home, "bin", "java"))
	}
	if path, err := exec.LookPath("java"); err == nil {
		candidates = append(candidates, path)
	}
	installed, err := filepath.Glob("/usr/lib/jvm/*/bin/java")
	if err != nil {
		return "", "", err
	}
	var errs []error
	for _, path := range append(candidates, installed...) {
		version, err := fits(ctx, path, kind)
		if err == nil {
			return path, version, nil
		}
		errs = append(errs, err)
	}
	target := map[Kind]string{JRE: "deps KAFKA=real", JDK: "client-deps"}[kind]
	return "", "", errors.Join(
		fmt.Errorf("real Kafka needs a %s of Java %d to %d; `make %s` installs it, or set JAVA_HOME",
			strings.ToUpper(string(kind)), oldest, newest, target),
		errors.Join(errs...),
	)
}

var versionWords = regexp.MustCompile(`version "((\d+)[^"]*)"`)

// fits returns the version of a Java, or why it is of no use.
func fits(ctx context.Context, path string, kind Kind) (version string, err error) {
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s -version: %w", path, err)
	}
	words := versionWords.FindSubmatch(out)
	if words == nil {
		return "", fmt.Errorf("%s -version: not understood: %.80q", path, out)
	}
	version = string(words[1])
	if major, err := strconv.Atoi(string(words[2])); err != nil || major < oldest || major > newest {
		return "", fmt.Errorf("%s is Java %s", path, version)
	}
	if kind == JRE {
		return version, nil
	}
	modules, err := exec.CommandContext(ctx, path, "--list-modules").Output()
	if err != nil {
		return "", fmt.Errorf("%s --list-modules: %w", path, err)
	}
	if !strings.Contains(string(modules), "jdk.compiler") {
		return "", fmt.Errorf("%s is Java %s without a compiler", path, version)
	}
	return version, nil
}

// Command is Java with those arguments and the jars in its class path: for small programs that end soon. To run one that is given as its
// source takes a JDK.
func (r *Runtime) Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, r.java, append([]string{
		"-cp", filepath.Join(r.jars, "*"),
		"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xmx128m",
	}, args...)...)
}

// Program is a Java program to run.
type Program struct {
	// Name names the process.
	Name string
	// Class is the class whose main is run, with Args.
	Class string
	Args  []string
	// Heap is the most memory for objects, in MiB.
	Heap int
	// Dir is where the program's files go; it exists.
	Dir string
}

// logging is for log4j2: all goes to the process's output, which the lab keeps in a file.
const logging = `<Configuration status="WARN">
  <Appenders><Console name="out" target="SYSTEM_OUT"><PatternLayout pattern="%d %p %c{1} %m%n"/></Console></Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
`

// Spec says how the program is run. The arguments are in a file that only its owner may read, because others see a command line.
func (r *Runtime) Spec(p Program) (process.Spec, error) {
	tmp := filepath.Join(p.Dir, "tmp") // compression libraries unpack themselves there
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return process.Spec{}, err
	}
	log4j := filepath.Join(p.Dir, "log4j2.xml")
	if err := os.WriteFile(log4j, []byte(logging), 0o600); err != nil {
		return process.Spec{}, err
	}
	tier := "1"
	if r.Optimise {
		tier = "4"
	}
	args := []string{
		"-cp", filepath.Join(r.jars, "*"),
		fmt.Sprintf("-Xmx%dm", p.Heap), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=" + tier, "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError",
		"-Djava.io.tmpdir=" + tmp, "-Dlog4j2.configurationFile=" + log4j, "-Djava.net.preferIPv4Stack=true", "-Djava.awt.headless=true",
		p.Class,
	}
	var b strings.Builder
	for _, a := range append(args, p.Args...) {
		fmt.Fprintf(&b, "\"%s\"\n", strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a))
	}
	file := filepath.Join(p.Dir, p.Name+".args")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		return process.Spec{}, err
	}
	return process.Spec{Name: p.Name, Path: r.java, Args: []string{"@" + file}, Env: []string{"LC_ALL=C.UTF-8"}, Dir: p.Dir}, nil
}

// Properties is a file of properties, in the order of keys.
func Properties(pairs [][2]string) []byte {
	var b strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	for _, p := range pairs {
		fmt.Fprintf(&b, "%s=%s\n", p[0], escape.Replace(p[1]))
	}
	return []byte(b.String())
}
