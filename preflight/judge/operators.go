package judge

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

func truth(b bool) string { return strconv.FormatBool(b) }

// running are the Deployments that want at least one pod, by namespace and name.
func (r *rules) running() (list []Object, ok bool) {
	all, ok := r.read(deployments())
	for _, d := range all {
		if n, set := number(d.At("spec", "replicas")); !set || n > 0 {
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b Object) int { return strings.Compare(a.String(), b.String()) })
	return list, ok
}

// env is the value of a variable in a Deployment's pods. elsewhere says that it is set to what is not readable there.
func env(d Object, name string) (value string, set, elsewhere bool) {
	for _, c := range d.List("spec", "template", "spec", "containers") {
		for _, e := range c.List("env") {
			if e.Text("name") != name {
				continue
			}
			if e.Text("valueFrom", "fieldRef", "fieldPath") == "metadata.namespace" {
				return d.Namespace(), true, false
			}
			return e.Text("value"), true, e.At("valueFrom") != nil
		}
	}
	return "", false, false
}

// strimzi: a Cluster Operator watches the namespace of Kafka.
func (r *rules) strimzi() {
	w := r.want
	all, ok := r.running()
	if !ok {
		return
	}
	const variable = "STRIMZI_NAMESPACE"
	var watched []string
	var last Object
	for _, d := range all {
		if d.Text("metadata", "labels", "strimzi.io/kind") != "cluster-operator" && !strings.HasPrefix(d.Name(), "strimzi-cluster-operator") {
			continue
		}
		last = d
		value, set, elsewhere := env(d, variable)
		if elsewhere {
			r.left = append(r.left, "what "+d.String()+" watches: "+variable+" comes from elsewhere")
			return
		}
		if !set || value == "*" || value == "" {
			return // all namespaces
		}
		for ns := range strings.SplitSeq(value, ",") {
			watched = append(watched, strings.TrimSpace(ns))
		}
	}
	switch {
	case last == nil:
		r.add("strimzi-missing", "Deployment strimzi-cluster-operator", operatorOf(strimzi), "no Deployment of Strimzi's Cluster Operator was found in any namespace")
	case !slices.Contains(watched, w.Kafka.Namespace):
		r.add("strimzi-namespace", last.String(), w.kubectl()+" -n "+last.Namespace()+" set env deployment/"+last.Name()+" "+variable+"="+strings.Join(append(watched, w.Kafka.Namespace), ",")+
			", and its RoleBindings in "+w.Kafka.Namespace, "it watches %s, and not %s", strings.Join(watched, ", "), w.Kafka.Namespace)
	}
}

// The operators of Redis.
const (
	groupVariable = "OPERATOR_GROUP_ID"
	regexFlag     = "supported-namespaces-regex"
)

// redisOperator: one operator works on the RedisFailover, and the policies let it.
func (r *rules) redisOperator() {
	w := r.want
	all, ok := r.running()
	if !ok {
		return
	}
	var found, works []Object
	for _, d := range all {
		image := redisOperatorImage(d)
		group, hasGroup, elsewhere := env(d, groupVariable)
		if image == "" && !hasGroup {
			continue
		}
		found = append(found, d)
		if elsewhere {
			r.left = append(r.left, "the group of "+d.String()+": "+groupVariable+" comes from elsewhere")
		}
		if (hasGroup || isFork(image)) && !elsewhere && (group == "" || group != w.Redis.OperatorGroup) {
			continue
		}
		works = append(works, d)
	}
	switch {
	case len(found) == 0:
		r.add("redis-operator-missing", "Deployment", operatorOf("databases.spotahome.com"), "no Deployment of a Redis operator was found in any namespace")
	case len(works) == 0:
		for _, d := range found {
			group, _, _ := env(d, groupVariable)
			remedy := w.set("redis.operatorGroup", group)
			if group == "" {
				group = cmp.Or(w.Redis.OperatorGroup, "redis-wal")
				remedy = w.kubectl() + " -n " + d.Namespace() + " set env deployment/" + d.Name() + " " + groupVariable + "=" + group
				if w.Redis.OperatorGroup == "" {
					remedy += "; " + w.set("redis.operatorGroup", group)
				}
				group = ""
			}
			r.add("redis-operator-group", d.String(), remedy, "it is the maintained fork, its %s is %s, and redis.operatorGroup is %s", groupVariable, orNothing(group), orNothing(w.Redis.OperatorGroup))
		}
	case len(works) > 1:
		r.add("redis-operator-twice", works[0].String(), "end one of them, or keep them apart: the original by -"+regexFlag+", the fork by "+groupVariable, "it and %s would both work on Redis", works[1])
	}
	if len(works) == 0 {
		return
	}
	for _, d := range works {
		if w.Redis.OperatorNamespace != "" && d.Namespace() != w.Redis.OperatorNamespace {
			r.add("redis-operator-elsewhere", d.String(), w.set("network.operator.namespace", d.Namespace()), "the network policies let an operator in %s reach Redis, and this one runs in %s", w.Redis.OperatorNamespace, d.Namespace())
		}
		pattern, set := argument(d, regexFlag)
		if !set {
			continue
		}
		if re, err := regexp.Compile(pattern); err != nil || !re.MatchString(w.Namespace) {
			r.add("redis-operator-namespace", d.String(), w.kubectl()+" -n "+d.Namespace()+" edit deployment "+d.Name()+": widen -"+regexFlag, "its -%s is %q, which does not take in %s", regexFlag, pattern, w.Namespace)
		}
	}
}

// redisOperatorImage is the image of a Redis operator that works on RedisFailovers; empty if a Deployment is none. That of Opstree has other kinds.
func redisOperatorImage(d Object) string {
	for _, c := range d.List("spec", "template", "spec", "containers") {
		if image := c.Text("image"); strings.Contains(image, "redis-operator") && !strings.Contains(image, "opstree") {
			return image
		}
	}
	return ""
}

// isFork says whether an image is the maintained fork: by its name, or because the original has no version 3.
func isFork(image string) bool {
	_, tag, _ := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return strings.Contains(image, "freshworks") || strings.HasPrefix(strings.TrimPrefix(tag, "v"), "3.")
}

// argument is the value of a flag on a Deployment's command line.
func argument(d Object, flag string) (value string, set bool) {
	for _, c := range d.List("spec", "template", "spec", "containers") {
		var words []string
		for _, field := range []string{"command", "args"} {
			list, _ := c.At(field).([]any)
			for _, v := range list {
				s, _ := v.(string)
				words = append(words, s)
			}
		}
		for i, word := range words {
			name, v, inline := strings.Cut(strings.TrimLeft(word, "-"), "=")
			switch {
			case name != flag || !strings.HasPrefix(word, "-"):
			case inline:
				return v, true
			case i+1 < len(words):
				return words[i+1], true
			}
		}
	}
	return "", false
}
