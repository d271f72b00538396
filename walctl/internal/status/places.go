package status

import (
	"fmt"
	"slices"
	"strings"

	"github.com/comptech-lab/redis-wal/wal"
)

// place is where a site stands in a partition.
type place struct {
	known   bool
	fresh   bool // it is the checkpoint; else it is as of the last attestation
	next    int64
	time    int64 // timestamp of the last record that was decided, ms since 1970; 0 = not known
	lag     int64 // unless fresh: as it was attested
	epoch   wal.Epoch
	root    wal.Hash
	streams map[string]wal.StreamState
	heard   int64 // time of the last attestation, ms since 1970; 0 = never
	halted  *wal.AttestedHalt
}

// open is the site whose stream is open: "" = none, Both.
func (p *place) open() string {
	switch site := p.epoch.Site; {
	case site == "":
		for _, s := range p.streams {
			if s.Sealed {
				return "" // before the first epoch a seal closes one stream, on the way to one writer
			}
		}
		return Both
	case p.streams[site].Sealed:
		return ""
	default:
		return site
	}
}

// placesOf says where a site stands in each partition. Its Redis knows best, then its own topic; what the mirror has brought to the peer is left if the site is silent.
func placesOf(site, peer *Answers, sites wal.Sites, partitions int32) []place {
	out := make([]place, partitions)
	for _, heard := range [][]wal.Attestation{site.Heard, peer.Heard} {
		newest := make([]*wal.Attestation, partitions)
		last := make([]*wal.Attestation, partitions)
		for i := range heard {
			a := &heard[i]
			if a.Site != site.Name || a.Partition >= partitions {
				continue
			}
			p := a.Partition
			last[p] = a
			if a.Halted == nil && (newest[p] == nil || newest[p].TopicID != a.TopicID || a.Offset >= newest[p].Offset) {
				newest[p] = a
			}
		}
		for p := range out {
			if last[p] == nil || out[p].heard != 0 {
				continue
			}
			out[p].heard, out[p].halted = last[p].Time, last[p].Halted
			if a := newest[p]; a != nil {
				out[p].known, out[p].next, out[p].lag = true, a.Offset+1, a.Lag
				out[p].epoch, out[p].root, out[p].streams = a.Epoch, a.Root, a.Streams
			}
		}
	}
	if site.Redis == nil {
		return out
	}
	for p, c := range site.Redis.Checkpoints {
		if c == nil || p >= len(out) {
			continue
		}
		streams := map[string]wal.StreamState{}
		for _, o := range wal.Origins {
			streams[sites.Name(o)] = wal.StreamState(c.Streams[o])
		}
		out[p].known, out[p].fresh, out[p].next, out[p].time = true, true, c.Next, c.Timestamp
		out[p].epoch, out[p].root, out[p].streams = c.Epoch, c.Root, streams
	}
	return out
}

// groups are the partitions that are alike, by their first.
func groups(places []place) []Group {
	out := []Group{}
	for p := range places {
		if !places[p].known {
			continue
		}
		g := Group{Epoch: places[p].epoch, Writer: places[p].open()}
		i := slices.IndexFunc(out, func(h Group) bool { return h.Epoch == g.Epoch && h.Writer == g.Writer })
		if i < 0 {
			i = len(out)
			out = append(out, g)
		}
		out[i].Partitions = append(out[i].Partitions, int32(p))
	}
	return out
}

// Ranges writes partitions for people: 0-3, 7.
func Ranges(partitions []int32) string {
	var parts []string
	for i := 0; i < len(partitions); {
		j := i
		for j+1 < len(partitions) && partitions[j+1] == partitions[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(partitions[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", partitions[i], partitions[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

// Named is Ranges with the word before it.
func Named(partitions []int32) string {
	if len(partitions) == 1 {
		return fmt.Sprintf("partition %d", partitions[0])
	}
	return "partitions " + Ranges(partitions)
}

// alike collects what is said of partitions, and says it once for all of which it is said.
type alike struct {
	said []string
	of   map[string][]int32
}

func (a *alike) add(partition int32, what string) {
	if a.of == nil {
		a.of = map[string][]int32{}
	}
	if _, ok := a.of[what]; !ok {
		a.said = append(a.said, what)
	}
	a.of[what] = append(a.of[what], partition)
}

func (a *alike) list() []string {
	out := []string{}
	for _, what := range a.said {
		out = append(out, Named(a.of[what])+": "+what)
	}
	return out
}
