// Package prometheus runs Debian's Prometheus on a lab: it reads the metrics of the appliers, and goes by the rules of both sites.
package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/comptech-lab/redis-wal/components/monitoring/alert"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

const port = 9090

// Every second, because drills are short.
const interval = "1s"

// Target is an applier.
type Target struct{ Site, Log, URL string }

// Server is a running Prometheus.
type Server struct {
	proc *process.Process
	url  string
}

// Start runs it at ip with its files in a new folder in dir.
func Start(ctx context.Context, group *process.Group, ip netip.Addr, dir string, sites []alert.Site, targets []Target) (*Server, error) {
	path, err := exec.LookPath("prometheus")
	if err != nil {
		return nil, fmt.Errorf("%w; install prometheus: make deps", err)
	}
	dir = filepath.Join(dir, "prometheus")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var groups []alert.Group
	for _, s := range sites {
		groups = append(groups, alert.Of(s))
	}
	rules, err := alert.File(groups...)
	if err != nil {
		return nil, err
	}
	var scraped []map[string]any
	for _, t := range targets {
		scraped = append(scraped, map[string]any{
			"targets": []string{strings.TrimPrefix(t.URL, "http://")},
			"labels":  map[string]string{alert.SiteLabel: t.Site, alert.LogLabel: t.Log, alert.PartLabel: alert.Applier},
		})
	}
	config, err := yaml.Marshal(map[string]any{
		"global":         map[string]string{"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
		"rule_files":     []string{"rules.yaml"},
		"scrape_configs": []map[string]any{{"job_name": "applier", "static_configs": scraped}},
	})
	err = errors.Join(err, os.WriteFile(filepath.Join(dir, "rules.yaml"), rules, 0o600), os.WriteFile(filepath.Join(dir, "prometheus.yaml"), config, 0o600))
	if err != nil {
		return nil, err
	}
	listen := netip.AddrPortFrom(ip, port).String()
	s := &Server{url: "http://" + listen}
	s.proc, err = group.Start(process.Spec{
		Name: "prometheus", Path: path, Dir: dir,
		Args: []string{"--config.file=prometheus.yaml", "--storage.tsdb.path=data", "--web.listen-address=" + listen, "--log.level=warn"},
	})
	if err != nil {
		return nil, err
	}
	err = await.True(ctx, "Prometheus", func(ctx context.Context) error {
		_, err := s.get(ctx, "/-/ready", nil)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends it.
func (s *Server) Close() error { return s.proc.Stop(5 * time.Second) }

func (s *Server) get(ctx context.Context, path string, values url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path+"?"+values.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, text)
	}
	return text, err
}

// Series is the labels of one result.
type Series map[string]string

func (s *Server) ask(ctx context.Context, path string, values url.Values) ([]Series, error) {
	text, err := s.get(ctx, path, values)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data struct{ Result []struct{ Metric Series } }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	var out []Series
	for _, r := range answer.Data.Result {
		out = append(out, r.Metric)
	}
	return out, nil
}

// Query runs a query now.
func (s *Server) Query(ctx context.Context, expr string) ([]Series, error) {
	return s.ask(ctx, "/api/v1/query", url.Values{"query": {expr}})
}

// Fired are the alerts that began to fire between two times, as site/name, sorted.
func (s *Server) Fired(ctx context.Context, from, to time.Time) ([]string, error) {
	stamp := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	list := func(from, to time.Time) ([]string, error) {
		series, err := s.ask(ctx, "/api/v1/query_range", url.Values{
			"query": {`count by (site, alertname) (ALERTS{alertstate="firing"})`}, "start": {stamp(from)}, "end": {stamp(to)}, "step": {interval},
		})
		var names []string
		for _, m := range series {
			names = append(names, m["site"]+"/"+m["alertname"])
		}
		slices.Sort(names)
		return names, err
	}
	before, err := list(from, from)
	if err != nil {
		return nil, err
	}
	fired, err := list(from, to)
	return slices.DeleteFunc(fired, func(name string) bool { return slices.Contains(before, name) }), err
}
