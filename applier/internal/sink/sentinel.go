package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/comptech-lab/redis-wal/applier/internal/mounted"
)

// askTimeout bounds one question to one Sentinel: one on a dead node must not delay the answers of the others.
const askTimeout = 500 * time.Millisecond

// Sentinels knows which Redis is the primary. It begins with some addresses, of which one may be a Service in front of all
// Sentinels, and learns the others from their answers.
type Sentinels struct {
	master string
	seeds  []string
	dial   DialFunc
	login  Login

	mu      sync.Mutex
	learned []string
	clients map[string]*redis.SentinelClient
}

// QuietClient keeps the client library from writing lines of its own to stderr, between those of the applier's log: what it has to
// say comes back as an error too. It is for the process to call, once: the library's logger is global.
func QuietClient() { logging.Disable() }

// Login are the credentials at the Sentinels; no PasswordFile = none are asked for.
type Login struct{ Username, PasswordFile string }

// read reads the password at each connection, so that a rotated one is taken up.
func (l Login) read(context.Context) (username, password string, err error) {
	if l.PasswordFile == "" {
		return "", "", nil
	}
	password, err = mounted.Password("APPLIER_SENTINEL_PASSWORD_FILE", l.PasswordFile)
	return l.Username, password, err
}

// NewSentinels returns the Sentinels behind the seeds that watch the given master name.
func NewSentinels(master string, seeds []string, dial DialFunc, login Login) *Sentinels {
	return &Sentinels{master: master, seeds: seeds, dial: dial, login: login, clients: map[string]*redis.SentinelClient{}}
}

// Close closes the connections to the Sentinels.
func (s *Sentinels) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, c := range s.clients {
		errs = append(errs, c.Close())
	}
	clear(s.clients)
	return errors.Join(errs...)
}

// Answer is what the Sentinels say.
type Answer struct {
	// Primary is the address that the most Sentinels name; of two with as many, that of the later failover.
	Primary string
	// Agreed says that a majority of all known Sentinels named it. Less is enough to apply, because the checkpoint guards every batch;
	// it is not enough to declare a partition halted.
	Agreed bool
}

// vote is one Sentinel's answer.
type vote struct {
	id      string // of the Sentinel: several addresses may lead to one
	primary string
	epoch   int64 // of the failover that made it the primary
	peers   int   // how many other Sentinels this one knows
	others  []string
}

// Ask asks all known Sentinels. The error wraps [ErrNoPrimary] if none of them names a primary.
func (s *Sentinels) Ask(ctx context.Context) (Answer, error) {
	votes := map[string]vote{}
	var lastErr error
	asked := map[string]bool{}
	for addrs := s.addrs(); len(addrs) > 0; addrs = s.unasked(asked, votes) {
		for _, r := range s.round(ctx, addrs) {
			asked[r.addr] = true
			if r.err != nil {
				lastErr = fmt.Errorf("sentinel %s: %w", r.addr, s.explain(r.err))
				continue
			}
			votes[r.vote.id] = r.vote
		}
	}
	if len(votes) > 0 {
		s.learn(votes)
	}
	a, ok := count(votes)
	if !ok {
		return a, fmt.Errorf("%w: none of %d sentinels names one for %q: %w", ErrNoPrimary, len(asked), s.master, cmp.Or(lastErr, errors.New("they answer 127.0.0.1: not set up yet")))
	}
	return a, nil
}

// count finds the primary that the votes name.
func count(votes map[string]vote) (Answer, bool) {
	type tally struct {
		votes int
		epoch int64
	}
	tallies := map[string]tally{}
	total := len(votes)
	for _, v := range votes {
		total = max(total, v.peers+1)
		// A Sentinel that was just started watches 127.0.0.1 until the operator tells it better.
		if host, _, err := net.SplitHostPort(v.primary); err != nil || host == "127.0.0.1" {
			continue
		}
		t := tallies[v.primary]
		tallies[v.primary] = tally{t.votes + 1, max(t.epoch, v.epoch)}
	}
	var best Answer
	var bestTally tally
	for addr, t := range tallies {
		if c := cmp.Or(cmp.Compare(t.votes, bestTally.votes), cmp.Compare(t.epoch, bestTally.epoch), cmp.Compare(best.Primary, addr)); c > 0 {
			best, bestTally = Answer{Primary: addr, Agreed: 2*t.votes > total}, t
		}
	}
	return best, best.Primary != ""
}

func (s *Sentinels) addrs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Concat(s.seeds, s.learned)
	slices.Sort(all)
	return slices.Compact(all)
}

// unasked are the addresses that the votes mention and nobody has asked yet.
func (s *Sentinels) unasked(asked map[string]bool, votes map[string]vote) []string {
	var out []string
	for _, v := range votes {
		for _, o := range v.others {
			if !asked[o] && !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	return out
}

// learn keeps the addresses that the Sentinels name themselves, so that a replaced Sentinel is forgotten with its last mention.
func (s *Sentinels) learn(votes map[string]vote) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.learned = s.learned[:0]
	for _, v := range votes {
		s.learned = append(s.learned, v.others...)
	}
	slices.Sort(s.learned)
	s.learned = slices.Compact(s.learned)
	for addr, c := range s.clients {
		if !slices.Contains(s.learned, addr) && !slices.Contains(s.seeds, addr) {
			_ = c.Close() // a question in flight on it fails: that Sentinel was replaced
			delete(s.clients, addr)
		}
	}
}

// explain adds the remedy to what a Sentinel refuses.
func (s *Sentinels) explain(err error) error {
	var remedy string
	switch {
	case redis.HasErrorPrefix(err, "No such master"):
		remedy = fmt.Sprintf("it does not watch %q; set APPLIER_SENTINEL_MASTER to the name in its configuration", s.master)
	case redis.HasErrorPrefix(err, "NOAUTH") && s.login.PasswordFile == "":
		remedy = "it wants a password; name the file with it in APPLIER_SENTINEL_PASSWORD_FILE"
	case redis.HasErrorPrefix(err, "NOAUTH"), redis.HasErrorPrefix(err, "WRONGPASS"):
		remedy = "it does not accept the password in APPLIER_SENTINEL_PASSWORD_FILE=" + s.login.PasswordFile
	case redis.HasErrorPrefix(err, "NOPERM"):
		remedy = "its user of APPLIER_SENTINEL_USERNAME may not ask `SENTINEL MYID`, `SENTINEL MASTER` and `SENTINEL SENTINELS`"
	default:
		return err
	}
	return fmt.Errorf("%s: %w", remedy, err)
}

type answer struct {
	addr string
	vote vote
	err  error
}

func (s *Sentinels) round(ctx context.Context, addrs []string) []answer {
	out := make([]answer, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		wg.Go(func() {
			v, err := s.ask(ctx, addr)
			out[i] = answer{addr, v, err}
		})
	}
	wg.Wait()
	return out
}

func (s *Sentinels) client(addr string) *redis.SentinelClient {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[addr]
	if c == nil {
		c = redis.NewSentinelClient(&redis.Options{
			Addr: addr, Dialer: s.dial, MaxRetries: -1, PoolSize: 1, MinIdleConns: 0, Protocol: 2, DisableIdentity: true,
			CredentialsProviderContext: s.login.read, DialTimeout: askTimeout, ReadTimeout: askTimeout, WriteTimeout: askTimeout, DialerRetries: 1,
		})
		s.clients[addr] = c
	}
	return c
}

func (s *Sentinels) ask(ctx context.Context, addr string) (vote, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c := s.client(addr)
	id := redis.NewStringCmd(ctx, "SENTINEL", "MYID")
	if err := c.Process(ctx, id); err != nil {
		return vote{}, err
	}
	m, err := c.Master(ctx, s.master).Result()
	if err != nil {
		return vote{}, err
	}
	others, err := c.Sentinels(ctx, s.master).Result()
	if err != nil {
		return vote{}, err
	}
	v := vote{id: id.Val(), primary: net.JoinHostPort(m["ip"], m["port"]), peers: len(others)}
	v.epoch, _ = strconv.ParseInt(m["config-epoch"], 10, 64) // only to break a tie; absent in no version that is supported
	for _, o := range others {
		v.others = append(v.others, net.JoinHostPort(o["ip"], o["port"]))
	}
	return v, nil
}
