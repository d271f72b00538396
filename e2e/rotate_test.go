package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	rediscomponent "github.com/comptech-lab/redis-wal/components/redis"
	"github.com/comptech-lab/redis-wal/render"
)

// passwordAndSize does two things at the same time: dc gets another password for Redis, dr a Redis more and then one less.
func (w *whole) passwordAndSize(t *testing.T) string {
	return w.under(t, func() string { return together(t, w.redisPassword, w.redisScaled) })
}

// redisPassword gives Redis at dc another password: walctl makes both valid, the site is declared with the new one and a restart, the operator makes the pods anew, and walctl
// drops the old one.
func (w *whole) redisPassword(t *testing.T) string {
	s, began := w.sites[siteA], time.Now()
	old := s.password(t, rediscomponent.AuthSecret(s.cfg.Redis.Name))
	another := old + "-and-new"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte(another+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd := w.command(t, "rotate", "redis", "--site", s.site.Name, "--password-file", filepath.Join(dir, "password"), "--yes")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	said := func() string {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	defer func() { t.Log("\n" + said()) }()
	s.eventually(t, func(context.Context) error {
		if !strings.Contains(said(), "both passwords are valid everywhere") {
			return errors.New("walctl does not say that both passwords are valid")
		}
		return nil
	})
	primary := s.primaryPod(t)
	s.change(t, func(stack render.Stack) render.Stack {
		return stack.WithSecrets(map[string]string{"redisPassword": another}).With("redis.restart", "once")
	})
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("walctl: %v", err)
		}
	case <-time.After(10 * time.Minute): // walctl says what it waits for
		t.Fatal("walctl does not end")
	}
	if strings.Contains(said(), old) {
		t.Error("a password stands in what walctl says")
	}
	s.gone(t, primary)
	s.well(t)
	pods, err := s.pods(t.Context(), "redis")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		c := redis.NewClient(&redis.Options{Addr: net.JoinHostPort(p.Status.PodIP, strconv.Itoa(s.cfg.Redis.Port)), Password: old, DisableIdentity: true, MaxRetries: -1})
		if err := c.Ping(t.Context()).Err(); !redis.HasErrorPrefix(err, "WRONGPASS") {
			t.Errorf("%s: the old password: got %v, want it refused", p.Name, err)
		}
		_ = c.Close()
	}
	return fmt.Sprintf("dc: %.0f s with the restart of all Redis, the old one is refused by %d pods", time.Since(began).Seconds(), len(pods))
}
