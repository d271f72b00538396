// Package post puts the comment of a stack under a pull request, in the place of the one that it has put there before.
package post

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Host keeps the comments of one pull request.
type Host interface {
	// list gives one page of comments, the pages counted from 1; none = there are no more.
	list(ctx context.Context, page int) ([]comment, error)
	create(ctx context.Context, text string) error
	update(ctx context.Context, id int64, text string) error
}

type comment struct {
	ID   int64  `json:"id"`
	Body string `json:"body"`
}

// Put writes a comment. The one whose first line is the same is replaced; there is one for each stack. Text without a line of its own is refused.
func Put(ctx context.Context, h Host, text string) error {
	marker, _, ok := strings.Cut(text, "\n")
	if !ok || !strings.HasPrefix(marker, "<!-- ") {
		return errors.New("the comment does not begin with its marker: it was not written by `preview comment`")
	}
	for page := 1; ; page++ {
		some, err := h.list(ctx, page)
		if err != nil {
			return err
		}
		for _, c := range some {
			if strings.HasPrefix(c.Body, marker) {
				return h.update(ctx, c.ID, text)
			}
		}
		if len(some) == 0 {
			return h.create(ctx, text)
		}
	}
}

// api calls the REST interface of a host.
type api struct {
	base          string // of the comments of the pull request
	header, token string
}

func (a api) call(ctx context.Context, method, where string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, where, body)
	if err != nil {
		return err
	}
	r.Header.Set(a.header, a.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 32<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, where, err)
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %.300s; may the token write comments of this pull request?", method, where, answer.Status, text)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, where, err)
	}
	return nil
}

// gitHub is GitHub's "issue comments", of which those of a pull request are.
type gitHub struct {
	api
	comments string // of the repository
}

// GitHub is a pull request there. The address is that of its REST interface, such as https://api.github.com, the repository owner/name.
// Source: https://docs.github.com/en/rest/issues/comments
func GitHub(address, repository string, number int, token string) Host {
	repo := strings.TrimSuffix(address, "/") + "/repos/" + repository
	return gitHub{api{fmt.Sprintf("%s/issues/%d/comments", repo, number), "Authorization", "Bearer " + token}, repo + "/issues/comments"}
}

func (g gitHub) list(ctx context.Context, page int) (out []comment, err error) {
	err = g.call(ctx, http.MethodGet, fmt.Sprintf("%s?per_page=100&page=%d", g.base, page), nil, &out)
	return out, err
}

func (g gitHub) create(ctx context.Context, text string) error {
	return g.call(ctx, http.MethodPost, g.base, map[string]string{"body": text}, nil)
}

func (g gitHub) update(ctx context.Context, id int64, text string) error {
	return g.call(ctx, http.MethodPatch, fmt.Sprintf("%s/%d", g.comments, id), map[string]string{"body": text}, nil)
}

// gitLab is GitLab's notes of a merge request.
type gitLab struct{ api }

// GitLab is a merge request there. The address is that of its REST interface, such as https://gitlab.com/api/v4, the project its number or path.
// Source: https://docs.gitlab.com/api/notes
func GitLab(address, project string, number int, token string) Host {
	return gitLab{api{
		fmt.Sprintf("%s/projects/%s/merge_requests/%d/notes", strings.TrimSuffix(address, "/"), url.PathEscape(project), number), "PRIVATE-TOKEN", token,
	}}
}

func (g gitLab) list(ctx context.Context, page int) (out []comment, err error) {
	err = g.call(ctx, http.MethodGet, fmt.Sprintf("%s?per_page=100&page=%d", g.base, page), nil, &out)
	return out, err
}

func (g gitLab) create(ctx context.Context, text string) error {
	return g.call(ctx, http.MethodPost, g.base, map[string]string{"body": text}, nil)
}

func (g gitLab) update(ctx context.Context, id int64, text string) error {
	return g.call(ctx, http.MethodPut, fmt.Sprintf("%s/%d", g.base, id), map[string]string{"body": text}, nil)
}
