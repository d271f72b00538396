package stacks

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/comptech-lab/redis-wal/components/site"
)

// Secret is one secret key of a stack's configuration.
type Secret struct {
	// Key is the key, without the project's name.
	Key string
	// About says what it is.
	About string
	// Shared says that the value is not made up here, and where it comes from; empty = any long random value will do.
	Shared string
	// MinLength is the least number of characters.
	MinLength int
}

const producerPrefix = "kafkaPassword-producer-"

// The keys of the secrets. One for each producer comes besides.
const (
	keyRedis            = "redisPassword"
	keyReader           = "readerPassword"
	keySigning          = "signingKey"
	keyApplier          = "kafkaPassword-applier"
	keyCheck            = "kafkaPassword-check"
	keyMirrorTarget     = "kafkaPassword-mirror-target"
	keyMirrorSource     = "kafkaPassword-mirror-source"
	keyPeerMirrorSource = "peerKafkaPassword-mirror-source"
)

// SecretsOf lists the secrets that a stack needs, in the order in which they are documented; none with source existing.
func SecretsOf(c Config) []Secret {
	if c.SecretSource.Source == SourceExisting {
		return nil
	}
	reader := Secret{Key: keyReader, About: "Redis: applications that read", MinLength: 20}
	if c.Edge.Enabled {
		reader.Shared = "the same at both sites, between which the clients of the edge move: openssl rand -hex 24"
	}
	list := []Secret{
		{Key: keyRedis, About: "Redis: appliers, operator, Sentinels", MinLength: 16},
		reader,
		{Key: keySigning, About: "signs control records", Shared: "the same at both sites: openssl rand -hex 32", MinLength: 32},
		{Key: keyApplier, About: "Kafka: the appliers", MinLength: 16},
		{Key: keyCheck, About: "Kafka: the check", MinLength: 16},
		{Key: keyMirrorTarget, About: "Kafka: this site's mirror writes here", MinLength: 16},
		{Key: keyMirrorSource, About: "Kafka: the peer's mirror reads here", MinLength: 16},
		{Key: keyPeerMirrorSource, About: "Kafka of the peer: this site's mirror reads there", Shared: "the peer's " + keyMirrorSource, MinLength: 16},
	}
	for _, p := range c.Producers {
		list = append(list, Secret{Key: producerPrefix + p.Name, About: "Kafka: the producer " + p.Name, MinLength: 16})
	}
	return list
}

// command is the line to type for a missing secret.
func (s Secret) command(project, stack string) string {
	if s.Shared != "" {
		return fmt.Sprintf("pulumi config set --secret %s:%s --stack %s   # %s", project, s.Key, stack, s.Shared)
	}
	return fmt.Sprintf(`pulumi config set --secret %s:%s "$(openssl rand -hex 24)" --stack %s`, project, s.Key, stack)
}

// secretCharacters are safe in every file that a secret is written to.
const secretCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+/=~"

// check says what is wrong with a value, without showing it.
func (s Secret) check(value string) error {
	if len(value) < s.MinLength {
		return fmt.Errorf("has %d characters; want at least %d, out of letters, digits and -_.: for example openssl rand -hex 24", len(value), s.MinLength)
	}
	// The operator writes the Redis password unquoted into redis.conf, Strimzi the others quoted into a JAAS line.
	bad := strings.IndexFunc(value, func(r rune) bool {
		return !strings.ContainsRune(secretCharacters, r)
	})
	if bad >= 0 {
		return fmt.Errorf("its character %d breaks a configuration file that it is written to; use letters, digits and -_.+/=~", bad+1)
	}
	return nil
}

func readSecrets(ctx *pulumi.Context, c Config) (*site.Secrets, error) {
	var missing, wrong []string
	values := map[string]pulumi.StringInput{}
	for _, s := range SecretsOf(c) {
		key := ctx.Project() + ":" + s.Key
		value, _ := ctx.GetConfig(key)
		switch {
		case value == "":
			missing = append(missing, "  "+s.command(ctx.Project(), ctx.Stack()))
			continue
		case !ctx.IsConfigSecret(key):
			wrong = append(wrong, fmt.Sprintf("  %s:%s: stands in plain text in Pulumi.%s.yaml; take a new value and set it with --secret:\n    %s",
				ctx.Project(), s.Key, ctx.Stack(), s.command(ctx.Project(), ctx.Stack())))
			continue
		}
		if err := s.check(value); err != nil {
			wrong = append(wrong, fmt.Sprintf("  %s:%s: %v", ctx.Project(), s.Key, err))
		}
		values[s.Key] = pulumi.ToSecret(pulumi.String(value)).(pulumi.StringOutput)
	}
	var errs []error
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("secrets are missing (or use secrets.source: existing); type:\n%s", strings.Join(missing, "\n")))
	}
	if len(wrong) > 0 {
		errs = append(errs, fmt.Errorf("secrets cannot be used:\n%s", strings.Join(wrong, "\n")))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	secrets := &site.Secrets{
		Redis: values[keyRedis], Reader: values[keyReader], Signing: values[keySigning],
		Applier: values[keyApplier], Check: values[keyCheck], MirrorTarget: values[keyMirrorTarget],
		MirrorSource: values[keyMirrorSource], PeerMirrorSource: values[keyPeerMirrorSource],
		Producers: map[string]pulumi.StringInput{},
	}
	for _, p := range c.Producers {
		secrets.Producers[p.Name] = values[producerPrefix+p.Name]
	}
	return secrets, nil
}
