package main

import (
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// What the environment leaves open is what walctl's flags leave open.
func TestTakeoverDefaults(t *testing.T) {
	t.Parallel()
	c := config.DefaultTakeover()
	if c.IfDown != ifdown.DefaultAfter || c.Looks != ifdown.DefaultLooks || c.CoolDown != ifdown.DefaultCoolDown || config.LeastLooks != ifdown.MinLooks {
		t.Errorf("got %+v", c)
	}
}

func TestTakeoverUsage(t *testing.T) {
	t.Parallel()
	var stdout, stderr strings.Builder
	none := func(string) (string, bool) { return "", false }
	if code := run(t.Context(), []string{"takeover"}, none, strings.NewReader(""), &stdout, &stderr); code != exitUsage || !strings.Contains(stderr.String(), "APPLIER_TAKEOVER_PEER_BROKERS: is not set") {
		t.Errorf("got %d: %s", code, stderr.String())
	}
	if code := run(t.Context(), []string{"takeover", "--yes"}, none, strings.NewReader(""), &stdout, &stderr); code != exitUsage {
		t.Errorf("got %d for an unknown flag", code)
	}
}
