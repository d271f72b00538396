// Package standin answers in the place of the Kubernetes provider plugin of Pulumi. It is a test part, and no Kubernetes: an
// object is checked as strictly as an API server would (fieldValidation=Strict), kept, compared and given back; nothing runs
// unless a [Cluster] makes it real. What it refuses, replaces, awaits and keeps secret follows pulumi-kubernetes 4.30.
//
// The engine finds it by PULUMI_DEBUG_PROVIDERS=kubernetes:PORT; see [Server.DebugProviders].
package standin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	rpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"

	"github.com/comptech-lab/redis-wal/render/schema"
)

// Version is the version of the plugin that is stood in for.
const Version = "4.30.0"

// maxMessage is the most bytes of one call: an object is at most 1.5 MB in a real cluster.
const maxMessage = 16 << 20

// Cluster makes objects real. Without one every object is ready as soon as it is kept.
type Cluster interface {
	// Apply is called after an object was created or changed, never in a preview, and returns when it does what it should.
	// An error says that it does not, a [*NotReady] with the reasons that a person reads: the engine then keeps the object
	// in its state, fails, and tries again at the next up. Objects that do not depend on each other come at the same time.
	// With the annotation pulumi.com/skipAwait the error is of no consequence. A [*Refused] says that the object is as it was
	// before: it does not come into the state. The context has a deadline if the program gave the resource a time of its own.
	Apply(ctx context.Context, object map[string]any) error
	// Remove is called after an object was deleted.
	Remove(ctx context.Context, object map[string]any) error
}

// Keeper is a [Cluster] that keeps the objects itself, as an API server does. What is there is asked of it before each call
// that needs to know, so that what others made, changed and deleted is seen as the plugin sees it. What cannot be changed it
// says itself, with [*Refused].
type Keeper interface {
	Cluster
	// Live is the object with this kind, namespace and name, in JSON's types; nil = there is none.
	Live(ctx context.Context, object map[string]any) (map[string]any, error)
}

// Refused is the error of an object that was not made or changed.
type Refused struct{ Err error }

func (e *Refused) Error() string { return e.Err.Error() }
func (e *Refused) Unwrap() error { return e.Err }

// NotReady is the error of an object that exists and does not do what it should.
type NotReady struct{ Reasons []string }

func (e *NotReady) Error() string { return fmt.Sprintf("not ready: %q", e.Reasons) }

// Options says what stands behind the provider.
type Options struct {
	// File keeps the objects beyond the process, with their secrets in plain text as an API server's store does; empty = in
	// memory only.
	File string
	// Namespaces exist before anything is declared. An object in a namespace that does not exist is refused.
	Namespaces []string
	// Cluster makes the objects real; nil = they are only kept.
	Cluster Cluster
	// Connect gives the cluster that the program chose by the provider's arguments kubeconfig and context, either of which may
	// be empty; nil = Cluster, whatever they say.
	Connect func(kubeconfig, context string) (Cluster, error)
}

// Server is a running stand-in.
type Server struct {
	rpc.UnimplementedResourceProviderServer
	// Objects are what the engine has made, and what was there before.
	Objects *Objects

	connect func(kubeconfig, context string) (Cluster, error)
	check   *checker
	grpc    *grpc.Server
	port    int
	served  chan error

	mu         sync.Mutex
	cluster    Cluster
	configured providerOptions
	ending     context.Context // cancelled when the engine that runs now is interrupted
	interrupt  context.CancelFunc
}

// Start serves on a free port of the loopback interface until [Server.Close].
func Start(opts Options) (*Server, error) {
	objects, err := openObjects(opts.File, opts.Namespaces)
	if err != nil {
		return nil, err
	}
	schemas, err := schema.Load()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{
		Objects: objects, cluster: opts.Cluster, connect: opts.Connect, check: newChecker(schemas), served: make(chan error, 1),
		grpc: grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage)),
		port: listener.Addr().(*net.TCPAddr).Port,
	}
	s.ending, s.interrupt = context.WithCancel(context.Background())
	rpc.RegisterResourceProviderServer(s.grpc, s)
	go func() { s.served <- s.grpc.Serve(listener) }()
	return s, nil
}

// DebugProviders is the value of PULUMI_DEBUG_PROVIDERS by which an engine uses this server.
func (s *Server) DebugProviders() string { return fmt.Sprintf("kubernetes:%d", s.port) }

// Close ends what is awaited and the server. The objects stay in Options.File.
func (s *Server) Close() error {
	s.mu.Lock()
	s.interrupt()
	s.mu.Unlock()
	s.grpc.Stop()
	if err := <-s.served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}
