// Package sbom writes what a binary is made of, as CycloneDX 1.6, from what Go's linker has written into it.
package sbom

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/comptech-lab/redis-wal/release/internal/source"
)

// Module is one Go module within a binary.
type Module struct{ Path, Version string }

// Modules are those that `go version -m` lists as dep, a replaced one as what replaced it, and Go's standard library as "std". A module of this repository has the
// repository's version.
func Modules(info *debug.BuildInfo, from source.Source) []Module {
	var out []Module
	for m := range components(info, from) {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Module) int { return strings.Compare(a.Path+"@"+a.Version, b.Path+"@"+b.Version) })
	return out
}

func components(info *debug.BuildInfo, from source.Source) map[Module]cdx.Component {
	out := map[Module]cdx.Component{}
	add := func(m Module, sum string) {
		c := cdx.Component{
			Type: cdx.ComponentTypeLibrary, Scope: cdx.ScopeRequired, Name: m.Path, Version: m.Version,
			BOMRef: purl(m), PackageURL: purl(m),
		}
		// Go's sum of a module is the SHA-256 of a list of its files, in base 64.
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:")); err == nil && len(raw) == sha256.Size {
			c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(raw)}}
		}
		out[m] = c
	}
	add(Module{"std", strings.TrimPrefix(info.GoVersion, "go")}, "")
	for _, dep := range info.Deps {
		m := Module{dep.Path, dep.Version}
		if r := dep.Replace; r != nil && r.Version != "" && r.Version != "(devel)" {
			m, dep = Module{r.Path, r.Version}, r
		} else if r != nil { // a folder beside it: the module of this repository that another of its modules uses
			m.Version = from.Version
		}
		add(m, dep.Sum)
	}
	return out
}

func purl(m Module) string { return "pkg:golang/" + m.Path + "@" + m.Version }

// Of describes the binary in file.
func Of(file string, from source.Source) (*cdx.BOM, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	body, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	self := Module{info.Path, from.Version}
	properties := []cdx.Property{{Name: "go:version", Value: info.GoVersion}}
	for _, s := range info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "CGO_ENABLED" || s.Key == "-tags" {
			properties = append(properties, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
		}
	}
	return describe(cdx.Component{
		Type: cdx.ComponentTypeApplication, Name: filepath.Base(file), Version: from.Version, BOMRef: purl(self), PackageURL: purl(self),
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}, Properties: &properties,
	}, from, components(info, from)), nil
}

// OfImage describes the image with this digest ("sha256:...") and name, which holds these binaries and certificates that come from the modules extra.
func OfImage(name, digest string, from source.Source, binaries []string, extra ...Module) (*cdx.BOM, error) {
	all := map[Module]cdx.Component{}
	for _, file := range binaries {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		maps.Copy(all, components(info, from))
	}
	for _, m := range extra {
		all[m] = cdx.Component{Type: cdx.ComponentTypeLibrary, Scope: cdx.ScopeRequired, Name: m.Path, Version: m.Version, BOMRef: purl(m), PackageURL: purl(m)}
	}
	ref := "pkg:oci/" + name + "@" + strings.ReplaceAll(digest, ":", "%3A")
	return describe(cdx.Component{
		Type: cdx.ComponentTypeContainer, Name: name, Version: from.Version, BOMRef: ref, PackageURL: ref,
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: strings.TrimPrefix(digest, "sha256:")}},
	}, from, all), nil
}

func describe(subject cdx.Component, from source.Source, parts map[Module]cdx.Component) *cdx.BOM {
	list := slices.SortedFunc(maps.Values(parts), func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	var refs []string
	for _, c := range list {
		refs = append(refs, c.BOMRef)
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: from.Time.Format(time.RFC3339), Component: &subject}
	bom.Components = &list
	bom.Dependencies = &[]cdx.Dependency{{Ref: subject.BOMRef, Dependencies: &refs}}
	bom.Compositions = &[]cdx.Composition{{Aggregate: cdx.CompositionAggregateComplete, Dependencies: &[]cdx.BOMReference{cdx.BOMReference(subject.BOMRef)}}}
	return bom
}

// Write writes bom as JSON.
func Write(w io.Writer, bom *cdx.BOM) error {
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
}

// Check says what the SBOM in text has too much or too little for these modules, or nil.
func Check(text []byte, want []Module) error {
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		return err
	}
	have := map[Module]bool{}
	if bom.Components != nil {
		for _, c := range *bom.Components {
			have[Module{c.Name, c.Version}] = true
		}
	}
	var wrong []string
	for _, m := range want {
		if !have[m] {
			wrong = append(wrong, m.Path+" "+m.Version+" is missing")
		}
		delete(have, m)
	}
	for m := range have {
		wrong = append(wrong, m.Path+" "+m.Version+" is not in the binary")
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}
