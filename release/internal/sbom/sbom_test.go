package sbom_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/comptech-lab/redis-wal/release/internal/program"
	"github.com/comptech-lab/redis-wal/release/internal/sbom"
	"github.com/comptech-lab/redis-wal/release/internal/source"
)

func commit() source.Source {
	return source.Source{Version: "v1.2.3", Revision: strings.Repeat("ab", 20), Time: time.Unix(1_700_000_000, 0).UTC()}
}

// binary compiles a small program with dependencies, one of them a module of this repository beside it.
func binary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"program/go.mod":  "module example.com/program\n\ngo 1.26.0\n\nrequire example.com/beside v0.0.0\n\nreplace example.com/beside => ../beside\n",
		"program/main.go": "package main\n\nimport \"example.com/beside\"\n\nfunc main() { println(beside.Name) }\n",
		"beside/go.mod":   "module example.com/beside\n\ngo 1.26.0\n",
		"beside/a.go":     "package beside\n\nconst Name = \"beside\"\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := program.Program{Name: "program", Module: "program", Package: "."}
	out := filepath.Join(dir, "out", "program")
	if err := p.Build(t.Context(), dir, program.Platform{OS: "linux", Arch: runtime.GOARCH}, "v1.2.3", out); err != nil {
		t.Fatal(err)
	}
	return out
}

// tiny compiles a program with dependencies from elsewhere.
func tiny(t *testing.T) string {
	t.Helper()
	p := program.Program{Name: "tiny", Module: "release", Package: "./internal/dist/testdata/tiny"}
	out := filepath.Join(t.TempDir(), "tiny")
	if err := p.Build(t.Context(), "../../..", program.Platform{OS: "linux", Arch: runtime.GOARCH}, "v1.2.3", out); err != nil {
		t.Fatal(err)
	}
	return out
}

func text(t *testing.T, bom *cdx.BOM, err error) []byte {
	t.Helper()
	var out bytes.Buffer
	if err == nil {
		err = sbom.Write(&out, bom)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Every module that `go version -m` names is in the SBOM, with its version and sum, and nothing else but Go's own library.
func TestEveryModuleIsIn(t *testing.T) {
	t.Parallel()
	file := tiny(t)
	bom, err := sbom.Of(file, commit())
	text(t, bom, err)
	var have, want []string
	for _, c := range *bom.Components {
		line := c.Name + " " + c.Version
		if c.Hashes != nil {
			line += " " + (*c.Hashes)[0].Value
		}
		have = append(have, line)
		if c.PackageURL != "pkg:golang/"+c.Name+"@"+c.Version {
			t.Errorf("%s is called %s", c.Name, c.PackageURL)
		}
	}
	out, err := exec.CommandContext(t.Context(), "go", "version", "-m", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)\th1:(\S+)$`).FindAllStringSubmatch(string(out), -1) {
		want = append(want, m[1]+" "+m[2]+" "+hexOf(t, m[3]))
	}
	if len(want) == 0 {
		t.Fatalf("the program has no dependency:\n%s", out)
	}
	want = append(want, "std "+strings.TrimPrefix(runtime.Version(), "go"))
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the SBOM has\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

func hexOf(t *testing.T, sum string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "base64 -d | od -An -v -tx1 | tr -d ' \\n'")
	cmd.Stdin = strings.NewReader(sum)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// A module that stands beside it has the repository's version.
func TestModuleBeside(t *testing.T) {
	t.Parallel()
	bom, err := sbom.Of(binary(t), commit())
	if err := sbom.Check(text(t, bom, err), []sbom.Module{{Path: "example.com/beside", Version: "v1.2.3"}, {Path: "std", Version: strings.TrimPrefix(runtime.Version(), "go")}}); err != nil {
		t.Error(err)
	}
}

// An image has the modules of all its binaries, and those of its certificates.
func TestImage(t *testing.T) {
	t.Parallel()
	beside, other := binary(t), tiny(t)
	roots := sbom.Module{Path: "example.com/roots", Version: "v0.1.0"}
	bom, err := sbom.OfImage("image", "sha256:"+strings.Repeat("01", 32), commit(), []string{beside, other}, roots)
	got := text(t, bom, err)
	valid(t, got)
	for _, want := range []string{`"pkg:golang/example.com/roots@v0.1.0"`, `"pkg:golang/example.com/beside@v1.2.3"`, `"pkg:golang/github.com/google/go-containerregistry@v`, `"pkg:oci/image@sha256%3A0101`} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("%s is missing", want)
		}
	}
}

// It is CycloneDX 1.6 by the schema that its makers publish.
func TestSchema(t *testing.T) {
	t.Parallel()
	bom, err := sbom.Of(tiny(t), commit())
	valid(t, text(t, bom, err))
}

func valid(t *testing.T, got []byte) {
	t.Helper()
	// The schemas come with the library, in its module, but not in a package of it.
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	compiler := jsonschema.NewCompiler()
	for name, file := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		f, err := os.Open(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(f)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			err = compiler.AddResource("http://cyclonedx.org/schema/"+name, schema)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	schema, err := compiler.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(got))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Error(err)
	}
	if err := schema.Validate(map[string]any{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []any{map[string]any{"name": "no type"}}}); err == nil {
		t.Error("the schema takes a component without a type: it checks nothing")
	}
}
