package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comptech-lab/redis-wal/walctl/internal/page"
	"github.com/comptech-lab/redis-wal/walctl/internal/status"
)

// serveAddr is where the page is without another address: one that can be bookmarked.
const serveAddr = "127.0.0.1:9470"

// serveFlags are the flags of status --serve.
type serveFlags struct {
	addr  string
	open  bool
	names []string
}

func (f *serveFlags) declare(c *cobra.Command) {
	l := c.Flags()
	l.StringVar(&f.addr, "serve", "", "show the page for browsers at `ADDR`, host:port or a port, until interrupted")
	l.Lookup("serve").NoOptDefVal = serveAddr
	l.BoolVar(&f.open, "serve-open", false, "let --serve listen on an address that is not of this machine alone: everybody who reaches it sees the page, nobody is asked for a password")
	l.StringSliceVar(&f.names, "serve-name", nil, "a `NAME` beside localhost by which browsers ask for the page; repeatable")
}

// args are none, or the address behind --serve.
func (f *serveFlags) args(c *cobra.Command, args []string) error {
	switch serve := c.Flags().Changed("serve"); {
	case !serve && (f.open || len(f.names) > 0):
		return errors.New("--serve-open and --serve-name go with --serve")
	case serve && len(args) > 0 && f.addr != serveAddr:
		return fmt.Errorf("--serve has two addresses, %s and %s", f.addr, args[0])
	case serve:
		return cobra.MaximumNArgs(1)(c, args)
	}
	return cobra.NoArgs(c, args)
}

// listen listens where the page is to be.
func (f *serveFlags) listen(ctx context.Context, addr string) (net.Listener, error) {
	if !strings.Contains(addr, ":") {
		addr = ":" + addr
	}
	at, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--serve %s: want host:port, or a port: %w", addr, err)
	}
	if at.IP == nil && !f.open {
		at.IP = net.IPv4(127, 0, 0, 1)
	}
	if !f.open && !at.IP.IsLoopback() {
		return nil, fmt.Errorf("--serve %s is not of this machine alone, and nobody is asked for a password there: everybody who reaches it would see the page; say --serve-open if that is wanted", addr)
	}
	var how net.ListenConfig
	l, err := how.Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("--serve: %w; port 0 is any that is free", err)
	}
	return l, nil
}

// Of the server: browsers are quick, and what is not is not waited for.
const (
	headTime  = 5 * time.Second
	replyTime = 30 * time.Second
	idleTime  = time.Minute
	endTime   = 2 * time.Second
	headBytes = 16 << 10
)

// serve shows the page until ctx ends.
func (p *program) serve(ctx context.Context, s *sites, f serveFlags, args []string) error {
	l, err := f.listen(ctx, cmp.Or(strings.Join(args, ""), f.addr))
	if err != nil {
		return err
	}
	defer l.Close()
	at := l.Addr().(*net.TCPAddr)
	if err := p.served(at); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	board := page.NewBoard()
	server := &http.Server{
		Handler:           page.Handler(board, page.Look{Every: p.Every, Version: p.Version}, page.Names{Open: !at.IP.IsLoopback(), More: f.names}),
		BaseContext:       func(net.Listener) context.Context { return ctx }, // who waits for the first look does not keep it from ending
		ReadHeaderTimeout: headTime, WriteTimeout: replyTime, IdleTimeout: idleTime, MaxHeaderBytes: headBytes,
	}
	down := make(chan error, 1)
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			down <- fmt.Errorf("--serve: %w", err)
			cancel()
		}
	}()
	_, _ = p.looks(ctx, s, func(m status.Model) error { board.Show(m); return nil }) // it ends with ctx, and by nothing else
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer stop()
	if err := server.Shutdown(end); err != nil {
		_ = server.Close() // whoever has not read its reply by now
	}
	select {
	case err := <-down:
		return err
	default:
		return nil
	}
}

// served says where the page is.
func (p *program) served(at *net.TCPAddr) error {
	host := *at
	if host.IP.IsUnspecified() {
		host.IP = net.IPv4(127, 0, 0, 1) // one of all
	}
	url := "http://" + host.String() + "/"
	if p.json {
		return p.write(struct {
			Version int    `json:"v"`
			URL     string `json:"url"`
		}{1, url})
	}
	who := "this machine alone"
	if !at.IP.IsLoopback() {
		who = "EVERYBODY who reaches this machine"
	}
	if _, err := fmt.Fprintf(p.Stdout, "the page is at %s until interrupted, for %s; nobody is asked for a password\n", url, who); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}
