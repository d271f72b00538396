package sink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// Observer looks at the primary beside the data path, on a connection of its own that it keeps. It is safe for use by many goroutines.
type Observer struct {
	sink *Sink

	mu   sync.Mutex
	conn *Conn
}

// Observe returns an Observer. It connects when it is asked something.
func (s *Sink) Observe() *Observer { return &Observer{sink: s} }

// Info asks the primary for a section of INFO.
func (o *Observer) Info(ctx context.Context, section string) (map[string]string, error) {
	text, err := o.ask(ctx, "INFO", section)
	if err != nil {
		return nil, err
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[k] = v
		}
	}
	return info, nil
}

// ReplicaBuffer is the most that the primary holds back for one of its replicas, in bytes: what client-output-buffer-limit is held against,
// and beyond which Redis throws the replica out, to begin anew with a full copy.
func (o *Observer) ReplicaBuffer(ctx context.Context) (int64, error) {
	text, err := o.ask(ctx, "CLIENT", "LIST", "TYPE", "replica")
	if err != nil {
		return 0, err
	}
	most := int64(0)
	for line := range strings.Lines(text) {
		for _, field := range strings.Fields(line) {
			v, ok := strings.CutPrefix(field, "omem=")
			if !ok {
				continue
			}
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("CLIENT LIST: %q: %w", field, err)
			}
			most = max(most, n)
		}
	}
	return most, nil
}

func (o *Observer) ask(ctx context.Context, command ...string) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == nil {
		c, err := o.sink.Open(ctx, 0)
		if err != nil {
			return "", err
		}
		o.conn = c
	}
	replies, err := o.conn.do(ctx, command)
	if err != nil {
		err = fmt.Errorf("%s at %s: %w", strings.Join(command, " "), o.conn.addr, err)
		if !errors.As(err, new(ServerError)) { // else the connection is well
			o.conn.Close()
			o.conn = nil
		}
		return "", err
	}
	return replies[0].text, nil
}
