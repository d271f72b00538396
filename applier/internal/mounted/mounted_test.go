package mounted_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/mounted"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
)

func TestDial(t *testing.T) {
	t.Parallel()
	old, next, stranger := sitetest.NewCA(t, "old"), sitetest.NewCA(t, "new"), sitetest.NewCA(t, "stranger")
	server, mine, foreign := next.Issue(t, "localhost", "127.0.0.1"), next.Issue(t, "applier"), stranger.Issue(t, "applier")
	plain, mutual := server.Server(t), server.Server(t, next)
	mutual12 := server.Server(t, next)
	mutual12.MaxVersion = tls.VersionTLS12
	expired := next.IssueExpired(t, "127.0.0.1").Server(t)
	named := next.Issue(t, "redis.internal").Server(t)
	both := sitetest.Bundle(t, old, next)
	wrong := sitetest.Bundle(t, stranger)
	tests := []struct {
		name   string
		server *tls.Config // nil = does not speak TLS
		files  mounted.TLS
		want   []string // in the error; none = connected
	}{
		{"the CA", plain, mounted.TLS{CAFile: sitetest.Bundle(t, next)}, nil},
		{"a bundle with the old CA and the new one", plain, mounted.TLS{CAFile: both}, nil},
		{"a bundle with the old CA only", plain, mounted.TLS{CAFile: sitetest.Bundle(t, old)}, []string{"no CA in APPLIER_X_CA_FILE="}},
		{"a wrong CA", plain, mounted.TLS{CAFile: wrong}, []string{"no CA in APPLIER_X_CA_FILE=" + wrong, "put its CA into that file", "x509"}},
		{"no CA file", plain, mounted.TLS{}, []string{"no CA of this system", "name the file with its CA in APPLIER_X_CA_FILE"}},
		{"a client certificate", mutual, mounted.TLS{CAFile: both, CertFile: mine.CertFile, KeyFile: mine.KeyFile}, nil},
		{"a client certificate that nobody asks for", plain, mounted.TLS{CAFile: both, CertFile: mine.CertFile, KeyFile: mine.KeyFile}, nil},
		{"no client certificate", mutual, mounted.TLS{CAFile: both}, []string{"it wants a client certificate", "APPLIER_X_CERT_FILE", "APPLIER_X_KEY_FILE"}},
		{"no client certificate, TLS 1.2", mutual12, mounted.TLS{CAFile: both}, []string{"it wants a client certificate"}},
		{
			"a client certificate of a CA that the server does not know", mutual,
			mounted.TLS{CAFile: both, CertFile: foreign.CertFile, KeyFile: foreign.KeyFile},
			[]string{"APPLIER_X_CERT_FILE=" + foreign.CertFile, "signed by a CA that the server trusts"},
		},
		{"a server certificate that expired", expired, mounted.TLS{CAFile: both}, []string{"not valid (now)", "renew it"}},
		{"a name that the certificate is not for", named, mounted.TLS{CAFile: both}, []string{"its certificate is for redis.internal; set APPLIER_X_SERVER_NAME"}},
		{"the name that the certificate is for", named, mounted.TLS{CAFile: both, ServerName: "redis.internal"}, nil},
		{"a port without TLS", nil, mounted.TLS{CAFile: both}, []string{"does not answer in TLS there", "APPLIER_X_TLS=false"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.files.Prefix = "APPLIER_X"
			if err := tt.files.Check(); err != nil {
				t.Fatal(err)
			}
			err := talk(t, tt.files, serve(t, tt.server))
			if len(tt.want) == 0 && err != nil {
				t.Fatalf("got %v, want an answer", err)
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want it to contain %q", err, want)
				}
			}
		})
	}
}

// The CA, and the client's certificate with it, is changed under a process that goes on.
func TestFilesAreReadAtEachConnection(t *testing.T) {
	t.Parallel()
	old, next := sitetest.NewCA(t, "old"), sitetest.NewCA(t, "new")
	mine, renewed := old.Issue(t, "applier"), next.Issue(t, "applier")
	files := mounted.TLS{Prefix: "APPLIER_X", CAFile: sitetest.Bundle(t, old), CertFile: mine.CertFile, KeyFile: mine.KeyFile}
	before, after := serve(t, old.Issue(t, "127.0.0.1").Server(t, old)), serve(t, next.Issue(t, "127.0.0.1").Server(t, next))
	dial := files.Dial((&net.Dialer{}).DialContext)
	if err := talkBy(t, dial, before); err != nil {
		t.Fatal(err)
	}
	if err := talkBy(t, dial, after); err == nil {
		t.Fatal("got a connection to a server of the new CA before it was known")
	}
	sitetest.WriteBundle(t, files.CAFile, old, next)
	for from, to := range map[string]string{renewed.CertFile: mine.CertFile, renewed.KeyFile: mine.KeyFile} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	if err := talkBy(t, dial, after); err != nil {
		t.Errorf("got %v after the files were written anew, want a connection", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	ca := sitetest.NewCA(t, "ca")
	a, b := ca.Issue(t, "a"), ca.Issue(t, "b")
	missing := filepath.Join(t.TempDir(), "missing")
	tests := []struct {
		name  string
		files mounted.TLS
		want  []string
	}{
		{"all problems at once", mounted.TLS{CAFile: missing, CertFile: missing, KeyFile: missing}, []string{"APPLIER_X_CA_FILE: open " + missing, "mount the certificate of the CA", "APPLIER_X_CERT_FILE=" + missing}},
		{"a CA that is none", mounted.TLS{CAFile: a.KeyFile}, []string{"APPLIER_X_CA_FILE: " + a.KeyFile + " holds no certificate in PEM"}},
		{"a key of another certificate", mounted.TLS{CertFile: a.CertFile, KeyFile: b.KeyFile}, []string{"APPLIER_X_KEY_FILE=" + b.KeyFile, "does not match"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.files.Prefix = "APPLIER_X"
			err := tt.files.Check()
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want it to contain %q", err, want)
				}
			}
		})
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if _, err := mounted.Password("APPLIER_X_PASSWORD_FILE", file); err == nil || !strings.Contains(err.Error(), "APPLIER_X_PASSWORD_FILE: open "+file) {
		t.Errorf("got %v for a missing file", err)
	}
	for _, tt := range []struct{ content, want string }{{"secret\r\n", "secret"}, {" a b ", " a b "}, {"\n", ""}} {
		if err := os.WriteFile(file, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := mounted.Password("APPLIER_X_PASSWORD_FILE", file)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: got %q, %v, want %q", tt.content, got, err, tt.want)
		}
	}
}

// serve answers each connection's first bytes with themselves.
func serve(t *testing.T, config *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if config != nil {
					c = tls.Server(c, config)
				}
				b := make([]byte, 64)
				n, err := c.Read(b)
				if err == nil {
					_, _ = c.Write(b[:n])
				}
			}()
		}
	}()
	return l.Addr().String()
}

// talk connects, says something and reads the answer.
func talk(t *testing.T, files mounted.TLS, addr string) error {
	t.Helper()
	return talkBy(t, files.Dial((&net.Dialer{}).DialContext), addr)
}

func talkBy(t *testing.T, dial mounted.DialFunc, addr string) error {
	t.Helper()
	c, err := dial(t.Context(), "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write([]byte("ping")); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 4))
	return err
}
