package reach

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/comptech-lab/redis-wal/writer/ifdown"
)

// Target is what is looked at of a site, without any right there: whether anything answers.
type Target struct {
	// Kafka are the addresses of its Kafka, host:port, and KafkaTLS says whether they speak TLS.
	Kafka    []string
	KafkaTLS bool
	// Redis are addresses of its Sentinels; none = they cannot be reached from here. RedisTLS says whether they speak TLS.
	Redis    []string
	RedisTLS bool
}

// Look looks at a site once. All addresses are asked at once, and the first answer is enough. Silent means that each of them has refused the connection, closed it without a
// word, or said nothing until ctx ended, though a network was there to ask over.
func Look(ctx context.Context, t Target) (ifdown.Seen, string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type said struct {
		seen ifdown.Seen
		why  string
	}
	answers := make(chan said, len(t.Kafka)+len(t.Redis))
	var group sync.WaitGroup
	ask := func(what, addr string, secure bool, question []byte) {
		group.Go(func() {
			seen, why := knock(ctx, addr, secure, question)
			answers <- said{seen, fmt.Sprintf("%s %s: %s", what, addr, why)}
		})
	}
	for _, addr := range t.Kafka {
		ask("kafka", addr, t.KafkaTLS, kmsg.NewRequestFormatter(kmsg.FormatterClientID("walctl")).AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1))
	}
	for _, addr := range t.Redis {
		ask("sentinel", addr, t.RedisTLS, []byte("PING\r\n"))
	}
	go func() { group.Wait(); close(answers) }()
	out := said{ifdown.Unclear, "there is nothing to look at"}
	var silent []string
	for a := range answers {
		switch a.seen {
		case ifdown.Answered:
			return a.seen, a.why
		case ifdown.Unclear:
			out = a
		default:
			silent = append(silent, a.why)
		}
	}
	if len(silent) > 0 && len(silent) == len(t.Kafka)+len(t.Redis) {
		return ifdown.Silent, strings.Join(silent, "; ")
	}
	return out.seen, out.why
}

// knock asks one address, and takes the first byte for an answer, whatever it is.
func knock(ctx context.Context, addr string, secure bool, question []byte) (ifdown.Seen, string) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nobody(err)
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	var heard first
	heard.Conn = c
	stream := net.Conn(&heard)
	if secure {
		// Who it is does not matter: nothing is told or believed, and whoever answers keeps the site from being called silent.
		stream = tls.Client(stream, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
	}
	_, err = stream.Write(question)
	if err == nil {
		_, err = bufio.NewReader(stream).ReadByte()
	}
	switch {
	case err == nil, heard.any:
		return ifdown.Answered, "it answers"
	case ctx.Err() != nil:
		return ifdown.Silent, "no answer in time"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return ifdown.Silent, "the connection was closed without an answer"
	}
	return ifdown.Unclear, err.Error()
}

// first notes whether anything was read.
type first struct {
	net.Conn
	any bool
}

// Read implements [net.Conn].
func (f *first) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	f.any = f.any || n > 0
	return n, err
}

// nobody says what it means that there is no connection.
func nobody(err error) (ifdown.Seen, string) {
	_, unresolved := errors.AsType[*net.DNSError](err)
	switch {
	case unresolved: // the names may be what is down, or the configuration wrong
		return ifdown.Unclear, err.Error()
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return ifdown.Silent, err.Error()
	}
	return ifdown.Unclear, err.Error() // such as no network here
}
