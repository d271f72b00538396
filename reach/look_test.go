package reach_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// What is down is what does not answer; what answers anything at all is not, and what cannot be told is neither.
func TestLook(t *testing.T) {
	t.Parallel()
	plain, scram := kafkaAt(t), kafkaAt(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "admin", "secret"))
	secure := kafkaAt(t, kfake.TLS(certified(t, tls.NoClientCert)))
	mutual := kafkaAt(t, kfake.TLS(certified(t, tls.RequireAnyClientCert)))
	const refused = "127.0.0.1:1" // nobody listens there: tests get other ports
	mute := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	hangsUp := listen(t, func(net.Conn) {})
	redis := listen(t, func(c net.Conn) { _, _ = c.Write([]byte("-NOAUTH Authentication required.\r\n")) })
	other := listen(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) })
	for name, tt := range map[string]struct {
		target reach.Target
		want   ifdown.Seen
	}{
		"a Kafka":                              {reach.Target{Kafka: []string{plain}}, ifdown.Answered},
		"a Kafka that wants a password":        {reach.Target{Kafka: []string{scram}}, ifdown.Answered},
		"a Kafka with TLS of an unknown CA":    {reach.Target{Kafka: []string{secure}, KafkaTLS: true}, ifdown.Answered},
		"a Kafka that wants a certificate":     {reach.Target{Kafka: []string{mutual}, KafkaTLS: true}, ifdown.Answered},
		"TLS, and none is spoken there":        {reach.Target{Kafka: []string{other}, KafkaTLS: true}, ifdown.Answered},
		"one of two answers":                   {reach.Target{Kafka: []string{refused, plain}}, ifdown.Answered},
		"refused":                              {reach.Target{Kafka: []string{refused}}, ifdown.Silent},
		"mute":                                 {reach.Target{Kafka: []string{mute}}, ifdown.Silent},
		"mute, and should speak TLS":           {reach.Target{Kafka: []string{mute}, KafkaTLS: true}, ifdown.Silent},
		"a balancer without anybody behind it": {reach.Target{Kafka: []string{hangsUp}}, ifdown.Silent},
		"the same with TLS":                    {reach.Target{Kafka: []string{hangsUp}, KafkaTLS: true}, ifdown.Silent},
		"only its Redis answers":               {reach.Target{Kafka: []string{refused}, Redis: []string{redis}}, ifdown.Answered},
		"neither answers":                      {reach.Target{Kafka: []string{refused, hangsUp}, Redis: []string{mute}}, ifdown.Silent},
		"a name that is not resolved":          {reach.Target{Kafka: []string{"kafka.invalid:9094"}}, ifdown.Unclear},
		"one refuses, one is not resolved":     {reach.Target{Kafka: []string{refused, "kafka.invalid:9094"}}, ifdown.Unclear},
		"nothing to look at":                   {reach.Target{}, ifdown.Unclear},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			if got, why := reach.Look(ctx, tt.target); got != tt.want || why == "" {
				t.Errorf("got %s (%s), want %s", got, why, tt.want)
			}
		})
	}
}

// certified is a server with a certificate that nobody knows.
func certified(t *testing.T, client tls.ClientAuthType) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientAuth: client, MinVersion: tls.VersionTLS12}
}

func kafkaAt(t *testing.T, opts ...kfake.Opt) string {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

// listen serves each connection, once a first byte has come, and closes it then.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = c.Read(make([]byte, 1<<10))
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}
