package federation

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

// LookAsideOptions say which service knows apikeys. An operator names it: unlike
// what strangers name it may be anywhere.
type LookAsideOptions struct {
	URL    string
	Header string // that carries the apikey; default X-API-Key
	Hashed bool   // the header carries SHA-256 of it, in hex
	CAFile string
}

// LookAside asks a service about apikeys: GET its URL with the apikey in a
// header. 2xx is a yes, 401, 403, 404 and 410 a no, everything else no answer.
// Safe for concurrent use.
type LookAside struct {
	o      LookAsideOptions
	client *http.Client
}

// Limits of one question.
const (
	lookAsideTimeout = 2 * time.Second
	lookAsideBytes   = 16 << 10
)

// NewLookAside makes a LookAside. The errors are about its options.
func NewLookAside(o LookAsideOptions) (*LookAside, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("it is no URL of https or http")
	}
	roots, err := Roots(o.CAFile)
	if err != nil {
		return nil, err
	}
	if o.Header == "" {
		o.Header = "X-API-Key"
	}
	return &LookAside{o, &http.Client{
		Timeout: lookAsideTimeout,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: 16 << 10, MaxIdleConnsPerHost: 4, MaxConnsPerHost: 8, IdleConnTimeout: 30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Ask says whether a string is an apikey, and what the service tells about it:
// the members of the JSON object that it answers with, if it does. No error
// holds the apikey, nor anything that the service sent but its status.
func (l *LookAside) Ask(ctx context.Context, value secret.Text) (known bool, about map[string]string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.o.URL, nil)
	if err != nil {
		return false, nil, errors.New("look-aside: no request can be made of its URL")
	}
	carried := value.Reveal()
	if l.o.Hashed {
		carried = secret.HashOf(carried).String()
	}
	if strings.ContainsFunc(carried, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return false, nil, nil // no header can carry it, so the service has never seen it
	}
	req.Header.Set(l.o.Header, carried)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "offkey")
	resp, err := l.client.Do(req)
	if err != nil {
		return false, nil, fmt.Errorf("look-aside: %w", unwrapURL(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, lookAsideBytes))
	if err != nil {
		return false, nil, fmt.Errorf("look-aside: read the answer: %w", unwrapURL(err))
	}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return true, members(body), nil
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound, code == http.StatusGone:
		return false, nil, nil
	default:
		return false, nil, fmt.Errorf("look-aside: status %d says neither yes nor no", code)
	}
}

// members are those of a JSON object that are text, or lists of it.
func members(body []byte) map[string]string {
	var object map[string]any
	if json.Unmarshal(body, &object) != nil {
		return nil
	}
	about := map[string]string{}
	for name, value := range object {
		switch v := value.(type) {
		case string:
			about[strings.ToLower(name)] = v
		case bool:
			about[strings.ToLower(name)] = fmt.Sprint(v)
		case []any:
			var texts []string
			for _, item := range v {
				if text, ok := item.(string); ok {
					texts = append(texts, text)
				}
			}
			about[strings.ToLower(name)] = strings.Join(texts, " ")
		}
	}
	return about
}
