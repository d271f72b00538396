// Package mirrormaker runs the real MirrorMaker 2 for a KafkaMirrorMaker2 object: a Connect worker with the connectors that the
// object declares, all configured as Strimzi's operator does it on a cluster.
package mirrormaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/java"
	"github.com/comptech-lab/redis-wal/lab/internal/mirror"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

// Port is where a worker's REST interface listens, on the loopback address of the mirror.
const Port = 8083

// Config says how a direction runs.
type Config struct {
	// Object is the KafkaMirrorMaker2.
	Object mirror.Object
	// Source and Target are its two Kafkas.
	Source, Target Cluster
	// Name is the worker's as a process, Dir where its files go, IP its address.
	Name string
	Dir  string
	IP   netip.Addr
	// Java runs it, as a process of Group.
	Java  *java.Runtime
	Group *process.Group
	// Log gets a line for each start and each failure.
	Log *slog.Logger
}

// MirrorMaker is one direction. Its methods are safe for concurrent use.
type MirrorMaker struct {
	cfg        Config
	base       string                       // of the REST interface
	declared   map[string]map[string]string // connectors' configurations by name
	properties string                       // the worker's file
	trouble    atomic.Pointer[error]

	mu     sync.Mutex // held while starting, stopping and rewinding
	kept   *process.Kept
	cancel context.CancelFunc
	done   chan struct{}
}

// sourceClass ends the name of the connector that carries records.
const sourceClass = ".MirrorSourceConnector"

const (
	heap         = 448 // MiB; 1 GiB on a cluster, of which Java takes a part
	restartAfter = time.Second
	endsWithin   = 10 * time.Second
	patience     = 30 * time.Second // for one answer of Connect's
	every        = 500 * time.Millisecond
	backoffMost  = 30 * time.Second
)

// New returns a mirror that does not run yet.
func New(cfg Config) (*MirrorMaker, error) {
	m := &MirrorMaker{cfg: cfg, base: "http://" + net.JoinHostPort(cfg.IP.String(), strconv.Itoa(Port))}
	err := os.MkdirAll(cfg.Dir, 0o700)
	if err != nil {
		return nil, err
	}
	if m.declared, err = m.connectors(); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Object, err)
	}
	worker, err := m.worker()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Object, err)
	}
	m.properties = filepath.Join(cfg.Dir, "worker.properties")
	return m, os.WriteFile(m.properties, worker, 0o600)
}

// Start starts it, or starts it again after Stop. What fails later is retried until Stop.
func (m *MirrorMaker) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept != nil {
		return nil
	}
	kept, err := m.cfg.Group.Keep(process.Keeping{
		Name: m.cfg.Name, After: restartAfter, Log: m.cfg.Log,
		Prepare: func() (process.Spec, error) {
			return m.cfg.Java.Spec(java.Program{
				Name: m.cfg.Name, Class: "org.apache.kafka.connect.cli.ConnectDistributed", Args: []string{m.properties}, Heap: heap, Dir: m.cfg.Dir,
			})
		},
	})
	if err != nil {
		return err
	}
	starting := errors.New("the worker is starting")
	m.trouble.Store(&starting)
	ctx, cancel := context.WithCancel(context.Background())
	m.kept, m.cancel, m.done = kept, cancel, make(chan struct{})
	go m.supervise(ctx, m.done)
	return nil
}

// Stop cuts the direction: it returns when the worker is gone. How far it came is at the target.
func (m *MirrorMaker) Stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		return nil
	}
	m.cancel()
	<-m.done
	err := m.kept.Stop(endsWithin)
	m.kept = nil
	m.trouble.Store(nil)
	return err
}

// Kill sends SIGKILL to the worker; it is started again after a second.
func (m *MirrorMaker) Kill() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		return fmt.Errorf("kill %s: it is stopped", m)
	}
	return m.kept.Signal(syscall.SIGKILL)
}

// Err is why the direction does not run at the moment; nil = it runs or was stopped.
func (m *MirrorMaker) Err() error {
	if err := m.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// String is the connectors' names.
func (m *MirrorMaker) String() string {
	return strings.Join(slices.Sorted(maps.Keys(m.declared)), ", ")
}

// Rewind forgets how far the source was read, so that everything that it still has is carried again. The mirror must run.
func (m *MirrorMaker) Rewind(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		return fmt.Errorf("rewind %s: it is stopped; only a running worker can forget its offsets", m)
	}
	for name := range m.declared {
		if !strings.HasSuffix(name, sourceClass) {
			continue
		}
		if err := m.forget(ctx, name); err != nil {
			return fmt.Errorf("rewind %s: %w", name, err)
		}
	}
	return nil
}

// forget does what Strimzi does for the annotation strimzi.io/connector-offsets: reset.
func (m *MirrorMaker) forget(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := m.call(ctx, http.MethodPut, at(name, "/stop"), nil, nil); err != nil {
		return err
	}
	err := await.True(ctx, name+" to stop", func(ctx context.Context) error {
		s, err := m.status(ctx, name)
		if err == nil && (s.Connector.State != stopped || len(s.Tasks) > 0) {
			err = fmt.Errorf("it is %s with %d tasks", s.Connector.State, len(s.Tasks))
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := m.call(ctx, http.MethodDelete, at(name, "/offsets"), nil, nil); err != nil {
		return err
	}
	return m.call(ctx, http.MethodPut, at(name, "/resume"), nil, nil)
}

// supervise does what the operator does: it sees to the connectors' configuration, looks at their status and starts again what failed.
func (m *MirrorMaker) supervise(ctx context.Context, done chan struct{}) {
	defer close(done)
	o := operator{m: m, backoff: restartAfter}
	var said string
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := o.look(ctx)
		if ctx.Err() != nil {
			return
		}
		m.trouble.Store(&err)
		switch {
		case err == nil && said != "runs":
			said = "runs"
			m.cfg.Log.Info("mirror runs", "connector", m.String())
		case err != nil && err.Error() != said: // once per trouble
			said = err.Error()
			m.cfg.Log.Warn("mirror does not run", "connector", m.String(), "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// operator is what one run of supervise remembers.
type operator struct {
	m        *MirrorMaker
	told     bool // the worker has the configuration
	backoff  time.Duration
	notUntil time.Time
}

// look returns nil if all connectors and all their tasks run.
func (o *operator) look(ctx context.Context) error {
	m := o.m
	if !o.told {
		for name, config := range m.declared {
			if err := m.tell(ctx, name, config); err != nil {
				return err
			}
		}
		o.told = true
	}
	var errs []error
	for name := range m.declared {
		s, err := m.status(ctx, name)
		if err != nil {
			o.told = false // another worker may answer next
			return err
		}
		err = s.judge(strings.HasSuffix(name, sourceClass))
		if err == nil {
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
		if s.failed() && m.restarts(name) && time.Now().After(o.notUntil) {
			o.notUntil = time.Now().Add(o.backoff)
			o.backoff = min(2*o.backoff, backoffMost)
			errs = append(errs, m.call(ctx, http.MethodPost, at(name, "/restart?includeTasks=true&onlyFailed=true"), nil, nil))
		}
	}
	if len(errs) == 0 {
		o.backoff = restartAfter
	}
	return errors.Join(errs...)
}

// tell gives the worker a connector's configuration, unless it has it: a repetition would restart the connector.
func (m *MirrorMaker) tell(ctx context.Context, name string, config map[string]string) error {
	var has map[string]string
	err := m.call(ctx, http.MethodGet, at(name, "/config"), nil, &has)
	var answer *statusError
	if err != nil && (!errors.As(err, &answer) || answer.code != http.StatusNotFound) {
		return err
	}
	delete(has, "name")
	if maps.Equal(has, config) {
		return nil
	}
	return m.call(ctx, http.MethodPut, at(name, "/config"), config, nil)
}

func (m *MirrorMaker) status(ctx context.Context, name string) (s status, err error) {
	return s, m.call(ctx, http.MethodGet, at(name, "/status"), nil, &s)
}

// restarts is the object's autoRestart.
func (m *MirrorMaker) restarts(name string) bool {
	d := m.cfg.Object.Spec.Mirrors[0]
	c := d.SourceConnector
	if !strings.HasSuffix(name, sourceClass) {
		c = d.CheckpointConnector
	}
	return c.AutoRestart.Enabled
}

func (s status) failed() bool {
	return slices.ContainsFunc(append(slices.Clone(s.Tasks), s.Connector), func(one state) bool { return one.State == failed })
}

// judge says what does not run.
func (s status) judge(source bool) error {
	var errs []error
	one := func(what string, st state) {
		if st.State == running {
			return
		}
		err := fmt.Errorf("%s is %s", what, st.State)
		if why := st.why(); why != "" {
			err = fmt.Errorf("%w: %s", err, why)
		}
		errs = append(errs, err)
	}
	one("the connector", s.Connector)
	for _, t := range s.Tasks {
		one(fmt.Sprintf("task %d", t.ID), t)
	}
	if len(errs) == 0 && len(s.Tasks) == 0 && source { // others may have nothing to do
		errs = append(errs, errors.New("it has no task: the source shows no topic that the pattern matches, or its user may not describe them"))
	}
	return errors.Join(errs...)
}
