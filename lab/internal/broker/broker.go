// Package broker is a site's Kafka inside the lab, with TLS, SCRAM-SHA-512 and ACLs: either an in-memory cluster that speaks the
// real protocol ([Start]), or Apache Kafka ([StartApache]). The topics and users of both come from KafkaTopic and KafkaUser
// objects as Strimzi's operators would make them. A user without the ACL that it needs fails here as it would there.
package broker

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

// Port is where every broker of the lab listens; the names and ports of the resources are mapped to it.
const Port = 9095

// admin is the superuser: what Strimzi's own operators are on a cluster.
const admin = "lab-admin"

// Config says how a site's Kafka is made.
type Config struct {
	// Site names it in messages and in its CA.
	Site string
	// Brokers is how many there are: no less than any topic's replicas.
	Brokers int
	// Plaintext leaves TLS out; authentication stays.
	Plaintext bool
	// Next hands out a broker's address.
	Next func() (netip.Addr, error)
}

// Kafka is a running cluster. Its methods are safe for concurrent use.
type Kafka struct {
	site      string
	authority *Authority
	plaintext bool
	password  string
	addrs     []string
	client    *kgo.Client
	adm       *kadm.Client
	end       func()        // ends what answers at addrs; nil = nothing runs
	logFile   string        // where Apache Kafka says what it denies
	kept      *process.Kept // Apache Kafka's process; nil = embedded
}

// Start returns a cluster without topics and users.
func Start(cfg Config) (_ *Kafka, err error) {
	k := &Kafka{site: cfg.Site, plaintext: cfg.Plaintext, password: rand.Text()}
	defer func() {
		if err != nil {
			k.Close()
			err = fmt.Errorf("kafka of %s: %w", cfg.Site, err)
		}
	}()
	var ips []netip.Addr
	ports := make([]int, cfg.Brokers)
	for i := range cfg.Brokers {
		ip, err := cfg.Next()
		if err != nil {
			return nil, err
		}
		ips, ports[i] = append(ips, ip), Port
		k.addrs = append(k.addrs, net.JoinHostPort(ip.String(), strconv.Itoa(Port)))
	}
	if k.authority, err = NewAuthority("redis-wal lab " + cfg.Site); err != nil {
		return nil, err
	}
	listened := 0
	opts := []kfake.Opt{
		kfake.Ports(ports...), kfake.ClusterID("lab-" + cfg.Site),
		kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("SCRAM-SHA-512", admin, k.password),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { // asked once per broker, in order
			l, err := net.Listen(network, k.addrs[listened])
			listened++
			return l, err
		}),
	}
	if !cfg.Plaintext {
		server, err := k.authority.server(ips)
		if err != nil {
			return nil, err
		}
		opts = append(opts, kfake.TLS(server))
	}
	fake, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, err
	}
	k.end = fake.Close
	client, err := k.Client()
	if err != nil {
		return nil, err
	}
	k.client, k.adm = client, kadm.NewClient(client)
	return k, nil
}

// Addrs are the brokers' addresses; each of them leads to all.
func (k *Kafka) Addrs() []string { return k.addrs }

// CA is the certificate (PEM) that the brokers' certificates are signed with.
func (k *Kafka) CA() []byte { return k.authority.PEM() }

// ClientOpts are the options of a client that may do everything.
func (k *Kafka) ClientOpts() ([]kgo.Opt, error) {
	return k.OptsAs(admin, k.password)
}

// OptsAs are the options of a client that authenticates as user.
func (k *Kafka) OptsAs(user, password string) ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.SeedBrokers(k.addrs...), kgo.SASL(scram.Auth{User: user, Pass: password}.AsSha512Mechanism())}
	if k.plaintext {
		return opts, nil
	}
	trust, err := Trust(k.CA())
	if err != nil {
		return nil, err
	}
	return append(opts, kgo.DialTLSConfig(trust)), nil
}

// Client is a client that may do everything, with more options. The caller closes it.
func (k *Kafka) Client(more ...kgo.Opt) (*kgo.Client, error) {
	opts, err := k.ClientOpts()
	if err != nil {
		return nil, err
	}
	return kgo.NewClient(append(opts, more...)...)
}

// Ends are the offsets behind the last record, by partition.
func (k *Kafka) Ends(ctx context.Context, topic string) (map[int32]int64, error) {
	listed, err := k.adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("end offsets of %s at %s: %w", topic, k.site, err)
	}
	ends := make(map[int32]int64)
	listed.Each(func(o kadm.ListedOffset) { ends[o.Partition] = o.Offset })
	return ends, nil
}

// Admin asks and tells the cluster what only an administrator may.
func (k *Kafka) Admin() *kadm.Client { return k.adm }

// Hold kills the broker, which keeps its data and stays dead until Release. The embedded Kafka has nothing to keep: an error.
func (k *Kafka) Hold() error {
	if k.kept == nil {
		return fmt.Errorf("kafka of %s: is embedded; its records would not survive", k.site)
	}
	return k.kept.Hold()
}

// Release starts a held broker on its data, and returns when it answers.
func (k *Kafka) Release(ctx context.Context) error {
	k.kept.Release()
	return k.await(ctx)
}

// Close ends the cluster; its records are gone.
func (k *Kafka) Close() {
	if k.client != nil {
		k.client.Close()
	}
	if k.end != nil {
		k.end()
	}
}
