package wal

import "math"

// Relative expiry counts from the record's timestamp: counted from when it is applied, lag and replays would lengthen life.
// First the original is held against the rules of Redis (parseExtendedStringArgumentsOrReply, getExpireMillisecondsOrReply,
// expireGenericCommand), so that a command that Redis would refuse is poison and not something else after rewriting.

// unit is a time unit in milliseconds.
type unit int64

const (
	milliseconds unit = 1
	seconds      unit = 1000
)

// base says what an expiry counts from.
type base bool

const (
	absolute base = false
	relative base = true
)

// parseInt accepts what Redis accepts as an integer argument: an int64 as it would be printed.
func parseInt(b []byte) (int64, bool) {
	negative := len(b) > 1 && b[0] == '-'
	if negative {
		if b = b[1:]; b[0] == '0' {
			return 0, false
		}
	}
	if len(b) == 0 || len(b) > 19 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n <= math.MaxInt64
}

// expiry reads the time of SET, SETEX, GETEX and gives the absolute ms.
func (j *opJudge) expiry(arg []byte, u unit, b base) (int64, *PoisonError) {
	n, ok := parseInt(arg)
	if !ok {
		return 0, errExpiry(arg, "want an integer")
	}
	if n <= 0 {
		return 0, errExpiry(arg, "want at least 1")
	}
	if u == seconds && n > math.MaxInt64/1000 {
		return 0, errExpiry(arg, "too large")
	}
	n *= int64(u)
	if b == relative {
		if n > math.MaxInt64-j.timestamp {
			return 0, errExpiry(arg, "too large")
		}
		n += j.timestamp
	}
	return n, nil
}

func errExpiry(arg []byte, why string) *PoisonError {
	return poison(ReasonInvalidExpiry, "expiry %s: %s; Redis would refuse it", quote(arg), why)
}

func errSyntax(arg []byte) *PoisonError {
	return poison(ReasonSyntax, "option %s is not known, not complete or not compatible with those before it", quote(arg))
}

// expiryOption knows EX, PX, EXAT and PXAT.
func expiryOption(arg []byte) (u unit, b base, ok bool) {
	switch {
	case is(arg, "EX"):
		return seconds, relative, true
	case is(arg, "PX"):
		return milliseconds, relative, true
	case is(arg, "EXAT"):
		return seconds, absolute, true
	case is(arg, "PXAT"):
		return milliseconds, absolute, true
	}
	return 0, absolute, false
}

// stringOptions are the options of SET (and GETEX): which stand, and the last expiry.
type stringOptions struct {
	nx, xx, keepTTL, persist bool
	time                     []byte // of the last expiry option: the same one may stand again
	count                    int    // expiry options
	unit                     unit
	base                     base
}

// parse reads args, what follows the key and value.
func (o *stringOptions) parse(args [][]byte, isSet bool) *PoisonError {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		u, b, isExpiry := expiryOption(arg)
		switch {
		case isExpiry && i+1 < len(args) && !o.keepTTL && !o.persist && (o.count == 0 || o.unit == u && o.base == b):
			i++
			o.time, o.unit, o.base = args[i], u, b
			o.count++
		case isSet && is(arg, "NX") && !o.xx:
			o.nx = true
		case isSet && is(arg, "XX") && !o.nx:
			o.xx = true
		case isSet && is(arg, "GET"):
		case isSet && is(arg, "KEEPTTL") && o.count == 0:
			o.keepTTL = true
		case !isSet && is(arg, "PERSIST") && o.count == 0:
			o.persist = true
		default:
			return errSyntax(arg)
		}
	}
	return nil
}

// ruleSet judges SET key value [NX|XX] [GET] [EX|PX|EXAT|PXAT time|KEEPTTL].
func ruleSet(j *opJudge) *PoisonError {
	if len(j.args) == 3 {
		return nil
	}
	var o stringOptions
	if err := o.parse(j.args[3:], true); err != nil {
		return err
	}
	return j.rewriteOptions(&o, 3)
}

// ruleGetEx judges GETEX key EX|PX|EXAT|PXAT time|PERSIST.
func ruleGetEx(j *opJudge) *PoisonError {
	if len(j.args) == 2 {
		return poison(ReasonForbiddenCommand, "without an option %s", onlyReads)
	}
	var o stringOptions
	if err := o.parse(j.args[2:], false); err != nil {
		return err
	}
	j.frees = o.persist
	return j.rewriteOptions(&o, 2)
}

// rewriteOptions puts PXAT in the place of relative expiry among the options, which begin at args[from].
func (j *opJudge) rewriteOptions(o *stringOptions, from int) *PoisonError {
	if o.count == 0 {
		return nil
	}
	at, err := j.expiry(o.time, o.unit, o.base)
	if err != nil {
		return err
	}
	j.expireAt = at
	if o.base == absolute {
		return nil
	}
	j.wire = appendArray(j.wire, len(j.args)-2*o.count+2)
	for _, arg := range j.args[:from] {
		j.wire = appendBulk(j.wire, arg)
	}
	for i := from; i < len(j.args); i++ {
		if _, _, ok := expiryOption(j.args[i]); ok {
			i++ // and its time
			continue
		}
		j.wire = appendBulk(j.wire, j.args[i])
	}
	j.wire = appendBulk(j.wire, "PXAT")
	j.wire = appendBulkInt(j.wire, at)
	return nil
}

// ruleSetEx judges SETEX and PSETEX key time value, which are SET key value with a relative expiry.
func ruleSetEx(u unit) func(*opJudge) *PoisonError {
	return func(j *opJudge) *PoisonError {
		at, err := j.expiry(j.args[2], u, relative)
		if err != nil {
			return err
		}
		j.expireAt = at
		j.wire = appendArray(j.wire, 5)
		j.wire = appendBulk(j.wire, "SET")
		j.wire = appendBulk(j.wire, j.args[1])
		j.wire = appendBulk(j.wire, j.args[3])
		j.wire = appendBulk(j.wire, "PXAT")
		j.wire = appendBulkInt(j.wire, at)
		return nil
	}
}

// ruleExpire judges EXPIRE and its like: key time [NX|XX|GT|LT]. A time in the past deletes the key.
func ruleExpire(u unit, b base) func(*opJudge) *PoisonError {
	return func(j *opJudge) *PoisonError {
		if err := expireFlags(j.args[3:]); err != nil {
			return err
		}
		at, ok := parseInt(j.args[2])
		if !ok {
			return errExpiry(j.args[2], "want an integer")
		}
		if u == seconds && (at > math.MaxInt64/1000 || at < math.MinInt64/1000) {
			return errExpiry(j.args[2], "out of range")
		}
		at *= int64(u)
		if b == relative {
			if at > math.MaxInt64-j.timestamp {
				return errExpiry(j.args[2], "too large")
			}
			at += j.timestamp
			j.wire = appendArray(j.wire, len(j.args))
			j.wire = appendBulk(j.wire, "PEXPIREAT")
			j.wire = appendBulk(j.wire, j.args[1])
			j.wire = appendBulkInt(j.wire, at)
			for _, flag := range j.args[3:] {
				j.wire = appendBulk(j.wire, flag)
			}
		}
		j.expireAt = max(at, 1) // 0 would mean none
		j.frees = at <= j.timestamp
		return nil
	}
}

func expireFlags(args [][]byte) *PoisonError {
	var nx, xx, gt, lt bool
	for _, arg := range args {
		switch {
		case is(arg, "NX"):
			nx = true
		case is(arg, "XX"):
			xx = true
		case is(arg, "GT"):
			gt = true
		case is(arg, "LT"):
			lt = true
		default:
			return errSyntax(arg)
		}
		if nx && (xx || gt || lt) || gt && lt {
			return errSyntax(arg)
		}
	}
	return nil
}

// ruleRestore judges RESTORE key ttl dump [REPLACE] [ABSTTL].
func ruleRestore(j *opJudge) *PoisonError {
	var isAbsolute bool
	for i := 4; i < len(j.args); i++ {
		switch arg := j.args[i]; {
		case is(arg, "REPLACE"):
		case is(arg, "ABSTTL"):
			isAbsolute = true
		case is(arg, "IDLETIME") || is(arg, "FREQ"):
			return poison(ReasonForbiddenCommand, "%s is about eviction at one server; leave it out", quote(arg))
		default:
			return errSyntax(arg)
		}
	}
	at, ok := parseInt(j.args[2])
	switch {
	case !ok || at < 0:
		return errExpiry(j.args[2], "want an integer of at least 0")
	case at > 0 && !isAbsolute:
		return poison(ReasonForbiddenCommand, "a ttl that counts from the clock of the server; add it to the time and set ABSTTL, or use 0")
	}
	j.expireAt = at
	return nil
}
