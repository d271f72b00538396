package load

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
)

// Mix makes operations, the same ones for the same seed.
type Mix struct {
	// Careful has it make no op that Redis refuses.
	Careful bool

	rng  *rand.Rand
	keys int
	made int
	ids  map[string]int // the last entry of each stream
}

// NewMix spreads the operations over about keys keys of each type.
func NewMix(seed uint64, keys int) *Mix {
	return &Mix{rng: rand.New(rand.NewPCG(seed, 0)), keys: keys, ids: make(map[string]int)}
}

// shortLife is a time to live that ends while the demo runs. Keys with one are never touched again: what a later op does to
// a key that is about to expire depends on when it is applied.
const shortLife = 2 * time.Second

func (m *Mix) key(kind string) string { return kind + ":" + strconv.Itoa(m.rng.IntN(m.keys)) }

func (m *Mix) word() string { return "m" + strconv.Itoa(m.rng.IntN(50)) }

// value is text most of the time, and now and then bytes that no text has.
func (m *Mix) value() string {
	b := make([]byte, 10+m.rng.IntN(120))
	binary := m.rng.IntN(10) == 0
	for i := range b {
		if binary {
			b[i] = byte(m.rng.Uint32())
		} else {
			b[i] = "abcdefghijklmnopqrstuvwxyz 0123456789"[m.rng.IntN(37)]
		}
	}
	return string(b)
}

func (m *Mix) number() string { return strconv.Itoa(m.rng.IntN(2001) - 1000) }

// life is a time to live that outlasts the demo by far.
func (m *Mix) life() time.Duration {
	return time.Hour + time.Duration(m.rng.IntN(86_400_000))*time.Millisecond
}

// Next is the next operation.
func (m *Mix) Next() Op {
	m.made++
	kinds := []struct {
		share int
		make  func() Op
	}{
		{22, m.text},
		{14, m.counter},
		{14, m.hash},
		{10, m.list},
		{9, m.set},
		{9, m.sorted},
		{6, m.stream},
		{5, m.expiry},
		{3, m.brief},
		{3, m.remove},
		{4, m.several},
		{10, m.otherApplication},
	}
	n := m.rng.IntN(109)
	for _, k := range kinds {
		if n -= k.share; n < 0 {
			return k.make()
		}
	}
	panic(fmt.Sprintf("the shares do not sum up to 109: %d left", n))
}

func (m *Mix) text() Op {
	key := m.key("text")
	switch m.rng.IntN(6) {
	case 0:
		life, v := m.life(), m.value()
		return Op{
			Log:    wal.Set(key, v).ExpireAfter(life),
			Direct: func(at time.Time) [][]string { return [][]string{{"SET", key, v, "PXAT", ms(at.Add(life))}} },
		}
	case 1:
		return plain(cmd("APPEND", key, m.word()))
	case 2:
		return plain(cmd("SETRANGE", key, strconv.Itoa(m.rng.IntN(20)), m.word()))
	case 3:
		return plain(cmd("SET", key, m.value(), "NX"))
	default:
		return plain(cmd("SET", key, m.value()))
	}
}

func (m *Mix) counter() Op {
	key := m.key("count")
	switch m.rng.IntN(8) {
	case 0:
		return plain(cmd("DECRBY", key, m.number()))
	case 1:
		return plain(cmd("INCR", key))
	case 2:
		if m.rng.IntN(20) == 0 && !m.Careful { // a mistake of the application: Redis does one half and refuses the other
			op := plain(cmd("INCR", key), cmd("LPUSH", key, "not a list"))
			op.Refused = true
			return op
		}
		return plain(cmd("INCRBYFLOAT", m.key("float"), "0.25"))
	default:
		return plain(cmd("INCRBY", key, m.number()))
	}
}

func (m *Mix) hash() Op {
	key := m.key("hash")
	switch m.rng.IntN(5) {
	case 0:
		return plain(cmd("HDEL", key, m.word(), m.word()))
	case 1:
		return plain(cmd("HINCRBY", key, "n", m.number()))
	default:
		return plain(cmd("HSET", key, m.word(), m.value(), m.word(), m.value()))
	}
}

func (m *Mix) list() Op {
	key := m.key("list")
	switch m.rng.IntN(6) {
	case 0:
		return plain(cmd("LPOP", key))
	case 1:
		return plain(cmd("LTRIM", key, "0", "30"))
	case 2:
		return plain(cmd("LPUSH", key, m.value(), m.word()))
	default:
		return plain(cmd("RPUSH", key, m.word()))
	}
}

func (m *Mix) set() Op {
	key := m.key("set")
	if m.rng.IntN(3) == 0 {
		return plain(cmd("SREM", key, m.word()))
	}
	return plain(cmd("SADD", key, m.word(), m.word()))
}

func (m *Mix) sorted() Op {
	key := m.key("sorted")
	switch m.rng.IntN(5) {
	case 0:
		return plain(cmd("ZREM", key, m.word()))
	case 1:
		return plain(cmd("ZINCRBY", key, m.number(), m.word()))
	case 2:
		return plain(cmd("ZREMRANGEBYRANK", key, "0", "1"))
	default:
		return plain(cmd("ZADD", key, m.number(), m.word()))
	}
}

func (m *Mix) stream() Op {
	key := "stream:" + strconv.Itoa(m.rng.IntN(max(1, m.keys/10)))
	m.ids[key]++
	id := strconv.Itoa(m.ids[key]) + "-1"
	if m.rng.IntN(10) == 0 {
		return plain(cmd("XADD", key, id, "f", m.value()), cmd("XTRIM", key, "MAXLEN", "=", "40"))
	}
	return plain(cmd("XADD", key, id, "f", m.value(), "g", m.word()))
}

func (m *Mix) expiry() Op {
	key, life := m.key([]string{"text", "hash", "sorted", "count"}[m.rng.IntN(4)]), m.life()
	switch m.rng.IntN(4) {
	case 0:
		return plain(cmd("PERSIST", key))
	case 1:
		life = life.Truncate(time.Second)
		return Op{
			Log:    wal.Cmd("EXPIRE", key, strconv.Itoa(int(life/time.Second)), "GT"),
			Direct: func(at time.Time) [][]string { return [][]string{{"PEXPIREAT", key, ms(at.Add(life)), "GT"}} },
		}
	default:
		return Op{
			Log:    wal.Expire(key, life),
			Direct: func(at time.Time) [][]string { return [][]string{{"PEXPIREAT", key, ms(at.Add(life))}} },
		}
	}
}

// brief is a key that expires while the demo runs.
func (m *Mix) brief() Op {
	key, v := "brief:"+strconv.Itoa(m.made), m.value()
	return Op{
		Log:    wal.Set(key, v).ExpireAfter(shortLife),
		Direct: func(at time.Time) [][]string { return [][]string{{"SET", key, v, "PXAT", ms(at.Add(shortLife))}} },
	}
}

func (m *Mix) remove() Op {
	key := m.key([]string{"text", "count", "hash", "list", "set", "sorted"}[m.rng.IntN(6)])
	if m.rng.IntN(3) == 0 {
		return plain(cmd("UNLINK", key))
	}
	return plain(cmd("DEL", key))
}

// several is one transaction over keys that a hash tag keeps together.
func (m *Mix) several() Op {
	tag := "{user" + strconv.Itoa(m.rng.IntN(m.keys)) + "}"
	if m.rng.IntN(5) == 0 {
		return plain(cmd("SET", "draft:"+tag, m.value()), cmd("RENAME", "draft:"+tag, "final:"+tag))
	}
	return plain(
		cmd("HSET", "profile:"+tag, m.word(), m.value()), cmd("INCR", "visits:"+tag),
		cmd("LPUSH", "recent:"+tag, m.word()), cmd("LTRIM", "recent:"+tag, "0", "9"),
	)
}

// otherApplication writes JSON by hand, and deletes with a null value. Its keys are its own.
func (m *Mix) otherApplication() Op {
	key := m.key("json")
	switch m.rng.IntN(6) {
	case 0:
		del := [][]string{{"DEL", key}}
		return Op{Raw: Raw{Key: key, Partition: -1}, Direct: func(time.Time) [][]string { return del }}
	case 1:
		life, v := m.life().Truncate(time.Second), "v "+m.word()
		op := Op{Direct: func(at time.Time) [][]string { return [][]string{{"SET", key, v, "PXAT", ms(at.Add(life))}} }}
		return op.inJSON(key, cmd("SETEX", key, strconv.Itoa(int(life/time.Second)), v))
	case 2:
		tag := "{json" + strconv.Itoa(m.rng.IntN(m.keys)) + "}"
		a, b := cmd("SADD", "tags:"+tag, m.word()), cmd("ZADD", "ranks:"+tag, m.number(), m.word())
		return plain(a, b).inJSON(tag[1:len(tag)-1], a, b)
	default:
		c := cmd("SET", key, "naïve ☃ "+m.word())
		return plain(c).inJSON(key, c)
	}
}

// Poison is one of the records that no applier can apply, and why it is one: the reason in the DLQ.
func (m *Mix) Poison() (op Op, reason string) {
	key := m.key("poison")
	raw := Raw{Key: key, JSON: true, Partition: -1}
	switch m.rng.IntN(6) {
	case 0:
		raw.Value, reason = []byte(`{"cmd":["FLUSHALL"]}`), "forbidden-command"
	case 1:
		raw.Value, reason = []byte(`{"cmd":["SET","`+key+`"`), "undecodable"
	case 2:
		raw.Value, reason = []byte(`{"cmds":[["SET","`+key+`","1"],["SET","elsewhere","2"]]}`), "two-routing-keys"
	case 3:
		raw.Value, reason = []byte(`{"cmd":["SET","`+key+`","v","EX","0"]}`), "invalid-expiry"
	case 4:
		raw.Value, raw.NoLevel, reason = []byte(`{"cmd":["SET","`+key+`","v"]}`), true, "no-level"
	default:
		raw.Value, raw.Key, reason = []byte(`{"cmd":["SET","`+key+`","v"]}`), "another:"+key, "key-mismatch"
	}
	return Op{Raw: raw}, reason
}
