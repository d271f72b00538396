package judge

import (
	"slices"
	"strconv"
	"strings"
)

// oldest is the oldest Kubernetes that is enough: 1.oldest.
const oldest = 27

// operatorOf says who brings the kinds of a group.
func operatorOf(group string) string {
	switch group {
	case strimzi:
		return "install Strimzi 0.49 or newer (https://strimzi.io/quickstarts/)"
	case "databases.spotahome.com":
		return "install the Redis operator with its CRD by server-side apply: docs/operators.md"
	case longhorn:
		return "install Longhorn, or leave storage.class.create, storage.backup and storage.snapshot out"
	case "monitoring.coreos.com":
		return "install Prometheus' operator, or set monitoring.enabled to false"
	}
	return "install what serves " + group
}

// kinds: all that is declared or looked at is known to the server, in the version that is declared.
func (r *rules) kinds() {
	if minor, ok := strings.CutPrefix(r.seen.Version, "v1."); ok {
		minor, _, _ = strings.Cut(minor, ".")
		if n, err := strconv.Atoi(strings.TrimRight(minor, "+")); err == nil && n < oldest {
			r.add("kubernetes-version", r.seen.Version, "upgrade the cluster to 1.27 or newer", "the API server is %s", r.seen.Version)
		}
	}
	need := []Kind{{strimzi, "", "Kafka"}}
	if r.want.Storage.Longhorn != "" {
		need = append(need, Kind{longhorn, "", "Setting"})
		if r.want.Storage.Backup {
			need = append(need, Kind{longhorn, "", "BackupTarget"})
		}
	}
	for _, o := range r.want.Objects {
		need = append(need, Kind{o.Group(), o.Version(), o.Kind()})
	}
	slices.SortStableFunc(need, func(a, b Kind) int { return strings.Compare(a.Group+a.Name+a.Version, b.Group+b.Name+b.Version) })
	for _, k := range slices.Compact(need) {
		place := inGroup(Resource(k.Name), k.Group)
		switch have := r.seen.versions(k.Group, k.Name); {
		case len(have) == 0:
			r.add("kind-missing", place, operatorOf(k.Group), "the server does not know the kind %s", k.Name)
		case k.Version != "" && !slices.Contains(have, k.Version):
			r.add("version-missing", place, operatorOf(k.Group), "%s is declared in %s, and the server knows it in %s only", k.Name, k.Version, strings.Join(have, ", "))
		}
	}
}

// declares says whether the program makes an object.
func (w Want) declares(q Query) bool {
	return slices.ContainsFunc(w.Objects, func(o Declared) bool { return o.query() == q })
}

const enforce = "pod-security.kubernetes.io/enforce"

// namespaces: all are there, with what must be in them.
func (r *rules) namespaces() {
	w := r.want
	for _, name := range namespaces(w) {
		o, ok := r.one(namespace(name))
		if ok && o == nil && !w.declares(namespace(name)) {
			remedy := w.kubectl() + " create namespace " + name
			if name == w.Namespace {
				remedy = w.set("namespace.create", "true")
			}
			r.add("namespace-missing", "Namespace "+name, remedy, "there is no namespace %s", name)
		}
		if level := o.Text("metadata", "labels", enforce); o != nil && name == w.Namespace && !w.declares(namespace(name)) && level != "restricted" {
			r.add("pod-security", "Namespace "+name, w.kubectl()+" label namespace "+name+" --overwrite "+enforce+"=restricted",
				"Pod Security enforces %s there; all pods of the site pass restricted", orNothing(level))
		}
	}
	if w.DNS.Namespace != "" && r.seen.exists(namespace(w.DNS.Namespace)) {
		if list, ok := r.read(w.dns()); ok && len(list) == 0 {
			r.add("dns-pods", "network.dns", "name the cluster's DNS pods in Pulumi."+w.Stack+".yaml: network: {dns: {namespace: ..., podLabels: {...}}}; find them by "+
				w.kubectl()+" get pods -A -l k8s-app=kube-dns",
				"the network policies let names be resolved by the pods %s in %s, and there is none", selector(w.DNS.Labels), w.DNS.Namespace)
		}
	}
	r.secrets()
	if w.PriorityClass != "" {
		if o, ok := r.one(w.priority()); ok && o == nil {
			r.add("priority-class", "redis.priorityClass", "create the PriorityClass, or name another: "+w.kubectl()+" get priorityclasses", "there is no PriorityClass %s", w.PriorityClass)
		}
	}
	r.nodes()
}

// secrets: those that must exist do.
func (r *rules) secrets() {
	w := r.want
	for _, s := range w.Secrets {
		if !r.seen.exists(namespace(s.Namespace)) {
			continue
		}
		o, ok := r.one(s.query())
		if !ok {
			continue
		}
		place := "Secret " + qualified(s.Namespace, s.Name)
		var without []string
		for _, key := range s.Keys {
			if o.At("data", key) == nil {
				without = append(without, key)
			}
		}
		remedy := w.kubectl() + " -n " + s.Namespace + " create secret generic " + s.Name
		for _, key := range s.Keys {
			remedy += " --from-file=" + key + "=FILE"
		}
		switch {
		case o == nil:
			r.add("secret-missing", place, remedy, "it holds %s; with secrets.source: existing it must be there", s.About)
		case len(without) > 0:
			r.add("secret-missing", place, remedy+" --dry-run=client -o yaml | "+w.kubectl()+" apply -f -", "it has no key %s", strings.Join(without, ", "))
		}
	}
	for _, name := range w.PullSecrets {
		if !r.seen.exists(namespace(w.Namespace)) {
			continue
		}
		if o, ok := r.one(w.pullSecret(name)); ok && o == nil {
			r.add("pull-secret", "Secret "+qualified(w.Namespace, name),
				w.kubectl()+" -n "+w.Namespace+" create secret docker-registry "+name+" --docker-server=... --docker-username=... --docker-password=...",
				"images.pullSecrets names it, and it is not there")
		}
	}
}

func (r *rules) nodes() {
	list, ok := r.read(nodes())
	if !ok {
		return
	}
	n := 0
	for _, o := range list {
		if o.At("spec", "unschedulable") != true {
			n++
		}
	}
	if n >= r.want.Redis.Replicas {
		return
	}
	r.add("nodes", "redis.replicas", "add nodes, or let pods onto those there are: "+r.want.kubectl()+" get nodes", "%d nodes take pods, and there are %d Redis: the loss of a node takes more than one", n, r.want.Redis.Replicas)
	if r.want.Redis.Spread {
		r.out[len(r.out)-1].Level = Error // they would wait for ever
	}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
