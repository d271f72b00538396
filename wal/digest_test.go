package wal_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

func TestDigestEntries(t *testing.T) {
	t.Parallel()
	want := []wal.Digest{
		{Key: []byte("orders:42"), Type: wal.DigestString, Sum: wal.Hash{1, 2}, ExpireAt: 4102444800123},
		{Key: []byte{0, 0xff}, Type: wal.DigestNone},
		{Key: []byte{}, Type: wal.DigestZset, Sum: wal.Hash{3}},
	}
	var b []byte
	for _, d := range want {
		b = wal.AppendDigest(b, d)
	}
	got, err := wal.ParseDigests(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	c := wal.Count{}.Add(wal.Hash{7})
	if got := wal.ParseSum(wal.AppendSum(nil, c)); got != c {
		t.Errorf("got %v, want %v", got, c)
	}
}

// Whatever stands there, it is read or refused.
func FuzzParseDigests(f *testing.F) {
	f.Add(wal.AppendDigest(nil, wal.Digest{Key: []byte("a"), Type: wal.DigestString, ExpireAt: 5}))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := wal.ParseDigests(b)
		if err != nil {
			return
		}
		var again []byte
		for _, d := range all {
			again = wal.AppendDigest(again, d)
		}
		back, err := wal.ParseDigests(again)
		if err != nil || !reflect.DeepEqual(back, all) {
			t.Errorf("%q: %v, then %v, %v", b, all, back, err)
		}
	})
}

// What is on the attest topic for a deep check is none of an attestation's readers' business, and nobody can make a control record of it.
func TestDigestMessages(t *testing.T) {
	t.Parallel()
	key := []byte(strings.Repeat("k", wal.MinSigningKey))
	signer, err := wal.NewSigner("redis-writes", key)
	if err != nil {
		t.Fatal(err)
	}
	request := wal.DigestRequest{Version: wal.DigestVersion, ID: "id", Step: 1, Rate: 1000, Buckets: &wal.DigestBuckets{Count: 16, Of: []uint32{3}}}
	value, headers, err := signer.SignDigest(wal.DigestAsk, request)
	if err != nil {
		t.Fatal(err)
	}
	var signature []byte
	for _, h := range headers {
		if h.Key == wal.HeaderSignature {
			signature = h.Value
		}
	}
	if got, err := signer.OpenDigestRequest(value, signature); err != nil || !reflect.DeepEqual(got, request) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := signer.OpenDigestRequest(append([]byte(" "), value...), signature); err == nil {
		t.Error("a changed request is taken")
	}
	if _, err := signer.OpenDigestReply(value, signature); err == nil {
		t.Error("a request is taken for an answer")
	}
	if _, err := wal.ParseAttestation(value); err == nil {
		t.Error("a request is read as an attestation")
	}
	for p := range int32(3) {
		if string(signature) == signer.Sign(p, wal.ControlType("digest-request"), value) {
			t.Errorf("the signature holds for a control record of partition %d", p)
		}
	}
	if a, b := signer.DigestKey("one"), signer.DigestKey("other"); a == b || bytes.Equal(a[:], make([]byte, 32)) {
		t.Error("two checks have one key")
	}
	for name, bad := range map[string]func(*wal.DigestRequest){
		"no question":     func(r *wal.DigestRequest) { r.Buckets = nil },
		"two questions":   func(r *wal.DigestRequest) { r.Size = true },
		"three buckets":   func(r *wal.DigestRequest) { r.Buckets = &wal.DigestBuckets{Count: 3} },
		"no rate":         func(r *wal.DigestRequest) { r.Rate = 0 },
		"another version": func(r *wal.DigestRequest) { r.Version++ },
	} {
		r := request
		bad(&r)
		value, _ := json.Marshal(r)
		sig := signer.Sign(-1, "digest-request", value)
		if _, err := signer.OpenDigestRequest(value, []byte(sig)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
