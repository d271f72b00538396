package reach_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/reachtest"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

func TestRemote(t *testing.T) {
	t.Parallel()
	reachtest.Run(t, func(t *testing.T, lookup config.Lookup) reach.Site {
		d := direct(t, lookup)
		r, s := dial(t, d)
		t.Cleanup(func() {
			_ = r.Close()
			<-s.ended
			if s.err != nil {
				t.Errorf("serve: %v", s.err)
			}
			_ = d.Close()
		})
		return r
	})
}

func dial(t *testing.T, site reach.Site) (*reach.Remote, *served) {
	t.Helper()
	s := serve(context.Background(), site)
	r, err := reach.Dial(s.stream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); <-s.ended })
	return r, s
}

var errEnough = errors.New("the test has seen enough")

// Whoever stops listening ends what runs at the other end.
func TestCancelReachesTheServer(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(cancel context.CancelFunc) error{
		"context": func(cancel context.CancelFunc) error { cancel(); return nil },
		"each":    func(context.CancelFunc) error { return errEnough },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			r, _ := dial(t, &fake{follow: func(ctx context.Context, each func(wal.Attestation) error) error {
				if err := each(wal.Attestation{Version: 1}); err != nil {
					t.Error(err)
				}
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return context.Cause(ctx)
			}})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := r.Follow(ctx, time.Time{}, func(wal.Attestation) error { return stop(cancel) }, func() {})
			if !errors.Is(err, context.Canceled) && !errors.Is(err, errEnough) {
				t.Errorf("got %v", err)
			}
			select {
			case err := <-ended:
				if !strings.Contains(err.Error(), "the client has cancelled") {
					t.Errorf("got %v at the server", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the server goes on")
			}
			if e, err := r.Ends(t.Context()); err != nil || e.End[0] != 7 {
				t.Errorf("got %+v, %v; the others go on", e, err)
			}
		})
	}
}

// Who takes its time holds up what it asked for, nothing else; and what waits for it is bounded.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	const all = 400
	large := strings.Repeat("x", 100<<10)
	var sent atomic.Int64
	r, _ := dial(t, &fake{follow: func(ctx context.Context, each func(wal.Attestation) error) error {
		for range all {
			if err := each(wal.Attestation{Version: 1, Redis: large}); err != nil {
				return err
			}
			sent.Add(1)
		}
		return nil
	}})
	n := 0
	err := r.Follow(t.Context(), time.Time{}, func(wal.Attestation) error {
		if n++; n > 1 {
			return nil
		}
		for range 1000 { // which takes longer than to send all
			if _, err := r.Ends(t.Context()); err != nil {
				return err
			}
		}
		if got := sent.Load(); got > 20 {
			t.Errorf("%d were sent while none was taken", got)
		}
		return nil
	}, func() {})
	if err != nil || n != all {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestServerThatDies(t *testing.T) {
	t.Parallel()
	follow := func(ctx context.Context, each func(wal.Attestation) error) error {
		return each(wal.Attestation{Version: 1})
	}
	_ = follow
	r, s := dial(t, &fake{follow: func(ctx context.Context, each func(wal.Attestation) error) error {
		if err := each(wal.Attestation{Version: 1}); err != nil {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}})
	err := r.Follow(t.Context(), time.Time{}, func(wal.Attestation) error { return s.server.Close() }, func() {})
	if err == nil || !strings.HasPrefix(err.Error(), "dr: ") || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("got %v, want an error that names the site", err)
	}
	if _, err := r.Ends(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "dr: ") {
		t.Errorf("got %v afterwards", err)
	}
	<-s.ended
}

// What was answered before the end is not lost by the end.
func TestServerThatAnswersAndEnds(t *testing.T) {
	t.Parallel()
	for range 50 {
		in, toServer := io.Pipe()
		fromServer, out := io.Pipe()
		go func() {
			fmt.Fprintf(out, hello+"\n", reach.Version)
			_, _ = bufio.NewReader(in).ReadString('\n')
			fmt.Fprint(out, `{"id":1,"done":true,"result":[3]}`+"\n")
			_, _ = out.Close(), in.Close()
		}()
		r, err := reach.Dial(&pipe{fromServer, toServer, toServer.Close})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Append(t.Context(), nil); err != nil || got[0] != 3 {
			t.Fatalf("got %v, %v", got, err)
		}
		if _, err := r.Append(t.Context(), nil); err == nil || !strings.HasPrefix(err.Error(), "dr: ") {
			t.Fatalf("got %v after the end", err)
		}
		_ = r.Close()
	}
}

// When the input ends, what runs is cancelled and awaited.
func TestServeEndsWithItsInput(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	var s *served
	site := &fake{follow: func(ctx context.Context, _ func(wal.Attestation) error) error {
		close(began)
		<-ctx.Done()
		select {
		case <-s.ended:
			t.Error("Serve has returned before what it runs")
		case <-time.After(200 * time.Millisecond): // as something that takes its time to end
		}
		close(ended)
		return ctx.Err()
	}}
	s = serve(context.Background(), site)
	r, err := reach.Dial(s.stream)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		<-began
		_ = r.Close()
	}()
	if err := r.Follow(t.Context(), time.Time{}, nil, nil); err == nil { // the end of the stream, or the answer of what was cancelled, whichever came first
		t.Error("got no error")
	}
	<-s.ended
	<-ended
}

// So it does with its context, though the client still listens.
func TestServeEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	s := serve(ctx, &fake{follow: func(ctx context.Context, _ func(wal.Attestation) error) error {
		cancel(errEnough)
		<-ctx.Done()
		return ctx.Err()
	}})
	r, err := reach.Dial(s.stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Follow(t.Context(), time.Time{}, nil, nil); err == nil {
		t.Error("got no error")
	}
	<-s.ended
	if !errors.Is(s.err, errEnough) {
		t.Errorf("got %v", s.err)
	}
	_ = r.Close()
}

func TestErrorsAreCarried(t *testing.T) {
	t.Parallel()
	r, _ := dial(t, &fake{appends: func(context.Context) ([]int64, error) { return nil, errors.New("dr: the disk is <full>") }})
	if _, err := r.Append(t.Context(), nil); err == nil || err.Error() != "dr: the disk is <full>" {
		t.Errorf("got %v", err)
	}
	if _, err := r.Redis(t.Context()); err == nil || err.Error() != errNot.Error() {
		t.Errorf("got %v", err)
	}
}

// What is too large for a line is said; the stream goes on.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	r, _ := dial(t, &fake{
		appends: func(context.Context) ([]int64, error) { return []int64{1}, nil },
		copies: func(each func(writer.Copy) error) error {
			return each(writer.Copy{Record: wal.Record{Partition: 2, Offset: 5, Value: make([]byte, 13<<20)}})
		},
	})
	err := r.Copies(t.Context(), writer.DLQ, func(writer.Copy) error { t.Error("got it"); return nil })
	if err == nil || !strings.Contains(err.Error(), "the copy of offset 5 of partition 2: it has") {
		t.Errorf("got %v", err)
	}
	_, err = r.Append(t.Context(), []writer.Control{{Replay: &wal.Replay{Value: make([]byte, 13<<20)}}})
	if err == nil || !strings.Contains(err.Error(), "dr: arguments of append: it has") {
		t.Errorf("got %v", err)
	}
	if _, err := r.Append(t.Context(), nil); err != nil {
		t.Errorf("got %v; the stream goes on", err)
	}
}

// The largest copy that an applier writes can be carried.
func TestLargestCopy(t *testing.T) {
	t.Parallel()
	large := wal.Record{Partition: 2, Offset: 5, Value: bytes.Repeat([]byte{0xff}, wal.MaxCopy-100)}
	listed := large.Copy("dr", "redis-writes", wal.TopicID{}, "dr", wal.ClassPoison, "too-large", strings.Repeat("d", 10<<10))
	c, err := wal.ParseCopy(&listed)
	if err != nil || c.Without != "" {
		t.Fatalf("got without %q, %v", c.Without, err)
	}
	r, _ := dial(t, &fake{copies: func(each func(writer.Copy) error) error { return each(c) }})
	n := 0
	if err := r.Copies(t.Context(), writer.DLQ, func(got writer.Copy) error { n += len(got.Value); return nil }); err != nil || n != len(large.Value) {
		t.Errorf("got %d bytes, %v", n, err)
	}
}

const hello = `{"protocol":"redis-wal-ctl","version":%d,"identity":{"sites":{"Self":"dr","Peer":"dc"}}}`

func TestHello(t *testing.T) {
	t.Parallel()
	good := hello + "\n"
	for _, tt := range []struct{ name, said, want string }{
		{"an older applier", fmt.Sprintf(good, reach.Version-1), "upgrade redis-applier of dr"},
		{"a newer applier", fmt.Sprintf(good, reach.Version+1), "upgrade walctl"},
		{"something else", "Welcome to the bastion\n", `no ` + "`redis-applier ctl`" + ` answers, but "Welcome to the bastion"`},
		{"other JSON", `{"level":"info"}` + "\n", `answers, but "{\"level\"`},
		{"nothing", "", "no hello of a `redis-applier ctl`: unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := reach.Dial(&pipe{strings.NewReader(tt.said), io.Discard, func() error { return nil }})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A newer client that asks for what this server does not know, and one that talks nonsense.
func TestServerAgainstOtherClients(t *testing.T) {
	t.Parallel()
	s := serve(context.Background(), &fake{})
	in := bufio.NewReader(s.stream)
	ask := func(line string) (answer struct {
		ID    int
		Error string
	},
	) {
		t.Helper()
		if _, err := io.WriteString(s.stream, line+"\n"); err != nil {
			t.Fatal(err)
		}
		b, err := in.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &answer); err != nil {
			t.Errorf("%v: %s", err, b)
		}
		return answer
	}
	if _, err := in.ReadBytes('\n'); err != nil { // the hello
		t.Fatal(err)
	}
	if a := ask(`{"id":9,"method":"dance"}`); a.ID != 9 || a.Error != `redis-applier of dr does not know "dance"; upgrade it` {
		t.Errorf("got %+v", a)
	}
	if a := ask(`{"id":8,"cancel":true}` + "\n" + `{"id":7,"taken":5}` + "\n" + `{"id":6,"method":"records","args":3}`); a.ID != 6 || !strings.Contains(a.Error, "arguments of records") {
		t.Errorf("got %+v", a)
	}
	if _, err := io.WriteString(s.stream, "GET / HTTP/1.1\n"); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	if s.err == nil || !strings.Contains(s.err.Error(), "serve dr: a request cannot be read") {
		t.Errorf("got %v", s.err)
	}
	_ = s.stream.Close()
}
