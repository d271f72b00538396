package wal

import (
	"encoding/json"
	"fmt"
)

// AttestationVersion is the version of the attestation's format.
const AttestationVersion = 1

// Attestation is an applier's statement of what it has decided of a partition up to a barrier, a seal or an activate; or that the partition is halted.
type Attestation struct {
	Version   int                    `json:"v"`
	Site      string                 `json:"site"`
	Partition int32                  `json:"partition"`
	TopicID   TopicID                `json:"topicId"` // of the log at Site
	Offset    int64                  `json:"offset"`  // of the control record at Site
	Barrier   AttestedBarrier        `json:"barrier,omitzero"`
	Fence     *AttestedFence         `json:"fence,omitempty"`  // instead of Barrier
	Halted    *AttestedHalt          `json:"halted,omitempty"` // instead of both: a sign of life, of which nothing follows about the log
	Epoch     Epoch                  `json:"epoch"`
	Activate  string                 `json:"activate,omitempty"` // id of the activate that opened the epoch
	Seed      string                 `json:"seed,omitempty"`     // id of the data that Site began with, and that are in no record
	Root      Hash                   `json:"root"`
	Streams   map[string]StreamState `json:"streams"` // by origin site
	Refused   Count                  `json:"refused"`
	Expired   uint64                 `json:"expired"` // records that arrived with their expiry over
	Lag       int64                  `json:"lag"`     // records behind the barrier that Site's log held when it was decided
	Level     int                    `json:"level"`   // of the rules that Site's applier knows
	Time      int64                  `json:"time"`    // when the barrier was decided, ms since 1970, for people
	Applier   string                 `json:"applier"` // its version
	Redis     string                 `json:"redis"`   // the version of Site's Redis
}

// AttestedBarrier names the barrier of an attestation.
type AttestedBarrier struct {
	Origin string `json:"origin"` // the site where it was appended
	Number uint64 `json:"number"`
	ID     string `json:"id"`
	Time   int64  `json:"time"` // when it was appended, ms since 1970
}

// AttestedFence says that a seal or an activate was decided.
type AttestedFence struct {
	Type    ControlType `json:"type"`
	ID      string      `json:"id"`
	Origin  string      `json:"origin"`  // the site where it was appended
	Counted bool        `json:"counted"` // it did what it says; otherwise it came too late, and changed nothing
	// Closings are the epochs that have ended at Site since the sites were settled last, the one that this activate ended at the end.
	Closings []Closing `json:"closings,omitempty"`
}

// AttestedHalt says that a partition must not go on, and what a person can do about it. What the attestation says beside it is the last position that its applier
// has read; Offset is -1, and TopicID zero, if it has not read one since it owns the partition.
type AttestedHalt struct {
	Reason string `json:"reason"` // short and stable, such as gap: docs/runbook.md knows each
	Error  string `json:"error"`
	Remedy string `json:"remedy"`
	Since  int64  `json:"since"` // when this applier halted, ms since 1970
}

// StreamState is a [Stream] in an attestation.
type StreamState struct {
	N       uint64 `json:"n"`
	H       Hash   `json:"h"`
	Sealed  bool   `json:"sealed,omitempty"`
	FencedN uint64 `json:"fn"`
	FencedH Hash   `json:"fh"`
}

// AttestationKey is the Kafka key of an attestation: site/partition.
func AttestationKey(site string, partition int32) string {
	return fmt.Sprintf("%s/%d", site, partition)
}

// Attest states position p of the site s.Self at barrier b, which stands at offset p.Next-1.
func (p *Position) Attest(s Sites, partition int32, origin Origin, b *Barrier) Attestation {
	a := p.state(s, partition)
	a.Barrier = AttestedBarrier{Origin: s.Name(origin), Number: b.Number, ID: b.ID, Time: b.Time}
	return a
}

// Attest states checkpoint c of the site s.Self at barrier b, which stands at offset c.Next-1.
func (c *Checkpoint) Attest(s Sites, partition int32, origin Origin, b *Barrier) Attestation {
	a := c.Position.Attest(s, partition, origin, b)
	a.Seed = c.Seed
	return a
}

// Open reports whether records that were first appended at a site counted there: [Position.Open] by the site's name.
func (a *Attestation) Open(site string) bool {
	return !a.Streams[site].Sealed && (a.Epoch.IsNone() || a.Epoch.Site == site)
}

// Writes reports whether a site was the only one whose records counted.
func (a *Attestation) Writes(site string) bool { return !a.Epoch.IsNone() && a.Open(site) }

// Under is the id of the activate that the partition was under, [NoActivate] before the first one.
func (a *Attestation) Under() string {
	if a.Epoch.IsNone() {
		return NoActivate
	}
	return a.Activate
}

// AttestFence states checkpoint c of the site s.Self at a seal or an activate, which stands at offset c.Next-1.
func (c *Checkpoint) AttestFence(s Sites, partition int32, f AttestedFence) Attestation {
	a := c.state(s, partition)
	a.Seed = c.Seed
	if f.Type == TypeActivate {
		f.Closings = c.Closings
	}
	a.Fence = &f
	return a
}

// AttestHalt states that the site s.Self is halted in a partition, and that p is the last position that is known of it.
func (p *Position) AttestHalt(s Sites, partition int32, h AttestedHalt) Attestation {
	a := p.state(s, partition)
	a.Halted = &h
	return a
}

func (p *Position) state(s Sites, partition int32) Attestation {
	a := Attestation{
		Version: AttestationVersion, Site: s.Self, Partition: partition, TopicID: p.TopicID, Offset: p.Next - 1,
		Epoch: p.Epoch, Activate: p.Activate, Root: p.Root, Streams: map[string]StreamState{},
		Refused: p.Refused, Expired: p.Expired, Level: Level,
	}
	for _, o := range Origins {
		a.Streams[s.Name(o)] = StreamState(p.Streams[o])
	}
	return a
}

// ParseAttestation reads an attestation's JSON. Fields that this version does not know are ignored: the peer may be newer.
func ParseAttestation(value []byte) (Attestation, error) {
	var a Attestation
	if err := json.Unmarshal(value, &a); err != nil {
		return a, fmt.Errorf("attestation: %w", err)
	}
	if a.Version != AttestationVersion {
		return a, fmt.Errorf("attestation: version %d, this one knows %d", a.Version, AttestationVersion)
	}
	if a.Site == "" || a.Partition < 0 {
		return a, fmt.Errorf("attestation: site and partition are required")
	}
	barrier, fence := a.Barrier.ID != "" && a.Barrier.Origin != "", a.Fence != nil && a.Fence.ID != "" && a.Fence.Origin != ""
	of := 0
	for _, is := range []bool{barrier, fence, a.Halted != nil && a.Halted.Reason != ""} {
		if is {
			of++
		}
	}
	if of != 1 {
		return a, fmt.Errorf("attestation: one of a barrier, a seal or activate, and a halt is required")
	}
	return a, nil
}
