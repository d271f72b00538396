package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/internal/await"
	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/wal"
)

// readAgainWithin is how long after the death of a primary docs/clients.md lets a reader go without an answer.
const readAgainWithin = 30 * time.Second

// arrivesWithin is how long a record may take until readers of both sites find what it wrote.
const arrivesWithin = 30 * time.Second

// client is a program or a library that nobody here wrote, with its examples on the page.
type client struct {
	writes []write
	// reader is the example that reads; empty = none does. With the client's name and the program around the example.
	reader, name string
	program      []string
}

// write is an example that writes.
type write struct {
	example string
	run     func(ctx context.Context, t *testing.T, at *application)
	written []written
}

// written is what a write must have left at both sites.
type written struct {
	key, field string // the field of a hash, or empty
	value      string
	lives      time.Duration // 0 = for ever
}

// read is what a reader is asked.
func (w written) read() string {
	if w.field == "" {
		return "get " + w.key
	}
	return "hget " + w.key + " " + w.field
}

// The examples of docs/clients.md, with clients that nobody here wrote, do what the page says.
func TestClientsOfThePageOnApacheKafka(t *testing.T) {
	needsKafka(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	page := openPage(t)
	clients := []client{goClient(ctx, t, page), pythonClient(t, page), javaClient(ctx, t, page), kcatClient(t, page)}
	s, dir, _ := bringUpForTest(ctx, t, &making{kafka: kafkaReal, mirror: exactlyOnce})
	at := make(map[string]*application)
	for _, site := range s.Names() {
		at[site] = newApplication(t, s, site, filepath.Join(dir, site+"-kafka-ca.crt"))
	}
	producer, operator := at["dc"], operatorOf(t, s, at["dc"])
	for _, a := range []*application{producer, operator} {
		a.example(ctx, t, page, "kcat-config")
	}
	readers := startReaders(ctx, t, clients, at)
	readersMayOnlyRead(ctx, t, readers)
	for _, c := range clients {
		for _, w := range c.writes {
			t.Run(w.example, func(t *testing.T) {
				defer func() {
					if t.Failed() {
						t.Logf("the DLQ lists\n%s", operator.example(ctx, t, page, "kcat-dlq"))
					}
				}()
				w.run(ctx, t, producer)
				for _, want := range w.written {
					tellsPartitionersApart(t, want.key, s.Declared("dc").Partitions)
					arrives(ctx, t, s, readers, want)
				}
			})
		}
	}
	if t.Failed() {
		return // the rest is built on what was written
	}
	t.Run("kcat-delete", func(t *testing.T) {
		producer.example(ctx, t, page, "kcat-delete")
		for _, r := range readers {
			r.sees(ctx, t, "get orders:42", nothing)
		}
	})
	t.Run("kcat-dlq", func(t *testing.T) { whatThePageWarnsOf(ctx, t, page, producer, operator) })
	t.Run("failover", func(t *testing.T) { throughAFailover(ctx, t, s, page, producer, readers) })
	for _, site := range s.Names() {
		if denied, err := s.Kafka(site).Denied(); err != nil || len(denied) > 0 {
			t.Errorf("Kafka of %s denied %v, %v; want nothing denied to anybody", site, denied, err)
		}
	}
	page.allUsed(t)
	converges(ctx, t, s)
}

// readersMayOnlyRead ends the test if one cannot: nothing could be said of the examples that write.
func readersMayOnlyRead(ctx context.Context, t *testing.T, readers []*reader) {
	t.Helper()
	for _, r := range readers {
		r.sees(ctx, t, "get orders:42", nothing)
		if got, err := r.ask("set orders:42"); err != nil || !strings.Contains(got, "NOPERM") && !strings.Contains(got, "NoPermissionError") { // redis-py's word for it
			t.Errorf("%s: a write is answered %q, %v, want NOPERM", r.name, got, err)
		}
	}
}

// tellsPartitionersApart complains about a key that librdkafka's own partitioner puts where the appliers expect it, by chance: its
// example would not need what the page says of partitioners.
func tellsPartitionersApart(t *testing.T, key string, partitions int32) {
	t.Helper()
	if crc32.ChecksumIEEE([]byte(key))%uint32(partitions) == uint32(wal.Partition([]byte(key), partitions)) {
		t.Errorf("CRC32 and murmur2 both put %s into one partition of %d: take another key", key, partitions)
	}
}

// arrives waits until every reader finds what was written, and looks how long it lives.
func arrives(ctx context.Context, t *testing.T, s *sites.Sites, readers []*reader, want written) {
	t.Helper()
	for _, r := range readers {
		r.sees(ctx, t, want.read(), "value: "+want.value)
	}
	for _, site := range s.Names() {
		got, err := primaryOf(ctx, t, s, site).TTL(ctx, want.key).Result()
		if err != nil || want.lives == 0 && got > 0 || want.lives > 0 && (got <= want.lives-10*time.Minute || got > want.lives) {
			t.Errorf("%s: %s lives for %s, %v, want %s", site, want.key, got, err, want.lives)
		}
	}
}

// whatThePageWarnsOf leaves out what the page demands, and finds the records in the DLQ with the page's own command.
func whatThePageWarnsOf(ctx context.Context, t *testing.T, page *page, producer, operator *application) {
	good := page.text(t, "kcat-json")
	want := make(map[string]string)
	for reason, part := range map[string]string{"unmarked": " -H wal-local=1", "wrong-partition": "-X partitioner=murmur2 "} {
		bad := strings.Replace(good, part, "", 1)
		if bad == good {
			t.Fatalf("the example kcat-json has no %q", part)
		}
		producer.shell(ctx, t, "kcat-json without "+part, bad)
		want[reason] = "dlq-reason=" + reason
	}
	soon, cancel := context.WithTimeout(ctx, arrivesWithin)
	defer cancel()
	err := await.True(soon, "the records in the DLQ", func(context.Context) error {
		listed := operator.example(ctx, t, page, "kcat-dlq")
		for _, words := range want {
			if !strings.Contains(listed, words) {
				return fmt.Errorf("no %s in\n%s", words, listed)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// throughAFailover kills the primaries of both sites, and waits for the readers to read what was written since.
func throughAFailover(ctx context.Context, t *testing.T, s *sites.Sites, page *page, producer *application, readers []*reader) {
	began := time.Now()
	for _, site := range s.Names() {
		if _, _, err := s.Redis(site).KillPrimary(ctx); err != nil {
			t.Fatal(err)
		}
	}
	producer.example(ctx, t, page, "kcat-json")
	soon, stop := context.WithDeadline(ctx, began.Add(readAgainWithin))
	defer stop()
	var all sync.WaitGroup
	for _, r := range readers {
		all.Go(func() {
			failed, err := r.await(soon, "get orders:42", "value: paid")
			if err != nil {
				t.Error(err)
				return
			}
			t.Logf("%s: %.1f s and %d errors after the death of the primary it reads what was written since", r.name, time.Since(began).Seconds(), failed)
		})
	}
	all.Wait()
}
