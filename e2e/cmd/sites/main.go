// Command sites runs the Kubernetes clusters of both sites on this machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/comptech-lab/redis-wal/e2e/binaries"
	"github.com/comptech-lab/redis-wal/e2e/cluster"
	"github.com/comptech-lab/redis-wal/e2e/sandbox"
)

const usage = `usage: go run ./cmd/sites COMMAND (in the folder e2e, as root)

  build                     build the binaries of a cluster, if that is not done yet
  up [-nodes N] [SITE...]   start the sites (dc and dr) and stay; Ctrl-C ends them
  exec SITE CMD...          run a command beside the running sites, in the network of one of them; KUBECONFIG is set
  down                      end the running sites
`

func main() {
	args := os.Args[1:]
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	code := 0
	var err error
	switch args[0] {
	case "build":
		_, err = build()
	case "up":
		code, err = up(args[1:])
	case "exec":
		code, err = execute(args[1:])
	case "down":
		err = down()
	default:
		fmt.Fprint(os.Stderr, usage)
		code = 2
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sites:", err)
		code = 1
	}
	os.Exit(code)
}

func build() (string, error) {
	source, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/comptech-lab/redis-wal/e2e/binaries").Output()
	if err != nil {
		return "", fmt.Errorf("run this in the folder e2e: %w", err)
	}
	return binaries.Build(context.Background(), strings.TrimSpace(string(source)), func(line string) { fmt.Fprintln(os.Stderr, line) })
}

// state is where the clusters keep everything: in the sandbox's memory.
const state = "/run/sites"

func up(args []string) (int, error) {
	flags := flag.NewFlagSet("up", flag.ExitOnError)
	nodes := flags.Int("nodes", 1, "how many nodes each site has")
	_ = flags.Parse(args) // it exits
	sites := flags.Args()
	if len(sites) == 0 {
		sites = []string{"dc", "dr"}
	}
	if !sandbox.Inside() {
		if _, err := build(); err != nil {
			return 0, err
		}
	}
	return sandbox.Run(func() int {
		if err := serve(sites, *nodes); err != nil {
			fmt.Fprintln(os.Stderr, "sites:", err)
			return 1
		}
		return 0
	}), nil
}

func serve(sites []string, nodes int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	bin, err := binaries.Dir()
	if err != nil {
		return err
	}
	clusters, err := cluster.Up(ctx, cluster.Options{Sites: sites, Nodes: nodes, Binaries: bin, State: state, Logs: filepath.Join(state, "logs")})
	if err != nil {
		return err
	}
	for _, s := range clusters.Sites {
		fmt.Printf("%s is up. In another terminal: go run ./cmd/sites exec %s kubectl get nodes\n", s.Name, s.Name)
	}
	fmt.Println("Ctrl-C ends all of it.")
	<-ctx.Done()
	return nil
}

func execute(args []string) (int, error) {
	if len(args) < 2 {
		return 0, errors.New("exec needs a site and a command")
	}
	cmd, err := sandbox.Command(args[0], args[1:]...)
	if err != nil {
		return 0, err
	}
	bin, err := binaries.Dir()
	if err != nil {
		return 0, err
	}
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(state, args[0], "kubeconfig"), "PATH="+bin+":"+os.Getenv("PATH"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// down ends the running sites and waits until they are gone.
func down() error {
	pid, err := sandbox.Pid()
	if errors.Is(err, sandbox.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil { // everything that the sites started dies with it
		return err
	}
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := sandbox.Pid(); errors.Is(err, sandbox.ErrNone) {
			return nil
		}
		select {
		case <-deadline:
			return errors.New("the sites are still there after 30 s")
		case <-tick.C:
		}
	}
}
