package main

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// The checks of both sites make the first writer of a new log together, and those of a later deployment leave it where it is.
func TestCheckMakesTheFirstWriter(t *testing.T) {
	p := newPair(t)
	check := func(h *half, first string) (string, int) {
		env := map[string]string{
			"APPLIER_SITE": h.name, "APPLIER_PEER": h.peer, "APPLIER_PARTITIONS": strconv.Itoa(pairPartitions), "APPLIER_SIGNING_KEY_FILE": h.keyFile,
			"APPLIER_KAFKA_BROKERS": strings.Join(h.kafka.Cluster.ListenAddrs(), ","), "APPLIER_CHECK_FIRST_WRITER": first,
		}
		var text bytes.Buffer
		code := run(t.Context(), []string{"check"}, func(name string) (string, bool) { v, ok := env[name]; return v, ok }, strings.NewReader(""), &text, io.Discard)
		return text.String(), code
	}
	p.same(2)                               // the appliers are at work
	for _, h := range []*half{p.dc, p.dr} { // and have heard of each other: else dc would take dr for a site that is not there yet, and not wait for it
		if text, code := check(h, ""); code != 0 {
			t.Fatalf("the check of %s ended with %d:\n%s", h.name, code, text)
		}
	}
	for _, named := range []string{"dc", "dr"} {
		var both sync.WaitGroup
		for _, h := range []*half{p.dc, p.dr} {
			both.Go(func() {
				text, code := check(h, named)
				if code != 0 {
					t.Errorf("the check of %s ended with %d:\n%s", h.name, code, text)
				}
				if said := strings.Contains(text, "the log is new"); said != (named == "dc") {
					t.Errorf("the check of %s says\n%s", h.name, text)
				}
			})
		}
		both.Wait()
	}
	for part := range int32(pairPartitions) {
		p.both("0.1.dc", "HGET", wal.CheckpointKey("redis-writes", part), "epoch")
	}
}
