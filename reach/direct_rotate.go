package reach

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/reach/rotate"
)

const (
	// rotateTimeout bounds what is asked of one Redis or Sentinel: one on a dead node must not keep the others waiting.
	rotateTimeout = 3 * time.Second
	defaultUser   = "default"
)

// Rotate implements [Site]. No password is in what it returns, nor in an error.
func (d *Direct) Rotate(ctx context.Context, r rotate.Request) (rotate.State, error) {
	if err := r.Password.Check(); err != nil {
		return refusedState(err.Error()), nil
	}
	if d.user != "" && d.user != defaultUser {
		return refusedState(fmt.Sprintf("the appliers are the user %q of Redis: this is about the password of the default user", d.user)), nil
	}
	mounted, err := d.redis.Password()
	if err != nil {
		return rotate.State{}, fmt.Errorf("%s: %w", d.self(), err)
	}
	if mounted == "" {
		return refusedState("the appliers show no password to Redis (APPLIER_REDIS_PASSWORD_FILE)"), nil
	}
	named, err := d.redis.Ask(ctx)
	if err != nil {
		return rotate.State{}, fmt.Errorf("redis of %s: %w", d.self(), err)
	}
	t := &rotation{d: d, new: r.Password, known: []rotate.Secret{r.Password, rotate.Secret(mounted)}, clients: map[string]*redis.Client{}, sentinels: map[string]*redis.SentinelClient{}}
	defer t.close()
	seen := rotate.Observed{New: r.Password.Sum(), Mounted: rotate.Secret(mounted).Sum(), Primary: named.Primary, Agreed: named.Agreed}
	seen.Sentinels = t.lookAtSentinels(ctx, r.Told)
	seen.Redis = t.lookAtRedis(ctx, seen)
	v := rotate.Judge(seen)
	if !r.Act || len(v.Refused) > 0 {
		return v.State, ctx.Err()
	}
	drops := r.Drop && v.Phase == rotate.PhaseDrop && len(v.Waits) == 0
	t.act(ctx, &v, seen, v.Steps)
	if drops {
		t.act(ctx, &v, seen, v.Drops)
	}
	return v.State, ctx.Err()
}

func refusedState(why string) rotate.State {
	return rotate.State{Redis: []rotate.RedisState{}, Sentinels: []rotate.SentinelState{}, Refused: []string{why}, Waits: []string{}, Did: []string{}, Told: map[string]rotate.Mark{}}
}

// rotation is one step.
type rotation struct {
	d         *Direct
	new       rotate.Secret
	sentinels map[string]*redis.SentinelClient // by address

	mu      sync.Mutex
	known   []rotate.Secret          // that may open a Redis
	clients map[string]*redis.Client // by address, of those that took a password
}

func (t *rotation) close() {
	for _, c := range t.clients {
		_ = c.Close() // everything was asked
	}
}

// plain is an error as text, without a password: Redis repeats what it does not like.
func (t *rotation) plain(err error) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := err.Error()
	for _, p := range t.known {
		if p != "" {
			text = strings.ReplaceAll(strings.ReplaceAll(text, string(p), "(a password)"), p.Sum(), "(a password)")
		}
	}
	return text
}

// lookAtSentinels asks all Sentinels. One that several addresses lead to is there once, by the address that the others have for it.
func (t *rotation) lookAtSentinels(ctx context.Context, told map[string]rotate.Mark) []rotate.Sentinel {
	t.sentinels = t.d.redis.Sentinels()
	var mu sync.Mutex
	var all []rotate.Sentinel
	named := map[string]bool{} // by another one
	each(t.sentinels, func(addr string, c *redis.SentinelClient) {
		ctx, cancel := context.WithTimeout(ctx, rotateTimeout)
		defer cancel()
		s, others, err := t.sentinel(ctx, addr, c)
		if err != nil {
			s = rotate.Sentinel{Addr: addr, Silent: t.plain(err)}
		}
		if before, ok := told[s.ID]; ok && err == nil {
			s.Told = s.Mark.Same(before)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, s)
		for _, o := range others {
			named[o] = true
		}
	})
	slices.SortFunc(all, func(a, b rotate.Sentinel) int {
		if named[a.Addr] != named[b.Addr] { // those that are known by name come first
			if named[a.Addr] {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Addr, b.Addr)
	})
	var out []rotate.Sentinel
	ids := map[string]bool{}
	for _, s := range all {
		if s.Silent != "" && !named[s.Addr] && len(named) > 0 || s.ID != "" && ids[s.ID] {
			continue
		}
		ids[s.ID] = true
		out = append(out, s)
	}
	return out
}

func (t *rotation) sentinel(ctx context.Context, addr string, c *redis.SentinelClient) (s rotate.Sentinel, others []string, err error) {
	s = rotate.Sentinel{Addr: addr}
	id, server := redis.NewStringCmd(ctx, "SENTINEL", "MYID"), redis.NewStringCmd(ctx, "INFO", "server")
	if err := errors.Join(c.Process(ctx, id), c.Process(ctx, server)); err != nil {
		return s, nil, err
	}
	s.ID = id.Val()
	master, err := c.Master(ctx, t.d.master).Result()
	if err != nil {
		return s, nil, err
	}
	replicas, err := c.Replicas(ctx, t.d.master).Result()
	if err != nil {
		return s, nil, err
	}
	sentinels, err := c.Sentinels(ctx, t.d.master).Result()
	if err != nil {
		return s, nil, err
	}
	at := infoFields(server.Val())
	now, _ := strconv.ParseInt(at["server_time_usec"], 10, 64)
	watches, err := strconv.ParseInt(master["role-reported-time"], 10, 64)
	if err != nil {
		return s, nil, fmt.Errorf("SENTINEL MASTER: role-reported-time: %w", err)
	}
	s.Mark, s.Primary = rotate.Mark{Run: at["run_id"], Since: now/1000 - watches}, addrOf(master)
	for _, r := range append(replicas, master) {
		if addrOf(r) != s.Primary {
			s.Replicas = append(s.Replicas, addrOf(r))
		}
		if strings.Contains(r["flags"], "down") || strings.Contains(r["flags"], "disconnected") {
			s.Down = append(s.Down, addrOf(r))
		}
	}
	for _, o := range sentinels {
		others = append(others, addrOf(o))
	}
	return s, others, nil
}

func addrOf(fields map[string]string) string { return net.JoinHostPort(fields["ip"], fields["port"]) }

// lookAtRedis asks the primary and all replicas that a Sentinel knows. Who takes neither the new password nor the mounted one, may take one that another Redis has: a pod that
// is made anew before the operator has heard of the new password is.
func (t *rotation) lookAtRedis(ctx context.Context, seen rotate.Observed) []rotate.Redis {
	addrs := map[string]bool{seen.Primary: true}
	for _, s := range seen.Sentinels {
		for _, addr := range s.Replicas {
			if s.Primary == seen.Primary {
				addrs[addr] = true
			}
		}
	}
	var mu sync.Mutex
	out := map[string]rotate.Redis{}
	look := func(addr string, _ bool) {
		r, err := t.redis(ctx, addr, seen.Primary)
		if err != nil {
			r = rotate.Redis{Addr: addr, Silent: t.plain(err)}
		}
		mu.Lock()
		defer mu.Unlock()
		out[addr] = r
	}
	each(addrs, look)
	maps.DeleteFunc(addrs, func(addr string, _ bool) bool { return out[addr].Silent == "" })
	each(addrs, look)
	return slices.Collect(maps.Values(out))
}

// redis asks one Redis, with the first password that opens it.
func (t *rotation) redis(ctx context.Context, addr, primary string) (rotate.Redis, error) {
	ctx, cancel := context.WithTimeout(ctx, rotateTimeout)
	defer cancel()
	t.mu.Lock()
	known := slices.Clone(t.known)
	t.mu.Unlock()
	for _, p := range known {
		c := t.d.redis.As(addr, string(p))
		r, err := t.ask(ctx, c, addr, primary)
		if err == nil {
			t.mu.Lock()
			t.clients[addr] = c
			t.mu.Unlock()
			return r, nil
		}
		_ = c.Close() // it did not open
		if !redis.HasErrorPrefix(err, "WRONGPASS") && !redis.HasErrorPrefix(err, "NOAUTH") {
			return r, err
		}
	}
	return rotate.Redis{}, errors.New("it takes no password that is known here: neither the new one, nor that of the applier's pod, nor one of another Redis")
}

func (t *rotation) ask(ctx context.Context, c *redis.Client, addr, primary string) (rotate.Redis, error) {
	r := rotate.Redis{Addr: addr}
	user, err := c.Do(ctx, "ACL", "GETUSER", defaultUser).Slice()
	if err != nil {
		return r, err
	}
	for i := 0; i+1 < len(user); i += 2 {
		list, _ := user[i+1].([]any)
		for _, v := range list {
			switch {
			case user[i] == "passwords":
				r.Passwords = append(r.Passwords, fmt.Sprint(v))
			case user[i] == "flags" && v == "nopass":
				r.NoPass = true
			}
		}
	}
	for name, sum := range map[string]*string{"requirepass": &r.Started, "masterauth": &r.MasterAuth} {
		value, err := c.ConfigGet(ctx, name).Result()
		if err != nil {
			return r, fmt.Errorf("CONFIG GET %s: %w", name, err)
		}
		p := rotate.Secret(value[name])
		*sum = p.Sum()
		t.learn(p)
	}
	at, err := info(ctx, c, "replication")
	if err != nil {
		return r, err
	}
	switch at["role"] {
	case "master":
		r.InRole = addr == primary
	case "slave":
		r.InRole = addr != primary && net.JoinHostPort(at["master_host"], at["master_port"]) == primary && at["master_link_status"] == "up" && at["master_sync_in_progress"] == "0"
	}
	return r, nil
}

func (t *rotation) learn(p rotate.Secret) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p != "" && !slices.Contains(t.known, p) {
		t.known = append(t.known, p)
	}
}

// act does steps in their order, and ends at the first that fails: what was seen is no longer so.
func (t *rotation) act(ctx context.Context, v *rotate.Verdict, seen rotate.Observed, steps []rotate.Step) {
	for _, s := range steps {
		if err := t.step(ctx, s); err != nil {
			v.Waits = append(v.Waits, fmt.Sprintf("%s: %s", s.Addr, t.plain(err)))
			return
		}
		v.Did = append(v.Did, s.Done(seen.New))
		if s.Do == rotate.AuthPass {
			for _, o := range seen.Sentinels {
				if o.Addr == s.Addr {
					v.Told[o.ID] = o.Mark
				}
			}
		}
	}
}

func (t *rotation) step(ctx context.Context, s rotate.Step) error {
	ctx, cancel := context.WithTimeout(ctx, rotateTimeout)
	defer cancel()
	switch s.Do {
	case rotate.Add: // by its sum: Redis repeats in an error what it got
		return t.clients[s.Addr].Do(ctx, "ACL", "SETUSER", defaultUser, "#"+s.Password).Err()
	case rotate.MasterAuth:
		return t.clients[s.Addr].ConfigSet(ctx, "masterauth", string(t.new)).Err()
	case rotate.AuthPass:
		return t.sentinels[s.Addr].Process(ctx, redis.NewStatusCmd(ctx, "SENTINEL", "SET", t.d.master, "auth-pass", string(t.new)))
	case rotate.Drop:
		return t.clients[s.Addr].Do(ctx, "ACL", "SETUSER", defaultUser, "!"+s.Password).Err()
	}
	return fmt.Errorf("step %d is not known", s.Do)
}

// each does something for all at once, and waits for all.
func each[V any](all map[string]V, do func(string, V)) {
	var group sync.WaitGroup
	for name, v := range all {
		group.Go(func() { do(name, v) })
	}
	group.Wait()
}
