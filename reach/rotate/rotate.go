// Package rotate replaces the password of a site's Redis while it is in use: first both passwords are valid everywhere, then the pods are made anew with the new one, which
// somebody else does, and at last the old one is dropped. [Judge] decides from what is seen what is to be done next, and [Run] does that until nothing is left. Nothing is
// kept between two runs: the state is that of the Redises themselves.
package rotate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Secret is a password. It does not show itself when it is printed.
type Secret string

// String implements [fmt.Stringer].
func (Secret) String() string { return "(a password)" }

// GoString implements [fmt.GoStringer].
func (Secret) GoString() string { return "(a password)" }

// Sum is the SHA-256 of the password in hex, as Redis keeps it. It is how passwords are compared here; no password: "".
func (s Secret) Sum() string {
	if s == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

const (
	// MinLength is the fewest characters of a password: the program's own limit for redisPassword.
	MinLength = 16
	// characters are safe in every file that a password is written to: the operator writes it unquoted into redis.conf. The program takes no others.
	characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+/=~"
)

// Check says what is wrong with a new password, without showing it.
func (s Secret) Check() error {
	if len(s) < MinLength {
		return fmt.Errorf("the new password has %d characters; want at least %d, for example openssl rand -hex 24", len(s), MinLength)
	}
	if bad := strings.IndexFunc(string(s), func(r rune) bool { return !strings.ContainsRune(characters, r) }); bad >= 0 {
		return fmt.Errorf("character %d of the new password breaks redis.conf, where the operator writes it; use letters, digits and -_.+/=~", bad+1)
	}
	return nil
}

// Request asks a site for one step.
type Request struct {
	Password Secret `json:"password"` // the new one
	// Act does what is to be done; without it the site only looks.
	Act bool `json:"act"`
	// Drop drops the old password too, if everything is as it must be for that.
	Drop bool `json:"drop"`
	// Told are the Sentinels that were told the new password before, as an earlier [State] has them: none of them says what it knows.
	Told map[string]Mark `json:"told"`
}

// Mark is which Sentinel it was that was told something: it has forgotten when it was started, or told to watch, anew.
type Mark struct {
	Run   string `json:"run"`   // of the process
	Since int64  `json:"since"` // when it began to watch the primary in its role, ms since 1970 by its own clock
}

// Same says whether nothing was forgotten between two looks. The two clocks that Since is made of are read one after the other.
func (m Mark) Same(before Mark) bool {
	return m.Run == before.Run && m.Since-before.Since < 2000 && before.Since-m.Since < 2000
}

// The phases, as a [State] names them.
const (
	PhaseBoth = "both" // the new password is not yet valid, or used, everywhere
	PhaseAnew = "anew" // both are valid everywhere; pods must be made anew
	PhaseDrop = "drop" // everything was made anew: the old password can be dropped
	PhaseDone = "done" // only the new one is valid
)

// The words for a password.
const (
	New   = "new"
	Old   = "old"
	Other = "other"
	None  = "none"
)

// State is how far a site is.
type State struct {
	Phase     string          `json:"phase"` // both, anew, drop or done
	Primary   string          `json:"primary"`
	Mounted   string          `json:"mounted"` // which password the file in the applier's pod holds
	Redis     []RedisState    `json:"redis"`
	Sentinels []SentinelState `json:"sentinels"`
	Refused   []string        `json:"refused"` // why nothing can be done; empty: it can
	Waits     []string        `json:"waits"`   // what keeps it from the next phase
	Did       []string        `json:"did"`     // by this request
	Told      map[string]Mark `json:"told"`    // for the next one
}

// Settled says that only the new password is valid, and nobody is missing. What the Sentinels know cannot be read: that they were told by an earlier run is not asked for.
func (s *State) Settled() bool {
	if len(s.Refused) > 0 || s.Mounted != New || len(s.Redis) < 2 {
		return false
	}
	for _, r := range s.Redis {
		if r.Error != "" || r.Started != New || r.MasterAuth != New || len(r.Takes) != 1 || r.Takes[0] != New {
			return false
		}
	}
	for _, o := range s.Sentinels {
		if o.Error != "" || len(o.Down) > 0 {
			return false
		}
	}
	return true
}

// RedisState is one Redis. Its other fields are empty while it does not answer.
type RedisState struct {
	Addr       string   `json:"addr"`
	Role       string   `json:"role"`    // primary or replica
	Error      string   `json:"error"`   // why it does not answer; empty: it does
	Started    string   `json:"started"` // which password it was started with
	Takes      []string `json:"takes"`
	MasterAuth string   `json:"masterAuth"` // which one it shows to a primary
	LinkUp     bool     `json:"linkUp"`     // a replica: it is in sync with the primary
}

// SentinelState is one Sentinel.
type SentinelState struct {
	Addr  string   `json:"addr"`
	Error string   `json:"error"` // why it does not answer; empty: it does
	Told  bool     `json:"told"`  // it was told the new password
	Down  []string `json:"down"`  // whom it does not reach
}
