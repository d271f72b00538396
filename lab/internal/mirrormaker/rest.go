package mirrormaker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// statusError is an answer of Connect's that is not a success.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

// call asks the worker. in and out may be nil.
func (m *MirrorMaker) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, m.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return &statusError{resp.StatusCode, fmt.Sprintf("connect: %s %s: %s: %s", method, path, resp.Status, message(text))}
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("connect: %s %s: %w", method, path, err)
	}
	return nil
}

// message is what an answer says.
func message(text []byte) string {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &said) == nil && said.Message != "" {
		return said.Message
	}
	return strings.TrimSpace(string(text[:min(len(text), 300)]))
}

// at is the path of a connector.
func at(name, rest string) string { return "/connectors/" + url.PathEscape(name) + rest }

// status is how a connector and its tasks are.
type status struct {
	Connector state   `json:"connector"`
	Tasks     []state `json:"tasks"`
}

type state struct {
	ID    int    `json:"id"`
	State string `json:"state"`
	Trace string `json:"trace"`
}

const (
	running = "RUNNING"
	failed  = "FAILED"
	stopped = "STOPPED"
)

// why is the innermost reason in a Java stack trace, and what led to it.
func (s state) why() string {
	var reasons []string
	for line := range strings.Lines(s.Trace) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "at ") || strings.HasPrefix(line, "... ") {
			continue
		}
		reasons = append(reasons, strings.TrimPrefix(line, "Caused by: "))
	}
	return strings.Join(reasons, "; caused by ")
}
