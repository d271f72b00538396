package sink

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// The hot path writes the bytes of the records as they are and reads replies with the few lines below, because a client that builds a
// value for every command and every reply costs a third of the speed. Everything cold goes through the same
// lines, so that there is one way to talk to the primary; Sentinels are asked through go-redis.

// appendCommand appends one command as a RESP array of bulk strings.
func appendCommand(dst []byte, args ...string) []byte {
	dst = appendHeader(dst, '*', len(args))
	for _, a := range args {
		dst = appendHeader(dst, '$', len(a))
		dst = append(dst, a...)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

func appendHeader(dst []byte, kind byte, n int) []byte {
	dst = append(dst, kind)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, "\r\n"...)
}

// reply is one RESP2 reply.
type reply struct {
	kind  byte    // + - : $ *
	text  string  // of + - : $; empty for null
	null  bool    // a null bulk string or array
	items []reply // of *
}

func (r reply) err() error {
	if r.kind == '-' {
		return ServerError(r.text)
	}
	return nil
}

// ServerError is an error that Redis answered.
type ServerError string

// Error is Redis's own words.
func (e ServerError) Error() string { return string(e) }

var errProtocol = errors.New("unexpected bytes from Redis")

// maxBulk bounds what is read into memory for one reply.
const maxBulk = 64 << 20

func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("%w: a line of more than %d bytes", errProtocol, r.Size())
	}
	if err != nil {
		return nil, err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("%w: %.40q", errProtocol, line)
	}
	return line[:len(line)-2], nil
}

func readLen(line []byte) (int, error) {
	n, err := strconv.Atoi(string(line[1:]))
	if err != nil || n < -1 || n > maxBulk {
		return 0, fmt.Errorf("%w: %.40q", errProtocol, line)
	}
	return n, nil
}

// readReply reads one reply whole.
func readReply(r *bufio.Reader) (reply, error) {
	line, err := readLine(r)
	if err != nil {
		return reply{}, err
	}
	out := reply{kind: line[0]}
	switch line[0] {
	case '+', '-', ':':
		out.text = string(line[1:])
		return out, nil
	case '$':
		n, err := readLen(line)
		if err != nil || n < 0 {
			out.null = true
			return out, err
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return out, err
		}
		out.text = string(b[:n])
		return out, nil
	case '*':
		n, err := readLen(line)
		if err != nil || n < 0 {
			out.null = true
			return out, err
		}
		for range n {
			item, err := readReply(r)
			if err != nil {
				return out, err
			}
			out.items = append(out.items, item)
		}
		return out, nil
	}
	return out, fmt.Errorf("%w: %.40q", errProtocol, line)
}

// skipReply reads one reply and keeps only an error: most replies of a batch are of no interest, and building them would cost
// more than executing the batch.
func skipReply(r *bufio.Reader) (ServerError, error) {
	line, err := readLine(r)
	if err != nil {
		return "", err
	}
	switch line[0] {
	case '+', ':':
		return "", nil
	case '-':
		return ServerError(line[1:]), nil
	case '$':
		n, err := readLen(line)
		if err != nil || n < 0 {
			return "", err
		}
		_, err = r.Discard(n + 2)
		return "", err
	case '*':
		n, err := readLen(line)
		if err != nil {
			return "", err
		}
		for range n { // an error inside an array belongs to the array: no command of the table answers so
			if _, err := skipReply(r); err != nil {
				return "", err
			}
		}
		return "", nil
	}
	return "", fmt.Errorf("%w: %.40q", errProtocol, line)
}

// skipEqual reads past a bulk string if it is text, and reads nothing if it is not.
func skipEqual(r *bufio.Reader, text string) (bool, error) {
	var header [24]byte
	want := append(strconv.AppendInt(append(header[:0], '$'), int64(len(text)), 10), "\r\n"...)
	size := len(want) + len(text) + 2
	// Nothing may follow a shorter one, so no more is waited for than the shortest has: $-1 and the line's end.
	first := min(len(want), len("$-1\r\n"))
	head, err := r.Peek(first)
	if err != nil {
		return false, err
	}
	if string(head) != string(want[:first]) {
		return false, nil
	}
	all, err := r.Peek(size)
	if err != nil {
		return false, err
	}
	if string(all[:len(want)]) != string(want) || string(all[len(want):size-2]) != text {
		return false, nil
	}
	_, err = r.Discard(size)
	return true, err
}
