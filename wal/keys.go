package wal

import (
	"bytes"
	"slices"
)

// Keys are the Redis keys that a data record writes, each once, in order: all of them share the record's routing key. The arguments are those of [Decoder.Decode], and so
// are the errors.
func Keys(level int, key, value []byte, contentType string, timestamp int64) ([][]byte, error) {
	if value == nil {
		return [][]byte{key}, nil
	}
	var d Decoder
	d.judge.collect = true
	if _, err := d.Decode(level, key, value, contentType, timestamp); err != nil {
		return nil, err
	}
	keys := make([][]byte, len(d.judge.all))
	for i, k := range d.judge.all {
		keys[i] = bytes.Clone(k)
	}
	slices.SortFunc(keys, bytes.Compare)
	return slices.CompactFunc(keys, bytes.Equal), nil
}
