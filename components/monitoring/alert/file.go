package alert

import (
	"bytes"

	"go.yaml.in/yaml/v3"
)

// Group is the rules of one site as Prometheus takes them: the spec of a PrometheusRule is a list of groups, and so is a file of rules.
type Group struct {
	Name  string  `json:"name" yaml:"name"`
	Rules []Entry `json:"rules" yaml:"rules"`
}

// Entry is a [Rule] as Prometheus takes it.
type Entry struct {
	Alert       string            `json:"alert" yaml:"alert"`
	Expr        string            `json:"expr" yaml:"expr"`
	For         string            `json:"for,omitempty" yaml:"for,omitempty"`
	Labels      map[string]string `json:"labels" yaml:"labels"`
	Annotations map[string]string `json:"annotations" yaml:"annotations"`
}

// Of is the group of a site's rules.
func Of(s Site) Group {
	g := Group{Name: "redis-wal-" + s.Name + "-" + s.Log}
	for _, r := range Rules(s) {
		e := Entry{Alert: r.Name, Expr: r.Expr, Labels: r.Labels(s), Annotations: r.Annotations()}
		if r.For > 0 {
			e.For = span(r.For)
		}
		g.Rules = append(g.Rules, e)
	}
	return g
}

// File is a file of rules for a Prometheus without its operator.
func File(groups ...Group) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(map[string][]Group{"groups": groups}); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}
