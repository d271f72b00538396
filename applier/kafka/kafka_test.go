package kafka_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/applier/kafka"
)

func TestOptionsReach(t *testing.T) {
	t.Parallel()
	old, ca := sitetest.NewCA(t, "old"), sitetest.NewCA(t, "new")
	server, mine := ca.Issue(t, "127.0.0.1"), ca.Issue(t, "applier")
	cert, mutual := server.Server(t), server.Server(t, ca)
	caFile, password := sitetest.Bundle(t, old, ca), file(t, "secret\n")
	wrongCA := sitetest.Bundle(t, old)
	tests := []struct {
		name    string
		cluster []kfake.Opt
		config  config.Kafka
		want    string // in the error; empty = reached
	}{
		{"plain", nil, config.Kafka{}, ""},
		{"SCRAM", scram(), config.Kafka{Username: "applier", PasswordFile: password}, ""},
		{"TLS", secure(cert), config.Kafka{TLS: true, CAFile: caFile}, ""},
		{"SCRAM in TLS", append(scram(), secure(cert)...), config.Kafka{TLS: true, CAFile: caFile, Username: "applier", PasswordFile: password}, ""},
		{"a wrong password", scram(), config.Kafka{Username: "applier", PasswordFile: file(t, "guess")}, "EOF"}, // kfake hangs up
		{"an unknown CA", secure(cert), config.Kafka{TLS: true, CAFile: wrongCA}, "no CA in APPLIER_KAFKA_CA_FILE=" + wrongCA},
		{"the system's CAs do not know a private one", secure(cert), config.Kafka{TLS: true}, "APPLIER_KAFKA_CA_FILE"},
		{"mutual TLS", secure(mutual), config.Kafka{TLS: true, CAFile: caFile, CertFile: mine.CertFile, KeyFile: mine.KeyFile}, ""},
		{"no client certificate", secure(mutual), config.Kafka{TLS: true, CAFile: caFile}, "name the files with one in APPLIER_KAFKA_CERT_FILE"},
		{"another name", secure(cert), config.Kafka{TLS: true, CAFile: caFile, ServerName: "kafka"}, "set APPLIER_KAFKA_SERVER_NAME"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.config.Brokers = start(t, tt.cluster...)
			err := ping(t, tt.config)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want a connection", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestOptionsRefuse(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	tests := []struct {
		name   string
		config config.Kafka
		want   []string
	}{
		{
			"all problems at once",
			config.Kafka{TLS: true, CAFile: missing, Username: "applier", PasswordFile: missing},
			[]string{"APPLIER_KAFKA_BROKERS", "APPLIER_KAFKA_CA_FILE", "APPLIER_KAFKA_PASSWORD_FILE", "mount the password", missing},
		},
		{"an empty password", config.Kafka{Brokers: []string{"k:1"}, Username: "applier", PasswordFile: file(t, "\n")}, []string{"is empty"}},
		{"a CA that is none", config.Kafka{Brokers: []string{"k:1"}, TLS: true, CAFile: file(t, "hello")}, []string{"no certificate in PEM"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := kafka.Options(tt.config)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want it to contain %q", err, want)
				}
			}
		})
	}
}

// A secret is a mounted file, and rotation rewrites it under a running process.
func TestRotatedPasswordIsTakenUp(t *testing.T) {
	t.Parallel()
	password := file(t, "old")
	c := config.Kafka{Brokers: start(t, scram()...), Username: "applier", PasswordFile: password}
	opts, err := kafka.Options(c)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.Ping(t.Context()); err == nil {
		t.Fatal("got a connection with the old password, want none")
	}
	if err := os.WriteFile(password, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("got %v after the file was rewritten, want a connection", err)
	}
}

// Kafka ends a session after a while and wants the password again, on the connection that is there (KIP-368). The file is read anew then,
// so a connection outlives the password that it was opened with.
func TestReauthenticationReadsTheFile(t *testing.T) {
	t.Parallel()
	password := file(t, "secret")
	cluster, err := kfake.NewCluster(append(scram(), kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": "1500"}))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	var logins atomic.Int64
	cluster.ControlKey(int16(kmsg.SASLHandshake), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		logins.Add(1)
		return nil, nil, false
	})
	opts, err := kafka.Options(config.Kafka{Brokers: cluster.ListenAddrs(), Username: "applier", PasswordFile: password})
	if err != nil {
		t.Fatal(err)
	}
	var connected connects
	client, err := kgo.NewClient(append(opts, kgo.WithHooks(&connected))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 3 { // the seed's connection and the broker's
		if err := client.Ping(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if answers, err := kadm.NewClient(client).AlterUserSCRAMs(ctx, nil,
		[]kadm.UpsertSCRAM{{User: "applier", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: "another"}}); err != nil || answers.Error() != nil {
		t.Fatal(err, answers.Error())
	}
	if err := os.WriteFile(password, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, opened := logins.Load(), connected.n.Load()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for logins.Load() < before+2 {
		if err := client.Ping(ctx); err != nil {
			t.Fatalf("got %v after the password changed", err)
		}
		<-again.C
	}
	if n := connected.n.Load(); n != opened {
		t.Errorf("got %d connections, want the %d that were there before", n, opened)
	}
}

// connects counts connections.
type connects struct{ n atomic.Int64 }

func (c *connects) OnBrokerConnect(kgo.BrokerMetadata, time.Duration, net.Conn, error) { c.n.Add(1) }

func TestRemedy(t *testing.T) {
	t.Parallel()
	c := config.Kafka{Username: "applier", PasswordFile: "/p"}
	for _, tt := range []struct {
		config config.Kafka
		err    error
		want   string
	}{
		{c, fmt.Errorf("look: %w", kerr.SaslAuthenticationFailed), "APPLIER_KAFKA_PASSWORD_FILE=/p of the user applier"},
		{config.Kafka{}, kerr.SaslAuthenticationFailed, "set APPLIER_KAFKA_USERNAME"},
		{c, kerr.GroupAuthorizationFailed, "the Kafka user applier lacks an ACL"},
		{c, kerr.UnknownTopicOrPartition, "create it"},
		{c, context.DeadlineExceeded, ""},
	} {
		if got := kafka.Remedy(tt.config, tt.err); got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want)) {
			t.Errorf("%v: got %q, want %q in it", tt.err, got, tt.want)
		}
	}
}

func scram() []kfake.Opt {
	return []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "applier", "secret")}
}

func secure(server *tls.Config) []kfake.Opt {
	return []kfake.Opt{kfake.TLS(server)}
}

func start(t *testing.T, opts ...kfake.Opt) []string {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

func ping(t *testing.T, c config.Kafka) error {
	t.Helper()
	opts, err := kafka.Options(c)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(append(opts, kgo.RequestRetries(0))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return client.Ping(ctx)
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
