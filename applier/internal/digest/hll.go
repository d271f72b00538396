package digest

import "strings"

// A HyperLogLog is a string: HYLL, the encoding, three bytes, a cached count (8 bytes), and 16,384 registers of 6 bits, which stand there as they are
// (dense) or as runs (sparse). Redis changes from sparse to dense when it likes, so two equal ones may be different strings.
const (
	hllMagic     = "HYLL"
	hllHeader    = 16
	hllRegisters = 1 << 14
	hllDense     = hllHeader + hllRegisters*6/8
)

// registers are those of a HyperLogLog, one byte each; false if the string is none.
func registers(s string) ([]byte, bool) {
	if len(s) < hllHeader || !strings.HasPrefix(s, hllMagic) {
		return nil, false
	}
	body, out := s[hllHeader:], make([]byte, 0, hllRegisters)
	switch s[4] {
	case 0:
		if len(s) != hllDense {
			return nil, false
		}
		for i := range hllRegisters { // the low bits first
			bit := i * 6
			at, shift := bit/8, bit%8
			v := uint16(body[at]) >> shift
			if shift > 2 {
				v |= uint16(body[at+1]) << (8 - shift)
			}
			out = append(out, byte(v&63))
		}
		return out, true
	case 1:
		for i := 0; i < len(body); i++ {
			b := body[i]
			value, run := byte(0), int(b&0x3f)+1 // 00xxxxxx: so many zeros
			switch b >> 6 {
			case 1: // 01xxxxxx yyyyyyyy: many zeros
				if i++; i == len(body) {
					return nil, false
				}
				run = (int(b&0x3f)<<8 | int(body[i])) + 1
			case 2, 3: // 1vvvvvxx: a value, some times
				value, run = (b>>2)&0x1f+1, int(b&3)+1
			}
			if len(out)+run > hllRegisters {
				return nil, false
			}
			for range run {
				out = append(out, value)
			}
		}
		return out, len(out) == hllRegisters
	default:
		return nil, false
	}
}
