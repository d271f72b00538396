package drill

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/comptech-lab/redis-wal/lab/internal/sites"
	"github.com/comptech-lab/redis-wal/reach/refill"
)

// The faults of this file leave a log and a Redis that cannot be joined. The partitions must halt, say why and what to do, and touch nothing:
// the data of the site stay as they are, and its peer goes on. Then the remedy is applied. Where it is a new log, the drill ends there.
func haltDrills() []Drill {
	return []Drill{
		{
			Name: "recreated-topic", Fault: "the log of a peer that writes nothing itself deleted and created again; then what the log says: the mirror's offsets deleted, its Redis emptied",
			Quiet: true, Passive: true, Spoils: true, Short: true, Run: rebuilt,
		},
		{
			Name: "recreated-topic-own", Fault: "the log of a peer that writes too deleted and created again: what it appended is in no log any more; then `walctl bootstrap`, and the load again",
			Quiet: true, Spoils: true, Run: recreatedOwn,
		},
		{
			Name: "added-partitions", Fault: "a partition added to the log of the peer", Quiet: true, Spoils: true,
			Run: added, End: End{Halted: "dr", Check: 2},
		},
		{
			Name: "wiped-too-late", Fault: "the peer's log cut by retention, then FLUSHALL at its primary; then `walctl bootstrap` under load", Quiet: true, Spoils: true, Short: true,
			Run: wipedTooLate,
		},
	}
}

// halted waits until all partitions of the site are halted for the reason, and the log has the remedy.
func (s *Scene) halted(ctx context.Context, site, reason, remedy string) error {
	if _, err := s.Said(ctx, site, `"msg":"halted"`, `"reason":"`+reason+`"`, remedy); err != nil {
		return err
	}
	var n int
	err := s.until(ctx, "wal_partition_halted of "+reason, func(ctx context.Context) error {
		n = 0
		for _, p := range s.Pods(site) {
			text, err := get(ctx, p.URL+"/metrics")
			if err != nil {
				return err
			}
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "wal_partition_halted{") && strings.Contains(line, `reason="`+reason+`"`) && strings.HasSuffix(line, " 1\n") {
					n++
				}
			}
		}
		if want := int(s.Declared(site).Partitions); n < want {
			return fmt.Errorf("%d of %d partitions are", n, want)
		}
		return nil
	})
	s.Saw("all partitions of %s halted (`%s`) after %s, the log says what to do: %q", site, reason, short(time.Since(s.fault)), remedy)
	return err
}

func get(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func recreated(ctx context.Context, s *Scene) error {
	if err := s.Mirror(s.B).Stop(); err != nil { // it would fill the new topic before its appliers look
		return err
	}
	s.Fault()
	if err := s.recreate(ctx, s.B); err != nil {
		return err
	}
	return s.halted(ctx, s.B, "topic-id", "delete the mirror's offsets and empty this Redis: it is built from the peer's records; else run `walctl bootstrap`")
}

// recreate deletes a site's log and creates it again, empty.
func (s *Scene) recreate(ctx context.Context, site string) error {
	adm, d := s.Kafka(site).Admin(), s.Declared(site)
	deleted, err := adm.DeleteTopics(ctx, d.Log)
	if err := errors.Join(err, deleted.Error()); err != nil {
		return err
	}
	created, err := adm.CreateTopic(ctx, d.Partitions, -1, nil, d.Log)
	return errors.Join(err, created.Err)
}

// rebuilt does what the log says when all records of the new log are the peer's.
func rebuilt(ctx context.Context, s *Scene) error {
	if err := recreated(ctx, s); err != nil {
		return err
	}
	c, err := s.primary(ctx, s.B)
	if err != nil {
		return err
	}
	if err := s.Mirror(s.B).Rewind(ctx); err != nil {
		return err
	}
	if err := c.FlushAll(ctx).Err(); err != nil {
		return err
	}
	s.Healed()
	return s.Mirror(s.B).Start()
}

// recreatedOwn fills the Redis from the peer. The peer's mirror begins anew with the log that is new.
func recreatedOwn(ctx context.Context, s *Scene) error {
	if err := recreated(ctx, s); err != nil {
		return err
	}
	if err := errors.Join(s.Mirror(s.A).Stop(), s.Mirror(s.A).Rewind(ctx)); err != nil {
		return err
	}
	if err := errors.Join(s.Mirror(s.A).Start(), s.Mirror(s.B).Start()); err != nil {
		return err
	}
	if err := s.Load.open(s.B); err != nil { // a client knows a topic by its id, and does not go on with another one
		return err
	}
	s.Load.Start(ctx)
	return s.bootstrapped(ctx)
}

// bootstrapped fills the peer's Redis from the site's, as walctl bootstrap does.
func (s *Scene) bootstrapped(ctx context.Context) error {
	source, target, end, err := both(s.Sites, s.A, s.B)
	if err != nil {
		return err
	}
	defer end()
	began := time.Now()
	done, err := refill.Run(ctx, target, source, refill.How{Timeout: patience})
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	if done.Already || done.Check.ExitCode() != 0 {
		return fmt.Errorf("after the bootstrap the check says %s", done.Check.Sentence)
	}
	s.Healed()
	s.Saw("`walctl bootstrap` carried %d keys, and the check said converged after %s", done.Keys, short(time.Since(began)))
	return nil
}

func added(ctx context.Context, s *Scene) error {
	d := s.Declared(s.B)
	s.Fault()
	responses, err := s.Kafka(s.B).Admin().CreatePartitions(ctx, 1, d.Log)
	if err := errors.Join(err, responses.Error()); err != nil {
		return err
	}
	return s.halted(ctx, s.B, "partitions", "or move to a new log")
}

// DeleteLog deletes all records of a site's log, as retention does.
func DeleteLog(ctx context.Context, s *sites.Sites, site string) error {
	log := s.Declared(site).Log
	ends, err := s.Kafka(site).Ends(ctx, log)
	if err != nil {
		return err
	}
	offsets := make(kadm.Offsets)
	for p, end := range ends {
		offsets.AddOffset(log, p, end, -1)
	}
	responses, err := s.Kafka(site).Admin().DeleteRecords(ctx, offsets)
	if err := errors.Join(err, responses.Error()); err != nil {
		return fmt.Errorf("delete records of %s at %s: %w", log, site, err)
	}
	return nil
}

func wipedTooLate(ctx context.Context, s *Scene) error {
	c, err := s.primary(ctx, s.B)
	if err != nil {
		return err
	}
	s.Fault()
	if err := DeleteLog(ctx, s.Sites, s.B); err != nil {
		return err
	}
	if err := c.FlushAll(ctx).Err(); err != nil {
		return err
	}
	if err := s.halted(ctx, s.B, "log-start", "fill this Redis from the peer: `walctl bootstrap`"); err != nil {
		return err
	}
	n, err := c.DBSize(ctx).Result()
	if err == nil && n > 0 {
		err = fmt.Errorf("%s holds %d keys, though it must wait for its data", s.B, n)
	}
	if err != nil {
		return err
	}
	s.Load.Start(ctx)
	return s.bootstrapped(ctx)
}
