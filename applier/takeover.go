package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// runTakeover takes this site over if the other one is down. It runs where the site is, so another place must have seen the same.
func runTakeover(ctx context.Context, lookup config.Lookup, asJSON bool, stdout, stderr io.Writer) int {
	cfg, err := config.ReadTakeover(lookup)
	if err != nil {
		return configProblem(stderr, err)
	}
	limitMemory(lookup)
	sink.QuietClient()
	site, err := reach.NewDirect(cfg.Run)
	if err != nil {
		return configProblem(stderr, err)
	}
	defer func() { _ = site.Close() }()
	lines := stdout
	if asJSON {
		lines = stderr
	}
	peer := reach.Target{Kafka: cfg.PeerBrokers, KafkaTLS: cfg.PeerTLS}
	r := ifdown.Run(ctx, ifdown.Config{Place: cfg.Site, After: cfg.IfDown, Looks: cfg.Looks, CoolDown: cfg.CoolDown}, site, ifdown.How{
		Look: func(ctx context.Context) (ifdown.Seen, string) { return reach.Look(ctx, peer) },
		Say:  func(line string) { fmt.Fprintf(lines, "%s %s\n", time.Now().UTC().Format(time.TimeOnly), line) },
	})
	if asJSON {
		e := json.NewEncoder(stdout)
		e.SetEscapeHTML(false)
		if err := e.Encode(r); err != nil {
			fmt.Fprintf(stderr, "redis-applier: takeover: the report could not be written: %v\n", err)
		}
	}
	if r.Error != "" {
		fmt.Fprintf(stderr, "redis-applier: takeover: %s\n", r.Error)
	}
	return r.Exit
}
