package sink

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/comptech-lab/redis-wal/applier/internal/plan"
	"github.com/comptech-lab/redis-wal/wal"
)

// Under maxmemory Redis refuses whatever is queued after MULTI, even DEL (processCommand in server.c), so nothing could ever be freed by the
// log. A script that is flagged allow-oom may write. It is atomic like a transaction, and compares the position itself.
//
// KEYS: the checkpoint. ARGV: n, n field names, the n values that they must have; then each command as its number of arguments and
// these. It answers MOVED, or an array with each command's error, empty if there was none.
const freeScript = `#!lua flags=allow-oom
local n = tonumber(ARGV[1])
local fields = {}
for k = 1, n do fields[k] = ARGV[1 + k] end
local at = redis.call('HMGET', KEYS[1], unpack(fields))
for k = 1, n do
  if (at[k] or '') ~= ARGV[1 + n + k] then return 'MOVED' end -- an older version left some out
end
local i, errors = 2 + 2 * n, {}
while i <= #ARGV do
  local argc, args = tonumber(ARGV[i]), {}
  for k = 1, argc do args[k] = ARGV[i + k] end
  local answer = redis.pcall(unpack(args))
  errors[#errors + 1] = type(answer) == 'table' and answer['err'] or ''
  i = i + 1 + argc
end
return errors
`

// maxFreeArgs is how many arguments a command in the script may have: Lua's unpack gives up at some eight thousand, and a script
// that stops half-way leaves half a batch.
const maxFreeArgs = 4000

// ErrTooWide says that a batch cannot be applied while Redis is full.
var ErrTooWide = errors.New("a command has too many arguments to be executed while Redis is full")

// Free applies a batch of commands that only free memory (plan.Input.Freeing) to a Redis that is at maxmemory. It answers like [Conn.Receive];
// nothing must be in flight.
func (c *Conn) Free(ctx context.Context, b *plan.Batch) ([]plan.Refused, error) {
	if b.From.Position != c.have {
		return nil, fmt.Errorf("%w: planned on %d, Redis holds %d", ErrMoved, b.From.Next, c.have.Next)
	}
	var wire []byte
	for _, w := range b.Wire {
		wire = append(wire, w...)
	}
	wire = c.appendCheckpoint(append(wire, b.Memory...), b)
	op, err := wal.DecodeOp(wire, wal.ContentTypeRESP)
	if err != nil {
		return nil, fmt.Errorf("free memory: %w", err) // not reached: these bytes were judged, or written here
	}
	eval := append([]string{"EVAL", freeScript, "1", c.ckpt, strconv.Itoa(len(c.fields))}, c.fields...)
	eval = b.From.AppendValues(eval, c.sites)
	for _, args := range op.Commands {
		if len(args) > maxFreeArgs {
			return nil, ErrTooWide
		}
		eval = append(eval, strconv.Itoa(len(args)))
		for _, a := range args {
			eval = append(eval, string(a))
		}
	}
	// The script writes the watched checkpoint, so the guard for the next batch is put up anew.
	replies, err := c.do(ctx, eval, []string{"UNWATCH"}, []string{"WATCH", c.ckpt}, append([]string{"HMGET", c.ckpt}, c.fields...))
	if answer, ok := errors.AsType[ServerError](err); ok {
		return nil, &NotApplied{Err: answer, Command: -1}
	}
	if err != nil {
		return nil, fmt.Errorf("free memory at %s: %w", c.addr, err)
	}
	if replies[0].text == "MOVED" {
		return nil, ErrMoved
	}
	if len(replies[0].items) != len(op.Commands) {
		return nil, fmt.Errorf("%w: the script answered %d commands of %d", errProtocol, len(replies[0].items), len(op.Commands))
	}
	var sorted answers
	for i, item := range replies[0].items {
		if item.text != "" {
			sorted.add(b, i, ServerError(item.text))
		}
	}
	if err := c.holds(replies[3]); err != nil {
		return nil, err
	}
	if sorted.wrong != nil {
		return sorted.refused, sorted.wrong
	}
	return sorted.refused, c.landed(b)
}
