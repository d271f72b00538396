package sink

import (
	"errors"
	"fmt"
	"strings"
)

// ErrMoved says that the checkpoint in Redis is not the one that the batch was planned on: another applier owns the partition, or
// a failover took the primary back. Nothing of the batch was applied. Read the position again and plan anew.
var ErrMoved = errors.New("the checkpoint moved")

// ErrNoPrimary says that the Sentinels name no primary, or one that is none.
var ErrNoPrimary = errors.New("no primary")

// NotApplied says that Redis refused the whole transaction: nothing of it was applied.
type NotApplied struct {
	Err ServerError
	// Command is the batch's command that was refused when it was queued; -1 if it was not one of them.
	Command int
}

// Error is Redis's own words.
func (e *NotApplied) Error() string { return "not applied: " + e.Err.Error() }

// Unwrap gives Redis's answer.
func (e *NotApplied) Unwrap() error { return e.Err }

// Remedy is what a person must do before it can succeed; empty if waiting is enough.
func (e ServerError) Remedy() string {
	switch e.Code() {
	case "OOM":
		return "Redis is at maxmemory: raise maxmemory, and the memory limit with it. Meanwhile records that only free memory are applied, as far as they come first"
	case "MISCONF":
		return "Redis cannot persist: look at its log and its disk"
	case "NOAUTH":
		return "Redis wants a password: name the file with it in APPLIER_REDIS_PASSWORD_FILE"
	case "WRONGPASS":
		return "Redis does not accept the password of APPLIER_REDIS_PASSWORD_FILE"
	case "NOPERM":
		return "the Redis user of APPLIER_REDIS_USERNAME lacks a permission"
	case "NOREPLICAS":
		return "too few replicas are connected to the primary (min-replicas-to-write)"
	}
	return ""
}

// UnknownCommand reports whether Redis does not know the command, or knows it with other arguments: then the table of package
// wal and this Redis differ, and to go on would be a guess.
func (e *NotApplied) UnknownCommand() bool {
	return e.Command >= 0 && e.Err.unknown()
}

func (e ServerError) unknown() bool {
	s := strings.ToLower(string(e))
	for _, words := range []string{"unknown command", "unknown redis command", "unknown subcommand", "wrong number of arg", "acl failure", "can't run this command"} {
		if strings.Contains(s, words) {
			return true
		}
	}
	return false
}

// Full reports whether err says that Redis is at maxmemory: what only frees memory may go through [Conn.Free].
func Full(err error) bool {
	n, ok := errors.AsType[*NotApplied](err)
	return ok && n.Err.Code() == "OOM"
}

// Code is the first word of the error, such as WRONGTYPE.
func (e ServerError) Code() string {
	code, _, _ := strings.Cut(string(e), " ")
	return code
}

// retryable are the errors that come at queue time or instead of EXEC, after which the same batch may be sent again.
func (e ServerError) retryable() bool {
	switch e.Code() {
	case "LOADING", "MISCONF", "NOREPLICAS", "BUSY":
		return true
	}
	return false
}

// refused reports whether a command inside an applied transaction was refused by what its key holds, which is decided alike at both
// sites. Anything else there is an answer that Redis should not give.
func (e ServerError) refused() bool {
	switch e.Code() {
	case "WRONGTYPE", "BUSYKEY", "BUSYGROUP", "NOGROUP", "INVALIDOBJ", "ERR":
		return true
	}
	return false
}

// ExecError says that a transaction was applied, but one of its commands failed as none may.
type ExecError struct {
	Command int // of the batch; -1 = the checkpoint
	Err     ServerError
}

// Error says which command failed, and how.
func (e *ExecError) Error() string {
	if e.Command < 0 {
		return fmt.Sprintf("the checkpoint was refused inside an applied transaction: %s", e.Err)
	}
	return fmt.Sprintf("command %d failed inside an applied transaction: %s", e.Command, e.Err)
}
