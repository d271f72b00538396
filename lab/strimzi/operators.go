package strimzi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/lab/internal/broker"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/mirror"
	"github.com/comptech-lab/redis-wal/lab/internal/mirrormaker"
)

// worker is a mirror that runs.
type worker interface {
	Start() error
	Stop() error
	Err() error
	String() string
}

// operators decide; they know no processes. One goroutine uses them.
type operators struct {
	cfg     Config
	kafka   *broker.Kafka
	mirror  func(obj mirror.Object, source, target mirrormaker.Cluster) (worker, error)
	said    map[string]string // by object: how it was last
	given   map[string]string // by user: the password
	mirrors map[string]*running
}

// running is a mirror, and what it was made of.
type running struct {
	worker
	of string
}

func newOperators(cfg Config, kafka *broker.Kafka, mirror func(mirror.Object, mirrormaker.Cluster, mirrormaker.Cluster) (worker, error)) *operators {
	return &operators{cfg: cfg, kafka: kafka, mirror: mirror, said: map[string]string{}, given: map[string]string{}, mirrors: map[string]*running{}}
}

// every is between two rounds.
const every = time.Second

// Run looks after the objects until ctx ends, and then ends the mirrors.
func (o *operators) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := o.round(ctx); err != nil && ctx.Err() == nil {
			o.say("round", err)
		}
		select {
		case <-ctx.Done():
			var errs []error
			for _, m := range o.mirrors {
				errs = append(errs, m.Stop())
			}
			return errors.Join(errs...)
		case <-tick.C:
		}
	}
}

// say logs what has become of something, once.
func (o *operators) say(what string, err error) {
	now := "ready"
	if err != nil {
		now = err.Error()
	}
	if o.said[what] == now {
		return
	}
	o.said[what] = now
	if err != nil {
		o.cfg.Log.Warn("not ready", "object", what, "err", err)
		return
	}
	o.cfg.Log.Info("ready", "object", what)
}

// round brings everything to what is declared. An error of one object is in its status; those that are returned are of the server.
func (o *operators) round(ctx context.Context) error {
	return errors.Join(
		o.topics(ctx),
		o.users(ctx),
		o.mirrorMakers(ctx),
	)
}

// each brings the objects of a kind to what they declare, and writes how they are. It returns the names of those that are there; with an error they may not be all.
func (o *operators) each(ctx context.Context, kind string, keep func(context.Context, manifest.Object) (map[string]any, error)) (map[string]bool, error) {
	objects, err := o.cfg.Server.List(ctx, kind)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	there := make(map[string]bool)
	var errs []error
	for _, obj := range objects {
		h, err := manifest.As[manifest.Head](obj)
		if err != nil {
			return nil, err
		}
		there[h.Metadata.Name] = true
		status, err := keep(ctx, obj)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		o.say(h.String(), err)
		errs = append(errs, o.tell(ctx, obj, status, err))
	}
	return there, errors.Join(errs...)
}

// tell writes an object's status, if it changed.
func (o *operators) tell(ctx context.Context, obj, status map[string]any, trouble error) error {
	condition := map[string]any{"type": "Ready", "status": "True"}
	if trouble != nil {
		condition = map[string]any{"type": "NotReady", "status": "True", "reason": "Failed", "message": trouble.Error()}
	}
	meta, _ := obj["metadata"].(map[string]any)
	full := map[string]any{"conditions": []any{condition}, "observedGeneration": meta["generation"]}
	maps.Copy(full, status)
	old, _ := obj["status"].(map[string]any)
	was, err := manifest.As[state](old)
	if err != nil {
		was = state{}
	}
	now, err := manifest.As[state](full)
	if err != nil {
		return err
	}
	if slices.Equal(was.Conditions, now.Conditions) && was.ObservedGeneration == now.ObservedGeneration && was.Secret == now.Secret {
		return nil
	}
	for _, c := range full["conditions"].([]any) {
		c.(map[string]any)["lastTransitionTime"] = time.Now().UTC().Format(time.RFC3339)
	}
	return o.cfg.Server.PutStatus(ctx, obj, full)
}

// state is what of a status tells whether it is still so.
type state struct {
	Conditions []struct {
		Type    string `json:"type"`
		Status  string `json:"status"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"conditions"`
	ObservedGeneration int64  `json:"observedGeneration"`
	Secret             string `json:"secret"`
}

// mine says whether an object belongs to this Kafka.
func (o *operators) mine(h manifest.Head) error {
	if got := h.Metadata.Labels["strimzi.io/cluster"]; got != o.cfg.Cluster {
		return fmt.Errorf("%s: label strimzi.io/cluster: %q: nobody looks after it; want %s", h, got, o.cfg.Cluster)
	}
	return nil
}

func (o *operators) topic(ctx context.Context, obj manifest.Object) (map[string]any, error) {
	t, err := broker.DecodeTopic(obj)
	if err != nil {
		return nil, err
	}
	if err := o.mine(t.Head); err != nil {
		return nil, err
	}
	less, err := o.kafka.KeepTopic(ctx, t)
	if err != nil {
		return nil, err
	}
	if less != "" {
		o.cfg.Log.Info("a topic is less than declared", "topic", t.Topic(), "why", less)
	}
	return map[string]any{"topicName": t.Topic()}, nil
}

// topics makes topics. They stay when their object is gone.
func (o *operators) topics(ctx context.Context) error {
	_, err := o.each(ctx, "KafkaTopic", o.topic)
	return err
}

// users makes users, and takes those away whose object is gone.
func (o *operators) users(ctx context.Context) error {
	there, err := o.each(ctx, "KafkaUser", o.user)
	if err != nil {
		return err
	}
	for name := range o.given {
		if there[name] {
			continue
		}
		if err := o.kafka.DeleteUser(ctx, name); err != nil {
			return err
		}
		delete(o.given, name)
		o.cfg.Log.Info("deleted", "user", name)
	}
	return nil
}

func (o *operators) user(ctx context.Context, obj manifest.Object) (map[string]any, error) {
	u, err := broker.DecodeUser(obj)
	if err != nil {
		return nil, err
	}
	if err := o.mine(u.Head); err != nil {
		return nil, err
	}
	ref := u.Spec.Authentication.Password.ValueFrom.SecretKeyRef
	if ref == nil {
		return nil, fmt.Errorf("%s: spec.authentication.password.valueFrom.secretKeyRef: missing; no passwords are made up here", u)
	}
	data, err := o.cfg.Server.Secret(ctx, ref.Name)
	if err != nil {
		return nil, fmt.Errorf("%s: Secret %s: %w", u, ref.Name, err)
	}
	name, password := u.Metadata.Name, string(data[ref.Key])
	if o.given[name] != password || password == "" {
		if err := o.kafka.CreateUser(ctx, u, password); err != nil {
			return nil, err
		}
		o.given[name] = password
	}
	if err := o.kafka.KeepRights(ctx, u); err != nil {
		return nil, err
	}
	if err := o.publish(ctx, name, password); err != nil {
		return nil, fmt.Errorf("%s: Secret %s: %w", u, name, err)
	}
	return map[string]any{"username": name, "secret": name}, nil
}

// publish writes the Secret that is named as the user, as the User Operator does.
func (o *operators) publish(ctx context.Context, name, password string) error {
	jaas := fmt.Sprintf(`org.apache.kafka.common.security.scram.ScramLoginModule required username="%s" password="%s";`, name, password)
	want := map[string][]byte{"password": []byte(password), "sasl.jaas.config": []byte(jaas)}
	has, err := o.cfg.Server.Secret(ctx, name)
	if err != nil && !errors.Is(err, ErrNone) {
		return err
	}
	if err == nil && string(has["password"]) == password && string(has["sasl.jaas.config"]) == jaas {
		return nil
	}
	return o.cfg.Server.PutSecret(ctx, name, map[string]string{"strimzi.io/cluster": o.cfg.Cluster, "strimzi.io/kind": "KafkaUser"}, want)
}

// mirrorMaker keeps a mirror running as it is declared: it is started anew when its object changes, or a Secret that it names.
func (o *operators) mirrorMaker(ctx context.Context, obj manifest.Object) (map[string]any, error) {
	m, err := mirror.DecodeObject(obj)
	if err != nil {
		return nil, err
	}
	names := names{ctx, o}
	source, err := mirrormaker.Resolve(names, m.Metadata.Namespace, m.Spec.Mirrors[0].Source)
	if err != nil {
		return nil, fmt.Errorf("%s: source: %w", m, err)
	}
	target, err := mirrormaker.Resolve(names, m.Metadata.Namespace, m.Spec.Target.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("%s: target: %w", m, err)
	}
	of, err := json.Marshal([]any{m.Spec, source, target})
	if err != nil {
		return nil, err
	}
	name := m.Metadata.Name
	is := o.mirrors[name]
	if is != nil && is.of != string(of) {
		if err := is.Stop(); err != nil {
			return nil, err
		}
		delete(o.mirrors, name)
		is = nil
	}
	if is == nil {
		w, err := o.mirror(m, source, target)
		if err != nil {
			return nil, err
		}
		if err := w.Start(); err != nil {
			return nil, err
		}
		is = &running{w, string(of)}
		o.mirrors[name] = is
	}
	return nil, is.Err()
}

// mirrorMakers keeps mirrors running, and ends those whose object is gone.
func (o *operators) mirrorMakers(ctx context.Context) error {
	there, err := o.each(ctx, "KafkaMirrorMaker2", o.mirrorMaker)
	if err != nil {
		return err
	}
	for name, m := range o.mirrors {
		if there[name] {
			continue
		}
		if err := m.Stop(); err != nil {
			return err
		}
		delete(o.mirrors, name)
	}
	return nil
}

// names are those that mirrors use.
type names struct {
	ctx context.Context
	o   *operators
}

// Secret implements mirrormaker.Names.
func (n names) Secret(_, name string) (map[string][]byte, error) {
	data, err := n.o.cfg.Server.Secret(n.ctx, name)
	if err != nil {
		return nil, fmt.Errorf("Secret %s: %w", name, err)
	}
	return data, nil
}

// Addresses implements mirrormaker.Names.
func (n names) Addresses(list string) ([]string, error) {
	var out []string
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		to, ok := n.o.cfg.Names[one]
		if _, err := netip.ParseAddrPort(one); err == nil && !ok {
			to, ok = []string{one}, true
		}
		if !ok {
			return nil, fmt.Errorf("%q: nobody said where it leads to", one)
		}
		out = append(out, to...)
	}
	return out, nil
}
