package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/components/edge/haproxy"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/writer"
)

// edging is a run of edge-config.
type edging struct {
	*program
	args                                   haproxy.Args
	tls                                    haproxy.TLS
	entries, redis, ca, certificate, asked []string // SITE=...
}

func (p *program) edgeConfigVerb() *cobra.Command {
	e := &edging{program: p}
	c := &cobra.Command{
		Use: "edge-config", Short: "print the haproxy.cfg of an edge outside of Kubernetes", Args: cobra.NoArgs,
		Long: exits(`Prints the configuration of an HAProxy that gives clients without Sentinel the primary of the active site, and follows a failover and a cutover (docs/edge.md). How it reaches each site is said by
--entries, the ports 6380 of the site's own edge, or by --redis, all its Redis. The names of the sites, the log and its partition count are asked of the sites. The password of --user is not in the text:
HAProxy takes it from its environment.`,
			"  0  it was printed\n  2  no site answers, or usage or configuration is wrong; all that is wrong is listed"),
		Example: `  walctl edge-config --entries dc=edge.dc.example.com:6380 --entries dr=edge.dr.example.com:6380 --ca dc=dc-ca.pem --ca dr=dr-ca.pem > haproxy.cfg
  walctl edge-config --redis dc=10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379 --bind 127.0.0.1:6379`,
		RunE: func(c *cobra.Command, _ []string) error { return e.run(c.Context()) },
	}
	f := c.Flags()
	f.StringArrayVar(&e.entries, "entries", nil, "SITE=HOST:PORT[,HOST:PORT]: the entries of a site: port 6380 of its edge, as it is reached from where this one runs")
	f.StringArrayVar(&e.redis, "redis", nil, "SITE=HOST:PORT[,HOST:PORT]: all Redis of a site, in place of --entries")
	f.StringArrayVar(&e.ca, "ca", nil, "SITE=FILE: where HAProxy finds the CA (PEM) of the entries' certificates; none = they speak plain text")
	f.StringArrayVar(&e.certificate, "certificate", nil, "SITE=FILE: where HAProxy finds the certificate and key (PEM) by which it proves itself to the entries; none = it does not")
	f.StringArrayVar(&e.asked, "asked", nil, "SITE=HOST:PORT: where clients are given this site's primary, whichever site is active; none = nowhere")
	f.StringVar(&e.args.Bind, "bind", ":6379", "where clients are given the active site")
	f.StringVar(&e.args.HTTP, "http", "", "where /healthz and /metrics are, such as 127.0.0.1:8404; empty = nowhere")
	f.StringVar(&e.tls.Certificate, "tls", "", "where HAProxy finds the certificate and key (PEM) that clients are shown; empty = plain text")
	f.StringVar(&e.tls.ClientCA, "client-ca", "", "where HAProxy finds the CA (PEM) of the clients' certificates; empty = clients need none")
	f.StringVar(&e.args.User, "user", reach.ReaderUser, "the Redis user that asks who is primary")
	f.StringVar(&e.args.PasswordEnv, "password-env", haproxy.DefaultPasswordEnv, "the environment variable from which HAProxy takes that user's password")
	f.BoolVar(&e.args.Alone, "alone", false, "serve a primary without a replica in step, too: it takes no writes, and may be one that was replaced")
	f.DurationVar(&e.args.Interval, "interval", haproxy.DefaultInterval, "the time between two questions to a Redis")
	f.IntVar(&e.args.Connections, "connections", haproxy.DefaultConnections, "how many clients there may be at once")
	return c
}

func (e *edging) run(ctx context.Context) error {
	id, err := e.anyIdentity(ctx)
	if err != nil {
		return err
	}
	e.args.Log, e.args.Partitions = id.Log, int(id.Partitions)
	names := []string{id.Sites.Self, id.Sites.Peer}
	slices.Sort(names)
	for _, name := range names {
		e.args.Sites = append(e.args.Sites, haproxy.Site{Name: name})
	}
	if e.tls != (haproxy.TLS{}) {
		e.args.TLS = &e.tls
	}
	err = errors.Join(
		e.each("entries", e.entries, func(s *haproxy.Site, v string) { s.Entries = append(s.Entries, strings.Split(v, ",")...) }),
		e.each("redis", e.redis, func(s *haproxy.Site, v string) { s.Servers = append(s.Servers, strings.Split(v, ",")...) }),
		e.each("ca", e.ca, func(s *haproxy.Site, v string) { s.CA = v }),
		e.each("certificate", e.certificate, func(s *haproxy.Site, v string) { s.Certificate = v }),
		e.each("asked", e.asked, func(s *haproxy.Site, v string) { s.Bind = v }),
	)
	text, invalid := e.args.Config()
	if err := errors.Join(err, invalid); err != nil {
		return err
	}
	if e.json {
		return e.write(struct {
			Version int    `json:"v"`
			Config  string `json:"config"`
		}{1, text})
	}
	_, err = fmt.Fprint(e.Stdout, text)
	return err
}

// each gives a site what a flag says of it.
func (e *edging) each(flag string, values []string, set func(*haproxy.Site, string)) error {
	var problems []error
	for _, v := range values {
		name, rest, ok := strings.Cut(v, "=")
		i := slices.IndexFunc(e.args.Sites, func(s haproxy.Site) bool { return s.Name == name })
		if !ok || rest == "" || i < 0 {
			problems = append(problems, fmt.Errorf("--%s %q: want SITE=..., with %s or %s", flag, v, e.args.Sites[0].Name, e.args.Sites[1].Name))
			continue
		}
		set(&e.args.Sites[i], rest)
	}
	return errors.Join(problems...)
}

// anyIdentity is what any of the sites says of the log: that of --site, else of the first that answers.
func (e *edging) anyIdentity(ctx context.Context) (writer.Identity, error) {
	s, err := e.sites()
	if err != nil {
		return writer.Identity{}, err
	}
	defer s.close()
	names := s.names
	if e.site != "" {
		names = []string{e.site}
	}
	var why []error
	for _, name := range names {
		at, err := s.need(ctx, name)
		if err == nil {
			return at.Identity(), nil
		}
		why = append(why, err)
	}
	return writer.Identity{}, fmt.Errorf("which log it is must be asked of a site: %w", errors.Join(why...))
}
