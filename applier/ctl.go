package main

import (
	"context"
	"fmt"
	"io"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/reach"
)

// runCtl serves the site to whoever runs this command: package reach is at the other end.
func runCtl(ctx context.Context, lookup config.Lookup, stdin io.Reader, stdout, stderr io.Writer) int {
	cfg, err := config.ReadRun(lookup)
	if err != nil {
		return configProblem(stderr, err)
	}
	limitMemory(lookup) // it mostly runs beside an applier, in what its container is given
	sink.QuietClient()
	site, err := reach.NewDirect(cfg)
	if err != nil {
		return configProblem(stderr, err)
	}
	defer func() { _ = site.Close() }()
	if err := reach.Serve(ctx, site, stdin, stdout); err != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "redis-applier: ctl: %v\n", err)
		return exitRetry
	}
	return exitStopped
}
