package wal

import "strings"

// Op is the Redis command(s) of one record. All their keys share one routing key, and Redis executes them in one
// transaction. [Set], [HSet], [Cmd], [Tx] and their like build one.
type Op struct {
	Commands [][][]byte // each a name and its arguments
}

// DecodeOp reads the value of a data record, not null, in its content type ([ContentTypeRESP] or empty, [ContentTypeJSON]).
// It says what the record contains, not whether it may be applied: that is for [Op.RoutingKey] and [Decoder]. The op may alias
// the value. The error is a *[PoisonError].
func DecodeOp(value []byte, contentType string) (Op, error) {
	commands, err := decodeOp(value, contentType)
	if err != nil {
		return Op{}, err
	}
	return Op{Commands: commands}, nil
}

func decodeOp(value []byte, contentType string) ([][][]byte, *PoisonError) {
	if value == nil {
		return nil, poison(ReasonUndecodable, "a null value stands for DEL of the Kafka key and contains no op")
	}
	if len(value) == 0 {
		return nil, errEmpty("the value is empty; a null one stands for DEL of the Kafka key")
	}
	switch contentType {
	case "", ContentTypeRESP:
		return decodeRESP(value)
	case ContentTypeJSON:
		return decodeJSON(value)
	default:
		return nil, errContentType(contentType)
	}
}

func decodeRESP(value []byte) ([][][]byte, *PoisonError) {
	var commands [][][]byte
	for pos := 0; pos < len(value); {
		args, size, err := parseCommand(nil, value[pos:])
		if err != nil {
			return nil, errRESP(pos, err)
		}
		if len(args) == 0 {
			return nil, errEmpty("a command without a name")
		}
		commands = append(commands, args)
		pos += size
	}
	return commands, nil
}

func decodeJSON(value []byte) ([][][]byte, *PoisonError) {
	commands, err := parseJSON(value)
	if err != nil {
		return nil, poison(ReasonUndecodable, "JSON value %v", err)
	}
	if len(commands) == 0 {
		return nil, errEmpty("no command")
	}
	for _, args := range commands {
		if len(args) == 0 {
			return nil, errEmpty("a command without a name")
		}
	}
	return commands, nil
}

func errEmpty(detail string) *PoisonError { return poison(ReasonEmpty, "%s", detail) }

func errContentType(contentType string) *PoisonError {
	copied := strings.Clone(contentType) // so that the parameter does not escape, or callers would allocate it for every record
	return poison(ReasonBadHeader, "header %s=%q: want %s or %s", HeaderContentType, copied, ContentTypeRESP, ContentTypeJSON)
}

func errRESP(pos int, err error) *PoisonError {
	return poison(ReasonUndecodable, `RESP value, command at byte %d: %v; want arrays of bulk strings such as "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"`, pos, err)
}

// AppendRESP appends the op's RESP form, the value of a record with content type [ContentTypeRESP], to dst.
func (op Op) AppendRESP(dst []byte) []byte {
	for _, args := range op.Commands {
		dst = appendArray(dst, len(args))
		for _, arg := range args {
			dst = appendBulk(dst, arg)
		}
	}
	return dst
}

// RoutingKey is the Kafka key under which the op belongs into the log. It judges the op by the rules of [Level] on the way:
// the error is a *[PoisonError] for an op that no site would apply. The result aliases the op.
func (op Op) RoutingKey() ([]byte, error) {
	if len(op.Commands) == 0 {
		return nil, errEmpty("no command")
	}
	j := opJudge{level: Level}
	for _, args := range op.Commands {
		if len(args) == 0 {
			return nil, errEmpty("a command without a name")
		}
		j.args = args
		if err := j.command(); err != nil {
			return nil, err
		}
	}
	return j.routingKey, nil
}

// Op is op itself, so that an op can stand where a [Builder] is wanted. The error is that of [Op.RoutingKey], or that the op is
// larger than [MaxRecord].
func (op Op) Op() (Op, error) {
	key, err := op.RoutingKey()
	if err != nil {
		return Op{}, err
	}
	if size := len(key) + len(op.AppendRESP(nil)); size > MaxRecord {
		return Op{}, errTooLarge(size)
	}
	return op, nil
}

// A Builder gives an op, or says what is wrong with it: a *[PoisonError] for what no site would apply, another error for
// what the builder cannot express.
type Builder interface {
	Op() (Op, error)
}
