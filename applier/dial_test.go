package main

import (
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/freeport"
)

// dial names the step at which an address is lost, and sends nothing to one that is reached.
func TestDial(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	gone := freeport.ReserveAddr(t, "127.0.0.1")
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	address := server.Listener.Addr().String()
	for _, tt := range []struct {
		name string
		args []string
		ca   string
		code int
		step string
	}{
		{"reached", []string{address}, "", 0, ""},
		{"reached and believed", []string{"--tls", address}, ca, 0, ""},
		{"another CA", []string{"--tls", address}, "", 1, "tls"},
		{"nobody listens", []string{gone}, "", 1, "tcp"},
		{"no such name", []string{"no-such-name.invalid:9094"}, "", 1, "dns"},
		{"the certificate is for another name", []string{"--tls", strings.Replace(address, "127.0.0.1", "localhost", 1)}, ca, 1, "tls"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, errs strings.Builder
			code := run(t.Context(), append([]string{"dial"}, tt.args...), func(name string) (string, bool) { return tt.ca, name == "DIAL_CA" && tt.ca != "" }, nil, &out, &errs)
			var got dialled
			if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
				t.Fatalf("%v: %q, %q", err, out.String(), errs.String())
			}
			if code != tt.code || got.Step != tt.step || got.Address != tt.args[len(tt.args)-1] || (got.Error == "") != (tt.step == "") {
				t.Errorf("got %d, %+v; want %d at step %q", code, got, tt.code, tt.step)
			}
		})
	}
	for _, args := range [][]string{{"dial"}, {"dial", "--tls"}, {"dial", "kafka"}, {"dial", ":9094"}} {
		var out, errs strings.Builder
		if code := run(t.Context(), args, func(string) (string, bool) { return "", false }, nil, &out, &errs); code != exitUsage {
			t.Errorf("%v: got %d, want %d", args, code, exitUsage)
		}
	}
	if code := run(t.Context(), []string{"dial", "--tls", address}, func(string) (string, bool) { return "no certificate", true }, nil, &strings.Builder{}, &strings.Builder{}); code != exitUsage {
		t.Errorf("a CA that is none: got %d, want %d", code, exitUsage)
	}
}
