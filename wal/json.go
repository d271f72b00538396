package wal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The JSON form is for producers without a RESP encoder and for people. It is parsed here and not by encoding/json, which
// lets pass what this log must not guess about: it takes the last of two equal fields, ignores the case of names and puts
// U+FFFD in place of what is not Unicode.

// parseJSON reads {"cmd":[...]} or {"cmds":[[...],...]}.
func parseJSON(value []byte) ([][][]byte, error) {
	if !utf8.Valid(value) {
		return nil, errors.New(`not UTF-8; write binary as {"$b64":"..."}`)
	}
	p := &jsonParser{rest: string(value), size: len(value)}
	commands, err := p.value()
	if err != nil {
		return nil, fmt.Errorf("at byte %d: %w", p.size-len(p.rest), err)
	}
	return commands, nil
}

type jsonParser struct {
	rest string // what is not read yet
	size int
}

func (p *jsonParser) value() ([][][]byte, error) {
	if err := p.want('{'); err != nil {
		return nil, err
	}
	field, err := p.field()
	if err != nil {
		return nil, err
	}
	var commands [][][]byte
	switch field {
	case "cmd":
		var command [][]byte
		if command, err = list(p, p.argument); err == nil {
			commands = [][][]byte{command}
		}
	case "cmds":
		commands, err = list(p, func() ([][]byte, error) { return list(p, p.argument) })
	default:
		err = fmt.Errorf(`unknown field %q; want "cmd" or "cmds"`, field)
	}
	if err != nil {
		return nil, err
	}
	if p.peek() == ',' {
		return nil, errors.New(`a second field; want one field only, "cmd" or "cmds"`)
	}
	if err := p.want('}'); err != nil {
		return nil, err
	}
	if p.peek() != 0 || p.rest != "" {
		return nil, errors.New("data after the JSON value")
	}
	return commands, nil
}

// argument reads a string or {"$b64":"..."}.
func (p *jsonParser) argument() ([]byte, error) {
	switch p.peek() {
	case '"':
		s, err := p.str()
		return []byte(s), err
	case '{':
		return p.binary()
	default:
		return nil, errors.New(`want a string or {"$b64":"..."}; write numbers as strings`)
	}
}

func (p *jsonParser) binary() ([]byte, error) {
	if err := p.want('{'); err != nil {
		return nil, err
	}
	field, err := p.field()
	if err != nil {
		return nil, err
	}
	if field != "$b64" {
		return nil, fmt.Errorf(`unknown field %q; want "$b64"`, field)
	}
	s, err := p.str()
	if err != nil {
		return nil, err
	}
	// The decoder would skip line ends, and Strict only refuses stray bits.
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("$b64: want standard base64 with padding, in one line")
	}
	return b, p.want('}')
}

// field reads a field's name and the colon.
func (p *jsonParser) field() (string, error) {
	name, err := p.str()
	if err != nil {
		return "", err
	}
	return name, p.want(':')
}

// list reads an array whose elements item reads.
func list[T any](p *jsonParser, item func() (T, error)) ([]T, error) {
	if err := p.want('['); err != nil {
		return nil, err
	}
	var items []T
	if p.peek() == ']' {
		return items, p.want(']')
	}
	for {
		v, err := item()
		if err != nil {
			return nil, err
		}
		items = append(items, v)
		if p.peek() != ',' {
			return items, p.want(']')
		}
		p.rest = p.rest[1:]
	}
}

// str reads a string.
func (p *jsonParser) str() (string, error) {
	if err := p.want('"'); err != nil {
		return "", err
	}
	var b strings.Builder
	for {
		i := strings.IndexFunc(p.rest, func(c rune) bool { return c == '"' || c == '\\' || c < ' ' })
		if i < 0 {
			return "", errors.New("a string without an end")
		}
		b.WriteString(p.rest[:i])
		c := p.rest[i]
		p.rest = p.rest[i+1:]
		switch c {
		case '"':
			return b.String(), nil
		case '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		default:
			return "", fmt.Errorf("control character %q in a string; escape it", c)
		}
	}
}

// escape reads what follows a backslash.
func (p *jsonParser) escape() (rune, error) {
	if p.rest == "" {
		return 0, errors.New("a string without an end")
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return p.unicode()
	default:
		return 0, fmt.Errorf(`unknown escape \%c`, c)
	}
}

// unicode reads what follows \u: one code unit, or the two of a surrogate pair.
func (p *jsonParser) unicode() (rune, error) {
	r, err := p.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if strings.HasPrefix(p.rest, `\u`) {
		p.rest = p.rest[2:]
		low, err := p.hex4()
		if err != nil {
			return 0, err
		}
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, nil
		}
	}
	return 0, errors.New(`half of a surrogate pair is no character; write binary as {"$b64":"..."}`)
}

func (p *jsonParser) hex4() (rune, error) {
	if len(p.rest) < 4 {
		return 0, errors.New(`want four hexadecimal digits after \u`)
	}
	var r rune
	for _, c := range []byte(p.rest[:4]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, errors.New(`want four hexadecimal digits after \u`)
		}
	}
	p.rest = p.rest[4:]
	return r, nil
}

// want reads white space and c.
func (p *jsonParser) want(c byte) error {
	switch got := p.peek(); {
	case p.rest == "":
		return fmt.Errorf("the value ends where %q is wanted", c)
	case got != c:
		return fmt.Errorf("%q where %q is wanted", got, c)
	}
	p.rest = p.rest[1:]
	return nil
}

// peek skips white space and gives the byte that comes next, 0 at the end.
func (p *jsonParser) peek() byte {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}
