package stacks

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/internal/strict"
)

// SiteKey is the configuration key of the one object that describes a stack.
const SiteKey = "site"

// Config is the object redis-wal:site of a stack: the site, and how this stack reaches its cluster.
type Config struct {
	site.Args

	// Kubeconfig is the path of a kubeconfig file; empty = KUBECONFIG or ~/.kube/config. Not its content, which is a secret.
	Kubeconfig string `json:"kubeconfig"`
	// Context is the context of the kubeconfig; empty = the current one.
	Context string `json:"context"`
	// SecretSource says where passwords and keys come from.
	SecretSource SecretSource `json:"secrets"`
	// Adopt takes over objects that exist in the cluster already, from Argo CD or by hand, instead of failing on them.
	Adopt bool `json:"adopt"`
	// Argo says how the manifests for Argo CD are rendered (docs/argocd.md). A deployment by Pulumi takes no notice of it.
	Argo Argo `json:"argo"`
}

// SecretSource says where passwords and keys come from.
type SecretSource struct {
	// Source is config or existing: whether the secrets are secret keys of the stack's configuration, or Kubernetes Secrets
	// that exist already, in which case none enters the state of the stack.
	Source string `json:"source"`
	// ReaderSHA256 is the SHA-256 of the reader's password in hex, with source existing; empty = Redis has no reader.
	ReaderSHA256 string `json:"readerSha256"`
}

// The values of secrets.source.
const (
	SourceConfig   = "config"
	SourceExisting = "existing"
)

// WithDefaults is c with every default filled in.
func (c Config) WithDefaults() Config {
	c.Args = c.Args.WithDefaults()
	if c.SecretSource.Source == "" {
		c.SecretSource.Source = SourceConfig
	}
	c.Argo = c.Argo.withDefaults(c.Name)
	return c
}

// Decode reads the object redis-wal:site. The error has all problems at once: unknown fields, values of the wrong type and
// values that cannot work, each with its path and what to write instead.
func Decode(text string) (Config, error) {
	var c Config
	problems := strict.Decode(text, &c)
	c = c.WithDefaults()
	c.ReaderSHA256 = c.SecretSource.ReaderSHA256
	problems.AddUnlessKnown(c.problems())
	return c, problems.Err()
}

// problems are what is wrong with the site and with how this stack reaches its cluster.
func (c Config) problems() error {
	errs := []error{c.Validate(), c.Argo.problems(c.Args)} // the first are the site's own
	if strings.Contains(c.Kubeconfig, "\n") {
		errs = append(errs, errors.New("kubeconfig: is the content of a kubeconfig, which is a secret; want the path of the file"))
	}
	switch c.SecretSource.Source {
	case SourceConfig:
		if c.SecretSource.ReaderSHA256 != "" {
			errs = append(errs, errors.New("secrets.readerSha256: is computed from readerPassword with source config; leave it out"))
		}
	case SourceExisting:
		if c.Edge.Enabled && c.SecretSource.ReaderSHA256 == "" {
			errs = append(errs, errors.New("edge.enabled: is on, but Redis has no reader, as whom it asks; give secrets.readerSha256, or leave it off"))
		}
	default:
		errs = append(errs, fmt.Errorf("secrets.source: %q: want %s or %s", c.SecretSource.Source, SourceConfig, SourceExisting))
	}
	return errors.Join(errs...)
}

// read reads everything that a stack is configured with, before anything is declared.
func read(ctx *pulumi.Context) (Config, error) {
	text, ok := ctx.GetConfig(ctx.Project() + ":" + SiteKey)
	if !ok {
		return Config{}, fmt.Errorf("%s:%s is missing in Pulumi.%s.yaml; see docs/configuration.md for its fields", ctx.Project(), SiteKey, ctx.Stack())
	}
	if ctx.IsConfigSecret(ctx.Project() + ":" + SiteKey) {
		return Config{}, fmt.Errorf("%s:%s holds a secret; secrets have keys of their own, see docs/configuration.md", ctx.Project(), SiteKey)
	}
	c, err := Decode(text)
	if err != nil {
		return Config{}, fmt.Errorf("the configuration in Pulumi.%s.yaml cannot be used:\n%w", ctx.Stack(), strict.Prefixed(ctx.Project()+":"+SiteKey+": ", err))
	}
	if c.SecretSource.Source == SourceConfig {
		if c.Secrets, err = readSecrets(ctx, c); err != nil {
			return Config{}, err
		}
	}
	return c, nil
}
