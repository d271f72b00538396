package reach

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
)

// ReaderUser is the Redis user of applications that read.
const ReaderUser = "reader"

// Rights are what a [Question] may do.
type Rights string

// The rights, each with those before it.
const (
	AsReader  Rights = ""           // what the ACL of [ReaderUser] allows
	AsAdmin   Rights = "admin"      // what the appliers' user may do, but for writing
	BypassLog Rights = "bypass-log" // what the appliers' user may do. What it writes is not in the log, so that the sites differ
)

// Question is a command for the primary.
type Question struct {
	Args   [][]byte // its name, and what follows
	Rights Rights
}

// Kind is what an [Answer] is.
type Kind string

// The kinds, as RESP2 has them.
const (
	KindStatus Kind = "status"
	KindError  Kind = "error"
	KindInt    Kind = "int"
	KindString Kind = "string"
	KindNil    Kind = "nil"
	KindArray  Kind = "array"
)

// Answer is what Redis answered.
type Answer struct {
	Kind  Kind     `json:"kind"`
	Text  []byte   `json:"text,omitempty"` // of a status, an error, a string
	Int   int64    `json:"int,omitempty"`
	Items []Answer `json:"items,omitempty"`
}

// Replied is what a primary answered.
type Replied struct {
	Primary string `json:"primary"` // host:port
	Answer  Answer `json:"answer"`
}

// ErrForbidden says that a [Question] may not be asked with its rights, or has not one answer that could be carried.
var ErrForbidden = errors.New("forbidden")

// forbidden is an [ErrForbidden] that says why, and what to do.
type forbidden struct{ why string }

func forbid(format string, args ...any) error { return &forbidden{fmt.Sprintf(format, args...)} }

func (e *forbidden) Error() string { return e.why }

func (e *forbidden) Unwrap() error { return ErrForbidden }

// maxAnswer bounds an answer, in bytes of RESP: it goes over the wire as one line.
const maxAnswer = 2 << 20

// connectionCommands change the connection, or make it one of many answers. Each question has a connection of its own, and one answer.
func connectionCommand(name string) bool {
	return slices.Contains([]string{
		"subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe", "monitor", "sync", "psync", "replconf",
		"hello", "auth", "select", "reset", "quit", "multi", "exec", "discard", "watch", "unwatch", "asking", "readonly", "readwrite",
		"client|reply", "client|tracking", "client|caching", "client|no-evict", "client|no-touch", "client|setname", "client|setinfo",
	}, name)
}

// Ask implements [Site].
func (d *Direct) Ask(ctx context.Context, q Question) (Replied, error) {
	if len(q.Args) == 0 {
		return Replied{}, forbid("a command has a name")
	}
	named, err := d.redis.Ask(ctx)
	if err != nil {
		return Replied{}, fmt.Errorf("redis of %s: %w", d.self(), err)
	}
	out := Replied{Primary: named.Primary}
	conn, err := d.redis.Dial(ctx, named.Primary)
	if err != nil {
		return out, fmt.Errorf("redis %s of %s: %w", named.Primary, d.self(), err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() { stop(); _ = conn.Close() }()
	c := &asker{conn, bufio.NewReader(conn)}
	if err := c.allow(q); err != nil {
		if errors.Is(err, ErrForbidden) {
			return out, err
		}
		return out, fmt.Errorf("redis %s of %s: %w", named.Primary, d.self(), orCause(ctx, err))
	}
	if out.Answer, err = c.ask(q.Args...); err != nil {
		return out, fmt.Errorf("redis %s of %s: %w", named.Primary, d.self(), orCause(ctx, err))
	}
	return out, nil
}

// orCause is why ctx ended, if it did: the connection was closed for that.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// asker asks over one connection.
type asker struct {
	net.Conn
	in *bufio.Reader
}

// allow refuses a question for which it has no rights, or to which there is not one answer.
func (c *asker) allow(q Question) error {
	name := strings.ToLower(string(q.Args[0]))
	full := name
	if len(q.Args) > 1 {
		full = name + "|" + strings.ToLower(string(q.Args[1]))
	}
	if connectionCommand(name) || connectionCommand(full) {
		return forbid("%s changes its connection, or gets more than one answer: each command here has a connection of its own. Use redis-cli for it", strings.ReplaceAll(full, "|", " "))
	}
	if q.Rights == AsReader {
		return c.reader(q.Args)
	}
	if q.Rights != AsAdmin && q.Rights != BypassLog {
		return forbid("%q are no rights that this redis-applier knows; upgrade it", q.Rights)
	}
	if q.Rights == BypassLog {
		return nil
	}
	writes, err := c.writes(name, full)
	if err != nil {
		return err
	}
	if writes {
		return forbid("%s may write, and what it writes is not in the log: the sites would differ. `walctl produce` writes through the log", strings.ToUpper(name))
	}
	return nil
}

// reader has Redis itself say whether the reader may ask.
func (c *asker) reader(args [][]byte) error {
	a, err := c.ask(append([][]byte{[]byte("ACL"), []byte("DRYRUN"), []byte(ReaderUser)}, args...)...)
	if err != nil {
		return err
	}
	text := string(a.Text)
	switch {
	case a.Kind == KindStatus && text == "OK":
		return nil
	case a.Kind == KindError && strings.Contains(text, "User '"+ReaderUser+"' not found"):
		return forbid("this Redis has no user %s, by whose rights commands are judged; ask with the rights of the appliers (--admin)", ReaderUser)
	case a.Kind == KindError:
		return forbid("Redis cannot tell whether the user %s may do that: %s", ReaderUser, strings.TrimPrefix(text, "ERR "))
	}
	return forbid("the user %s may not do that: %s", ReaderUser, text)
}

// writes reports whether a command may change data, as Redis says it of its commands. What Redis does not know it refuses itself.
func (c *asker) writes(name, full string) (bool, error) {
	if slices.Contains([]string{"debug", "replicaof", "slaveof", "module", "pfcount"}, name) { // Redis does not say it of these; PFCOUNT writes what it has counted
		return true, nil
	}
	for _, n := range []string{full, name} {
		a, err := c.ask([]byte("COMMAND"), []byte("INFO"), []byte(n))
		if err != nil {
			return false, err
		}
		if a.Kind != KindArray || len(a.Items) != 1 || len(a.Items[0].Items) < 3 {
			continue // such as a key in place of a subcommand
		}
		info := a.Items[0].Items
		has := func(list Answer, word string) bool {
			return slices.ContainsFunc(list.Items, func(a Answer) bool { return string(a.Text) == word })
		}
		script := len(info) > 6 && has(info[6], "@scripting") && has(info[2], "movablekeys") && !has(info[2], "readonly") // what it does, only it knows
		return has(info[2], "write") || script, nil
	}
	return false, nil
}

// ask sends a command, and reads its answer.
func (c *asker) ask(args ...[]byte) (Answer, error) {
	b := append(strconv.AppendInt([]byte{'*'}, int64(len(args)), 10), "\r\n"...)
	for _, arg := range args {
		b = append(strconv.AppendInt(append(b, '$'), int64(len(arg)), 10), "\r\n"...)
		b = append(append(b, arg...), "\r\n"...)
	}
	if _, err := c.Write(b); err != nil {
		return Answer{}, err
	}
	left := maxAnswer
	return readAnswer(c.in, &left)
}

// readAnswer reads an answer in RESP2 of at most so many bytes.
func readAnswer(in *bufio.Reader, left *int) (Answer, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return Answer{}, err
	}
	*left -= len(line)
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return Answer{}, errors.New("its answer cannot be read: an empty line")
	}
	switch rest := line[1:]; line[0] {
	case '+':
		return Answer{Kind: KindStatus, Text: []byte(rest)}, nil
	case '-':
		return Answer{Kind: KindError, Text: []byte(rest)}, nil
	case ':':
		n, err := strconv.ParseInt(rest, 10, 64)
		return Answer{Kind: KindInt, Int: n}, err
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return Answer{Kind: KindNil}, err
		}
		if *left -= n + 2; *left < 0 {
			return Answer{}, errTooMuch()
		}
		text := make([]byte, n+2)
		_, err = io.ReadFull(in, text)
		return Answer{Kind: KindString, Text: text[:n]}, err
	case '*':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return Answer{Kind: KindNil}, err
		}
		out := Answer{Kind: KindArray, Items: []Answer{}}
		for range n {
			if *left < 0 {
				return Answer{}, errTooMuch()
			}
			item, err := readAnswer(in, left)
			if err != nil {
				return Answer{}, err
			}
			out.Items = append(out.Items, item)
		}
		return out, nil
	}
	return Answer{}, fmt.Errorf("its answer cannot be read: %.80q", line)
}

func errTooMuch() error {
	return forbid("the answer is larger than %d MiB: ask for a part, such as with LRANGE or HSCAN", maxAnswer>>20)
}

const methodAsk = "ask"

// Ask implements [Site].
func (r *Remote) Ask(ctx context.Context, q Question) (out Replied, err error) {
	err = r.do(ctx, methodAsk, q, &out, nil, nil)
	return out, err
}

// serveAsk answers a request.
func serveAsk(ctx context.Context, site Site, in json.RawMessage) (any, error) {
	var q Question
	if err := json.Unmarshal(in, &q); err != nil {
		return nil, fmt.Errorf("arguments of %s: %w", methodAsk, err)
	}
	return site.Ask(ctx, q)
}
