package judge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// own says whether a namespace is the site's own, where it may change everything of the kinds that it declares.
func (w Want) own(namespace string) bool { return namespace != "" && namespace == w.Namespace }

// Rights are those that a deployment needs, each once: for every declared object what Pulumi does with it, and what it looks at while it waits. In the
// namespaces of others, and for kinds without a namespace, what changes an object is for the declared names only; what deletes one is so everywhere, and an
// object that is kept is never deleted.
// A namespace is not created: who grants rights in it makes it.
func Rights(w Want) []Right {
	var out []Right
	for _, o := range w.Objects {
		base := Right{Group: o.Group(), Resource: Resource(o.Kind()), Namespace: o.Namespace()}
		named := base
		if !w.own(o.Namespace()) {
			named.Name = o.Name()
		}
		for _, verb := range []string{"get", "patch", "update"} {
			named.Verb = verb
			out = append(out, named)
		}
		if !o.Kept {
			out = append(out, Right{"delete", base.Group, base.Resource, base.Namespace, o.Name()})
		}
		for _, verb := range []string{"list", "watch", "create"} {
			if verb != "create" || o.Kind() != "Namespace" {
				base.Verb = verb
				out = append(out, base)
			}
		}
		out = append(out, waiting(o)...)
	}
	return unique(out)
}

// waiting is what Pulumi reads until an object is ready.
func waiting(o Declared) []Right {
	var kinds []Right
	switch o.Kind() {
	case "Deployment":
		kinds = []Right{{Group: "apps", Resource: "replicasets"}, {Resource: "pods"}, {Resource: "events"}, {Resource: "persistentvolumeclaims"}}
	case "Job", "CronJob":
		kinds = []Right{{Resource: "pods"}, {Resource: "pods/log"}, {Resource: "events"}}
	case "Service":
		kinds = []Right{{Resource: "endpoints"}, {Group: "discovery.k8s.io", Resource: "endpointslices"}, {Resource: "pods"}}
	}
	var out []Right
	for _, k := range kinds {
		for _, verb := range []string{"get", "list", "watch"} {
			if k.Resource == "pods/log" && verb != "get" {
				continue
			}
			k.Verb, k.Namespace = verb, o.Namespace()
			out = append(out, k)
		}
	}
	return out
}

// looking are the rights that preflight itself needs beside those of the deployment.
func looking(w Want) []Right {
	var out []Right
	for _, q := range queries(w) {
		verb := "get"
		if q.Name == "" {
			verb = "list"
		}
		out = append(out, Right{verb, q.Group, Resource(q.Kind), q.Namespace, q.Name})
	}
	for _, ns := range []string{w.Namespace, w.Kafka.Namespace} {
		for _, verb := range []string{"create", "get", "delete"} {
			out = append(out, Right{verb, "", "pods", ns, ""})
		}
	}
	have := Rights(w)
	return slices.DeleteFunc(unique(out), func(r Right) bool {
		all := r
		all.Name = ""
		return slices.Contains(have, r) || slices.Contains(have, all)
	})
}

// needed are the rights that are asked for: those of the deployment, and to create a namespace that is not there.
func needed(w Want, s Seen) []Right {
	out := Rights(w)
	for _, o := range w.Objects {
		if o.Kind() == "Namespace" && !s.exists(o.query()) {
			out = append(out, Right{Verb: "create", Resource: "namespaces"})
		}
	}
	return slices.DeleteFunc(out, func(r Right) bool {
		ns := namespace(r.Namespace)
		return !s.known(r) || r.Namespace != "" && !s.exists(ns) && !w.declares(ns) // that is a finding by itself
	})
}

// known says whether the server serves what a right is for: the right to what is not there says nothing.
func (s Seen) known(right Right) bool {
	plural, _, _ := strings.Cut(right.Resource, "/")
	return slices.ContainsFunc(s.Kinds, func(k Kind) bool { return k.Group == right.Group && Resource(k.Name) == plural })
}

func unique(list []Right) []Right {
	slices.SortFunc(list, func(a, b Right) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Group, b.Group), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name), cmp.Compare(order(a.Verb), order(b.Verb)))
	})
	return slices.Compact(list)
}

func order(verb string) int {
	return slices.Index([]string{"get", "list", "watch", "create", "patch", "update", "delete"}, verb)
}

// rights: who runs this may do what the deployment does. A finding for each kind in each namespace.
func (r *rules) rights() {
	type place struct{ namespace, group, resource string }
	verbs, names := map[place][]string{}, map[place][]string{}
	var places []place
	for _, right := range unique(slices.Clone(r.seen.Lacking)) {
		p := place{right.Namespace, right.Group, right.Resource}
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
		if !slices.Contains(verbs[p], right.Verb) {
			verbs[p] = append(verbs[p], right.Verb)
		}
		if right.Name != "" && !slices.Contains(names[p], right.Name) {
			names[p] = append(names[p], right.Name)
		}
	}
	for _, p := range places {
		what, at := inGroup(p.resource, p.group), "the cluster"
		if p.namespace != "" {
			at = p.namespace
		}
		text := fmt.Sprintf("who runs this may not %s %s in %s", strings.Join(verbs[p], ", "), what, at)
		if len(names[p]) > 0 {
			text += ": " + strings.Join(names[p], ", ")
		}
		r.add("right-missing", qualified(p.namespace, what), r.grant(), "%s", text)
	}
}

// lacks says whether a right to an object is among the findings already.
func (r *rules) lacks(o Declared, verbs ...string) bool {
	return slices.ContainsFunc(r.seen.Lacking, func(right Right) bool {
		return right.Group == o.Group() && right.Resource == Resource(o.Kind()) && right.Namespace == o.Namespace() &&
			(right.Name == "" || right.Name == o.Name()) && slices.Contains(verbs, right.Verb)
	})
}

// Account is the name of the ServiceAccount, in the site's own namespace, to which the shipped rights are given.
const Account = "redis-wal-deployer"

// Manifest are the rights as objects: a Role in each namespace and a ClusterRole, and what gives them to the ServiceAccount [Account]; and the namespace
// that it lives in, if the program declares it.
func Manifest(w Want) []Object {
	var out []Object
	for _, o := range w.Objects {
		if o.query() == namespace(w.Namespace) {
			out = append(out, Object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": w.Namespace, "labels": o.At("metadata", "labels")}})
		}
	}
	out = append(out, Object{
		"apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": false,
		"metadata": map[string]any{"name": Account, "namespace": w.Namespace},
	})
	// In the cluster these have no namespace, so their names say whose they are.
	prefix := w.Project + "-" + w.Stack + "-" + w.Namespace
	out = append(out, roles(w, prefix+"-deployer", Rights(w))...)
	return append(out, roles(w, prefix+"-preflight", looking(w))...)
}

// roles are the rights as roles of one name, each with its binding.
func roles(w Want, name string, rights []Right) []Object {
	byNamespace := map[string][]Right{}
	var all []string
	for _, r := range rights {
		if byNamespace[r.Namespace] == nil {
			all = append(all, r.Namespace)
		}
		byNamespace[r.Namespace] = append(byNamespace[r.Namespace], r)
	}
	var out []Object
	for _, ns := range all {
		kind, meta := "ClusterRole", map[string]any{"name": name}
		if ns != "" {
			kind, meta = "Role", map[string]any{"name": name, "namespace": ns}
		}
		const api = "rbac.authorization.k8s.io"
		out = append(out,
			Object{"apiVersion": api + "/v1", "kind": kind, "metadata": meta, "rules": roleRules(byNamespace[ns])},
			Object{
				"apiVersion": api + "/v1", "kind": kind + "Binding", "metadata": meta,
				"roleRef":  map[string]any{"apiGroup": api, "kind": kind, "name": name},
				"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": Account, "namespace": w.Namespace}},
			})
	}
	return out
}

// roleRules writes rights as the rules of a role: a rule for each kind, and one for its named objects.
func roleRules(rights []Right) []any {
	type key struct{ group, resource, verbs string }
	verbs := map[Right][]string{}
	var each []Right // without their verbs
	for _, r := range rights {
		verb := r.Verb
		r.Verb, r.Namespace = "", ""
		if verbs[r] == nil {
			each = append(each, r)
		}
		verbs[r] = append(verbs[r], verb)
	}
	names := map[key][]any{}
	var keys []key
	for _, r := range each {
		k := key{r.Group, r.Resource, strings.Join(verbs[r], " ")}
		if r.Name == "" {
			k.verbs += " *" // all names
		}
		if _, ok := names[k]; !ok {
			keys = append(keys, k)
			names[k] = nil
		}
		if r.Name != "" {
			names[k] = append(names[k], r.Name)
		}
	}
	var out []any
	for _, k := range keys {
		rule := map[string]any{"apiGroups": []any{k.group}, "resources": []any{k.resource}}
		var list []any
		for verb := range strings.FieldsSeq(k.verbs) {
			if verb != "*" {
				list = append(list, verb)
			}
		}
		rule["verbs"] = list
		if len(names[k]) > 0 {
			rule["resourceNames"] = names[k]
		}
		out = append(out, rule)
	}
	return out
}
