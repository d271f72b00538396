package reach

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/comptech-lab/redis-wal/reach/snapshot"
	"github.com/comptech-lab/redis-wal/wal"
	"github.com/comptech-lab/redis-wal/writer"
)

// Foreign is a Redis that is no site's, and whose data a site is to begin with. It is reached from where this program runs.
type Foreign struct {
	client   *redis.Client
	username string
	password string
}

// OpenForeign returns the Redis at redis://[user@]host:port, or rediss:// with TLS. It connects to nothing yet. TLS may be nil: then the system's CAs count.
func OpenForeign(url, password string, secure *tls.Config) (*Foreign, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("want redis://[user@]host:port, or rediss:// for TLS: %w", err)
	}
	switch {
	case o.Password != "":
		return nil, errors.New("a password in an address is read by whoever sees the command: put it into a file")
	case o.DB != 0:
		return nil, fmt.Errorf("database %d is named: a log is about database 0, and a snapshot has all", o.DB)
	case o.TLSConfig == nil && secure != nil:
		return nil, errors.New("certificates are given, and the address does not begin with rediss://")
	}
	if secure != nil {
		secure = secure.Clone()
		secure.ServerName = o.TLSConfig.ServerName
		o.TLSConfig = secure
	}
	o.Password, o.Protocol, o.DisableIdentity, o.ReadTimeout = password, 2, true, fillTimeout
	o.MaxRetries, o.DialerRetries = -1, 1 // a person waits
	return &Foreign{client: redis.NewClient(o), username: o.Username, password: password}, nil
}

// Addr is host:port.
func (f *Foreign) Addr() string { return f.client.Options().Addr }

// Close lets go of it.
func (f *Foreign) Close() error { return f.client.Close() }

func (f *Foreign) named(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redis %s: %w", f.Addr(), err)
}

// Adoptable says what of it matters to a site that is to begin with its data.
func (f *Foreign) Adoptable(ctx context.Context, id writer.Identity) (Adoptable, error) {
	if err := f.whole(ctx); err != nil {
		return Adoptable{}, f.named(err)
	}
	out, err := adopts(id).look(ctx, f.client)
	out.Primary = f.Addr()
	return out, f.named(err)
}

// whole makes sure that it is no replica that has lost its primary: nobody could tell then whether something is written.
func (f *Foreign) whole(ctx context.Context) error {
	at, err := info(ctx, f.client, "replication")
	if err != nil {
		return err
	}
	if at["role"] == "slave" && (at["master_link_status"] != "up" || at["master_sync_in_progress"] != "0") {
		return errors.New("it is a replica, and its link to the primary is down")
	}
	return nil
}

// Writes says how often it was written to; of a replica, what has come from its primary.
func (f *Foreign) Writes(ctx context.Context) (Writes, error) {
	if err := f.whole(ctx); err != nil {
		return Writes{}, f.named(err)
	}
	known, err := writing(ctx, f.client)
	if err != nil {
		return Writes{}, f.named(err)
	}
	out, err := count(ctx, f.client, known)
	return out, f.named(err)
}

// Snapshot hands on all its keys as they are at one moment.
func (f *Foreign) Snapshot(ctx context.Context, each func(snapshot.Entry) error) error {
	nc, err := f.dial(ctx)
	if err != nil {
		return f.named(err)
	}
	defer func() { _ = nc.Close() }()
	return take(ctx, nc, each, f.named)
}

// dial connects and authenticates.
func (f *Foreign) dial(ctx context.Context) (net.Conn, error) {
	o := f.client.Options()
	nc, err := o.Dialer(ctx, "tcp", o.Addr)
	if err != nil || f.password == "" {
		return nc, err
	}
	words := [][]byte{[]byte("AUTH"), []byte(f.password)}
	if f.username != "" {
		words = [][]byte{[]byte("AUTH"), []byte(f.username), []byte(f.password)}
	}
	err = nc.SetDeadline(time.Now().Add(fillTimeout))
	if err == nil {
		_, err = nc.Write(wal.Op{Commands: [][][]byte{words}}.AppendRESP(nil))
	}
	var line string
	if err == nil {
		line, err = bufio.NewReader(nc).ReadString('\n') // one command has one answer: nothing more is read
	}
	if err == nil && !strings.HasPrefix(line, "+OK") {
		err = errors.New(strings.TrimSpace(line))
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return nc, nil
}
