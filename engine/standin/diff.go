package standin

import (
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	rpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// replacing are the fields whose change makes pulumi-kubernetes replace an object instead of updating it, by the kind with
// its group. What is not here is updated in place: the API server then refuses what cannot be changed.
var replacing = map[string][]string{
	"apps/Deployment":                              {"spec.selector"},
	"apps/DaemonSet":                               {"spec.selector"},
	"apps/StatefulSet":                             {"spec.podManagementPolicy", "spec.revisionHistoryLimit", "spec.selector", "spec.serviceName", "spec.volumeClaimTemplates"},
	"batch/Job":                                    {"spec.completions", "spec.parallelism", "spec.selector", "spec.template"},
	"storage.k8s.io/StorageClass":                  {"parameters", "provisioner"},
	"rbac.authorization.k8s.io/RoleBinding":        {"roleRef"},
	"rbac.authorization.k8s.io/ClusterRoleBinding": {"roleRef"},
	// Not spec.resources: a claim grows in place.
	"/PersistentVolumeClaim": {"spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"},
	"/ResourceQuota":         {"spec.scopes"},
	"/Service":               {"spec.clusterIP"},
	"/Secret":                {"type", "data", "stringData"},
	"/ConfigMap":             {"data", "binaryData"},
}

// replacing are the fields of an object whose change replaces it.
func (o providerOptions) replacing(object map[string]any) []string {
	kind := groupKind(object)
	fields := replacing[kind]
	if kind == "/Secret" && o.secretMutable || kind == "/ConfigMap" && o.configMapMutable {
		fields = slices.DeleteFunc(slices.Clone(fields), func(f string) bool { return f != "type" })
	}
	return append([]string{"apiVersion", "kind", "metadata.name", "metadata.namespace"}, fields...)
}

// groupKind is an object's kind with its group before it, as in the table.
func groupKind(object map[string]any) string {
	group, _, grouped := strings.Cut(text(object["apiVersion"]), "/")
	if !grouped {
		group = ""
	}
	return group + "/" + text(object["kind"])
}

// difference is what the engine is told of a change from old to next.
func (o providerOptions) difference(old, next resource.PropertyMap) *rpc.DiffResponse {
	was, _ := plain(old)
	object, _ := plain(next)
	d := old.Diff(next)
	if d == nil {
		return &rpc.DiffResponse{Changes: rpc.DiffResponse_DIFF_NONE}
	}
	rules := o.replacing(object)
	resp := &rpc.DiffResponse{
		Changes: rpc.DiffResponse_DIFF_SOME, HasDetailedDiff: true, DetailedDiff: map[string]*rpc.PropertyDiff{},
	}
	for path, change := range plugin.NewDetailedDiffFromObjectDiff(d, true) {
		replaces := slices.ContainsFunc(rules, func(rule string) bool { return touches(path, rule) })
		if replaces {
			change.Kind = change.Kind.AsReplace()
			resp.Replaces = append(resp.Replaces, path)
		}
		resp.DetailedDiff[path] = &rpc.PropertyDiff{Kind: rpc.PropertyDiff_Kind(change.Kind), InputDiff: true}
		resp.Diffs = append(resp.Diffs, path)
	}
	slices.Sort(resp.Replaces)
	slices.Sort(resp.Diffs)
	// Two objects of one name cannot exist at the same time.
	resp.DeleteBeforeReplace = len(resp.Replaces) > 0 && RefOf(was) == RefOf(object)
	return resp
}

// touches says whether a change at path changes the field: at it, in it, or of all that it is part of.
func touches(path, field string) bool {
	return within(path, field) || within(field, path)
}

func within(path, field string) bool {
	rest, ok := strings.CutPrefix(path, field)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// unready are the replaced fields of an object that asks to be replaced when it is not ready.
func unready(object map[string]any) []string {
	if object["kind"] == "Job" && annotated(object, replaceUnready) {
		return []string{`metadata.annotations["` + replaceUnready + `"]`}
	}
	return nil
}

// annotated says whether the object has the annotation with the value true.
func annotated(object map[string]any, name string) bool {
	notes, _ := at(object, "metadata.annotations").(map[string]any)
	return text(notes[name]) == "true"
}

// replaceUnready is the annotation of a Job that is to be made anew as long as it has not succeeded.
const replaceUnready = "pulumi.com/replaceUnready"
