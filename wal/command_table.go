package wal

import "strings"

// Key positions that many commands share.
var (
	oneKey   = keyRange{1, 1, 1}
	twoKeys  = keyRange{1, 2, 1}
	allKeys  = keyRange{1, -1, 1}
	pairKeys = keyRange{1, -1, 2} // key value key value ...
	subKey   = keyRange{2, 2, 1}  // after a subcommand
)

// commands is the whole table by name: what may stand in the log (allowed) and what may not (refusals). It is never changed.
var commands = index(allowed(), refusals())

// allowed are the deterministic writes of Redis 7. Arity and key positions are as COMMAND gives them; a test compares.
// Those that free are the ones that Redis lets through when memory is full, without RENAME, RENAMENX, SMOVE and expiry that lies
// ahead: those may need a little.
func allowed() []command {
	return []command{
		{name: "APPEND", arity: 3, keys: oneKey, class: classString, level: 1},
		{name: "DECR", arity: 2, keys: oneKey, class: classString, level: 1},
		{name: "DECRBY", arity: 3, keys: oneKey, class: classString, level: 1},
		{name: "GETDEL", arity: 2, keys: oneKey, class: classString, level: 1, frees: true},
		{name: "GETEX", arity: -2, keys: oneKey, class: classString, level: 1, rule: ruleGetEx},
		{name: "GETSET", arity: 3, keys: oneKey, class: classString, level: 1},
		{name: "INCR", arity: 2, keys: oneKey, class: classString, level: 1},
		{name: "INCRBY", arity: 3, keys: oneKey, class: classString, level: 1},
		{name: "INCRBYFLOAT", arity: 3, keys: oneKey, class: classString, level: 1},
		{name: "MSET", arity: -3, keys: pairKeys, class: classString, level: 1, rule: rulePairs(1)},
		{name: "MSETNX", arity: -3, keys: pairKeys, class: classString, level: 1, rule: rulePairs(1)},
		{name: "PSETEX", arity: 4, keys: oneKey, class: classString, level: 1, rule: ruleSetEx(milliseconds)},
		{name: "SET", arity: -3, keys: oneKey, class: classString, level: 1, rule: ruleSet},
		{name: "SETEX", arity: 4, keys: oneKey, class: classString, level: 1, rule: ruleSetEx(seconds)},
		{name: "SETNX", arity: 3, keys: oneKey, class: classString, level: 1},
		{name: "SETRANGE", arity: 4, keys: oneKey, class: classString, level: 1},

		{name: "BITFIELD", arity: -2, keys: oneKey, class: classBitmap, level: 1, rule: ruleBitfield},
		{name: "BITOP", arity: -4, keys: keyRange{2, -1, 1}, class: classBitmap, level: 1},
		{name: "SETBIT", arity: 4, keys: oneKey, class: classBitmap, level: 1},

		{name: "PFADD", arity: -2, keys: oneKey, class: classHLL, level: 1},
		{name: "PFMERGE", arity: -2, keys: allKeys, class: classHLL, level: 1},

		{name: "HDEL", arity: -3, keys: oneKey, class: classHash, level: 1, frees: true},
		{name: "HINCRBY", arity: 4, keys: oneKey, class: classHash, level: 1},
		{name: "HINCRBYFLOAT", arity: 4, keys: oneKey, class: classHash, level: 1},
		{name: "HMSET", arity: -4, keys: oneKey, class: classHash, level: 1, rule: rulePairs(2)},
		{name: "HSET", arity: -4, keys: oneKey, class: classHash, level: 1, rule: rulePairs(2)},
		{name: "HSETNX", arity: 4, keys: oneKey, class: classHash, level: 1},

		// Expiry of hash fields: Redis 7.4 and 8.0. Their rules come with level 2.
		{name: "HEXPIRE", arity: -6, keys: oneKey, class: classHash, level: 2},
		{name: "HEXPIREAT", arity: -6, keys: oneKey, class: classHash, level: 2},
		{name: "HGETDEL", arity: -5, keys: oneKey, class: classHash, level: 2, frees: true},
		{name: "HGETEX", arity: -5, keys: oneKey, class: classHash, level: 2},
		{name: "HPERSIST", arity: -5, keys: oneKey, class: classHash, level: 2, frees: true},
		{name: "HPEXPIRE", arity: -6, keys: oneKey, class: classHash, level: 2},
		{name: "HPEXPIREAT", arity: -6, keys: oneKey, class: classHash, level: 2},
		{name: "HSETEX", arity: -6, keys: oneKey, class: classHash, level: 2},

		{name: "LINSERT", arity: 5, keys: oneKey, class: classList, level: 1},
		{name: "LMOVE", arity: 5, keys: twoKeys, class: classList, level: 1},
		{name: "LMPOP", arity: -4, class: classList, level: 1, frees: true, rule: ruleNumKeys(1, 1)},
		{name: "LPOP", arity: -2, keys: oneKey, class: classList, level: 1, frees: true},
		{name: "LPUSH", arity: -3, keys: oneKey, class: classList, level: 1},
		{name: "LPUSHX", arity: -3, keys: oneKey, class: classList, level: 1},
		{name: "LREM", arity: 4, keys: oneKey, class: classList, level: 1, frees: true},
		{name: "LSET", arity: 4, keys: oneKey, class: classList, level: 1},
		{name: "LTRIM", arity: 4, keys: oneKey, class: classList, level: 1, frees: true},
		{name: "RPOP", arity: -2, keys: oneKey, class: classList, level: 1, frees: true},
		{name: "RPOPLPUSH", arity: 3, keys: twoKeys, class: classList, level: 1},
		{name: "RPUSH", arity: -3, keys: oneKey, class: classList, level: 1},
		{name: "RPUSHX", arity: -3, keys: oneKey, class: classList, level: 1},

		{name: "SADD", arity: -3, keys: oneKey, class: classSet, level: 1},
		{name: "SDIFFSTORE", arity: -3, keys: allKeys, class: classSet, level: 1},
		{name: "SINTERSTORE", arity: -3, keys: allKeys, class: classSet, level: 1},
		{name: "SMOVE", arity: 4, keys: twoKeys, class: classSet, level: 1},
		{name: "SREM", arity: -3, keys: oneKey, class: classSet, level: 1, frees: true},
		{name: "SUNIONSTORE", arity: -3, keys: allKeys, class: classSet, level: 1},

		{name: "ZADD", arity: -4, keys: oneKey, class: classZSet, level: 1},
		{name: "ZDIFFSTORE", arity: -4, keys: oneKey, class: classZSet, level: 1, rule: ruleNumKeys(2, 0)},
		{name: "ZINCRBY", arity: 4, keys: oneKey, class: classZSet, level: 1},
		{name: "ZINTERSTORE", arity: -4, keys: oneKey, class: classZSet, level: 1, rule: ruleNumKeys(2, 0)},
		{name: "ZMPOP", arity: -4, class: classZSet, level: 1, frees: true, rule: ruleNumKeys(1, 1)},
		{name: "ZPOPMAX", arity: -2, keys: oneKey, class: classZSet, level: 1, frees: true},
		{name: "ZPOPMIN", arity: -2, keys: oneKey, class: classZSet, level: 1, frees: true},
		{name: "ZRANGESTORE", arity: -5, keys: twoKeys, class: classZSet, level: 1},
		{name: "ZREM", arity: -3, keys: oneKey, class: classZSet, level: 1, frees: true},
		{name: "ZREMRANGEBYLEX", arity: 4, keys: oneKey, class: classZSet, level: 1, frees: true},
		{name: "ZREMRANGEBYRANK", arity: 4, keys: oneKey, class: classZSet, level: 1, frees: true},
		{name: "ZREMRANGEBYSCORE", arity: 4, keys: oneKey, class: classZSet, level: 1, frees: true},
		{name: "ZUNIONSTORE", arity: -4, keys: oneKey, class: classZSet, level: 1, rule: ruleNumKeys(2, 0)},

		{name: "GEOADD", arity: -5, keys: oneKey, class: classGeo, level: 1},
		{name: "GEORADIUS", arity: -6, keys: oneKey, class: classGeo, level: 1, rule: ruleGeoRadius(6)},
		{name: "GEORADIUSBYMEMBER", arity: -5, keys: oneKey, class: classGeo, level: 1, rule: ruleGeoRadius(5)},
		{name: "GEOSEARCHSTORE", arity: -8, keys: twoKeys, class: classGeo, level: 1, rule: ruleGeoSearchStore},

		{name: "XACK", arity: -4, keys: oneKey, class: classStream, level: 1, frees: true},
		{name: "XADD", arity: -5, keys: oneKey, class: classStream, level: 1, rule: ruleXAdd},
		{name: "XDEL", arity: -3, keys: oneKey, class: classStream, level: 1, frees: true},
		{name: "XGROUP CREATE", arity: -5, keys: subKey, class: classStream, level: 1},
		{name: "XGROUP DELCONSUMER", arity: 5, keys: subKey, class: classStream, level: 1, frees: true},
		{name: "XGROUP DESTROY", arity: 4, keys: subKey, class: classStream, level: 1, frees: true},
		{name: "XGROUP SETID", arity: -5, keys: subKey, class: classStream, level: 1},
		{name: "XSETID", arity: -3, keys: oneKey, class: classStream, level: 1},
		{name: "XTRIM", arity: -4, keys: oneKey, class: classStream, level: 1, frees: true, rule: ruleXTrim},

		{name: "COPY", arity: -3, keys: twoKeys, class: classGeneric, level: 1, rule: ruleCopy},
		{name: "DEL", arity: -2, keys: allKeys, class: classGeneric, level: 1, frees: true},
		{name: "EXPIRE", arity: -3, keys: oneKey, class: classGeneric, level: 1, rule: ruleExpire(seconds, relative)},
		{name: "EXPIREAT", arity: -3, keys: oneKey, class: classGeneric, level: 1, rule: ruleExpire(seconds, absolute)},
		{name: "PERSIST", arity: 2, keys: oneKey, class: classGeneric, level: 1, frees: true},
		{name: "PEXPIRE", arity: -3, keys: oneKey, class: classGeneric, level: 1, rule: ruleExpire(milliseconds, relative)},
		{name: "PEXPIREAT", arity: -3, keys: oneKey, class: classGeneric, level: 1, rule: ruleExpire(milliseconds, absolute)},
		{name: "RENAME", arity: 3, keys: twoKeys, class: classGeneric, level: 1},
		{name: "RENAMENX", arity: 3, keys: twoKeys, class: classGeneric, level: 1},
		{name: "RESTORE", arity: -4, keys: oneKey, class: classGeneric, level: 1, rule: ruleRestore},
		{name: "SORT", arity: -2, keys: oneKey, class: classGeneric, level: 1, rule: ruleSort},
		{name: "UNLINK", arity: -2, keys: allKeys, class: classGeneric, level: 1, frees: true},
	}
}

// index puts rows under their names, and those of subcommands under their container.
func index(lists ...[]command) map[string]*command {
	table := map[string]*command{}
	for _, rows := range lists {
		for i := range rows {
			row := &rows[i]
			container, sub, ok := strings.Cut(row.name, " ")
			if !ok {
				table[row.name] = row
				continue
			}
			if table[container] == nil {
				table[container] = &command{name: container, subcommands: map[string]*command{}}
			}
			table[container].subcommands[sub] = row
		}
	}
	return table
}
