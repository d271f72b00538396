package kafka

import (
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/applier/config"
)

// Remedy is what a person must do before what failed with err can succeed; empty if waiting may be enough, or if err says it itself.
func Remedy(c config.Kafka, err error) string {
	first, hungUp := errors.AsType[*kgo.ErrFirstReadEOF](err)
	switch {
	case hungUp && !c.TLS && strings.Contains(first.Error(), "TLS"):
		return "is that a port with TLS? Then set APPLIER_KAFKA_TLS=true"
	case hungUp && c.Username == "" && strings.Contains(first.Error(), "SASL"):
		return "does that port want a user? Then set APPLIER_KAFKA_USERNAME and APPLIER_KAFKA_PASSWORD_FILE"
	case errors.Is(err, kerr.SaslAuthenticationFailed) && c.Username == "":
		return "Kafka wants a user: set APPLIER_KAFKA_USERNAME and APPLIER_KAFKA_PASSWORD_FILE"
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return "Kafka does not accept the password in APPLIER_KAFKA_PASSWORD_FILE=" + c.PasswordFile + " of the user " + c.Username
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return "Kafka's listener does not offer SCRAM-SHA-512: enable it there, or take another port"
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed),
		errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return "the Kafka user " + c.Username + " lacks an ACL: it must read and write the log's topics, and read its group"
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return "the topic does not exist (yet): create it with its fixed partition count"
	}
	return ""
}
