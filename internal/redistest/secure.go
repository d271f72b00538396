package redistest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/internal/freeport"
)

// Host is a loopback address that is not 127.0.0.1, which is what a Sentinel names that was not set up yet.
const Host = "127.0.1.1"

// TLS are the files of a server that speaks TLS and wants certificates of its clients.
type TLS struct{ CAFile, CertFile, KeyFile string }

// lines are directives of redis.conf and sentinel.conf alike.
func (f TLS) lines(port int) [][]string {
	return [][]string{
		{"tls-port", strconv.Itoa(port)},
		{"tls-ca-cert-file", f.CAFile},
		{"tls-cert-file", f.CertFile},
		{"tls-key-file", f.KeyFile},
		{"tls-auth-clients", "yes"},
		{"tls-replication", "yes"},
	}
}

// StartTLS is [Start] of a server that speaks TLS too: at the address that is returned, on [Host].
func StartTLS(t testing.TB, files TLS, args ...string) (s *Server, addr string) {
	t.Helper()
	port := freeport.Reserve(t)
	all := []string{"--bind", "127.0.0.1", Host, "--replica-announce-ip", Host}
	for _, l := range files.lines(port) {
		all = append(all, "--"+l[0], l[1])
	}
	return Start(t, append(all, args...)...), net.JoinHostPort(Host, strconv.Itoa(port))
}

// StartSentinel starts a redis-sentinel on [Host] with these lines of configuration, waits until it listens and returns its address.
// With files it speaks nothing but TLS.
func StartSentinel(t testing.TB, files *TLS, lines ...string) string {
	t.Helper()
	addr, err := startSentinel(t, files, lines)
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func startSentinel(t testing.TB, files *TLS, lines []string) (string, error) {
	port, dir := freeport.Reserve(t), t.TempDir()
	conf := []string{"bind " + Host, "dir " + dir, "sentinel announce-ip " + Host}
	if files == nil {
		conf = append(conf, "port "+strconv.Itoa(port))
	} else {
		conf = append(conf, "port 0")
		for _, l := range files.lines(port) {
			conf = append(conf, strings.Join(l, " "))
		}
	}
	file := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(file, []byte(strings.Join(slices.Concat(conf, lines), "\n")+"\n"), 0o600); err != nil {
		return "", err
	}
	cmd := exec.Command("redis-server", file, "--sentinel")
	var log bytes.Buffer
	cmd.Stdout = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	exited := make(chan struct{})
	go func() { defer close(exited); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-exited
	})
	addr := net.JoinHostPort(Host, strconv.Itoa(port))
	for deadline := time.Now().Add(10 * time.Second); ; {
		select {
		case <-exited:
			return "", fmt.Errorf("redis-sentinel ended: %s", log.String())
		case <-time.After(10 * time.Millisecond):
		}
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
			return addr, nil
		}
		if time.Now().After(deadline) {
			return "", errors.Join(errors.New("redis-sentinel does not listen"), err)
		}
	}
}
