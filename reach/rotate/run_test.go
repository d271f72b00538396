package rotate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/comptech-lab/redis-wal/reach/rotate"
)

// script is a site that answers one after the other, and the last again and again.
type script struct {
	answers []rotate.State
	asked   []rotate.Request
}

func (s *script) Rotate(_ context.Context, r rotate.Request) (rotate.State, error) {
	i := min(len(s.asked), len(s.answers)-1)
	s.asked = append(s.asked, r)
	out := s.answers[i]
	if out.Phase == "" && len(out.Refused) == 0 {
		return out, errors.New("no primary")
	}
	if r.Drop {
		out.Phase = rotate.PhaseDone
	}
	return out, nil
}

// redises are some of which the last ones do not answer.
func redises(n, silent int) []rotate.RedisState {
	out := make([]rotate.RedisState, n)
	for i := range silent {
		out[n-1-i].Error = "refused"
	}
	return out
}

func TestRun(t *testing.T) {
	t.Parallel()
	ready := rotate.State{Phase: rotate.PhaseDrop, Redis: redises(3, 0)}
	for _, tt := range []struct {
		name    string
		answers []rotate.State
		settle  time.Duration
		says    string
		err     string
	}{
		{"at once", []rotate.State{{Phase: rotate.PhaseDone}}, time.Millisecond, "", ""},
		{"a site that fails is waited for", []rotate.State{{}, {}, ready}, time.Millisecond, "waiting: no primary", ""},
		// Of four that were known one is gone: its pod was made anew with another address.
		{"who is gone is not missed", []rotate.State{{Phase: rotate.PhaseDrop, Redis: redises(4, 1), Waits: []string{"c does not answer"}}, ready}, time.Millisecond, "c does not answer", ""},
		{"who is not known for some seconds is missed", []rotate.State{ready, {Phase: rotate.PhaseDrop, Redis: redises(2, 0)}}, 300 * time.Millisecond, "2 Redises answer, and there were 3", "too late"},
		{"refused in the middle", []rotate.State{{Phase: rotate.PhaseAnew}, {Refused: []string{"a third password"}}}, time.Millisecond, "", "a third password"},
		{"a trouble begins the time anew", []rotate.State{ready, {Phase: rotate.PhaseDrop, Redis: redises(3, 0), Waits: []string{"trouble"}}, ready}, 20 * time.Millisecond, "waiting: trouble", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeoutCause(t.Context(), 600*time.Millisecond, errors.New("too late"))
			defer cancel()
			var said []string
			s := &script{answers: tt.answers}
			state, err := rotate.Run(ctx, s, rotate.How{Password: "the-new-password", Settle: tt.settle, Every: time.Millisecond, Progress: func(l string) { said = append(said, l) }})
			if fmt.Sprint(err) != tt.err && (err != nil || tt.err != "") || err == nil && state.Phase != rotate.PhaseDone {
				t.Errorf("got %+v, %v, want %q", state, err, tt.err)
			}
			if !strings.Contains(strings.Join(said, "\n"), tt.says) {
				t.Errorf("got %q, want %q", said, tt.says)
			}
			if s.asked[0].Drop || !s.asked[0].Act {
				t.Errorf("the first request is %+v, want one that acts, and drops nothing", s.asked[0])
			}
		})
	}
}
