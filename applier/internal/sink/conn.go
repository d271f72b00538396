package sink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/wal"
)

// exchangeTimeout bounds one write and the replies to it. A primary that takes longer is asked for anew: the batch is dropped, and
// the position tells whether it was applied.
const exchangeTimeout = 10 * time.Second

// stopTimeout bounds the answer to the batch in flight once the applier is told to stop.
const stopTimeout = 2 * time.Second

// Conn carries the batches of one partition to the primary, on a connection of its own: WATCH belongs to a connection, and the
// EXEC of anything clears it, so a connection that is shared lets the batch of an applier through that no longer owns the
// partition.
//
// The rhythm is one write and one read for each batch:
//
//	[MULTI command... HSET producers, HSET checkpoint EXEC] [WATCH checkpoint, HMGET checkpoint]
//
// The WATCH and HMGET that ride with a batch guard the next one. Its MULTI is not written before the HMGET's reply was read
// and equals the position that the batch was planned on.
//
// A Conn is for one goroutine. After any error but [*NotApplied] it is of no use.
type Conn struct {
	net     net.Conn
	r       *bufio.Reader
	sites   wal.Sites
	log     string
	part    int32
	addr    string
	version string

	fields []string // of the position
	ckpt   string   // the checkpoint's key
	guard  []byte   // WATCH and HMGET, as RESP
	have   wal.Position
	out    []byte
	// values are those of the fields at the position valuesOf: what the last batch leads to.
	values   []string
	valuesOf wal.Position
	spare    []string // memory for the next ones
	args     []string // memory for HSET
	close    func()
	gone     chan struct{} // closed with the connection
}

// Gone is closed when the connection was closed: by [Conn.Close], or because another Redis is the primary now. An idle owner learns
// of a failover through it.
func (c *Conn) Gone() <-chan struct{} { return c.gone }

// Addr is the primary's address.
func (c *Conn) Addr() string { return c.addr }

// RedisVersion is the version of the primary, such as 7.0.15.
func (c *Conn) RedisVersion() string { return c.version }

// Close closes the connection. A batch in flight may or may not be applied.
func (c *Conn) Close() { c.close() }

// Join watches the checkpoint and reads what Redis holds of the partition.
func (c *Conn) Join(ctx context.Context) (plan.Stored, error) {
	var s plan.Stored
	replies, err := c.do(ctx, []string{"UNWATCH"}, []string{"WATCH", c.ckpt}, []string{"HGETALL", c.ckpt},
		[]string{"HGETALL", wal.ProducersKey(c.log, c.part)}, []string{"HGETALL", wal.MetaKey(c.log)}, []string{"DBSIZE"}, []string{"GET", wal.BootstrapKey(c.log)})
	if err != nil {
		return s, fmt.Errorf("read the checkpoint of partition %d at %s: %w", c.part, c.addr, err)
	}
	s.Checkpoint, s.Producers, s.Meta = toMap(replies[2]), toMap(replies[3]), toMap(replies[4])
	s.Bootstrap = replies[6].text
	s.Keys, err = strconv.ParseInt(replies[5].text, 10, 64)
	if err != nil {
		return s, fmt.Errorf("DBSIZE at %s: %w", c.addr, err)
	}
	if len(s.Checkpoint) > 0 {
		if found, err := wal.ParseCheckpoint(s.Checkpoint, c.sites); err == nil {
			c.have = found.Position
		}
	}
	return s, nil
}

func toMap(r reply) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(r.items); i += 2 {
		m[r.items[i].text] = r.items[i+1].text
	}
	return m
}

// Create writes the beginning of a Redis that is empty: the meta, and the checkpoints, in one transaction. It fails with
// [ErrMoved] if Redis is not empty any more, or is being filled from the peer's.
func (c *Conn) Create(ctx context.Context, create plan.Creation) error {
	meta := wal.MetaKey(c.log)
	replies, err := c.do(ctx, []string{"UNWATCH"}, []string{"WATCH", meta, wal.BootstrapKey(c.log)}, []string{"DBSIZE"})
	if err != nil {
		return fmt.Errorf("create the checkpoints at %s: %w", c.addr, err)
	}
	if replies[2].text != "0" {
		return ErrMoved
	}
	commands := [][]string{{"MULTI"}, hset(meta, create.Meta.Fields())}
	for p, cp := range create.Checkpoints {
		commands = append(commands, hset(wal.CheckpointKey(c.log, p), cp.Fields(c.sites)))
	}
	replies, err = c.do(ctx, append(commands, []string{"EXEC"})...)
	if err != nil {
		return fmt.Errorf("create the checkpoints at %s: %w", c.addr, err)
	}
	exec := replies[len(replies)-1]
	if exec.null {
		return ErrMoved
	}
	for _, item := range exec.items {
		if err := item.err(); err != nil {
			return fmt.Errorf("create the checkpoints at %s: %w", c.addr, err)
		}
	}
	return nil
}

func hset(key string, fields []wal.Field) []string {
	cmd := []string{"HSET", key}
	for _, f := range fields {
		cmd = append(cmd, f.Name, f.Value)
	}
	return cmd
}

// Send writes a batch. It does not wait for the answer, so that the next batch can be planned meanwhile; [Conn.Receive] must
// follow. It fails with [ErrMoved], without writing, if the batch was planned on another position than the one that Redis holds.
func (c *Conn) Send(ctx context.Context, b *plan.Batch) error {
	if b.From.Position != c.have {
		return fmt.Errorf("%w: planned on %d, Redis holds %d", ErrMoved, b.From.Next, c.have.Next)
	}
	out := appendCommand(c.out[:0], "MULTI")
	for _, w := range b.Wire {
		out = append(out, w...)
	}
	out = append(out, b.Memory...)
	out = c.appendCheckpoint(out, b)
	out = appendCommand(out, "EXEC")
	out = append(out, c.guard...)
	c.out = out
	if err := c.net.SetDeadline(time.Now().Add(exchangeTimeout)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, c.hurry)
	defer stop()
	if _, err := c.net.Write(out); err != nil {
		return fmt.Errorf("write a batch to %s: %w", c.addr, err)
	}
	return nil
}

// hurry leaves what is in flight a short time.
func (c *Conn) hurry() { _ = c.net.SetDeadline(time.Now().Add(stopTimeout)) }

// appendCheckpoint appends the HSET of the fields that the batch changes, and keeps the values that Redis will then hold.
func (c *Conn) appendCheckpoint(out []byte, b *plan.Batch) []byte {
	before, after := c.values, b.To.AppendValues(c.spare[:0], c.sites)
	if len(before) == 0 || c.valuesOf != b.From.Position {
		before = b.From.AppendValues(before[:0], c.sites)
	}
	changed := append(c.args[:0], "HSET", c.ckpt)
	for i := range after {
		if before[i] != after[i] || c.fields[i] == "next" {
			changed = append(changed, c.fields[i], after[i])
		}
	}
	for _, o := range wal.Origins {
		if b.RingChanged[o] {
			changed = append(changed, wal.BarriersField(c.sites, o), b.To.Barriers[o].String())
		}
		if b.To.Repeating[o] != b.From.Repeating[o] {
			changed = append(changed, wal.RepeatingField(c.sites, o), wal.FormatBool(b.To.Repeating[o]))
		}
	}
	if b.ClosingsChanged {
		changed = append(changed, wal.ClosingsField, wal.FormatClosings(b.To.Closings))
	}
	c.values, c.valuesOf, c.spare, c.args = after, b.To.Position, before, changed
	return appendCommand(out, changed...)
}

// Receive reads the answer to the batch that was sent last. Without an error the batch is applied, and the answer lists the
// commands that Redis refused. [ErrMoved] and [*NotApplied] mean that nothing was applied, [*ExecError] that the
// batch was applied but for the commands that failed; with any other error it is unknown.
// After a [*NotApplied] of a batch that may be sent again as it is, Retry is true. When ctx ends, the answer gets two more
// seconds: long enough for a Redis that is well, and short enough for an orderly stop.
func (c *Conn) Receive(ctx context.Context, b *plan.Batch) (refused []plan.Refused, err error) {
	stop := context.AfterFunc(ctx, c.hurry)
	defer stop()
	fail := func(err error) ([]plan.Refused, error) {
		return nil, fmt.Errorf("read the answer of %s: %w", c.addr, err)
	}
	if multi, err := skipReply(c.r); err != nil {
		return fail(err)
	} else if multi != "" {
		return fail(multi)
	}
	var queued *NotApplied
	all := b.Commands + b.MemoryCommands + 1 // and the checkpoint's HSET
	for i := range all {
		answer, err := skipReply(c.r)
		if err != nil {
			return fail(err)
		}
		if answer != "" && queued == nil {
			queued = &NotApplied{Err: answer, Command: i}
			if i >= b.Commands {
				queued.Command = -1
			}
		}
	}
	line, err := readLine(c.r)
	if err != nil {
		return fail(err)
	}
	switch {
	case line[0] == '-':
		answer := ServerError(line[1:])
		if queued == nil {
			queued = &NotApplied{Err: answer, Command: -1}
		}
		if err := c.readGuard(); err != nil {
			return fail(err)
		}
		return nil, queued
	case line[0] != '*':
		return fail(fmt.Errorf("%w: %.40q in place of EXEC's answer", errProtocol, line))
	}
	n, err := readLen(line)
	if err != nil {
		return fail(err)
	}
	if n < 0 {
		return nil, ErrMoved
	}
	if n != all {
		return fail(fmt.Errorf("%w: EXEC answered %d commands of %d", errProtocol, n, all))
	}
	var sorted answers
	for i := range n {
		answer, err := skipReply(c.r)
		if err != nil {
			return fail(err)
		}
		if answer != "" {
			sorted.add(b, i, answer)
		}
	}
	if err := c.readGuard(); err != nil {
		return fail(err)
	}
	if sorted.wrong != nil {
		return sorted.refused, sorted.wrong
	}
	return sorted.refused, c.landed(b)
}

// landed makes sure that Redis holds the position that a batch leads to.
func (c *Conn) landed(b *plan.Batch) error {
	if c.have != b.To.Position {
		return fmt.Errorf("%w right after a batch: it left %d, Redis holds %d", ErrMoved, b.To.Next, c.have.Next)
	}
	return nil
}

// answers are the errors inside an applied transaction.
type answers struct {
	refused []plan.Refused
	wrong   error // *ExecError: the first that no command may answer
}

// add sorts the error of the batch's i-th command.
func (a *answers) add(b *plan.Batch, i int, answer ServerError) {
	switch {
	case a.wrong != nil:
	case i >= b.Commands:
		a.wrong = &ExecError{Command: -1, Err: answer}
	case answer.refused() && !answer.unknown(): // a script answers so for what it may not execute or does not know
		a.refused = append(a.refused, refusal(b, i, answer))
	default:
		a.wrong = &ExecError{Command: i, Err: answer}
	}
}

func refusal(b *plan.Batch, command int, answer ServerError) plan.Refused {
	first := 0
	for _, op := range b.Ops {
		if command < first+op.Commands {
			return plan.Refused{Op: op, Command: command - first, Message: answer.Error()}
		}
		first += op.Commands
	}
	return plan.Refused{Message: answer.Error()} // not reached: command is one of the batch's
}

// readGuard reads the answers to WATCH and HMGET.
func (c *Conn) readGuard() error {
	if answer, err := skipReply(c.r); err != nil {
		return err
	} else if answer != "" {
		return answer
	}
	same, r, err := c.readValues()
	if err != nil {
		return err
	}
	if same {
		c.have = c.valuesOf
		return nil
	}
	return c.holds(r)
}

// readValues reads the answer to HMGET. Nearly always it is what the last batch wrote: then it is compared as it comes in, and nothing is
// built. Else r is the answer.
func (c *Conn) readValues() (same bool, r reply, err error) {
	line, err := readLine(c.r)
	if err != nil {
		return false, r, err
	}
	if line[0] != '*' {
		if line[0] == '-' {
			return false, reply{kind: '-', text: string(line[1:])}, nil
		}
		return false, r, fmt.Errorf("%w: %.40q in place of HMGET's answer", errProtocol, line)
	}
	n, err := readLen(line)
	if err != nil {
		return false, r, err
	}
	r.kind = '*'
	for i := range n {
		if len(r.items) == 0 && i < len(c.values) {
			ok, err := skipEqual(c.r, c.values[i])
			if err != nil {
				return false, r, err
			}
			if ok {
				continue
			}
			for _, v := range c.values[:i] { // those that were equal, and skipped
				r.items = append(r.items, reply{kind: '$', text: v})
			}
		}
		item, err := readReply(c.r)
		if err != nil {
			return false, r, err
		}
		r.items = append(r.items, item)
	}
	return len(r.items) == 0 && n == len(c.values) && n > 0, r, nil
}

// holds takes note of the position that an HMGET answered.
func (c *Conn) holds(r reply) error {
	if err := r.err(); err != nil {
		return err
	}
	fields := make(map[string]string, len(c.fields))
	for i, item := range r.items {
		if !item.null && i < len(c.fields) {
			fields[c.fields[i]] = item.text
		}
	}
	if len(fields) == 0 {
		return fmt.Errorf("%w: the checkpoint is gone", ErrMoved)
	}
	got, err := wal.ParseCheckpoint(fields, c.sites)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMoved, err)
	}
	c.have = got.Position
	return nil
}

// WaitReplicas waits until n replicas have confirmed everything that was written on this connection, at most for the timeout, and says
// how many have.
func (c *Conn) WaitReplicas(ctx context.Context, n int, timeout time.Duration) (int, error) {
	replies, err := c.do(ctx, []string{"WAIT", strconv.Itoa(n), strconv.FormatInt(timeout.Milliseconds(), 10)})
	if err != nil {
		return 0, fmt.Errorf("wait for replicas of %s: %w", c.addr, err)
	}
	return strconv.Atoi(replies[0].text)
}

// do sends commands in one write and reads their replies. The first error among them is returned.
func (c *Conn) do(ctx context.Context, commands ...[]string) ([]reply, error) {
	deadline := time.Now().Add(exchangeTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.net.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.net.SetDeadline(time.Unix(1, 0)) }) // a cancelled context ends the wait
	defer stop()
	out := c.out[:0]
	for _, cmd := range commands {
		out = appendCommand(out, cmd...)
	}
	c.out = out
	if _, err := c.net.Write(out); err != nil {
		return nil, err
	}
	replies := make([]reply, len(commands))
	var first error
	for i := range replies {
		var err error
		if replies[i], err = readReply(c.r); err != nil {
			return nil, err
		}
		if err := replies[i].err(); err != nil && first == nil {
			first = fmt.Errorf("%s: %w", commands[i][0], err)
		}
	}
	return replies, first
}

// Retry reports whether the batch that failed with err may be sent again as it is on the same connection.
func Retry(err error) bool {
	var n *NotApplied
	return errors.As(err, &n) && n.Err.retryable()
}

func newConn(nc net.Conn, addr string, r Ref, closeFn func()) *Conn {
	c := &Conn{
		net: nc, r: bufio.NewReaderSize(nc, 32<<10), sites: r.Sites, log: r.Log, part: r.Partition, addr: addr,
		fields: wal.PositionFields(r.Sites), ckpt: wal.CheckpointKey(r.Log, r.Partition), close: closeFn, gone: make(chan struct{}),
	}
	c.guard = appendCommand(nil, "WATCH", c.ckpt)
	c.guard = appendCommand(c.guard, slices.Concat([]string{"HMGET", c.ckpt}, c.fields)...)
	return c
}

// hello authenticates, and makes sure that the other end is a primary.
func (c *Conn) hello(ctx context.Context, username, password string) error {
	if password != "" {
		auth := []string{"AUTH", password}
		if username != "" {
			auth = []string{"AUTH", username, password}
		}
		if _, err := c.do(ctx, auth); err != nil {
			return err
		}
	}
	replies, err := c.do(ctx, []string{"ROLE"})
	if err != nil {
		return err
	}
	if role := replies[0].items; len(role) == 0 || role[0].text != "master" {
		return fmt.Errorf("%w: %s does not have the role of one", ErrNoPrimary, c.addr)
	}
	replies, err = c.do(ctx, []string{"INFO", "server"})
	if errors.As(err, new(ServerError)) {
		return nil // the version is only told to people: a user that may not ask for it is no reason to stop
	} else if err != nil {
		return err
	}
	for line := range strings.Lines(replies[0].text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
			c.version = v
		}
	}
	return nil
}
