package wal

import "bytes"

// class groups commands by the kind of value they write.
type class string

const (
	classString  class = "string"
	classHash    class = "hash"
	classList    class = "list"
	classSet     class = "set"
	classZSet    class = "zset"
	classStream  class = "stream"
	classGeo     class = "geo"
	classHLL     class = "hll"
	classBitmap  class = "bitmap"
	classGeneric class = "generic"
)

// keyRange says which arguments are keys, as Redis's COMMAND says it: positions count from the name, a negative last counts
// from the end. The zero keyRange is none.
type keyRange struct{ first, last, step int }

// A command is one row of the table, which is the single truth about what may stand in the log.
type command struct {
	name  string // upper case; "XGROUP CREATE" for a subcommand
	arity int    // number of arguments with the name; -n = at least n
	keys  keyRange
	class class
	level int  // the first level of the rules that allows it
	frees bool // never makes Redis need more memory; false = it may
	// rule judges the arguments further: it finds keys that depend on them, refuses what is not deterministic and
	// rewrites relative expiry. nil = nothing to judge.
	rule func(*opJudge) *PoisonError
	// refused says why the command may not stand in the log and what to use instead. Empty = it may.
	refused string
	// subcommands by name; nil = it has none. The other fields but name are then unused.
	subcommands map[string]*command
}

// maxName is longer than any command's name.
const maxName = 32

// find looks a name up in the table, in any case. It does not allocate.
func find(table map[string]*command, name []byte) *command {
	var folded [maxName]byte
	if len(name) > maxName {
		return nil
	}
	for i, c := range name {
		folded[i] = upper(c)
	}
	return table[string(folded[:len(name)])]
}

// opJudge decides about one op, command by command. It holds what the commands have in common and scratch memory; the zero opJudge
// with a level is ready.
type opJudge struct {
	level     int
	timestamp int64 // of the record, ms

	args [][]byte // the command under judgement
	row  *command // its row of the table
	keys []int    // positions of its keys

	wire     []byte // RESP of what is to be executed in its place; empty = the command as it stands
	expireAt int64  // the absolute expiry that it sets, ms; 0 = none
	frees    bool   // it never makes Redis need more memory

	collect bool     // note the keys of all commands
	all     [][]byte // those keys

	count      int    // commands judged
	routingKey []byte // of all keys so far
	routed     bool   // there were keys so far
}

// command judges j.args.
func (j *opJudge) command() *PoisonError {
	err := j.lookup()
	if err == nil {
		j.keys, j.wire, j.expireAt, j.frees = j.keys[:0], j.wire[:0], 0, j.row.frees
		if j.row.rule != nil {
			err = j.row.rule(j)
		}
	}
	if err == nil {
		err = j.checkKeys()
	}
	if err != nil {
		name := quote(j.args[0])
		if j.row != nil {
			name = j.row.name
		}
		err.Detail = name + ": " + err.Detail
		if j.count > 0 {
			err.Detail = "command " + itoa(j.count+1) + ", " + err.Detail
		}
		return err
	}
	j.count++
	return nil
}

// lookup finds the row and checks what holds for every command.
func (j *opJudge) lookup() *PoisonError {
	j.row = find(commands, j.args[0])
	if j.row == nil {
		return poison(ReasonUnknownCommand, "no command of Redis 7 that may stand in the log")
	}
	if j.row.subcommands != nil {
		if len(j.args) < 2 {
			return poison(ReasonArity, "want a subcommand")
		}
		sub := find(j.row.subcommands, j.args[1])
		if sub == nil {
			return poison(ReasonUnknownCommand, "no subcommand %s that may stand in the log", quote(j.args[1]))
		}
		j.row = sub
	}
	row := j.row
	if row.refused != "" {
		return poison(ReasonForbiddenCommand, "%s", row.refused)
	}
	if row.level > j.level {
		return poison(ReasonForbiddenCommand, "belongs to level %d of the rules, the record is of level %d", row.level, j.level)
	}
	if n := len(j.args); row.arity >= 0 && n != row.arity || n < -row.arity {
		return poison(ReasonArity, "has %d arguments, want %s", n-1, wantArguments(row.arity))
	}
	return nil
}

func wantArguments(arity int) string {
	if arity < 0 {
		return "at least " + itoa(-arity-1)
	}
	return itoa(arity - 1)
}

// checkKeys holds every key of the command against the op's routing key.
func (j *opJudge) checkKeys() *PoisonError {
	if r := j.row.keys; r.first > 0 {
		last := r.last
		if last < 0 {
			last += len(j.args)
		}
		for i := r.first; i <= last; i += r.step {
			j.keys = append(j.keys, i)
		}
	}
	for _, i := range j.keys {
		if err := j.checkKey(j.args[i]); err != nil {
			return err
		}
		if j.collect {
			j.all = append(j.all, j.args[i])
		}
	}
	return nil
}

func (j *opJudge) checkKey(key []byte) *PoisonError {
	if IsReserved(key) {
		return errReserved(key)
	}
	routingKey := RoutingKey(key)
	if !j.routed {
		if IsReserved(routingKey) {
			return errReserved(routingKey)
		}
		j.routingKey, j.routed = routingKey, true
		return nil
	}
	if !bytes.Equal(routingKey, j.routingKey) {
		return poison(ReasonTwoRoutingKeys, "routing keys %s and %s may lie in different partitions; give all keys of an op the same hash tag, as in {42}:order and {42}:items",
			quote(j.routingKey), quote(routingKey))
	}
	return nil
}

func errReserved(key []byte) *PoisonError {
	return poison(ReasonReservedKey, "key %s: keys that begin with %s belong to the applier; choose another name", quote(key), ReservedPrefix)
}
