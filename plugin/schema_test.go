package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/blang/semver"
	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/internal/reference"
)

// The schema is what site.Args is: every field by its json tag, with its comment, its default and whether it must be given. Nothing of it is written by hand.
func TestSchemaIsTheArguments(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(described(t)); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "schema.json", text.String())
}

// What the plugin says over gRPC is that schema, and the tools that make SDKs take it without a complaint.
func TestSchemaIsServed(t *testing.T) {
	t.Parallel()
	server, err := integration.NewServer(t.Context(), Name, semver.MustParse(Version), integration.WithProvider(New()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := server.GetSchema(provider.GetSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if golden.Updating() {
		t.Skip("SKIPPED: what is embedded was there before the update")
	}
	golden.Compare(t, "schema.json", got.Schema)
	var spec schema.PackageSpec
	if err := json.Unmarshal([]byte(got.Schema), &spec); err != nil {
		t.Fatal(err)
	}
	noOther := struct{ schema.Loader }{} // it refers to no other package
	pkg, found, err := schema.BindSpec(spec, noOther, schema.ValidationOptions{})
	if err != nil || len(found) > 0 {
		t.Fatalf("%v %v", err, found)
	}
	if r, ok := pkg.GetResource(site.TypeToken); !ok || !r.IsComponent {
		t.Errorf("got %+v, want the component %s, the token that a Go program has too", pkg.Resources, site.TypeToken)
	}
	if pkg.Name != Name || pkg.Version.String() != Version {
		t.Errorf("got %s %s, want %s %s", pkg.Name, pkg.Version, Name, Version)
	}
}

// SDKs ask for the plugin by the version that the schema says, and Pulumi finds it by the tag of that name: a release with another one could not be used.
func TestVersionIsTheTag(t *testing.T) {
	t.Parallel()
	tags, err := exec.CommandContext(t.Context(), "git", "tag", "--points-at", "HEAD", "v*").Output()
	if err != nil {
		t.Skipf("SKIPPED: no git repository: %v", err)
	}
	if list := strings.Fields(string(tags)); len(list) > 0 && !slices.Contains(list, "v"+Version) {
		t.Errorf("this is tagged %v, and Version is %s: change it in provider.go, run make golden, and tag that", list, Version)
	}
}

// root is the folder of the module with the components.
const root = ".."

// described is the schema, made of the types and their comments.
func described(t *testing.T) schema.PackageSpec {
	t.Helper()
	// As in docs/configuration.md: what other values derive from is given, so that derived defaults are shown as they are.
	sample := siteInputs{Args: site.Args{Kafka: site.Kafka{Cluster: "<cluster>"}, Log: site.Log{Partitions: 12}}.WithDefaults()}
	d := describer{t: t, types: map[string]schema.ComplexTypeSpec{}, entries: map[string]reference.Entry{}}
	entries, err := reference.Of(sample, root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		d.entries[strings.ReplaceAll(e.Path, "[]", "")] = e
	}
	of := d.comments(reflect.TypeFor[site.Site]())
	component := schema.ResourceSpec{
		IsComponent:    true,
		ObjectTypeSpec: schema.ObjectTypeSpec{Description: without("Site", of["Site"]), Properties: map[string]schema.PropertySpec{}},
	}
	component.InputProperties, component.RequiredInputs = d.properties("", reflect.TypeFor[siteInputs](), true)
	component.InputProperties[secretsInput] = schema.PropertySpec{
		TypeSpec: schema.TypeSpec{Ref: d.secrets()}, Description: capital(d.entries[secretsInput].Doc), Secret: true,
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[site.Site]()) {
		name := f.Tag.Get("pulumi")
		if name == "" || len(f.Index) > 1 {
			continue
		}
		spec := schema.TypeSpec{Type: "string"}
		if f.Type == reflect.TypeFor[pulumi.StringMapOutput]() {
			spec = schema.TypeSpec{Type: "object", AdditionalProperties: &schema.TypeSpec{Type: "string"}}
		}
		component.Properties[name] = schema.PropertySpec{TypeSpec: spec, Description: without(f.Name, of["Site."+f.Name])}
		component.Required = append(component.Required, name)
	}
	slices.Sort(component.Required)
	return schema.PackageSpec{
		Name: Name, DisplayName: "redis-wal", Version: Version, Namespace: "comptech-lab",
		Description: "Redis on two Kubernetes clusters, filled on both sides from one log.",
		Repository:  "https://github.com/comptech-lab/redis-wal",
		Language:    map[string]schema.RawMessage{"nodejs": schema.RawMessage(`{"respectSchemaVersion":true}`)},
		Types:       d.types, Resources: map[string]schema.ResourceSpec{site.TypeToken: component},
	}
}

type describer struct {
	t       *testing.T
	types   map[string]schema.ComplexTypeSpec
	entries map[string]reference.Entry
}

// properties describes the fields of a struct, and says which of them must be given.
func (d *describer) properties(path string, of reflect.Type, top bool) (out map[string]schema.PropertySpec, required []string) {
	out = map[string]schema.PropertySpec{}
	for _, f := range reflect.VisibleFields(of) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" || f.Anonymous || path+name == secretsInput {
			continue
		}
		e, ok := d.entries[path+name]
		if !ok {
			d.t.Errorf("%s.%s: package reference does not know %s", of, f.Name, path+name)
		}
		text := capital(e.Doc)
		if e.Value != "" && e.Value != reference.Required && !d.shared(of) {
			text += " Default: " + e.Value + "."
		}
		// What a site consists of must be known before it is declared: these take no outputs of other resources.
		out[name] = schema.PropertySpec{TypeSpec: d.spec(path+name, f.Type, top), Description: text}
		if d.required(path+name, f.Type) {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	return out, required
}

// shared says whether a type is used in several places, whose defaults differ.
func (d *describer) shared(of reflect.Type) bool { return strings.HasSuffix(of.PkgPath(), "/workload") }

// required says whether a field must be given, or has one that must.
func (d *describer) required(path string, of reflect.Type) bool {
	if d.entries[path].Value == reference.Required {
		return true
	}
	if of.Kind() != reflect.Struct {
		return false
	}
	return slices.ContainsFunc(reflect.VisibleFields(of), func(f reflect.StructField) bool {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return d.required(path+"."+name, f.Type)
	})
}

func (d *describer) spec(path string, of reflect.Type, plain bool) schema.TypeSpec {
	switch {
	case of.Kind() == reflect.Pointer:
		return d.spec(path, of.Elem(), plain)
	case of == reflect.TypeFor[time.Duration](), of.Kind() == reflect.String:
		return schema.TypeSpec{Type: "string", Plain: plain}
	case of.Kind() == reflect.Bool:
		return schema.TypeSpec{Type: "boolean", Plain: plain}
	case of.Kind() == reflect.Int:
		return schema.TypeSpec{Type: "integer", Plain: plain}
	case of.Kind() == reflect.Slice:
		items := d.spec(path, of.Elem(), plain)
		return schema.TypeSpec{Type: "array", Items: &items, Plain: plain}
	case of.Kind() == reflect.Map:
		values := d.spec(path, of.Elem(), plain)
		return schema.TypeSpec{Type: "object", AdditionalProperties: &values, Plain: plain}
	case of.Kind() == reflect.Struct:
		token := typeToken(of.Name())
		if _, known := d.types[token]; !known {
			d.types[token] = schema.ComplexTypeSpec{} // while its fields are described
			properties, required := d.properties(path+".", of, false)
			d.types[token] = schema.ComplexTypeSpec{ObjectTypeSpec: schema.ObjectTypeSpec{
				Type: "object", Description: d.comments(of)[of.Name()], Properties: properties, Required: required,
			}}
		}
		return schema.TypeSpec{Ref: "#/types/" + token, Plain: plain}
	default:
		d.t.Fatalf("%s is of type %s, for which there is no schema", path, of)
		return schema.TypeSpec{}
	}
}

// secrets describes site.Secrets. Its values may be known only after a deployment.
func (d *describer) secrets() string {
	of := reflect.TypeFor[site.Secrets]()
	docs := d.comments(of)
	object := schema.ObjectTypeSpec{Type: "object", Description: docs[of.Name()], Properties: map[string]schema.PropertySpec{}}
	for i := range of.NumField() {
		f := of.Field(i)
		spec := schema.TypeSpec{Type: "string"}
		switch f.Type {
		case reflect.TypeFor[pulumi.StringInput]():
			object.Required = append(object.Required, secretName(f.Name))
		case reflect.TypeFor[map[string]pulumi.StringInput]():
			spec = schema.TypeSpec{Type: "object", AdditionalProperties: &schema.TypeSpec{Type: "string"}}
		default:
			d.t.Errorf("secret %s is of type %s, which readSecrets does not read", f.Name, f.Type)
		}
		text := without(f.Name, docs[of.Name()+"."+f.Name])
		object.Properties[secretName(f.Name)] = schema.PropertySpec{TypeSpec: spec, Description: text, Secret: true}
	}
	slices.Sort(object.Required)
	token := typeToken(of.Name())
	d.types[token] = schema.ComplexTypeSpec{ObjectTypeSpec: object}
	return "#/types/" + token
}

func (d *describer) comments(of reflect.Type) map[string]string {
	d.t.Helper()
	folder := strings.TrimPrefix(of.PkgPath(), "github.com/comptech-lab/redis-wal/")
	docs, err := reference.Comments(filepath.Join(root, filepath.FromSlash(folder)))
	if err != nil {
		d.t.Fatal(err)
	}
	return docs
}

func typeToken(name string) string { return fmt.Sprintf("%s:index:%s", Name, name) }

// without is a comment without the Go name at its beginning.
func without(name, doc string) string {
	doc = strings.TrimPrefix(doc, name+" ")
	doc = strings.TrimPrefix(strings.TrimPrefix(doc, "is "), "are ")
	return capital(doc)
}

func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
