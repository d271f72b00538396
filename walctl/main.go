// Command walctl shows how the two sites of a log are, and moves the writer from one to the other.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/comptech-lab/redis-wal/walctl/internal/command"
)

// version is set when the binary is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	terminal := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	os.Exit(command.Run(ctx, command.Env{
		Args: os.Args[1:], Lookup: os.LookupEnv, ConfigFolder: os.UserConfigDir, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Terminal: terminal(os.Stdin) && terminal(os.Stderr), Screen: terminal(os.Stdout), Now: time.Now, Open: open, Plugin: plugin, Version: version,
	}))
}
