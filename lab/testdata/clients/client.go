// An application in Go around the examples of docs/clients.md.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

func main() {
	ctx := context.Background()
	what := os.Args[1]
	work := func() error { return produce(ctx, what) }
	if what == "read" {
		work = func() error { return read(ctx) }
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// produce writes as one of the examples does.
func produce(ctx context.Context, what string) error {
	// SNIPPET go-producer
	if err != nil {
		return err
	}
	fmt.Println("partition", ack.Partition)
	switch what {
	case "async":
		return several(ctx, p)
	case "wait":
		return wait(ctx, p, reader())
	}
	return nil
}

func several(ctx context.Context, p *walclient.Producer) error {
	type order struct{ ID, State string }
	orders := []order{{"1", "paid"}, {"2", "open"}}
	var failed atomic.Int64
	// SNIPPET go-async
	if err == nil && failed.Load() > 0 {
		return fmt.Errorf("%d ops failed", failed.Load())
	}
	return err
}

func wait(ctx context.Context, p *walclient.Producer, rdb *redis.Client) error {
	// SNIPPET go-wait
	if got, err := rdb.Get(ctx, "orders:46").Result(); err != nil || got != "paid" {
		return fmt.Errorf("after WaitApplied: GET = %q, %v", got, err)
	}
	return nil
}

func reader() *redis.Client {
	// SNIPPET go-reader
	return rdb
}

func read(ctx context.Context) error {
	rdb := reader()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Fields(in.Text())
		got, err := "", error(nil)
		switch words[0] {
		case "get":
			got, err = rdb.Get(ctx, words[1]).Result()
		case "hget":
			got, err = rdb.HGet(ctx, words[1], words[2]).Result()
		default:
			err = rdb.Set(ctx, words[1], "x", 0).Err()
		}
		switch {
		case err == redis.Nil:
			fmt.Println("nothing")
		case err != nil:
			fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", " "))
		default:
			fmt.Println("value:", got)
		}
	}
	return in.Err()
}
