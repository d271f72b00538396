package reach

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// What goes over the byte stream: lines of JSON. The server begins with a hello. Then the client sends requests, as many at once as it likes, and the server answers
// each with any number of items, and one done. A request is known by its id, which the client chooses and does not use twice.

// Version is the version of what [Serve] and [Dial] say to each other. Methods and fields may be added within a version.
const Version = 1

// protocol is what a hello begins with, so that other output of a command is known from it.
const protocol = "redis-wal-ctl"

const (
	// maxLine bounds a line: the largest copy (10 MiB) in base64, and something around it.
	maxLine = 16 << 20
	// window is how many bytes of items may be under way for one request. A client that takes its time holds up what it asked for, and nothing else.
	window = 1 << 20
	// someMarks is how many marks are sent at once: a line takes more of the largest.
	someMarks = 1000
	// takenBytes and filledBytes are about how much of a snapshot goes into one line, from the source and to the target. A value that is larger goes in pieces. Lines to the
	// target are answered one by one, so there must not be many.
	takenBytes, filledBytes = 256 << 10, 2 << 20
)

type hello struct {
	Protocol string          `json:"protocol"`
	Version  int             `json:"version"`
	Identity writer.Identity `json:"identity"`
}

// request is a line of the client's: a method with its arguments; or, to a request that is running, how many bytes of items were taken, or that it is to end.
type request struct {
	ID     uint64          `json:"id"`
	Method string          `json:"method,omitempty"`
	Args   json.RawMessage `json:"args,omitempty"`
	Taken  int             `json:"taken,omitempty"`
	Cancel bool            `json:"cancel,omitempty"`
}

// answer is a line of the server's, by the types of its item and result: any when it is written, [json.RawMessage] when it is read.
type answer[T any] struct {
	ID     uint64 `json:"id"`
	Item   T      `json:"item,omitempty"`
	Caught bool   `json:"caught,omitempty"` // see [writer.Site.Follow]
	Done   bool   `json:"done,omitempty"`   // the last one; with Result, or Error
	Result T      `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
	Code   string `json:"code,omitempty"` // of an error that is known by name: see codes
}

// The methods, and their arguments.
const (
	methodAppend      = "append"
	methodFollow      = "follow"
	methodEnds        = "ends"
	methodRecords     = "records"
	methodCopies      = "copies"
	methodMark        = "mark"
	methodCheckpoints = "checkpoints"
	methodTail        = "tail"
	methodRepair      = "repair"
	methodCheck       = "check"
	methodRedis       = "redis"
	methodValues      = "values"
	methodWitness     = "witness"
	methodWitnessed   = "witnessed"
	methodSnapshot    = "snapshot"
	methodFill        = "fill"
	methodFillAdd     = "fill-add"
	methodFillJoin    = "fill-join"
	methodFillFinish  = "fill-finish"
	methodFillSeed    = "fill-seed"
	methodFillClose   = "fill-close"
	methodAdoptable   = "adoptable"
	methodWrites      = "writes"
	methodAdopt       = "adopt"
	methodRotate      = "rotate"
)

type (
	followArgs  struct{ Since time.Time }
	recordsArgs struct {
		Partition int32
		From, To  int64
	}
	copiesArgs struct{ List writer.List }
	markArgs   struct {
		List  writer.List
		Marks []writer.Mark
	}
	repairArgs struct {
		Keys    [][]byte
		Under   map[int32]string
		Timeout time.Duration
	}
	checkArgs     struct{ Timeout time.Duration }
	witnessedArgs struct{ Since time.Time }
	fillAddArgs   struct {
		Fill    uint64
		Entries []wireEntry
	}
	fillJoinArgs struct {
		Fill     uint64
		Handover Handover
	}
	fillSeedArgs struct {
		Fill uint64
		Seed string
	}
	fillArgs struct{ Fill uint64 }
)

// wireHeader is a header; its name may be any bytes, which a JSON text cannot hold.
type wireHeader struct{ Key, Value []byte }

type wireRecord struct {
	wal.Record
	Headers []wireHeader
}

type wireCopy struct {
	wal.Copy
	Headers []wireHeader
}

type wireTail struct {
	writer.TailRecord
	Record wireRecord
}

func toWire(in []wal.Header) []wireHeader {
	var out []wireHeader
	for _, h := range in {
		out = append(out, wireHeader{[]byte(h.Key), h.Value})
	}
	return out
}

func fromWire(in []wireHeader) []wal.Header {
	var out []wal.Header
	for _, h := range in {
		out = append(out, wal.Header{Key: string(h.Key), Value: h.Value})
	}
	return out
}

func (r *wireRecord) record() wal.Record {
	r.Record.Headers = fromWire(r.Headers)
	return r.Record
}

func (c *wireCopy) copy() writer.Copy {
	c.Copy.Headers = fromWire(c.Headers)
	return c.Copy
}

func (t *wireTail) record() writer.TailRecord {
	t.TailRecord.Record = t.Record.record()
	return t.TailRecord
}

// sender writes lines, one after the other. Whoever has one to write waits no longer than its context.
type sender struct {
	lines chan []byte
	ended chan struct{} // nothing is written any more
	err   error         // why; set before ended is closed
}

// newSender writes to w until stop is closed, or w fails.
func newSender(w io.Writer, stop <-chan struct{}) *sender {
	s := &sender{lines: make(chan []byte), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		for {
			select {
			case line := <-s.lines:
				if _, err := w.Write(line); err != nil {
					s.err = err
					return
				}
			case <-stop:
				s.err = errors.New("closed")
				return
			}
		}
	}()
	return s
}

func (s *sender) send(ctx context.Context, line []byte) error {
	select {
	case s.lines <- line:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ended:
		return s.err
	}
}

// line is v as a line.
func line(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(b) >= maxLine {
		return nil, fmt.Errorf("it has %d bytes as JSON, at most %d can be carried", len(b), maxLine)
	}
	return append(b, '\n'), nil
}

// readLines calls each with every line until in ends, or each returns an error. The line is valid during the call only.
func readLines(in *bufio.Scanner, each func(line []byte) error) error {
	for in.Scan() {
		if err := each(in.Bytes()); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	return io.EOF
}

func scanner(in io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 0, 64<<10), maxLine+1)
	return s
}
