// Package redisline reads a line of commands, and writes an answer, as redis-cli does.
package redisline

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/comptech-lab/redis-wal/reach"
)

// Split splits a line into arguments: words, "..." with \n, \r, \t, \a, \b, \" and \xHH, and '...' with \' only.
func Split(line string) ([][]byte, error) {
	var out [][]byte
	for {
		line = strings.TrimLeft(line, " \t\r\n\v\f")
		if line == "" {
			return out, nil
		}
		var arg []byte
		for line != "" && !strings.ContainsRune(" \t\r\n\v\f", rune(line[0])) {
			var err error
			switch c := line[0]; c {
			case '"', '\'':
				arg, line, err = quoted(arg, line[1:], c)
				if err != nil {
					return nil, err
				}
				if line != "" && !strings.ContainsRune(" \t\r\n\v\f", rune(line[0])) {
					return nil, errors.New("after a closing quote a space is wanted")
				}
			default:
				arg, line = append(arg, c), line[1:]
			}
		}
		if arg == nil {
			arg = []byte{}
		}
		out = append(out, arg)
	}
}

// quoted reads up to the closing quote.
func quoted(arg []byte, line string, quote byte) ([]byte, string, error) {
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == quote:
			return arg, line[i+1:], nil
		case c == '\\' && i+1 < len(line) && quote == '\'':
			if line[i+1] == '\'' {
				i++
			}
			arg = append(arg, line[i])
		case c == '\\' && i+1 < len(line):
			i++
			if b, err := strconv.ParseUint(line[min(i+1, len(line)):min(i+3, len(line))], 16, 8); line[i] == 'x' && i+2 < len(line) && err == nil {
				arg, i = append(arg, byte(b)), i+2
				continue
			}
			arg = append(arg, unescaped(line[i]))
		default:
			arg = append(arg, c)
		}
	}
	return nil, "", fmt.Errorf("a %c is not closed", quote)
}

func unescaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'a':
		return '\a'
	case 'b':
		return '\b'
	}
	return c
}

// Format is an answer as redis-cli shows it on a terminal, with a line's end.
func Format(a *reach.Answer) string {
	var b strings.Builder
	format(&b, a, "")
	return b.String()
}

func format(b *strings.Builder, a *reach.Answer, indent string) {
	switch a.Kind {
	case reach.KindStatus:
		fmt.Fprintf(b, "%s\n", a.Text)
	case reach.KindError:
		fmt.Fprintf(b, "(error) %s\n", a.Text)
	case reach.KindInt:
		fmt.Fprintf(b, "(integer) %d\n", a.Int)
	case reach.KindString:
		fmt.Fprintf(b, "%s\n", quote(a.Text))
	case reach.KindArray:
		if len(a.Items) == 0 {
			b.WriteString("(empty array)\n")
			return
		}
		width := len(strconv.Itoa(len(a.Items)))
		deeper := indent + strings.Repeat(" ", width+2)
		for i := range a.Items {
			if i > 0 {
				b.WriteString(indent)
			}
			fmt.Fprintf(b, "%*d) ", width, i+1)
			format(b, &a.Items[i], deeper)
		}
	default:
		b.WriteString("(nil)\n")
	}
}

func quote(text []byte) string {
	b := []byte{'"'}
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= ' ' && c < 0x7f:
			b = append(b, c)
		default:
			if i := strings.IndexByte("\n\r\t\a\b", c); i >= 0 {
				b = append(b, '\\', "nrtab"[i])
			} else {
				b = fmt.Appendf(b, `\x%02x`, c)
			}
		}
	}
	return string(append(b, '"'))
}
