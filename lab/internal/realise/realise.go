// Package realise makes the objects that the program declares real as processes on this machine: what the operators, the
// scheduler and the kubelets do on a cluster, as far as the data path is concerned.
package realise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/broker"
	"github.com/comptech-lab/redis-wal/lab/internal/java"
	"github.com/comptech-lab/redis-wal/lab/internal/link"
	"github.com/comptech-lab/redis-wal/lab/internal/loopback"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
	"github.com/comptech-lab/redis-wal/lab/internal/redisfailover"
)

// Input is one site: what is there before its program.
type Input struct {
	Site string
	// Kafka is the site's Kafka; somebody else's stack on a cluster.
	Kafka *broker.Kafka
	// Addresses leads from the Kafka addresses in the objects to the lab's; the Services are added to it. Each site has its
	// own: the same Service name means something else on another cluster.
	Addresses *Addresses
	// Given are Secrets that exist before the program, as Strimzi's cluster CA does.
	Given []manifest.Object
}

// Config says where a lab runs.
type Config struct {
	// Dir is the state folder; it exists.
	Dir string
	// Binary is the program of the one image that the objects name.
	Binary string
	// Group runs all processes.
	Group *process.Group
	// Block gives the addresses.
	Block *loopback.Block
	// Java runs the real MirrorMaker 2; nil = the stand-in is the mirror.
	Java *java.Runtime
	// Log gets what the operators and kubelets would log.
	Log *slog.Logger
}

// Lab is a set of running sites.
type Lab struct {
	cfg   Config
	sites map[string]*site
}

type site struct {
	lab        *Lab
	in         Input
	log        *slog.Logger
	secrets    *values
	configMaps *values
	link       *link.Link

	mu      sync.Mutex
	skipped map[string]int
	lessOf  map[string]map[string]int // kinds of objects by what is less of them here
	running map[string]bool           // objects for which something runs, by their names
	redis   *redisfailover.Failover
	mirrors []Mirror
	pods    []*Pod
	jobs    []job
	runs    int // of Jobs, so that each has a log of its own
}

// Pod is a running pod of a Deployment.
type Pod struct {
	kept *process.Kept
	// Name is the pod's name, and its log's.
	Name string
	// URL is where its port for HTTP is, without a path; empty = it has no readiness probe.
	URL   string
	ready string
	// Env are the variables that its process is given, by name.
	Env map[string]string
}

// Kill sends SIGKILL to the pod's process; it is started again after a while.
func (p *Pod) Kill() error { return p.kept.Signal(syscall.SIGKILL) }

// Signal sends sig to the pod's process.
func (p *Pod) Signal(sig syscall.Signal) error { return p.kept.Signal(sig) }

// Hold kills the pod's process and keeps it dead until Release, as a node that is away does.
func (p *Pod) Hold() error { return p.kept.Hold() }

// Release lets a held pod be started again.
func (p *Pod) Release() { p.kept.Release() }

// podRestartAfter is how long a killed pod of a Deployment stays away.
const podRestartAfter = time.Second

// Open gives sites that hold only what is there before their programs. [Lab.Apply] makes objects real. On an error all that was
// started is left to Close.
func Open(ctx context.Context, cfg Config, inputs ...Input) (*Lab, error) {
	lab := &Lab{cfg: cfg, sites: make(map[string]*site)}
	for _, in := range inputs {
		lab.sites[in.Site] = &site{
			lab: lab, in: in, log: cfg.Log.With("site", in.Site),
			secrets: newValues("Secret"), configMaps: newValues("ConfigMap"), skipped: make(map[string]int), lessOf: make(map[string]map[string]int),
			running: make(map[string]bool), link: new(link.Link),
		}
	}
	for _, in := range inputs {
		for _, o := range in.Given {
			if err := lab.Apply(ctx, in.Site, o); err != nil {
				return lab, err
			}
		}
	}
	return lab, nil
}

// Apply makes one object of a site real. What it needs must have been applied before, as an engine sees to by its
// dependencies. It does not wait for pods: [Lab.AwaitReady] does. A Job is kept for [Lab.RunJobs].
func (l *Lab) Apply(ctx context.Context, siteName string, o manifest.Object) error {
	s := l.sites[siteName]
	h, err := manifest.As[manifest.Head](o)
	if err != nil {
		return fmt.Errorf("site %s: %w", siteName, err)
	}
	if meaningless[h.Kind] {
		s.mu.Lock()
		s.skipped[h.Kind]++
		s.mu.Unlock()
		return nil
	}
	apply, ok := s.makers()[h.Kind]
	if !ok {
		return fmt.Errorf("site %s: %s: the lab does not know this kind: teach it, or list it as one that means nothing on one machine", siteName, h)
	}
	switch h.Kind {
	case "Secret", "ConfigMap", "Job": // the last one counts
		err = apply(ctx, o)
	default:
		err = s.once(h, func() error { return apply(ctx, o) })
	}
	if err != nil {
		return fmt.Errorf("site %s: %w", siteName, err)
	}
	return nil
}

// once makes something run for an object, unless it does already.
func (s *site) once(h manifest.Head, start func() error) error {
	mark := func(on bool) (was bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		was = s.running[h.String()]
		s.running[h.String()] = on
		return was
	}
	if mark(true) {
		return fmt.Errorf("%s: is there already; the lab does not change what runs: stop it and start it again", h)
	}
	if err := start(); err != nil {
		mark(false)
		return err
	}
	return nil
}

// Forget is told that an object was deleted. A Job is not run any more; what runs can only be ended with the lab.
func (l *Lab) Forget(siteName string, o manifest.Object) error {
	s := l.sites[siteName]
	h, err := manifest.As[manifest.Head](o)
	if err != nil {
		return fmt.Errorf("site %s: %w", siteName, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[h.String()] {
		return fmt.Errorf("site %s: %s: the lab ends all that runs at once; stop it", siteName, h)
	}
	if h.Kind == "Job" {
		s.jobs = slices.DeleteFunc(s.jobs, func(j job) bool { return keyOf(j.Head) == keyOf(h) })
	}
	return nil
}

// ApplyAll makes objects real in the order in which they need each other, and waits for the pods. Jobs are not run.
func (l *Lab) ApplyAll(ctx context.Context, siteName string, objects []manifest.Object) error {
	for _, o := range inOrder(objects) {
		if err := l.Apply(ctx, siteName, o); err != nil {
			return err
		}
	}
	return l.AwaitReady(ctx, siteName)
}

// makers says how the objects of each kind become real.
func (s *site) makers() map[string]func(context.Context, manifest.Object) error {
	return map[string]func(context.Context, manifest.Object) error{
		"Secret":            s.makeSecret,
		"ConfigMap":         s.makeConfigMap,
		"KafkaTopic":        s.makeTopic,
		"KafkaUser":         s.makeUser,
		"KafkaMirrorMaker2": s.makeMirror,
		"RedisFailover":     s.makeRedis,
		"Deployment":        s.makeDeployment,
		"Job":               s.keepJob,
	}
}

// inOrder sorts objects by kind, so that each comes after what it needs.
func inOrder(objects []manifest.Object) []manifest.Object {
	order := []string{"Secret", "ConfigMap", "KafkaTopic", "KafkaUser", "KafkaMirrorMaker2", "RedisFailover", "Deployment", "Job"}
	place := func(o manifest.Object) int {
		kind, _ := o["kind"].(string)
		return slices.Index(order, kind)
	}
	out := slices.Clone(objects)
	slices.SortStableFunc(out, func(a, b manifest.Object) int { return place(a) - place(b) })
	return out
}

func (s *site) makeSecret(_ context.Context, o manifest.Object) error {
	v, err := manifest.As[secret](o)
	if err != nil {
		return err
	}
	return s.secrets.add(v.Head, v.StringData, v.Data)
}

func (s *site) makeConfigMap(_ context.Context, o manifest.Object) error {
	v, err := manifest.As[configMap](o)
	if err != nil {
		return err
	}
	return s.configMaps.add(v.Head, v.Data, v.BinaryData)
}

func (s *site) makeTopic(ctx context.Context, o manifest.Object) error {
	t, err := broker.DecodeTopic(o)
	if err != nil {
		return err
	}
	less, err := s.in.Kafka.CreateTopic(ctx, t)
	if less != "" {
		s.less(less, t.Kind)
	}
	return err
}

func (s *site) makeUser(ctx context.Context, o manifest.Object) error {
	u, err := broker.DecodeUser(o)
	if err != nil {
		return err
	}
	ref := u.Spec.Authentication.Password.ValueFrom.SecretKeyRef
	if ref == nil {
		return fmt.Errorf("%s: spec.authentication.password.valueFrom.secretKeyRef: missing; the lab makes no passwords up", u)
	}
	password, err := s.secrets.get(u.Metadata.Namespace, ref.Name, ref.Key)
	if err != nil {
		return fmt.Errorf("%s: %w", u, err)
	}
	return s.in.Kafka.CreateUser(ctx, u, string(password))
}

func (s *site) makeRedis(ctx context.Context, o manifest.Object) error {
	spec, err := redisfailover.Decode(o)
	if err != nil {
		return err
	}
	if s.lab.Redis(s.in.Site) != nil {
		return fmt.Errorf("%s: the lab runs one RedisFailover per site", spec)
	}
	var password []byte
	if name := spec.Spec.Auth.SecretPath; name != "" {
		if password, err = s.secrets.get(spec.Metadata.Namespace, name, "password"); err != nil {
			return fmt.Errorf("%s: %w", spec, err)
		}
	}
	f, err := redisfailover.Start(ctx, redisfailover.Config{
		Spec: spec, Password: string(password), Dir: filepath.Join(s.lab.cfg.Dir, s.in.Site), Prefix: s.in.Site + "-",
		Next: s.lab.cfg.Block.Next, Group: s.lab.cfg.Group, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.redis = f
	s.mu.Unlock()
	s.in.Addresses.AddService("rfs-"+spec.Metadata.Name, spec.Metadata.Namespace, redisfailover.SentinelPort, f.Sentinels()...)
	return nil
}

func (s *site) makeDeployment(_ context.Context, o manifest.Object) error {
	d, err := manifest.As[deployment](o)
	if err != nil {
		return err
	}
	replicas := 1
	if d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	for i := range replicas {
		p, err := s.newPod(d.Head, d.Spec.Template, fmt.Sprintf("%s-%s-%d", s.in.Site, d.Metadata.Name, i))
		if err != nil {
			return fmt.Errorf("%s: %w", d, err)
		}
		url, ready, err := probe(p)
		if err != nil {
			return fmt.Errorf("%s: %w", d, err)
		}
		spec, err := s.podSpec(p)
		if err != nil {
			return fmt.Errorf("%s: %w", d, err)
		}
		kept, err := s.lab.cfg.Group.Keep(process.Keeping{
			Name: p.name, After: podRestartAfter, Log: s.log,
			Prepare: func() (process.Spec, error) { return s.podSpec(p) },
		})
		if err != nil {
			return fmt.Errorf("%s: %w", d, err)
		}
		env := make(map[string]string, len(spec.Env))
		for _, e := range spec.Env {
			name, value, _ := strings.Cut(e, "=")
			env[name] = value
		}
		s.mu.Lock()
		s.pods = append(s.pods, &Pod{kept: kept, Name: p.name, URL: url, ready: ready, Env: env})
		s.mu.Unlock()
	}
	return nil
}

func (s *site) newPod(h manifest.Head, t podTemplate, name string) (pod, error) {
	ip, err := s.lab.cfg.Block.Next()
	if err != nil {
		return pod{}, err
	}
	p := pod{name: name, namespace: h.Metadata.Namespace, ip: ip, template: t, dir: filepath.Join(s.lab.cfg.Dir, s.in.Site, name)}
	return p, os.MkdirAll(p.dir, 0o700)
}

// probe is where the pod's readiness is asked.
func probe(p pod) (url, ready string, err error) {
	c, err := p.template.only()
	if err != nil || c.ReadinessProbe == nil || c.ReadinessProbe.HTTPGet == nil {
		return "", "", err
	}
	get := c.ReadinessProbe.HTTPGet
	port := 0
	switch v := get.Port.(type) {
	case float64:
		port = int(v)
	case string:
		for _, declared := range c.Ports {
			if declared.Name == v {
				port = declared.ContainerPort
			}
		}
	}
	if port == 0 {
		return "", "", fmt.Errorf("readinessProbe: port %v is not among the container's ports", get.Port)
	}
	url = fmt.Sprintf("http://%s:%d", p.ip, port)
	return url, url + get.Path, nil
}

func (s *site) keepJob(_ context.Context, o manifest.Object) error {
	j, err := manifest.As[job](o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	same := func(k job) bool { return keyOf(k.Head) == keyOf(j.Head) }
	s.jobs = append(slices.DeleteFunc(s.jobs, same), j) // one that is replaced goes
	return nil
}

// Ready is nil if the pod's readiness probe succeeds.
func (p *Pod) Ready(ctx context.Context) error {
	if p.ready == "" {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.ready, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s answers %s", p.Name, p.ready, resp.Status)
	}
	return nil
}

// Skipped is how many objects of which kind of a site mean nothing here.
func (l *Lab) Skipped(site string) map[string]int {
	s := l.sites[site]
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.skipped)
}

// less remembers that an object of the kind could not be made as large as it is declared.
func (s *site) less(words, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lessOf[words] == nil {
		s.lessOf[words] = make(map[string]int)
	}
	s.lessOf[words][kind]++
}

// Less says, line by line, what is declared larger than one machine makes it.
func (l *Lab) Less(site string) []string {
	s := l.sites[site]
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for words, kinds := range s.lessOf {
		for kind, n := range kinds {
			out = append(out, fmt.Sprintf("%d %s: %s", n, kind, words))
		}
	}
	slices.Sort(out)
	return out
}

// Secret is one value of a Secret of the site.
func (l *Lab) Secret(site, namespace, name, field string) ([]byte, error) {
	return l.sites[site].secrets.get(namespace, name, field)
}

// Redis is the site's Redis; nil = none has been applied.
func (l *Lab) Redis(site string) *redisfailover.Failover {
	s := l.sites[site]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.redis
}

// Mirror is the direction that ends at the site; nil = none has been applied.
func (l *Lab) Mirror(site string) Mirror {
	s := l.sites[site]
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mirrors) == 0 {
		return nil
	}
	return s.mirrors[0]
}

// Pods are the pods of the site's Deployments.
func (l *Lab) Pods(site string) []*Pod {
	s := l.sites[site]
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.pods)
}

// Close stops everything but Kafka, which it did not start.
func (l *Lab) Close() error {
	errs := make(chan error)
	n := 0
	for _, s := range l.sites {
		s.mu.Lock()
		for _, m := range s.mirrors {
			n++
			go func() { errs <- m.Stop() }()
		}
		for _, p := range s.pods {
			n++
			go func() { errs <- p.kept.Stop(10 * time.Second) }()
		}
		s.mu.Unlock()
	}
	var all []error
	for range n {
		all = append(all, <-errs)
	}
	for _, s := range l.sites {
		if s.redis != nil {
			all = append(all, s.redis.Close())
		}
	}
	return errors.Join(all...)
}
