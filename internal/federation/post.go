package federation

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Post sends a form to rawURL, which may be chosen by a stranger, and returns the
// status of the answer. Nothing else of the answer is kept, and no redirect is
// followed.
func (f *Fetcher) Post(ctx context.Context, rawURL string, form url.Values) (status int, err error) {
	client, err := f.clientFor(rawURL)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.options.Timeout)
	defer cancel()
	select {
	case f.running <- struct{}{}:
		defer func() { <-f.running }()
	case <-ctx.Done():
		return 0, fmt.Errorf("post: too many under way: %w", ctx.Err())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, rawURL, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, fmt.Errorf("post: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "offkey")
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("post: %w", unwrapURL(err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, f.options.MaxBytes)) // so that the connection can be used again
	return resp.StatusCode, nil
}
