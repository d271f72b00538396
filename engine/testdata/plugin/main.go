// Command plugin is the stand-in as a process of its own, as the engine starts a provider plugin that is installed: it writes its port on stdout and serves until it is ended.
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/comptech-lab/redis-wal/engine/standin"
)

func main() {
	s, err := standin.Start(standin.Options{Namespaces: []string{"kafka", "longhorn-system"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(strings.TrimPrefix(s.DebugProviders(), "kubernetes:"))
	select {}
}
