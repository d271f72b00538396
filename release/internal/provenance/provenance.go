// Package provenance writes where a release comes from: an in-toto statement with the SLSA provenance v1 predicate, unsigned. Whoever built it signs it.
package provenance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/comptech-lab/redis-wal/release/internal/source"
)

const (
	predicate = "https://slsa.dev/provenance/v1"
	// BuildType says what the parameters mean, and how one builds the same again.
	BuildType = source.URL + "/blob/main/docs/release.md#build-it-again"
	// ByHand is the builder where no CI says which one it is.
	ByHand = source.URL + "/blob/main/docs/release.md#by-hand"
)

// Statement is what is known of a build.
type Statement struct {
	Subjects map[string]string // SHA-256 in hex by the file's name, or the image's
	Sums     map[string]string // SHA-256 in hex of each go.sum that was built with, by its path in the repository
	Go       string            // as runtime.Version says it: "go1.26.0"
	Builder  string            // a URI
	Source   source.Source
}

// JSON is the statement as a file of a release. The same statement gives the same bytes.
func (s Statement) JSON() ([]byte, error) {
	outside, err := structpb.NewStruct(map[string]any{"repository": source.URL, "version": s.Source.Version})
	if err != nil {
		return nil, err
	}
	inside, err := structpb.NewStruct(map[string]any{"sourceDateEpoch": fmt.Sprint(s.Source.Time.Unix()), "clean": s.Source.Clean})
	if err != nil {
		return nil, err
	}
	materials := []*intoto.ResourceDescriptor{
		{Uri: "git+" + source.URL + "@" + s.Source.Version, Digest: map[string]string{"gitCommit": s.Source.Revision}},
		{Uri: "pkg:generic/go@" + strings.TrimPrefix(s.Go, "go"), Name: "Go"},
	}
	for _, path := range slices.Sorted(maps.Keys(s.Sums)) {
		materials = append(materials, &intoto.ResourceDescriptor{Name: path, Digest: map[string]string{"sha256": s.Sums[path]}})
	}
	p := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{BuildType: BuildType, ExternalParameters: outside, InternalParameters: inside, ResolvedDependencies: materials},
		RunDetails:      &slsa.RunDetails{Builder: &slsa.Builder{Id: s.Builder}},
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	statement := &intoto.Statement{Type: intoto.StatementTypeUri, PredicateType: predicate}
	for _, name := range slices.Sorted(maps.Keys(s.Subjects)) {
		statement.Subject = append(statement.Subject, &intoto.ResourceDescriptor{Name: name, Digest: map[string]string{"sha256": s.Subjects[name]}})
	}
	text, err := protojson.Marshal(p)
	if err != nil {
		return nil, err
	}
	statement.Predicate = &structpb.Struct{}
	if err := protojson.Unmarshal(text, statement.Predicate); err != nil {
		return nil, err
	}
	if err := statement.Validate(); err != nil {
		return nil, err
	}
	if text, err = protojson.Marshal(statement); err != nil {
		return nil, err
	}
	// protojson varies its spaces from program to program, on purpose; Indent leaves none of them.
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Read returns the statement's subjects and its predicate, if both are well formed.
func Read(text []byte) (map[string]string, *slsa.Provenance, error) {
	var statement intoto.Statement
	if err := protojson.Unmarshal(text, &statement); err != nil {
		return nil, nil, err
	}
	if err := statement.Validate(); err != nil {
		return nil, nil, err
	}
	if statement.PredicateType != predicate {
		return nil, nil, fmt.Errorf("its predicate is %s, want %s", statement.PredicateType, predicate)
	}
	inner, err := protojson.Marshal(statement.Predicate)
	if err != nil {
		return nil, nil, err
	}
	var p slsa.Provenance
	if err := protojson.Unmarshal(inner, &p); err != nil {
		return nil, nil, err
	}
	subjects := map[string]string{}
	for _, s := range statement.Subject {
		subjects[s.Name] = s.Digest["sha256"]
	}
	return subjects, &p, p.Validate()
}
