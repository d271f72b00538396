package site

import (
	"github.com/comptech-lab/redis-wal/components/applier"
	"github.com/comptech-lab/redis-wal/components/kafkauser"
	"github.com/comptech-lab/redis-wal/components/mirror"
	"github.com/comptech-lab/redis-wal/components/redis"
)

// ExistingSecret is a Kubernetes Secret that must exist if the site is declared without its secrets.
type ExistingSecret struct {
	// Namespace and Name say where it is.
	Namespace, Name string
	// Keys are its keys.
	Keys []string
	// About says what it holds.
	About string
	// CopyOf is the Secret that has the same values, as namespace/name: in another namespace, for a pod cannot mount what is not in
	// its own. Empty = the values are its own.
	CopyOf string
}

// ExistingSecrets lists the Secrets that a site uses. They are declared if Args.Secrets is given, and must exist otherwise.
func ExistingSecrets(a Args) []ExistingSecret {
	a = a.WithDefaults()
	names := NamesOf(a)
	inRedis, inKafka := a.Namespace.Name, a.Kafka.Namespace
	password := []string{kafkauser.PasswordKey}
	applierUser, checkUser := kafkauser.PasswordSecret(names.ApplierUser), kafkauser.PasswordSecret(names.CheckUser)
	list := []ExistingSecret{
		{inRedis, redis.AuthSecret(a.Redis.Name), []string{redis.PasswordKey}, "the password of Redis' default user", ""},
		{inRedis, redis.ReaderSecret(a.Redis.Name), []string{redis.PasswordKey, "username"}, "the user reader, for applications", ""},
		{inRedis, applier.SigningSecret(names.Applier), []string{applier.SigningKey}, "the key that signs control records, at least 32 bytes, the same at both sites", ""},
		{inKafka, applierUser, password, "the appliers' Kafka password", ""},
		{inRedis, names.ApplierKafkaSecret, password, "the same, where the appliers run", inKafka + "/" + applierUser},
		{inKafka, checkUser, password, "the check's Kafka password", ""},
		{inRedis, names.CheckKafkaSecret, password, "the same, where the check runs", inKafka + "/" + checkUser},
		{inKafka, kafkauser.PasswordSecret(names.MirrorTargetUser), password, "the password by which this site's mirror writes here", ""},
		{inKafka, kafkauser.PasswordSecret(names.MirrorSourceUser), password, "the password by which the peer's mirror reads here", ""},
		{inKafka, mirror.SourceSecret(names.Mirror), password, "the password by which this site's mirror reads at the peer: the one above, of the peer", ""},
	}
	for _, p := range a.Producers {
		list = append(list, ExistingSecret{inKafka, kafkauser.PasswordSecret(names.ProducerUser(p.Name)), password, "the Kafka password of the producer " + p.Name, ""})
	}
	return list
}
