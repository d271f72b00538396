// Package control lets `lab fault` and `lab check` reach a lab that runs in the background, through a socket in its state
// folder.
package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Handler does what a command says. Its words are for the person who gave it; ok decides the exit code.
type Handler func(ctx context.Context, verb string, args []string) (words string, ok bool, err error)

// Listen makes the socket.
func Listen(ctx context.Context, socket string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "unix", socket)
}

// Serve answers commands until ctx ends, and closes l.
func Serve(ctx context.Context, l net.Listener, handle Handler) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{verb}", func(w http.ResponseWriter, r *http.Request) {
		words, ok, err := handle(r.Context(), r.PathValue("verb"), r.URL.Query()["arg"])
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Ok", strconv.FormatBool(ok))
		_, _ = io.WriteString(w, words)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		_ = srv.Close()
		<-done
		return nil
	}
}

// Send gives a command to the lab that listens at the socket.
func Send(ctx context.Context, socket, verb string, args ...string) (words string, ok bool, err error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	u := url.URL{Scheme: "http", Host: "lab", Path: "/" + verb, RawQuery: url.Values{"arg": args}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), http.NoBody)
	if err != nil {
		return "", false, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", false, fmt.Errorf("the lab does not answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", false, err
	}
	if resp.StatusCode != http.StatusOK {
		return "", false, errors.New(string(body))
	}
	return string(body), resp.Header.Get("Ok") == "true", nil
}
