package judge

import (
	"encoding/base64"
	"encoding/pem"
	"net"
	"slices"
	"strings"
)

const scram = "scram-sha-512"

// kafka: the Kafka resource is as docs/deploy.md says.
func (r *rules) kafka() {
	w := r.want
	if !r.seen.exists(namespace(w.Kafka.Namespace)) {
		return
	}
	o, ok := r.one(w.kafka())
	if !ok {
		return
	}
	place := "Kafka " + qualified(w.Kafka.Namespace, w.Kafka.Name)
	if o == nil {
		r.add("kafka-missing", place, "see which there are: "+w.kubectl()+" get kafkas -A; then set kafka.cluster and kafka.namespace, or declare it as docs/deploy.md shows",
			"there is no Kafka %s in %s", w.Kafka.Name, w.Kafka.Namespace)
		return
	}
	edit := func(lines string) string {
		return w.kubectl() + " -n " + w.Kafka.Namespace + " edit kafka " + w.Kafka.Name + ": " + lines
	}
	for _, c := range o.List("status", "conditions") {
		if c.Text("type") == "Ready" && c.Text("status") == "False" || c.Text("type") == "NotReady" && c.Text("status") == "True" {
			r.add("kafka-not-ready", place, w.kubectl()+" -n "+w.Kafka.Namespace+" get kafka "+w.Kafka.Name+" -o jsonpath='{.status.conditions}'",
				"it is not ready: %s", strings.TrimSpace(c.Text("reason")+" "+c.Text("message")))
		}
	}
	if got := o.Text("spec", "kafka", "authorization", "type"); got != "simple" {
		r.add("kafka-authorization", place+" spec.kafka.authorization", edit("spec: {kafka: {authorization: {type: simple}}}"), "authorization is %s; the users that are declared have rights only with simple", orNothing(got))
	}
	own := r.listeners(o, place, edit)
	r.kafkaCA(own)
	r.entityOperator(o, place, edit)
	r.brokers(o, place)
}

// listeners: one for the pods here, which is given, and one for the peer's mirror.
func (r *rules) listeners(o Object, place string, edit func(string) string) (own Object) {
	w := r.want
	all := o.List("spec", "kafka", "listeners")
	outside := slices.ContainsFunc(all, func(l Object) bool {
		return l.Text("type") != "internal" && l.Text("authentication", "type") == scram
	})
	if !outside {
		r.add("kafka-peer-listener", place+" spec.kafka.listeners", edit("- {name: peer, port: 9094, type: loadbalancer, tls: true, authentication: {type: scram-sha-512}}"),
			"no listener with SCRAM-SHA-512 can be reached from outside of the cluster: the mirror of the peer reads here")
	}
	if !slices.ContainsFunc(w.Kafka.Addresses, func(a string) bool { return strings.HasPrefix(a, w.Kafka.Name+"-kafka-") }) {
		r.left = append(r.left, "the own listener in the Kafka resource: kafka.bootstrap is not a Service of "+place)
		return nil
	}
	var ports []string
	for _, a := range w.Kafka.Addresses {
		if _, port, err := net.SplitHostPort(a); err == nil {
			ports = append(ports, port)
		}
	}
	for _, l := range all {
		port, _ := number(l.At("port"))
		if !slices.Contains(ports, itoa(port)) {
			continue
		}
		at := place + " listener " + l.Text("name")
		if got := l.Text("authentication", "type"); got != scram {
			r.add("kafka-listener-auth", at, edit("authentication: {type: scram-sha-512}"), "it asks for %s; the appliers have passwords for SCRAM-SHA-512", orNothing(got))
		}
		if tls := l.At("tls") == true; tls != w.Kafka.TLS {
			r.add("kafka-listener-tls", at, w.set("kafka.tls", truth(tls))+", or change the listener", "its tls is %t, and kafka.tls is %t", tls, w.Kafka.TLS)
		}
		return l
	}
	r.add("kafka-listener", place+" spec.kafka.listeners", edit("- {name: scram, port: 9095, type: internal, tls: true, authentication: {type: scram-sha-512}}")+"; or set kafka.bootstrap",
		"no listener has the port of kafka.bootstrap: %s", strings.Join(w.Kafka.Addresses, ", "))
	return nil
}

// kafkaCA: what kafka.ca says is the CA that Strimzi has, unless the listener has a certificate of its own.
func (r *rules) kafkaCA(own Object) {
	w := r.want
	if own == nil || !w.Kafka.TLS || w.Kafka.CA == "" || own.At("configuration", "brokerCertChainAndKey") != nil {
		return
	}
	o, ok := r.one(w.kafkaCA())
	if !ok || o == nil {
		return // not made yet: the pods will tell
	}
	text, err := base64.StdEncoding.DecodeString(o.Text("data", "ca.crt"))
	if err != nil {
		return
	}
	given := certificates(w.Kafka.CA)
	if slices.ContainsFunc(certificates(string(text)), func(c string) bool { return slices.Contains(given, c) }) {
		return
	}
	r.add("kafka-ca", "kafka.ca", w.kubectl()+" -n "+w.Kafka.Namespace+" get secret "+w.Kafka.Name+"-cluster-ca-cert -o jsonpath='{.data.ca\\.crt}' | base64 -d, into Pulumi."+w.Stack+".yaml",
		"it is not the CA in the Secret %s", w.kafkaCA().Name)
}

// certificates are those of a PEM text.
func certificates(text string) []string {
	var out []string
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return out
		}
		out = append(out, string(block.Bytes))
	}
}

// entityOperator: topics and users are made by somebody, in the namespace where they are declared.
func (r *rules) entityOperator(o Object, place string, edit func(string) string) {
	for _, part := range []struct{ field, id, what string }{
		{"topicOperator", "kafka-topic-operator", "no Topic Operator: the topics would not be made"},
		{"userOperator", "kafka-user-operator", "no User Operator: the users would not be made"},
	} {
		got, ok := o.At("spec", "entityOperator", part.field).(map[string]any)
		at := place + " spec.entityOperator." + part.field
		if !ok {
			r.add(part.id, at, edit("spec: {entityOperator: {"+part.field+": {}}}"), "%s", part.what)
			continue
		}
		if ns := Object(got).Text("watchedNamespace"); ns != "" && ns != r.want.Kafka.Namespace {
			r.add("kafka-watched-namespace", at, edit("take watchedNamespace out, or set kafka.namespace"), "it watches %s, and topics and users are declared in %s", ns, r.want.Kafka.Namespace)
		}
	}
}

// brokers: there are enough for the copies of a partition.
func (r *rules) brokers(o Object, place string) {
	pools, ok := r.read(r.want.kafkaPools())
	n := 0
	for _, p := range pools {
		if roles, _ := p.At("spec", "roles").([]any); slices.Contains(roles, any("broker")) {
			replicas, _ := number(p.At("spec", "replicas"))
			n += replicas
		}
	}
	if len(pools) == 0 {
		if n, _ = number(o.At("spec", "kafka", "replicas")); n == 0 {
			if ok {
				r.left = append(r.left, "the number of brokers: no KafkaNodePool is labelled for "+place)
			}
			return
		}
	}
	if n < r.want.Kafka.Replicas {
		r.add("kafka-brokers", place, "add brokers, or write kafka: {replicas: "+itoa(n)+", minISR: "+itoa(max(1, n-1))+"} into Pulumi."+r.want.Stack+".yaml",
			"it has %d brokers, and each partition is to have %d copies", n, r.want.Kafka.Replicas)
	}
}
