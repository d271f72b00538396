// Command typescript writes the TypeScript SDK of the plugin into a folder, as `pulumi package add` does with a language host for Node.js that can. The one
// that the tests can have (tools/pulumi-language-nodejs) is too old for that.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi/pkg/v3/codegen/nodejs"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
)

func main() {
	from := flag.String("schema", "schema.json", "the schema")
	to := flag.String("out", "", "the folder to write; it is emptied first")
	flag.Parse()
	if err := write(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write(from, to string) error {
	if to == "" {
		return errors.New("-out is missing: the folder to write")
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var spec schema.PackageSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	noOther := struct{ schema.Loader }{} // it refers to no other package
	pkg, found, err := schema.BindSpec(spec, noOther, schema.ValidationOptions{})
	if err != nil {
		return err
	}
	if found.HasErrors() {
		return found
	}
	files, err := nodejs.GeneratePackage("redis-wal", pkg, nil, nil, true, nil)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(to, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
