package redisline_test

import (
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/reach"
	"github.com/comptech-lab/redis-wal/walctl/internal/redisline"
)

// As redis-cli 7.0.15 splits them.
func TestSplit(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"":                          "",
		"  \t\r\n":                  "",
		"GET k\n":                   "GET|k",
		"  SET  k   v ":             "SET|k|v",
		`SET k "two words"`:         "SET|k|two words",
		`SET k "a\n\x00\xff\"\\\q"`: "SET|k|a\n\x00\xff\"\\q",
		`SET k 'a\n\'b'`:            `SET|k|a\n'b`,
		`SET k ""`:                  "SET|k|",
		`SET k "\x1"`:               "SET|k|x1",
		`SET k pre"fix"`:            "SET|k|prefix",
	} {
		args, err := redisline.Split(line)
		var got []string
		for _, a := range args {
			got = append(got, string(a))
		}
		if strings.Join(got, "|") != want || err != nil {
			t.Errorf("%q: got %q, %v", line, got, err)
		}
	}
	for _, line := range []string{`SET k "v`, `SET k 'v`, `SET k "v"x`, `SET k "v\"`, `SET k "\x`} {
		if args, err := redisline.Split(line); err == nil {
			t.Errorf("%q: got %q", line, args)
		}
	}
}

// As redis-cli 7.0.15 shows them.
func TestFormat(t *testing.T) {
	t.Parallel()
	text := func(s string) reach.Answer { return reach.Answer{Kind: reach.KindString, Text: []byte(s)} }
	list := func(items ...reach.Answer) reach.Answer { return reach.Answer{Kind: reach.KindArray, Items: items} }
	var ten []reach.Answer
	for range 10 {
		ten = append(ten, reach.Answer{Kind: reach.KindInt, Int: 7})
	}
	ten[8] = list(text("a"), list(), reach.Answer{Kind: reach.KindNil})
	for want, a := range map[string]reach.Answer{
		"OK\n":                           {Kind: reach.KindStatus, Text: []byte("OK")},
		"(error) ERR no\n":               {Kind: reach.KindError, Text: []byte("ERR no")},
		"(integer) -3\n":                 {Kind: reach.KindInt, Int: -3},
		"(nil)\n":                        {Kind: reach.KindNil},
		"(empty array)\n":                list(),
		`"a \"b\" \\ \n\xff\x00"` + "\n": text("a \"b\" \\ \n\xff\x00"),
		"1) \"a\"\n2) 1) \"b\"\n   2) 1) (integer) 0\n3) (nil)\n": list(text("a"), list(text("b"), list(reach.Answer{Kind: reach.KindInt})), reach.Answer{Kind: reach.KindNil}),
		" 1) (integer) 7\n 2) (integer) 7\n 3) (integer) 7\n 4) (integer) 7\n 5) (integer) 7\n 6) (integer) 7\n 7) (integer) 7\n 8) (integer) 7\n" +
			" 9) 1) \"a\"\n    2) (empty array)\n    3) (nil)\n10) (integer) 7\n": list(ten...),
	} {
		if got := redisline.Format(&a); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}
