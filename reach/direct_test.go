package reach_test

import (
	"testing"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/reachtest"
)

func direct(t *testing.T, lookup config.Lookup) *reach.Direct {
	t.Helper()
	cfg, err := config.ReadRun(lookup)
	if err != nil {
		t.Fatal(err)
	}
	d, err := reach.NewDirect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDirect(t *testing.T) {
	t.Parallel()
	reachtest.Run(t, func(t *testing.T, lookup config.Lookup) reach.Site { return direct(t, lookup) })
}
