package drill

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/comptech-lab/redis-wal/lab/internal/load"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/wal/walclient"
)

func dataDrills() []Drill {
	return []Drill{
		{Name: "clock-off", Fault: "a producer's clock an hour ahead, another's an hour behind; keys with two hours to live", Short: true, Run: clockOff},
		{Name: "big-record", Fault: "a record of 5 MB that compresses to a few KB, from a client that checks nothing", Short: true, Run: bigRecord},
		{
			Name: "short-lives", Fault: "the network between the sites cut for longer than 40 keys had to live; 5 of them were given a longer life meanwhile", Short: true,
			Run: shortLives, End: End{Says: []string{"arrived at dr with their expiry over"}, Differ: "prolonged:"}, Spoils: true,
		},
		{
			Name: "retention-passes", Fault: "the mirror away while retention deletes what it has not carried yet", Short: true,
			Run: retentionPasses, End: End{Check: 1, Lost: -1}, Spoils: true,
		},
	}
}

// other is a client of another make at a site.
func (s *Scene) other(site string, more ...kgo.Opt) (*kgo.Client, error) {
	for _, user := range s.Declared(site).Producers {
		password, err := s.KafkaPassword(site, user)
		if err != nil {
			return nil, err
		}
		opts, err := s.Kafka(site).OptsAs(user, password)
		if err != nil {
			return nil, err
		}
		c, err := kgo.NewClient(append(opts, more...)...)
		if err == nil {
			s.Undo(func() error { c.Close(); return nil })
		}
		return c, err
	}
	return nil, fmt.Errorf("the program of %s declares no producer", site)
}

// clockOff writes with two clocks that are wrong. What is relative counts from the record's timestamp, at both sites alike.
func clockOff(ctx context.Context, s *Scene) error {
	c, err := s.other(s.A)
	if err != nil {
		return err
	}
	s.Fault()
	const life, each = 2 * time.Hour, 20
	for i := range 2 * each {
		at := time.UnixMilli(time.Now().UnixMilli()).Add([]time.Duration{time.Hour, -time.Hour}[i%2])
		key, partitions := "clock:"+strconv.Itoa(i), s.Declared(s.A).Partitions
		err := c.ProduceSync(ctx, &kgo.Record{
			Topic: s.Declared(s.A).Log, Key: []byte(key), Partition: wal.Partition([]byte(key), partitions), Timestamp: at,
			Value: []byte(`{"cmd":["SET","` + key + `","v","EX","7200"]}`),
			Headers: []kgo.RecordHeader{
				{Key: wal.HeaderLocal}, {Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderContentType, Value: []byte(wal.ContentTypeJSON)},
			},
		}).FirstErr()
		if err != nil {
			return err
		}
		expires := strconv.FormatInt(at.Add(life).UnixMilli(), 10)
		s.Load.model <- load.Applied{At: at, Op: load.Op{Direct: func(time.Time) [][]string { return [][]string{{"SET", key, "v", "PXAT", expires}} }}}
	}
	s.Saw("both sites let a key end two hours after its record's timestamp, whatever their own clocks say")
	return nil
}

// bigRecord passes the broker, which sees it compressed, and must not stop an applier or the mirror.
func bigRecord(ctx context.Context, s *Scene) error {
	c, err := s.other(s.A, kgo.ProducerBatchMaxBytes(16<<20), kgo.ProducerBatchCompression(kgo.GzipCompression()))
	if err != nil {
		return err
	}
	s.Fault()
	err = c.ProduceSync(ctx, &kgo.Record{
		Topic: s.Declared(s.A).Log, Key: []byte("big"), Value: []byte(`{"cmd":["SET","big","` + strings.Repeat("x", 5<<20) + `"]}`),
		Headers: []kgo.RecordHeader{
			{Key: wal.HeaderLocal}, {Key: wal.HeaderLevel, Value: []byte("1")}, {Key: wal.HeaderContentType, Value: []byte(wal.ContentTypeJSON)},
		},
	}).FirstErr()
	if err != nil {
		s.Saw("Kafka refused it: %v", err)
		return nil
	}
	s.Saw("Kafka took it")
	return nil
}

// shortLives lets keys end before their records arrive. That is nothing to repair, but for a key that was given a longer life meanwhile: at
// the site where it arrives too late it has ended before that, and stays away. The check says that records came too late.
func shortLives(ctx context.Context, s *Scene) error {
	m := s.Mirror(s.B)
	if err := m.Stop(); err != nil {
		return err
	}
	s.Undo(m.Start)
	s.Fault()
	const life, brief, prolonged = 3 * time.Second, 40, 5
	c, err := s.primary(ctx, s.A)
	if err != nil {
		return err
	}
	for i := range brief {
		key := "brief-life:" + strconv.Itoa(i)
		if i < prolonged {
			key = "prolonged:" + strconv.Itoa(i)
		}
		s.Load.Send(s.A, load.Op{
			Log: wal.Set(key, "v").ExpireAfter(life),
			Direct: func(at time.Time) [][]string {
				return [][]string{{"SET", key, "v", "PXAT", strconv.FormatInt(at.Add(life).UnixMilli(), 10)}}
			},
		})
	}
	for i := range prolonged {
		s.Load.Send(s.A, plain("PERSIST", "prolonged:"+strconv.Itoa(i)))
	}
	if err := s.Last(ctx, life); err != nil {
		return err
	}
	if err := s.until(ctx, "the keys to end at "+s.A, func(ctx context.Context) error { return gone(ctx, c, brief-1) }); err != nil {
		return err
	}
	s.Healed()
	s.Saw("the %d keys that were given a longer life have ended at dr: that is not promised, the check says so", prolonged)
	return m.Start()
}

// gone says whether the last key with a short life was there and has ended.
func gone(ctx context.Context, c redis.Cmdable, last int) error {
	n, err := c.Exists(ctx, "brief-life:"+strconv.Itoa(last), "prolonged:0").Result()
	if err == nil && n != 1 {
		err = fmt.Errorf("%d of the two keys exist, want the prolonged one only", n)
	}
	return err
}

// retentionPasses loses records that the mirror has not carried. It notices nothing, so the appliers and the check must.
func retentionPasses(ctx context.Context, s *Scene) error {
	m := s.Mirror(s.B)
	if err := m.Stop(); err != nil {
		return err
	}
	s.Undo(m.Start)
	var at walclient.Ack
	at, err := s.Load.producers[s.A].Do(ctx, wal.Set("lost", "v"))
	if err != nil {
		return err
	}
	s.Fault()
	if err := s.Last(ctx, calm); err != nil {
		return err
	}
	if err := s.Load.Stop(ctx); err != nil {
		return err
	}
	if err := s.AppliedAt(ctx, s.A); err != nil { // the first site has them: only the mirror is too late
		return err
	}
	if err := DeleteLog(ctx, s.Sites, s.A); err != nil {
		return err
	}
	s.Healed()
	began := time.Now()
	if err := m.Start(); err != nil {
		return err
	}
	_, err = s.Said(ctx, s.B, "diverged", fmt.Sprintf(`"partition":%d`, at.Partition), `"origin":"`+s.A+`"`)
	s.Saw("the appliers of %s named partition and origin after %s", s.B, short(time.Since(began)))
	return err
}
