package wal

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMarkRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := CopyMark{
			CopyID: CopyID{
				Partition: rapid.Int32Min(0).Draw(t, "partition"), Offset: rapid.Int64Min(0).Draw(t, "offset"),
				Class: rapid.SampledFrom([]Class{ClassPoison, ClassRefused, ClassUnconfirmed, ClassLate, ClassFenced}).Draw(t, "of"),
			},
			As: rapid.SampledFrom([]Class{ClassReplayed, ClassDropped}).Draw(t, "as"),
			By: rapid.StringN(0, -1, MaxMarkText).Draw(t, "by"), Why: rapid.StringN(0, -1, MaxMarkText).Draw(t, "why"),
		}
		copy(want.TopicID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		r, err := want.Record("dc", "redis-writes", 7)
		if err != nil {
			t.Fatal(err)
		}
		if r.Key != nil || r.Value != nil || r.Partition != want.Partition || r.Timestamp != 7 || !r.IsMark() {
			t.Fatalf("got %+v", r)
		}
		r.Offset, r.LeaderEpoch = 99, 3 // where it lies in the list
		if got, err := ParseMark(&r); err != nil || got != want {
			t.Fatalf("got  %+v, %v\nwant %+v", got, err, want)
		}
	})
}

// A copy is no mark, whatever headers its record had.
func TestMarksAndCopiesAreToldApart(t *testing.T) {
	t.Parallel()
	good := CopyMark{CopyID: CopyID{TopicID{1}, 0, 5, ClassFenced}, As: ClassReplayed, By: "walctl", Why: strings.Repeat("ü", MaxMarkText)}
	mark, err := good.Record("dc", "redis-writes", 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseMark(&mark); err != nil || len(got.Why) != MaxMarkText {
		t.Errorf("got a text of %d bytes, %v", len(got.Why), err)
	}
	listed := mark.Copy("dr", "redis-writes", TopicID{2}, "dc", ClassPoison, "reason", "detail") // somebody appended it to the log
	if listed.IsMark() {
		t.Error("the copy of a mark is taken for one")
	}
	if m, err := ParseMark(&listed); err == nil {
		t.Errorf("got %+v", m)
	}
	if (&Record{Headers: []Header{{"h", nil}}}).IsMark() {
		t.Error("a record that no applier wrote is taken for a mark")
	}
	for name, m := range map[string]CopyMark{
		"it says":        {CopyID: good.CopyID, As: ClassFenced},
		"of class":       {CopyID: CopyID{TopicID{1}, 0, 5, ClassDropped}, As: ClassDropped},
		"of partition -": {CopyID: CopyID{TopicID{1}, -1, 5, ClassFenced}, As: ClassDropped},
	} {
		if _, err := m.Record("dc", "redis-writes", 1); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
	without := mark
	without.Headers = mark.Headers[:len(mark.Headers)-1]
	if m, err := ParseMark(&without); err == nil {
		t.Errorf("a mark of no class: got %+v", m)
	}
}
