package command_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/command"
	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
	"github.com/comptech-lab/redis-wal/walctl/internal/twosites"
	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// The scripts in testdata run walctl in this process, on two sites in memory.

func TestScenarios(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"sites":  verb(sites),
			"walctl": walctl,
			"answer": verb(func(s *script, _ *testscript.TestScript, args []string) error { s.answer = args[0]; return nil }),
			"write": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				s.world.Write(args[0], number(args[1]), int(number(args[2])))
				return nil
			}),
			"lose": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				s.world.Lose(args[0], number(args[1]))
				return nil
			}),
			"reject": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				s.world.Reject(args[0], number(args[1]), wal.Class(args[2]), args[3], args[4])
				return nil
			}),
			"place": func(ts *testscript.TestScript, _ bool, _ []string) { // $PLACE is the first one in the last output
				ts.Setenv("PLACE", places.FindStringSubmatch(ts.ReadFile("stdout"))[1])
			},
			"forget": verb(func(s *script, _ *testscript.TestScript, args []string) error { s.world.Forget(args[0]); return nil }),
			"same": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				if a, b := s.world.Get("dc", number(args[0])), s.world.Get("dr", number(args[0])); a != b {
					return fmt.Errorf("dc holds %q, dr %q", a, b)
				}
				return nil
			}),
			"barriers": verb(func(s *script, _ *testscript.TestScript, _ []string) error { s.world.Barriers(); return nil }),
			"cut":      verb(func(s *script, _ *testscript.TestScript, _ []string) error { s.world.Cut(); return nil }),
			"heal":     verb(func(s *script, _ *testscript.TestScript, _ []string) error { s.world.Heal(); return nil }),
			"down":     verb(func(s *script, _ *testscript.TestScript, args []string) error { s.world.Down(args[0]); return nil }),
			"up":       verb(func(s *script, _ *testscript.TestScript, args []string) error { s.world.Up(args[0]); return nil }),
			"halt": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				s.world.Halt(args[0], number(args[1]), append(args, "gap")[2])
				return nil
			}),
			"readable": verb(func(s *script, _ *testscript.TestScript, _ []string) error { s.world.Readable(); return nil }),
			"retain": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				s.world.Retain(args[0], number(args[1]), int64(number(args[2])))
				return nil
			}),
			"input": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				s.input = strings.Join(args, "\n")
				return nil
			}),
			"wipe":      verb(func(s *script, _ *testscript.TestScript, args []string) error { s.world.Wipe(args[0]); return nil }),
			"stick":     verb(func(s *script, _ *testscript.TestScript, args []string) error { s.world.Stick(args[0]); return nil }),
			"deafen":    verb(func(s *script, _ *testscript.TestScript, args []string) error { s.world.Deafen(args[0]); return nil }),
			"interrupt": verb(func(s *script, _ *testscript.TestScript, args []string) error { s.world.Interrupt(args[0]); return nil }),
			"unjoin": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				s.world.Unjoin(args[0], int(number(args[1])))
				return nil
			}),
			"strange": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				s.world.Strange(args[0], int64(number(args[1])), int64(number(args[2])))
				return nil
			}),
			"refuse": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				s.world.Refuse(args[0], int(number(args[1])))
				return nil
			}),
			"passwords": verb(func(s *script, _ *testscript.TestScript, args []string) error { // of a site's Redis: now, and with which its pods are made anew
				s.world.Passwords(args[0], args[1], append(args, "")[2])
				return nil
			}),
			"third": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				s.world.Third(args[0], args[1])
				return nil
			}),
			"serve":  verb(serve),
			"browse": verb(browse),
			"end":    verb(end),
			"epoch":  verb(epoch),
			"later": verb(func(s *script, _ *testscript.TestScript, args []string) error {
				d, err := time.ParseDuration(args[0])
				s.world.Later(d)
				return err
			}),
			"ignore": verb(func(s *script, _ *testscript.TestScript, args []string) error { s.world.Ignore(args[0]); return nil }),
			"witness": func(ts *testscript.TestScript, _ bool, _ []string) { // one at mgmt runs again and again from now on, beside the script: it has the world of now
				ctx, cancel := context.WithCancel(context.Background())
				ended := make(chan struct{})
				ts.Defer(func() { cancel(); <-ended })
				s, getenv := &script{world: ts.Value(key{}).(*script).world}, ts.Getenv
				go func() {
					defer close(ended)
					for ctx.Err() == nil {
						run(ctx, s, getenv, strings.Fields("takeover --to dr --if-down 200ms --looks 3 --place mgmt --kafka dc:9094 --witness"))
					}
				}()
			},
			"look": verb(func(s *script, _ *testscript.TestScript, args []string) error { // what is seen of dc; nothing = what is so
				s.look = ifdown.Seen(strings.Join(args, ""))
				return nil
			}),
		},
		Setup: func(env *testscript.Env) error {
			env.Values[key{}] = &script{}
			env.Setenv("WALCTL_CONFIG", env.WorkDir+"/walctl.json")
			return nil
		},
	})
}

type key struct{}

var places = regexp.MustCompile(`"place": ?"([0-9/]+)"`)

// script is what a script acts on.
type script struct {
	world  *twosites.World
	answer string // what the user types; empty = nobody is there
	look   ifdown.Seen
	input  string // what stdin holds in place of an answer
	server *server
}

func verb(f func(*script, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		err := f(ts.Value(key{}).(*script), ts, args)
		if err != nil && !neg {
			ts.Fatalf("%v", err)
		}
		if err == nil && neg {
			ts.Fatalf("succeeded, and should not have")
		}
	}
}

func number(s string) int32 {
	n, _ := strconv.Atoi(s) // the scripts are ours
	return int32(n)
}

const config = `{"contexts": {"lab": {"sites": {"dc": {"exec": ["dc", "ctl"]}, "dr": {"exec": ["dr", "ctl"]}}}}}`

// sites [PARTITIONS]: two sites that are well, and the configuration of walctl that knows them.
func sites(s *script, ts *testscript.TestScript, args []string) error {
	n := int32(2)
	if len(args) > 0 {
		n = number(args[0])
	}
	s.world = twosites.New(n)
	return os.WriteFile(ts.Getenv("WALCTL_CONFIG"), []byte(config), 0o600)
}

// write writes the configuration of walctl to a file.
func write(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "walctl.json")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// epoch SITE PARTITION EPOCH: looks where a site is.
func epoch(s *script, _ *testscript.TestScript, args []string) error {
	r, err := s.world.Site(args[0]).Redis(context.Background())
	if err != nil {
		return err
	}
	if got := r.Checkpoints[number(args[1])].Epoch.String(); got != args[2] {
		return fmt.Errorf("%s is in epoch %s, want %s", args[0], got, args[2])
	}
	return nil
}

// walctl CODE ARG...: runs walctl, which must end with the code.
func walctl(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(key{}).(*script)
	code, stdout, stderr := run(context.Background(), s, ts.Getenv, args[1:])
	fmt.Fprint(ts.Stdout(), stdout)
	fmt.Fprint(ts.Stderr(), stderr)
	if got := strconv.Itoa(code); neg || got != args[0] {
		ts.Fatalf("walctl %s: got exit code %s, want %s\n%s%s", strings.Join(args[1:], " "), got, args[0], stdout, stderr)
	}
}

func run(ctx context.Context, s *script, getenv func(string) string, args []string) (code int, stdout, stderr string) {
	var out, errs safe
	look, world := s.look, s.world // a look may outlive the command that has given it up
	code = command.Run(ctx, command.Env{
		Args: args, Stdin: strings.NewReader(cmp.Or(s.input, s.answer+"\n")), Stdout: &out, Stderr: &errs, Terminal: s.answer != "",
		Lookup:       func(name string) (string, bool) { v := getenv(name); return v, v != "" },
		ConfigFolder: func() (string, error) { return "", errors.New("there is none") },
		Now:          time.Now, Version: "v1.2.3", Patience: 300 * time.Millisecond, Reach: 500 * time.Millisecond, Every: 20 * time.Millisecond, Again: time.Millisecond,
		Settle: 20 * time.Millisecond, Steps: time.Millisecond,
		Look: func(_ context.Context, t reach.Target) (ifdown.Seen, string) {
			switch {
			case look != "":
				return look, "so says the test"
			case world.IsDown("dc"):
				return ifdown.Silent, strings.Join(t.Kafka, " ") + " refused"
			}
			return ifdown.Answered, "it answers"
		},
		Plugin: func(_ context.Context, name string, args []string) (int, error) {
			switch {
			case slices.Contains(args, "--missing"):
				return 0, fmt.Errorf("%s: %w", name, exec.ErrNotFound)
			case slices.Contains(args, "--fails"):
				return 2, nil
			}
			fmt.Fprintf(&out, "Usage: %s %q\n", name, args)
			return 0, nil
		},
		Open: func(ctx context.Context, how contexts.Site) (command.Site, error) {
			site := world.Site(how.Exec[0])
			if site == nil {
				return nil, fmt.Errorf("there is no %s", how.Exec[0])
			}
			return site, site.Open(ctx)
		},
	})
	return code, out.String(), errs.String()
}

// safe is a buffer that is written and read by different goroutines.
type safe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safe) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safe) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

var block = regexp.MustCompile(`(?m)^    walctl(.*)$`)

// What docs/walctl.md shows must be what walctl takes; and it must show each verb.
func TestPageShowsWhatIsThere(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/walctl.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	s := &script{world: twosites.New(2)}
	for _, m := range block.FindAllStringSubmatch(string(page), -1) {
		line, _, _ := strings.Cut(m[1], "#")
		args := strings.Fields(strings.ReplaceAll(line, `"`, ""))
		seen[strings.Join(args[:min(2, len(args))], " ")], seen[args[0]] = true, true
		args = append(args, "--help")
		if args[0] == "produce" || args[0] == "cli" { // what follows their first argument is Redis's
			args = slices.Insert(args[:len(args)-1], 1, "--help")
		}
		code, stdout, stderr := run(context.Background(), s, func(string) string { return "" }, args)
		if code != 0 || !strings.Contains(stdout, "Usage:") {
			t.Errorf("walctl%s: got %d\n%s%s", m[1], code, stdout, stderr)
		}
	}
	for _, verb := range []string{"status", "cutover", "takeover", "failback", "fenced list", "fenced show", "fenced replay", "fenced drop", "dlq list", "dlq show", "dlq replay", "dlq drop", "check", "drill", "preflight", "explain", "tail", "produce", "url", "sentinel-url", "cli", "config view", "config contexts", "config use", "version", "completion bash"} {
		if !seen[verb] {
			t.Errorf("docs/walctl.md shows no `walctl %s`", verb)
		}
	}
}
