package broker

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/java"
	"github.com/comptech-lab/redis-wal/lab/internal/process"
)

// ControllerPort is where the controller in each broker of Apache Kafka listens.
const ControllerPort = 9093

// Apache says how a site's Kafka is made of Apache Kafka: one process, broker and controller in one.
type Apache struct {
	// Site names it in messages, in its CA and as a process.
	Site string
	// Dir is where its data goes; it exists.
	Dir string
	// Next hands out its address. Hosts are names by which clients reach it too; it tells them its address.
	Next  func() (netip.Addr, error)
	Hosts []string
	// Java runs it, as a process of Group.
	Java  *java.Runtime
	Group *process.Group
	// Log gets a line when it dies and is started again.
	Log *slog.Logger
}

// What a broker may take on a busy machine, and what it needs.
const (
	startsWithin = 90 * time.Second
	endsWithin   = 10 * time.Second
	brokerHeap   = 448 // MiB
	formatHeap   = 64
	restartAfter = time.Second
)

// StartApache returns a Kafka without topics and users when it answers.
func StartApache(ctx context.Context, cfg Apache) (_ *Kafka, err error) {
	name := cfg.Site + "-kafka"
	k := &Kafka{site: cfg.Site, password: rand.Text(), logFile: cfg.Group.LogFile(name)}
	defer func() {
		if err != nil {
			k.Close()
			err = fmt.Errorf("kafka of %s: %w; see its log, %s", cfg.Site, err, filepath.Base(k.logFile))
		}
	}()
	ip, err := cfg.Next()
	if err != nil {
		return nil, err
	}
	k.addrs = []string{net.JoinHostPort(ip.String(), strconv.Itoa(Port))}
	if k.authority, err = NewAuthority("redis-wal lab " + cfg.Site); err != nil {
		return nil, err
	}
	dir := filepath.Join(cfg.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	properties, err := k.properties(dir, ip, cfg.Hosts)
	if err != nil {
		return nil, err
	}
	if err := k.format(ctx, cfg, dir, name+"-format", properties); err != nil {
		return nil, err
	}
	kept, err := cfg.Group.Keep(process.Keeping{
		Name: name, After: restartAfter, Log: cfg.Log,
		Prepare: func() (process.Spec, error) {
			return cfg.Java.Spec(java.Program{Name: name, Class: "kafka.Kafka", Args: []string{properties}, Heap: brokerHeap, Dir: dir})
		},
	})
	if err != nil {
		return nil, err
	}
	k.kept = kept
	k.end = func() { _ = kept.Stop(endsWithin) } // what it did not manage to end, the group ends
	client, err := k.Client()
	if err != nil {
		return nil, err
	}
	k.client, k.adm = client, kadm.NewClient(client)
	return k, k.await(ctx)
}

// await waits until the broker answers.
func (k *Kafka) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startsWithin, fmt.Errorf("no answer within %s", startsWithin))
	defer cancel()
	return await.True(ctx, "an answer of the Kafka of "+k.site, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := k.client.Ping(ctx); err != nil { // metadata may come from the client's memory
			return err
		}
		_, err := k.adm.BrokerMetadata(ctx)
		return err
	})
}

// format makes the data folder, with the admin's password in it: only an admin could add it later.
func (k *Kafka) format(ctx context.Context, cfg Apache, dir, name, properties string) error {
	const iterations = 4096
	salt := make([]byte, 32)
	_, _ = rand.Read(salt) // never fails
	salted, err := pbkdf2.Key(sha512.New, k.password, salt, iterations, sha512.Size)
	if err != nil {
		return err
	}
	b64 := base64.StdEncoding.EncodeToString
	scram := fmt.Sprintf(`SCRAM-SHA-512=[name=%s,iterations=%d,salt="%s",saltedpassword="%s"]`, admin, iterations, b64(salt), b64(salted))
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	id[0] &= 0x7f // one that begins with a dash would be read as an option
	spec, err := cfg.Java.Spec(java.Program{
		Name: name, Class: "kafka.tools.StorageTool", Heap: formatHeap, Dir: dir,
		Args: []string{"format", "--config", properties, "--cluster-id", base64.RawURLEncoding.EncodeToString(id), "--add-scram", scram},
	})
	if err != nil {
		return err
	}
	proc, err := cfg.Group.Start(spec)
	if err != nil {
		return err
	}
	select {
	case <-proc.Done():
	case <-ctx.Done():
		return fmt.Errorf("format: %w", context.Cause(ctx))
	}
	if code := proc.ExitCode(); code != 0 {
		text, _ := os.ReadFile(cfg.Group.LogFile(name))
		return fmt.Errorf("format: exit code %d\n%s", code, text[max(0, len(text)-1500):])
	}
	return nil
}

// properties writes the broker's configuration and returns its path. Clients meet the listener that Strimzi calls scram: SCRAM over
// TLS. The controller's listener knows the admin only; SCRAM cannot be used there, since the passwords come from the controller.
func (k *Kafka) properties(dir string, ip netip.Addr, hosts []string) (string, error) {
	keys, trust := filepath.Join(dir, "broker.pem"), filepath.Join(dir, "ca.pem")
	pair, err := k.authority.keystore([]netip.Addr{ip}, hosts...)
	if err != nil {
		return "", err
	}
	controller := net.JoinHostPort(ip.String(), strconv.Itoa(ControllerPort))
	module := "org.apache.kafka.common.security."
	text := java.Properties([][2]string{
		{"process.roles", "broker,controller"},
		{"node.id", "1"},
		{"controller.quorum.voters", "1@" + controller},
		{"controller.listener.names", "CONTROLLER"},
		{"listeners", "SCRAM://" + k.addrs[0] + ",CONTROLLER://" + controller},
		{"listener.security.protocol.map", "SCRAM:SASL_SSL,CONTROLLER:SASL_SSL"},
		{"inter.broker.listener.name", "SCRAM"},
		{"sasl.mechanism.inter.broker.protocol", "SCRAM-SHA-512"},
		{"sasl.mechanism.controller.protocol", "PLAIN"},
		{"listener.name.scram.sasl.enabled.mechanisms", "SCRAM-SHA-512"},
		{"listener.name.scram.scram-sha-512.sasl.jaas.config", fmt.Sprintf(module+`scram.ScramLoginModule required username="%s" password="%s";`, admin, k.password)},
		{"listener.name.controller.sasl.enabled.mechanisms", "PLAIN"},
		{"listener.name.controller.plain.sasl.jaas.config", fmt.Sprintf(module+`plain.PlainLoginModule required username="%s" password="%s" user_%[1]s="%[2]s";`, admin, k.password)},
		{"ssl.keystore.type", "PEM"},
		{"ssl.keystore.location", keys},
		{"ssl.truststore.type", "PEM"},
		{"ssl.truststore.location", trust},
		{"authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"},
		{"allow.everyone.if.no.acl.found", "false"},
		{"super.users", "User:" + admin},
		{"auto.create.topics.enable", "false"},
		// One broker is all there is.
		{"default.replication.factor", "1"},
		{"min.insync.replicas", "1"},
		{"offsets.topic.replication.factor", "1"},
		{"transaction.state.log.replication.factor", "1"},
		{"transaction.state.log.min.isr", "1"},
		{"share.coordinator.state.topic.replication.factor", "1"},
		{"share.coordinator.state.topic.min.isr", "1"},
		// Small and quick to start: nothing that a client could see.
		{"offsets.topic.num.partitions", "5"},
		{"transaction.state.log.num.partitions", "5"},
		{"group.initial.rebalance.delay.ms", "0"},
		{"log.cleaner.dedupe.buffer.size", "8388608"},
		{"log.dirs", filepath.Join(dir, "data")},
	})
	path := filepath.Join(dir, "server.properties")
	for name, content := range map[string][]byte{path: text, keys: pair, trust: k.authority.PEM()} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return "", err
		}
	}
	return path, nil
}

// deniedWords is how Kafka's authorizer tells what it denied.
var deniedWords = regexp.MustCompile(`Principal = (User:\S+) is Denied operation = (\S+) from host = \S+ on resource = (\S+)`)

// Denied lists what the brokers have denied to whom since they started, each once: what an ACL too narrow looks like from the other
// side. The embedded Kafka keeps no such list.
func (k *Kafka) Denied() ([]string, error) {
	if k.logFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(k.logFile)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, m := range deniedWords.FindAllSubmatch(text, -1) {
		line := fmt.Sprintf("%s: %s on %s", m[1], m[2], m[3])
		if !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out, nil
}
