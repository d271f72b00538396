package standin

import (
	"context"
	_ "embed"

	rpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

// schemaJSON is as much of the plugin's schema as a program in YAML asks for: the arguments of the provider. Programs in compiled languages have an SDK instead.
//
//go:embed schema.json
var schemaJSON string

// GetSchema tells the arguments of the provider, and of no resource: the tests' programs in YAML declare theirs through components.
func (s *Server) GetSchema(context.Context, *rpc.GetSchemaRequest) (*rpc.GetSchemaResponse, error) {
	return &rpc.GetSchemaResponse{Schema: schemaJSON}, nil
}
