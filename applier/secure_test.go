package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/applier/config"
	"github.com/comptech-lab/redis-wal/applier/internal/sitetest"
	"github.com/comptech-lab/redis-wal/internal/redistest"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
)

// fort is a site where everybody wants certificates and passwords: a Kafka, a primary and a replica, three Sentinels, and an applier
// in this process. Records flow all the time.
type fort struct {
	t         *testing.T
	old, next *sitetest.CA
	kafka     *sitetest.Kafka
	refuse    atomic.Bool                     // Kafka refuses every password, in the words of a real one
	serving   atomic.Pointer[tls.Certificate] // Kafka's own certificate
	redises   map[string]*redistest.Server    // by TLS address
	clients   []*redis.Client                 // of the Sentinels
	secrets   string                          // folder of password files
	caFile    string
	appended  atomic.Int64
	log       lines
}

// lines is a log that can be read while it is written.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// passwords are those before and after.
var fortPasswords = map[string][2]string{
	"kafka": {"kafka-before", "kafka-after"}, "redis": {"redis-before", "redis-after"}, "sentinel": {"sentinel-before", "sentinel-after"},
}

func (f *fort) file(name string) string { return filepath.Join(f.secrets, name) }

func (f *fort) write(name, content string) {
	f.t.Helper()
	if err := os.WriteFile(f.file(name), []byte(content+"\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func newFort(t *testing.T) *fort {
	t.Helper()
	f := &fort{t: t, old: sitetest.NewCA(t, "old"), next: sitetest.NewCA(t, "new"), redises: map[string]*redistest.Server{}, secrets: t.TempDir()}
	f.caFile = sitetest.Bundle(t, f.old)
	for name, p := range fortPasswords {
		f.write(name, p[0])
	}
	f.startKafka()
	f.startRedis()
	return f
}

func (f *fort) startKafka() {
	server, mine := f.old.Issue(f.t, "127.0.0.1").Server(f.t, f.old), f.old.Issue(f.t, "admin")
	f.serving.Store(&server.Certificates[0])
	server.Certificates = nil
	server.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.serving.Load(), nil }
	client := mine.Server(f.t) // its certificate is what is wanted here
	client.InsecureSkipVerify = true
	f.kafka = sitetest.NewSecureKafka(f.t, "redis-writes", 1, server, client,
		kfake.Superuser("SCRAM-SHA-512", "applier", fortPasswords["kafka"][0]),
		kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": "2000"}))
	applier := map[string]bool{} // nonces of its exchanges
	f.kafka.Cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		f.kafka.Cluster.KeepControl()
		req := kreq.(*kmsg.SASLAuthenticateRequest)
		// The exchange begins with n,,n=USER,r=NONCE and ends with c=biws,r=NONCE...
		user, nonce, begins := strings.Cut(strings.TrimPrefix(string(req.SASLAuthBytes), "n,,n="), ",r=")
		if begins && user == "applier" {
			applier[nonce] = true
		}
		known := false
		for n := range applier {
			known = known || strings.HasPrefix(nonce, n)
		}
		if !f.refuse.Load() || !known {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
}

func (f *fort) startRedis() {
	server := f.old.Issue(f.t, redistest.Host)
	files := redistest.TLS{CAFile: sitetest.Bundle(f.t, f.old, f.next), CertFile: server.CertFile, KeyFile: server.KeyFile}
	user := []string{"--user", "applier", "on", ">" + fortPasswords["redis"][0], "~*", "+@all"}
	primary, addr := redistest.StartTLS(f.t, files, user...)
	replica, second := redistest.StartTLS(f.t, files, user...)
	f.redises[addr], f.redises[second] = primary, replica
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		err = replica.Client.ReplicaOf(f.t.Context(), host, port).Err()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	for range 3 {
		addr := redistest.StartSentinel(f.t, &files,
			"sentinel monitor mymaster "+host+" "+port+" 2", "sentinel down-after-milliseconds mymaster 5000", "sentinel failover-timeout mymaster 5000",
			"user applier on >"+fortPasswords["sentinel"][0]+" +@all")
		mine := f.old.Issue(f.t, "test").Server(f.t)
		mine.InsecureSkipVerify = true
		c := redis.NewClient(&redis.Options{Addr: addr, TLSConfig: mine, DisableIdentity: true})
		f.t.Cleanup(func() { _ = c.Close() })
		f.clients = append(f.clients, c)
	}
}

// config is the applier's.
func (f *fort) config() config.Run {
	mine := f.old.Issue(f.t, "applier")
	cfg := config.DefaultRun()
	cfg.Site, cfg.Peer, cfg.Partitions, cfg.SigningKeyFile, cfg.Listen = "dc", "dr", 1, f.file("signing"), "127.0.0.1:0"
	f.write("signing", sitetest.Key)
	cfg.Brokers, cfg.TLS, cfg.CAFile, cfg.CertFile, cfg.KeyFile = f.kafka.Cluster.ListenAddrs(), true, f.caFile, mine.CertFile, mine.KeyFile
	cfg.Username, cfg.PasswordFile = "applier", f.file("kafka")
	cfg.Sentinels = []string{f.clients[0].Options().Addr} // the others are learned, TLS ports and all
	cfg.RedisTLS, cfg.RedisCAFile, cfg.RedisCertFile, cfg.RedisKeyFile = true, f.caFile, mine.CertFile, mine.KeyFile
	cfg.RedisUsername, cfg.RedisPasswordFile = "applier", f.file("redis")
	cfg.SentinelUsername, cfg.SentinelPasswordFile = "applier", f.file("sentinel")
	cfg.MirrorExactlyOnce = false
	return cfg
}

// reached is the fort as walctl reaches it.
func (f *fort) reached() *reach.Direct {
	f.t.Helper()
	d, err := reach.NewDirect(f.config())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = d.Close() })
	return d
}

// start starts the applier, and records that never end.
func (f *fort) start(ctx context.Context, changes func(*config.Run)) (ended chan int) {
	f.t.Helper()
	cfg := f.config()
	changes(&cfg)
	env := map[string]string{"GOMEMLIMIT": "off"}
	for _, v := range cfg.Environ() {
		env[v.Name] = v.Value
	}
	ended = make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"run"}, func(name string) (string, bool) { v, ok := env[name]; return v, ok }, nil, &f.log, &f.log)
	}()
	return ended
}

func (f *fort) flow(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		<-tick.C
		f.kafka.Client.Produce(context.WithoutCancel(ctx), f.kafka.Op("INCR", "n"), func(_ *kgo.Record, err error) {
			if err == nil {
				f.appended.Add(1)
			}
		})
	}
}

// primary is the Redis that the Sentinels name, and its TLS address.
func (f *fort) primary(ctx context.Context) (*redistest.Server, string, error) {
	v, err := f.clients[0].Do(ctx, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster").StringSlice()
	if err != nil {
		return nil, "", err
	}
	addr := net.JoinHostPort(v[0], v[1])
	return f.redises[addr], addr, nil
}

// goesOn waits until the applier has applied what was appended by now, at the primary, and more.
func (f *fort) goesOn(what string) {
	f.t.Helper()
	want := f.appended.Load() + 20
	f.until(what, func(ctx context.Context) error {
		p, addr, err := f.primary(ctx)
		if err != nil {
			return err
		}
		n, err := p.Client.HGet(ctx, wal.CheckpointKey("redis-writes", 0), "next").Int64()
		if err == nil && n < want {
			err = fmt.Errorf("%s: position %d, want %d", addr, n, want)
		}
		return err
	})
}

func (f *fort) until(what string, condition func(ctx context.Context) error) {
	f.t.Helper()
	if err := eventually(condition); err != nil {
		f.t.Fatalf("%s: %v\n%s", what, err, f.log.String())
	}
}

// says waits until the log has a new line with all of the texts.
func (f *fort) says(since int, texts ...string) {
	f.t.Helper()
	f.until("the log", func(context.Context) error {
	line:
		for line := range strings.Lines(f.log.String()[since:]) {
			for _, text := range texts {
				if !strings.Contains(line, text) {
					continue line
				}
			}
			return nil
		}
		return fmt.Errorf("no line with %q", texts)
	})
}

// everywhere has both Redis do something.
func (f *fort) everywhere(args ...any) {
	f.t.Helper()
	for _, r := range f.redises {
		if err := r.Client.Do(f.t.Context(), args...).Err(); err != nil {
			f.t.Fatalf("%v: %v", args, err)
		}
	}
}

// Certificates, CAs and passwords change at Kafka, Redis and Sentinel while records flow. Each time the server is changed first, so
// that the applier meets the refusal, says what to do, and goes on by itself once the mounted file has changed.
func TestRotationWithoutRestart(t *testing.T) {
	t.Parallel()
	f := newFort(t)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := f.start(ctx, func(*config.Run) {})
	flow, dry := context.WithCancel(context.Background())
	var flowing sync.WaitGroup
	flowing.Go(func() { f.flow(flow) })
	defer flowing.Wait()
	defer dry()
	f.goesOn("start")

	since := len(f.log.String())
	f.everywhere("ACL", "SETUSER", "applier", "resetpass", ">"+fortPasswords["redis"][1])
	f.everywhere("CLIENT", "KILL", "USER", "applier")
	f.says(since, "WRONGPASS", "APPLIER_REDIS_PASSWORD_FILE")
	f.write("redis", fortPasswords["redis"][1])
	f.goesOn("the Redis password")

	since = len(f.log.String())
	for _, c := range f.clients {
		for _, command := range [][]any{{"ACL", "SETUSER", "applier", "resetpass", ">" + fortPasswords["sentinel"][1]}, {"CLIENT", "KILL", "USER", "applier"}} {
			if err := c.Do(ctx, command...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.everywhere("CLIENT", "KILL", "USER", "applier") // the Sentinels are asked when there is a reason to
	f.says(since, "WRONGPASS", "APPLIER_SENTINEL_PASSWORD_FILE")
	f.write("sentinel", fortPasswords["sentinel"][1])
	f.goesOn("the Sentinels' password")

	since = len(f.log.String())
	f.refuse.Store(true)
	f.kafka.SetPassword(t, "applier", fortPasswords["kafka"][1])
	f.says(since, "SASL_AUTHENTICATION_FAILED", "APPLIER_KAFKA_PASSWORD_FILE")
	f.write("kafka", fortPasswords["kafka"][1])
	f.refuse.Store(false)
	f.goesOn("the Kafka password")

	since = len(f.log.String())
	redisCert, kafkaCert := f.next.Issue(t, redistest.Host), f.next.Issue(t, "127.0.0.1")
	f.everywhere("CONFIG", "SET", "tls-cert-file", redisCert.CertFile, "tls-key-file", redisCert.KeyFile)
	f.everywhere("CLIENT", "KILL", "USER", "applier")
	f.serving.Store(&kafkaCert.Server(t).Certificates[0])
	f.says(since, "no CA in APPLIER_REDIS_CA_FILE="+f.caFile)
	sitetest.WriteBundle(t, f.caFile, f.old, f.next)
	f.goesOn("the CA")

	_, before, err := f.primary(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f.until("failover", func(ctx context.Context) error { // the Sentinels need a moment to know each other and the replica
		return f.clients[0].Do(ctx, "SENTINEL", "FAILOVER", "mymaster").Err()
	})
	f.until("failover", func(ctx context.Context) error {
		if _, addr, err := f.primary(ctx); err != nil || addr == before {
			return fmt.Errorf("the primary is %s (%w)", addr, err)
		}
		return nil
	})
	f.goesOn("failover")

	dry()
	flowing.Wait()
	if err := f.kafka.Client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.until("the end", func(ctx context.Context) error {
		p, _, err := f.primary(ctx)
		if err != nil {
			return err
		}
		n, err := p.Client.Get(ctx, "n").Int64()
		if err == nil && n != f.appended.Load() {
			err = fmt.Errorf("n is %d, want %d", n, f.appended.Load())
		}
		return err
	})
	stop()
	if code := <-ended; code != exitStopped {
		t.Errorf("ended with %d", code)
	}
	for name, p := range fortPasswords {
		for i, secret := range p {
			if strings.Contains(f.log.String(), secret) {
				t.Errorf("the log tells password %s of %s", strconv.Itoa(i), name)
			}
		}
	}
}
