package provenance_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/release/internal/provenance"
	"github.com/comptech-lab/redis-wal/release/internal/source"
)

func statement() provenance.Statement {
	return provenance.Statement{
		Subjects: map[string]string{"walctl.tar.gz": strings.Repeat("ab", 32), "redis-applier": strings.Repeat("cd", 32)},
		Sums:     map[string]string{"go.sum": strings.Repeat("01", 32)},
		Go:       "go1.26.8", Builder: provenance.ByHand,
		Source: source.Source{Version: "v1.2.3", Revision: strings.Repeat("ef", 20), Time: time.Unix(1_700_000_000, 0)},
	}
}

// What is written is read again: the subjects, the commit, Go, the sums, the builder. The makers' own library finds it well formed.
func TestStatement(t *testing.T) {
	t.Parallel()
	s := statement()
	text, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	subjects, p, err := provenance.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(subjects, s.Subjects) {
		t.Errorf("the subjects are %v, want %v", subjects, s.Subjects)
	}
	if got := p.GetRunDetails().GetBuilder().GetId(); got != provenance.ByHand {
		t.Errorf("the builder is %s", got)
	}
	materials := map[string]string{}
	for _, d := range p.GetBuildDefinition().GetResolvedDependencies() {
		materials[d.GetUri()+d.GetName()] = d.GetDigest()["sha256"] + d.GetDigest()["gitCommit"]
	}
	for name, want := range map[string]string{
		"git+https://github.com/comptech-lab/redis-wal@v1.2.3": s.Source.Revision, "go.sum": s.Sums["go.sum"], "pkg:generic/go@1.26.8Go": "",
	} {
		if got, ok := materials[name]; !ok || got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, ok, want)
		}
	}
	// The library varies its spaces from program to program, so a test cannot see it happen: what is written has the spaces of encoding/json alone.
	var tight, want bytes.Buffer
	if err := json.Compact(&tight, text); err != nil {
		t.Fatal(err)
	}
	if err := json.Indent(&want, tight.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	want.WriteByte('\n')
	if !bytes.Equal(text, want.Bytes()) {
		t.Errorf("it is written as\n%s\nwant\n%s", text, want.Bytes())
	}
}

// What is no such statement is refused.
func TestRead(t *testing.T) {
	t.Parallel()
	s := statement()
	text, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][2]string{
		"another predicate":   {"https://slsa.dev/provenance/v1", "https://example.com/v1"},
		"no builder":          {provenance.ByHand, ""},
		"no statement":        {"https://in-toto.io/Statement/v1", "x"},
		"a subject of no sum": {strings.Repeat("ab", 32), ""},
		"an unknown field":    {`"buildType"`, `"buildTypes"`},
	} {
		if _, _, err := provenance.Read([]byte(strings.ReplaceAll(string(text), c[0], c[1]))); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
