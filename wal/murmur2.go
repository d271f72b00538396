package wal

import "encoding/binary"

// Partition is the partition of a key among n: Java's default partitioner, so that any producer of any language that uses
// Kafka's default agrees (org.apache.kafka.clients.producer.internals.BuiltInPartitioner).
func Partition(key []byte, n int32) int32 {
	return int32(murmur2(key)&0x7fffffff) % n
}

// murmur2 is org.apache.kafka.common.utils.Utils.murmur2: 32 bits, with Kafka's seed.
func murmur2(b []byte) uint32 {
	const m, r, seed = 0x5bd1e995, 24, 0x9747b28c
	h := seed ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := binary.LittleEndian.Uint32(b) * m
		k ^= k >> r
		h = h*m ^ k*m
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}
