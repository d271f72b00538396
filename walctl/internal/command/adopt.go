package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/reach/adopt"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
)

// adoptSite is what adopt asks of a site, besides what all verbs do.
type adoptSite interface {
	Adoptable(ctx context.Context) (reach.Adoptable, error)
	Writes(ctx context.Context) (reach.Writes, error)
	Adopt(ctx context.Context, a reach.Adoption) error
}

// adoptFlags are the flags of adopt.
type adoptFlags struct {
	quiet, timeout             time.Duration
	from, passwordFile, caFile string
	alone, yes                 bool
}

func (p *program) adoptVerb() *cobra.Command {
	var a adoptFlags
	c := &cobra.Command{
		Use: "adopt --site SITE", Short: "make the data that a site's Redis holds the beginning of a new log", Args: cobra.NoArgs,
		Long: exits(`For a Redis that applications wrote to themselves, or that another program has filled: it stays where it is, and readers notice nothing. Its writers must have stopped, and
the log must be new at both sites. Each partition of the log gets a seed, which says that it begins with data that are in no record; then the checkpoints are written, and the
appliers go on. From then on producers append to the log. A Redis that lacks the data is never taken for one that has them: its partitions halt at the seed, at the other site
too, until walctl bootstrap fills it.

With --from the data are those of another Redis, and the site's is empty: it is filled from there. Writers must have stopped until it is.

When it is interrupted, run it again: it goes on. docs/migrate.md leads through all of it.`,
			`  0  done, or it was done before
  1  refused or not wanted: nothing was written, unless an earlier run had begun
  2  nothing was written: a site does not answer, or usage or configuration is wrong
  3  begun and not ended: run it again`),
		Example: "  walctl adopt --site dc\n  walctl adopt --site dc --from redis://old-redis:6379 --password-file /run/old-redis/password",
		RunE:    func(c *cobra.Command, _ []string) error { return p.adopt(c.Context(), a) },
	}
	f := c.Flags()
	f.DurationVar(&a.quiet, "quiet", adopt.DefaultQuiet, "how long nobody may write to the Redis before it is adopted")
	f.DurationVar(&a.timeout, "timeout", adopt.DefaultTimeout, "how long each single thing may take: the log, the next key of a copy, the appliers' joining")
	f.BoolVar(&a.alone, "alone", false, "the other site is not there yet: do not ask it whether its log is new")
	f.StringVar(&a.from, "from", "", "another Redis that holds the data, as redis://[user@]host:port, or rediss:// for TLS; it is reached from here")
	f.StringVar(&a.passwordFile, "password-file", "", "the file with the password of --from")
	f.StringVar(&a.caFile, "ca-file", "", "the file with the CAs of --from; else those of the system")
	f.BoolVar(&a.yes, "yes", false, "do not ask")
	return c
}

func (p *program) adopt(ctx context.Context, a adoptFlags) error {
	switch {
	case p.site == "":
		return errors.New("--site is required: the site whose Redis holds the data")
	case a.quiet < 100*time.Millisecond || a.timeout <= a.quiet:
		return errors.New("--quiet must be at least 100ms, and --timeout longer")
	case a.from == "" && a.passwordFile+a.caFile != "":
		return errors.New("--password-file and --ca-file go with --from")
	}
	s, err := p.sites()
	if err != nil {
		return err
	}
	defer s.close()
	site, err := s.need(ctx, p.site)
	if err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	var peer adopt.Log
	if !a.alone {
		if peer, err = s.need(ctx, s.peer(p.site)); err != nil {
			return fmt.Errorf("nothing was written: %w; --alone does not ask it", err)
		}
	}
	do := adopt.Do
	look := func() (*adopt.Found, error) { return adopt.Look(ctx, site, peer) }
	if a.from != "" {
		from, err := a.foreign()
		if err != nil {
			return fmt.Errorf("nothing was written: --from: %w", err)
		}
		defer func() { _ = from.Close() }() // it was read
		look = func() (*adopt.Found, error) { return adopt.LookFrom(ctx, site, from, peer) }
		do = func(ctx context.Context, _ adopt.Site, f *adopt.Found, how adopt.How) (adopt.Done, error) {
			return adopt.DoFrom(ctx, site, f, how)
		}
	}
	found, err := look()
	if err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	pl := adoptPlan(found, site.Identity().Partitions, s.peer(p.site))
	if len(found.Refusals) > 0 {
		return p.adopted(pl, nil, exitRefused, &adopt.RefusedError{Reasons: found.Refusals})
	}
	if !found.Written {
		if err := p.show(ctx, pl.text(), a.yes); err != nil {
			return p.adopted(pl, nil, exitRefused, err)
		}
	}
	begun := found.Begun()
	done, err := do(ctx, site, found, adopt.How{Quiet: a.quiet, Timeout: a.timeout, Progress: p.progress})
	_, isRefused := errors.AsType[*adopt.RefusedError](err)
	_, isWritten := errors.AsType[*adopt.WrittenError](err)
	switch {
	case err == nil:
		return p.adopted(pl, &done, exitDone, nil)
	case isRefused || isWritten:
		return p.adopted(pl, nil, exitRefused, err)
	case begun || found.Begun():
		return p.adopted(pl, &done, exitHalfWay, fmt.Errorf("%w; run it again", err))
	}
	return p.adopted(pl, nil, exitUnknown, fmt.Errorf("nothing was written: %w", err))
}

// foreign is the Redis that --from names.
func (a *adoptFlags) foreign() (*reach.Foreign, error) {
	password := ""
	if a.passwordFile != "" {
		b, err := os.ReadFile(a.passwordFile)
		if err != nil {
			return nil, err
		}
		password = strings.TrimRight(string(b), "\r\n")
	}
	var secure *tls.Config
	if a.caFile != "" {
		b, err := os.ReadFile(a.caFile)
		if err != nil {
			return nil, err
		}
		secure = &tls.Config{RootCAs: x509.NewCertPool()}
		if !secure.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s holds no certificate (PEM)", a.caFile)
		}
	}
	return reach.OpenForeign(a.from, password, secure)
}

// adoption is what is shown before anything is done.
type adoption struct {
	Log      string   `json:"log"`
	Site     string   `json:"site"`
	Redis    string   `json:"redis"` // host:port of the Redis that holds the data
	Keys     int64    `json:"keys"`
	Begun    bool     `json:"begun"` // by an earlier run
	Notes    []string `json:"notes"`
	Refusals []string `json:"refusals"`
}

func adoptPlan(f *adopt.Found, partitions int32, peer string) *adoption {
	pl := &adoption{Log: f.Log, Site: f.Site, Redis: f.Redis.Primary, Keys: f.Redis.Keys, Begun: f.Begun(), Notes: []string{}, Refusals: append([]string{}, f.Refusals...)}
	if f.Begun() {
		pl.Notes = append(pl.Notes, fmt.Sprintf("an interrupted adoption is gone on with (seed %s)", f.Seed))
	} else {
		pl.Notes = append(pl.Notes, fmt.Sprintf("%s of the log: nobody has appended data yet", status.Plural(int64(partitions), "partition")))
	}
	pl.Notes = append(pl.Notes, f.Notes...)
	for _, c := range f.Redis.Clients {
		pl.Notes = append(pl.Notes, "in the last minute a write came from "+c.String())
	}
	pl.Notes = append(pl.Notes, fmt.Sprintf("the appliers of %s halt (seed) until its Redis is filled: walctl bootstrap --site %s", peer, peer))
	return pl
}

func (pl *adoption) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "adopt %s: what it holds becomes the beginning of %s at %s\n", pl.Redis, pl.Log, pl.Site)
	fmt.Fprintf(&b, "  %s holds %s\n", pl.Redis, status.Plural(pl.Keys, "key"))
	for _, n := range pl.Notes {
		fmt.Fprintf(&b, "  %s\n", n)
	}
	return b.String()
}

// adopted says what was done, and how it ended.
func (p *program) adopted(pl *adoption, done *adopt.Done, code int, err error) error {
	text := ""
	if err != nil {
		text = err.Error()
		if code == exitRefused {
			text = "refused: " + strings.TrimPrefix(text, "refused: ")
			err = errors.New(text)
		}
	}
	if p.json {
		if err := p.write(struct {
			Version int         `json:"v"`
			Plan    *adoption   `json:"plan"`
			Done    *adopt.Done `json:"done"` // null: nothing was begun
			Exit    int         `json:"exit"`
			Error   string      `json:"error"` // empty: none
		}{1, pl, done, code, text}); err != nil {
			return err
		}
		return ended(code)
	}
	if err != nil {
		return &exitError{code, err}
	}
	if done.Already {
		fmt.Fprintf(p.Stdout, "the Redis of %s was adopted before (seed %s), and its appliers go on\n", pl.Site, done.Seed)
		return nil
	}
	fmt.Fprintf(p.Stdout, "the %s of %s are the beginning of %s (seed %s)\n", status.Plural(done.Keys, "key"), pl.Site, pl.Log, done.Seed)
	fmt.Fprintf(p.Stdout, "producers could append after %.2f s, and their records were applied from %.2f s on; readers were not held up\n", done.Open, done.Joined)
	return nil
}
