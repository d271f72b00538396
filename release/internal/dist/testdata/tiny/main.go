// Command tiny stands for a program of a release in the tests: it has a dependency and a version.
package main

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
)

// version is set when the binary is built.
var version = "dev"

func main() {
	fmt.Println(version, name.DefaultRegistry)
}
