// Command find-java prints the path of the Java that the lab takes, and fails if there is none: the Makefile installs one then.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/comptech-lab/redis-wal/lab/internal/java"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	if len(args) != 1 || args[0] != string(java.JRE) && args[0] != string(java.JDK) {
		fmt.Fprintln(os.Stderr, "usage: find-java jre|jdk")
		return 2
	}
	path, _, err := java.Find(ctx, java.Kind(args[0]), os.LookupEnv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(path)
	return 0
}
