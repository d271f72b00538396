package wal

import "bytes"

// RoutingKey is the part of a Redis key that chooses the partition: what stands between the first `{` and the next `}` if that
// is not empty, else the whole key. It is the hash-tag rule of Redis Cluster. The result aliases redisKey.
func RoutingKey(redisKey []byte) []byte {
	open := bytes.IndexByte(redisKey, '{')
	if open < 0 {
		return redisKey
	}
	tag := redisKey[open+1:]
	end := bytes.IndexByte(tag, '}')
	if end <= 0 {
		return redisKey
	}
	return tag[:end]
}
