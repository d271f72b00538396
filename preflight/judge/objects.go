package judge

import (
	"errors"
	"slices"
	"strings"
)

// objects: what is declared is taken by the server, and is not there yet, unless Pulumi made it.
func (r *rules) objects() {
	w := r.want
	for _, o := range w.Objects {
		if o.Kind() == "Namespace" && !r.seen.exists(o.query()) {
			r.left = append(r.left, "whether the server takes the objects of "+o.Name()+": the namespace is not there yet, run it again when it is")
		}
		trial, tried := r.seen.Trials[o.String()]
		if !tried {
			continue
		}
		if a := r.seen.Answers[o.query()]; errors.Is(a.Err, ErrForbidden) && !r.lacks(o, "get") {
			_, _ = r.one(o.query()) // says so
		} else if len(a.Objects) > 0 && !w.Adopt {
			r.exists(o, a.Objects[0])
		}
		if refused := trial.Refused; refused != nil && !r.lacks(o, "patch", "create", "get") {
			r.add("refused", o.String(), "see what it says of the field or the policy; docs/configuration.md has the fields of this stack", "the server: %s", refused.Says)
		}
		for _, text := range trial.Warnings {
			r.add("warned", o.String(), "see what it says; what is declared is in `walctl preflight`'s own release", "the server: %s", text)
		}
	}
}

// exists: an object that is there and that Pulumi has not made makes `up` fail.
func (r *rules) exists(o Declared, there Object) {
	var managers []string
	for _, m := range there.List("metadata", "managedFields") {
		if name := m.Text("manager"); !slices.Contains(managers, name) {
			managers = append(managers, name)
		}
	}
	if slices.ContainsFunc(managers, func(m string) bool { return strings.HasPrefix(m, "pulumi") }) {
		return
	}
	w := r.want
	remedy := w.set("adopt", "true") + " takes it over (docs/migrate.md); or delete it"
	if o.query() == namespace(w.Namespace) {
		remedy = w.set("namespace.create", "false")
	}
	r.add("exists", o.String(), remedy, "it is there already, written by %s; Pulumi creates nothing that exists", orNothing(strings.Join(managers, ", ")))
}
