package command

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer"
)

// What a cutover and a takeover say, as text and as JSON: programs read the latter.
func TestResult(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	old, next := wal.Epoch{Minor: 3, Site: "dc"}, wal.Epoch{Minor: 4, Site: "dr"}
	model := &status.Model{
		Log: "redis-writes", Verdict: status.Verdict{State: converge.Converged},
		Sites: []status.State{{Site: "dc", Reached: true}, {Site: "dr", Reached: true, Epochs: []status.Group{
			{Partitions: []int32{0, 1, 2}, Epoch: old, Writer: "dc"}, {Partitions: []int32{3}, Epoch: old}, {Partitions: []int32{4}, Epoch: next, Writer: "dr"},
		}}},
		Cutover: []status.Cutover{{To: "dr", HalfWay: true}},
	}
	cutover, _ := cutoverPlan(model, "dc", "dr")
	done := &writer.Moved{
		From: "dc", To: "dr", Epochs: []wal.Epoch{next, next, next, next, next}, WithoutWriter: 0.4123, Replayed: true,
		Check: &converge.Report{Version: 1, Verdict: converge.Converged, Sentence: "converged: dr and dc agree on all 5 partitions of redis-writes"},
	}
	for i := range 22 {
		done.Fenced = append(done.Fenced, writer.Copy{
			Record: wal.Record{Partition: 3, Offset: int64(400 + i), Key: []byte("user:7"), Value: []byte("secret"), Timestamp: now.UnixMilli()}, Origin: "dc", Class: wal.ClassFenced,
		})
	}
	model.Sites[0].Reached = false
	model.Sites[1].Halted = []status.Halt{{Partition: 4, AttestedHalt: wal.AttestedHalt{Reason: "gap"}}}
	takeover := takeoverPlan(model, []writer.Risk{
		{Partition: 0, Known: true, Epoch: old, Attested: 4117, Here: 4102, LastHeard: now.Add(-48 * time.Second).UnixMilli()},
		{Partition: 1, Known: true, Epoch: old, Attested: 90, Here: 90, LastHeard: now.Add(-51 * time.Second).UnixMilli()},
		{Partition: 2},
	}, "dc", "dr", now)
	for name, tt := range map[string]struct {
		title string
		plan  *plan
		done  *writer.Moved
		code  int
		err   error
	}{
		"cutover":          {"cutover", cutover, done, 0, nil},
		"cutover half-way": {"cutover", cutover, &writer.Moved{From: "dc", To: "dr"}, 3, errors.New("append an activate at dr: not enough replicas; nobody writes in some partitions: run it again")},
		"takeover":         {"takeover", takeover, &writer.Moved{From: "dc", To: "dr", Epochs: []wal.Epoch{next}, Fenced: done.Fenced[:1]}, 0, nil},
		"takeover refused": {"takeover", takeover, nil, 1, errors.New("not done: nothing was written")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			p := &program{Env: Env{Stdout: &out}}
			out.WriteString(tt.plan.text(tt.title))
			if err := p.finish(tt.plan, tt.done, tt.code, tt.err); (err == nil) != (tt.code == 0) {
				t.Errorf("got %v for exit code %d", err, tt.code)
			}
			golden.Compare(t, "testdata/golden/"+name+".txt", out.String())
			out.Reset()
			p.json = true
			_ = p.finish(tt.plan, tt.done, tt.code, tt.err) // as above
			if bytes.Contains(out.Bytes(), []byte("secret")) {
				t.Error("the value of a record is shown")
			}
			golden.Compare(t, "testdata/golden/"+name+".json", out.String())
		})
	}
}

// The exit code of a cutover is what a script goes by.
func TestCutoverExit(t *testing.T) {
	t.Parallel()
	checked := func(exit int) *writer.Moved { return &writer.Moved{Check: &converge.Report{Exit: exit}} }
	for name, tt := range map[string]struct {
		done  *writer.Moved
		err   error
		begun bool
		want  int
	}{
		"done and converged":        {checked(0), nil, true, 0},
		"done and diverged":         {checked(1), nil, true, 1},
		"done, and nobody can tell": {checked(2), nil, true, 2},
		"refused":                   {checked(0), &writer.RefusedError{Why: "lag"}, false, 1},
		"stopped before it began":   {&writer.Moved{}, &writer.StopError{}, false, 1},
		"stopped half-way":          {&writer.Moved{}, &writer.StopError{}, true, 3},
		"interrupted":               {&writer.Moved{}, errors.New("interrupted"), true, 3},
		"never begun":               {&writer.Moved{}, errors.New("no attestation"), false, 2},
	} {
		if got := cutoverExit(tt.done, tt.err, tt.begun); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}
