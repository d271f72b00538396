package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
	construct "github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/internal/strict"
)

// siteInputs are the inputs of a Site: the fields of site.Args by their json tags, and what has none there because stack configuration keeps it elsewhere.
type siteInputs struct {
	site.Args

	// ReaderSHA256 is the SHA-256 of the reader's password in hex, if secrets are left out; empty = Redis has no reader.
	ReaderSHA256 string `json:"readerSha256"`
	// Secrets are the passwords and keys, all of them. Left out = the Kubernetes Secrets exist already, by the names in docs/configuration.md.
	Secrets struct{} `json:"secrets"` // read by readSecrets
}

// read makes the arguments of a site out of what a program in another language said. The error has all problems, each with the path of its field.
func read(raw property.Map, inputs construct.ConstructInputs) (site.Args, error) {
	plain := map[string]any{}
	found := &strict.Problems{}
	for name, v := range raw.AllStable {
		if name != secretsInput {
			if value := plainValue(found, name, v); value != nil {
				plain[name] = value
			}
		}
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return site.Args{}, err
	}
	var in siteInputs
	wrong := strict.Decode(string(text), &in)
	args := in.Args
	args.ReaderSHA256 = in.ReaderSHA256
	if args.Secrets, err = readSecrets(found, raw.Get(secretsInput), inputs, args.Producers); err != nil {
		return site.Args{}, err
	}
	wrong.AddUnlessKnown(found.Err())
	for _, e := range strict.Leaves(args.WithDefaults().Validate()) {
		switch path, rest, _ := strings.Cut(e.Error(), ": "); {
		case strings.HasPrefix(path, "Secrets."): // readSecrets has said so, by the name that it has here
		case path == "secrets.readerSha256":
			wrong.AddUnlessKnown(errors.New("readerSha256: " + rest))
		default:
			wrong.AddUnlessKnown(e)
		}
	}
	return args, wrong.Err()
}

// plainValue is a value as encoding/json has it. What a site consists of must be known before it is declared, and is kept in readable form.
func plainValue(found *strict.Problems, path string, v property.Value) any {
	switch {
	case v.IsComputed():
		found.Add(path, "is known only after a deployment; it decides what is declared, so give a value that is known before")
		return nil
	case v.Secret():
		found.Add(path, "is a secret, and would be readable in Kubernetes; only what is under secrets may be one")
		return nil
	case v.IsNull():
		return nil
	case v.IsBool():
		return v.AsBool()
	case v.IsNumber():
		return v.AsNumber()
	case v.IsString():
		return v.AsString()
	case v.IsArray():
		out := []any{}
		for i, e := range v.AsArray().All {
			out = append(out, plainValue(found, fmt.Sprintf("%s[%d]", path, i), e))
		}
		return out
	case v.IsMap():
		out := map[string]any{}
		for name, e := range v.AsMap().AllStable {
			if value := plainValue(found, path+"."+name, e); value != nil {
				out[name] = value
			}
		}
		return out
	default:
		found.Add(path, "is an asset, an archive or a resource; want text, a number, true or false, a list or an object")
		return nil
	}
}

// problems is the error of a site that cannot be declared, in the words of a Go program's.
func problems(name string, err error) error {
	var lines []string
	for _, e := range strict.Leaves(err) {
		lines = append(lines, e.Error())
	}
	slices.Sort(lines)
	return fmt.Errorf("site %q:\n%s", name, strings.Join(lines, "\n"))
}
