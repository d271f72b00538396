package judge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Options say how far preflight goes.
type Options struct {
	// NoPods leaves out what only a pod can tell: images and the way to the listeners.
	NoPods bool
	// Patience is how long a pod may take; 0 = 2 minutes.
	Patience time.Duration
	// Say tells a person what is being done; nil = nobody.
	Say func(line string)
}

// Report is what was found.
type Report struct {
	// Version is that of the API server.
	Version string
	// Findings are in the order of [Rules].
	Findings []Finding
	// Left is what was not checked, and why.
	Left []string
}

// Count is how many findings have a level.
func (r Report) Count(level Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// Run looks at a cluster and judges what it sees. Only pods are made, after all else was read, and each is deleted again. The error says that the cluster
// could not be looked at.
func Run(ctx context.Context, c Cluster, w Want, o Options) (Report, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	seen, err := Look(ctx, c, w)
	if err != nil {
		return Report{}, err
	}
	report := Judge(w, seen)
	pods, left := probes(w, seen, report)
	report.Left = append(report.Left, left...)
	if o.NoPods {
		if len(pods) > 0 {
			report.Left = append(report.Left, "images, and the way to the listeners: left out by --no-pods")
		}
		return report, nil
	}
	for _, p := range pods {
		if slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.ID == "image-pull" && f.Place == w.ApplierImage }) {
			report.Left = append(report.Left, p.what+": the image that looks cannot be pulled")
			continue
		}
		o.Say(fmt.Sprintf("a pod in %s looks from inside, and is deleted again", p.namespace))
		findings, err := p.run(ctx, c, o.Patience)
		if err != nil {
			return report, err
		}
		report.Findings = append(report.Findings, findings...)
	}
	report.Findings = sorted(report.Findings)
	return report, nil
}

// Judge says what a cluster lacks, without what only a pod can tell.
func Judge(w Want, s Seen) Report {
	r := &rules{want: w, seen: s, told: map[string]bool{}}
	r.kinds()
	r.namespaces()
	r.kafka()
	r.strimzi()
	r.redisOperator()
	r.storage()
	r.rights()
	r.objects()
	return Report{Version: s.Version, Findings: sorted(r.out), Left: r.left}
}

// read gives what a query found. What may not be read is a finding, once; ok is false then, and where the kind is not served.
func (r *rules) read(q Query) (list []Object, ok bool) {
	a, asked := r.seen.Answers[q]
	switch {
	case !asked:
		panic("a rule reads what is not looked at: " + q.String()) // a mistake of this package
	case errors.Is(a.Err, ErrForbidden):
		if !r.told[q.String()] {
			r.told[q.String()] = true
			r.add("unread", q.String(), r.grant(), "who runs this may not do that, so what depends on it is not known")
		}
		return nil, false
	case a.Err != nil:
		return nil, false
	}
	return a.Objects, true
}

// one is the object of a query by name; nil if it is not there. ok is false if that cannot be told.
func (r *rules) one(q Query) (o Object, ok bool) {
	list, ok := r.read(q)
	if len(list) == 0 {
		return nil, ok
	}
	return list[0], ok
}

// kubectl is the beginning of a command for this cluster.
func (w Want) kubectl() string {
	if w.Context == "" {
		return "kubectl"
	}
	return "kubectl --context " + w.Context
}

// grant is the command that gives the rights.
func (r *rules) grant() string {
	return fmt.Sprintf("an administrator: walctl preflight --stack %s --rights | %s apply -f -", r.want.Stack, r.want.kubectl())
}

// set is the line that changes a field of the stack's configuration.
func (w Want) set(path, value string) string {
	return fmt.Sprintf("pulumi config set --stack %s --path '%s:site.%s' %s", w.Stack, w.Project, path, value)
}
