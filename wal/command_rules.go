package wal

import (
	"bytes"
	"strconv"
)

// The rules accept options that they know and nothing else: what they do not understand may be something that Redis
// understands, such as a key in another partition.

// rulePairs wants pairs from position `from` to the end.
func rulePairs(from int) func(*opJudge) *PoisonError {
	return func(j *opJudge) *PoisonError {
		if n := len(j.args) - from; n < 2 || n%2 != 0 {
			return poison(ReasonArity, "has %d arguments that should be pairs", n)
		}
		return nil
	}
}

// ruleNumKeys reads the number of keys at position `at` and the keys after it; `after` is how many arguments must follow.
func ruleNumKeys(at, after int) func(*opJudge) *PoisonError {
	return func(j *opJudge) *PoisonError {
		n, ok := parseInt(j.args[at])
		if !ok || n < 1 || n > int64(len(j.args)-at-1-after) {
			return poison(ReasonSyntax, "numkeys is %s, which does not fit the %d arguments after it", quote(j.args[at]), len(j.args)-at-1)
		}
		for i := range int(n) {
			j.keys = append(j.keys, at+1+i)
		}
		return nil
	}
}

// ruleBitfield wants at least one subcommand that writes.
func ruleBitfield(j *opJudge) *PoisonError {
	writes := false
	for i := 2; i < len(j.args); {
		size := 0
		switch arg := j.args[i]; {
		case is(arg, "GET"):
			size = 3
		case is(arg, "SET"), is(arg, "INCRBY"):
			size = 4
			writes = true
		case is(arg, "OVERFLOW"):
			size = 2
		}
		if size == 0 || i+size > len(j.args) {
			return errSyntax(j.args[i])
		}
		i += size
	}
	if !writes {
		return poison(ReasonForbiddenCommand, "without SET or INCRBY %s", onlyReads)
	}
	return nil
}

// ruleCopy judges COPY source destination [REPLACE].
func ruleCopy(j *opJudge) *PoisonError {
	for _, arg := range j.args[3:] {
		switch {
		case is(arg, "REPLACE"):
		case is(arg, "DB"):
			return poison(ReasonForbiddenCommand, "DB: the log is about database 0 only; use another log, or another key")
		default:
			return errSyntax(arg)
		}
	}
	return nil
}

// ruleSort judges SORT key [LIMIT offset count] [ASC|DESC] [ALPHA] STORE destination.
func ruleSort(j *opJudge) *PoisonError {
	for i := 2; i < len(j.args); i++ {
		left := len(j.args) - 1 - i
		switch arg := j.args[i]; {
		case is(arg, "ASC"), is(arg, "DESC"), is(arg, "ALPHA"):
		case is(arg, "LIMIT") && left >= 2:
			i += 2
		case is(arg, "STORE") && left >= 1:
			i++
			j.keys = append(j.keys, i)
		case is(arg, "BY"), is(arg, "GET"):
			return poison(ReasonForbiddenCommand, "%s reads keys that may lie in other partitions; sort in the application and use RPUSH", quote(arg))
		default:
			return errSyntax(arg)
		}
	}
	if len(j.keys) == 0 {
		return poison(ReasonForbiddenCommand, "without STORE %s", onlyReads)
	}
	return nil
}

// anyMember refuses the option ANY.
const anyMember = "ANY takes the members that are found first, not the nearest, and may take others at each site; leave it out"

// ruleGeoRadius judges GEORADIUS and GEORADIUSBYMEMBER, whose options begin at args[from]: [COUNT n] [ASC|DESC] STORE|STOREDIST key.
func ruleGeoRadius(from int) func(*opJudge) *PoisonError {
	return func(j *opJudge) *PoisonError {
		for i := from; i < len(j.args); i++ {
			left := len(j.args) - 1 - i
			switch arg := j.args[i]; {
			case is(arg, "ASC"), is(arg, "DESC"):
			case is(arg, "COUNT") && left >= 1:
				i++
			case (is(arg, "STORE") || is(arg, "STOREDIST")) && left >= 1:
				i++
				j.keys = append(j.keys, i)
			case is(arg, "ANY"):
				return poison(ReasonForbiddenCommand, anyMember)
			case is(arg, "WITHCOORD"), is(arg, "WITHDIST"), is(arg, "WITHHASH"):
				return poison(ReasonSyntax, "%s does not go with STORE", quote(arg))
			default:
				return errSyntax(arg)
			}
		}
		if len(j.keys) == 0 {
			return poison(ReasonForbiddenCommand, "without STORE or STOREDIST %s", onlyReads)
		}
		return nil
	}
}

// ruleGeoSearchStore judges GEOSEARCHSTORE destination source FROMMEMBER|FROMLONLAT ... BYRADIUS|BYBOX ... [ASC|DESC] [COUNT n]
// [STOREDIST].
func ruleGeoSearchStore(j *opJudge) *PoisonError {
	for i := 3; i < len(j.args); i++ {
		size := 0
		switch arg := j.args[i]; {
		case is(arg, "ASC"), is(arg, "DESC"), is(arg, "STOREDIST"):
		case is(arg, "FROMMEMBER"), is(arg, "COUNT"):
			size = 1
		case is(arg, "FROMLONLAT"), is(arg, "BYRADIUS"):
			size = 2
		case is(arg, "BYBOX"):
			size = 3
		case is(arg, "ANY"):
			return poison(ReasonForbiddenCommand, anyMember)
		default:
			return errSyntax(arg)
		}
		if i+size >= len(j.args) {
			return errSyntax(j.args[i])
		}
		i += size
	}
	return nil
}

// ruleXAdd judges XADD key [NOMKSTREAM] [MAXLEN|MINID [=] threshold] id field value ...
func ruleXAdd(j *opJudge) *PoisonError {
	i, err := j.trim(2, true)
	if err != nil {
		return err
	}
	if i == len(j.args) {
		return poison(ReasonSyntax, "no id")
	}
	id := j.args[i]
	if string(id) == "*" {
		return poison(ReasonForbiddenCommand, "id * takes the clock of the server; give the id, as <ms>-<n> or <ms>-*")
	}
	if !isEntryID(id) {
		return poison(ReasonSyntax, "id %s: want <ms>, <ms>-<n> or <ms>-*", quote(id))
	}
	return rulePairs(i + 1)(j)
}

// ruleXTrim judges XTRIM key MAXLEN|MINID [=] threshold.
func ruleXTrim(j *opJudge) *PoisonError {
	i, err := j.trim(2, false)
	if err != nil {
		return err
	}
	if i < len(j.args) {
		return errSyntax(j.args[i])
	}
	return nil
}

// trim reads the options of XADD and XTRIM from position i and gives the position after them. At a second strategy it stops, so
// that it is taken for the id, which it is not.
func (j *opJudge) trim(i int, isAdd bool) (int, *PoisonError) {
	for trims := false; i < len(j.args); {
		arg, left := j.args[i], len(j.args)-1-i
		switch {
		case isAdd && is(arg, "NOMKSTREAM"):
			i++
		case !trims && left >= 1 && (is(arg, "MAXLEN") || is(arg, "MINID")):
			trims = true
			next := j.args[i+1]
			if bytes.HasPrefix(next, []byte("~")) {
				return i, poison(ReasonForbiddenCommand, "~ trims as far as suits the server's settings; trim exactly, with = or nothing in its place")
			}
			i += 2
			if string(next) == "=" && left >= 2 {
				i++
			}
		case left >= 1 && is(arg, "LIMIT"):
			return i, poison(ReasonForbiddenCommand, "LIMIT goes with ~ only, which trims as far as suits the server's settings; trim exactly")
		default:
			return i, nil
		}
	}
	return i, nil
}

// isEntryID reports whether id is <ms>, <ms>-<n> or <ms>-*. The last one depends on nothing but the stream itself: its next n.
func isEntryID(id []byte) bool {
	ms, n, found := bytes.Cut(id, []byte("-"))
	return isUint64(ms) && (!found || string(n) == "*" || isUint64(n))
}

func isUint64(b []byte) bool {
	for _, c := range b { // ParseUint would take no sign either, but say so here
		if c < '0' || c > '9' {
			return false
		}
	}
	_, err := strconv.ParseUint(string(b), 10, 64)
	return err == nil
}
