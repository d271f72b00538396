package kafka_test

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

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
