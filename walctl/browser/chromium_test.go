package browser_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/walctl/internal/command"
	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
	"github.com/comptech-lab/redis-wal/walctl/internal/twosites"
)

// patience is for what never comes: nothing here is judged by how long it takes.
const patience = 30 * time.Second

// chromium starts a browser that lives as long as the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: make browser-deps installs it", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox is not for root
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits until it has ended
		cancel()
	})
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// tab is a page that is open, with what happened to it.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string

	mu        sync.Mutex
	complains []string // errors of scripts, of the console, and of the content security policy
	requests  []string
	documents int // that were loaded
}

// open opens the page in a tab without a history. Before are done first: what is emulated.
func open(t *testing.T, browser context.Context, at string, before ...chromedp.Action) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithTargetID(window(t, browser)))
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx, url: at}
	chromedp.ListenTarget(ctx, p.notice)
	if err := chromedp.Run(ctx); err != nil { // the tab lives as long as the context of its first run: one with a deadline would close it
		t.Fatal(err)
	}
	p.run(append([]chromedp.Action{log.Enable(), network.Enable()}, before...)...)
	p.run(chromedp.Navigate(at), chromedp.WaitVisible("h1"))
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.complains) > 0 {
			t.Errorf("the browser complains: %s", strings.Join(p.complains, "; "))
		}
		for _, r := range p.requests {
			if base, _, _ := strings.Cut(at, "?"); !strings.HasPrefix(r, base) {
				t.Errorf("the page asked for %s, which is not its own", r)
			}
		}
	})
	return p
}

// window opens one that knows nothing of the others.
func window(t *testing.T, browser context.Context) (id target.ID) {
	t.Helper()
	err := chromedp.Run(browser, chromedp.ActionFunc(func(ctx context.Context) error {
		ctx = cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser)
		alone, err := target.CreateBrowserContext().WithDisposeOnDetach(true).Do(ctx)
		if err != nil {
			return err
		}
		id, err = target.CreateTarget("about:blank").WithBrowserContextID(alone).WithNewWindow(true).Do(ctx)
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (p *tab) notice(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.complains = append(p.complains, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		p.complains = append(p.complains, fmt.Sprint("console.", e.Type))
	case *log.EventEntryAdded:
		p.complains = append(p.complains, fmt.Sprint(e.Entry.Source, " ", e.Entry.Level, ": ", e.Entry.Text, " ", e.Entry.URL))
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
		if e.Type == network.ResourceTypeDocument {
			p.documents++
		}
	}
}

// loaded is how many documents were.
func (p *tab) loaded() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.documents
}

// asked says whether anything was asked for whose address ends so.
func (p *tab) asked(end string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.requests, func(r string) bool { return strings.HasSuffix(r, end) })
}

// leave closes the tab, and forgets what it has complained about: a server that is gone is an error in any console.
func (p *tab) leave() {
	_ = chromedp.Cancel(p.ctx) // it is of no use any more
	p.mu.Lock()
	defer p.mu.Unlock()
	p.complains = nil
}

func (p *tab) run(actions ...chromedp.Action) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// ask evaluates an expression.
func ask[T any](p *tab, expression string) T {
	p.t.Helper()
	var out T
	p.run(chromedp.Evaluate(expression, &out))
	return out
}

// until waits until an expression is true.
func (p *tab) until(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	err := await.True(ctx, expression, func(ctx context.Context) error {
		var yes bool
		if err := chromedp.Run(ctx, chromedp.Evaluate(expression, &yes)); err != nil {
			return err // a page that is being loaded cannot be asked
		}
		if !yes {
			return errors.New("it is not so")
		}
		return nil
	})
	if err != nil {
		var text string
		_ = chromedp.Run(p.ctx, chromedp.Evaluate("document.body.innerText", &text)) // for whoever looks for the fault
		p.t.Fatalf("%v\n%s", err, text)
	}
}

// picture takes one of the whole page, for people: into $SCREENSHOTS, if that is set.
func (p *tab) picture(name string) {
	p.t.Helper()
	var png []byte
	p.run(chromedp.FullScreenshot(&png, 100))
	folder := cmp.Or(os.Getenv("SCREENSHOTS"), p.t.TempDir())
	if err := os.MkdirAll(folder, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

const config = `{"contexts": {"lab": {"sites": {"dc": {"exec": ["dc", "ctl"]}, "dr": {"exec": ["dr", "ctl"]}}}}}`

// operator runs walctl in this process on two sites in memory.
type operator struct {
	t      *testing.T
	world  *twosites.World
	config string
}

func newOperator(t *testing.T, partitions int32) *operator {
	t.Helper()
	path := filepath.Join(t.TempDir(), "walctl.json")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return &operator{t, twosites.New(partitions), path}
}

func (o *operator) run(ctx context.Context, out *buffer, args ...string) int {
	return command.Run(ctx, command.Env{
		Args: append([]string{"--config", o.config}, args...), Stdin: strings.NewReader(""), Stdout: out, Stderr: out, Version: "v1.2.3",
		Lookup: func(string) (string, bool) { return "", false }, Now: time.Now, Every: 100 * time.Millisecond, Patience: 5 * time.Second,
		Open: func(ctx context.Context, s contexts.Site) (command.Site, error) {
			ctx, cancel := context.WithTimeoutCause(ctx, 100*time.Millisecond, errors.New("nobody is there")) // one that is down lets go of nobody who waits for it
			defer cancel()
			site := o.world.Site(s.Exec[0])
			return site, site.Open(ctx)
		},
	})
}

// walctl runs a verb, which must succeed.
func (o *operator) walctl(args ...string) {
	o.t.Helper()
	var out buffer
	if code := o.run(o.t.Context(), &out, args...); code != 0 {
		o.t.Fatalf("walctl %v: got %d\n%s", args, code, out.String())
	}
}

// serve runs `walctl status --serve`, and returns where, and what ends it.
func (o *operator) serve() (at string, end func()) {
	o.t.Helper()
	ctx, cancel := context.WithCancel(o.t.Context())
	ended := make(chan struct{})
	var out buffer
	go func() { defer close(ended); o.run(ctx, &out, "status", "--serve=0", "--json") }()
	end = func() { cancel(); <-ended }
	o.t.Cleanup(end)
	waiting, stop := context.WithTimeout(ctx, patience)
	defer stop()
	var said struct{ URL string }
	if err := await.True(waiting, "the page", func(context.Context) error { return json.Unmarshal([]byte(out.String()), &said) }); err != nil {
		o.t.Fatal(err, out.String())
	}
	if _, err := url.Parse(said.URL); err != nil {
		o.t.Fatal(err)
	}
	return said.URL, end
}

// buffer is written and read by different goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *buffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *buffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
