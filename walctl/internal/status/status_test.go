package status_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/internal/golden"
	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
	"github.com/comptech-lab/redis-wal/writer"
)

const partitions = 4

var (
	now   = time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	names = [2]string{"dc", "dr"}
	epoch = wal.Epoch{Minor: 3, Site: "dc"}
	topic = [2]wal.TopicID{{1}, {2}}
)

// world is what the golden files begin with: two sites that are well. Each test changes something.
type world struct {
	facts   status.Facts
	epoch   wal.Epoch
	n       [2]uint64 // records of each origin, counted everywhere
	attests func(site int, a *wal.Attestation) bool
	stream  func(site int, partition int32, streams map[string]wal.StreamState)
}

func ago(d time.Duration) int64 { return now.Add(-d).UnixMilli() }

func (w *world) streams(site int, p int32) map[string]wal.StreamState {
	s := map[string]wal.StreamState{}
	for i, name := range names {
		s[name] = wal.StreamState{N: w.n[i], H: wal.Hash{byte(w.n[i])}}
	}
	if w.stream != nil {
		w.stream(site, p, s)
	}
	return s
}

// build makes the facts: three barriers of each origin in each partition, attested by both, and what else a healthy site says.
func (w *world) build() status.Facts {
	w.facts.Now = now
	var heard []wal.Attestation
	for barrier := range 3 {
		at := 25*time.Second - time.Duration(barrier)*10*time.Second
		for origin := range names {
			for p := range int32(partitions) {
				for site := range names {
					a := wal.Attestation{
						Version: 1, Site: names[site], Partition: p, TopicID: topic[site], Offset: 5000 + 10*int64(barrier) + int64(origin), Epoch: w.epoch,
						Barrier: wal.AttestedBarrier{Origin: names[origin], Number: uint64(barrier + 7), ID: fmt.Sprint(names[origin], p, barrier), Time: ago(at)},
						Streams: w.streams(site, p), Time: ago(at - 300*time.Millisecond),
					}
					if w.attests == nil || w.attests(site, &a) {
						heard = append(heard, a)
					}
				}
			}
		}
	}
	for site := range names {
		a := &w.facts.Sites[site]
		*a = status.Answers{
			Name:     names[site],
			Identity: &writer.Identity{Sites: wal.Sites{Self: names[site], Peer: names[1-site]}, Log: "redis-writes", Partitions: partitions},
			Heard:    heard, Ends: &writer.Ends{TopicID: topic[site]}, Fenced: &status.Count{}, DLQ: &status.Count{},
			Redis: &reach.Redis{
				Primary: fmt.Sprintf("10.%d.0.5:6379", site), Agreed: true, Version: "7.0.15", UsedMemory: 3 << 30, MaxMemory: 8 << 30,
				Replicas: []reach.Replica{{Addr: fmt.Sprintf("10.%d.0.6:6379", site), LinkUp: true, Lag: 812}},
			},
		}
		for p := range int32(partitions) {
			a.Ends.Start, a.Ends.End = append(a.Ends.Start, 1000), append(a.Ends.End, 5030)
			a.Oldest = append(a.Oldest, ago(47*time.Hour))
			c := &wal.Checkpoint{Position: wal.Position{Next: 5030, TopicID: topic[site], Epoch: w.epoch, Timestamp: ago(time.Second)}}
			sites := wal.Sites{Self: names[site], Peer: names[1-site]}
			for _, o := range wal.Origins {
				c.Streams[o] = wal.Stream(w.streams(site, p)[sites.Name(o)])
			}
			a.Redis.Checkpoints = append(a.Redis.Checkpoints, c)
		}
	}
	return w.facts
}

func healthy() *world { return &world{epoch: epoch, n: [2]uint64{4000, 0}} }

// silent takes a site's answers away.
func silent(f *status.Facts, site int) {
	f.Sites[site] = status.Answers{Name: names[site], Silent: []string{names[site] + " is not reached: no answer within 5s"}}
}

func halted(site int, p int32) wal.Attestation {
	at := (&wal.Position{Next: 5003, TopicID: topic[site], Epoch: epoch}).AttestHalt(wal.Sites{Self: names[site], Peer: names[1-site]}, p, wal.AttestedHalt{
		Reason: "gap", Error: "3 records were deleted before they were applied", Remedy: "fill this Redis from the peer: `walctl bootstrap`", Since: ago(5 * time.Minute),
	})
	at.Time = ago(4 * time.Second)
	return at
}

func TestModel(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func() (f status.Facts, exit int){
		"healthy": func() (status.Facts, int) { return healthy().build(), 0 },
		"taken over, unheard": func() (status.Facts, int) {
			f := healthy().build()
			for _, c := range f.Sites[1].Redis.Checkpoints {
				c.Epoch = wal.Epoch{Generation: 1, Site: "dr"}
			}
			return f, 1
		},
		"taken over, unsettled": func() (status.Facts, int) {
			w := healthy()
			w.epoch = wal.Epoch{Generation: 1, Site: "dr"}
			f := w.build()
			f.Sites[0].Redis.Checkpoints[2].Root = wal.Hash{7}
			return f, 1
		},
		"drilled": func() (status.Facts, int) {
			f := healthy().build()
			activate := func(minor uint32, site, reason string, d time.Duration) writer.Activated {
				return writer.Activated{ID: reason, Epoch: wal.Epoch{Minor: minor, Site: site}, Reason: reason, Time: ago(d)}
			}
			back := activate(3, "dc", "drill X2: back to dc, smoke test passed: monthly", 29*time.Hour)
			f.Sites[0].Activates = []writer.Activated{back, activate(2, "dr", "drill X2: dc to dr: monthly", 29*time.Hour+4200*time.Millisecond)}
			f.Sites[1].Activates = []writer.Activated{back, activate(1, "dc", "drill X1: back to dc, smoke test failed", 700*time.Hour)} // each has read some
			return f, 0
		},
		"no epoch yet": func() (status.Facts, int) {
			w := &world{n: [2]uint64{4000, 70}}
			f := w.build()
			for i := range f.Sites {
				f.Sites[i].Ends.Start = []int64{0, 0, 0, 0}
			}
			return f, 0
		},
		"one site silent": func() (status.Facts, int) {
			w := healthy()
			f := w.build()
			silent(&f, 0)
			return f, 2
		},
		"one site gone": func() (status.Facts, int) {
			w := healthy()
			f := w.build()
			silent(&f, 0)
			f.Now = now.Add(4 * time.Minute)
			for p := range int32(partitions) { // dr goes on
				f.Sites[1].Heard = append(f.Sites[1].Heard, wal.Attestation{
					Version: 1, Site: "dr", Partition: p, TopicID: topic[1], Offset: 6000, Epoch: epoch, Time: f.Now.UnixMilli() - 2000,
					Barrier: wal.AttestedBarrier{Origin: "dr", Number: 20, ID: fmt.Sprint("later", p), Time: f.Now.UnixMilli() - 2100}, Streams: w.streams(1, p),
				})
			}
			return f, 1
		},
		"no site answers": func() (status.Facts, int) {
			f := healthy().build()
			silent(&f, 0)
			silent(&f, 1)
			return f, 2
		},
		"diverged": func() (status.Facts, int) {
			w := healthy()
			w.stream = func(site int, p int32, s map[string]wal.StreamState) {
				if site == 1 && p == 2 {
					s["dc"] = wal.StreamState{N: w.n[0] - 1, H: wal.Hash{9}}
				}
			}
			return w.build(), 1
		},
		"sealed half-way": func() (status.Facts, int) {
			w := healthy()
			w.stream = func(_ int, p int32, s map[string]wal.StreamState) {
				if p < 2 {
					s["dc"] = wal.StreamState{N: w.n[0], H: wal.Hash{byte(w.n[0])}, Sealed: true}
				}
			}
			f := w.build()
			for i := range f.Sites {
				c := f.Sites[i].Redis.Checkpoints[3]
				c.Epoch = wal.Epoch{Minor: 4, Site: "dr"}
			}
			f.Sites[1].Fenced = &status.Count{N: 17}
			return f, 1
		},
		"halted": func() (status.Facts, int) {
			w := healthy()
			w.attests = func(site int, a *wal.Attestation) bool { return site == 0 || a.Partition != 1 || a.Barrier.Number == 7 }
			f := w.build()
			f.Sites[1].Redis.Checkpoints[1].Next = 5003
			for i := range f.Sites {
				f.Sites[i].Heard = append(f.Sites[i].Heard, halted(1, 1))
			}
			return f, 1
		},
		"behind": func() (status.Facts, int) {
			w := healthy()
			// Nothing of dc has arrived at dr for more than a minute.
			w.attests = func(site int, a *wal.Attestation) bool {
				a.Barrier.Time -= 90_000
				if a.Barrier.Number == 7 {
					a.Streams["dc"] = wal.StreamState{N: 3200, H: wal.Hash{7}}
				}
				return site == 0 || a.Barrier.Origin == "dr" || a.Barrier.Number == 7
			}
			w.stream = func(site int, _ int32, s map[string]wal.StreamState) {
				if site == 1 {
					s["dc"] = wal.StreamState{N: 3200, H: wal.Hash{7}}
				}
			}
			f := w.build()
			f.Sites[0].Oldest = []int64{ago(4 * time.Hour), ago(47 * time.Hour), ago(47 * time.Hour), ago(47 * time.Hour)}
			dr := &f.Sites[1]
			dr.Redis.UsedMemory = dr.Redis.MaxMemory * 95 / 100
			dr.Redis.Replicas = append(dr.Redis.Replicas, reach.Replica{Addr: "10.1.0.7:6379"})
			dr.Redis.Checkpoints[2].Next -= 20
			dr.Redis.Checkpoints[2].Timestamp = ago(130 * time.Second)
			dr.DLQ, dr.Fenced = &status.Count{N: 5000, More: true}, nil
			dr.Silent = []string{"dr: fenced records: topic redis-writes.fenced: not authorized"}
			return f, 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, exit := make()
			m := status.Judge(f)
			if m.Exit != exit {
				t.Errorf("got exit %d, want %d", m.Exit, exit)
			}
			golden.Compare(t, "testdata/"+name+".txt", m.Text())
			b, err := json.MarshalIndent(m, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, "testdata/"+name+".json", string(b)+"\n")
		})
	}
}
