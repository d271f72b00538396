package judge

import (
	"context"
	"errors"
)

// Cluster is what is looked at. An error that is none of those below means that the cluster cannot be reached, and ends the run.
type Cluster interface {
	// Version is the server's, such as v1.36.0.
	Version(ctx context.Context) (string, error)
	// Served are the kinds that the server knows.
	Served(ctx context.Context) ([]Kind, error)
	// Read gives the objects that a query is for: none if there are none. The error is [ErrForbidden] or [ErrNotServed] where that is so.
	Read(ctx context.Context, q Query) ([]Object, error)
	// May says whether who asks has a right.
	May(ctx context.Context, r Right) (bool, error)
	// Try applies an object without keeping it, and gives the server's warnings. The error of a server that refuses it is a [RefusedError].
	Try(ctx context.Context, o Object) (warnings []string, err error)
	// RunPod makes a pod, gives it as it is when settled says so, or when the context ends, and deletes it in any case. A server that refuses the pod is a [RefusedError].
	RunPod(ctx context.Context, pod Object, settled func(Object) bool) (Object, error)
}

// Kind is a kind that a server knows, in one version.
type Kind struct {
	// Group, Version and Name are those of the API; the core's group is empty.
	Group, Version, Name string
}

// Query asks for objects.
type Query struct {
	// Group and Kind say of which kind, in whichever version the server prefers.
	Group, Kind string
	// Namespace is theirs; empty for kinds without, and for all namespaces.
	Namespace string
	// Name is the name of one object; empty = all.
	Name string
	// Labels selects, as the API writes it: a=b,c=d.
	Labels string
}

// Right is something that may be allowed to somebody.
type Right struct {
	// Verb is get, list, watch, create, patch, update or delete; * = all of them.
	Verb string
	// Group and Resource say of which kind; * = all.
	Group, Resource string
	// Namespace is where; empty for kinds without, and for all namespaces.
	Namespace string
	// Name is the object; empty = all.
	Name string
}

var (
	// ErrForbidden says that who asks may not read that.
	ErrForbidden = errors.New("forbidden")
	// ErrNotServed says that the server does not know the kind.
	ErrNotServed = errors.New("not served")
)

// RefusedError is how a server refuses an object.
type RefusedError struct {
	// Forbidden says that who asks lacks the right, or that Pod Security or a quota forbids the object.
	Forbidden bool
	// Says are the server's own words.
	Says string
}

func (e *RefusedError) Error() string { return e.Says }
