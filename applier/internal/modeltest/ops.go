package modeltest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// command is one Redis command: as the log carries it, and as a Redis must execute it whenever that is. The second form is what this
// package computes by itself, without package wal.
type command struct {
	log   []string
	model []string // nil = as in the log
	past  bool     // sets an expiry that was over when the record was written
}

func (c command) forModel() []string {
	if c.model != nil {
		return c.model
	}
	return c.log
}

// ops makes random commands. Most of them do not yield the same when they are executed twice, or in another order.
type ops struct {
	*rand.Rand
	tags   int
	stream int // grows, so that most of the stream ids do
}

const (
	hour = int64(3600)
	// longAgo is how far back old timestamps lie, in seconds; an expiry of shortLife from then is over, one of longLife lies ahead for
	// the whole test. Nothing expires while the test runs.
	longAgo   = 2 * hour
	shortLife = hour
	longLife  = 10 * hour
)

func (o *ops) pick(s ...string) string { return s[o.IntN(len(s))] }
func (o *ops) small() string           { return strconv.Itoa(o.IntN(6)) }
func (o *ops) num() string             { return strconv.Itoa(o.IntN(2000) - 1000) }
func (o *ops) member() string          { return "m" + o.small() }

// value is text, numbers, nothing, or bytes that look like the protocol.
func (o *ops) value() string {
	switch o.IntN(8) {
	case 0:
		return o.num()
	case 1:
		return ""
	case 2:
		return "\r\n*1\r\n$4\r\nEXEC\r\n"
	case 3:
		return "\xff\x00" + o.small()
	}
	return fmt.Sprintf("v%x", o.Uint32())
}

// op is the commands of one record, with the routing key that they share. ts is the record's timestamp in ms; an old one allows expiries
// that are over.
func (o *ops) op(ts int64, old bool) (key string, commands []command) {
	if o.IntN(8) == 0 { // a key without a tag
		key = "plain-" + strconv.Itoa(o.IntN(3*o.tags))
		return key, []command{o.plain(key, ts, old)}
	}
	key = "t" + strconv.Itoa(o.IntN(o.tags))
	n := 1
	if o.IntN(4) == 0 {
		n += o.IntN(4)
	}
	for range n {
		commands = append(commands, o.command("{"+key+"}:", ts, old))
	}
	return key, commands
}

func (o *ops) plain(k string, ts int64, old bool) command {
	switch o.IntN(4) {
	case 0:
		return c("SET", k, o.num())
	case 1:
		return o.expire(k, ts, old)
	}
	return c("INCRBY", k, o.num())
}

func c(args ...string) command { return command{log: args} }

func (o *ops) command(tag string, ts int64, old bool) command {
	k := func(typ string) string { return tag + typ + strconv.Itoa(o.IntN(2)) }
	switch o.IntN(22) {
	case 0, 1, 2:
		return o.str(k("s"), k("s"))
	case 3, 4:
		return o.strWithExpiry(k("s"), ts, old)
	case 5, 6, 7:
		return o.counter(k("n"))
	case 8, 9:
		return o.hash(k("h"))
	case 10, 11:
		return o.list(k("l"), k("l"))
	case 12, 13:
		return o.set(k("S"), k("S"))
	case 14, 15:
		return o.zset(k("z"), k("z"))
	case 16:
		return o.xstream(k("x"))
	case 17:
		return o.bits(k("b"), k("b"))
	case 18:
		return o.generic(tag)
	case 19: // the key holds another type: Redis refuses it, once there is such a key
		return [](command){c("INCR", k("l")), c("LPUSH", k("s"), "a"), c("HSET", k("n"), "f", "1"), c("SADD", k("z"), "a")}[o.IntN(4)]
	default:
		return o.expire(k(o.pick("s", "n", "h", "l", "S", "z", "x")), ts, old)
	}
}

func (o *ops) str(a, b string) command {
	v := o.value()
	switch o.IntN(10) {
	case 0:
		return c("SET", a, v)
	case 1:
		return c("SET", a, v, o.pick("NX", "XX", "KEEPTTL", "GET"))
	case 2:
		return c("GETSET", a, v)
	case 3:
		return c("GETDEL", a)
	case 4:
		return c(o.pick("MSET", "MSETNX"), a, v, b, o.value())
	case 5:
		return c("SETRANGE", a, strconv.Itoa(o.IntN(20)), v)
	case 6:
		return c("SETNX", a, v)
	}
	return c("APPEND", a, o.small())
}

func (o *ops) counter(k string) command {
	switch o.IntN(5) {
	case 0:
		return c(o.pick("INCR", "DECR"), k)
	case 1:
		return c("INCRBYFLOAT", k, "1")
	}
	return c(o.pick("INCRBY", "DECRBY"), k, o.num())
}

func (o *ops) hash(k string) command {
	f := "f" + o.small()
	switch o.IntN(6) {
	case 0:
		return c("HDEL", k, f, "f"+o.small())
	case 1:
		return c("HSET", k, f, o.num(), "f"+o.small(), o.num())
	case 2:
		return c("HSETNX", k, f, o.num())
	case 3:
		return c("HINCRBYFLOAT", k, f, "0.5")
	}
	return c("HINCRBY", k, f, o.num())
}

func (o *ops) list(a, b string) command {
	switch o.IntN(10) {
	case 0:
		return c(o.pick("LPOP", "RPOP"), a)
	case 1:
		return c("LPOP", a, o.small())
	case 2:
		return c("LTRIM", a, "0", "30")
	case 3:
		return c("LINSERT", a, o.pick("BEFORE", "AFTER"), o.member(), o.value())
	case 4:
		return c("LSET", a, o.small(), o.value())
	case 5:
		return c("LREM", a, "1", o.member())
	case 6:
		return c("LMOVE", a, b, o.pick("LEFT", "RIGHT"), o.pick("LEFT", "RIGHT"))
	}
	return c(o.pick("LPUSH", "RPUSH", "RPUSHX"), a, o.member(), o.value())
}

func (o *ops) set(a, b string) command {
	switch o.IntN(6) {
	case 0:
		return c("SREM", a, o.member())
	case 1:
		return c("SMOVE", a, b, o.member())
	case 2:
		return c(o.pick("SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"), a, a, b)
	}
	return c("SADD", a, o.member(), o.num())
}

func (o *ops) zset(a, b string) command {
	switch o.IntN(8) {
	case 0:
		return c(o.pick("ZPOPMIN", "ZPOPMAX"), a)
	case 1:
		return c("ZREMRANGEBYRANK", a, "0", "1")
	case 2:
		return c(o.pick("ZUNIONSTORE", "ZINTERSTORE"), a, "2", a, b)
	case 3:
		return c("ZRANGESTORE", a, b, "0", "4")
	case 4:
		return c("ZREM", a, o.member())
	case 5:
		return c("ZADD", a, o.pick("GT", "NX", "CH"), o.num(), o.member())
	}
	return c("ZINCRBY", a, o.num(), o.member())
}

func (o *ops) xstream(k string) command {
	o.stream++
	switch o.IntN(8) {
	case 0:
		return c("XTRIM", k, "MAXLEN", "10")
	case 1:
		return c("XDEL", k, strconv.Itoa(o.stream/2)+"-0")
	case 2:
		return c("XGROUP", "CREATE", k, "g"+o.small(), "0", "MKSTREAM") // BUSYGROUP when it is there
	case 3:
		return c("XGROUP", "DESTROY", k, "g"+o.small())
	}
	return c("XADD", k, "MAXLEN", "30", strconv.Itoa(max(1, o.stream-o.IntN(10)))+"-*", "f", o.value()) // sometimes an id that is too small
}

func (o *ops) bits(a, b string) command {
	switch o.IntN(5) {
	case 0:
		return c("SETBIT", a, strconv.Itoa(o.IntN(200)), o.pick("0", "1"))
	case 1:
		return c("BITFIELD", a, "INCRBY", "u8", "8", "3")
	case 2:
		return c("BITOP", "XOR", a, a, b)
	case 3:
		return c("PFADD", a+"pf", o.value())
	}
	return c("GEOADD", a+"geo", "13.3", "38.1", o.member())
}

func (o *ops) generic(tag string) command {
	t := o.pick("s", "n", "h", "l", "S", "z", "x")
	switch o.IntN(4) {
	case 0:
		return c(o.pick("DEL", "UNLINK"), tag+t+"0", tag+"s1")
	case 1:
		return c("RENAME", tag+t+"0", tag+t+"1") // refused when there is no such key
	case 2:
		return c("COPY", tag+t+"1", tag+t+"0", "REPLACE")
	}
	return c("PERSIST", tag+t+"0")
}

// life is a time to live in seconds.
func (o *ops) life(old bool) (seconds int64, past bool) {
	if old && o.IntN(2) == 0 {
		return 1 + o.Int64N(shortLife), true
	}
	return longLife + o.Int64N(hour), false
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func (o *ops) strWithExpiry(k string, ts int64, old bool) command {
	life, past := o.life(old)
	v, at := o.value(), ts+life*1000
	switch o.IntN(8) {
	case 0:
		return command{log: []string{"SET", k, v, "PX", itoa(life * 1000)}, model: []string{"SET", k, v, "PXAT", itoa(at)}, past: past}
	case 1:
		return command{log: []string{"SETEX", k, itoa(life), v}, model: []string{"SET", k, v, "PXAT", itoa(at)}, past: past}
	case 2:
		return command{log: []string{"PSETEX", k, itoa(life * 1000), v}, model: []string{"SET", k, v, "PXAT", itoa(at)}, past: past}
	case 3:
		return command{log: []string{"GETEX", k, "EX", itoa(life)}, model: []string{"GETEX", k, "PXAT", itoa(at)}, past: past}
	case 4:
		return c("GETEX", k, "PERSIST")
	case 5:
		return command{log: []string{"SET", k, v, "EXAT", itoa(at / 1000)}, past: past}
	}
	return command{log: []string{"SET", k, v, "EX", itoa(life)}, model: []string{"SET", k, v, "PXAT", itoa(at)}, past: past}
}

func (o *ops) expire(k string, ts int64, old bool) command {
	life, past := o.life(old)
	at := ts + life*1000
	var option []string
	if o.IntN(3) == 0 {
		option = []string{o.pick("NX", "XX", "GT", "LT")}
	}
	cmd := func(past bool, name string, n int64) command {
		return command{
			log: append([]string{name, k, itoa(n)}, option...), model: append([]string{"PEXPIREAT", k, itoa(at)}, option...), past: past,
		}
	}
	switch o.IntN(4) {
	case 0:
		return cmd(past, "PEXPIRE", life*1000)
	case 1:
		at = at / 1000 * 1000
		return cmd(past, "EXPIREAT", at/1000)
	case 2:
		return cmd(past, "PEXPIREAT", at)
	}
	return cmd(past, "EXPIRE", life)
}
