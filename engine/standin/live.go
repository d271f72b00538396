package standin

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// This file is what is different when the cluster keeps the objects itself; see [Keeper].

// lastLook bounds the look at an object that was just made: what was asked for is known, so that one without an answer fails nothing.
const lastLook = 10 * time.Second

// behind is the cluster that makes the objects real; nil = none.
func (s *Server) behind() Cluster {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cluster
}

// look asks a [Keeper] for the object, and for its namespace. It says whether there is one to ask.
func (s *Server) look(ctx context.Context, object map[string]any) (bool, error) {
	keeper, ok := s.behind().(Keeper)
	if !ok || object["kind"] == nil {
		return ok, nil
	}
	r := RefOf(object)
	if namespace := (Ref{Kind: "Namespace", Name: r.Namespace}); r.Namespace != "" {
		err := s.see(ctx, keeper, namespace, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": r.Namespace}})
		if err != nil {
			return true, err
		}
	}
	return true, s.see(ctx, keeper, r, object)
}

func (s *Server) see(ctx context.Context, keeper Keeper, r Ref, object map[string]any) error {
	live, err := keeper.Live(ctx, object)
	if err != nil {
		return status.Errorf(codes.Unavailable, "read %s: %v", r, err)
	}
	return s.Objects.see(r, live)
}

// made is an object that was applied, as it is kept now.
func (s *Server) made(ctx context.Context, object map[string]any, k kept) (kept, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	if _, err := s.look(ctx, object); err != nil {
		return k, nil //nolint:nilerr // it was made: the plugin goes on from what it was told, too
	}
	if now, ok := s.Objects.get(RefOf(object)); ok {
		return now, nil
	}
	return k, status.Errorf(codes.NotFound, "%s was made and is gone again: somebody else deletes it", RefOf(object))
}

// timed bounds a context by the seconds that the program gave the resource; 0 = it gave none.
func timed(ctx context.Context, seconds float64) (context.Context, context.CancelFunc) {
	if seconds <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(seconds*float64(time.Second)))
}
