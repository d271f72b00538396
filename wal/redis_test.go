package wal

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// server is a connection to a redis-server of the test's own. It speaks just enough RESP2 not to depend on a client.
type server struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// refusal is an error reply.
type refusal string

// startRedis runs a redis-server that stops with the test. It needs the program: a test of the table against nothing
// would prove nothing, so it fails without it.
func startRedis(t testing.TB) *server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("install redis-server: make deps")
	}
	dir, err := os.MkdirTemp("", "wal") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "redis.sock")
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--loglevel", "notice")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	var log strings.Builder
	for !strings.Contains(log.String(), "ready to accept connections") {
		if !lines.Scan() {
			t.Fatalf("redis-server did not start:\n%s", log.String())
		}
		log.WriteString(lines.Text() + "\n")
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &server{t: t, conn: conn, r: bufio.NewReader(conn)}
}

// do runs one command.
func (s *server) do(args ...string) any {
	s.t.Helper()
	return s.doOp(Op{Commands: [][][]byte{arguments(args...)}})[0]
}

// doOp runs the commands of an op, without a transaction.
func (s *server) doOp(op Op) []any {
	s.t.Helper()
	return s.doWire(op.AppendRESP(nil), len(op.Commands))
}

func (s *server) doWire(wire []byte, commands int) []any {
	s.t.Helper()
	// Redis would wait for ever for the rest of what is not complete.
	if op, err := DecodeOp(wire, ContentTypeRESP); err != nil || len(op.Commands) != commands {
		s.t.Fatalf("%q is not %d commands: %v", wire, commands, err)
	}
	if _, err := s.conn.Write(wire); err != nil {
		s.t.Fatal(err)
	}
	var replies []any
	for range commands {
		replies = append(replies, s.reply())
	}
	return replies
}

func (s *server) reply() any {
	s.t.Helper()
	line, err := s.r.ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	rest := strings.TrimSuffix(line[1:], "\r\n")
	switch line[0] {
	case '+':
		return rest
	case '-':
		return refusal(rest)
	case ':':
		return s.number(rest)
	case '$':
		n := s.number(rest)
		if n < 0 {
			return nil
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(s.r, b); err != nil {
			s.t.Fatal(err)
		}
		return string(b[:n])
	case '*':
		n := s.number(rest)
		if n < 0 {
			return nil
		}
		items := make([]any, n)
		for i := range items {
			items[i] = s.reply()
		}
		return items
	}
	s.t.Fatalf("reply %q", line)
	return nil
}

func (s *server) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// now is the server's clock in ms.
func (s *server) now() int64 {
	s.t.Helper()
	reply := s.do("TIME").([]any)
	return int64(s.number(reply[0].(string)))*1000 + int64(s.number(reply[1].(string)))/1000
}

// redisCommand is what COMMAND says of one.
type redisCommand struct {
	name        string
	arity       int
	flags       []string
	keys        keyRange
	subcommands []redisCommand
}

func (s *server) commands() []redisCommand {
	s.t.Helper()
	var parse func(reply any) []redisCommand
	parse = func(reply any) []redisCommand {
		var all []redisCommand
		for _, item := range reply.([]any) {
			fields := item.([]any)
			c := redisCommand{
				name:        strings.ToUpper(strings.ReplaceAll(fields[0].(string), "|", " ")),
				arity:       fields[1].(int),
				keys:        keyRange{fields[3].(int), fields[4].(int), fields[5].(int)},
				subcommands: parse(fields[9]),
			}
			for _, flag := range fields[2].([]any) {
				c.flags = append(c.flags, flag.(string))
			}
			all = append(all, c)
		}
		return all
	}
	return parse(s.do("COMMAND"))
}

func TestTableAgainstRedis(t *testing.T) {
	t.Parallel()
	s := startRedis(t)

	t.Run("every command of Redis has a row", func(t *testing.T) {
		for _, c := range s.commands() {
			row := find(commands, []byte(c.name))
			switch {
			case row == nil:
				t.Errorf("%s: neither allowed nor refused", c.name)
			case row.subcommands != nil:
				for _, sub := range c.subcommands {
					_, name, _ := strings.Cut(sub.name, " ")
					if subRow := find(row.subcommands, []byte(name)); subRow == nil {
						t.Errorf("%s: neither allowed nor refused", sub.name)
					} else {
						compare(t, subRow, sub)
					}
				}
			default:
				compare(t, row, c)
			}
		}
	})

	t.Run("every allowed row is a command of Redis", func(t *testing.T) {
		known := map[string]bool{}
		for _, c := range s.commands() {
			known[c.name] = true
			for _, sub := range c.subcommands {
				known[sub.name] = true
			}
		}
		for _, row := range rows(commands) {
			if row.refused == "" && row.level == 1 && !known[row.name] {
				t.Errorf("%s: Redis does not know it", row.name)
			}
		}
	})

	t.Run("Redis queues what the table allows, and finds the same keys", func(t *testing.T) {
		for _, v := range opVectors(t) {
			if v.Commands == nil {
				continue
			}
			for _, args := range v.Commands {
				checkQueued(t, s, v, args)
			}
		}
	})

	t.Run("Redis refuses what the rules say it would", func(t *testing.T) {
		// Redis takes these, or takes them for what the rules cannot see; the rules are stricter on purpose.
		stricter := []string{
			"an id that Redis, with C strings, takes for *",
			"an option that Redis, with C strings, takes for BY",
			// Redis takes these at random: if the hash happens to lead to the command, the comparison ends at the NUL.
			"NUL in the name",
			"NUL in a subcommand",
		}
		for _, v := range opVectors(t) {
			op, ok := v.original()
			if !ok || !slices.Contains([]Reason{ReasonArity, ReasonSyntax, ReasonInvalidExpiry, ReasonUnknownCommand}, v.Poison) || slices.Contains(stricter, v.Name) {
				continue
			}
			s.do("FLUSHALL")
			// The key exists, with the type that the command wants, so that it is the arguments that Redis refuses.
			s.prepare(string(op.Commands[0][0]))
			if got, isRefusal := s.doOp(op)[0].(refusal); !isRefusal {
				t.Errorf("%s: Redis takes it, the rules say %s", v.Name, v.Poison)
			} else if strings.HasPrefix(string(got), "WRONGTYPE") {
				t.Errorf("%s: got %s; the test does not reach what it is about", v.Name, got)
			}
		}
	})
}

// prepare makes the key k one that the command applies to.
func (s *server) prepare(name string) {
	switch row := find(commands, []byte(name)); {
	case row == nil:
	case row.subcommands != nil || row.class == classStream:
		s.do("XADD", "k", "1-1", "f", "v")
	case row.class == classHash:
		s.do("HSET", "k", "f", "v")
	case row.class == classList || row.name == "SORT":
		s.do("RPUSH", "k", "1", "2")
	case row.class == classZSet || row.class == classGeo:
		s.do("GEOADD", "k", "15", "37", "m")
	case row.name == "RESTORE":
	default:
		s.do("SET", "k", "1")
	}
}

// compare holds a row against what COMMAND says.
func compare(t *testing.T, row *command, c redisCommand) {
	t.Helper()
	writes := slices.Contains(c.flags, "write")
	if row.refused != "" {
		if writes && row.refused == onlyReads {
			t.Errorf("%s: refused as one that only reads, but it writes", c.name)
		}
		return
	}
	if !writes {
		t.Errorf("%s: allowed, but it does not write", c.name)
	}
	if row.arity != c.arity {
		t.Errorf("%s: got arity %d, want %d", c.name, row.arity, c.arity)
	}
	if row.keys != c.keys {
		t.Errorf("%s: got keys %v, want %v", c.name, row.keys, c.keys)
	}
	if row.frees && slices.Contains(c.flags, "denyoom") {
		t.Errorf("%s: frees, but Redis refuses it when memory is full", c.name)
	}
	for _, flag := range []string{"blocking", "noscript", "admin", "pubsub"} {
		if slices.Contains(c.flags, flag) {
			t.Errorf("%s: allowed, but has the flag %s", c.name, flag)
		}
	}
}

// checkQueued wants Redis to take a command into a transaction and to see the keys that the table sees.
func checkQueued(t *testing.T, s *server, v opVector, octetArgs []octets) {
	t.Helper()
	var args [][]byte
	var text []string
	for _, arg := range octetArgs {
		args = append(args, arg)
		text = append(text, string(arg))
	}
	j := opJudge{level: 1, timestamp: v.Timestamp, args: args}
	if err := j.command(); err != nil {
		t.Errorf("%s: %v", v.Name, err)
		return
	}
	if len(j.wire) > 0 {
		t.Errorf("%s: what is to be executed would be rewritten again, to %q", v.Name, j.wire)
	}
	var want []string
	for _, i := range j.keys {
		want = append(want, text[i])
	}
	slices.Sort(want)
	var got []string
	switch reply := s.do(append([]string{"COMMAND", "GETKEYS"}, text...)...).(type) {
	case []any:
		for _, key := range reply {
			got = append(got, key.(string))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the table finds the keys %q, Redis %q", v.Name, want, got)
		}
	default:
		if v.Name != "PFMERGE k" { // which Redis takes, though GETKEYS misses the optional keys
			t.Errorf("%s: COMMAND GETKEYS: %v", v.Name, reply)
		}
	}
	s.do("MULTI")
	if got, want := s.do(text...), "QUEUED"; got != want {
		t.Errorf("%s: got %v, want %s", v.Name, got, want)
	}
	s.do("DISCARD")
}

// Redis with its own clock, asked directly, is what the rewritten op must agree with.
func TestRewritingHasTheEffectOfTheOriginal(t *testing.T) {
	t.Parallel()
	s := startRedis(t)
	const ms, future = "PX 100000", "EXPIRE k 1000"
	for _, tt := range []struct{ setup, original string }{
		{"", "SET k v EX 60"},
		{"", "SET k v " + ms},
		{"SET k old", "SET k v EX 60 XX"},
		{"", "SET k v EX 60 XX"},
		{"SET k old", "SET k v NX EX 60"},
		{"SET k old", "SET k v EX 60 GET"},
		{"", "SET k v NX GET PX 60000"},
		{"", "SET k v EX 1 EX 60"},
		{"SET k old;" + future, "SET k v EX 60"},
		{"SET k old;" + future, "SET k v KEEPTTL"},
		{"SET k old;" + future, "SET k v"},
		{"", "SETEX k 60 v"},
		{"RPUSH k a", "SETEX k 60 v"},
		{"", "PSETEX k 60000 v"},
		{"SET k v", "GETEX k EX 60"},
		{"SET k v", "GETEX k " + ms},
		{"SET k v;" + future, "GETEX k PERSIST"},
		{"", "GETEX k EX 60"},
		{"SET k v", "EXPIRE k 60"},
		{"RPUSH k v", "PEXPIRE k 60000"},
		{"", "EXPIRE k 60"},
		{"SET k v", "EXPIRE k 0"},
		{"SET k v", "EXPIRE k -1"},
		{"SET k v", "PEXPIRE k -100000"},
		{"SET k v;" + future, "EXPIRE k 60 NX"},
		{"SET k v", "EXPIRE k 60 NX"},
		{"SET k v;" + future, "EXPIRE k 60 XX"},
		{"SET k v", "EXPIRE k 60 XX"},
		{"SET k v;" + future, "EXPIRE k 60 GT"},
		{"SET k v;" + future, "EXPIRE k 2000 GT"},
		{"SET k v", "EXPIRE k 60 GT"},
		{"SET k v;" + future, "PEXPIRE k 60000 LT"},
		{"SET k v;" + future, "PEXPIRE k 2000000 LT"},
		{"SET k v", "EXPIRE k 60 LT"},
		{"SET k v;" + future, "EXPIRE k 2000 XX GT"},
		{"SET k 1", "INCR k;EXPIRE k 60"},
		{"", "SETEX k 60 1;INCR k"},
	} {
		t.Run(tt.setup+"|"+tt.original, func(t *testing.T) {
			setup := func() {
				s.do("FLUSHALL")
				if tt.setup != "" {
					s.doOp(parseOp(tt.setup))
				}
			}
			op := parseOp(tt.original)

			start := s.now()
			setup()
			before := s.now()
			s.doOp(op)
			after := s.now()
			wantValue, latest := s.do("DUMP", "k"), s.do("PEXPIRETIME", "k").(int)

			setup()
			var d Decoder
			x, err := d.Decode(1, []byte("k"), op.AppendRESP(nil), "", before)
			if err != nil {
				t.Fatal(err)
			}
			for _, reply := range s.doWire(x.Wire, x.Commands) {
				if err, ok := reply.(refusal); ok {
					t.Errorf("Redis refuses %q: %s", x.Wire, err)
				}
			}
			if got := s.do("DUMP", "k"); got != wantValue {
				t.Errorf("got value %q, want %q", got, wantValue)
			}
			// The original ran between before and after; a key of `setup` got its expiry a little earlier or later.
			got, slack := s.do("PEXPIRETIME", "k").(int), int(s.now()-start)
			if latest < 0 && got != latest || latest >= 0 && (got < latest-int(after-before) || got > latest+slack) {
				t.Errorf("got expiry %d, want about %d", got, latest)
			}
			if x.ExpireAt > 0 && got > 0 && bytes.Contains(x.Wire, []byte(strconv.Itoa(got))) && int64(got) != x.ExpireAt {
				t.Errorf("got ExpireAt %d, Redis has %d", x.ExpireAt, got)
			}
		})
	}
}

// parseOp reads commands with a semicolon between them, without quoting.
func parseOp(text string) Op {
	var op Op
	for command := range strings.SplitSeq(text, ";") {
		op.Commands = append(op.Commands, arguments(strings.Fields(command)...))
	}
	return op
}

func (r refusal) String() string { return fmt.Sprintf("refused: %s", string(r)) }
