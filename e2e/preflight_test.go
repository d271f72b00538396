package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/comptech-lab/redis-wal/e2e/apply"
	"github.com/comptech-lab/redis-wal/e2e/binaries"
	"github.com/comptech-lab/redis-wal/e2e/cluster"
	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/preflight/expect"
	"github.com/comptech-lab/redis-wal/preflight/faults"
	"github.com/comptech-lab/redis-wal/preflight/judge"
	"github.com/comptech-lab/redis-wal/preflight/kube"
)

// preflight finds each planted fault on a real API server, with pods of a real kubelet, as the account that has the shipped rights and no others. With these
// rights, and once all is healed, everything that the program declares is taken, and what is not kept can be deleted again.
func TestPreflight(t *testing.T) {
	asked(t)
	bin, err := binaries.Dir()
	if err != nil {
		t.Fatal(err)
	}
	clusters, err := cluster.Up(t.Context(), cluster.Options{Sites: []string{"dc"}, Binaries: bin, State: "/run/sites", Logs: filepath.Join(filepath.Dir(bin), "logs")})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, clusters.Sites[0].Config())
	stack, err := faults.Stack(root, w.around)
	if err != nil {
		t.Fatal(err)
	}
	cfg := decode(t, stack)
	for image, binary := range map[string]string{cfg.Applier.Image: "redis-applier", cfg.Redis.Image: "pause", cfg.Redis.ExporterImage: "pause"} {
		if err := clusters.LoadBinary(t.Context(), filepath.Join(bin, binary), image); err != nil {
			t.Fatal(err)
		}
	}
	faults.Run(t, w, root)
	if t.Failed() {
		return
	}
	t.Run("no pod is left", func(t *testing.T) {
		for _, ns := range []string{cfg.Namespace.Name, cfg.Kafka.Namespace} {
			pods, err := w.all.Read(t.Context(), judge.Query{Kind: "Pod", Namespace: ns})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pods {
				if p.At("metadata", "deletionTimestamp") == nil {
					t.Errorf("%s is left", p)
				}
			}
		}
	})
	want, err := expect.Of(stack)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("with the shipped rights everything is made, and what is not kept is deleted", func(t *testing.T) {
		account, err := apply.New(w.account)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range want.Objects {
			if _, _, err := account.Apply(t.Context(), apply.Owner{Manager: "pulumi-kubernetes"}, o.Object); err != nil {
				t.Error(err)
			}
		}
		report, err := judge.Run(t.Context(), w, want, judge.Options{NoPods: true})
		if err != nil || len(report.Findings) > 0 {
			t.Errorf("after it was made: got %v, %v; want no findings", report.Findings, err)
		}
		for _, o := range want.Objects {
			switch err := account.Delete(t.Context(), o.Object); {
			case o.Kept && !apierrors.IsForbidden(err):
				t.Errorf("%s is kept, and the account may delete it: %v", o, err)
			case !o.Kept && err != nil:
				t.Error(err)
			}
		}
	})
	t.Run("the plurals are the server's", func(t *testing.T) {
		for _, r := range judge.Rights(want) {
			if ok, err := w.May(t.Context(), r); err != nil || !ok {
				t.Errorf("the account has no right to %s: %v", r, err)
			}
		}
	})
}

// world is a real cluster for package faults.
type world struct {
	*kube.Cluster               // as the account
	all           *kube.Cluster // as an administrator
	admin         *apply.Server
	account       *rest.Config
	around        faults.Around
}

var _ faults.World = (*world)(nil)

func newWorld(t *testing.T, config *rest.Config) *world {
	t.Helper()
	w := &world{account: rest.CopyConfig(config)}
	w.account.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:redis:" + judge.Account, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:redis", "system:authenticated"},
	}
	var err error
	if w.Cluster, err = kube.New(w.account); err != nil {
		t.Fatal(err)
	}
	if w.all, err = kube.New(config); err != nil {
		t.Fatal(err)
	}
	if _, err := w.all.Served(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.admin, err = apply.New(config); err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct {
		endpoint *faults.Endpoint
		host     string
	}{{&w.around.Own, faults.OwnHost}, {&w.around.Peer, faults.PeerHost}, {&w.around.Stranger, "stranger.example.com"}} {
		ca, server, err := faults.Authority(l.host, l.host)
		if err != nil {
			t.Fatal(err)
		}
		*l.endpoint = faults.Endpoint{Address: listen(t, server), CA: ca}
	}
	w.around.Closed = netip.AddrPortFrom(w.around.Own.Address.Addr(), 1) // nobody listens there
	return w
}

// outside is an address of the sandbox that pods can reach.
const outside = "10.201.0.1:0"

// listen is a listener as Kafka has it, as far as TLS goes.
func listen(t *testing.T, certificate tls.Certificate) netip.AddrPort {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", outside)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // ends the loop
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}).HandshakeContext(t.Context()) // what comes of it is the client's to say
			}()
		}
	}()
	address, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// Around is what is around the cluster.
func (w *world) Around() faults.Around { return w.around }

// Patience is how long a change may take until it is seen.
func (w *world) Patience() time.Duration { return 90 * time.Second }

// Change takes objects away, waits until they are gone, and then applies others. What cannot be changed is made anew.
func (w *world) Change(ctx context.Context, gone, given []judge.Object) error {
	for _, o := range gone {
		if err := w.admin.Delete(ctx, o); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	for _, o := range gone {
		if err := w.gone(ctx, o); err != nil {
			return err
		}
	}
	for _, o := range given {
		err := until(ctx, func() error {
			_, _, err := w.admin.Apply(ctx, apply.Owner{Manager: "e2e", TakeOver: true}, o)
			if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) { // immutable, as far as it goes
				if e := w.admin.Delete(ctx, o); e != nil && !apierrors.IsNotFound(e) {
					return e
				}
				if e := w.gone(ctx, o); e != nil {
					return e
				}
				_, _, err = w.admin.Apply(ctx, apply.Owner{Manager: "e2e", TakeOver: true}, o)
			}
			return err // its definition may be new
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) gone(ctx context.Context, o judge.Object) error {
	return until(ctx, func() error {
		_, err := w.admin.Get(ctx, o)
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err == nil:
			return errors.New(o.String() + " is still there")
		}
		return err
	})
}

// until tries until it succeeds, for a minute at most.
func until(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return await.True(ctx, "the API server", func(context.Context) error { return try() })
}
