package sink

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

// Answers come in pieces, and nothing may follow the one that is compared: waiting for more would be waiting for ever.
func TestSkipEqual(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	tests := []struct {
		name, answer, text string
		want               bool
		rest               string
	}{
		{"equal", "$3\r\nabc\r\n", "abc", true, ""},
		{"equal, with another one behind", "$3\r\nabc\r\n$1\r\nz\r\n", "abc", true, "$1\r\nz\r\n"},
		{"another of the same length", "$3\r\nabd\r\n", "abc", false, "$3\r\nabd\r\n"},
		{"shorter", "$1\r\na\r\n", "abc", false, "$1\r\na\r\n"},
		{"longer", "$30\r\n" + long[:30] + "\r\n", "abc", false, "$30\r\n" + long[:30] + "\r\n"},
		{"null in place of a long one", "$-1\r\n", long, false, "$-1\r\n"},
		{"empty in place of a long one", "$0\r\n\r\n", long, false, "$0\r\n\r\n"},
		{"both empty", "$0\r\n\r\n", "", true, ""},
		{"long", "$1000\r\n" + long + "\r\n", long, true, ""},
		{"one that begins with the same length", "$1000\r\n" + long + "\r\n", long[:100], false, "$1000\r\n" + long + "\r\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			in, out := io.Pipe()
			go func() { // byte by byte; the other end is not closed before the answer is judged
				for i := range len(tt.answer) {
					if _, err := out.Write([]byte{tt.answer[i]}); err != nil {
						return
					}
				}
			}()
			r := bufio.NewReaderSize(in, 4096)
			got, err := skipEqual(r, tt.text)
			if err != nil || got != tt.want {
				t.Fatalf("got %v, %v", got, err)
			}
			rest, err := r.Peek(len(tt.rest))
			if err != nil || string(rest) != tt.rest {
				t.Errorf("left %q, %v, want %q", rest, err, tt.rest)
			}
			_ = in.Close()
		})
	}
}
