// Package status answers an operator's two questions, "can I sleep" and "can I cut over", from what both sites say. Three steps: [Gather] asks the sites and changes nothing
// there, [Judge] makes a [Model] of the answers, [Model.Text] writes it. The latter two are pure.
package status

import (
	"time"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Facts are what two sites said at about one time.
type Facts struct {
	Now   time.Time
	Sites [2]Answers // in the order in which they are shown
	// LagBudget is how many records the new writer may be behind in a partition when a cutover begins; 0 = writer.DefaultLagBudget.
	LagBudget int64
}

// Answers are what one site said. What it did not say is nil, and Silent tells why.
type Answers struct {
	Name     string
	Silent   []string // one sentence for each question without an answer; none = it has answered all
	Identity *writer.Identity
	// Heard are the attestations on the site's own topic, of both sites, in the order in which they stand there; nil = no answer.
	Heard []wal.Attestation
	Ends  *writer.Ends
	Redis *reach.Redis
	// Oldest are the timestamps of the first records that the site's log still holds, by partition, ms since 1970; 0 = it holds none, or begins at 0: nothing was
	// deleted yet.
	Oldest []int64
	Fenced *Count
	DLQ    *Count
	// Activates are the last ones that counted in partition 0; nil = no answer.
	Activates []writer.Activated
}

// Count is how many copies a list holds.
type Count struct {
	N    int  `json:"n"`
	More bool `json:"more"` // there was no time to count them all
}

// history is how far back attestations are read: enough for those of both sites of a barrier, while a site is minutes behind.
const history = 10 * time.Minute
