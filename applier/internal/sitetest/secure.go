package sitetest

import (
	"crypto/tls"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/comptech-lab/redis-wal/wal"
)

// Admin is the user of the test's own client at a Kafka of [NewSecureKafka].
const Admin = "admin"

// NewSecureKafka is [NewKafka] with SCRAM-SHA-512 in TLS. The test's client is [Admin], with the certificate of client's.
func NewSecureKafka(t testing.TB, log string, partitions int32, server, client *tls.Config, more ...kfake.Opt) *Kafka {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.TLS(server), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", Admin, "admins-own"),
		kfake.SeedTopics(partitions, log, wal.DLQTopic(log), wal.FencedTopic(log)),
		kfake.SeedTopics(1, wal.AttestTopic(log)),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	c, err := kgo.NewClient(
		kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.DialTLSConfig(client), kgo.SASL(scram.Auth{User: Admin, Pass: "admins-own"}.AsSha512Mechanism()),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return &Kafka{Cluster: cluster, Log: log, Partitions: partitions, Client: c, Admin: kadm.NewClient(c)}
}

// SetPassword gives a user another SCRAM-SHA-512 password.
func (k *Kafka) SetPassword(t testing.TB, user, password string) {
	t.Helper()
	answers, err := k.Admin.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}})
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}
