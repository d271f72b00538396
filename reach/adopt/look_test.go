package adopt

import (
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

func TestWhatARedisHolds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		change        func(*reach.Adoptable)
		refuses, says string
	}{
		{"what fits", func(*reach.Adoptable) {}, "", ""},
		{"nothing", func(r *reach.Adoptable) { r.Keys = 0 }, "its Redis is empty", ""},
		{"an applier's beginning", func(r *reach.Adoptable) { r.Begun = true }, "has checkpoints of redis-writes already", ""},
		{"half of a bootstrap", func(r *reach.Adoptable) { r.Begun, r.Filling = true, "from dr, since noon" }, "is being filled from elsewhere (from dr, since noon)", ""},
		{"a second database", func(r *reach.Adoptable) { r.Databases = map[string]int64{"db3": 7} }, "db3 of its Redis holds 7 keys", ""},
		{"a module", func(r *reach.Adoptable) { r.Modules = []string{"bf", "ReJSON"} }, "modules are loaded (bf, ReJSON)", ""},
		{"keys of the appliers", func(r *reach.Adoptable) { r.Reserved = []string{"__wal:x"} }, "such as __wal:x", ""},
		{"functions", func(r *reach.Adoptable) { r.Functions = []string{"prices"} }, "", "load them where they are needed yourself (prices)"},
		{"eviction", func(r *reach.Adoptable) { r.Eviction = "allkeys-lru" }, "", "maxmemory-policy is allkeys-lru"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := reach.Adoptable{Keys: 7, Eviction: "noeviction"}
			tt.change(&r)
			var f Found
			f.holds("its Redis", "redis-writes", &r)
			if got := strings.Join(f.Refusals, "; "); (tt.refuses == "") != (got == "") || !strings.Contains(got, tt.refuses) {
				t.Errorf("it is refused for %q, want %q", got, tt.refuses)
			}
			if got := strings.Join(f.Notes, "; "); (tt.says == "") != (got == "") || !strings.Contains(got, tt.says) {
				t.Errorf("it says %q, want %q", got, tt.says)
			}
		})
	}
}

func TestSeedsInTheLogs(t *testing.T) {
	t.Parallel()
	of := func(site, id string, partition int32, offset int64) placed {
		return placed{wal.Seed{ID: id, Site: site}, partition, offset}
	}
	whole, cut := writer.Ends{Start: []int64{0, 0}}, writer.Ends{Start: []int64{0, 3}}
	tests := []struct {
		name     string
		written  string // the seed of the checkpoints; empty: there are none
		own, far []placed
		ends     writer.Ends
		refuses  string
		seed     string
		seeded   [2]int64
	}{
		{"none", "", nil, nil, whole, "", "", [2]int64{-1, -1}},
		{"begun", "", []placed{of("dc", "s", 1, 4)}, nil, whole, "", "s", [2]int64{-1, 4}},
		{"begun, and mirrored", "", []placed{of("dc", "s", 0, 2), of("dc", "s", 1, 4)}, []placed{of("dc", "s", 0, 9)}, whole, "", "s", [2]int64{2, 4}},
		{"the other site's", "", []placed{of("dr", "s", 0, 2)}, []placed{of("dr", "s", 0, 1)}, whole, "the log begins with the data of dr: fill this Redis with them, `walctl bootstrap --site dc`", "", [2]int64{-1, -1}},
		{"the other site's, not mirrored yet", "", nil, []placed{of("dr", "s", 0, 1)}, whole, "the log begins with the data of dr", "", [2]int64{-1, -1}},
		{"two", "", []placed{of("dc", "s", 0, 2), of("dc", "x", 1, 2)}, nil, whole, "more than one beginning (seeds s, x)", "", [2]int64{2, 2}},
		{"one of each site", "", []placed{of("dc", "s", 0, 2)}, []placed{of("dr", "x", 0, 2)}, whole, "more than one beginning", "", [2]int64{2, -1}},
		{"done", "s", []placed{of("dc", "s", 0, 2), of("dc", "s", 1, 4)}, nil, whole, "", "s", [2]int64{2, 4}},
		{"done long ago", "s", []placed{of("dc", "s", 0, 2)}, nil, cut, "", "s", [2]int64{2, -1}},
		{"done in another log", "s", nil, nil, whole, "the seeds are missing", "s", [2]int64{-1, -1}},
		{"done with other data", "s", []placed{of("dc", "x", 0, 2)}, nil, cut, "more than one beginning", "s", [2]int64{2, -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := Found{Site: "dc", Seed: tt.written, Written: tt.written != "", Seeded: make([]int64, 2)}
			own, far := &scanned{site: "dc", ends: tt.ends, seeds: tt.own}, &scanned{site: "dr", ends: whole, seeds: tt.far}
			f.seeds(own, []*scanned{own, far})
			if got := strings.Join(f.Refusals, "; "); (tt.refuses == "") != (got == "") || !strings.Contains(got, tt.refuses) {
				t.Errorf("it is refused for %q, want %q", got, tt.refuses)
			}
			if f.Seed != tt.seed || [2]int64(f.Seeded) != tt.seeded {
				t.Errorf("got %q at %d, want %q at %d", f.Seed, f.Seeded, tt.seed, tt.seeded)
			}
		})
	}
}
