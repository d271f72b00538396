package stacks

import (
	"strings"
	"testing"

	"github.com/comptech-lab/redis-wal/reach/rotate"
)

// Who replaces the password of Redis gives the new one to walctl and to the program: both take the same ones.
func TestWalctlTakesThePasswordsOfTheProgram(t *testing.T) {
	t.Parallel()
	for _, s := range SecretsOf(Config{}) {
		if s.Key != keyRedis {
			continue
		}
		values := []string{"", strings.Repeat("a", s.MinLength-1), strings.Repeat("a", s.MinLength)}
		for r := range rune(300) {
			values = append(values, strings.Repeat("a", s.MinLength)+string(r))
		}
		for _, v := range values {
			if program, walctl := s.check(v), rotate.Secret(v).Check(); (program == nil) != (walctl == nil) {
				t.Errorf("%q: the program says %v, walctl %v", v, program, walctl)
			}
		}
		return
	}
	t.Fatalf("there is no secret %s", keyRedis)
}
