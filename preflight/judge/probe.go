package judge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// probe is a pod that looks from inside the cluster: one container dials, the others are only there for their images, which must be pulled before they fail.
type probe struct {
	namespace string
	what      string // it looks at
	pod       Object
	dial      string   // the prefix of its findings: kafka or peer; empty = it dials nothing
	place     string   // the field with the addresses
	addresses []string // that it dials
	ca        string   // the field with the certificates
	images    map[string]string
	open      string // the remedy for a listener that takes no connection
}

// image is an image that pods of a stack need.
type image struct{ namespace, ref, policy string }

// images are those that the declared objects name, each once for a namespace.
func images(w Want) []image {
	var out []image
	var walk func(ns string, v any)
	walk = func(ns string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["image"].(string); ok && ref != "" {
				policy, _ := v["imagePullPolicy"].(string)
				if i := (image{ns, ref, policy}); !slices.ContainsFunc(out, func(o image) bool { return o.namespace == ns && o.ref == ref }) {
					out = append(out, i)
				}
			}
			for _, k := range slices.Sorted(maps.Keys(v)) {
				walk(ns, v[k])
			}
		case []any:
			for _, e := range v {
				walk(ns, e)
			}
		}
	}
	for _, o := range w.Objects {
		walk(o.Namespace(), o.At("spec"))
	}
	return out
}

// Labels are those of the pods that look from inside.
func Labels() map[string]string {
	return map[string]string{"app.kubernetes.io/part-of": "redis-wal", "app.kubernetes.io/component": "preflight"}
}

// probes are the pods to run, and what they cannot tell yet.
func probes(w Want, s Seen, r Report) (pods []probe, left []string) {
	found := func(id, place string) bool {
		return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.ID == id && (place == "" || f.Place == place) })
	}
	for _, p := range []struct {
		namespace, dial, place, ca, open, what string
		listener                               Listener
	}{
		{w.Namespace, "kafka", "kafka.bootstrap", "kafka.ca", "see the brokers and who may reach them: " + w.kubectl() + " -n " + w.Kafka.Namespace + " get pods,networkpolicies", "the own listener", w.Kafka.Listener},
		{w.Kafka.Namespace, "peer", "peerKafka.bootstrap", "peerKafka.ca", "open the way from the nodes of this cluster to the peer's external listener: its load balancer, firewalls, network policies of " + w.Kafka.Namespace, "the peer's listener", w.Peer},
	} {
		if !s.exists(namespace(p.namespace)) {
			left = append(left, p.what+" and the images of "+p.namespace+": the namespace is not there yet, run it again when it is")
			continue
		}
		if found("right-missing", p.namespace+"/pods") {
			left = append(left, p.what+" and the images of "+p.namespace+": no pod may be made there")
			continue
		}
		pod := probe{namespace: p.namespace, what: p.what, dial: p.dial, place: p.place, ca: p.ca, addresses: p.listener.Addresses, open: p.open, images: map[string]string{}}
		if p.dial == "kafka" && (found("kafka-missing", "") || found("namespace-missing", "Namespace "+w.Kafka.Namespace)) {
			left, pod.dial = append(left, p.what+": there is no Kafka"), ""
		}
		pod.pod = pod.object(w, p.listener)
		pods = append(pods, pod)
	}
	return pods, left
}

// object is the pod: restricted, bounded, and over by itself after a while.
func (p probe) object(w Want, l Listener) Object {
	restricted := map[string]any{
		"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
		"capabilities": map[string]any{"drop": []any{"ALL"}}, "seccompProfile": map[string]any{"type": "RuntimeDefault"},
	}
	resources := map[string]any{"requests": map[string]any{"cpu": "10m", "memory": "16Mi"}, "limits": map[string]any{"memory": "64Mi"}}
	var containers []any
	add := func(name, ref, policy string, more map[string]any) {
		c := map[string]any{
			"name": name, "image": ref, "securityContext": restricted, "resources": resources,
			// What it printed last is in the pod's status when it fails: its log need not be read.
			"terminationMessagePolicy": "FallbackToLogsOnError",
		}
		if policy != "" {
			c["imagePullPolicy"] = policy
		}
		maps.Copy(c, more)
		p.images[name] = ref
		containers = append(containers, c)
	}
	policy := ""
	for _, i := range images(w) {
		if i.ref == w.ApplierImage {
			policy = i.policy
		}
	}
	if p.dial != "" {
		args := []any{"dial"}
		env := []any{}
		if l.TLS && (l.CA != "" || p.dial == "peer") { // without kafka.ca the pods take Strimzi's Secret, which this one does not mount
			args = append(args, "--tls")
			env = append(env, map[string]any{"name": "DIAL_CA", "value": l.CA})
		}
		for _, a := range l.Addresses {
			args = append(args, a)
		}
		add("dial", w.ApplierImage, policy, map[string]any{"args": args, "env": env})
	}
	n := 0
	for _, i := range images(w) {
		if i.namespace != p.namespace || i.ref == w.ApplierImage && p.dial != "" {
			continue
		}
		n++
		// No image has this command, so nothing of it runs; but the image is pulled first.
		add(fmt.Sprintf("image-%d", n), i.ref, i.policy, map[string]any{"command": []any{"/preflight-only-pulls-this-image"}})
	}
	labels := map[string]any{}
	for k, v := range Labels() {
		labels[k] = v
	}
	spec := map[string]any{
		"restartPolicy": "Never", "activeDeadlineSeconds": int64(300), "terminationGracePeriodSeconds": int64(1),
		"automountServiceAccountToken": false, "enableServiceLinks": false,
		"securityContext": map[string]any{"runAsNonRoot": true, "runAsUser": int64(65532), "runAsGroup": int64(65532), "seccompProfile": map[string]any{"type": "RuntimeDefault"}},
		"containers":      containers,
	}
	if len(w.PullSecrets) > 0 {
		var list []any
		for _, name := range w.PullSecrets {
			list = append(list, map[string]any{"name": name})
		}
		spec["imagePullSecrets"] = list
	}
	return Object{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"generateName": "redis-wal-preflight-", "namespace": p.namespace, "labels": labels},
		"spec":     spec,
	}
}

// Why a container waits, and will for ever.
func stuck(reason string) bool {
	return unpulled(reason) || slices.Contains([]string{"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}, reason)
}

func unpulled(reason string) bool {
	return slices.Contains([]string{"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "SignatureValidationFailed", "ImageInspectError"}, reason)
}

// Settled says whether a pod will tell no more.
func Settled(pod Object) bool {
	if phase := pod.Text("status", "phase"); phase == "Succeeded" || phase == "Failed" {
		return true
	}
	n := 0
	for _, s := range pod.List("status", "containerStatuses") {
		if !ours(s) {
			continue // that of a service mesh never ends
		}
		n++
		if s.At("state", "terminated") == nil && !stuck(s.Text("state", "waiting", "reason")) {
			return false
		}
	}
	return n > 0 && n == len(slices.DeleteFunc(pod.List("spec", "containers"), func(c Object) bool { return !ours(c) }))
}

// ours says whether a container is one of preflight's, and not one that the cluster has put into the pod.
func ours(c Object) bool {
	return c.Text("name") == "dial" || strings.HasPrefix(c.Text("name"), "image-")
}

// run makes the pod, and judges what became of it.
func (p probe) run(ctx context.Context, c Cluster, patience time.Duration) ([]Finding, error) {
	if patience <= 0 {
		patience = 2 * time.Minute
	}
	if len(p.pod.List("spec", "containers")) == 0 {
		return nil, nil
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pod, err := c.RunPod(limited, p.pod, Settled)
	r := &rules{}
	switch refused, ok := errors.AsType[*RefusedError](err); {
	case ok:
		r.add("probe", "Pod in "+p.namespace, "who deploys must be allowed to make a pod there, under its Pod Security and quota; --no-pods leaves it out", "the server takes no pod there: %s", refused.Says)
		return r.out, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("run a pod in %s: %w", p.namespace, err)
	}
	p.judge(r, pod)
	return r.out, nil
}

// dialled is what the verb dial of the applier prints for an address.
type dialled struct {
	Address string `json:"address"`
	Step    string `json:"step"` // dns, tcp or tls: where it failed
	Error   string `json:"error"`
}

// judge says what a pod tells.
func (p probe) judge(r *rules, pod Object) {
	if !Settled(pod) {
		why := "it is still " + orNothing(pod.Text("status", "phase"))
		for _, c := range pod.List("status", "conditions") {
			if c.Text("status") == "False" && c.Text("message") != "" {
				why = c.Text("message")
			}
		}
		r.add("probe", "Pod in "+p.namespace, "see why, and run it again; --timeout gives it longer, --no-pods leaves it out", "it did not end in time: %s", why)
	}
	for _, s := range pod.List("status", "containerStatuses") {
		name := s.Text("name")
		if reason := s.Text("state", "waiting", "reason"); unpulled(reason) {
			r.add("image-pull", p.images[name], "push it under this name, or correct the name; if its registry asks who you are, images.pullSecrets", "it cannot be pulled in %s: %s",
				p.namespace, strings.TrimSuffix(reason+": "+s.Text("state", "waiting", "message"), ": "))
			continue
		}
		if name != "dial" {
			continue
		}
		code, ended := number(s.At("state", "terminated", "exitCode"))
		if ended && code != 0 {
			p.dialled(r, s.Text("state", "terminated", "message"))
		} else if !ended && Settled(pod) {
			r.add("probe", "Pod in "+p.namespace, "see what it says", "%s: %s", orNothing(s.Text("state", "waiting", "reason")), s.Text("state", "waiting", "message"))
		}
	}
}

// dialled reads what the container that dials has printed.
func (p probe) dialled(r *rules, message string) {
	n := 0
	for line := range strings.Lines(message) {
		var d dialled
		if json.Unmarshal([]byte(line), &d) != nil || d.Address == "" {
			continue
		}
		n++
		remedy := p.open
		switch d.Step {
		case "":
			continue // this one is reached
		case "dns":
			remedy = "correct " + p.place + ", or let the cluster's DNS know the name"
		case "tls":
			remedy = "copy the certificates of the CA of that listener into " + p.ca + " (docs/deploy.md says from where)"
		}
		r.add(p.dial+"-"+d.Step, p.place+" "+d.Address, remedy, "from a pod in %s: %s", p.namespace, d.Error)
	}
	if n == 0 {
		r.add("probe", "Pod in "+p.namespace, "applier.image must have the verb dial: one of this release", "it did not say whether %s is reached: %s", strings.Join(p.addresses, ", "), orNothing(strings.TrimSpace(message)))
	}
}
