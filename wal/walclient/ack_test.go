package walclient_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

// script answers HMGET with one answer after the other; the last one stays.
type script struct {
	answers []any // []any or error
	asked   int
	key     string
	last    func() // called with the last answer
}

func (s *script) HMGet(_ context.Context, key string, _ ...string) *redis.SliceCmd {
	s.key = key
	i := min(s.asked, len(s.answers)-1)
	s.asked++
	if i == len(s.answers)-1 && s.last != nil {
		s.last()
	}
	if err, ok := s.answers[i].(error); ok {
		return redis.NewSliceResult(nil, err)
	}
	return redis.NewSliceResult(s.answers[i].([]any), nil)
}

func TestWaitApplied(t *testing.T) {
	t.Parallel()
	id, other := wal.TopicID{1}, wal.TopicID{2}
	at := func(next string) []any { return []any{next, id.String()} }
	tests := []struct {
		name    string
		answers []any
		asked   int    // how often Redis must have been asked
		want    string // in the error; empty = applied
	}{
		{"applied before", []any{at("8")}, 1, ""},
		{"next is the record itself: not applied", []any{at("7"), at("7"), at("8")}, 3, ""},
		{"no checkpoint yet", []any{[]any{nil, nil}, at("9")}, 2, ""},
		{"Redis is away for a while", []any{errors.New("dial: refused"), errors.New("LOADING"), at("100")}, 3, ""},
		{"a recreated topic is not waited for", []any{[]any{"100", other.String()}}, 1, "created anew"},
		{"a denial is not waited for", []any{errors.New("NOPERM this user")}, 1, "NOPERM"},
		{"the wait ends with the context", []any{errors.New("dial: refused")}, 1, "Redis said: dial: refused"},
		{"a checkpoint that cannot be read", []any{at("x")}, 1, `next="x"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			rdb := &script{answers: tt.answers}
			switch tt.name {
			case "the wait ends with the context", "a checkpoint that cannot be read":
				rdb.last = func() {
					if rdb.asked > 2 {
						cancel()
					}
				}
			}
			err := walclient.Ack{Log: "l", TopicID: id, Partition: 3, Offset: 7}.WaitApplied(ctx, rdb)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want applied", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
			if rdb.asked < tt.asked {
				t.Errorf("asked %d times, want at least %d", rdb.asked, tt.asked)
			}
			if got, want := rdb.key, wal.CheckpointKey("l", 3); got != want {
				t.Errorf("asked for %s, want %s", got, want)
			}
		})
	}
}

// An ack without a topic id, from a Kafka that does not tell, trusts the offset alone.
func TestWaitAppliedWithoutTopicID(t *testing.T) {
	t.Parallel()
	rdb := &script{answers: []any{[]any{"8", wal.TopicID{1}.String()}}}
	if err := (walclient.Ack{Log: "l", Offset: 7}).WaitApplied(t.Context(), rdb); err != nil {
		t.Error(err)
	}
}
