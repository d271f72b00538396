package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// shelf is a site that has nothing but a list.
type shelf struct {
	Site
	copies []writer.Copy
}

func (shelf) Identity() writer.Identity {
	return writer.Identity{Sites: wal.Sites{Self: "dr", Peer: "dc"}, Log: "redis-writes", Partitions: 4}
}

func (s shelf) Copies(_ context.Context, _ writer.List, each func(writer.Copy) error) error {
	for _, c := range s.copies {
		if err := each(c); err != nil {
			return err
		}
	}
	return nil
}

func (shelf) Values(_ context.Context, keys [][]byte) ([]reach.Value, error) {
	var out []reach.Value
	for _, k := range keys {
		out = append(out, reach.Value{Key: k, Type: "string", Text: `"20"`, Size: 2})
	}
	return out, nil
}

func resp(words ...string) []byte {
	var c [][]byte
	for _, w := range words {
		c = append(c, []byte(w))
	}
	return wal.Op{Commands: [][][]byte{c}}.AppendRESP(nil)
}

// at is when the records of these tests were written.
func at(seconds int) int64 {
	return time.Date(2026, 11, 21, 20, 0, seconds, 0, time.UTC).UnixMilli()
}

func headers(seq string) []wal.Header {
	return []wal.Header{{Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderProducer, Value: []byte("orders/k3x")}, {Key: wal.HeaderSeq, Value: []byte(seq)}, {Key: "trace", Value: []byte("a b")}}
}

func examples() []writer.Copy {
	copied := func(partition int32, offset int64, class wal.Class, reason, detail string, value []byte) writer.Copy {
		key := []byte("user:7")
		for wal.Partition(key, 4) != partition {
			key = append(key, '0')
		}
		return writer.Copy{
			Record:  wal.Record{Partition: partition, Offset: offset, Timestamp: at(int(offset)), Key: key, Value: value, Headers: headers("17")},
			TopicID: wal.TopicID{0xab}, Site: "dr", Origin: "dc", Class: class, Reason: reason, Detail: detail,
		}
	}
	home := wal.Partition([]byte("user:7"), 4)
	out := []writer.Copy{
		copied(home, 1, wal.ClassPoison, "unknown-command", "FOO: there is no such command", resp("FOO", "user:7")),
		copied(home, 2, wal.ClassRefused, "WRONGTYPE", "Redis answered: WRONGTYPE", resp("RPUSH", "user:7", "two words", strings.Repeat("long ", 40))),
		copied(home, 3, wal.ClassLate, "below-window", "nobody knows", resp("INCR", "user:7")),
		copied(home, 4, wal.ClassFenced, "sealed", "the stream of dc is sealed in epoch 0.1.dc", nil),
		copied(home, 5, wal.ClassFenced, "sealed", "the stream of dc is sealed in epoch 0.1.dc", resp("SET", "user:7", "x")),
		{Record: wal.Record{Partition: home, Offset: 6, Timestamp: at(6)}, TopicID: wal.TopicID{0xab}, Site: "dr", Class: wal.ClassUnconfirmed, Reason: "unconfirmed", Detail: "compare its keys", End: 9},
	}
	out[4].Done = wal.ClassReplayed
	return out
}

// What the lists say, as text and as JSON: programs read the latter.
func TestListText(t *testing.T) {
	t.Parallel()
	s := shelf{copies: examples()}
	for name, f := range map[string]filter{"list": {partition: -1}, "list with done": {partition: -1, done: true, since: "1h", from: at(3)}, "list of nothing": {partition: -1, class: "none"}} {
		var out bytes.Buffer
		l, err := listingOf(t.Context(), s, writer.Fenced, &f, 4)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.write(&out); err != nil {
			t.Fatal(err)
		}
		golden.Compare(t, "testdata/golden/"+name+".txt", out.String())
		out.Reset()
		p := &program{Env: Env{Stdout: &out}}
		if err := p.write(l); err != nil {
			t.Fatal(err)
		}
		golden.Compare(t, "testdata/golden/"+name+".json", out.String())
	}
}

func TestShowText(t *testing.T) {
	t.Parallel()
	s := shelf{copies: examples()}
	p := &program{Env: Env{Patience: time.Minute}}
	var out bytes.Buffer
	var all []detail
	for i := range s.copies {
		list := writer.DLQ
		if s.copies[i].Class == wal.ClassFenced {
			list = writer.Fenced
		}
		d := p.detail(t.Context(), s, list, &s.copies[i])
		all = append(all, d)
		out.WriteString(d.text() + "\n")
	}
	golden.Compare(t, "testdata/golden/show.txt", out.String())
	out.Reset()
	p.Stdout = &out
	if err := p.write(all); err != nil {
		t.Fatal(err)
	}
	golden.Compare(t, "testdata/golden/show.json", out.String())
}

// What a replay, a drop and a failback say when they have ended.
func TestListResult(t *testing.T) {
	t.Parallel()
	r := listResult{Version: 1, Log: "redis-writes", Site: "dr", List: writer.DLQ, Meant: 3, Cannot: []cannot{{place{0, 1}, "it is poison"}}, Shown: []entry{}, Values: []reach.Value{}, Unknown: []place{{0, 3}}, Replayed: 2, Before: 1, Exit: 1}
	var out bytes.Buffer
	p := &program{Env: Env{Stdout: &out}}
	out.WriteString(r.text())
	_ = p.write(r)
	golden.Compare(t, "testdata/golden/replay.txt", out.String())

	key := []byte("user:7")
	x := &tail{
		Log: "redis-writes", Active: "dr", Other: "dc", Total: 2, limit: 1,
		Records: []tailRecord{
			{Site: "dc", Place: place{0, 412}, Epoch: wal.Epoch{Minor: 3, Site: "dc"}, Time: at(1), Producer: "orders/k3x", Seq: 17, Keys: []string{"user:7"}, Commands: []string{"SET user:7 x"}, line: "SET user:7 x"},
			{Site: "dc", Place: place{0, 413}, Epoch: wal.Epoch{Minor: 3, Site: "dc"}, Time: at(2), Keys: []string{"user:8"}, Commands: []string{"DEL user:8"}, line: "DEL user:8"},
		},
		Keys: []tailKey{{"user:7", 1, reach.Value{Key: key, Type: "none"}, reach.Value{Key: key, Type: "string", Text: `"x"`, Size: 1}}},
	}
	done := &writer.Settling{
		Active: "dr", Other: "dc", Ending: writer.ReplayTail, Tail: make([]writer.TailRecord, 2), Keys: [][]byte{key, []byte("user:8")}, Settled: []int32{0},
		Check: &converge.Report{Version: 1, Verdict: converge.Converged, Sentence: "converged: dr and dc agree"},
	}
	for name, tt := range map[string]struct {
		done *writer.Settling
		code int
		err  error
	}{"failback": {nil, 1, nil}, "failback done": {done, 0, nil}, "failback half-way": {&writer.Settling{Ending: writer.DropTail}, 3, errors.New("not enough replicas")}} {
		for _, asJSON := range []bool{false, true} {
			out.Reset()
			p := &program{Env: Env{Stdout: &out}, json: asJSON}
			if err := p.settled(x, tt.done, "tail.jsonl", tt.code, tt.err); (err == nil) != (tt.code == 0) {
				t.Errorf("%s: got %v", name, err)
			}
			golden.Compare(t, "testdata/golden/"+name+map[bool]string{true: ".json", false: ".txt"}[asJSON], out.String())
		}
	}
}

// What is dropped can be written anew from the file, byte by byte; an existing file is left alone.
func TestKeeper(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kept.jsonl")
	k, err := newKeeper(path)
	if err != nil {
		t.Fatal(err)
	}
	want := examples()
	want[1].Value = []byte{0xff, 0}
	for i := range want {
		if err := k.add(keptCopy(&want[i])); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(want) {
		t.Fatalf("got %d lines", len(lines))
	}
	for i, line := range lines {
		var got kept
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		c := &want[i]
		if !bytes.Equal(got.Key, c.Key) || !bytes.Equal(got.Value, c.Value) || (got.Value == nil) != (c.Value == nil) || got.Offset != c.Offset || got.TopicID != c.TopicID || len(got.Headers) != len(c.Headers) || got.Class != string(c.Class) {
			t.Errorf("got %+v", got)
		}
	}
	if _, err := newKeeper(path); err == nil || free(path) == nil || free(path+"2") != nil {
		t.Errorf("an existing file is written over: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
}

// The exit code of a failback is what a script goes by.
func TestFailbackExit(t *testing.T) {
	t.Parallel()
	checked := func(exit int) *writer.Settling { return &writer.Settling{Check: &converge.Report{Exit: exit}} }
	for name, tt := range map[string]struct {
		done  *writer.Settling
		err   error
		begun bool
		want  int
	}{
		"done and converged":      {checked(0), nil, true, 0},
		"done and diverged":       {checked(1), nil, true, 1},
		"stopped before it began": {&writer.Settling{}, &writer.StopError{}, false, 1},
		"interrupted":             {&writer.Settling{}, errors.New("interrupted"), true, 3},
		"never begun":             {&writer.Settling{}, errors.New("no attestation"), false, 2},
	} {
		if got := failbackExit(tt.done, tt.err, tt.begun); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}
