package guard

import (
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	_ "github.com/comptech-lab/redis-wal/internal/golden" // for the flag of make golden, which runs all tests here
)

func TestRefuse(t *testing.T) {
	t.Parallel()
	inputs := func(class string, replicas float64) resource.PropertyMap {
		return resource.NewPropertyMapFromMap(map[string]any{"class": class, "replicas": replicas})
	}
	list := []fixed{{"class", "move the data"}, {"version", "adopt"}}
	tests := []struct {
		name          string
		before, after resource.PropertyMap
		want          string
	}{
		{"nothing changed", inputs("a", 3), inputs("a", 3), ""},
		{"what may change", inputs("a", 3), inputs("a", 5), ""},
		{"what may not", inputs("a", 3), inputs("b", 3), "x: class: is a and cannot become b: move the data"},
		{"what is left out", inputs("a", 3), resource.PropertyMap{}, "x: class: is a and cannot become nothing: move the data"},
		{"what an older version did not record", resource.PropertyMap{}, inputs("a", 3), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := refuse("x", tt.before, tt.after, list); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
