package wal

import "strings"

// refusals are the commands of Redis 7 that may not stand in the log, grouped by why and what to use instead. A container
// (ACL, CLIENT, ...) is refused with all its subcommands.
func refusals() []command {
	var rows []command
	for _, group := range []struct{ names, why string }{
		{"SPOP", "which member goes is random, each site would lose another; choose one (SRANDMEMBER) and use SREM"},
		{"XREADGROUP", "it writes deliveries with the clock of the server; read at one site with XREAD or XRANGE, and keep the place in a key of your own"},
		{"XCLAIM XAUTOCLAIM", "pending entries depend on the clock of the server; keep claims in a key of your own, as with HSET and an owner"},
		{"XGROUP_CREATECONSUMER", "a consumer carries the clock of the server; keep consumers in a key of your own"},
		{"XGROUP_HELP", "it writes nothing"},
		{
			"EVAL EVALSHA EVAL_RO EVALSHA_RO FCALL FCALL_RO SCRIPT FUNCTION",
			"what a script or function writes cannot be known before it runs; append the commands it would run, several in one record are one transaction",
		},
		{"FLUSHALL FLUSHDB", "it takes the position with it and has no routing key; use UNLINK for each key"},
		{"SWAPDB MOVE SELECT", "the log is about database 0 only; use another log, or another key"},
		{
			"BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH BZMPOP BZPOPMAX BZPOPMIN",
			"a log cannot wait; use the command without the leading B",
		},
		{
			"PUBLISH SPUBLISH SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE PUBSUB",
			"a message is no state and would be sent again on each replay; read the Kafka topic, or use XADD",
		},
		{
			"MULTI EXEC DISCARD WATCH UNWATCH",
			"every record is a transaction already; put the commands into one record, without it",
		},
		{"RESTORE-ASKING ASKING MIGRATE", "it is for Redis Cluster among its own nodes; use RESTORE with ABSTTL"},
		{
			"ACL AUTH BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG DEBUG ECHO FAILOVER HELLO INFO LASTSAVE LATENCY LOLWUT MEMORY " +
				"MODULE MONITOR PFDEBUG PFSELFTEST PING PSYNC QUIT READONLY READWRITE REPLCONF REPLICAOF RESET ROLE SAVE SHUTDOWN " +
				"SLAVEOF SLOWLOG SYNC TIME WAIT WAITAOF",
			"it is about the server or the connection, not about data; do it at each site",
		},
		{
			"BITCOUNT BITFIELD_RO BITPOS DBSIZE DUMP EXISTS EXPIRETIME GEODIST GEOHASH GEOPOS GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH " +
				"GET GETBIT GETRANGE HEXISTS HEXPIRETIME HGET HGETALL HKEYS HLEN HMGET HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSTRLEN HTTL " +
				"HVALS KEYS LCS LINDEX LLEN LPOS LRANGE MGET OBJECT PEXPIRETIME PFCOUNT PTTL RANDOMKEY SCAN SCARD SDIFF SINTER " +
				"SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SORT_RO SRANDMEMBER SSCAN STRLEN SUBSTR SUNION TOUCH TTL TYPE XINFO XLEN " +
				"XPENDING XRANGE XREAD XREVRANGE ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE ZRANDMEMBER ZRANGE ZRANGEBYLEX " +
				"ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE ZUNION",
			onlyReads,
		},
	} {
		for name := range strings.FieldsSeq(group.names) {
			rows = append(rows, command{name: strings.Replace(name, "XGROUP_", "XGROUP ", 1), refused: group.why})
		}
	}
	return rows
}

// onlyReads refuses what changes nothing.
const onlyReads = "it only reads, the log is for writes; ask the Redis of the site"
