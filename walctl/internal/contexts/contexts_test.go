package contexts_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/walctl/internal/contexts"
)

const asJSON = `{
  "contexts": {
    "prod": {"sites": {
      "dr": {"exec": ["kubectl", "exec", "-i", "deploy/redis-applier", "--", "/redis-applier", "ctl"]},
      "dc": {"envFile": "dc.env"}
    }},
    "lab": {"sites": {
      "dc": {"env": {"APPLIER_SITE": "dc", "APPLIER_PARTITIONS": "12"}},
      "dr": {"env": {"APPLIER_SITE": "dr"}}
    }}
  }
}
`

const asYAML = `# the sites of the payments team
contexts:
  prod:
    sites:
      dr: {exec: [kubectl, exec, -i, deploy/redis-applier, --, redis-applier, ctl]} # beyond the river
      dc: {envFile: dc.env}
  lab:
    sites:
      dc: {env: {APPLIER_SITE: dc, APPLIER_PARTITIONS: 12}}
      dr: {env: {APPLIER_SITE: dr}}
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "walctl.json")
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"JSON": asJSON, "YAML": asYAML} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, text)
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "dc.env"), []byte("# as print-config prints it\nAPPLIER_SITE=dc\n\nAPPLIER_LOG=a=b\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := contexts.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			_, prod, err := f.Context("prod")
			if err != nil {
				t.Fatal(err)
			}
			dc, dr := prod.Sites["dc"], prod.Sites["dr"]
			if len(dr.Exec) != 7 || dr.Exec[6] != "ctl" || !slices.Equal(prod.Names(), []string{"dc", "dr"}) {
				t.Errorf("got %+v", prod)
			}
			lookup, err := dc.Lookup()
			if err != nil {
				t.Fatal(err)
			}
			if v, _ := lookup("APPLIER_LOG"); v != "a=b" {
				t.Errorf("got %q from the file of variables", v)
			}
			if _, set := lookup("APPLIER_PEER"); set {
				t.Error("a variable is set that the file does not name")
			}
			_, lab, _ := f.Context("lab")
			if lab.Sites["dc"].Env["APPLIER_PARTITIONS"] != "12" {
				t.Errorf("got %+v", lab)
			}
		})
	}
}

// All problems at once, each with its place: whoever mends a file by one error at a time gives up.
func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := contexts.Load(write(t, `{
  "crrent": "prod",
  "contexts": {
    "prod": {"sites": {
      "dc": {"exce": ["kubectl"]},
      "dr": {"env": {"REDIS_PASSWORD": "secret"}, "exec": []},
      "third": {"envFile": null}
    }},
    "empty": {},
    "prod": {"sites": {}}
  }
}`))
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{
		`walctl.json:2: crrent: there is no such field`,
		`walctl.json:5: contexts.prod.sites.dc.exce: there is no such field`,
		`walctl.json:5: contexts.prod.sites.dc: want one of env, envFile and exec, there are 0`,
		`walctl.json:6: contexts.prod.sites.dr.env.REDIS_PASSWORD: the variables of an applier begin with APPLIER_`,
		`walctl.json:6: contexts.prod.sites.dr.exec: want a list`,
		`walctl.json:6: contexts.prod.sites.dr: want one of env, envFile and exec, there are 2`,
		`walctl.json:7: contexts.prod.sites.third.envFile: want text`,
		`contexts.prod.sites: there are 3, a context has two`,
		`walctl.json:9: contexts.empty: sites are missing`,
		`walctl.json:10: contexts.prod: it is there twice`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q in\n%v", want, err)
		}
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	path := write(t, asJSON)
	f, err := contexts.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Context(""); err == nil || !strings.Contains(err.Error(), "lab, prod") {
		t.Errorf("of two, none of which is the current one: got %v", err)
	}
	if _, _, err := f.Context("prd"); err == nil || !strings.Contains(err.Error(), `no context "prd"`) {
		t.Errorf("got %v", err)
	}
	if _, err := contexts.Load(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "docs/walctl.md") {
		t.Errorf("of a file that is not there: got %v", err)
	}
}

func TestUseKeepsTheRest(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"JSON": asJSON, "YAML": asYAML} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := write(t, text)
			for _, want := range []string{"lab", "prod"} {
				if err := contexts.Use(path, want); err != nil {
					t.Fatal(err)
				}
				f, err := contexts.Load(path)
				if err != nil {
					t.Fatal(err)
				}
				if got, c, err := f.Context(""); err != nil || got != want || len(c.Sites) != 2 || len(f.Contexts) != 2 {
					t.Errorf("got %s, %+v, %v", got, f, err)
				}
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if name == "YAML" && (!strings.Contains(string(got), "# the sites of the payments team") || !strings.Contains(string(got), "# beyond the river")) {
				t.Errorf("comments are gone:\n%s", got)
			}
			if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
				t.Errorf("got mode %s", info.Mode())
			}
			if err := contexts.Use(path, "nowhere"); err == nil {
				t.Error("a context is used that is not there")
			}
		})
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	set := func(string) (string, bool) { return "/of/the/environment", true }
	unset := func(string) (string, bool) { return "", false }
	folder := func() (string, error) { return "/home/me/.config", nil }
	for _, tt := range []struct {
		given  string
		lookup func(string) (string, bool)
		want   string
	}{
		{"/given", set, "/given"},
		{"", set, "/of/the/environment"},
		{"", unset, "/home/me/.config/redis-wal/walctl.json"},
	} {
		if got, err := contexts.Path(tt.given, tt.lookup, folder); err != nil || got != tt.want {
			t.Errorf("got %s, %v, want %s", got, err, tt.want)
		}
	}
}
