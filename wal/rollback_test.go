package wal

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A checkpoint outlives the version that wrote it, in both directions: after an upgrade the new version reads what the old one wrote, after a
// rollback the old one what the new one wrote. What follows is a reader of format 1 that never changes. Fields may be added, and it
// leaves them alone; a field that is dropped, renamed or written in another way fails here, and needs a new Format.

// frozenCheckpoint is what format 1 says, in its own words.
type frozenCheckpoint map[string]any

var frozenFields = map[string]func(string) (any, error){
	"next": frozenInt, "leader-epoch": frozenInt, "topic-id": frozenHash, "epoch": frozenEpoch, "root": frozenHash, "sealed": frozenBool, // before the fence always 0
	"n.dc": frozenUint, "h.dc": frozenHash, "f.n.dc": frozenUint, "f.h.dc": frozenHash,
	"n.dr": frozenUint, "h.dr": frozenHash, "f.n.dr": frozenUint, "f.h.dr": frozenHash,
	"refused.n": frozenUint, "refused.h": frozenHash, "expired.n": frozenUint, "ts": frozenInt, "reported": frozenInt,
}

// frozenOptional may be absent.
var frozenOptional = map[string]func(string) (any, error){
	"barriers.dc": frozenRing, "barriers.dr": frozenRing, "repeating.dc": frozenBool, "repeating.dr": frozenBool,
}

func frozenInt(s string) (any, error)  { return strconv.ParseInt(s, 10, 64) }
func frozenUint(s string) (any, error) { return strconv.ParseUint(s, 10, 64) }

func frozenHash(s string) (any, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 16 || s != strings.ToLower(s) {
		return nil, fmt.Errorf("%q: want 32 lower-case hexadecimal digits", s)
	}
	return [16]byte(b), nil
}

func frozenBool(s string) (any, error) {
	if s != "0" && s != "1" {
		return nil, fmt.Errorf("%q: want 0 or 1", s)
	}
	return s == "1", nil
}

func frozenEpoch(s string) (any, error) {
	if s == "none" {
		return [3]string{}, nil
	}
	parts := strings.SplitN(s, ".", 3)
	if len(parts) != 3 {
		return nil, fmt.Errorf("%q: want generation.minor.site", s)
	}
	return [3]string(parts), nil
}

func frozenRing(s string) (any, error) {
	var ring [][4]string
	for item := range strings.SplitSeq(s, " ") {
		parts := strings.Split(item, ":")
		if len(parts) != 4 {
			return nil, fmt.Errorf("%q: want id:number:n:h", item)
		}
		ring = append(ring, [4]string(parts))
	}
	return ring, nil
}

func readFrozen(fields map[string]string) (frozenCheckpoint, error) {
	c := frozenCheckpoint{}
	for name := range fields {
		if site, ok := strings.CutPrefix(name, "n."); ok && site != "dc" && site != "dr" {
			return nil, fmt.Errorf("field %s counts records of a site that is neither", name)
		}
	}
	read := func(name string, parse func(string) (any, error)) (err error) {
		if c[name], err = parse(fields[name]); err != nil {
			return fmt.Errorf("field %s: %w", name, err)
		}
		return nil
	}
	for name, parse := range frozenFields {
		if _, ok := fields[name]; !ok {
			return nil, fmt.Errorf("field %s is missing", name)
		}
		if err := read(name, parse); err != nil {
			return nil, err
		}
	}
	for name, parse := range frozenOptional {
		if _, ok := fields[name]; ok {
			if err := read(name, parse); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// frozenOf says in the words of format 1 what a checkpoint means.
func frozenOf(c Checkpoint) frozenCheckpoint {
	epoch := [3]string{}
	if !c.Epoch.IsNone() {
		epoch = [3]string{strconv.Itoa(int(c.Epoch.Generation)), strconv.Itoa(int(c.Epoch.Minor)), c.Epoch.Site}
	}
	f := frozenCheckpoint{
		"next": c.Next, "leader-epoch": int64(c.LeaderEpoch), "topic-id": [16]byte(c.TopicID), "epoch": epoch, "root": [16]byte(c.Root), "sealed": c.Streams[Local].Sealed || c.Streams[Mirrored].Sealed,
		"refused.n": c.Refused.N, "refused.h": [16]byte(c.Refused.H), "expired.n": c.Expired, "ts": c.Timestamp, "reported": c.Reported,
	}
	for o, site := range map[Origin]string{Local: "dc", Mirrored: "dr"} {
		s := c.Streams[o]
		f["n."+site], f["h."+site], f["f.n."+site], f["f.h."+site] = s.N, [16]byte(s.H), s.FencedN, [16]byte(s.FencedH)
		var ring [][4]string
		for _, m := range c.Barriers[o] {
			ring = append(ring, [4]string{m.ID, strconv.FormatUint(m.Number, 10), strconv.FormatUint(m.N, 10), m.H.String()})
		}
		if ring != nil {
			f["barriers."+site] = ring
		}
		if c.Repeating[o] {
			f["repeating."+site] = true
		}
	}
	return f
}

var frozenSites = Sites{Self: "dc", Peer: "dr"}

func toMap(fields []Field) map[string]string {
	m := map[string]string{}
	for _, f := range fields {
		m[f.Name] = f.Value
	}
	return m
}

// After a rollback the old version reads what this one wrote, and understands the same.
func TestRollbackReadsTheCheckpoint(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := drawCheckpoint(t)
		got, err := readFrozen(toMap(c.Fields(frozenSites)))
		if c.Streams[Local].Sealed || c.Streams[Mirrored].Sealed {
			if err == nil {
				t.Fatal("a version that knows no seal goes on with a stream that is sealed")
			}
			return
		}
		if c.Skip != [2]int64{} {
			if err == nil {
				t.Fatal("a version that knows no bootstrap would apply what is to be skipped")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := frozenOf(c); !reflect.DeepEqual(got, want) {
			t.Errorf("the old version reads\n%v\nand this one wrote\n%v", got, want)
		}
	})
}

// An applier updates only the fields that a batch changes, so the two ways of writing must agree: what Fields names is what AppendValues writes.
func TestPositionFieldsAreThoseOfTheCheckpoint(t *testing.T) {
	t.Parallel()
	c := Checkpoint{Position: Position{Next: 1}}
	values, fields := c.AppendValues(nil, frozenSites), toMap(c.Fields(frozenSites))
	for i, name := range PositionFields(frozenSites) {
		if fields[name] != values[i] {
			t.Errorf("field %s: got %q, want %q", name, values[i], fields[name])
		}
	}
}

// After an upgrade this version reads what the old one wrote. The file holds keys as an applier of format 1 left them; it is never written anew.
func TestUpgradeReadsTheCheckpoint(t *testing.T) {
	t.Parallel()
	keys := readKeys(t, "testdata/frozen/checkpoint-1.txt")
	for key, fields := range keys {
		switch {
		case key == MetaKey("redis-writes"):
			m, err := ParseMeta(fields)
			if err != nil || m.Partitions != 12 || m.TopicID.String() != "0102030405060708090a0b0c0d0e0f10" {
				t.Errorf("%s: got %+v, %v", key, m, err)
			}
		case strings.HasSuffix(key, ":producers"):
			for id, text := range fields {
				p, err := ParseProducer(text, frozenSites)
				if err != nil {
					t.Errorf("%s: %s: %v", key, id, err)
				}
				if got := string(p.AppendText(nil, frozenSites)); got != text {
					t.Errorf("%s: %s: got %q, want %q", key, id, got, text)
				}
			}
		default:
			c, err := ParseCheckpoint(fields, frozenSites)
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			want, err := readFrozen(fields)
			if err != nil {
				t.Fatalf("%s: %v", key, err)
			}
			if got := frozenOf(c); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got\n%v\nwant\n%v", key, got, want)
			}
			// A later version may have added what this one does not know.
			more := maps.Clone(fields)
			more["added-later"], more["barriers.xx"], more["window"] = "1", "", "?"
			if again, err := ParseCheckpoint(more, frozenSites); err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("%s: with fields of a later version: got %v, %v", key, again, err)
			}
			for name := range frozenFields { // but nothing is guessed that is missing
				less := maps.Clone(fields)
				delete(less, name)
				if _, err := ParseCheckpoint(less, frozenSites); err == nil {
					t.Errorf("%s: without the field %s: got no error", key, name)
				}
			}
		}
	}
	if len(keys) != 5 {
		t.Errorf("got %d keys", len(keys))
	}
}

// readKeys reads a file of hashes: a line with a key, then lines with a field, a blank and its value.
func readKeys(t testing.TB, file string) map[string]map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	keys, key := map[string]map[string]string{}, ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if name, value, ok := strings.Cut(strings.TrimPrefix(line, "\t"), " "); ok && strings.HasPrefix(line, "\t") {
			keys[key][name] = value
		} else if line != "" && !strings.HasPrefix(line, "#") {
			key = line
			keys[key] = map[string]string{}
		}
	}
	return keys
}

// The meta of this version is that of format 1.
func TestRollbackReadsTheMeta(t *testing.T) {
	t.Parallel()
	got := toMap(Meta{TopicID: TopicID{15: 1}, Partitions: 12}.Fields())
	for name, want := range map[string]string{"topic-id": "00000000000000000000000000000001", "partitions": "12", "format": "1"} {
		if got[name] != want {
			t.Errorf("field %s: got %q, want %q", name, got[name], want)
		}
	}
}

// After a rollback the old version reads the windows of repeats that this one wrote. It refuses words that it does not know, because they may
// decide what is executed: nothing can be added here without a new Format.
func TestRollbackReadsTheWindows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := Producer{Last: rapid.Int64Min(0).Draw(t, "last")}
		want := map[string][]uint64{}
		for name, w := range map[string]*Window{"seen.dc": &p.Seen[Local], "seen.dr": &p.Seen[Mirrored], "applied": &p.Applied} {
			met := map[uint64]bool{}
			for _, seq := range rapid.SliceOfN(rapid.Int64Range(0, 1500), 0, 40).Draw(t, name) {
				w.Meet(seq)
				met[uint64(seq)] = true
			}
			if w.next == 0 {
				continue
			}
			for seq := range met {
				if w.next-seq <= WindowSize {
					want[name] = append(want[name], seq)
				}
			}
		}
		words := strings.Split(string(p.AppendText(nil, frozenSites)), " ")
		if words[0] != "last="+strconv.FormatInt(p.Last, 10) || len(words) != 1+len(want) {
			t.Fatalf("got %q", words)
		}
		for _, word := range words[1:] {
			name, text, _ := strings.Cut(word, "=")
			got, err := readFrozenWindow(text)
			if err != nil {
				t.Fatalf("%s: %v", word, err)
			}
			for _, seq := range want[name] {
				if !got[seq] {
					t.Errorf("%s: sequence %d is not in it", word, seq)
				}
				delete(got, seq)
			}
			// A sequence that fell below a former window may be remembered or not; one that was never met must not be.
			for seq := range got {
				t.Errorf("%s: sequence %d was never met", word, seq)
			}
		}
	})
}

// readFrozenWindow reads highest/run, or highest:bits in base64 with the highest sequence first.
func readFrozenWindow(text string) (map[uint64]bool, error) {
	i := strings.IndexAny(text, "/:")
	if i < 0 {
		return nil, fmt.Errorf("%q: neither highest/run nor highest:bits", text)
	}
	high, err := strconv.ParseUint(text[:i], 10, 64)
	if err != nil {
		return nil, err
	}
	met := map[uint64]bool{}
	if text[i] == '/' {
		run, err := strconv.ParseUint(text[i+1:], 10, 64)
		for k := range run {
			met[high-k] = true
		}
		return met, err
	}
	bits, err := base64.RawStdEncoding.DecodeString(text[i+1:])
	for k := range uint64(8 * len(bits)) {
		if bits[k/8]&(0x80>>(k%8)) != 0 {
			met[high-k] = true
		}
	}
	return met, err
}
