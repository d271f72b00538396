// Package broker is a site's Kafka inside the lab: an in-memory cluster that speaks the real protocol, with TLS,
// SCRAM-SHA-512 and ACLs, whose topics and users come from KafkaTopic and KafkaUser objects as Strimzi's operators
// would make them. A user without the ACL that it needs fails here as it would there.
package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"
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
	fake      *kfake.Cluster
	authority *Authority
	plaintext bool
	password  string
	addrs     []string
	client    *kgo.Client
	adm       *kadm.Client
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
	if k.fake, err = kfake.NewCluster(opts...); err != nil {
		return nil, err
	}
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

// CreateTopic makes the topic of a KafkaTopic.
func (k *Kafka) CreateTopic(ctx context.Context, t Topic) error {
	configs := make(map[string]*string, len(t.Spec.Config))
	for name, v := range t.Spec.Config {
		s, err := text(v)
		if err != nil {
			return fmt.Errorf("%s: spec.config.%s: %w", t, name, err)
		}
		configs[name] = &s
	}
	_, err := k.adm.CreateTopic(ctx, t.Spec.Partitions, t.Spec.Replicas, configs, t.Topic())
	if err != nil {
		return fmt.Errorf("%s at %s (%d partitions, %d replicas on %d brokers): %w", t, k.site, t.Spec.Partitions, t.Spec.Replicas, len(k.addrs), err)
	}
	return nil
}

// CreateUser makes the user of a KafkaUser with its ACLs.
func (k *Kafka) CreateUser(ctx context.Context, u User, password string) error {
	if password == "" {
		return fmt.Errorf("%s: empty password", u)
	}
	altered, err := k.adm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{
		User: u.Metadata.Name, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password,
	}})
	if err == nil {
		err = altered.Error()
	}
	if err != nil {
		return fmt.Errorf("%s at %s: %w", u, k.site, err)
	}
	req := kmsg.NewPtrCreateACLsRequest()
	if req.Creations, err = u.creations(); err != nil {
		return err
	}
	if len(req.Creations) == 0 {
		return nil
	}
	resp, err := req.RequestWith(ctx, k.client)
	if err != nil {
		return fmt.Errorf("%s at %s: %w", u, k.site, err)
	}
	for i, r := range resp.Results {
		if r.ErrorCode != 0 {
			return fmt.Errorf("%s at %s: acl %+v: error code %d", u, k.site, req.Creations[i], r.ErrorCode)
		}
	}
	return nil
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

// Close ends the cluster; its records are gone.
func (k *Kafka) Close() {
	if k.client != nil {
		k.client.Close()
	}
	if k.fake != nil {
		k.fake.Close()
	}
}

// text is a value of a free map as Kafka wants it.
func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	return "", errors.New("want a string, a number or a boolean")
}
