// Package reach is how an operator reaches a site: [Direct], by the addresses and files that its appliers go by, or [Remote], by a command such as
// `redis-applier ctl` that runs where those count, and speaks on its standard input and output ([Exec], [Dial], [Serve]). Both are a [Site].
package reach

import (
	"context"
	"time"

	"github.com/comptech-lab/redis-wal/reach/rotate"
	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Site is one site as an operator reaches it.
type Site interface {
	writer.Site
	// Redis says how the site's Redis is.
	Redis(ctx context.Context) (Redis, error)
	// Values are the values of keys at the primary now, in the order of the keys, to be shown to a person.
	Values(ctx context.Context, keys [][]byte) ([]Value, error)
	// Witness writes down what a place has seen of the other site, on the site's topic of attestations, and returns when Kafka has acknowledged it.
	Witness(ctx context.Context, o wal.Observation) error
	// Witnessed are the observations that were written down since a time, in their order, and are signed.
	Witnessed(ctx context.Context, since time.Time) ([]wal.Observation, error)
	// Snapshot hands on all keys of the site's Redis as they are at one moment, the appliers' own too. It asks a replica that has come as far as the primary had when it was
	// called, and the primary only if there is none; begun is told which, before the first key. What each gets is valid until it returns.
	Snapshot(ctx context.Context, begun func(Taken), each func(snapshot.Entry) error) error
	// Fill begins to fill the site's Redis from its peer's. From then on no applier joins it.
	Fill(ctx context.Context, how Refill) (Filling, error)
	// Adoptable says what matters of the site's Redis to who wants to make its data the beginning of the log.
	Adoptable(ctx context.Context) (Adoptable, error)
	// Writes says how often the primary was written to.
	Writes(ctx context.Context) (Writes, error)
	// Adopt makes the data of the site's Redis the beginning of the log: it writes the checkpoints from which the appliers go on, in a Redis that has none. The seeds must stand
	// in the log before.
	Adopt(ctx context.Context, a Adoption) error
	// Rotate does one step towards another password of the site's Redis, and says how far it is.
	Rotate(ctx context.Context, r rotate.Request) (rotate.State, error)
	// Produce appends a data record to the site's log. One that the appliers would call poison is refused. Whether its stream is open is the caller's to know.
	Produce(ctx context.Context, d Data) (Appended, error)
	// Ask has the primary execute a command. It is refused with [ErrForbidden] if its rights do not allow it.
	Ask(ctx context.Context, q Question) (Replied, error)
	// Close lets go of the site. What is under way fails.
	Close() error
}

// Redis is the state of a site's Redis.
type Redis struct {
	Primary    string    `json:"primary"` // host:port, as the Sentinels name it
	Agreed     bool      `json:"agreed"`  // a majority of all known Sentinels names it
	Version    string    `json:"version"`
	UsedMemory int64     `json:"usedMemory"` // bytes
	MaxMemory  int64     `json:"maxMemory"`  // bytes; 0 = no limit
	Replicas   []Replica `json:"replicas"`   // those of the primary first, then those that only a Sentinel knows
	// Checkpoints are those of all partitions, by partition; null where there is none.
	Checkpoints []*wal.Checkpoint `json:"checkpoints"`
	// Meta is what is fixed for the log that it is filled from; null: there is none.
	Meta *wal.Meta     `json:"meta"`
	Held snapshot.Held `json:"held"`
	// Door is how clients that are beside the site's appliers find the primary.
	Door Door `json:"door"`
}

// Door is by what clients find the primary.
type Door struct {
	Sentinels []string `json:"sentinels"` // host:port, as the appliers are told; none: an older redis-applier does not say
	Master    string   `json:"master"`    // the primary's name at the Sentinels
	TLS       bool     `json:"tls"`       // of Redis and Sentinels
}

// Replica is one replica.
type Replica struct {
	Addr   string `json:"addr"`   // host:port
	LinkUp bool   `json:"linkUp"` // it is connected to the primary, and not in the middle of a full copy
	Lag    int64  `json:"lag"`    // bytes of the replication stream that it has not confirmed; 0 if the primary does not know it
}

// Value is the value of a key, short enough to be looked at.
type Value struct {
	Key  []byte `json:"key"`
	Type string `json:"type"` // as Redis says it; none: the key does not exist
	Size int64  `json:"size"` // bytes of a string, else the number of elements
	// Text shows the value, or its beginning, printable: strings are quoted as Go quotes them. At most MaxText bytes.
	Text     string `json:"text"`
	Cut      bool   `json:"cut"`      // Text does not show all of it
	ExpireAt int64  `json:"expireAt"` // ms since 1970; 0 = never
}

// MaxText is the most bytes of a [Value.Text].
const MaxText = 400

var (
	_ Site = (*Direct)(nil)
	_ Site = (*Remote)(nil)
)
