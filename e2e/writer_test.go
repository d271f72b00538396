package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/e2e/binaries"
)

// walctl runs walctl, which must end with exit status 0.
func (w *whole) walctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := w.try(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// try runs walctl outside of the clusters.
func (w *whole) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := w.command(t, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("walctl %s: %w\n%s%s", strings.Join(args, " "), err, out, &errs)
	}
	return string(out), nil
}

// command is walctl outside of the clusters: it reaches each through kubectl exec, as docs/walctl.md shows it.
func (w *whole) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	bin, err := binaries.Dir()
	if err != nil {
		t.Fatal(err)
	}
	sites := map[string]any{}
	w.each(func(s *wholeSite) {
		sites[s.site.Name] = map[string]any{"exec": []string{
			filepath.Join(bin, "kubectl"), "--kubeconfig", s.site.Kubeconfig, "-n", s.cfg.Namespace.Name, "exec", "-i", "deploy/redis-applier", "--", "/redis-applier", "ctl",
		}}
	})
	text, err := json.Marshal(map[string]any{"contexts": map[string]any{"e2e": map[string]any{"sites": sites}}})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "walctl.json")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), filepath.Join(bin, "walctl"), append([]string{"--config", config}, args...)...)
}

// status is what walctl status says. Kafka's users have other passwords: who is connected stays so, and who logs in anew is refused until the kubelet has brought the new one to
// the pod's files, which takes a minute or so on any cluster.
func (w *whole) status(t *testing.T) string {
	w.sites[siteA].eventually(t, func(context.Context) error {
		out, err := w.try(t, "status")
		if err == nil {
			t.Log("\n" + out)
		}
		return err
	})
	return "exit status 0"
}

// cutover moves the writer to dr, from outside of the clusters, and back, from a pod. The application stops, is told where to write, and goes on.
func (w *whole) cutover(t *testing.T) string {
	var said []string
	for _, move := range []struct {
		to     string
		walctl func(*testing.T, ...string) string
	}{{siteB, w.walctl}, {siteA, w.inPod}} {
		to := move.to
		if err := w.traffic.Write(t.Context(), 5000); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		t.Log("\n" + move.walctl(t, "cutover", "--to", to, "--yes"))
		said = append(said, fmt.Sprintf("to %s in %.1f s", to, time.Since(began).Seconds()))
		w.traffic.At(to)
		if err := w.traffic.Write(t.Context(), 5000); err != nil {
			t.Fatal(err)
		}
		said = append(said, w.equal(t))
	}
	return strings.Join(said, "; ")
}

// takeover kills the Kafka of dc, has dr take over, from a pod, and brings dc back: as long as it is settled nobody writes there, and then the writer goes home.
func (w *whole) takeover(t *testing.T) string {
	dc := w.sites[siteA]
	if err := dc.kafka.Hold(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	t.Log("\n" + w.inPod(t, "takeover", "--to", siteB, "--yes"))
	said := fmt.Sprintf("taken over in %.1f s", time.Since(began).Seconds())
	w.traffic.At(siteB)
	if err := w.traffic.Write(t.Context(), 5000); err != nil {
		t.Fatal(err)
	}
	if err := dc.kafka.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.kafkaIsReady(t)
	dc.appliersReady(t)
	dc.eventually(t, func(context.Context) error { // it asks for patience until the mirror has brought the takeover to dc
		out, err := w.try(t, "failback", "--drop", "--keep", filepath.Join(t.TempDir(), "tail.jsonl"), "--yes")
		if err == nil {
			t.Log("\n" + out)
		}
		return err
	})
	said += "; settled: " + w.equal(t)
	t.Log("\n" + w.walctl(t, "cutover", "--to", siteA, "--yes"))
	w.traffic.At(siteA)
	if err := w.traffic.Write(t.Context(), 5000); err != nil {
		t.Fatal(err)
	}
	return said + "; home: " + w.equal(t)
}
