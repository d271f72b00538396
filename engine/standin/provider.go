package standin

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	rpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// This file answers the engine's calls, in the order of a resource's life. None of them is logged: they carry secrets.

// providerOptions are those arguments of the provider resource that change what it does.
type providerOptions struct{ upsert, secretMutable, configMapMutable bool }

// Attach is called by an engine that found the server by PULUMI_DEBUG_PROVIDERS. There is nothing to ask the engine for.
func (s *Server) Attach(context.Context, *rpc.PluginAttach) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// GetPluginInfo tells the version.
func (s *Server) GetPluginInfo(context.Context, *emptypb.Empty) (*rpc.PluginInfo, error) {
	return &rpc.PluginInfo{Version: Version}, nil
}

// Configure takes the provider's arguments, and says that secrets and previews are understood.
func (s *Server) Configure(_ context.Context, req *rpc.ConfigureRequest) (*rpc.ConfigureResponse, error) {
	args, err := read(req.GetArgs())
	if err != nil {
		return nil, err
	}
	given, _ := plain(args)
	on := func(arg string) bool { return given[arg] == true || given[arg] == "true" } // as JSON, which the engine writes into text
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.connect != nil {
		if s.cluster, err = s.connect(text(given["kubeconfig"]), text(given["context"])); err != nil {
			return nil, status.Errorf(codes.Unavailable, "reach the cluster of kubeconfig %q, context %q: %v", text(given["kubeconfig"]), text(given["context"]), err)
		}
	}
	s.configured = providerOptions{on("upsertExistingObjects"), on("enableSecretMutable"), on("enableConfigMapMutable")}
	return &rpc.ConfigureResponse{AcceptSecrets: true, SupportsPreview: true}, nil
}

func (s *Server) options() providerOptions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.configured
}

// DiffConfig says that the provider, and with it all that it made, is replaced when it means another cluster, and never otherwise.
func (s *Server) DiffConfig(_ context.Context, req *rpc.DiffRequest) (*rpc.DiffResponse, error) {
	old, next, err := both(req)
	if err != nil {
		return nil, err
	}
	resp := &rpc.DiffResponse{Changes: rpc.DiffResponse_DIFF_NONE}
	if old.Diff(next) != nil {
		resp.Changes = rpc.DiffResponse_DIFF_SOME
	}
	if was, now := old["clusterIdentifier"], next["clusterIdentifier"]; was.Diff(now) != nil {
		resp.Replaces = []string{"clusterIdentifier"}
	}
	return resp, nil
}

// Check refuses what an API server would.
func (s *Server) Check(_ context.Context, req *rpc.CheckRequest) (*rpc.CheckResponse, error) {
	inputs, err := read(req.GetNews())
	if err != nil {
		return nil, err
	}
	object, partial := plain(inputs)
	resp := &rpc.CheckResponse{Inputs: req.GetNews()}
	for _, p := range s.check.problems(object, partial) {
		// With the path as the failure's property the engine would leave out which object it is.
		resp.Failures = append(resp.Failures, &rpc.CheckFailure{Reason: RefOf(object).String() + ": " + p})
	}
	return resp, nil
}

// Diff compares what was asked for with what is asked for now.
func (s *Server) Diff(_ context.Context, req *rpc.DiffRequest) (*rpc.DiffResponse, error) {
	old, next, err := both(req)
	if err != nil {
		return nil, err
	}
	resp := s.options().difference(old, next)
	object, _ := plain(next)
	if k, ok := s.Objects.get(RefOf(object)); ok && len(k.NotReady) > 0 {
		if fields := unready(object); fields != nil {
			resp.Changes = rpc.DiffResponse_DIFF_SOME
			resp.Replaces = append(resp.Replaces, fields...)
			resp.DeleteBeforeReplace = true
		}
	}
	return resp, nil
}

func both(req *rpc.DiffRequest) (old, next resource.PropertyMap, err error) {
	if old, err = read(req.GetOldInputs()); err != nil {
		return nil, nil, err
	}
	next, err = read(req.GetNews())
	return old, next, err
}

// Create makes an object. One that exists is taken over only if the provider was told to.
func (s *Server) Create(ctx context.Context, req *rpc.CreateRequest) (*rpc.CreateResponse, error) {
	inputs, err := read(req.GetProperties())
	if err != nil {
		return nil, err
	}
	object, _ := plain(inputs)
	if req.GetPreview() {
		// No id: it is not known yet. Nor is it known whether the object that exists is to be replaced, so that is no error.
		return &rpc.CreateResponse{Properties: req.GetProperties()}, nil
	}
	r := RefOf(object)
	live, err := s.look(ctx, object)
	if err != nil {
		return nil, err
	}
	if old, ok := s.Objects.get(r); ok {
		if !s.options().upsert {
			return nil, status.Errorf(codes.AlreadyExists,
				"%s already exists; to take objects over that exist already, set upsertExistingObjects on the provider", r)
		}
		if why := refused(old.Object, object); why != "" && !live {
			return nil, status.Errorf(codes.InvalidArgument, "%s is invalid: %s", r, why)
		}
	}
	ctx, cancel := timed(ctx, req.GetTimeout())
	defer cancel()
	out, err := s.realise(ctx, "create", inputs, nil, object)
	if err != nil {
		return nil, err
	}
	return &rpc.CreateResponse{Id: r.id(), Properties: out}, nil
}

// Update changes an object in place.
func (s *Server) Update(ctx context.Context, req *rpc.UpdateRequest) (*rpc.UpdateResponse, error) {
	inputs, err := read(req.GetNews())
	if err != nil {
		return nil, err
	}
	before, err := read(req.GetOldInputs())
	if err != nil {
		return nil, err
	}
	object, _ := plain(inputs)
	old, _ := plain(before)
	kept, err := s.look(ctx, object)
	if err != nil {
		return nil, err
	}
	live, ok := s.Objects.get(RefOf(object))
	if !ok {
		return nil, status.Errorf(codes.NotFound, "%s not found; pulumi refresh makes the state agree with the cluster", RefOf(object))
	}
	if why := refused(live.Object, object); why != "" && !kept {
		return nil, status.Errorf(codes.InvalidArgument, "%s is invalid: %s", RefOf(object), why)
	}
	if req.GetPreview() {
		return &rpc.UpdateResponse{Properties: req.GetNews()}, nil
	}
	ctx, cancel := timed(ctx, req.GetTimeout())
	defer cancel()
	out, err := s.realise(ctx, "update", inputs, old, object)
	if err != nil {
		return nil, err
	}
	return &rpc.UpdateResponse{Properties: out}, nil
}

// realise keeps the object and waits until it does what it should.
func (s *Server) realise(ctx context.Context, verb string, inputs resource.PropertyMap, old, object map[string]any) (*structpb.Struct, error) {
	r := RefOf(object)
	before, existed := s.Objects.get(r)
	k, err := s.Objects.apply(verb, old, object)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	reasons, whole := before.NotReady, k.Object
	_, keeps := s.behind().(Keeper)
	if keeps {
		whole = object // who keeps it knows what others wrote
	}
	if !existed || object["kind"] != "Job" || keeps { // a Job runs once
		if reasons, err = s.await(ctx, whole); err != nil {
			return nil, errors.Join(status.Error(codes.InvalidArgument, err.Error()), s.Objects.restore(r, before, existed))
		}
	}
	if k, err = s.made(ctx, object, k); err != nil {
		return nil, err
	}
	if err := s.Objects.notReady(r, reasons); err != nil {
		return nil, err
	}
	out, err := write(outputs(k, inputs))
	if err != nil || len(reasons) == 0 {
		return out, err
	}
	asked, err := write(inputs)
	if err != nil {
		return nil, err
	}
	return nil, initFailed(r, reasons, out, asked)
}

// await returns when the object is ready, or the reasons why it is not. The error is a [*Refused].
func (s *Server) await(ctx context.Context, object map[string]any) (reasons []string, err error) {
	cluster := s.behind()
	if cluster == nil {
		return nil, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.untilInterrupted(), cancel)()
	err = cluster.Apply(ctx, clone(object))
	var notReady *NotReady
	var refused *Refused
	switch {
	case errors.As(err, &refused):
		return nil, err
	case err == nil || annotated(object, "pulumi.com/skipAwait"):
		return nil, nil
	case errors.As(err, &notReady):
		return notReady.Reasons, nil
	default:
		return []string{err.Error()}, nil
	}
}

func (s *Server) untilInterrupted() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ending
}

// initFailed tells the engine that the object exists and is not ready: it is in the state from now on, with the reasons.
func initFailed(r Ref, reasons []string, properties, inputs *structpb.Struct) error {
	st, err := status.New(codes.Unknown, fmt.Sprintf("%s was made, but it failed to become ready", r)).WithDetails(
		&rpc.ErrorResourceInitFailed{Id: r.id(), Properties: properties, Inputs: inputs, Reasons: reasons})
	if err != nil {
		return err
	}
	return st.Err()
}

// Read is how a refresh sees the object.
func (s *Server) Read(ctx context.Context, req *rpc.ReadRequest) (*rpc.ReadResponse, error) {
	inputs, err := read(req.GetInputs())
	if err != nil {
		return nil, err
	}
	like, _ := plain(inputs)
	if _, err := s.look(ctx, like); err != nil {
		return nil, err
	}
	k, ok := s.Objects.get(named(like, req.GetType(), req.GetUrn(), req.GetId()))
	if !ok {
		return &rpc.ReadResponse{}, nil // without an id: it is gone
	}
	live := k.Object
	if len(like) > 0 {
		live = seen(k.Object, like)
	}
	in, err := write(hidden(live, inputs))
	if err != nil {
		return nil, err
	}
	out, err := write(outputs(k, inputs))
	if err != nil {
		return nil, err
	}
	if len(k.NotReady) > 0 { // otherwise a refresh would forget the failure
		return nil, initFailed(RefOf(k.Object), k.NotReady, out, in)
	}
	return &rpc.ReadResponse{Id: req.GetId(), Properties: out, Inputs: in}, nil
}

// Delete removes an object. One that is gone already is no error.
func (s *Server) Delete(ctx context.Context, req *rpc.DeleteRequest) (*emptypb.Empty, error) {
	inputs, err := read(req.GetOldInputs())
	if err != nil {
		return nil, err
	}
	like, _ := plain(inputs)
	if _, err := s.look(ctx, like); err != nil {
		return nil, err
	}
	object, err := s.Objects.delete(named(like, req.GetType(), req.GetUrn(), req.GetId()))
	if err != nil {
		return nil, err
	}
	if cluster := s.behind(); object != nil && cluster != nil {
		ctx, cancel := timed(ctx, req.GetTimeout())
		defer cancel()
		defer context.AfterFunc(s.untilInterrupted(), cancel)()
		if err := cluster.Remove(ctx, object); err != nil {
			return nil, status.Error(codes.Unknown, err.Error())
		}
	}
	return &emptypb.Empty{}, nil
}

// named is the object that the engine means: by its inputs, or by type and id if it has none.
func named(like map[string]any, token, urn, id string) Ref {
	if len(like) > 0 {
		return RefOf(like)
	}
	if token == "" {
		token = string(resource.URN(urn).Type())
	}
	r := Ref{Kind: token[strings.LastIndex(token, ":")+1:], Name: id}
	if i := strings.Index(id, "/"); i >= 0 {
		r.Namespace, r.Name = id[:i], id[i+1:]
	}
	return r
}

// Cancel is called when the engine is interrupted, and when an operation failed: what is awaited now is given up. The next
// operation is another engine's.
func (s *Server) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interrupt()
	s.ending, s.interrupt = context.WithCancel(context.Background())
	return &emptypb.Empty{}, nil
}
