// Package source tells which commit is built.
package source

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// URL is where the source lives.
const URL = "https://github.com/comptech-lab/redis-wal"

// Source is the commit that a release is built of.
type Source struct {
	Version  string    // the tag at the commit, as "v1.2.3"; without one what `git describe` says
	Revision string    // the commit, 40 hex digits
	Time     time.Time // of the commit, UTC, whole seconds; SOURCE_DATE_EPOCH, if it is set, instead. Every file of a release bears it
	Tagged   bool      // Version is a tag at this very commit
	Clean    bool      // the files are those of the commit, and no others
}

// Read asks git about the work tree at root. version replaces what git says, unless it is empty.
func Read(ctx context.Context, root, version string) (Source, error) {
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("git %s: %w (a release is made in a clone, with its tags)", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	revision, err := git("rev-parse", "HEAD")
	if err != nil {
		return Source{}, err
	}
	at := os.Getenv("SOURCE_DATE_EPOCH")
	if at == "" {
		if at, err = git("show", "-s", "--format=%ct", "HEAD"); err != nil {
			return Source{}, err
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return Source{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s: want seconds since 1970", at)
	}
	changed, err := git("status", "--porcelain")
	if err != nil {
		return Source{}, err
	}
	if version == "" {
		if version, err = git("describe", "--tags", "--always", "--dirty"); err != nil {
			return Source{}, err
		}
	}
	tags, err := git("tag", "--points-at", "HEAD")
	if err != nil {
		return Source{}, err
	}
	s := Source{Version: version, Revision: revision, Time: time.Unix(seconds, 0).UTC(), Clean: changed == ""}
	for tag := range strings.FieldsSeq(tags) {
		s.Tagged = s.Tagged || tag == version
	}
	return s, nil
}
