package wal

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What was copied is read back as it was, whatever headers it had: also those of a copy.
func TestCopyRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		maybe := rapid.Custom(func(t *rapid.T) []byte {
			if rapid.Bool().Draw(t, "null") {
				return nil
			}
			return rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes")
		})
		header := rapid.Custom(func(t *rapid.T) Header {
			name := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
				HeaderCopySite, HeaderCopyTopic, HeaderCopyTopicID, HeaderCopyPartition, HeaderCopyOffset, HeaderCopyOrigin, HeaderCopyClass, HeaderCopyReason,
				HeaderCopyDetail, HeaderCopyEnd, HeaderCopyNoValue, HeaderCopyNoKey, HeaderCopyNoHeaders, HeaderLevel, HeaderLocal,
			})).Draw(t, "name")
			return Header{name, maybe.Draw(t, "value")}
		})
		r := Record{
			Partition: rapid.Int32Min(0).Draw(t, "partition"), Offset: rapid.Int64Min(0).Draw(t, "offset"), Timestamp: rapid.Int64().Draw(t, "timestamp"),
			Key: maybe.Draw(t, "key"), Value: maybe.Draw(t, "value"), Headers: rapid.SliceOfN(header, 0, 5).Draw(t, "headers"),
		}
		if len(r.Headers) == 0 {
			r.Headers = nil
		}
		var id TopicID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		want := Copy{
			Record: r, Topic: "redis-writes", TopicID: id, Site: rapid.String().Draw(t, "site"), Origin: rapid.String().Draw(t, "origin"),
			Class:  rapid.SampledFrom([]Class{ClassPoison, ClassRefused, ClassLate, ClassFenced}).Draw(t, "class"),
			Reason: rapid.String().Draw(t, "reason"), Detail: rapid.String().Draw(t, "detail"),
		}
		listed := r.Copy(want.Site, want.Topic, id, want.Origin, want.Class, want.Reason, want.Detail)
		listed.Partition, listed.Offset, listed.LeaderEpoch, listed.Transactional = 7, 8, 9, true // where it lies in the list
		got, err := ParseCopy(&listed)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v, %v\nwant %+v", got, err, want)
		}
		if !reflect.DeepEqual(got.ID(), CopyID{id, r.Partition, r.Offset, want.Class}) {
			t.Fatalf("got the id %+v", got.ID())
		}
	})
}

func TestCopyOfUnconfirmed(t *testing.T) {
	t.Parallel()
	listed := Unconfirmed("dc", "redis-writes", TopicID{1}, 3, 10, 25, 99)
	got, err := ParseCopy(&listed)
	if err != nil || got.Class != ClassUnconfirmed || got.Partition != 3 || got.Offset != 10 || got.End != 25 || got.Key != nil || got.Value != nil || got.Headers != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What was too large is missing, and said to be; what the record itself said to be missing is its own affair.
func TestCopyWithout(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("x"), MaxCopy)
	own := Header{HeaderCopyNoKey, []byte("5")}
	for _, tt := range []struct {
		name string
		r    Record
		want string
	}{
		{"nothing", Record{Key: []byte("k"), Value: []byte("v"), Headers: []Header{own}}, ""},
		{"the value", Record{Key: []byte("k"), Value: large, Headers: []Header{own}}, "value"},
		{"the key", Record{Key: large, Value: []byte("v"), Headers: []Header{own}}, "value, key"},
		{"the headers", Record{Key: []byte("k"), Value: []byte("v"), Headers: []Header{own, {"h", large}}}, "value, key, headers"},
	} {
		listed := tt.r.Copy("dc", "redis-writes", TopicID{1}, "dr", ClassPoison, "too-large", "")
		got, err := ParseCopy(&listed)
		if err != nil || got.Without != tt.want {
			t.Errorf("%s: got without %q, %v; want %q", tt.name, got.Without, err, tt.want)
		}
	}
}

func TestNotACopy(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(h []Header) []Header{
		HeaderCopySite:      func([]Header) []Header { return nil },
		HeaderCopyDetail:    func(h []Header) []Header { return h[:len(h)-1] },
		HeaderCopyTopicID:   func(h []Header) []Header { h[2].Value = []byte("no"); return h },
		HeaderCopyPartition: func(h []Header) []Header { h[3].Value = []byte("2147483648"); return h },
		HeaderCopyOffset:    func(h []Header) []Header { h[4].Value = []byte("-1"); return h },
		HeaderCopyEnd:       func(h []Header) []Header { h[6].Value = []byte(ClassUnconfirmed); return h },
		HeaderCopyNoValue:   func(h []Header) []Header { return append(h, Header{HeaderCopyNoValue, []byte("much")}) },
	} {
		r := Record{Key: []byte("k")}
		listed := r.Copy("dc", "redis-writes", TopicID{1}, "dr", ClassPoison, "reason", "detail")
		listed.Headers = change(listed.Headers)
		if _, err := ParseCopy(&listed); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want it to name %s", err, name)
		}
	}
}
