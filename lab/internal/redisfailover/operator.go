package redisfailover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// roundEvery is the pause between two rounds. The operator's is 30 s; everything that a round does waits for it, so the
// lab is quicker.
const roundEvery = 200 * time.Millisecond

// answerWithin bounds every question, so that a frozen pod does not stop the rounds.
const answerWithin = 500 * time.Millisecond

// nobody is the prefix of the address that a pod replicates until it was told its primary.
const nobody = "127.0.0.1"

func dial(addr, password string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: addr, Password: password, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1, PoolSize: 2,
		DialTimeout: answerWithin, ReadTimeout: answerWithin, WriteTimeout: answerWithin,
	})
}

// operator makes the rounds: it knows nothing but what the pods answer.
type operator struct {
	f         *Failover
	redis     []*redis.Client
	sentinels []*redis.SentinelClient
	// configured is the run id that customConfig was last applied to, by pod: it is not in redis.conf, so it goes with
	// the process.
	configured []string
	lastErr    string
	// lostQuorum says that the last round found no primary and no quorum of Sentinels.
	lostQuorum bool
}

func (o *operator) work(ctx context.Context) {
	for _, p := range o.f.redis {
		o.redis = append(o.redis, dial(p.addr(), o.f.cfg.Password))
	}
	for _, p := range o.f.sentinels {
		o.sentinels = append(o.sentinels, dialSentinel(p.addr()))
	}
	o.configured = make([]string, len(o.redis))
	defer func() {
		for _, c := range o.redis {
			_ = c.Close()
		}
		for _, c := range o.sentinels {
			_ = c.Close()
		}
	}()
	tick := time.NewTicker(roundEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := o.round(ctx)
		if ctx.Err() != nil {
			return
		}
		if said := fmt.Sprint(err); err != nil && said != o.lastErr { // once per trouble, not five times a second
			o.f.cfg.Log.Warn("operator's round", "redisFailover", o.f.cfg.Spec.Metadata.Name, "err", err)
			o.lastErr = said
		} else if err == nil {
			o.lastErr = ""
		}
	}
}

func dialSentinel(addr string) *redis.SentinelClient {
	return redis.NewSentinelClient(&redis.Options{
		Addr: addr, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1, PoolSize: 2,
		DialTimeout: answerWithin, ReadTimeout: answerWithin, WriteTimeout: answerWithin,
	})
}

// state is what one Redis pod says of itself.
type state struct {
	up, master bool
	masterHost string
	linkUp     bool
	replicas   int // that follow, if master
	runID      string
	uptime     int // seconds
}

func ask(ctx context.Context, c *redis.Client) state {
	info, err := c.InfoMap(ctx, "server", "replication").Result()
	if err != nil {
		return state{}
	}
	r := info["Replication"]
	n, _ := strconv.Atoi(r["connected_slaves"])
	uptime, _ := strconv.Atoi(info["Server"]["uptime_in_seconds"])
	return state{
		up: true, master: r["role"] == "master", masterHost: r["master_host"], linkUp: r["master_link_status"] == "up",
		replicas: n, runID: info["Server"]["run_id"], uptime: uptime,
	}
}

// round brings the pods one step nearer to one primary that all follow and all Sentinels watch. A running failover is the
// Sentinels' affair: as long as they have a primary, nothing is promoted here.
func (o *operator) round(ctx context.Context) error {
	states := make([]state, len(o.redis))
	up, masters, primary := 0, 0, -1
	for i, c := range o.redis {
		states[i] = ask(ctx, c)
		if states[i].up {
			up++
		}
		if states[i].master {
			masters++
			primary = i
		}
	}
	watched := o.watched(ctx)
	switch {
	case masters > 1:
		return nil // the Sentinels demote the old primary as soon as they see it
	case masters == 0:
		if o.noQuorum(watched) && o.lostQuorum {
			return o.promoteOldest(ctx, states)
		}
		o.lostQuorum = o.noQuorum(watched) // for a second round: one that has only just started is not gone
		waiting := func(s state) bool { return s.up && strings.HasPrefix(s.masterHost, nobody) }
		if up < len(o.redis) || slices.ContainsFunc(watched, func(a string) bool { return a != "" }) || !allOf(states, waiting) {
			return nil
		}
		return o.redis[0].ReplicaOf(ctx, "NO", "ONE").Err()
	}
	host, port := o.f.redis[primary].ip, strconv.Itoa(o.f.redis[primary].port)
	var errs []error
	for i, s := range states {
		if s.up && i != primary && strings.HasPrefix(s.masterHost, nobody) {
			errs = append(errs, o.redis[i].ReplicaOf(ctx, host, port).Err())
		}
		if s.up && o.configured[i] != s.runID {
			err := o.configure(ctx, o.redis[i])
			if err == nil {
				o.configured[i] = s.runID
			}
			errs = append(errs, err)
		}
	}
	// A Sentinel learns the replicas from its first look at the primary and then only every ten seconds.
	if states[primary].replicas >= up-1 {
		for i, addr := range watched {
			if addr == "" {
				errs = append(errs, o.monitor(ctx, o.sentinels[i], host, port))
			}
		}
	}
	return errors.Join(errs...)
}

// noQuorum says that some Sentinels answer and too few of them know a primary to agree on another one: those that started anew know
// nothing. Then nobody but the operator can promote.
func (o *operator) noQuorum(watched []string) bool {
	know := 0
	for _, addr := range watched {
		if addr != "" {
			know++
		}
	}
	return know > 0 && know < o.f.cfg.Spec.Quorum()
}

// promoteOldest does what the operator does then: the pod that is up for longest becomes the primary, the Sentinels watch it from now on.
func (o *operator) promoteOldest(ctx context.Context, states []state) error {
	for _, c := range o.sentinels {
		if c.Ping(ctx).Err() != nil {
			return nil // the operator does nothing while a pod is missing
		}
	}
	oldest := -1
	for i, s := range states {
		if !s.up {
			return nil
		}
		if oldest < 0 || s.uptime > states[oldest].uptime {
			oldest = i
		}
	}
	o.lostQuorum = false
	for _, c := range o.sentinels {
		_ = c.Remove(ctx, MasterName).Err() // one that knows none says so
	}
	if err := o.redis[oldest].ReplicaOf(ctx, "NO", "ONE").Err(); err != nil {
		return err
	}
	host, port := o.f.redis[oldest].ip, strconv.Itoa(o.f.redis[oldest].port)
	var errs []error
	for i, c := range o.redis {
		if i != oldest {
			errs = append(errs, c.ReplicaOf(ctx, host, port).Err())
		}
	}
	return errors.Join(errs...)
}

func allOf(states []state, ok func(state) bool) bool {
	return !slices.ContainsFunc(states, func(s state) bool { return !ok(s) })
}

// watched is the primary that each Sentinel names; empty = none, or the Sentinel does not answer.
func (o *operator) watched(ctx context.Context) []string {
	out := make([]string, len(o.sentinels))
	for i, s := range o.sentinels {
		if at, err := s.GetMasterAddrByName(ctx, MasterName).Result(); err == nil && len(at) == 2 {
			out[i] = net.JoinHostPort(at[0], at[1])
		}
	}
	return out
}

func (o *operator) configure(ctx context.Context, c *redis.Client) error {
	for _, line := range o.f.cfg.Spec.Spec.Redis.CustomConfig {
		name, value, err := splitConfig(line)
		if err != nil {
			return err
		}
		if err := c.ConfigSet(ctx, name, strings.Trim(value, `"`)).Err(); err != nil {
			return fmt.Errorf("customConfig %q: %w; what CONFIG SET refuses belongs in spec.redis.command", line, err)
		}
	}
	return nil
}

func (o *operator) monitor(ctx context.Context, s *redis.SentinelClient, host, port string) error {
	if err := s.Ping(ctx).Err(); err != nil {
		return nil // it is not there: the next round asks again
	}
	if err := s.Monitor(ctx, MasterName, host, port, strconv.Itoa(o.f.cfg.Spec.Quorum())).Err(); err != nil {
		return fmt.Errorf("SENTINEL MONITOR: %w", err)
	}
	if o.f.cfg.Password != "" {
		if err := s.Set(ctx, MasterName, "auth-pass", o.f.cfg.Password).Err(); err != nil {
			return fmt.Errorf("SENTINEL SET auth-pass: %w", err)
		}
	}
	for _, line := range o.f.cfg.Spec.Spec.Sentinel.CustomConfig {
		name, value, err := splitConfig(line)
		if err != nil {
			return err
		}
		if err := s.Set(ctx, MasterName, name, value).Err(); err != nil {
			return fmt.Errorf("sentinel.customConfig %q: %w", line, err)
		}
	}
	return nil
}

// Primary is the address that a majority of the Sentinels names.
func (f *Failover) Primary(ctx context.Context) (string, error) {
	votes := make(map[string]int)
	for _, p := range f.sentinels {
		c := dialSentinel(p.addr())
		at, err := c.GetMasterAddrByName(ctx, MasterName).Result()
		_ = c.Close()
		if err != nil || len(at) != 2 {
			continue
		}
		addr := net.JoinHostPort(at[0], at[1])
		if votes[addr]++; votes[addr] > len(f.sentinels)/2 {
			return addr, nil
		}
	}
	return "", fmt.Errorf("%s: no primary that a majority of %d Sentinels agrees on: %v", f.cfg.Spec, len(f.sentinels), votes)
}

// AwaitPrimary waits until a majority of the Sentinels names a primary other than old that says so itself, and
// returns its address.
func (f *Failover) AwaitPrimary(ctx context.Context, old string) (string, error) {
	var primary string
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		addr, err := f.Primary(ctx)
		if err == nil && addr != old {
			c := dial(addr, f.cfg.Password)
			s := ask(ctx, c)
			_ = c.Close()
			if s.master {
				primary = addr
				break
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("wait for a primary other than %s: %w", old, errors.Join(context.Cause(ctx), err))
		case <-tick.C:
		}
	}
	return primary, nil
}

// whole says what is missing to one primary, all replicas in step with it, and Sentinels that know them all.
func (f *Failover) whole(ctx context.Context) error {
	primaries := 0
	for _, p := range f.redis {
		c := dial(p.addr(), f.cfg.Password)
		s := ask(ctx, c)
		_ = c.Close()
		switch {
		case !s.up:
			return fmt.Errorf("%s does not answer at %s", p.name, p.addr())
		case s.master:
			primaries++
		case !s.linkUp:
			return fmt.Errorf("%s is not in step with its primary (%s)", p.name, s.masterHost)
		}
	}
	if primaries != 1 {
		return fmt.Errorf("%d primaries among %d Redis", primaries, len(f.redis))
	}
	for _, p := range f.sentinels {
		c := dialSentinel(p.addr())
		m, err := c.Master(ctx, MasterName).Result()
		_ = c.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		slaves, others := strconv.Itoa(len(f.redis)-1), strconv.Itoa(len(f.sentinels)-1)
		if m["flags"] != "master" || m["num-slaves"] != slaves || m["num-other-sentinels"] != others {
			return fmt.Errorf("%s sees flags %s, %s replicas of %s, %s other Sentinels of %s", p.name, m["flags"],
				m["num-slaves"], slaves, m["num-other-sentinels"], others)
		}
	}
	return nil
}
