package sink_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/mounted"
	"github.com/comptech-lab/redis-wal/applier/internal/sink"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/wal"
)

// A Redis and its Sentinel that speak nothing but TLS, want certificates of their clients, and have a password each.
func TestOpenSecurely(t *testing.T) {
	t.Parallel()
	ca, old, stranger := sitetest.NewCA(t, "new"), sitetest.NewCA(t, "old"), sitetest.NewCA(t, "stranger")
	server, mine, foreign := ca.Issue(t, redistest.Host, "redis.test"), ca.Issue(t, "applier"), stranger.Issue(t, "applier")
	files := redistest.TLS{CAFile: sitetest.Bundle(t, ca), CertFile: server.CertFile, KeyFile: server.KeyFile}
	_, addr := redistest.StartTLS(t, files, "--user", "applier", "on", ">redis-secret", "~*", "+@all", "--user", "default", "on", ">sentinels-own", "~*", "&*", "+@all")
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	sentinel := redistest.StartSentinel(t, &files,
		"sentinel monitor primary "+host+" "+port+" 1", "sentinel auth-pass primary sentinels-own",
		"user default off", "user applier on >sentinel-secret +sentinel|myid +sentinel|master +sentinel|sentinels")
	good := sink.Options{
		Sites: wal.Sites{Self: "dc", Peer: "dr"}, Log: "l", Sentinels: []string{sentinel}, SentinelMaster: "primary",
		Username: "applier", PasswordFile: secret(t, "redis-secret"),
		SentinelUsername: "applier", SentinelPasswordFile: secret(t, "sentinel-secret\n"),
		TLS: &mounted.TLS{Prefix: "APPLIER_REDIS", CAFile: sitetest.Bundle(t, old, ca), CertFile: mine.CertFile, KeyFile: mine.KeyFile},
	}
	tests := []struct {
		name   string
		change func(o *sink.Options)
		want   []string // in the error; none = opened
	}{
		{"as it should be", func(*sink.Options) {}, nil},
		{"a name that the certificates are for", func(o *sink.Options) { o.TLS.ServerName = "redis.test" }, nil},
		{
			"a wrong CA", func(o *sink.Options) { o.TLS.CAFile = sitetest.Bundle(t, stranger) },
			[]string{"sentinel " + sentinel, "no CA in APPLIER_REDIS_CA_FILE=", "put its CA into that file"},
		},
		{
			"no client certificate", func(o *sink.Options) { o.TLS.CertFile, o.TLS.KeyFile = "", "" },
			[]string{"it wants a client certificate; name the files with one in APPLIER_REDIS_CERT_FILE and APPLIER_REDIS_KEY_FILE"},
		},
		{
			"a client certificate of another CA", func(o *sink.Options) { o.TLS.CertFile, o.TLS.KeyFile = foreign.CertFile, foreign.KeyFile },
			[]string{"APPLIER_REDIS_CERT_FILE=" + foreign.CertFile, "signed by a CA that the server trusts"},
		},
		{"another name", func(o *sink.Options) { o.TLS.ServerName = "elsewhere.test" }, []string{"redis.test", "set APPLIER_REDIS_SERVER_NAME"}},
		{"without TLS", func(o *sink.Options) { o.TLS = nil }, []string{"sentinel " + sentinel}},
		{
			"no password for the Sentinel", func(o *sink.Options) { o.SentinelUsername, o.SentinelPasswordFile = "", "" },
			[]string{"it wants a password; name the file with it in APPLIER_SENTINEL_PASSWORD_FILE", "NOAUTH"},
		},
		{
			"another password at the Sentinel", func(o *sink.Options) { o.SentinelPasswordFile = secret(t, "redis-secret") },
			[]string{"it does not accept the password in APPLIER_SENTINEL_PASSWORD_FILE=", "WRONGPASS"},
		},
		{"another password at Redis", func(o *sink.Options) { o.PasswordFile = secret(t, "sentinel-secret") }, []string{"greet the primary " + addr, "WRONGPASS"}},
		{
			"a password file that is gone", func(o *sink.Options) { o.SentinelPasswordFile = "/nowhere/password" },
			[]string{"APPLIER_SENTINEL_PASSWORD_FILE: open /nowhere/password", "mount the password there"},
		},
		{"a master that nobody watches", func(o *sink.Options) { o.SentinelMaster = "mymaster" }, []string{"set APPLIER_SENTINEL_MASTER"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o, tls := good, *good.TLS
			o.TLS = &tls
			tt.change(&o)
			err := open(t, o)
			if len(tt.want) == 0 && err != nil {
				t.Fatalf("got %v, want a connection", err)
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want it to contain %q", err, want)
				}
			}
			if err != nil && (strings.Contains(err.Error(), "redis-secret") || strings.Contains(err.Error(), "sentinel-secret")) {
				t.Errorf("the error tells a password: %v", err)
			}
		})
	}
}

func open(t *testing.T, o sink.Options) error {
	t.Helper()
	s := sink.New(o)
	t.Cleanup(func() { _ = s.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := s.Open(ctx, 0)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Join(ctx)
	return err
}

func secret(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
