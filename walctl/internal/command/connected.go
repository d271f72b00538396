package command

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// connected is what the verbs need with which one connects to a site: explain, tail, produce, url and cli.
type connected interface {
	Ends(ctx context.Context) (writer.Ends, error)
	Records(ctx context.Context, partition int32, from, to int64, each func(wal.Record) error) error
	Produce(ctx context.Context, d reach.Data) (reach.Appended, error)
	Ask(ctx context.Context, q reach.Question) (reach.Replied, error)
}

// one runs do with the site that is meant: --site, else the active one.
func (p *program) one(ctx context.Context, do func(s *sites, at Site) error) error {
	s, err := p.sites()
	if err != nil {
		return err
	}
	defer s.close()
	at, err := p.listSite(ctx, s)
	if err != nil {
		return err
	}
	return do(s, at)
}

var errEnough = errors.New("enough was read")

// inLists looks for a record in both lists of a site.
func inLists(ctx context.Context, at Site, is func(*writer.Copy) bool) (list writer.List, found *writer.Copy, err error) {
	for _, list := range []writer.List{writer.Fenced, writer.DLQ} {
		err := at.Copies(ctx, list, func(c writer.Copy) error {
			if is(&c) {
				found = &c
				return errEnough
			}
			return nil
		})
		switch {
		case found != nil:
			return list, found, nil
		case err != nil:
			return "", nil, fmt.Errorf("the list %s of %s: %w", list, at.Identity().Sites.Self, err)
		}
	}
	return "", nil, nil
}

// kubectl is the command line up to `exec` by which a site is reached; nil: it is reached otherwise.
func kubectl(argv []string) []string {
	i := slices.Index(argv, "exec")
	if i < 1 || filepath.Base(argv[0]) != "kubectl" && filepath.Base(argv[0]) != "oc" {
		return nil
	}
	return slices.Clone(argv[:i])
}
