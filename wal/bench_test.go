package wal

import (
	"strings"
	"testing"
)

func BenchmarkDecode(b *testing.B) {
	for _, tt := range []struct{ name, key, contentType, value string }{
		{"SET", "key:000012345678", ContentTypeRESP, string(resp("SET", "key:000012345678", strings.Repeat("x", 100)))},
		{"SET EX", "key:000012345678", ContentTypeRESP, string(resp("SET", "key:000012345678", strings.Repeat("x", 100), "EX", "60"))},
		{"INCR", "key:000012345678", ContentTypeRESP, string(resp("INCR", "key:000012345678"))},
		{"JSON", "key:000012345678", ContentTypeJSON, `{"cmd":["SET","key:000012345678","` + strings.Repeat("x", 100) + `"]}`},
	} {
		b.Run(tt.name, func(b *testing.B) {
			var d Decoder
			key, value := []byte(tt.key), []byte(tt.value)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%1000 == 0 {
					d.Reset()
				}
				if _, err := d.Decode(1, key, value, tt.contentType, 1_700_000_000_000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// resp encodes one command.
func resp(args ...string) []byte {
	return Op{Commands: [][][]byte{arguments(args...)}}.AppendRESP(nil)
}

func arguments(args ...string) [][]byte {
	var b [][]byte
	for _, arg := range args {
		b = append(b, []byte(arg))
	}
	return b
}
