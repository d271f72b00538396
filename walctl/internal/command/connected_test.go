package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
	"github.com/comptech-lab/redis-wal/walctl/internal/describe"
	"github.com/comptech-lab/redis-wal/walctl/internal/redisline"
	"github.com/comptech-lab/redis-wal/writer"
)

// roll is a site that has nothing but a log.
type roll struct {
	shelf
	start   []int64
	records [][]wal.Record // by partition
	read    int            // how many were handed on
	before  func(partition int32, from int64) error
}

func (r *roll) Ends(context.Context) (writer.Ends, error) {
	e := writer.Ends{Start: append([]int64{}, r.start...)}
	for _, p := range r.records {
		e.End = append(e.End, int64(len(p)))
	}
	return e, nil
}

func (r *roll) Records(_ context.Context, partition int32, from, to int64, each func(wal.Record) error) error {
	if r.before != nil {
		if err := r.before(partition, from); err != nil {
			return err
		}
	}
	if from < r.start[partition] {
		return errors.New("deleted by retention")
	}
	for _, rec := range r.records[partition][from:to] {
		r.read++
		if err := each(rec); err != nil {
			return err
		}
	}
	return nil
}

// rolled is a log of two partitions: n records in the first, a second apart, and half as many in the other.
func rolled(n int) *roll {
	r := &roll{start: []int64{0, 0}, records: make([][]wal.Record, 2)}
	for i := range n {
		for p := range 2 {
			if p == 1 && i%2 == 1 {
				continue
			}
			key := fmt.Sprintf("key-%d", i%7)
			r.records[p] = append(r.records[p], wal.Record{
				Partition: int32(p), Offset: int64(len(r.records[p])), Timestamp: at(i), Key: []byte(key), Value: resp("INCR", key), Headers: append(headers(fmt.Sprint(i+1)), wal.Header{Key: wal.HeaderLocal}),
			})
		}
	}
	return r
}

func tailed(t *testing.T, at Site, n int, change func(*tailing)) (out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	w := &tailing{program: &program{Env: Env{Stdout: &stdout, Stderr: &stderr}}, f: filter{partition: -1}, n: n, sites: wal.Sites{Self: "dr", Peer: "dc"}}
	if change != nil {
		change(w)
	}
	ends, err := at.Ends(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.last(t.Context(), at, ends, []int32{0, 1}); err != nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String()
}

// The last records of all partitions, by time; of a long log no more is read than is needed.
func TestTailLast(t *testing.T) {
	t.Parallel()
	r := rolled(1000)
	out, _ := tailed(t, r, 6, nil)
	golden.Compare(t, "testdata/golden/tail.txt", out)
	if r.read > 200 {
		t.Errorf("%d records were read to show 6", r.read)
	}
	out, _ = tailed(t, r, 2, func(w *tailing) { w.json = true })
	golden.Compare(t, "testdata/golden/tail.jsonl", out)

	// One that is rare is found far back, and since bounds how far is looked.
	rare := rolled(1000)
	rare.records[0][3].Value = resp("INCR", "rare")
	out, _ = tailed(t, rare, 6, func(w *tailing) { w.f.producer, w.f.from = "nobody", at(990) })
	if out != "" || rare.read > 600 {
		t.Errorf("%d records were read to look at the last 10 s: %s", rare.read, out)
	}
	out, errs := tailed(t, rare, 6, func(w *tailing) { w.f.producer, w.back = "nobody", 100 })
	if out != "" || !strings.Contains(errs, "only the last 100 offsets were searched in partitions 0-1") {
		t.Errorf("got %q, %q", out, errs)
	}
}

// Retention deletes the beginning while it is read: that is said, and what is left is shown.
func TestTailWhileRetentionDeletes(t *testing.T) {
	t.Parallel()
	r := rolled(300)
	r.before = func(partition int32, from int64) error {
		if partition == 0 && from < 240 {
			r.start[0] = 240
		}
		return nil
	}
	out, errs := tailed(t, r, 500, nil)
	if !strings.Contains(errs, "partition 0: its beginning was deleted by retention while it was read") || strings.Count(out, "\n") != 60+150 {
		t.Errorf("got %d lines, %q", strings.Count(out, "\n"), errs)
	}
	r = rolled(300)
	r.before = func(int32, int64) error { return errors.New("no answer") }
	w := &tailing{program: &program{}, f: filter{partition: -1}, n: 5, sites: wal.Sites{Self: "dr", Peer: "dc"}}
	ends, _ := r.Ends(t.Context())
	if err := w.last(t.Context(), r, ends, []int32{0, 1}); err == nil || err.Error() != "no answer" {
		t.Errorf("got %v, want what was wrong", err)
	}
}

// Two records of one partition stay in the order of the log, whatever their clocks say.
func TestMerged(t *testing.T) {
	t.Parallel()
	line := func(p int32, offset, ms int64) logLine { return logLine{Place: place{p, offset}, Time: ms} }
	got, more := merged([]newest{
		{lines: []logLine{line(0, 1, 10), line(0, 2, 5), line(0, 3, 30)}}, {lines: []logLine{line(1, 1, 7), line(1, 2, 20)}}, {},
	}, 4)
	var places []string
	for _, l := range got {
		places = append(places, l.Place.String())
	}
	if text := strings.Join(places, " "); text != "0/2 1/1 1/2 0/3" || !more { // by the clock alone 0/2 would come first of all, and be left out
		t.Errorf("got %s, %v", text, more)
	}
	if got, more := merged([]newest{{lines: []logLine{line(0, 1, 1)}}}, 4); len(got) != 1 || more {
		t.Errorf("got %+v, %v", got, more)
	}
}

// What the verbs say, as text and as JSON: programs read the latter.
func TestConnectText(t *testing.T) {
	t.Parallel()
	both := func(name string, v any, text string) {
		golden.Compare(t, "testdata/golden/"+name+".txt", text)
		var out bytes.Buffer
		p := &program{Env: Env{Stdout: &out}}
		if err := p.write(v); err != nil {
			t.Fatal(err)
		}
		golden.Compare(t, "testdata/golden/"+name+".json", out.String())
	}
	yes := true
	record := wal.Record{
		Partition: wal.Partition([]byte("user:7"), 4), Offset: 7, Timestamp: at(1), Key: []byte("user:7"), Headers: append(headers("17"), wal.Header{Key: wal.HeaderLocal, Value: []byte("1")}),
		Value: wal.Op{Commands: [][][]byte{{[]byte("SET"), []byte("user:7"), []byte("two words"), []byte("EX"), []byte("60")}, {[]byte("DEL"), []byte("{user:7}:old")}}}.AppendRESP(nil),
	}
	rules := describe.Rules{Partitions: 4}
	e := &explained{
		Version: 1, Log: "redis-writes", Site: "dr", Place: &place{record.Partition, 7}, Origin: "dr", Explanation: rules.Explain(&record), Headers: headersOf(&record),
		Became: []became{{"dr", &yes, "decided: the checkpoint stands at 9, and it is in no list: it was executed, unless it repeats one that was"}, {"dc", nil, "not known: no answer within 30s"}},
	}
	both("explain", e, e.text())
	record.Value = wal.Op{Commands: [][][]byte{{[]byte("INCR"), []byte("user:7")}, {[]byte("SPOP"), []byte("user:7")}}}.AppendRESP(nil)
	e = &explained{Version: 1, Explanation: rules.Explain(&record), Headers: headersOf(&record), Became: []became{}, Exit: 1}
	both("explain poison", e, e.text())

	var out, errs bytes.Buffer
	w := &producing{program: &program{Env: Env{Stdout: &out, Stderr: &errs}}}
	w.out = produced{
		Version: 1, Log: "redis-writes", Site: "dr", Op: e.Explanation, Producer: "walctl-X", Seq: 1, Place: &place{3, 7}, Time: at(1), Became: []became{{"dr", &yes, "decided"}, {"dc", nil, "not known: not within 10s"}},
	}
	if err := w.finish(&exitError{exitUnknown, errors.New("it is appended")}); err == nil {
		t.Error("it ended well")
	}
	both("produce", w.out, out.String())

	answer := reach.Answer{Kind: reach.KindArray, Items: []reach.Answer{{Kind: reach.KindString, Text: []byte("\xff")}, {Kind: reach.KindInt, Int: 3}, {Kind: reach.KindNil}, {Kind: reach.KindArray}}}
	both("cli", answered{Version: 1, Site: "dr", Primary: "10.0.0.5:6379", Kind: string(answer.Kind), Answer: plain(&answer)}, redisline.Format(&answer))

	a := &addressing{program: w.program, user: "reader"}
	address := address{Version: 1, Site: "dr", URL: "redis://reader@10.0.0.5:6379/0", Primary: "10.0.0.5:6379", Sentinels: []string{"rfs-redis:26379"}, Master: "mymaster", User: "reader", Inside: true}
	address.Notes = a.notes(&address, contexts.Site{Exec: strings.Fields("kubectl --context dr -n redis exec -i deploy/redis-applier -- redis-applier ctl")})
	both("url", address, strings.Join(address.Notes, "\n")+"\n")
}

// An op as JSON is read as what it was.
func TestAsJSON(t *testing.T) {
	t.Parallel()
	for _, op := range []wal.Op{
		{Commands: [][][]byte{{[]byte("SET"), []byte("k"), []byte("\xff<\n")}}},
		{Commands: [][][]byte{{[]byte("INCR"), []byte("k")}, {[]byte("SET"), []byte("k"), {}}}},
	} {
		value, err := asJSON(op)
		if err != nil || !json.Valid(value) {
			t.Fatalf("got %s, %v", value, err)
		}
		got, err := wal.DecodeOp(value, wal.ContentTypeJSON)
		if err != nil || string(got.AppendRESP(nil)) != string(op.AppendRESP(nil)) {
			t.Errorf("got %s, %v", value, err)
		}
	}
}

func TestKubectl(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"kubectl --context dr -n redis exec -i deploy/x -- redis-applier ctl": "kubectl --context dr -n redis",
		"/usr/bin/kubectl exec x ctl":                                         "/usr/bin/kubectl",
		"ssh bastion kubectl exec x":                                          "",
		"kubectl get":                                                         "",
	} {
		if got := strings.Join(kubectl(strings.Fields(line)), " "); got != want {
			t.Errorf("%s: got %q", line, got)
		}
	}
}
