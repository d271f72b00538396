package judge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// atOnce is how many requests are on their way to the API server.
const atOnce = 8

// Seen is what was seen of a cluster.
type Seen struct {
	// Version is the server's.
	Version string
	// Kinds are those that it knows.
	Kinds []Kind
	// Answers are what was read.
	Answers map[Query]Answer
	// Lacking are the rights that who asks has not, of those that the deployment needs.
	Lacking []Right
	// Trials are how the server took the declared objects, by their names; those that could not be tried are not among them.
	Trials map[string]Trial
}

// Answer is what a query gave.
type Answer struct {
	Objects []Object
	// Err is [ErrForbidden] or [ErrNotServed].
	Err error
}

// Trial is how the server took an object.
type Trial struct {
	Warnings []string
	// Refused is why it did not take it; nil = it did.
	Refused *RefusedError
}

// Look reads all that the rules want to know of a cluster, and changes nothing there.
func Look(ctx context.Context, c Cluster, w Want) (Seen, error) {
	s := Seen{Answers: map[Query]Answer{}, Trials: map[string]Trial{}}
	var err error
	if s.Version, err = c.Version(ctx); err != nil {
		return s, err
	}
	if s.Kinds, err = c.Served(ctx); err != nil {
		return s, err
	}
	var mu sync.Mutex
	each, inner := errgroup.WithContext(ctx)
	each.SetLimit(atOnce)
	for _, q := range queries(w) {
		each.Go(func() error {
			list, err := c.Read(inner, q)
			if err != nil && !errors.Is(err, ErrForbidden) && !errors.Is(err, ErrNotServed) {
				return fmt.Errorf("read %s: %w", q, err)
			}
			mu.Lock()
			defer mu.Unlock()
			s.Answers[q] = Answer{list, err}
			return nil
		})
	}
	if err := each.Wait(); err != nil {
		return s, err
	}
	if s.Lacking, err = lacking(ctx, c, needed(w, s)); err != nil {
		return s, err
	}
	each, inner = errgroup.WithContext(ctx)
	each.SetLimit(atOnce)
	for _, o := range w.Objects {
		if !s.served(o.Group(), o.Version(), o.Kind()) || o.Namespace() != "" && !s.exists(Query{Kind: "Namespace", Name: o.Namespace()}) {
			continue // that is a finding by itself
		}
		if o.Replaced && s.exists(o.query()) {
			continue // its fields cannot be changed, and nobody will try to
		}
		each.Go(func() error {
			warnings, err := c.Try(inner, o.Object)
			refused, ok := errors.AsType[*RefusedError](err)
			if err != nil && !ok {
				return fmt.Errorf("try %s: %w", o, err)
			}
			mu.Lock()
			defer mu.Unlock()
			s.Trials[o.String()] = Trial{warnings, refused}
			return nil
		})
	}
	return s, each.Wait()
}

// lacking are the rights among those that are needed and not there.
func lacking(ctx context.Context, c Cluster, need []Right) ([]Right, error) {
	if all, err := c.May(ctx, Right{Verb: "*", Group: "*", Resource: "*"}); err != nil || all {
		return nil, err // an administrator: nothing needs to be asked one by one
	}
	var mu sync.Mutex
	var out []Right
	each, ctx := errgroup.WithContext(ctx)
	each.SetLimit(atOnce)
	for _, right := range need {
		each.Go(func() error {
			ok, err := c.May(ctx, right)
			if err != nil {
				return fmt.Errorf("ask for the right to %s: %w", right, err)
			}
			if !ok {
				mu.Lock()
				defer mu.Unlock()
				out = append(out, right)
			}
			return nil
		})
	}
	return out, each.Wait()
}

func (s Seen) served(group, version, kind string) bool {
	return slices.Contains(s.Kinds, Kind{group, version, kind})
}

// versions are those in which a kind is served.
func (s Seen) versions(group, kind string) []string {
	var out []string
	for _, k := range s.Kinds {
		if k.Group == group && k.Name == kind {
			out = append(out, k.Version)
		}
	}
	slices.Sort(out)
	return out
}

// exists says whether a query found something, or might have.
func (s Seen) exists(q Query) bool {
	a := s.Answers[q]
	return len(a.Objects) > 0 || errors.Is(a.Err, ErrForbidden)
}

// What is read beside the declared objects.
const (
	strimzi  = "kafka.strimzi.io"
	longhorn = "longhorn.io"

	longhornDriver = "driver.longhorn.io"
	nodeDown       = "node-down-pod-deletion-policy"
)

func (w Want) kafka() Query {
	return Query{Group: strimzi, Kind: "Kafka", Namespace: w.Kafka.Namespace, Name: w.Kafka.Name}
}

func (w Want) kafkaPools() Query {
	return Query{Group: strimzi, Kind: "KafkaNodePool", Namespace: w.Kafka.Namespace, Labels: "strimzi.io/cluster=" + w.Kafka.Name}
}

func (w Want) kafkaCA() Query {
	return Query{Kind: "Secret", Namespace: w.Kafka.Namespace, Name: w.Kafka.Name + "-cluster-ca-cert"}
}

func (w Want) nodeDown() Query {
	return Query{Group: longhorn, Kind: "Setting", Namespace: w.Storage.Longhorn, Name: nodeDown}
}

func (w Want) backupTargets() Query {
	return Query{Group: longhorn, Kind: "BackupTarget", Namespace: w.Storage.Longhorn}
}

func (w Want) driver() Query {
	return Query{Group: "storage.k8s.io", Kind: "CSIDriver", Name: longhornDriver}
}

func (w Want) class() Query {
	return Query{Group: "storage.k8s.io", Kind: "StorageClass", Name: w.Storage.Class}
}

func (w Want) dns() Query {
	return Query{Kind: "Pod", Namespace: w.DNS.Namespace, Labels: selector(w.DNS.Labels)}
}

func (w Want) priority() Query {
	return Query{Group: "scheduling.k8s.io", Kind: "PriorityClass", Name: w.PriorityClass}
}

func (w Want) pullSecret(name string) Query {
	return Query{Kind: "Secret", Namespace: w.Namespace, Name: name}
}

func deployments() Query { return Query{Group: "apps", Kind: "Deployment"} }

func nodes() Query { return Query{Kind: "Node"} }

func namespace(name string) Query { return Query{Kind: "Namespace", Name: name} }

func (s Secret) query() Query { return Query{Kind: "Secret", Namespace: s.Namespace, Name: s.Name} }

func (d Declared) query() Query {
	return Query{Group: d.Group(), Kind: d.Kind(), Namespace: d.Namespace(), Name: d.Name()}
}

// queries are all that the rules want to know.
func queries(w Want) []Query {
	list := []Query{deployments(), nodes(), w.kafka(), w.kafkaPools(), w.kafkaCA()}
	for _, o := range w.Objects {
		list = append(list, o.query())
	}
	for _, name := range namespaces(w) {
		list = append(list, namespace(name))
	}
	for _, s := range w.Secrets {
		list = append(list, s.query())
	}
	for _, name := range w.PullSecrets {
		list = append(list, w.pullSecret(name))
	}
	if w.Storage.Class != "" {
		list = append(list, w.class())
	}
	if w.Storage.Longhorn != "" {
		list = append(list, w.driver(), w.nodeDown())
		if w.Storage.Backup {
			list = append(list, w.backupTargets())
		}
	}
	if w.DNS.Namespace != "" {
		list = append(list, w.dns())
	}
	if w.PriorityClass != "" {
		list = append(list, w.priority())
	}
	var out []Query
	for _, q := range list {
		if !slices.Contains(out, q) {
			out = append(out, q)
		}
	}
	return out
}

// namespaces are those that something is declared in or read from.
func namespaces(w Want) []string {
	list := []string{w.Namespace, w.Kafka.Namespace, w.Redis.OperatorNamespace, w.Storage.Longhorn, w.DNS.Namespace}
	for _, o := range w.Objects {
		list = append(list, o.Namespace())
	}
	for _, s := range w.Secrets {
		list = append(list, s.Namespace)
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(n string) bool { return n == "" })
}

// String is the query for people: get secrets redis/redis-auth, list pods in kube-system with k8s-app=kube-dns.
func (q Query) String() string {
	what := inGroup(Resource(q.Kind), q.Group)
	if q.Name != "" {
		return "get " + what + " " + qualified(q.Namespace, q.Name)
	}
	out := "list " + what
	if q.Namespace != "" {
		out += " in " + q.Namespace
	}
	if q.Labels != "" {
		out += " with " + q.Labels
	}
	return out
}

// String is the right for people: create topics.kafka.strimzi.io in kafka.
func (r Right) String() string {
	out := r.Verb + " " + inGroup(r.Resource, r.Group)
	if r.Name != "" {
		out += " " + r.Name
	}
	if r.Namespace != "" {
		out += " in " + r.Namespace
	}
	return out
}

func inGroup(resource, group string) string {
	if group == "" {
		return resource
	}
	return resource + "." + group
}
