package plan

import (
	"errors"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/wal"
)

var (
	testSites = wal.Sites{Self: "dc", Peer: "dr"}
	testID    = wal.TopicID{1}
)

func testRules() Rules {
	signer, err := wal.NewSigner("redis-writes", []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		panic(err)
	}
	return Rules{Sites: testSites, Log: "redis-writes", Partitions: 2, Signer: signer, MaxRecords: 1000, MaxBytes: 1 << 20}
}

func fieldMap(fields []wal.Field) map[string]string {
	m := map[string]string{}
	for _, f := range fields {
		m[f.Name] = f.Value
	}
	return m
}

// "Never guess": each way in which log and Redis cannot be joined halts with its own reason and remedy.
func TestJoin(t *testing.T) {
	t.Parallel()
	whole := func(change func(*Log)) Log {
		l := Log{TopicID: testID, Partitions: 2, Start: []int64{0, 0}, End: []int64{10, 10}}
		if change != nil {
			change(&l)
		}
		return l
	}
	stored := func(next int64, change func(*Stored)) Stored {
		cp := wal.Checkpoint{Position: wal.Position{TopicID: testID, Next: next}}
		s := Stored{Meta: fieldMap(wal.Meta{TopicID: testID, Partitions: 2}.Fields()), Checkpoint: fieldMap(cp.Fields(testSites)), Keys: 3}
		if change != nil {
			change(&s)
		}
		return s
	}
	tests := []struct {
		name   string
		stored Stored
		log    Log
		want   string // reason; empty = joined
		remedy string
	}{
		{"in the middle", stored(5, nil), whole(nil), "", ""},
		{"at the log's first record", stored(3, nil), whole(func(l *Log) { l.Start[0] = 3 }), "", ""},
		{"at the end", stored(10, nil), whole(nil), "", ""},
		{"retention passed everything that was applied", stored(10, nil), whole(func(l *Log) { l.Start[0] = 10 }), "", ""},
		{"a record was deleted before it was applied", stored(5, nil), whole(func(l *Log) { l.Start[0] = 6 }), HaltGap, "walctl bootstrap"},
		{"the log ends before the position", stored(11, nil), whole(nil), HaltBeyondEnd, "rebuild"},
		{"another topic", stored(5, nil), whole(func(l *Log) { l.TopicID = wal.TopicID{2} }), HaltTopicID, "walctl bootstrap"},
		{"a checkpoint of another topic", stored(5, func(s *Stored) { s.Checkpoint["topic-id"] = wal.TopicID{2}.String() }), whole(nil), HaltTopicID, "walctl bootstrap"},
		{"another partition count than configured", stored(5, nil), whole(func(l *Log) { l.Partitions = 3 }), HaltPartitions, "new log"},
		{"another partition count than applied", stored(5, func(s *Stored) { s.Meta["partitions"] = "4" }), whole(nil), HaltPartitions, "new log"},
		{"data without a checkpoint", Stored{Keys: 1}, whole(nil), HaltNotEmpty, "walctl adopt"},
		{"empty, and the log was cut", Stored{}, whole(func(l *Log) { l.Start[0] = 1 }), HaltLogStart, "walctl bootstrap"},
		{"the checkpoint was deleted", stored(5, func(s *Stored) { s.Checkpoint = nil }), whole(nil), HaltCheckpoint, "empty this Redis"},
		{"no checkpoint, and the log was cut before this Redis began", stored(5, func(s *Stored) { s.Checkpoint = nil }), whole(func(l *Log) { l.Start[0] = 1 }), HaltLogStart, "walctl bootstrap"},
		{"it is being filled from the peer", Stored{Keys: 100, Bootstrap: "since noon"}, whole(func(l *Log) { l.Start[0] = 1 }), HaltBootstrap, "walctl bootstrap"},
		{"it is being filled, and holds no data yet", Stored{Keys: 1, Bootstrap: "since noon"}, whole(nil), HaltBootstrap, "walctl bootstrap"},
		{"it was filled, and the log no longer begins at its beginning", stored(7, func(s *Stored) { s.Checkpoint["n.skip.dr"] = "9" }), whole(func(l *Log) { l.Start[0] = 6 }), "", ""},
		{"the meta was deleted", stored(5, func(s *Stored) { s.Meta = nil }), whole(nil), HaltCheckpoint, "restore the key"},
		{"a format of a later version", stored(5, func(s *Stored) { s.Meta["format"] = "2" }), whole(nil), HaltCheckpoint, "version"},
		{"a field is missing", stored(5, func(s *Stored) { delete(s.Checkpoint, "h.dr") }), whole(nil), HaltCheckpoint, "restore"},
		{"a field does not parse", stored(5, func(s *Stored) { s.Checkpoint["next"] = "five" }), whole(nil), HaltCheckpoint, "restore"},
		{"the site was renamed", stored(5, func(s *Stored) { s.Checkpoint["n.fra"] = "1" }), whole(nil), HaltCheckpoint, "restore"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Join(testRules(), 0, tt.stored, tt.log)
			var halt *wal.HaltError
			switch {
			case tt.want == "" && err != nil:
				t.Fatalf("got %v, want no error", err)
			case tt.want == "":
			case !errors.As(err, &halt) || halt.Reason != tt.want:
				t.Fatalf("got %v, want a halt for %q", err, tt.want)
			case !strings.Contains(halt.Remedy, tt.remedy):
				t.Errorf("got remedy %q, want it to mention %q", halt.Remedy, tt.remedy)
			}
		})
	}
}

func TestJoinCreates(t *testing.T) {
	t.Parallel()
	j, err := Join(testRules(), 0, Stored{}, Log{TopicID: testID, Partitions: 2, Start: []int64{0, 7}, End: []int64{3, 9}})
	if err != nil || j.Create == nil {
		t.Fatalf("got %+v, %v, want a creation", j, err)
	}
	if len(j.Create.Checkpoints) != 1 || j.Create.Checkpoints[0].TopicID != testID {
		t.Errorf("got %+v, want the checkpoint of partition 0 alone: partition 1 was cut", j.Create.Checkpoints)
	}
}
