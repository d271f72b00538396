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
	stream int      // grows, so that most of the stream ids do
	dumps  []string // values as DUMP gives them, and one that is none
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
	switch o.IntN(24) {
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
	case 16, 20:
		return o.xstream(k("x"))
	case 17:
		return o.bits(k("b"), k("b"))
	case 18:
		return o.geo(k("g"), k("g"))
	case 21:
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
	switch o.IntN(7) {
	case 0:
		return c("HDEL", k, f, "f"+o.small())
	case 4:
		return c("HMSET", k, f, o.value())
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
	switch o.IntN(14) {
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
	case 7:
		return c("RPOPLPUSH", a, b)
	case 8:
		return c("LMPOP", "2", a, b, o.pick("LEFT", "RIGHT"), "COUNT", "1"+o.small())
	}
	return c(o.pick("LPUSH", "RPUSH", "RPUSHX", "LPUSHX", "RPUSH"), a, o.member(), o.value())
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
	switch o.IntN(12) {
	case 0:
		return c(o.pick("ZPOPMIN", "ZPOPMAX"), a)
	case 1:
		return c("ZREMRANGEBYRANK", a, "0", "1")
	case 2:
		return c(o.pick("ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"), a, "2", a, b)
	case 6:
		return c("ZMPOP", "1", a, o.pick("MIN", "MAX"), "COUNT", "2")
	case 7:
		return c("ZREMRANGEBYLEX", a, "[m1", "(m2")
	case 8:
		return c("ZREMRANGEBYSCORE", a, "-50", "(50")
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
	g := "g" + o.small()
	switch o.IntN(14) {
	case 4:
		return c("XACK", k, g, strconv.Itoa(o.stream/2)+"-0")
	case 5:
		return c("XGROUP", "DELCONSUMER", k, g, "nobody") // NOGROUP when there is none
	case 6:
		return c("XGROUP", "SETID", k, g, "0", "ENTRIESREAD", o.small())
	case 7:
		return c("XSETID", k, strconv.Itoa(o.stream)+"-0") // refused when it is below the last entry
	case 8:
		return c("XADD", k, "NOMKSTREAM", "MINID", "=", strconv.Itoa(o.stream/2), strconv.Itoa(o.stream)+"-1", "f", o.value(), "g", "1")
	case 0:
		return c("XTRIM", k, "MAXLEN", "10")
	case 1:
		return c("XDEL", k, strconv.Itoa(o.stream/2)+"-0")
	case 2:
		return c("XGROUP", "CREATE", k, g, "0", "MKSTREAM") // BUSYGROUP when it is there
	case 3:
		return c("XGROUP", "DESTROY", k, g)
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
		return c("PFMERGE", a+"pf", b+"pf")
	}
	return c("PFADD", a+"pf", o.value())
}

func (o *ops) geo(a, b string) command {
	switch o.IntN(8) {
	case 0:
		return c("GEORADIUS", a, "13", "38", "300", "km", "COUNT", "4", o.pick("STORE", "STOREDIST"), b)
	case 1:
		return c("GEORADIUSBYMEMBER", a, o.member(), "300", "km", "STORE", b) // refused when there is no such member
	case 2:
		return c("GEOSEARCHSTORE", b, a, "FROMLONLAT", "13", "38", "BYBOX", "500", "300", "km", "ASC", "COUNT", "3")
	case 3:
		return c("GEOSEARCHSTORE", b, a, "FROMMEMBER", o.member(), "BYRADIUS", "200", "km", "STOREDIST")
	}
	return c("GEOADD", a, strconv.FormatFloat(12+o.Float64()*2, 'f', 3, 64), strconv.FormatFloat(37+o.Float64()*2, 'f', 3, 64), o.member())
}

func (o *ops) generic(tag string) command {
	t := o.pick("s", "n", "h", "l", "S", "z", "x", "g")
	switch o.IntN(10) {
	case 0:
		return c(o.pick("DEL", "UNLINK"), tag+t+"0", tag+"s1")
	case 1, 2:
		return c(o.pick("RENAME", "RENAMENX"), tag+t+"0", tag+t+"1") // refused when there is no such key
	case 3:
		return c("COPY", tag+t+"1", tag+t+"0", "REPLACE")
	case 4:
		return c("COPY", tag+t+"1", tag+t+"0")
	case 5:
		return c("SORT", tag+o.pick("l", "S", "z")+"0", "ALPHA", "LIMIT", "0", "5", "STORE", tag+"l1")
	case 6:
		return c("SORT", tag+"S0", "DESC", "STORE", tag+"l0") // refused when a member is no number
	case 7, 8:
		return c("RESTORE", tag+o.pick("s", "l")+"0", "0", o.pick(o.dumps...), "REPLACE") // refused when it is of no Redis
	}
	return c("PERSIST", tag+t+"0")
}
