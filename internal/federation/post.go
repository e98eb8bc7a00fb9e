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
	err = f.post(ctx, rawURL, form, nil, func(resp *http.Response) error {
		status = resp.StatusCode
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, f.options.MaxBytes)) // so that the connection can be used again
		return nil
	})
	return status, err
}

// PostJSON sends a document with those headers, likewise.
func (f *Fetcher) PostJSON(ctx context.Context, rawURL string, header http.Header, body []byte) (status int, err error) {
	err = f.send(ctx, rawURL, "application/json", string(body), header, func(resp *http.Response) error {
		status = resp.StatusCode
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, f.options.MaxBytes)) // so that the connection can be used again
		return nil
	})
	return status, err
}

// Ask sends a form and returns the body of the answer, which must be 200. The
// error holds nothing that the server sent but its status.
func (f *Fetcher) Ask(ctx context.Context, rawURL string, form url.Values, header http.Header) (body []byte, err error) {
	err = f.post(ctx, rawURL, form, header, func(resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("post: status %d, want 200", resp.StatusCode)
		}
		body, err = io.ReadAll(io.LimitReader(resp.Body, f.options.MaxBytes+1))
		if err == nil && int64(len(body)) > f.options.MaxBytes {
			err = fmt.Errorf("post: answer is longer than %d bytes", f.options.MaxBytes)
		}
		return err
	})
	return body, err
}

func (f *Fetcher) post(ctx context.Context, rawURL string, form url.Values, header http.Header, read func(*http.Response) error) error {
	return f.send(ctx, rawURL, "application/x-www-form-urlencoded", form.Encode(), header, read)
}

func (f *Fetcher) send(ctx context.Context, rawURL, contentType, body string, header http.Header, read func(*http.Response) error) error {
	client, err := f.clientFor(rawURL)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.options.Timeout)
	defer cancel()
	select {
	case f.running <- struct{}{}:
		defer func() { <-f.running }()
	case <-ctx.Done():
		return fmt.Errorf("post: too many under way: %w", ctx.Err())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, rawURL, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "offkey")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("post: %w", unwrapURL(err))
	}
	defer resp.Body.Close()
	return read(resp)
}
