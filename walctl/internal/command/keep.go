package command

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// kept is a record that is dropped, as it stands in a file: with it the record can be written anew.
type kept struct {
	Site      string       `json:"site"` // in whose log it stood
	TopicID   wal.TopicID  `json:"topicId"`
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"`
	Timestamp int64        `json:"timestamp"` // ms since 1970
	Origin    string       `json:"origin"`
	Class     string       `json:"class"` // tail: of a failback
	Reason    string       `json:"reason"`
	Detail    string       `json:"detail"`
	Key       []byte       `json:"key"`   // base64; null = none
	Value     []byte       `json:"value"` // the same
	Headers   []keptHeader `json:"headers"`
	Without   string       `json:"without"` // what is missing, because it was too large to be kept
	Op        string       `json:"op"`      // for people
}

type keptHeader struct {
	Key   string `json:"key"`
	Value []byte `json:"value"` // base64
}

func keptRecord(r *wal.Record) kept {
	out := kept{Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value, Headers: []keptHeader{}}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, keptHeader(h))
	}
	return out
}

func keptCopy(c *writer.Copy) kept {
	out := keptRecord(&c.Record)
	out.Site, out.TopicID, out.Origin, out.Class, out.Reason, out.Detail, out.Without, out.Op = c.Site, c.TopicID, c.Origin, string(c.Class), c.Reason, c.Detail, c.Without, entryOf(c).line
	return out
}

// keeper writes records to a file, one in a line.
type keeper struct {
	f *os.File
	w *bufio.Writer
}

// free refuses a file that exists, before anybody is asked.
func free(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s exists: name another file by --keep", path), err)
	}
	return nil
}

// newKeeper makes a file that does not exist yet.
func newKeeper(path string) (*keeper, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s exists: name another file by --keep", path)
	}
	if err != nil {
		return nil, fmt.Errorf("the file that is to keep the records: %w", err)
	}
	return &keeper{f, bufio.NewWriter(f)}, nil
}

func (k *keeper) add(r kept) error {
	line, err := json.Marshal(r)
	if err == nil {
		_, err = k.w.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keep a record in %s: %w", k.f.Name(), err)
	}
	return nil
}

// sync returns when all is on the disk.
func (k *keeper) sync() error {
	if err := errors.Join(k.w.Flush(), k.f.Sync()); err != nil {
		return fmt.Errorf("keep records in %s: %w", k.f.Name(), err)
	}
	return nil
}

func (k *keeper) close() error { return errors.Join(k.sync(), k.f.Close()) }
