package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/comptech-lab/redis-wal/lab/internal/control"
	"github.com/comptech-lab/redis-wal/lab/internal/drill"
	"github.com/comptech-lab/redis-wal/lab/internal/realise"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/lab/internal/state"
	"github.com/comptech-lab/redis-wal/wal"
)

// faults are what `lab fault` can break, and what it does to a site.
func faults() map[string]func(context.Context, *sites.Sites, string) (string, error) {
	return map[string]func(context.Context, *sites.Sites, string) (string, error){
		"kill-primary": func(ctx context.Context, s *sites.Sites, site string) (string, error) {
			name, addr, err := s.Redis(site).KillPrimary(ctx)
			return fmt.Sprintf("killed %s at %s; it comes back as a replica", name, addr), err
		},
		"kill-applier": func(_ context.Context, s *sites.Sites, site string) (string, error) {
			pods := s.Pods(site)
			victim := pods[len(pods)-1]
			return fmt.Sprintf("killed %s; it comes back", victim.Name), victim.Kill()
		},
		"cut": func(_ context.Context, s *sites.Sites, site string) (string, error) {
			return fmt.Sprintf("%s is stopped; lab fault mend %s starts it again", s.Mirror(site), site), s.Mirror(site).Stop()
		},
		"mend": func(ctx context.Context, s *sites.Sites, site string) (string, error) {
			if err := s.Mirror(site).Start(); err != nil {
				return "", err
			}
			return fmt.Sprintf("%s runs", s.Mirror(site)), s.AwaitMirror(ctx, site)
		},
		"rewind": func(ctx context.Context, s *sites.Sites, site string) (string, error) {
			return fmt.Sprintf("%s has forgotten how far it was: it repeats the whole log", s.Mirror(site)), s.Mirror(site).Rewind(ctx)
		},
		"wipe": func(ctx context.Context, s *sites.Sites, site string) (string, error) {
			addr, err := s.Redis(site).Primary(ctx)
			if err != nil {
				return "", err
			}
			c := redis.NewClient(&redis.Options{Addr: addr, Password: s.Redis(site).Password(), Protocol: 2, DisableIdentity: true})
			defer func() { _ = c.Close() }()
			if err := drill.DeleteLog(ctx, s, site); err != nil {
				return "", err
			}
			return fmt.Sprintf("%s holds nothing, and the log of %s does not reach back: walctl bootstrap --site %s", addr, site, site), c.FlushAll(ctx).Err()
		},
		"lose": func(_ context.Context, s *sites.Sites, site string) (string, error) {
			log := s.Declared(site).Log
			m, ok := s.Mirror(site).(realise.Loser)
			if !ok {
				return "", fmt.Errorf("%s is the real MirrorMaker 2, which loses nothing on demand; only the stand-in of the embedded lab does", s.Mirror(site))
			}
			m.Lose(func(r *kgo.Record) bool {
				return r.Topic == log && !slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == wal.HeaderControl })
			})
			return fmt.Sprintf("%s will lose the next record of %s", s.Mirror(site), log), nil
		},
	}
}

// command does in the running lab what a verb asks for.
func command(ctx context.Context, s *sites.Sites, verb string, args []string) (string, bool, error) {
	switch verb {
	case "check":
		return check(ctx, s)
	case "fault":
		if len(args) == 2 {
			fault, ok := faults()[args[0]]
			names := s.Names()
			if ok && slices.Contains(names[:], args[1]) {
				words, err := fault(ctx, s, args[1])
				return words + "\n", true, err
			}
		}
		names := s.Names()
		return "", false, fmt.Errorf("want a fault (%s) and a site (%s)", strings.Join(sortedKeys(faults()), ", "), strings.Join(names[:], ", "))
	}
	return "", false, fmt.Errorf("unknown command %q", verb)
}

func check(ctx context.Context, s *sites.Sites) (string, bool, error) {
	names := s.Names()
	results := make([][]realise.JobResult, len(names))
	g, ctx := errgroup.WithContext(ctx)
	for i, site := range names {
		g.Go(func() (err error) {
			results[i], err = s.RunJobs(ctx, site)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return "", false, err
	}
	var b strings.Builder
	ok := true
	for _, r := range slices.Concat(results...) {
		fmt.Fprintf(&b, "%s: job %s, exit code %d\n%s\n", r.Site, r.Name, r.ExitCode, r.Output)
		ok = ok && r.ExitCode == 0
	}
	return b.String(), ok, nil
}

// runCommand gives a verb to the lab that is up.
func runCommand(verb string) func(context.Context, *flag.FlagSet, []string, io.Writer, io.Writer) int {
	return func(ctx context.Context, flags *flag.FlagSet, args []string, stdout, stderr io.Writer) int {
		dir := stateFlag(flags)
		if flags.Parse(args) != nil {
			return exitUsage
		}
		if _, err := state.Read(*dir); err != nil {
			fmt.Fprintf(stderr, "lab %s: %v\n", verb, err)
			return exitNot
		}
		words, ok, err := control.Send(ctx, state.Socket(*dir), verb, flags.Args()...)
		if err != nil {
			fmt.Fprintf(stderr, "lab %s: %v\n", verb, err)
			return exitNot
		}
		fmt.Fprint(stdout, words)
		if !ok {
			return exitNot
		}
		return exitDone
	}
}
