package reach

import (
	"fmt"
	"slices"
	"strings"

	"github.com/comptech-lab/redis-wal/wal"
)

// Adoptable is what matters of a Redis whose data are to be the beginning of a log.
type Adoptable struct {
	Primary string `json:"primary"` // host:port
	Keys    int64  `json:"keys"`    // in database 0, those of appliers included
	// Databases are those that hold keys, but for database 0, with their numbers of keys: a log is about database 0.
	Databases map[string]int64 `json:"databases"`
	Modules   []string         `json:"modules"`   // that are loaded: nobody can tell which values are theirs
	Functions []string         `json:"functions"` // libraries: they are no keys, and stay where they are
	Reserved  []string         `json:"reserved"`  // keys that begin as an applier's do, and are not of this log's; not more than ten
	Eviction  string           `json:"eviction"`  // maxmemory-policy
	Begun     bool             `json:"begun"`     // an applier, or an adoption, has left what it knows of the log
	Filling   string           `json:"filling"`   // the note of who fills it from another Redis; empty: nobody
	// Checkpoints are those of all partitions, by partition; null where there is none.
	Checkpoints []*wal.Checkpoint `json:"checkpoints"`
	// Clients are those whose last command was one that writes, in the last minute.
	Clients []Client `json:"clients"`
}

// Client is who is connected to a Redis.
type Client struct {
	Addr    string `json:"addr"`
	Name    string `json:"name"` // as it calls itself; empty: not at all
	User    string `json:"user"`
	Command string `json:"command"` // its last
	Idle    int64  `json:"idle"`    // seconds since
}

func (c Client) String() string {
	name := ""
	if c.Name != "" {
		name = " " + c.Name
	}
	return fmt.Sprintf("%s%s (user %s, %s %d s ago)", c.Addr, name, c.User, strings.ToUpper(c.Command), c.Idle)
}

// Writes is how often a Redis was written to. Two of them tell whether it was in between. Expiry does not count: nobody writes then.
type Writes struct {
	Run     string           `json:"run"`     // the process that has counted
	Calls   map[string]int64 `json:"calls"`   // of commands that write, by name
	Changes int64            `json:"changes"` // since the last save
	Saved   int64            `json:"saved"`   // when that was, seconds since 1970
}

// mayOnlyRead are commands that Redis counts among those that write, and that write with some options only.
var mayOnlyRead = []string{"sort", "georadius", "georadiusbymember", "bitfield"}

// Since says which commands have written since an earlier look; empty: none has.
func (w Writes) Since(before Writes) string {
	if w.Run != before.Run {
		return "another process answers: Redis was started anew, or a failover is under way"
	}
	changed := w.Changes != before.Changes || w.Saved != before.Saved
	var out []string
	for name, n := range w.Calls {
		if n != before.Calls[name] && (changed || !slices.Contains(mayOnlyRead, name)) {
			out = append(out, fmt.Sprintf("%d %s", n-before.Calls[name], strings.ToUpper(name)))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// Adoption is what makes the data of a Redis the beginning of a log.
type Adoption struct {
	Seed    string      `json:"seed"`    // the id of the seeds that stand in the log
	TopicID wal.TopicID `json:"topicId"` // of the log
	Writes  Writes      `json:"writes"`  // nobody may have written since
}
