package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/applier/config"
)

func TestSpans(t *testing.T) {
	t.Parallel()
	const endpoint = "http://collector:4318"
	usual := config.Spans{URL: endpoint + "/v1/traces", Timeout: 10 * time.Second, Service: "redis-applier", Delay: 5 * time.Second, Queue: 2048, Batch: 512}
	with := func(f func(*config.Spans)) config.Spans { s := usual; f(&s); return s }
	for _, tt := range []struct {
		name string
		env  map[string]string
		want config.Spans
	}{
		{"off by default", nil, config.Spans{}},
		{"the rest alone does nothing, however wrong it is", map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_SERVICE_NAME": "a", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, config.Spans{}},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}, usual},
		{"with a path", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint + "/otlp/"}, with(func(s *config.Spans) { s.URL = endpoint + "/otlp/v1/traces" })},
		{"that for spans is taken as it is", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/x?y=z"}, with(func(s *config.Spans) { s.URL = "https://collector/x?y=z" })},
		{"disabled", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "true"}, config.Spans{}},
		{"no exporter", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "none"}, config.Spans{}},
		{
			"empty is as good as missing",
			map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "", "OTEL_TRACES_EXPORTER": "", "OTEL_EXPORTER_OTLP_TIMEOUT": "", "OTEL_BSP_MAX_QUEUE_SIZE": "", "OTEL_SERVICE_NAME": ""},
			usual,
		},
		{
			"everything",
			map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_HEADERS": " x-scope-orgid=shop%2C1 , a=b=c,",
				"OTEL_EXPORTER_OTLP_TIMEOUT": "1500", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_SERVICE_NAME": "orders-redis",
				"OTEL_RESOURCE_ATTRIBUTES": "service.name=other,deployment.environment.name=production%20eu", "OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_BSP_MAX_QUEUE_SIZE": "100",
			},
			config.Spans{
				URL: endpoint + "/v1/traces", Headers: []config.Var{{Name: "x-scope-orgid", Value: "shop,1"}, {Name: "a", Value: "b=c"}}, Timeout: 1500 * time.Millisecond, Gzip: true,
				Service: "orders-redis", Resource: []config.Var{{Name: "deployment.environment.name", Value: "production eu"}}, Delay: 100 * time.Millisecond, Queue: 100, Batch: 100,
			},
		},
		{
			"those for spans count",
			map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_HEADERS": "a=1", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "b=2",
				"OTEL_EXPORTER_OTLP_TIMEOUT": "1", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "2000", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "none",
			},
			with(func(s *config.Spans) { s.Headers, s.Timeout = []config.Var{{Name: "b", Value: "2"}}, 2*time.Second }),
		},
		{"the service's name among the attributes", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_RESOURCE_ATTRIBUTES": "service.name=a"}, with(func(s *config.Spans) { s.Service = "a" })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.ReadRun(env(least(tt.env)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := cfg.Spans()
			if len(got.Resource) == 0 {
				got.Resource = nil
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

// What is wrong with tracing is known at the start, by the variable's name; a secret in it is not told.
func TestSpansThatCannotWork(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, env, value, want string }{
		{"no URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", `OTEL_EXPORTER_OTLP_ENDPOINT="collector:4318": want a URL such as http://collector:4318`},
		{"another scheme", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc://collector:4317", `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="grpc://collector:4317": want a URL`},
		{"no host", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://", `OTEL_EXPORTER_OTLP_ENDPOINT="http://": want a URL`},
		{"a bad port", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:x", `OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:x": want a URL`},
		{"a user", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:sesame@collector", `OTEL_EXPORTER_OTLP_ENDPOINT="...": want a URL`},
		{"another protocol", "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", `OTEL_EXPORTER_OTLP_PROTOCOL="grpc": want http/json`},
		{"another protocol for spans", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf", `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/protobuf": want http/json`},
		{"another exporter", "OTEL_TRACES_EXPORTER", "zipkin", `OTEL_TRACES_EXPORTER="zipkin": want otlp or none`},
		{"a header without a value", "OTEL_EXPORTER_OTLP_HEADERS", "sesame", "OTEL_EXPORTER_OTLP_HEADERS: want name=value"},
		{"a header that cannot be sent", "OTEL_EXPORTER_OTLP_HEADERS", "api-key=sesame%0A", "OTEL_EXPORTER_OTLP_HEADERS: want name=value, with commas between several: api-key: its value cannot be used"},
		{"attributes", "OTEL_RESOURCE_ATTRIBUTES", "a=%zz", `OTEL_RESOURCE_ATTRIBUTES="a=%zz": want name=value`},
		{"compression", "OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", `OTEL_EXPORTER_OTLP_COMPRESSION="zstd": want gzip or none`},
		{"a timeout with a unit", "OTEL_EXPORTER_OTLP_TIMEOUT", "10s", `OTEL_EXPORTER_OTLP_TIMEOUT="10s": want a whole number`},
		{"a negative timeout", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "-1", `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="-1": want 0 or more`},
		{"a batch that never fills", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096", `OTEL_BSP_MAX_EXPORT_BATCH_SIZE="4096": want at most OTEL_BSP_MAX_QUEUE_SIZE, 2048`},
		{"no truth", "OTEL_SDK_DISABLED", "ja", `OTEL_SDK_DISABLED="ja": want true or false`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.ReadRun(env(least(map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", tt.env: tt.value})))
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sesame") {
				t.Errorf("got  %v\nwant it to contain %s, and no secret", err, tt.want)
			}
		})
	}
}
