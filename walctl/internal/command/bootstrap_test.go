package command

import (
	"bytes"
	"errors"
	"testing"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/refill"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
)

// What a person sees and what a program reads of a bootstrap.
func TestBootstrapShown(t *testing.T) {
	t.Parallel()
	state := func() *refill.State {
		return &refill.State{
			Log: "redis-writes", Partitions: 3, Target: "dr", Source: "dc", Held: snapshot.Held{Keys: 4124, Data: 4117}, Halted: []refill.Halt{}, Broken: []refill.Halt{},
			From: snapshot.Held{Keys: 9007, Data: 9000}, Primary: "10.0.0.1:6379", Replicas: 2, Bytes: 3 << 30, Untold: []int32{}, Refused: []string{},
		}
	}
	gap := state()
	for p, why := range []string{"the next record is 5, the log starts at 9", "the next record is 6, the log starts at 9", "the next record is 6, the log starts at 9"} {
		gap.Halted = append(gap.Halted, refill.Halt{Partition: int32(p), Reason: "gap", Error: why, Remedy: "fill this Redis from the peer: `walctl bootstrap`"})
	}
	gap.Broken = []refill.Halt{{Partition: 1, Error: "the next record is 6, and the log begins at 9"}}
	tail := state()
	tail.Unseen, tail.Untold, tail.Replicas = 7, []int32{2}, 0
	tail.Broken = []refill.Halt{{Partition: 1, Error: "the log was deleted and created again"}}
	halfWay := state()
	halfWay.Held = snapshot.Held{Keys: 501, Data: 500, Filling: "from dc, by walctl bootstrap, since 2026-11-21T12:00:00Z X"}
	done := &refill.Done{
		From: reach.Taken{Addr: "10.0.0.2:6379", Keys: 9007, Bytes: 3 << 30}, Carried: reach.Carried{Keys: 9011, Bytes: 2 << 30, Seconds: 12.5}, Snapshots: 2,
		Joined: reach.Joined{Next: []int64{5, 6, 7}, Skip: [][2]int64{{0, 9}, {0, 0}, {0, 0}}, Epoch: []string{"0.1.dc", "0.1.dc", "0.1.dc"}},
		Check:  &converge.Report{Version: 1, Verdict: converge.Converged, Sentence: "converged: dr and dc agree on all 3 partitions of redis-writes"},
	}
	for name, tt := range map[string]struct {
		state *refill.State
		flags bootstrapFlags
		done  *refill.Done
		code  int
		err   error
	}{
		"bootstrap":          {gap, bootstrapFlags{}, done, 0, nil},
		"bootstrap refused":  {tail, bootstrapFlags{}, nil, 1, &refill.RefusedError{Why: "dr has applied 7 of its own records"}},
		"bootstrap half-way": {halfWay, bootstrapFlags{}, &refill.Done{Snapshots: 1, Carried: reach.Carried{Keys: 40}}, 3, errors.New("after 40 keys: interrupt signal received")},
		"bootstrap insisted": {state(), bootstrapFlags{discardData: true}, done, 0, nil},
	} {
		var out bytes.Buffer
		p := &program{Env: Env{Stdout: &out}}
		out.WriteString(bootstrapText(tt.state, tt.flags))
		if err := p.filled(tt.state, tt.done, tt.code, tt.err); (err == nil) != (tt.code == 0) {
			t.Errorf("%s: got %v for exit code %d", name, err, tt.code)
		}
		if got := bootstrapExit(tt.done, tt.err); got != tt.code {
			t.Errorf("%s: exit code %d, want %d", name, got, tt.code)
		}
		golden.Compare(t, "testdata/golden/"+name+".txt", out.String())
		out.Reset()
		p.json = true
		_ = p.filled(tt.state, tt.done, tt.code, tt.err) // as above
		golden.Compare(t, "testdata/golden/"+name+".json", out.String())
	}
}
