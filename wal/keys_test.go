package wal

import (
	"bytes"
	"testing"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	tests := []struct{ key, value, want string }{
		{"a", `{"cmd":["SET","a","1"]}`, "a"},
		{"42", `{"cmds":[["SET","{42}:b","1"],["DEL","{42}:a","{42}:b"],["RENAME","{42}:c","{42}:d"]]}`, "{42}:a {42}:b {42}:c {42}:d"},
		{"42", `{"cmd":["MSET","{42}:a","x","{42}:b","y"]}`, "{42}:a {42}:b"},
		{"42", `{"cmd":["ZUNIONSTORE","{42}:to","2","{42}:x","{42}:y"]}`, "{42}:to {42}:x {42}:y"},
	}
	for _, tt := range tests {
		got, err := Keys(1, []byte(tt.key), []byte(tt.value), ContentTypeJSON, 1)
		if err != nil || string(bytes.Join(got, []byte(" "))) != tt.want {
			t.Errorf("%s: got %s, %v, want %s", tt.value, got, err, tt.want)
		}
	}
	if got, err := Keys(1, []byte("a"), nil, "", 1); err != nil || len(got) != 1 || string(got[0]) != "a" {
		t.Errorf("a null value: got %s, %v", got, err)
	}
	if got, err := Keys(1, []byte("a"), []byte("garbage"), "", 1); err == nil {
		t.Errorf("got %s", got)
	}
}
