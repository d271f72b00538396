// Package primary turns the environment contract into what reaches a site's Redis: the Sentinels, which name the primary, and clients of one Redis.
// Everything in this module that reaches Redis by that contract starts from the same options: the applier, and whoever looks at a site from outside.
package primary

import (
	"context"
	"errors"
	"net"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/mounted"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/wal"
)

// Options says how the Redis of c is reached.
//
// The files of passwords and certificates are read here once, because one that is missing from the beginning was forgotten, and is better known at once; and
// again at every connection, so that a rotated one is taken up without a restart.
func Options(c config.Run) (sink.Options, error) {
	o := sink.Options{
		Sites: wal.Sites{Self: c.Site, Peer: c.Peer}, Log: c.Log, Sentinels: c.Sentinels, SentinelMaster: c.SentinelMaster,
		Username: c.RedisUsername, PasswordFile: c.RedisPasswordFile,
		SentinelUsername: c.SentinelUsername, SentinelPasswordFile: c.SentinelPasswordFile,
	}
	var errs []error
	for _, f := range []struct{ env, file string }{
		{"APPLIER_REDIS_PASSWORD_FILE", c.RedisPasswordFile}, {"APPLIER_SENTINEL_PASSWORD_FILE", c.SentinelPasswordFile},
	} {
		if f.file != "" {
			_, err := mounted.Password(f.env, f.file)
			errs = append(errs, err)
		}
	}
	if c.RedisTLS {
		o.TLS = &mounted.TLS{Prefix: "APPLIER_REDIS", CAFile: c.RedisCAFile, CertFile: c.RedisCertFile, KeyFile: c.RedisKeyFile, ServerName: c.RedisServerName}
		errs = append(errs, o.TLS.Check())
	}
	return o, errors.Join(errs...)
}

// Redis is the Redis of a site, as one sees it who is not its applier. It is safe for use by many goroutines.
type Redis struct{ sink *sink.Sink }

// Open returns the Redis of c. It connects to nothing yet.
func Open(c config.Run) (*Redis, error) {
	o, err := Options(c)
	if err != nil {
		return nil, err
	}
	return &Redis{sink.New(o)}, nil
}

// Close closes the connections to the Sentinels.
func (r *Redis) Close() error { return r.sink.Close() }

// Named is what the Sentinels say.
type Named struct {
	Primary  string   // host:port
	Agreed   bool     // a majority of all known Sentinels names it
	Replicas []string // host:port of those that a Sentinel knows, whether or not they are well
}

// Ask asks the Sentinels. It is an error if none of them names a primary.
func (r *Redis) Ask(ctx context.Context) (Named, error) {
	a, replicas, err := r.sink.Look(ctx)
	return Named{Primary: a.Primary, Agreed: a.Agreed, Replicas: replicas}, err
}

// At is a client of one Redis. It connects when it is used, and is for the caller to close.
func (r *Redis) At(addr string) *redis.Client { return r.sink.ReaderAt(addr) }

// Dial connects to one Redis, and authenticates: for what a client has no command for. The connection is for the caller to close.
func (r *Redis) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return r.sink.DialAt(ctx, addr)
}

// As is a client of one Redis that shows this password instead of the mounted one. It connects when it is used, and is for the caller to close.
func (r *Redis) As(addr, password string) *redis.Client { return r.sink.ReaderAs(addr, password) }

// Password is the one in the mounted file now; "" = Redis needs none.
func (r *Redis) Password() (string, error) { return r.sink.Password() }

// Sentinels are the clients of all Sentinels that are known, by address; they stay those of r. One Sentinel may be behind two addresses.
func (r *Redis) Sentinels() map[string]*redis.SentinelClient { return r.sink.SentinelClients() }
