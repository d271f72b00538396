package config_test

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
)

func env(m map[string]string) config.Lookup {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

// least is the smallest environment that a run accepts.
func least(change map[string]string) map[string]string {
	m := map[string]string{
		"APPLIER_SITE": "dc", "APPLIER_PEER": "dr", "APPLIER_PARTITIONS": "12",
		"APPLIER_SIGNING_KEY_FILE": "/secrets/signing", "APPLIER_KAFKA_BROKERS": "kafka:9095", "APPLIER_SENTINELS": "rfs-redis:26379",
	}
	for k, v := range change {
		if v == "-" {
			delete(m, k)
			continue
		}
		m[k] = v
	}
	return m
}

func TestReadRun(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change map[string]string
		want   []string // each must be in the error; none = no error
	}{
		{"the least", nil, nil},
		{
			"nothing at all names every missing variable",
			map[string]string{"APPLIER_SITE": "-", "APPLIER_PEER": "-", "APPLIER_PARTITIONS": "-", "APPLIER_SIGNING_KEY_FILE": "-", "APPLIER_KAFKA_BROKERS": "-", "APPLIER_SENTINELS": "-"},
			[]string{"APPLIER_SITE: is not set", "APPLIER_PEER: is not set", "APPLIER_PARTITIONS: is not set", "APPLIER_SIGNING_KEY_FILE: is not set", "APPLIER_KAFKA_BROKERS: is not set", "APPLIER_SENTINELS: is not set"},
		},
		{
			"a value that does not parse is not replaced by its default",
			map[string]string{"APPLIER_BARRIER_INTERVAL": "ten", "APPLIER_BATCH_RECORDS": "1k", "APPLIER_MIRROR_EXACTLY_ONCE": "ja"},
			[]string{`APPLIER_BARRIER_INTERVAL="ten": want a duration such as 10s`, `APPLIER_BATCH_RECORDS="1k": want a whole number`, `APPLIER_MIRROR_EXACTLY_ONCE="ja": want true or false`},
		},
		{"an unknown policy", map[string]string{"APPLIER_POISON": "ignore"}, []string{`APPLIER_POISON="ignore"`, "want skip, halt"}},
		{"an unknown verbosity", map[string]string{"APPLIER_VERBOSITY": "loud"}, []string{`APPLIER_VERBOSITY="loud"`}},
		{"the peer is the site", map[string]string{"APPLIER_PEER": "dc"}, []string{`APPLIER_PEER="dc": is this site itself`}},
		{"a site that is no DNS label", map[string]string{"APPLIER_SITE": "DC_1"}, []string{`APPLIER_SITE="DC_1": want a DNS label`}},
		{"no partitions", map[string]string{"APPLIER_PARTITIONS": "0"}, []string{"APPLIER_PARTITIONS=0: want at least 1"}},
		{
			"addresses without a port, all of them",
			map[string]string{"APPLIER_KAFKA_BROKERS": "kafka", "APPLIER_SENTINELS": ":26379"},
			[]string{`APPLIER_KAFKA_BROKERS: "kafka": want host:port`, `APPLIER_SENTINELS: ":26379": want host:port`},
		},
		{"a user without a password", map[string]string{"APPLIER_KAFKA_USERNAME": "applier"}, []string{"APPLIER_KAFKA_PASSWORD_FILE: is empty"}},
		{"a CA without TLS", map[string]string{"APPLIER_KAFKA_CA_FILE": "/ca.crt"}, []string{"set APPLIER_KAFKA_TLS=true"}},
		{
			"what is said of TLS has no effect without it",
			map[string]string{
				"APPLIER_KAFKA_CERT_FILE": "/c", "APPLIER_KAFKA_KEY_FILE": "/k", "APPLIER_KAFKA_SERVER_NAME": "kafka",
				"APPLIER_REDIS_CA_FILE": "/ca", "APPLIER_REDIS_SERVER_NAME": "redis",
			},
			[]string{
				"APPLIER_KAFKA_CERT_FILE: is set, but TLS is off; set APPLIER_KAFKA_TLS=true", "APPLIER_KAFKA_KEY_FILE: is set", "APPLIER_KAFKA_SERVER_NAME: is set",
				"APPLIER_REDIS_CA_FILE: is set, but TLS is off; set APPLIER_REDIS_TLS=true", "APPLIER_REDIS_SERVER_NAME: is set",
			},
		},
		{
			"a certificate without its key, a key without its certificate",
			map[string]string{"APPLIER_KAFKA_TLS": "true", "APPLIER_KAFKA_CERT_FILE": "/c", "APPLIER_REDIS_TLS": "true", "APPLIER_REDIS_KEY_FILE": "/k"},
			[]string{"APPLIER_KAFKA_KEY_FILE: is empty, but APPLIER_KAFKA_CERT_FILE is set", "APPLIER_REDIS_CERT_FILE: is empty, but APPLIER_REDIS_KEY_FILE is set"},
		},
		{
			"users of Redis and Sentinel without a password",
			map[string]string{"APPLIER_REDIS_USERNAME": "applier", "APPLIER_SENTINEL_USERNAME": "applier"},
			[]string{"APPLIER_REDIS_PASSWORD_FILE: is empty", "APPLIER_SENTINEL_PASSWORD_FILE: is empty"},
		},
		{"no port for profiles", map[string]string{"APPLIER_PPROF": "6060"}, []string{`APPLIER_PPROF="6060": want [host]:port`}},
		{"profiles at the port of the metrics", map[string]string{"APPLIER_PPROF": ":9180"}, []string{`APPLIER_PPROF=":9180": is APPLIER_LISTEN too`}},
		{"an empty required value", map[string]string{"APPLIER_SITE": ""}, []string{"APPLIER_SITE"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.ReadRun(env(least(tt.change)))
			if len(tt.want) == 0 && err != nil {
				t.Fatalf("got %v, want no error", err)
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got  %v\nwant it to contain %q", err, want)
				}
			}
		})
	}
}

// The Deployment writes what the daemon reads: every field must survive the way through the environment.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	run := config.Run{
		Identity: config.Identity{Site: "dc", Peer: "dr", Log: "team-writes", Partitions: 12, SigningKeyFile: "/s/key"},
		Kafka:    config.Kafka{Brokers: []string{"a:1", "b:2"}, TLS: true, CAFile: "/ca", CertFile: "/c", KeyFile: "/k", ServerName: "kafka", Username: "u", PasswordFile: "/p"},
		Group:    "g", MirrorExactlyOnce: false, Sentinels: []string{"s:26379", "t:26379"}, SentinelMaster: "m", RedisUsername: "ru",
		RedisPasswordFile: "/rp", SentinelUsername: "su", SentinelPasswordFile: "/sp", RedisTLS: true, RedisCAFile: "/rca",
		RedisCertFile: "/rc", RedisKeyFile: "/rk", RedisServerName: "redis", Pprof: "127.0.0.1:6060", Listen: "10.0.0.1:9180",
		Poison: config.PoisonHalt, WaitReplicas: 2, BarrierInterval: 3 * time.Second,
		HaltConfirm: time.Minute, BatchRecords: 7, BatchBytes: 4096, ReplicaBuffer: 1 << 20, Verbosity: slog.LevelDebug,
		OpenTelemetry: config.OpenTelemetry{
			OTLPEndpoint: "http://collector:4318", OTLPTracesEndpoint: "http://collector:4318/v1/traces", OTelDisabled: true, TracesExporter: "otlp",
			OTLPProtocol: "http/json", OTLPTracesProtocol: "http/json", OTLPHeaders: "a=1", OTLPTracesHeaders: "b=2", OTLPTimeout: 1000, OTLPTracesTimeout: 2000,
			OTLPCompression: "none", OTLPTracesCompression: "gzip", ServiceName: "applier", ResourceAttributes: "a=b", SpanDelay: 1, SpanQueue: 2, SpanBatch: 1,
		},
	}
	requireAllSet(t, run)
	got, err := config.ReadRun(env(toMap(run.Environ())))
	if err != nil || !reflect.DeepEqual(got, run) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, run)
	}
	check := config.Check{Identity: run.Identity, Kafka: run.Kafka, PeerPolicy: config.PeerReport, Timeout: 5 * time.Minute, FirstWriter: run.Peer}
	requireAllSet(t, check)
	gotCheck, err := config.ReadCheck(env(toMap(check.Environ())))
	if err != nil || !reflect.DeepEqual(gotCheck, check) {
		t.Errorf("got  %+v, %v\nwant %+v", gotCheck, err, check)
	}
	takeover := config.Takeover{Run: run, PeerBrokers: []string{"c:1", "d:2"}, PeerTLS: true, IfDown: 90 * time.Second, Looks: 7, CoolDown: 2 * time.Hour}
	requireAllSet(t, takeover)
	gotTakeover, err := config.ReadTakeover(env(toMap(takeover.Environ())))
	if err != nil || !reflect.DeepEqual(gotTakeover, takeover) {
		t.Errorf("got  %+v, %v\nwant %+v", gotTakeover, err, takeover)
	}
	takeover.PeerBrokers, takeover.Looks, takeover.CoolDown = []string{"c"}, 2, time.Minute
	err = takeover.Validate()
	for _, want := range []string{`APPLIER_TAKEOVER_PEER_BROKERS: "c": want host:port`, "APPLIER_TAKEOVER_LOOKS=2: want at least 3", "APPLIER_TAKEOVER_COOL_DOWN=1m0s: want at least"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to contain %q", err, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got := config.DefaultRun()
	read, err := config.ReadRun(env(least(nil)))
	if err != nil {
		t.Fatal(err)
	}
	if got.BatchRecords != read.BatchRecords || got.Listen != ":9180" || got.Poison != config.PoisonSkip || !got.MirrorExactlyOnce {
		t.Errorf("got %+v, want the defaults of %+v", got, read)
	}
}

// A variable that is off and has no default is not written, so that a new one changes no Deployment that does not use it.
func TestEnvironLeavesOutWhatIsOff(t *testing.T) {
	t.Parallel()
	got := toMap(config.DefaultRun().Environ())
	for _, name := range []string{"APPLIER_REDIS_TLS", "APPLIER_PPROF", "APPLIER_SENTINEL_PASSWORD_FILE", "OTEL_SDK_DISABLED", "OTEL_BSP_MAX_QUEUE_SIZE"} {
		if v, ok := got[name]; ok {
			t.Errorf("got %s=%s, want it left out", name, v)
		}
	}
	for name, want := range map[string]string{"APPLIER_KAFKA_TLS": "false", "APPLIER_WAIT_REPLICAS": "0"} {
		if got[name] != want {
			t.Errorf("got %s=%q, want %q", name, got[name], want)
		}
	}
}

func toMap(vars []config.Var) map[string]string {
	m := map[string]string{}
	for _, v := range vars {
		m[v.Name] = v.Value
	}
	return m
}

// requireAllSet makes the round trip meaningful: a new field without a value in the test would survive by being zero.
func requireAllSet(t *testing.T, c any) {
	t.Helper()
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Type.Kind() == reflect.Struct {
				walk(v.Field(i))
				continue
			}
			if v.Field(i).IsZero() && f.Name != "MirrorExactlyOnce" { // false is the value that is not its default
				t.Errorf("%s is zero: give it a value in this test", f.Name)
			}
		}
	}
	walk(reflect.ValueOf(c))
}
