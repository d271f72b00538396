package command

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
)

// addressing is a run of url or sentinel-url.
type addressing struct {
	*program
	user, passwordFile string
	show               bool
}

// address is what clients of a site's Redis are told.
type address struct {
	Version   int      `json:"v"`
	Site      string   `json:"site"`
	URL       string   `json:"url"`
	Primary   string   `json:"primary"` // host:port, now
	Sentinels []string `json:"sentinels"`
	Master    string   `json:"master"` // the primary's name at the Sentinels
	TLS       bool     `json:"tls"`
	User      string   `json:"user"`
	Password  string   `json:"password"` // empty: it was not asked for
	// Inside says that the addresses count where the appliers run, and perhaps nowhere else.
	Inside bool     `json:"inside"`
	Notes  []string `json:"notes"`
}

const urlExits = "  0  it was printed\n  2  the site does not answer, or usage or configuration is wrong"

func (p *program) urlVerb() *cobra.Command {
	a := &addressing{program: p}
	c := &cobra.Command{
		Use: "url", Short: "print the address of a site's primary, as clients take it", Args: cobra.NoArgs,
		Long: exits(`Prints redis://USER@HOST:PORT/0 of the primary of --site, else of the active site, as the Sentinels name it now; rediss:// is TLS. After a failover it is another one: applications ask the Sentinels
(walctl sentinel-url). What a person should know besides stands on stderr: where the address counts, and where the password is.`, urlExits),
		Example: "  walctl url --site dr\n  walctl url --password-file reader --show-password",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.run(c.Context(), func(r *reach.Redis, user *url.Userinfo) (string, error) {
				return (&url.URL{Scheme: scheme("redis", "rediss", r.Door.TLS), User: user, Host: r.Primary, Path: "/0"}).String(), nil
			})
		},
	}
	a.declare(c)
	return c
}

func (p *program) sentinelURLVerb() *cobra.Command {
	a := &addressing{program: p}
	c := &cobra.Command{
		Use: "sentinel-url", Short: "print the addresses of a site's Sentinels, as Lettuce takes them", Args: cobra.NoArgs,
		Long: exits(`Prints redis-sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/0#MASTER of --site, else of the active site. No form of it is a standard: this is that of Lettuce. Other clients take its parts, which --json
names (docs/clients.md). Without --show-password neither the user nor the password stands in it, because Lettuce would take a name alone for a password.`, urlExits),
		Example: "  walctl sentinel-url --site dc --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.run(c.Context(), func(r *reach.Redis, user *url.Userinfo) (string, error) {
				if len(r.Door.Sentinels) == 0 {
					return "", errors.New("its redis-applier is older, and does not say where the Sentinels are; upgrade it")
				}
				at := ""
				if _, ok := user.Password(); ok {
					at = user.String() + "@"
				}
				return scheme("redis-sentinel", "rediss-sentinel", r.Door.TLS) + "://" + at + strings.Join(r.Door.Sentinels, ",") + "/0#" + url.PathEscape(r.Door.Master), nil
			})
		},
	}
	a.declare(c)
	return c
}

func scheme(plain, secure string, tls bool) string {
	if tls {
		return secure
	}
	return plain
}

func (a *addressing) declare(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&a.user, "user", reach.ReaderUser, "the Redis user: reader, or default, which may do all")
	f.StringVar(&a.passwordFile, "password-file", "", "a file with the user's password")
	f.BoolVar(&a.show, "show-password", false, "put the password of --password-file into what is printed")
	_ = c.RegisterFlagCompletionFunc("user", cobra.FixedCompletions([]string{reach.ReaderUser, "default"}, cobra.ShellCompDirectiveNoFileComp)) // it was declared above
}

func (a *addressing) run(ctx context.Context, form func(*reach.Redis, *url.Userinfo) (string, error)) error {
	if a.user != reach.ReaderUser && a.user != "default" {
		return fmt.Errorf("--user %s: want %s or default", a.user, reach.ReaderUser)
	}
	if a.show != (a.passwordFile != "") {
		return errors.New("--show-password and --password-file go together: walctl knows no password of Redis by itself")
	}
	user, password := url.User(a.user), ""
	if a.show {
		b, err := os.ReadFile(a.passwordFile)
		if err != nil {
			return fmt.Errorf("the password of %s: %w", a.user, err)
		}
		if password = strings.TrimRight(string(b), "\r\n"); password == "" {
			return fmt.Errorf("%s is empty", a.passwordFile)
		}
		user = url.UserPassword(a.user, password)
	}
	return a.one(ctx, func(s *sites, at Site) error {
		r, err := at.Redis(ctx)
		if err != nil {
			return err
		}
		name := at.Identity().Sites.Self
		text, err := form(&r, user)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		how := s.how[name]
		out := address{
			Version: 1, Site: name, URL: text, Primary: r.Primary, Sentinels: append([]string{}, r.Door.Sentinels...), Master: r.Door.Master, TLS: r.Door.TLS, User: a.user, Password: password,
			Inside: len(how.Exec) > 0,
		}
		out.Notes = a.notes(&out, how)
		if a.json {
			return a.write(out)
		}
		for _, n := range out.Notes {
			a.progress(n)
		}
		_, err = fmt.Fprintln(a.Stdout, text)
		return err
	})
}

// notes are what a person should know of an address.
func (a *addressing) notes(out *address, how contexts.Site) []string {
	notes := []string{}
	if out.Inside {
		notes = append(notes, fmt.Sprintf("these addresses count inside of the cluster of %s: they are those that its appliers go by; a pod has another one when it was made anew", out.Site))
	}
	if a.show {
		return notes
	}
	prefix := kubectl(how.Exec)
	secret := "redis-reader"
	if a.user == "default" {
		secret = "redis-auth"
	}
	get := "kubectl -n NAMESPACE"
	if prefix != nil {
		get = strings.Join(prefix, " ")
	}
	notes = append(notes, fmt.Sprintf("the password of %s is in the Secret %s (REDIS-%s, where Redis has another name): %s get secret %s -o jsonpath='{.data.password}' | base64 -d", a.user, secret, strings.TrimPrefix(secret, "redis-"), get, secret))
	host, port := out.Primary, ""
	if i := strings.LastIndex(out.Primary, ":"); i >= 0 {
		host, port = out.Primary[:i], out.Primary[i+1:]
	}
	return append(notes, fmt.Sprintf("redis-cli takes a name alone for a password: with the password in REDISCLI_AUTH, redis-cli -h %s -p %s --user %s. `walctl cli` needs neither", host, port, a.user))
}
