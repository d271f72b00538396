// Package snapshot takes what a Redis holds at one moment, and puts it into another one: data and, with them, the position that belongs to them. It streams: neither side needs more
// memory than the largest value.
package snapshot

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// idle is how long a Redis may say nothing while it prepares a snapshot, or sends it: it sends an empty line each second.
const idle = time.Minute

// Take asks a Redis for its data as they are now, as a replica does, and hands on its keys. The connection must be authenticated, and is of no use after it. Ask a replica: the primary
// would fork, and write it all out, beside its work. It returns the version of the RDB. The user needs the commands SYNC and REPLCONF.
func Take(ctx context.Context, nc net.Conn, each func(Entry) error) (version int, err error) {
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	defer func() {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}()
	in := bufio.NewReaderSize(&patient{nc}, 64<<10)
	// Redis 7 then sends the snapshot alone, and not what is written afterwards. An older one answers with an error, and sends more, which is not read. SYNC must come alone.
	for _, ask := range []string{"REPLCONF capa eof", "REPLCONF rdb-only 1"} {
		if _, err := io.WriteString(nc, ask+"\r\n"); err != nil {
			return 0, fmt.Errorf("snapshot: %w", err)
		}
		if _, err := in.ReadString('\n'); err != nil {
			return 0, fmt.Errorf("snapshot: %w", err)
		}
	}
	if _, err := io.WriteString(nc, "SYNC\r\n"); err != nil {
		return 0, fmt.Errorf("snapshot: %w", err)
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return 0, fmt.Errorf("snapshot: %w", err)
		}
		switch line = strings.TrimRight(line, "\r\n"); {
		case line == "": // it is at it
		case line[0] == '-':
			return 0, fmt.Errorf("snapshot: Redis answered SYNC with %q", line[1:])
		case strings.HasPrefix(line, "$EOF:"):
			return Read(in, each) // the RDB says itself where it ends
		case line[0] == '$':
			n, err := strconv.ParseInt(line[1:], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("snapshot: Redis answered SYNC with %.100q", line)
			}
			return Read(io.LimitReader(in, n), each)
		default:
			return 0, fmt.Errorf("snapshot: Redis answered SYNC with %.100q", line)
		}
	}
}

// patient is a connection of which nothing is expected for long.
type patient struct{ net.Conn }

func (p *patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(idle)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}
