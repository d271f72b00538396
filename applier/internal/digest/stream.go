package digest

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/wal"
)

// stream is entries in order, what the stream says of itself, and its groups with what is pending in them. Times of deliveries are left out: they are
// the clock of one server.
type stream struct {
	r       *Reader
	key     string
	entries *redis.Cmd
	info    *redis.Cmd
	groups  *redis.Cmd
	sum     wal.Count
}

func (s *stream) first(ctx context.Context, p redis.Pipeliner) {
	s.entries = s.rangeFrom(ctx, p, "-")
	s.info = p.Do(ctx, "XINFO", "STREAM", s.key)
	s.groups = p.Do(ctx, "XINFO", "GROUPS", s.key)
}

type doer interface {
	Do(ctx context.Context, args ...any) *redis.Cmd
}

func (s *stream) rangeFrom(ctx context.Context, d doer, from string) *redis.Cmd {
	return d.Do(ctx, "XRANGE", s.key, from, "+", "COUNT", chunk)
}

func (s *stream) finish(ctx context.Context) (wal.DigestType, wal.Hash, error) {
	err := s.head(s.info)
	if err == nil {
		err = s.all(ctx)
	}
	if err == nil {
		err = s.allGroups(ctx)
	}
	return wal.DigestStream, s.r.hash.value(wal.DigestStream, s.sum), err
}

// add hashes parts under a tag.
func (s *stream) add(tag byte, parts ...string) {
	b := make([][]byte, len(parts))
	for i, p := range parts {
		b[i] = []byte(p)
		s.r.bytes += len(p)
	}
	s.sum = s.sum.Add(s.r.hash.sum128(tag, b...))
}

func (s *stream) head(cmd *redis.Cmd) error {
	info, err := cmd.Slice()
	if err != nil {
		return err
	}
	parts := pick(info, "length", "last-generated-id", "max-deleted-entry-id", "entries-added")
	s.add(tagHead, parts...)
	return nil
}

// pick are the values of some fields of an answer of XINFO, in the order of the names; those that it does not have are empty.
func pick(info []any, names ...string) []string {
	out := make([]string, len(names))
	for i := 0; i+1 < len(info); i += 2 {
		if n := slices.Index(names, fmt.Sprint(info[i])); n >= 0 {
			out[n] = fmt.Sprint(info[i+1])
		}
	}
	return out
}

func (s *stream) all(ctx context.Context) error {
	since := s.r.bytes
	for cmd := s.entries; ; {
		entries, err := cmd.Slice()
		if err != nil {
			return err
		}
		last := ""
		for _, e := range entries {
			pair, ok := e.([]any)
			if !ok || len(pair) != 2 {
				return fmt.Errorf("XRANGE: %T in place of an entry", e)
			}
			fields, _ := pair[1].([]any)
			last = fmt.Sprint(pair[0])
			parts := []string{last}
			for _, f := range fields {
				parts = append(parts, fmt.Sprint(f))
			}
			s.add(tagElement, parts...)
		}
		if len(entries) < chunk {
			return nil
		}
		if err := s.r.over(since); err != nil {
			return err
		}
		cmd = s.rangeFrom(ctx, s.r.redis, "("+last)
	}
}

func (s *stream) allGroups(ctx context.Context) error {
	groups, err := s.groups.Slice()
	if err != nil {
		return err
	}
	for _, g := range groups {
		info, _ := g.([]any)
		parts := pick(info, "name", "last-delivered-id", "entries-read", "pending", "consumers")
		s.add(tagGroup, parts...)
		if parts[3] != "0" {
			if err := s.pending(ctx, parts[0]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stream) pending(ctx context.Context, group string) error {
	for from := "-"; ; {
		list, err := s.r.redis.Do(ctx, "XPENDING", s.key, group, from, "+", chunk).Slice()
		if err != nil {
			return err
		}
		for _, e := range list {
			item, ok := e.([]any) // id, consumer, idle, deliveries
			if !ok || len(item) != 4 {
				return fmt.Errorf("XPENDING: %T in place of an entry", e)
			}
			s.add(tagGroup, group, fmt.Sprint(item[0]), fmt.Sprint(item[1]), fmt.Sprint(item[3]))
			from = "(" + fmt.Sprint(item[0])
		}
		if len(list) < chunk {
			return nil
		}
	}
}
