package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/await"
)

// nothing is a reader's answer for a key that is not there.
const nothing = "nothing"

// reader is a running program around an example that reads, which reads when it is told to.
type reader struct {
	name string
	in   io.WriteCloser
	out  *bufio.Reader
}

// startReaders starts the readers of all clients at all sites.
func startReaders(ctx context.Context, t *testing.T, clients []client, at map[string]*application) []*reader {
	t.Helper()
	var all []*reader
	for _, site := range sortedKeys(at) {
		for _, c := range clients {
			if c.reader == "" {
				continue
			}
			cmd := at[site].command(ctx, c.program...)
			cmd.Stderr = t.Output()
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Cancel()
				_ = cmd.Wait()
			})
			all = append(all, &reader{fmt.Sprintf("example %s (%s) at %s", c.reader, c.name, site), in, bufio.NewReader(out)})
		}
	}
	return all
}

// ask gives the reader a line and returns its answer.
func (r *reader) ask(line string) (string, error) {
	if _, err := fmt.Fprintln(r.in, line); err != nil {
		return "", fmt.Errorf("%s: %w", r.name, err)
	}
	answer, err := r.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s ended: %w", r.name, err)
	}
	return strings.TrimSpace(answer), nil
}

// await waits until the reader answers want, and returns how many of its reads failed before.
func (r *reader) await(ctx context.Context, line, want string) (failed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, arrivesWithin)
	defer cancel()
	err = await.True(ctx, r.name+" to "+line, func(context.Context) error {
		got, err := r.ask(line)
		if strings.HasPrefix(got, "error:") {
			failed++
		}
		if err == nil && got != want {
			err = fmt.Errorf("%s, want %s", got, want)
		}
		return err
	})
	return failed, err
}

func (r *reader) sees(ctx context.Context, t *testing.T, line, want string) {
	t.Helper()
	if _, err := r.await(ctx, line, want); err != nil {
		t.Fatal(err)
	}
}
