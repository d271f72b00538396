package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/reach/rotate"
)

// rotateFlags are those of rotate redis.
type rotateFlags struct {
	passwordFile string
	timeout      time.Duration
	yes          bool
}

// rotateTimeout is as long as a person may take for the other half.
const rotateTimeout = 2 * time.Hour

// rotateLook bounds one step: a pod that is gone would keep it for ever.
const rotateLook = 30 * time.Second

func (p *program) rotateVerb() *cobra.Command {
	c := &cobra.Command{
		Use: "rotate", Short: "replace a password while it is in use", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.rotateRedisVerb())
	return c
}

func (p *program) rotateRedisVerb() *cobra.Command {
	var f rotateFlags
	c := &cobra.Command{
		Use: "redis --site SITE --password-file FILE", Short: "replace the password of a site's Redis while it is in use", Args: cobra.NoArgs,
		Long: exits(`The Redis operator does not do it: pods keep the password that they were started with. This makes the new password valid beside the old one at every Redis, has replicas and
Sentinels use it, and says what you do then: put it where it is declared, and have the pods made anew. Leave it running meanwhile, and let somebody else, or another terminal, do
that: a pod that is made anew knows one password only, and is given the other one within a second. When all of them were started with the new one it drops the old one, at the
replicas first.

Nobody is interrupted but by the failover when the primary's pod is made anew. It is refused if a Redis has a third password, or none.

When it is interrupted, run it again, from any machine: what was done is seen in the Redises. To go back instead, before the new one is declared anywhere, run it with the old password.`,
			`  0  done, or there was nothing to do: only this password is valid
  1  refused or not wanted, and nothing was written
  2  nothing was written: the site does not answer, or usage or configuration is wrong
  3  begun and not ended: run it again`),
		Example: "  walctl rotate redis --site dc --password-file new-password\n  pass show redis/dc | walctl rotate redis --site dc --password-file - --yes",
		RunE:    func(c *cobra.Command, _ []string) error { return p.rotateRedis(c.Context(), f) },
	}
	l := c.Flags()
	l.StringVar(&f.passwordFile, "password-file", "", "the file with the new password; - is the standard input, and needs --yes")
	l.DurationVar(&f.timeout, "timeout", rotateTimeout, "how long it waits in all, for the pods that somebody makes anew too")
	l.BoolVar(&f.yes, "yes", false, "do not ask")
	return c
}

// rotated is the result.
type rotated struct {
	Version int           `json:"v"`
	Site    string        `json:"site"`
	State   *rotate.State `json:"state"` // as it was seen last; null: it could not be told
	Exit    int           `json:"exit"`
	Error   string        `json:"error"` // empty: none
}

func (p *program) rotateRedis(ctx context.Context, f rotateFlags) error {
	switch {
	case p.site == "":
		return errors.New("--site is required: the site whose Redis gets another password")
	case f.passwordFile == "":
		return errors.New("--password-file is required: the file with the new password. It is not taken from the command line, where everybody on this machine could read it")
	case f.passwordFile == "-" && !f.yes:
		return errors.New("--password-file - needs --yes: the standard input holds the password, so nobody can be asked")
	case f.timeout <= 0:
		return errors.New("--timeout must be more than 0")
	}
	password, err := p.password(f.passwordFile)
	if err != nil {
		return fmt.Errorf("--password-file: %w", err)
	}
	s, err := p.sites()
	if err != nil {
		return err
	}
	defer s.close()
	site := &rotating{sites: s, name: p.site}
	state, err := site.Rotate(ctx, rotate.Request{Password: password})
	if err != nil {
		return fmt.Errorf("nothing was written: %w", err)
	}
	switch {
	case len(state.Refused) > 0:
		return p.rotatedEnd(&state, exitRefused, errors.New("refused, nothing was written: "+strings.Join(state.Refused, "; ")))
	case state.Settled():
		return p.rotatedEnd(&state, exitDone, nil)
	}
	if err := p.show(ctx, rotateText(p.site, &state), f.yes); err != nil {
		return p.rotatedEnd(&state, exitRefused, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("not done within %s", f.timeout))
	defer cancel()
	end, err := rotate.Run(ctx, site, rotate.How{
		Password: password, Settle: p.Settle, Every: p.Steps, Progress: p.progress,
		Both: func(now rotate.State) {
			for line := range strings.Lines(rotateNext(p.site, f.passwordFile, &now)) {
				p.progress(strings.TrimSuffix(line, "\n"))
			}
		},
	})
	if end.Phase == "" && len(end.Refused) == 0 {
		end = state
	}
	if err != nil {
		return p.rotatedEnd(&end, exitHalfWay, fmt.Errorf("begun and not ended: %w; run it again, with the same password", err))
	}
	return p.rotatedEnd(&end, exitDone, nil)
}

// password reads the new one. Line ends after it do not belong to it.
func (p *program) password(file string) (rotate.Secret, error) {
	var b []byte
	var err error
	if file == "-" {
		b, err = io.ReadAll(io.LimitReader(p.Stdin, 64<<10))
	} else {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return "", err
	}
	password := rotate.Secret(strings.TrimRight(string(b), "\r\n"))
	return password, password.Check()
}

// rotating is a site that is reached anew when it does not answer: pods come and go while a password is replaced.
type rotating struct {
	sites *sites
	name  string
}

// Rotate implements [rotate.Site].
func (r *rotating) Rotate(ctx context.Context, request rotate.Request) (rotate.State, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, rotateLook, fmt.Errorf("%s: no answer within %s", r.name, rotateLook))
	defer cancel()
	site, err := r.sites.need(ctx, r.name)
	if err != nil {
		return rotate.State{}, err
	}
	state, err := site.Rotate(ctx, request)
	if err != nil {
		r.sites.drop(r.name)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	return state, err
}

// rotateText says what is going to be done.
func rotateText(site string, s *rotate.State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "another password for the Redis of %s\n", site)
	for _, r := range s.Redis {
		if r.Error != "" {
			fmt.Fprintf(&b, "  %s %s does not answer: %s\n", r.Role, r.Addr, r.Error)
			continue
		}
		fmt.Fprintf(&b, "  %s %s takes the %s password; it was started with the %s one\n", r.Role, r.Addr, strings.Join(r.Takes, " and the "), r.Started)
	}
	fmt.Fprintf(&b, "  %d Sentinels\n", len(s.Sentinels))
	b.WriteString("  the new password is made valid beside the old one; then you declare it and have the pods made anew, while this waits; then the old one is dropped\n")
	return b.String()
}

// rotateNext says what a person does when both passwords are valid.
func rotateNext(site, file string, s *rotate.State) string {
	if file == "-" {
		file = "FILE"
	}
	var b strings.Builder
	b.WriteString("both passwords are valid everywhere. ")
	if s.Mounted == rotate.New {
		fmt.Fprintf(&b, "The appliers have the new one already. Now, if that is not on its way: set redis.restart to another text, such as the time, and deploy %s\n", site)
		return b.String()
	}
	fmt.Fprintf(&b, `Now, leaving this running:
  with Pulumi, one deployment:
    pulumi config set --secret redisPassword --stack %[1]s < %[2]s
    set redis.restart to another text, such as the time, in Pulumi.%[1]s.yaml
    pulumi up --stack %[1]s
  with Argo CD, two steps, because the Secret must come before the pods:
    put the new password into the store, or seal it, and have its Secret refreshed; this says when the appliers have it
    set redis.restart to another text, make render, and commit
`, site, file)
	return b.String()
}

// rotatedEnd says how it ended.
func (p *program) rotatedEnd(s *rotate.State, code int, err error) error {
	r := rotated{Version: 1, Site: p.site, State: s, Exit: code}
	text := ""
	if err != nil {
		r.Error = err.Error()
	}
	if code == exitDone {
		text = fmt.Sprintf("only this password is valid at the Redis of %s: %d Redises, %d Sentinels\n", p.site, len(s.Redis), len(s.Sentinels))
	}
	return p.conclude(r, text, code, err)
}
