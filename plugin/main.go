// Command plugin is the Pulumi plugin redis-wal: the components of this module for programs in YAML, TypeScript and other languages. Pulumi compiles and
// starts it by itself, from its source (docs/importing.md).
package main

import (
	"context"
	"fmt"
	"os"

	provider "github.com/pulumi/pulumi-go-provider"
)

func main() {
	if err := provider.RunProvider(context.Background(), Name, Version, New()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
