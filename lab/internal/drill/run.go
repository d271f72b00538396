package drill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/load"
	"github.com/comptech-lab/redis-wal/lab/internal/model"
	"github.com/comptech-lab/redis-wal/lab/internal/realise"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/writer"
)

// Up brings a lab up; stop ends it. Its state is in dir.
type Up func(ctx context.Context, needs Needs) (s *sites.Sites, dir string, stop func() error, err error)

// patience is how long anything may take before a drill has failed.
const patience = 3 * time.Minute

// stage is a lab with its load and its model.
type stage struct {
	sites *sites.Sites
	dir   string
	stop  func() error
	needs Needs
	load  *Traffic
	model *model.Model
}

func open(ctx context.Context, up Up, needs Needs) (_ *stage, err error) {
	st := &stage{needs: needs}
	if st.sites, st.dir, st.stop, err = up(ctx, needs); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.close())
		}
	}()
	if st.load, err = newTraffic(st.sites); err != nil {
		return st, err
	}
	st.load.mix.Careful = needs.Careful
	ip, err := st.sites.Block.Next()
	if err != nil {
		return st, err
	}
	if st.model, err = model.Start(ctx, st.sites.Group, ip, st.dir); err != nil || !needs.Writer {
		return st, err
	}
	names := st.sites.Names()
	_, err = moveWriter(ctx, st.sites, names[1], names[0], writer.Plan{Opened: func() { st.load.Move(names[0]) }})
	return st, err
}

func (st *stage) close() error {
	var errs []error
	if st.load != nil {
		st.load.close()
	}
	if st.model != nil {
		errs = append(errs, st.model.Close())
	}
	return errors.Join(append(errs, st.stop())...)
}

// All runs the drills one by one and calls done after each. Drills share a lab as long as each leaves it as it was. The error says that a
// lab could not be made; a drill that fails is a row with failures.
func All(ctx context.Context, drills []Drill, up Up, done func(Row)) (err error) {
	var st *stage
	end := func() {
		if st != nil {
			err = errors.Join(err, st.close())
			st = nil
		}
	}
	defer end()
	for _, d := range drills {
		if st != nil && (st.needs != d.Needs || d.Passive) {
			end()
		}
		if st == nil {
			if st, err = open(ctx, up, d.Needs); err != nil {
				return fmt.Errorf("a lab for %s: %w", d.Name, err)
			}
		}
		row := st.run(ctx, d)
		done(row)
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.Spoils || len(row.Failures) > 0 {
			end()
		}
	}
	return err
}

// SkipError says that a drill cannot be run on this machine.
type SkipError struct{ Why string }

func (e *SkipError) Error() string { return e.Why }

// run is one drill.
func (st *stage) run(ctx context.Context, d Drill) (row Row) {
	within := cmp.Or(d.Within, 2*patience)
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("the drill took more than %s", within))
	defer cancel()
	row.Drill = d
	names := st.sites.Names()
	s := &Scene{Sites: st.sites, A: names[0], B: names[1], Load: st.load, dir: st.dir, began: time.Now()}
	defer func() { row.Took = time.Since(s.began) }()
	fail := func(err error) bool {
		if err != nil {
			row.Failures = append(row.Failures, err.Error())
		}
		return err != nil
	}
	modelled := st.fill(ctx)
	w := newWatch(ctx, st.sites, st.load)
	defer w.close()
	if st.load.at = names[:]; d.Passive {
		st.load.at = names[:1]
	}
	st.load.Start(ctx)
	if !fail(st.before(ctx, s, w, d)) {
		err := d.Run(ctx, s)
		if skip, ok := errors.AsType[*SkipError](err); ok {
			row.Skipped = skip.Why
		} else {
			fail(err)
		}
	}
	for _, f := range slices.Backward(s.undo) {
		fail(f())
	}
	if len(row.Failures) == 0 && row.Skipped == "" && d.End.Halted == "" && d.End.Lost == 0 {
		fail(st.recovered(ctx, s, w, &row))
	} else if !s.fault.IsZero() && !s.healed.IsZero() {
		row.Lasted = s.healed.Sub(s.fault)
	}
	failed := fail(st.load.Stop(ctx))
	if d.End.Halted == "" {
		failed = fail(st.load.last(ctx)) || failed
	}
	if !failed { // else records are still under way: the lab ends with this drill, and they with it
		st.load.modelled()
		fail(<-modelled)
	}
	var err error
	row.Clients, err = st.clients(w)
	fail(err)
	row.Seen = strings.Join(s.seen, "; ")
	if len(row.Failures) == 0 && row.Skipped == "" {
		st.judge(ctx, d, &row)
	}
	return row
}

// fill gives the model what Kafka acknowledges, until the channel is closed.
func (st *stage) fill(ctx context.Context) <-chan error {
	st.load.model = make(chan load.Applied, 1<<14)
	done := make(chan error, 1)
	ch := st.load.model
	go func() {
		_, err := st.model.Apply(ctx, ch)
		done <- err
	}()
	return done
}

// before lets the load run for a while, so that the fault meets a system at work.
func (st *stage) before(ctx context.Context, s *Scene, w *watch, d Drill) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the sites do not keep up before the fault"))
	defer cancel()
	for _, site := range s.Names() { // the drill before this one may have left a pod on its way back
		if err := await.True(ctx, "the Redis of "+site, s.Redis(site).Whole); err != nil {
			return err
		}
		if err := s.AwaitReady(ctx, site); err != nil {
			return err
		}
	}
	if err := s.Last(ctx, calm); err != nil {
		return err
	}
	if d.Quiet {
		if err := errors.Join(s.Load.Stop(ctx), s.Load.last(ctx)); err != nil {
			return err
		}
	}
	if err := await.True(ctx, "both sites to be up to date", func(context.Context) error { return w.behind() }); err != nil {
		return err
	}
	if d.Quiet {
		if err := s.Applied(ctx); err != nil {
			return err
		}
	}
	_, _, _ = st.load.answers()
	w.forget()
	return nil
}

// recovered waits until both sites keep up again, and notes how long that took.
func (st *stage) recovered(ctx context.Context, s *Scene, w *watch, row *Row) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not recovered after %s", patience))
	defer cancel()
	from := s.healed
	if from.IsZero() {
		from = s.fault
	}
	row.Lasted = from.Sub(s.fault)
	if row.Drill.Quiet {
		err := s.Applied(ctx)
		row.Late, row.Recovery = true, time.Since(from)
		return err
	}
	if err := s.Last(ctx, calm); err != nil {
		return err
	}
	if err := await.True(ctx, "both sites to have applied everything", func(context.Context) error { return w.behind() }); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if row.Late = !w.lateAt.IsZero(); row.Late {
		row.Recovery = max(0, w.lateAt.Sub(from))
	}
	return nil
}

// Applied waits until both sites hold all that Kafka has acknowledged.
func (s *Scene) Applied(ctx context.Context) error {
	for _, site := range s.Names() {
		if err := s.AppliedAt(ctx, site); err != nil {
			return err
		}
	}
	return nil
}

// AppliedAt waits until a site holds all that Kafka has acknowledged.
func (s *Scene) AppliedAt(ctx context.Context, site string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not applied after %s", patience))
	defer cancel()
	c := reader(s.Redis(site))
	defer func() { _ = c.Close() }()
	want := s.Load.lengths()
	return await.True(ctx, "all records at "+site, func(ctx context.Context) error {
		n, err := missing(ctx, c, want)
		if err == nil && n > 0 {
			err = fmt.Errorf("%d are missing", n)
		}
		return err
	})
}

// clients says what applications saw since the fault. The error says that a write failed: every fault is shorter than a producer tries.
func (st *stage) clients(w *watch) (string, error) {
	slowest, failures, err := st.load.answers()
	w.mu.Lock()
	defer w.mu.Unlock()
	var parts []string
	for _, site := range st.sites.Names() {
		parts = append(parts, fmt.Sprintf("no read at %s for %s", site, short(w.gap[site])))
	}
	if failures > 0 {
		err = fmt.Errorf("%d writes failed: %w", failures, err)
		parts = append(parts, err.Error())
	} else {
		parts = append(parts, "no write failed, the slowest took "+short(slowest))
	}
	return strings.Join(parts, "; "), err
}

func short(d time.Duration) string { return fmt.Sprintf("%.2g s", d.Seconds()) }

// judge compares what is with what must be.
func (st *stage) judge(ctx context.Context, d Drill, row *Row) {
	fail := func(format string, args ...any) { row.Failures = append(row.Failures, fmt.Sprintf(format, args...)) }
	if d.End.Halted == "" && d.End.Lost == 0 {
		s := &Scene{Sites: st.sites, Load: st.load}
		if err := s.Applied(ctx); err != nil {
			fail("%v", err)
			return
		}
	}
	verdict, codes, err := st.check(ctx)
	if err != nil {
		fail("check: %v", err)
		return
	}
	row.Verdict = sentence(codes)
	for i, site := range st.sites.Names() {
		if codes[i] != d.End.Check {
			fail("the check of %s ended with %d, want %d: %s", site, codes[i], d.End.Check, verdict[i])
		}
		for _, words := range d.End.Says {
			if !strings.Contains(verdict[i], words) {
				fail("the check of %s does not say %q: %s", site, words, verdict[i])
			}
		}
	}
	against := st.model.Client()
	if d.End.Same {
		against = reader(st.sites.Redis(st.sites.Names()[0]))
		defer func() { _ = against.Close() }()
	}
	want, err := model.Read(ctx, against)
	if err != nil {
		fail("model: %v", err)
		return
	}
	for _, site := range st.sites.Names() {
		st.compare(ctx, d, site, want, row)
	}
	switch {
	case d.End.Lost < 0 && row.Lost == 0:
		fail("no record is lost, but the fault loses some")
	case d.End.Lost >= 0 && row.Lost != d.End.Lost:
		fail("%d records are lost, want %d", row.Lost, d.End.Lost)
	}
	if row.Duplicated > 0 {
		fail("%d records were applied twice", row.Duplicated)
	}
}

// compare holds a site against the model and the ledgers.
func (st *stage) compare(ctx context.Context, d Drill, site string, want model.Keyspace, row *Row) {
	fail := func(format string, args ...any) { row.Failures = append(row.Failures, fmt.Sprintf(format, args...)) }
	c := reader(st.sites.Redis(site))
	defer func() { _ = c.Close() }()
	got, err := model.Read(ctx, c)
	if err != nil {
		fail("%s: %v", site, err)
		return
	}
	lost, duplicated, err := st.load.audit(ctx, c)
	if err != nil {
		fail("%s: ledgers: %v", site, err)
		return
	}
	row.Lost += lost
	row.Duplicated += duplicated
	for i, diff := range model.Compare(want, got) {
		row.Differ++
		allowed := d.End.Lost != 0 || (d.End.Differ != "" && strings.HasPrefix(diff.Key, d.End.Differ))
		if !allowed && i < 3 {
			fail("%s: %s", site, diff)
		}
	}
}

// check runs the Jobs of both sites at once, as two deployments would.
func (st *stage) check(ctx context.Context) (words [2]string, codes [2]int, err error) {
	g, ctx := errgroup.WithContext(ctx)
	for i, site := range st.sites.Names() {
		g.Go(func() error {
			results, err := st.sites.RunJobs(ctx, site)
			if err == nil && len(results) == 0 {
				err = fmt.Errorf("the program of %s declares no Job", site)
			}
			for _, r := range results {
				words[i] += r.Output
				codes[i] = max(codes[i], r.ExitCode)
			}
			return err
		})
	}
	return words, codes, g.Wait()
}

func sentence(codes [2]int) string {
	say := map[int]string{0: "converged", 1: "diverged", 2: "cannot tell"}
	if codes[0] == codes[1] {
		return say[codes[0]]
	}
	return say[codes[0]] + " / " + say[codes[1]]
}

// Said waits until an applier of the site logs a line with all the words, and returns it.
func (s *Scene) Said(ctx context.Context, site string, words ...string) (line string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("nobody said it"))
	defer cancel()
	err = await.True(ctx, fmt.Sprintf("an applier of %s to say %q", site, words), func(context.Context) error {
		for _, p := range s.Pods(site) {
			if line = s.logged(p, words); line != "" {
				return nil
			}
		}
		return errors.New("not yet")
	})
	return line, err
}

// logged is a line that the pod wrote since the fault.
func (s *Scene) logged(p *realise.Pod, words []string) string {
	text, err := os.ReadFile(s.Group.LogFile(p.Name))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text[min(s.logs[p.Name], len(text)):])) {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// primary is a client of the site's primary.
func (s *Scene) primary(ctx context.Context, site string) (*redis.Client, error) {
	addr, err := s.Redis(site).Primary(ctx)
	if err != nil {
		return nil, err
	}
	c := redis.NewClient(&redis.Options{Addr: addr, Password: s.Redis(site).Password(), Protocol: 2, DisableIdentity: true})
	s.Undo(c.Close)
	return c, nil
}
