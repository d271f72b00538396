package wal_test

import (
	"bytes"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

// What nobody with the key has signed is nobody's observation: else whoever may write attestations could call a site dead.
func TestObservationIsSigned(t *testing.T) {
	t.Parallel()
	signer := func(key byte) *wal.Signer {
		s, err := wal.NewSigner("redis-writes", bytes.Repeat([]byte{key}, wal.MinSigningKey))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	in := wal.Observation{Place: "office", Site: "dc", Silent: true, Looks: 5, Since: 1000, Until: 61000, Why: "refused"}
	value, headers, err := signer('a').SignObservation(in)
	if err != nil {
		t.Fatal(err)
	}
	var signature []byte
	for _, h := range headers {
		switch h.Key {
		case wal.HeaderSignature:
			signature = h.Value
		case wal.HeaderLocal:
			t.Error("the mirror would carry it to the other site")
		}
	}
	in.Version = wal.ObservationVersion
	if got, err := signer('a').OpenObservation(value, signature); err != nil || got != in {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := signer('b').OpenObservation(value, signature); err == nil {
		t.Error("the signature of another key is taken")
	}
	if _, err := signer('a').OpenObservation(bytes.Replace(value, []byte("office"), []byte("dr-dc1"), 1), signature); err == nil {
		t.Error("a changed one is taken")
	}
	if _, _, err := signer('a').SignObservation(wal.Observation{Site: "dc"}); err == nil {
		t.Error("one from nowhere is signed")
	}
}
