package wal

import (
	"errors"
	"fmt"
	"strconv"
)

// The RESP form is a strict subset of RESP2: arrays of bulk strings, one after the other. Every op has exactly one
// encoding, so a value that decodes is byte-equal to its op encoded again, and Redis may be sent the value as it is.

var (
	errTruncated = errors.New("the value ends inside a command")
	errCRLF      = errors.New(`want \r\n`)
)

// parseCommand reads the command at the beginning of b: it appends the arguments, which alias b, to args and gives the number
// of bytes read.
func parseCommand(args [][]byte, b []byte) (_ [][]byte, size int, err error) {
	count, pos, err := parseLength(b, '*')
	if err != nil {
		return args, 0, fmt.Errorf("command: %w", err)
	}
	for i := range count {
		length, header, err := parseLength(b[pos:], '$')
		if err != nil {
			return args, 0, fmt.Errorf("argument %d: %w", i, err)
		}
		start := pos + header
		end := start + length
		if end+2 > len(b) {
			return args, 0, fmt.Errorf("argument %d: %w", i, errTruncated)
		}
		if b[end] != '\r' || b[end+1] != '\n' {
			return args, 0, fmt.Errorf("argument %d: %w after its %d bytes", i, errCRLF, length)
		}
		args = append(args, b[start:end:end])
		pos = end + 2
	}
	return args, pos, nil
}

// parseLength reads a type byte, a canonical length and CRLF. A length that exceeds what is left of b is refused here, so
// that sums with it cannot overflow.
func parseLength(b []byte, kind byte) (length, size int, err error) {
	if len(b) == 0 {
		return 0, 0, errTruncated
	}
	if b[0] != kind {
		return 0, 0, fmt.Errorf("begins with %q, want %q", b[0], kind)
	}
	i := 1
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		if length = length*10 + int(b[i]-'0'); length > len(b) {
			return 0, 0, errTruncated
		}
	}
	switch {
	case i == len(b) || i+1 == len(b) && b[i] == '\r':
		return 0, 0, errTruncated
	case i == 1 && b[1] == '-':
		return 0, 0, errors.New("null or negative length; only a null Kafka value is null")
	case i == 1 || b[1] == '0' && i > 2:
		return 0, 0, fmt.Errorf("length is not canonical: want a decimal without sign and leading zeros after %q", kind)
	case b[i] != '\r' || b[i+1] != '\n':
		return 0, 0, fmt.Errorf("%w after the length", errCRLF)
	}
	return length, i + 2, nil
}

// appendArray begins a command of n arguments.
func appendArray(dst []byte, n int) []byte {
	return appendLength(dst, '*', n)
}

// appendBulk appends one argument.
func appendBulk[T string | []byte](dst []byte, arg T) []byte {
	dst = appendLength(dst, '$', len(arg))
	dst = append(dst, arg...)
	return append(dst, '\r', '\n')
}

// appendBulkInt appends a number as an argument.
func appendBulkInt(dst []byte, n int64) []byte {
	var digits [20]byte
	return appendBulk(dst, strconv.AppendInt(digits[:0], n, 10))
}

func appendLength(dst []byte, kind byte, n int) []byte {
	dst = append(dst, kind)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, '\r', '\n')
}

// is reports whether an argument is the option name, which is upper case. Like Redis it folds ASCII only:
// bytes.EqualFold would take the Kelvin sign for a K.
func is(arg []byte, name string) bool {
	if len(arg) != len(name) {
		return false
	}
	for i := range arg {
		if upper(arg[i]) != name[i] {
			return false
		}
	}
	return true
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// quote shows an argument in an error, shortened.
func quote(arg []byte) string {
	const most = 64
	if len(arg) > most {
		return fmt.Sprintf("%q...", arg[:most])
	}
	return fmt.Sprintf("%q", arg)
}
