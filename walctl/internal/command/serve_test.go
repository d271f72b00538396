package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/command"
	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
	"github.com/comptech-lab/redis-wal/walctl/internal/twosites"
	"github.com/comptech-lab/redis-wal/writer"
)

// server is a walctl that serves its page, beside a script.
type server struct {
	url  string
	end  context.CancelFunc
	code chan int
	errs *safe
}

// serve ARG...: runs `walctl status --json --serve ARG...` on any free port until `end`.
func serve(s *script, ts *testscript.TestScript, args []string) error {
	var out, errs safe
	ctx, cancel := context.WithCancel(context.Background())
	s.server = &server{end: cancel, code: make(chan int, 1), errs: &errs}
	e := env(s.world, ts.Getenv("WALCTL_CONFIG"), &out, &errs, append([]string{"status", "--json", "--serve=127.0.0.1:0"}, args...)...)
	e.Version, e.Every = "v1.2.3", 20*time.Millisecond
	world := s.world
	e.Open = func(ctx context.Context, how contexts.Site) (command.Site, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, 50*time.Millisecond, errors.New("nobody is there")) // one that is down lets go of nobody who waits for it
		defer cancel()
		site := world.Site(how.Exec[0])
		return site, site.Open(ctx)
	}
	code := s.server.code
	go func() { code <- command.Run(ctx, e) }()
	ts.Defer(cancel)
	waiting, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	var said struct{ URL string }
	err := await.True(waiting, "walctl to serve", func(context.Context) error { return json.Unmarshal([]byte(out.String()), &said) })
	s.server.url = said.URL
	return err
}

// end CODE: interrupts the walctl that serves; it must end with the code, and nothing answers any more.
func end(s *script, _ *testscript.TestScript, args []string) error {
	s.server.end()
	if got := fmt.Sprint(<-s.server.code); got != args[0] {
		return fmt.Errorf("it ended with %s, want %s\n%s", got, args[0], s.server.errs.String())
	}
	if c, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(s.server.url, "http:"), "/")); err == nil {
		return errors.Join(errors.New("somebody still listens"), c.Close())
	}
	return nil
}

// browse METHOD PATH STATUS [TEXT [HOST]]: asks the walctl that serves, again and again, until the reply has that status, and the text is in it. The last reply is stdout, its header first.
func browse(s *script, ts *testscript.TestScript, args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	args = append(args, "", "")
	var last bytes.Buffer
	err := await.True(ctx, strings.Join(args, " "), func(ctx context.Context) error {
		r, err := http.NewRequestWithContext(ctx, args[0], s.server.url+strings.TrimPrefix(args[1], "/"), nil)
		if err != nil {
			return err
		}
		r.Host = args[4]
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer reply.Body.Close()
		last.Reset()
		_ = reply.Header.Write(&last) // a buffer takes everything
		if _, err := io.Copy(&last, reply.Body); err != nil {
			return err
		}
		if got := fmt.Sprint(reply.StatusCode); got != args[2] || !strings.Contains(last.String(), args[3]) {
			return fmt.Errorf("got %s\n%s", got, last.String())
		}
		return nil
	})
	fmt.Fprint(ts.Stdout(), last.String())
	return err
}

// What programs get of the page is what they get of the command, byte by byte.
func TestServesTheSameJSON(t *testing.T) {
	t.Parallel()
	path := write(t)
	w := twosites.New(2)
	w.Write("dc", 1, 3)
	for p := range int32(2) { // with a reason of which a careless encoder would make something else
		a := &wal.Activate{ID: "a", Epoch: wal.Epoch{Minor: 1, Site: "dr"}, Reason: "drill X1: dc to dr: <a & b>"}
		if _, err := w.Site("dr").Append(t.Context(), []writer.Control{{Partition: p, Activate: a}}); err != nil {
			t.Fatal(err)
		}
	}
	w.Barriers()
	now := time.Now()
	run := func(args ...string) (command.Env, *safe) {
		var out, errs safe
		e := env(w, path, &out, &errs, args...)
		e.Now, e.Patience = func() time.Time { return now }, 10*time.Second
		return e, &out
	}
	e, want := run("status", "--json")
	if code := command.Run(t.Context(), e); code != 0 {
		t.Fatalf("got %d", code)
	}
	e, out := run("status", "--serve=0")
	var got []byte
	if code := until(t, e, out, func(s string) bool {
		_, url, said := strings.Cut(s, "the page is at ")
		if !said {
			return false
		}
		url, _, _ = strings.Cut(url, " ")
		reply, err := http.Get(url + "status.json")
		if err != nil {
			t.Error(err)
			return true
		}
		defer reply.Body.Close()
		got, err = io.ReadAll(reply.Body)
		return err == nil
	}); code != 0 {
		t.Errorf("got %d", code)
	}
	if string(got) != want.String() || !strings.Contains(want.String(), "<a & b>") {
		t.Errorf("got\n%s\nwant\n%s", got, want.String())
	}
}

// What is asked of the sites is asked at the interval, however many look.
func TestServeAsksOnceForAll(t *testing.T) {
	t.Parallel()
	w := twosites.New(2)
	var out, errs safe
	e := env(w, write(t), &out, &errs, "status", "--serve=0", "--json")
	e.Every = time.Hour
	asked := 0
	e.Now = func() time.Time { asked++; return time.Now() } // once for each look
	until(t, e, &out, func(s string) bool {
		var said struct{ URL string }
		if json.Unmarshal([]byte(s), &said) != nil {
			return false
		}
		for range 20 {
			reply, err := http.Get(said.URL)
			if err != nil || reply.StatusCode != http.StatusOK {
				t.Errorf("got %v, %v", reply, err)
				return true
			}
			_ = reply.Body.Close()
		}
		return true
	})
	if asked != 1 {
		t.Errorf("the sites were asked %d times for 20 who looked", asked)
	}
}
