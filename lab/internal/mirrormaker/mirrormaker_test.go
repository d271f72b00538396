package mirrormaker

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/mirror"
)

func declared(t *testing.T, autoRestart bool) Config {
	t.Helper()
	side := func(alias string) map[string]any {
		return map[string]any{"alias": alias, "bootstrapServers": alias + ":9095"}
	}
	target := side("dr")
	target["groupId"], target["configStorageTopic"], target["offsetStorageTopic"], target["statusStorageTopic"] = "m", "__m-config", "__m-offset", "__m-status"
	target["config"] = map[string]any{"exactly.once.source.support": "enabled", "offset.flush.interval.ms": 5000}
	obj, err := mirror.DecodeObject(manifest.Object{
		"kind": "KafkaMirrorMaker2", "metadata": map[string]any{"name": "m", "namespace": "kafka"},
		"spec": map[string]any{"target": target, "mirrors": []any{map[string]any{
			"source": side("dc"), "topicsPattern": `writes,writes\.attest`,
			"sourceConnector": map[string]any{
				"tasksMax": 4, "autoRestart": map[string]any{"enabled": autoRestart}, "config": map[string]any{"exactly.once.support": "required"},
			},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Object: obj, Dir: t.TempDir(), IP: netip.MustParseAddr("127.9.9.9"),
		Source: Cluster{Brokers: []string{"127.1.1.1:9095"}, TLS: true, CA: []byte("CA of dc"), User: "reader", Password: "of dc"},
		Target: Cluster{Brokers: []string{"127.2.2.2:9095"}, TLS: true, CA: []byte("CA of dr"), User: "writer", Password: "of dr"},
	}
}

// What runs here must be what Strimzi's operator would make of the same object, or it proves nothing.
func TestConfigurationIsWhatStrimziMakesOfTheObject(t *testing.T) {
	t.Parallel()
	cfg := declared(t, true)
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.declared) != 1 {
		t.Errorf("connectors %v; want those that are declared and no other", m)
	}
	got := m.declared["dc->dr.MirrorSourceConnector"]
	dc, dr := filepath.Join(cfg.Dir, "dc"), filepath.Join(cfg.Dir, "dr")
	for key, want := range map[string]string{
		"connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector", "tasks.max": "4", "topics": `writes,writes\.attest`,
		"exactly.once.support": "required",
		"source.cluster.alias": "dc", "source.cluster.bootstrap.servers": "127.1.1.1:9095", "source.cluster.security.protocol": "SASL_SSL",
		"source.cluster.sasl.mechanism": "SCRAM-SHA-512", "source.cluster.ssl.truststore.location": filepath.Join(dc, "ca.crt"),
		"source.cluster.sasl.jaas.config": `org.apache.kafka.common.security.scram.ScramLoginModule required username="reader" password="${strimzidir:` + dc + `:password}";`,
		"target.cluster.alias":            "dr", "target.cluster.bootstrap.servers": "127.2.2.2:9095", "target.cluster.offset.flush.interval.ms": "5000",
		"target.cluster.ssl.truststore.location": filepath.Join(dr, "ca.crt"),
	} {
		if got[key] != want {
			t.Errorf("connector: %s = %q, want %q", key, got[key], want)
		}
	}
	for _, key := range []string{"topics.exclude", "groups"} {
		if v, ok := got[key]; ok {
			t.Errorf("connector: %s = %q, want none: nothing is declared", key, v)
		}
	}
	text, err := os.ReadFile(m.properties)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"group.id=m", "config.storage.topic=__m-config", "exactly.once.source.support=enabled", "offset.flush.interval.ms=5000", "bootstrap.servers=127.2.2.2:9095",
		"header.converter=org.apache.kafka.connect.converters.ByteArrayConverter", "producer.security.protocol=SASL_SSL", "listeners=http://127.9.9.9:8083",
	} {
		if !strings.Contains("\n"+string(text), "\n"+want+"\n") {
			t.Errorf("worker: no line %q in\n%s", want, text)
		}
	}
	for _, secret := range []string{"of dc", "of dr"} {
		if strings.Contains(string(text)+got["source.cluster.sasl.jaas.config"]+got["target.cluster.sasl.jaas.config"], secret) {
			t.Errorf("the password %q is in a configuration; Connect shows those to everybody", secret)
		}
	}
}

// connect plays a worker's REST interface.
type connect struct {
	mu     sync.Mutex
	config map[string]string
	status status
	calls  []string
}

func (c *connect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/connectors/dc->dr.MirrorSourceConnector")
	if r.Method != http.MethodGet {
		c.calls = append(c.calls, r.Method+" "+path)
	}
	switch {
	case r.Method == http.MethodGet && path == "/config" && c.config == nil:
		http.Error(w, `{"error_code":404,"message":"no such connector"}`, http.StatusNotFound)
	case r.Method == http.MethodGet && path == "/config":
		_ = json.NewEncoder(w).Encode(c.config)
	case r.Method == http.MethodPut && path == "/config":
		_ = json.NewDecoder(r.Body).Decode(&c.config)
		c.config["name"] = "dc->dr.MirrorSourceConnector" // as Connect does
	case path == "/status":
		_ = json.NewEncoder(w).Encode(c.status)
	}
}

func TestTheWorkerIsToldOnceAndItsTroubleIsNamed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status      status
		autoRestart bool
		want, calls string
	}{
		"it runs":         {status{state{State: running}, []state{{State: running}}}, true, "", "PUT /config"},
		"no task":         {status{state{State: running}, nil}, true, "the source shows no topic", "PUT /config"},
		"a task starts":   {status{state{State: running}, []state{{State: running}, {ID: 1, State: "UNASSIGNED"}}}, true, "task 1 is UNASSIGNED", "PUT /config"},
		"a task failed":   {status{state{State: running}, []state{{State: failed, Trace: "A: b\n\tat x\nCaused by: C: d\n"}}}, true, "task 0 is FAILED: A: b; caused by C: d", "PUT /config,POST /restart"},
		"without restart": {status{state{State: failed, Trace: "A: b\n"}, nil}, false, "the connector is FAILED: A: b", "PUT /config"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &connect{status: tc.status}
			server := httptest.NewServer(c)
			t.Cleanup(server.Close)
			m, err := New(declared(t, tc.autoRestart))
			if err != nil {
				t.Fatal(err)
			}
			m.base = server.URL
			o := operator{m: m, backoff: restartAfter}
			for range 2 { // the second look must not tell again, nor restart again at once
				err = o.look(t.Context())
			}
			if got := strings.Join(c.calls, ","); got != tc.calls {
				t.Errorf("calls = %s, want %s", got, tc.calls)
			}
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("look = %v, want %q", err, tc.want)
			}
			if o := (operator{m: m}); o.look(t.Context()) == nil && strings.Join(c.calls, ",") != tc.calls {
				t.Errorf("a worker that has the configuration is told it again: %v", c.calls)
			}
		})
	}
}
