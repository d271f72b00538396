// Package program runs the Pulumi program of both stacks without an engine: the committed configuration, with what the lab
// alone can know put in (its own CAs, fresh secrets), becomes the objects that the lab makes real.
package program

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/comptech-lab/redis-wal/components/site"
	"github.com/comptech-lab/redis-wal/lab/internal/manifest"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/render"
	"github.com/comptech-lab/redis-wal/stacks"
)

// Change sets one field of the site of a stack, such as redis.maxmemory.
type Change struct {
	Path  string
	Value any
}

// Stacks are the stacks of a lab, with the secrets made up for it.
type Stacks struct {
	dir     string
	changes []Change
	secrets *fresh
	stacks  map[string]render.Stack
}

// New reads the stacks whose configuration is in the folder dir. The changes are made to all.
func New(dir string, changes ...Change) *Stacks {
	return &Stacks{dir: dir, changes: changes, secrets: newSecrets(), stacks: make(map[string]render.Stack)}
}

// Stack is the configuration of a site's stack, once it was declared.
func (s *Stacks) Stack(name string) render.Stack { return s.stacks[name] }

// Declare is a [sites.Program].
func (s *Stacks) Declare(name, peer string, ca sites.Authorities) (sites.Declared, error) {
	stack, err := render.Load(s.dir, name)
	if err != nil {
		return sites.Declared{}, err
	}
	stack = stack.With("kafka.ca", string(ca[name])).With("peerKafka.ca", []any{string(ca[peer])})
	for _, c := range s.changes {
		stack = stack.With(c.Path, c.Value)
	}
	cfg, err := decode(stack)
	if err != nil {
		return sites.Declared{}, err
	}
	for field, tls := range map[string]*bool{"kafka.tls": cfg.Kafka.TLS, "peerKafka.tls": cfg.PeerKafka.TLS} {
		if tls != nil && !*tls {
			return sites.Declared{}, fmt.Errorf("%s: the Kafka of the lab speaks TLS; want true", field)
		}
	}
	stack = stack.WithSecrets(s.secrets.of(name, peer, stacks.SecretsOf(cfg)))
	stack.Reveal = true
	s.stacks[name] = stack
	graph, err := render.Program(stack, false)
	if err != nil {
		return sites.Declared{}, err
	}
	names := site.NamesOf(cfg.Args)
	d := sites.Declared{
		Bootstrap: cfg.Kafka.Bootstrap, PeerBootstrap: cfg.PeerKafka.Bootstrap,
		KafkaNamespace: cfg.Kafka.Namespace, KafkaCluster: cfg.Kafka.Cluster,
		Log: cfg.Log.Topic, Partitions: int32(cfg.Log.Partitions), Producers: make(map[string]string),
	}
	for _, p := range cfg.Producers {
		d.Producers[p.Name] = names.ProducerUser(p.Name)
	}
	for _, r := range graph.Objects() {
		d.Objects = append(d.Objects, manifest.Object(r.Object))
	}
	return d, nil
}

func decode(stack render.Stack) (stacks.Config, error) {
	text, err := json.Marshal(stack.Config[stacks.SiteKey])
	if err != nil {
		return stacks.Config{}, err
	}
	return stacks.Decode(string(text))
}

// fresh are secrets made up for this lab.
type fresh struct {
	shared map[string]string            // the same at both sites
	own    map[string]map[string]string // by site and key
}

func newSecrets() *fresh {
	return &fresh{shared: make(map[string]string), own: make(map[string]map[string]string)}
}

// of are the secrets of a stack. Those that come from somewhere else are the peer's (peerXxx is its xxx) or common to both.
func (f *fresh) of(name, peer string, list []stacks.Secret) map[string]string {
	out := make(map[string]string)
	for _, s := range list {
		switch {
		case s.Key != "readerPassword" && s.Shared == "": // readers move between the sites, behind an edge
			out[s.Key] = f.get(name, s.Key)
		case strings.HasPrefix(s.Key, "peer"):
			key := []rune(strings.TrimPrefix(s.Key, "peer"))
			key[0] = unicode.ToLower(key[0])
			out[s.Key] = f.get(peer, string(key))
		default:
			if f.shared[s.Key] == "" {
				f.shared[s.Key] = random()
			}
			out[s.Key] = f.shared[s.Key]
		}
	}
	return out
}

func (f *fresh) get(site, key string) string {
	if f.own[site] == nil {
		f.own[site] = make(map[string]string)
	}
	if f.own[site][key] == "" {
		f.own[site][key] = random()
	}
	return f.own[site][key]
}

// random is longer than any secret must be.
func random() string { return rand.Text() + rand.Text() }
