package main

import (
	"context"
	_ "embed"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	construct "github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/comptech-lab/redis-wal/components/site"
)

// Name is the package's name: what type tokens begin with.
const Name = "redis-wal"

// Version is what the plugin says of itself. Which source runs is decided by the tag that a program names.
const Version = "0.1.0"

// schemaJSON describes the components to the tools that make SDKs of it. It is written from site.Args: see schema_test.go.
//
//go:embed schema.json
var schemaJSON string

// New is the plugin. It has no resources of its own: what a component declares is made by the provider of Kubernetes.
func New() provider.Provider {
	return provider.Provider{
		GetSchema: func(context.Context, provider.GetSchemaRequest) (provider.GetSchemaResponse, error) {
			return provider.GetSchemaResponse{Schema: schemaJSON}, nil
		},
		CheckConfig: func(_ context.Context, req provider.CheckRequest) (provider.CheckResponse, error) {
			return provider.CheckResponse{Inputs: req.Inputs}, nil
		},
		DiffConfig: func(context.Context, provider.DiffRequest) (provider.DiffResponse, error) {
			return provider.DiffResponse{}, nil
		},
		Configure: func(context.Context, provider.ConfigureRequest) error { return nil },
		Cancel:    func(context.Context) error { return nil },
		Construct: declare,
	}
}

// declare declares a component in the stack of the program that asks for it.
func declare(ctx context.Context, req provider.ConstructRequest) (provider.ConstructResponse, error) {
	if token := req.Urn.Type(); token != site.TypeToken {
		return provider.ConstructResponse{}, status.Errorf(codes.Unimplemented, "%s: no component of this plugin; there is %s", token, site.TypeToken)
	}
	return provider.ProgramConstruct(ctx, req,
		func(ctx *pulumi.Context, _, name string, inputs construct.ConstructInputs, opts pulumi.ResourceOption) (*construct.ConstructResult, error) {
			args, err := read(req.Inputs, inputs)
			if err != nil {
				return nil, problems(name, err)
			}
			s, err := site.New(ctx, name, args, opts)
			if err != nil {
				return nil, err
			}
			return construct.NewConstructResult(s)
		})
}
