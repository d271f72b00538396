package status

import (
	"time"

	"github.com/comptech-lab/redis-wal/converge"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
)

// ModelVersion is the version of a Model's JSON. Fields may be added within a version.
const ModelVersion = 1

// Answer is what can be said to a question.
type Answer string

// The answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

// Model is what the answers of two sites come to. Its JSON is for programs; the field names are stable.
type Model struct {
	Version    int       `json:"v"`
	Time       time.Time `json:"time"`
	Log        string    `json:"log"` // empty: no site was reached
	Partitions int32     `json:"partitions"`
	Sites      []State   `json:"sites"`
	Verdict    Verdict   `json:"verdict"`
	Sleep      Reply     `json:"sleep"`   // can I sleep?
	Cutover    []Cutover `json:"cutover"` // can I cut over? For each site that is not the writer in all partitions
	Notes      []string  `json:"notes"`   // what somebody should look at by day
	// Drills are the last ones that the log tells of, newest first; null: it could not be read.
	Drills []Drill `json:"drills"`
	// Exit is 0 if all is well, 1 if something is wrong, 2 if it could not be told.
	Exit int `json:"exit"`
}

// State is how a site is.
type State struct {
	Site    string   `json:"site"`
	Reached bool     `json:"reached"`
	Silent  []string `json:"silent"` // what it did not answer, one sentence each
	Epochs  []Group  `json:"epochs"` // partitions that are alike
	Places  []Place  `json:"places"` // where it stands, by partition; those are missing of which nothing is known
	Lag     Lag      `json:"lag"`
	Mirror  Mirror   `json:"mirror"`
	Redis   *Redis   `json:"redis"` // null: it did not answer
	Halted  []Halt   `json:"halted"`
	Fenced  *Count   `json:"fenced"`
	DLQ     *Count   `json:"dlq"`
	// Heard is the age of the last attestation in seconds, of the partition of which nothing was heard for longest; null: of one nothing was heard at all.
	Heard *float64 `json:"heard"`
}

// Place is where a site stands in a partition.
type Place struct {
	Partition int32 `json:"partition"`
	// Attested says that it is as of the last attestation: the site's Redis did not tell.
	Attested bool      `json:"attested"`
	Next     int64     `json:"next"`   // offset of the first record that is not decided
	End      *int64    `json:"end"`    // of the log; null: the site did not tell
	Behind   int64     `json:"behind"` // records to the end
	Seconds  float64   `json:"seconds"`
	Epoch    wal.Epoch `json:"epoch"`
	Writer   string    `json:"writer"` // as [Group.Writer]
	Root     wal.Hash  `json:"root"`
	// Streams are what was counted in this epoch and fenced, by origin. Both sites count alike, while their offsets differ.
	Streams map[string]wal.StreamState `json:"streams"`
	Halted  bool                       `json:"halted"`
}

// Group is partitions that are in one epoch.
type Group struct {
	Partitions []int32   `json:"partitions"`
	Epoch      wal.Epoch `json:"epoch"`
	// Writer is the site whose records count: empty = nobody's, because the stream is sealed; "both" before the first epoch.
	Writer string `json:"writer"`
}

// Both is the [Group].Writer before the first epoch.
const Both = "both"

// Lag is how far a site's Redis is behind its log.
type Lag struct {
	Known bool `json:"known"`
	// Attested says that it is as of the last attestations: the site did not answer.
	Attested  bool    `json:"attested"`
	Records   int64   `json:"records"` // of all partitions
	Worst     int64   `json:"worst"`   // of the partition that is furthest behind
	Partition int32   `json:"partition"`
	Seconds   float64 `json:"seconds"` // age of the last record that is decided, where there are more; of the worst partition
}

// Mirror is how far the mirror from the peer is behind.
type Mirror struct {
	From    string  `json:"from"`
	Known   bool    `json:"known"`
	Records uint64  `json:"records"` // that the peer has counted of its own stream, and the site has not; without halted partitions
	Seconds float64 `json:"seconds"` // age of the oldest barrier of the peer that has not arrived
	// Retention is how far the mirror's place is from what the peer's log has deleted; null: not known.
	Retention *Retention `json:"retention"`
}

// Retention is a distance to what retention has deleted: the least of all partitions.
type Retention struct {
	Whole   bool     `json:"whole"` // nothing was deleted yet, and the rest is zero
	Records int64    `json:"records"`
	Hours   *float64 `json:"hours"` // null: the timestamps do not tell
}

// Redis is how a site's Redis is.
type Redis struct {
	Primary    string          `json:"primary"` // empty: there is none
	Agreed     bool            `json:"agreed"`  // most Sentinels name it
	Version    string          `json:"version"`
	UsedMemory int64           `json:"usedMemory"`
	MaxMemory  int64           `json:"maxMemory"` // 0 = no limit
	Replicas   []reach.Replica `json:"replicas"`
}

// Halt is a partition that is halted.
type Halt struct {
	Partition int32 `json:"partition"`
	wal.AttestedHalt
}

// Verdict is what the attestations of both sites say about their logs.
type Verdict struct {
	State converge.State `json:"state"`
	Why   []string       `json:"why"`
	// Seconds is the age of the barriers on which it rests, of the oldest of them.
	Seconds float64 `json:"seconds"`
}

// Reply is an answer and its reasons; none if it is yes.
type Reply struct {
	Answer  Answer   `json:"answer"`
	Reasons []string `json:"reasons"`
}

// Cutover says whether a planned cutover to a site would begin.
type Cutover struct {
	To string `json:"to"`
	// HalfWay says that one was interrupted: it is to be gone on with, to either site.
	HalfWay bool `json:"halfWay"`
	Reply
}
