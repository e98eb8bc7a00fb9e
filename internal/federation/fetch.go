package federation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Options bound what a Fetcher does. Zero values stand for the defaults.
type Options struct {
	// AllowPrivate lets it fetch from private and loopback addresses, and by
	// plain http from loopback.
	AllowPrivate bool
	CAFile       string        // PEM certificates trusted beside those of the system
	Timeout      time.Duration // of a whole fetch; default 5 s
	MaxBytes     int64         // of a body; default 64 KiB
}

// Fetcher fetches documents over https. It follows no redirect, uses no proxy
// of the environment, and dials no special-use address. Safe for concurrent use.
type Fetcher struct {
	options Options
	https   *http.Client
	http    *http.Client // to loopback only
	running chan struct{}
}

// maxRunning bounds the fetches under way at one time.
const maxRunning = 32

// Document is what was fetched.
type Document struct {
	Body []byte
	Type string // Content-Type, as it came
	// MaxAge is how long the server says it may be kept; Aged is false where it
	// says nothing.
	MaxAge time.Duration
	Aged   bool
}

// NewFetcher makes a Fetcher. The error is about CAFile.
func NewFetcher(o Options) (*Fetcher, error) {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 10
	}
	roots, err := Roots(o.CAFile)
	if err != nil {
		return nil, err
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	return &Fetcher{
		options: o,
		https:   newClient(trust, func(a netip.Addr) error { return checkAddress(a, o.AllowPrivate) }),
		http:    newClient(trust, checkLoopback),
		running: make(chan struct{}, maxRunning),
	}, nil
}

// Roots are the certificate authorities of the system and those of caFile, a
// file in PEM; nil, which is those of the system, where there is none.
func Roots(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("outbound.ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("outbound.ca_file: %s holds no PEM certificate", caFile)
	}
	return roots, nil
}

func checkLoopback(a netip.Addr) error {
	if !a.Unmap().IsLoopback() {
		return fmt.Errorf("%s is not loopback: plain http is for test set-ups on one machine, use https", a)
	}
	return nil
}

func newClient(trust *tls.Config, check func(netip.Addr) error) *http.Client {
	dialer := &net.Dialer{Control: guard(check)}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: trust, ForceAttemptHTTP2: true,
			DisableCompression: true, MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConns: maxRunning, MaxConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Fetch gets the document at rawURL, which may be chosen by a stranger. Any
// status but 200 is an error, redirects included. The error holds nothing that
// the server sent but its status.
func (f *Fetcher) Fetch(ctx context.Context, rawURL, accept string) (Document, error) {
	client, err := f.clientFor(rawURL)
	if err != nil {
		return Document{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.options.Timeout)
	defer cancel()
	select {
	case f.running <- struct{}{}:
		defer func() { <-f.running }()
	case <-ctx.Done():
		return Document{}, fmt.Errorf("fetch: too many under way: %w", ctx.Err())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return Document{}, fmt.Errorf("fetch: %w", err)
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "offkey")
	resp, err := client.Do(req)
	if err != nil {
		return Document{}, fmt.Errorf("fetch: %w", unwrapURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Document{}, fmt.Errorf("fetch: status %d, want 200 without redirect", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, f.options.MaxBytes+1))
	if err == nil {
		// A server may end the body it was told to give up, before the reader
		// hears of the time-out: what was read is then not all of it.
		err = ctx.Err()
	}
	if err != nil {
		return Document{}, fmt.Errorf("fetch: read body: %w", err)
	}
	if int64(len(body)) > f.options.MaxBytes {
		return Document{}, fmt.Errorf("fetch: body is longer than %d bytes", f.options.MaxBytes)
	}
	age, aged := maxAge(resp.Header.Get("Cache-Control"))
	return Document{Body: body, Type: resp.Header.Get("Content-Type"), MaxAge: age, Aged: aged}, nil
}

// clientFor judges the URL before anything is resolved.
func (f *Fetcher) clientFor(rawURL string) (*http.Client, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return nil, errors.New("fetch: not a URL")
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return nil, errors.New("fetch: want an https URL with a host and without user or fragment")
	case u.Scheme == "https":
		return f.https, nil
	case u.Scheme == "http" && f.options.AllowPrivate:
		return f.http, nil
	}
	return nil, fmt.Errorf("fetch: scheme %q, want https", u.Scheme)
}

// unwrapURL drops the URL that http.Client puts into its errors.
func unwrapURL(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// maxAge reads max-age, no-cache and no-store of Cache-Control (RFC 9111 §5.2.2).
func maxAge(header string) (age time.Duration, said bool) {
	for directive := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(strings.ToLower(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0, true
		case "max-age":
			seconds, err := strconv.ParseInt(strings.Trim(value, `"`), 10, 32)
			if err == nil && seconds >= 0 {
				age, said = time.Duration(seconds)*time.Second, true
			}
		}
	}
	return age, said
}
