// Package strimzi does what Strimzi's operators do for the objects of one Kafka that stand in an API server: it runs Apache Kafka and, for a KafkaMirrorMaker2, MirrorMaker 2 as
// processes of this machine, makes topics and users of KafkaTopic and KafkaUser, and writes the Secrets and the status that the operators would write. It goes by what is declared
// now and what there is, again and again; it does not look at what changed.
//
// It knows what this project declares, and refuses the rest in the object's status. Unlike Strimzi it leaves a topic alone when its KafkaTopic is deleted.
package strimzi

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/lab/internal/broker"
	"github.com/comptech-lab/redis-wal/lab/internal/java"
	"github.com/comptech-lab/redis-wal/lab/internal/mirror"
	"github.com/comptech-lab/redis-wal/lab/internal/mirrormaker"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

// Server is the API server, as the operators of one namespace use it. Objects are as they stand there: numbers are int64 or float64.
type Server interface {
	// List are the objects of a kind of kafka.strimzi.io in the namespace.
	List(ctx context.Context, kind string) ([]map[string]any, error)
	// Secret is what a Secret of the namespace holds, by key. There is none: [ErrNone].
	Secret(ctx context.Context, name string) (map[string][]byte, error)
	// PutSecret makes a Secret, or makes it hold something else.
	PutSecret(ctx context.Context, name string, labels map[string]string, data map[string][]byte) error
	// PutStatus replaces the status of an object that List has returned.
	PutStatus(ctx context.Context, object, status map[string]any) error
}

// ErrNone says that there is no such Secret.
var ErrNone = errors.New("there is none")

// Config says of which Kafka these are the operators.
type Config struct {
	// Site names the processes.
	Site string
	// Cluster is the name of the Kafka: the label strimzi.io/cluster of its topics and users.
	Cluster string
	// Server holds the objects, all in one namespace.
	Server Server
	// Module is the folder of this module, where Maven's jars are kept. Dir is for data and logs; it exists.
	Module, Dir string
	// Broker is the address that Kafka listens at, port 9095, and Worker that of a mirror's REST interface.
	Broker, Worker netip.Addr
	// Hosts are the names by which clients reach Kafka besides its address.
	Hosts []string
	// Names leads from the addresses in objects, host:port, to those that this machine reaches. IP addresses lead to themselves.
	Names map[string][]string
	// Log gets what the operators would log.
	Log *slog.Logger
}

// Port is that of the only listener.
const Port = broker.Port

// Fetch gets Apache Kafka from Maven Central, if it was not got before, so that Start needs no network. Module is as in [Config].
func Fetch(ctx context.Context, module string, say func(line string)) error {
	_, err := java.Open(ctx, module, java.JRE, func() { say("Maven fetches Apache Kafka") })
	return err
}

// Operators are a Kafka and those who look after it.
type Operators struct {
	*operators

	group *process.Group
	kafka *broker.Kafka
}

// Start starts Kafka and returns when it answers. It has no topics and users before [Operators.Run].
func Start(ctx context.Context, cfg Config) (_ *Operators, err error) {
	jvm, err := java.Open(ctx, cfg.Module, java.JRE, func() { cfg.Log.Info("Maven fetches Apache Kafka") })
	if err != nil {
		return nil, err
	}
	group, err := process.NewGroup(cfg.Dir)
	if err != nil {
		return nil, err
	}
	o := &Operators{group: group}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
		}
	}()
	o.kafka, err = broker.StartApache(ctx, broker.Apache{
		Site: cfg.Site, Dir: cfg.Dir, Java: jvm, Group: group, Log: cfg.Log, Hosts: cfg.Hosts,
		Next: func() (netip.Addr, error) { return cfg.Broker, nil },
	})
	if err != nil {
		return nil, err
	}
	o.operators = newOperators(cfg, o.kafka, func(obj mirror.Object, source, target mirrormaker.Cluster) (worker, error) {
		name := cfg.Site + "-" + obj.Metadata.Name
		return mirrormaker.New(mirrormaker.Config{
			Object: obj, Source: source, Target: target, Name: name, Dir: filepath.Join(cfg.Dir, name), IP: cfg.Worker, Java: jvm, Group: group, Log: cfg.Log,
		})
	})
	return o, nil
}

// CA is the certificate (PEM) of Kafka's CA: what the Secret <cluster>-cluster-ca-cert holds as ca.crt.
func (o *Operators) CA() []byte { return o.kafka.CA() }

// Brokers are the addresses of Kafka.
func (o *Operators) Brokers() []string { return o.kafka.Addrs() }

// Admin are the options of a client that may do everything.
func (o *Operators) Admin() ([]kgo.Opt, error) { return o.kafka.ClientOpts() }

// As are the options of a client of a user.
func (o *Operators) As(user, password string) ([]kgo.Opt, error) {
	return o.kafka.OptsAs(user, password)
}

// Denied lists what Kafka has denied to whom, each once.
func (o *Operators) Denied() ([]string, error) { return o.kafka.Denied() }

// Hold kills Kafka, which keeps its data and stays dead until Release.
func (o *Operators) Hold() error { return o.kafka.Hold() }

// Release starts a held Kafka on its data, and returns when it answers.
func (o *Operators) Release(ctx context.Context) error { return o.kafka.Release(ctx) }

// Close ends all processes.
func (o *Operators) Close() error {
	if o.kafka != nil {
		o.kafka.Close()
	}
	return o.group.Close(10 * time.Second)
}
