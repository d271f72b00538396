// Package demo is the proof that one can watch: two sites, 200,000 operations, a primary and an applier killed in the
// middle, and both sites compared with a model key by key.
package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"golang.org/x/sync/errgroup"

	"github.com/comptech-lab/redis-wal/lab/internal/broker"
	"github.com/comptech-lab/redis-wal/lab/internal/load"
	"github.com/comptech-lab/redis-wal/lab/internal/model"
	"github.com/comptech-lab/redis-wal/lab/internal/realise"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

// Plan says how much the demo does. The zero value is not useful; see [DefaultPlan].
type Plan struct {
	// Ops is the number of operations, Keys about how many keys of each type they go to.
	Ops, Keys int
	// Poison is how many records that no applier can apply go along.
	Poison int
	// Rate is how many operations per second are produced; 0 = as fast as Kafka takes them.
	Rate int
	// KillAfter is the part of the operations after which the primary and an applier are killed: above 0, below 1.
	KillAfter float64
	// Seed makes the operations; the same seed makes the same ones.
	Seed uint64
}

// DefaultPlan is what `lab demo` does.
func DefaultPlan() Plan {
	return Plan{Ops: 200_000, Keys: 3_000, Poison: 60, Rate: 20_000, KillAfter: 0.4, Seed: 1}
}

// settle is how long the demo waits for anything that should take seconds.
const settle = 2 * time.Minute

// demo is one run.
type demo struct {
	plan   Plan
	sites  *sites.Sites
	model  *model.Model
	say    *Narrator
	a, b   string         // the site that is written to, and its peer
	poison map[string]int // produced, by reason
	// refused is how many of the commands produced must be refused by Redis.
	refused int
}

// Run runs the demo on two sites that are up. True means that both sites equal the model and that their checks say converged;
// what is not so is on the narrator's page. An error means that the demo could not be carried out.
func Run(ctx context.Context, plan Plan, s *sites.Sites, dir string, say *Narrator) (ok bool, err error) {
	d := &demo{plan: plan, sites: s, say: say, a: s.Names()[0], b: s.Names()[1], poison: make(map[string]int)}
	if plan.KillAfter <= 0 || plan.KillAfter >= 1 || plan.Ops < 1 || plan.Keys < 1 {
		return false, fmt.Errorf("plan %+v: want operations, keys, and a kill in the middle", plan)
	}
	ip, err := s.Block.Next()
	if err != nil {
		return false, err
	}
	if d.model, err = model.Start(ctx, s.Group, ip, dir); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, d.model.Close()) }()
	if err := d.work(ctx); err != nil {
		return false, err
	}
	converged, err := d.check(ctx)
	if err != nil {
		return false, err
	}
	equal, err := d.compare(ctx)
	if err != nil {
		return false, err
	}
	counted, err := d.count(ctx)
	if err != nil {
		return false, err
	}
	allowed, err := d.denied()
	if err != nil {
		return false, err
	}
	d.say.Blank()
	switch {
	case converged && equal && counted && allowed:
		d.say.Plain("VERDICT  both sites equal the model, key by key, and their checks say converged")
	case !equal:
		d.say.Plain("VERDICT  FAILED: a site differs from the model")
	case !converged:
		d.say.Plain("VERDICT  FAILED: a check does not say converged")
	case !counted:
		d.say.Plain("VERDICT  FAILED: a site did not set aside exactly what had to be")
	default:
		d.say.Plain("VERDICT  FAILED: a user was denied something; its ACLs are too narrow")
	}
	return converged && equal && counted && allowed, nil
}

// producers are the two applications, each with the Kafka user that the program declares for it.
func (d *demo) producers(acked chan<- load.Applied) (*load.Producers, error) {
	declared, kafka := d.sites.Declared(d.a), d.sites.Kafka(d.a)
	var users []string
	for _, user := range declared.Producers {
		users = append(users, user)
	}
	if len(users) == 0 {
		return nil, errors.New("the program declares no producer (producers: [] in the stack's configuration); the demo needs one")
	}
	password := func(user string) (string, error) { return d.sites.KafkaPassword(d.a, user) }
	first, other := users[0], users[len(users)-1]
	pass, err := password(first)
	if err != nil {
		return nil, err
	}
	trust, err := broker.Trust(kafka.CA())
	if err != nil {
		return nil, err
	}
	client, err := walclient.New(walclient.Options{
		Brokers: kafka.Addrs(), Name: "demo", Log: declared.Log, TLS: trust, SASL: scram.Auth{User: first, Pass: pass}.AsSha512Mechanism(),
	})
	if err != nil {
		return nil, err
	}
	if pass, err = password(other); err != nil {
		client.Close()
		return nil, err
	}
	opts, err := kafka.OptsAs(other, pass)
	if err != nil {
		client.Close()
		return nil, err
	}
	raw, err := kgo.NewClient(append(opts, kgo.ClientID("demo-other"), kgo.RequiredAcks(kgo.AllISRAcks()))...)
	if err != nil {
		client.Close()
		return nil, err
	}
	return &load.Producers{Go: client, Other: raw, Log: declared.Log, Acked: acked}, nil
}

// work produces everything, kills what is to be killed on the way, and returns when Kafka has all and the failover is over.
func (d *demo) work(ctx context.Context) error {
	acked := make(chan load.Applied, 1<<16)
	p, err := d.producers(acked)
	if err != nil {
		return err
	}
	watch := newWatch(d, p)
	d.say.Blank()
	d.say.Plain("%s operations of two applications at %s: strings, counters, hashes, lists, sets, sorted sets, streams,", thousands(d.plan.Ops), d.a)
	d.say.Plain("expiries, deletes, transactions, JSON records, and %d records that cannot be applied", d.plan.Poison)
	watch.heading()
	watchCtx, stopWatch := context.WithCancel(ctx)
	watching := make(chan struct{})
	go func() { defer close(watching); watch.run(watchCtx) }()
	defer func() { stopWatch(); <-watching; watch.close() }()

	modelled := make(chan error, 1)
	go func() {
		_, err := d.model.Apply(ctx, acked)
		modelled <- err
	}()
	began := time.Now()
	g, gctx := errgroup.WithContext(ctx)
	kill := make(chan struct{})
	g.Go(func() error { return d.produce(gctx, p, kill) })
	var seen latencies
	g.Go(func() (err error) {
		seen, err = d.sample(gctx, p, watch, kill)
		return err
	})
	g.Go(func() error {
		select {
		case <-kill:
			return d.strike(gctx, watch)
		case <-gctx.Done():
			return nil
		}
	})
	err = g.Wait()
	if err == nil {
		err = p.Flush(ctx)
	}
	took := time.Since(began)
	p.Go.Close()
	p.Other.Close()
	close(acked)
	err = errors.Join(err, <-modelled)
	if err != nil {
		return err
	}
	if err := watch.drained(ctx); err != nil {
		return err
	}
	stopWatch()
	<-watching
	d.say.Step("produced", "%s acknowledged in %.1f s, %s per second", thousands(p.Count()), took.Seconds(), thousands(int64(float64(p.Count())/took.Seconds())))
	watch.summary()
	d.say.Step("readable", "%s, before the kill", seen)
	return nil
}

// produce sends the operations and the poison among them, at the plan's rate.
func (d *demo) produce(ctx context.Context, p *load.Producers, kill chan<- struct{}) error {
	mix := load.NewMix(d.plan.Seed, d.plan.Keys)
	began := time.Now()
	for i := range d.plan.Ops {
		if i == int(float64(d.plan.Ops)*d.plan.KillAfter) {
			close(kill)
		}
		if d.plan.Rate > 0 && i%100 == 0 { // a hundred at a time, as a busy application's requests come
			due := began.Add(time.Duration(float64(i) / float64(d.plan.Rate) * float64(time.Second)))
			if wait := time.Until(due); wait > 0 {
				select {
				case <-time.After(wait):
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
		}
		op := mix.Next()
		if op.Refused {
			d.refused++
		}
		if err := p.Send(ctx, op); err != nil {
			return err
		}
		if d.plan.Poison > 0 && i%(d.plan.Ops/d.plan.Poison) == 0 && d.poisoned() < d.plan.Poison {
			op, reason := mix.Poison()
			d.poison[reason]++
			if err := p.Send(ctx, op); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *demo) poisoned() int {
	n := 0
	for _, c := range d.poison {
		n += c
	}
	return n
}

// strike kills the primary and an applier and waits for the failover.
func (d *demo) strike(ctx context.Context, w *watch) error {
	redis, pods := d.sites.Redis(d.a), d.sites.Pods(d.a)
	victim := pods[len(pods)-1]
	name, old, err := redis.KillPrimary(ctx)
	if err != nil {
		return err
	}
	at := time.Now()
	if err := victim.Kill(); err != nil {
		return err
	}
	d.say.Step("KILL -9", "%s, the primary, and %s, an applier", name, victim.Name)
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	primary, err := redis.AwaitPrimary(ctx, old)
	if err != nil {
		return err
	}
	promoted := time.Now()
	resumed, err := w.resumed(ctx, d.a, primary)
	if err != nil {
		return err
	}
	d.say.Step("failover", "%s is the primary %.1f s after the kill; applied again %.1f s later", primary, promoted.Sub(at).Seconds(), resumed.Sub(promoted).Seconds())
	return nil
}

// check runs the Jobs of both sites at once, as two deployments would.
func (d *demo) check(ctx context.Context) (bool, error) {
	results := make([][]realise.JobResult, 2)
	g, ctx := errgroup.WithContext(ctx)
	for i, site := range d.sites.Names() {
		g.Go(func() (err error) {
			results[i], err = d.sites.RunJobs(ctx, site)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	ok := true
	d.say.Blank()
	for i, site := range d.sites.Names() {
		if len(results[i]) == 0 {
			return false, fmt.Errorf("the program of %s declares no Job", site)
		}
		for _, r := range results[i] {
			d.say.Step("check "+site, "exit code %d after %.1f s: %s", r.ExitCode, r.Took.Seconds(), lastLine(r.Output))
			if r.ExitCode != 0 {
				d.say.Quote(r.Output)
				ok = false
			}
		}
	}
	return ok, nil
}

// lastLine is the check's verdict; the table before it is in the job's log.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
