package wal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/internal/golden"
)

// What a level decides is fixed for ever: records of it stand in logs, and one site may be upgraded weeks before the other.

// decision says in a line what is decided of a record: what both sites must have alike.
func decision(x Executable, err error) string {
	if p, ok := errors.AsType[*PoisonError](err); ok {
		return "poison " + string(p.Reason)
	}
	if h, ok := errors.AsType[*HaltError](err); ok {
		return "halt " + h.Reason
	}
	return fmt.Sprintf("execute %d until %d: %q", x.Commands, x.ExpireAt, x.Wire)
}

func digest(parts ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return fmt.Sprintf("%x", sum[:8])
}

// The vectors of level 1 and what they are decided to be may not change, only become more. `go test ./wal -run TestLevel1IsFrozen -update` adds new
// vectors to the file; it changes no line of it.
func TestLevel1IsFrozen(t *testing.T) {
	t.Parallel()
	const file = "testdata/frozen/level-1.txt"
	now := map[string]string{} // by vector
	var names []string
	for _, v := range opVectors(t) {
		if v.Level != 1 {
			continue
		}
		var d Decoder
		x, err := d.Decode(1, v.Key, v.Value, v.ContentType, v.Timestamp)
		name := v.file + "\t" + v.Name
		if now[name] != "" {
			t.Errorf("two vectors have the name %s", name)
		}
		record := digest(v.Key == nil, []byte(v.Key), v.Value == nil, []byte(v.Value), v.ContentType, v.Timestamp)
		now[name] = record + "\t" + digest(decision(x, err))
		names = append(names, name)
	}
	b, err := os.ReadFile(file)
	if err != nil && !golden.Updating() {
		t.Fatal(err)
	}
	frozen := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		name := words[0] + "\t" + words[1]
		frozen[name] = true
		if got, want := now[name], words[2]+"\t"+words[3]; got != want {
			t.Errorf("%s: got record and decision %q, frozen are %q: records of level 1 are in logs already, so a new rule needs a new level", name, got, want)
		}
	}
	for _, name := range names {
		if frozen[name] {
			continue
		}
		if !golden.Updating() {
			t.Errorf("%s: this vector is new; freeze it with -update", name)
		}
		b = fmt.Appendf(b, "%s\t%s\n", name, now[name])
	}
	if golden.Updating() {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The table's rows of level 1 may neither change nor become more: a command that was none in level 1 is poison there for ever. Rows that refuse
// may come, with their reason; what they refuse was poison before. The file is written anew by nothing.
func TestTableOfLevel1IsFrozen(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/frozen/table-1.txt")
	if err != nil {
		t.Fatal(err)
	}
	frozen := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		frozen[name] = rest
	}
	for _, row := range rows(commands) {
		got := fmt.Sprintf("arity %d, keys %d %d %d, rule %t", row.arity, row.keys.first, row.keys.last, row.keys.step, row.rule != nil)
		if row.refused != "" || row.level > 1 {
			got = "refused"
		}
		want, known := frozen[row.name]
		delete(frozen, row.name)
		switch {
		case known && got != want:
			t.Errorf("%s: got %s, frozen is %s; a change needs a new level", row.name, got, want)
		case !known && got != "refused":
			t.Errorf("%s\t%s: allowed at level 1, and was not; it needs a higher level", row.name, got)
		}
	}
	for name := range frozen {
		t.Errorf("%s: the row is gone", name)
	}
}

// A version that knows higher levels judges the records of level 1 as the version did that knew level 1 only, whatever else stands
// between them: the rows of the table that came later, and what was judged by them, make no difference.
func TestHigherLevelsDoNotChangeLowerOnes(t *testing.T) {
	t.Parallel()
	const later = 9 // a level at which every row of the table is in force
	vectors := opVectors(t)
	var alone, among Decoder
	between := 0
	for i, v := range vectors {
		if v.Level != 1 {
			continue
		}
		want := decision(alone.Decode(1, v.Key, v.Value, v.ContentType, v.Timestamp))
		// Another record comes first, of the later level.
		other := vectors[(7*i+3)%len(vectors)]
		if _, err := among.decode(later, other.Key, other.Value, other.ContentType, other.Timestamp); err == nil {
			between++
		}
		x, poison := among.decode(1, v.Key, v.Value, v.ContentType, v.Timestamp)
		err := error(nil)
		if poison != nil {
			err = poison
		}
		if got := decision(x, err); got != want {
			t.Errorf("%s/%s: got %s, want %s", v.file, v.Name, got, want)
		}
	}
	if between == 0 {
		t.Error("no record of the later level was allowed, so this test shows nothing")
	}
	for _, row := range rows(commands) {
		if row.level <= 1 || row.refused != "" {
			continue
		}
		args := [][]byte{[]byte(row.name)}
		for len(args) < max(row.arity, -row.arity) {
			args = append(args, []byte("k"))
		}
		j := opJudge{level: 1, timestamp: testTime, args: args}
		if err := j.command(); err == nil || err.Reason != ReasonForbiddenCommand {
			t.Errorf("%s, of level %d: got %v at level 1, want it forbidden, as it was before the row came", row.name, row.level, err)
		}
		j = opJudge{level: later, timestamp: testTime, args: args}
		if err := j.command(); err != nil {
			t.Errorf("%s: got %v at level %d; the row is not in force where it should be", row.name, err, later)
		}
	}
}
