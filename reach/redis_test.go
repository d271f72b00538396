package reach

import (
	"errors"
	"slices"
	"testing"

	"github.com/comptech-lab/redis-wal/reach/rotate"
)

// Redis repeats in an error what it did not like, in plain text or as the sum.
func TestNoPasswordInAnError(t *testing.T) {
	t.Parallel()
	r := rotation{known: []rotate.Secret{"the-new-password", "the-old-password"}}
	got := r.plain(errors.New("Invalid argument 'the-new-password' for auth-pass; modifier '!" + rotate.Secret("the-old-password").Sum() + "'; the-old-password"))
	if want := "Invalid argument '(a password)' for auth-pass; modifier '!(a password)'; (a password)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReplicas(t *testing.T) {
	t.Parallel()
	got := replicas(map[string]string{
		"master_repl_offset": "1000",
		"slave0":             "ip=10.0.0.1,port=6379,state=online,offset=900,lag=1",
		"slave1":             "ip=10.0.0.2,port=6380,state=wait_bgsave,offset=0,lag=0",
	}, []string{"10.0.0.3:6379", "10.0.0.1:6379"})
	want := []Replica{{"10.0.0.1:6379", true, 100}, {"10.0.0.2:6380", false, 1000}, {"10.0.0.3:6379", false, 0}}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
