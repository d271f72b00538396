package sink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Place is a Redis that is read beside the data path.
type Place struct {
	Addr    string
	Replica bool
}

// readTimeout bounds one answer to a reader.
const readTimeout = 10 * time.Second

// Reader connects for reading: to a replica that is in sync, so that the primary has no part in it, or to the primary if there is none.
// The client has one connection; it is for the caller to close.
func (s *Sink) Reader(ctx context.Context) (*redis.Client, Place, error) {
	a, err := s.ask(ctx)
	if err != nil {
		return nil, Place{}, err
	}
	for _, addr := range s.sentinels.replicas(ctx) {
		c := s.ReaderAt(addr)
		role, err := c.Do(ctx, "ROLE").Slice()
		if err == nil && len(role) >= 4 && role[0] == "slave" && role[3] == "connected" {
			return c, Place{Addr: addr, Replica: true}, nil
		}
		_ = c.Close() // not in sync, or not there: the next one
	}
	c := s.ReaderAt(a.Primary)
	if err := c.Ping(ctx).Err(); err != nil {
		return nil, Place{}, errors.Join(fmt.Errorf("read the primary %s: %w", a.Primary, err), c.Close())
	}
	return c, Place{Addr: a.Primary}, nil
}

// ReaderAt is a client of one Redis. It connects when it is used.
func (s *Sink) ReaderAt(addr string) *redis.Client {
	return s.reader(addr, func(context.Context) (username, password string, err error) {
		password, err = s.password()
		if password == "" {
			return "", "", err
		}
		return s.opts.Username, password, err
	})
}

// ReaderAs is [Sink.ReaderAt] of the default user, with a password that is given.
func (s *Sink) ReaderAs(addr, password string) *redis.Client {
	return s.reader(addr, func(context.Context) (string, string, error) { return "default", password, nil })
}

func (s *Sink) reader(addr string, credentials func(context.Context) (username, password string, err error)) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: addr, Dialer: s.opts.Dial, MaxRetries: -1, PoolSize: 1, MinIdleConns: 0, Protocol: 2, DisableIdentity: true,
		ReadTimeout: readTimeout, WriteTimeout: readTimeout, DialerRetries: 1, ContextTimeoutEnabled: true,
		CredentialsProviderContext: credentials,
	})
}

// Password is the one in the mounted file now; "" = none is named.
func (s *Sink) Password() (string, error) { return s.password() }

// SentinelClients are those of all Sentinels that were named, and of the seeds.
func (s *Sink) SentinelClients() map[string]*redis.SentinelClient {
	out := map[string]*redis.SentinelClient{}
	for _, addr := range s.sentinels.addrs() {
		out[addr] = s.sentinels.client(addr)
	}
	return out
}

// replicas are those that the first Sentinel who answers believes to be well.
func (s *Sentinels) replicas(ctx context.Context) []string {
	var out []string
	for _, r := range s.known(ctx) {
		if r["master-link-status"] == "ok" && !strings.Contains(r["flags"], "down") && !strings.Contains(r["flags"], "disconnected") {
			out = append(out, net.JoinHostPort(r["ip"], r["port"]))
		}
	}
	return out
}

// known are the replicas that the first Sentinel who answers knows, each with what it says of it.
func (s *Sentinels) known(ctx context.Context) []map[string]string {
	for _, addr := range s.addrs() {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		all, err := s.client(addr).Replicas(ctx, s.master).Result()
		cancel()
		if err == nil {
			return all
		}
	}
	return nil
}

// Look asks the Sentinels for the primary, and for the addresses of all replicas that they know, whether or not they are well.
func (s *Sink) Look(ctx context.Context) (a Answer, replicas []string, err error) {
	if a, err = s.ask(ctx); err != nil {
		return a, nil, err
	}
	for _, r := range s.sentinels.known(ctx) {
		replicas = append(replicas, net.JoinHostPort(r["ip"], r["port"]))
	}
	return a, replicas, nil
}

// DialAt connects to one Redis, and authenticates. The connection is for the caller to close.
func (s *Sink) DialAt(ctx context.Context, addr string) (net.Conn, error) {
	password, err := s.password()
	if err != nil {
		return nil, err
	}
	nc, err := s.opts.Dial(ctx, "tcp", addr)
	if err != nil || password == "" {
		return nc, err
	}
	c := &Conn{net: nc, r: bufio.NewReader(nc)}
	auth := []string{"AUTH", password}
	if s.opts.Username != "" {
		auth = []string{"AUTH", s.opts.Username, password}
	}
	if _, err := c.do(ctx, auth); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return nc, nc.SetDeadline(time.Time{}) // nothing more was read: one command has one answer
}
