package refill

import (
	"context"
	"errors"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// What the target said before it was filled may arrive late. Only that it has decided the barriers that it was asked to shows that it goes on.
func TestGoOnIsToldByTheBarriersAskedFor(t *testing.T) {
	t.Parallel()
	h := &heard{
		changed: make(chan struct{}), source: "dc", marks: map[markOf][]wal.Attestation{}, fences: map[markOf][]wal.Attestation{},
		numbers: map[markOf]uint64{}, answers: map[string]bool{},
	}
	attest := func(site string, p int32, barrier string, halted *wal.AttestedHalt) {
		h.take(&wal.Attestation{Site: site, Partition: p, Barrier: wal.AttestedBarrier{Origin: "dr", ID: barrier, Number: 1}, Halted: halted})
	}
	over := errors.New("over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(over)
	asked := map[string]bool{"a": true, "b": true}
	attest("dr", 0, "of before", nil)
	attest("dr", 1, "of before", nil)
	attest("dc", 0, "a", nil) // the source has decided it
	attest("dr", 0, "a", &wal.AttestedHalt{Reason: "bootstrap"})
	if n, err := h.goOn(ctx, asked); n != 0 || !errors.Is(err, over) {
		t.Errorf("got %d, %v; want nothing, and to wait", n, err)
	}
	attest("dr", 0, "a", nil)
	if n, err := h.goOn(ctx, asked); n != 1 || !errors.Is(err, over) {
		t.Errorf("got %d, %v; want one of two, and to wait", n, err)
	}
	attest("dr", 1, "b", nil)
	if n, err := h.goOn(ctx, asked); n != 2 || err != nil {
		t.Errorf("got %d, %v; want both", n, err)
	}
}
