package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/offkey/offkey/internal/policy"
)

// setTarget makes u stand for the bytes that came. It reports whether net/http
// will write exactly those; it does not for the few targets that start with
// two slashes and hold a character that net/url encodes.
func setTarget(u *url.URL, t policy.Target) (exact bool) {
	u.RawQuery, u.ForceQuery = t.RawQuery, t.HasQuery
	u.Path, u.RawPath, u.Opaque = "", "", ""
	path := t.RawPath
	if path == "" {
		path = "/" // RFC 9112 §3.2.1
	}
	if !strings.HasPrefix(path, "//") {
		u.Opaque = path // written as it is
		return true
	}
	u.RawPath = path
	u.Path, _ = url.PathUnescape(path)
	return u.EscapedPath() == path
}

// exactTransport sends a request with its target byte for byte, each on a
// connection of its own. It is for the targets that http.Transport would change.
type exactTransport struct {
	dial dialFunc
	tls  *tls.Config
}

// RoundTrip sends req to the target in its URL's RawPath and RawQuery.
func (t *exactTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	conn, err := t.connect(req)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(req.Context(), func() { _ = conn.Close() })
	target := req.URL.RawPath
	if req.URL.ForceQuery || req.URL.RawQuery != "" {
		target += "?" + req.URL.RawQuery
	}
	out := req.Clone(req.Context())
	out.Trailer = req.Trailer // filled when the body ends
	out.URL = &url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Opaque: "/"}
	out.Close = true
	go func() { // the API may answer before it has read everything
		_ = out.Write(&targetWriter{to: conn, target: target})
	}()
	res, err := readFinal(bufio.NewReader(conn), req)
	if err != nil {
		stop()
		_ = conn.Close()
		return nil, err
	}
	res.Body = &closingBody{ReadCloser: res.Body, conn: conn, stop: stop}
	return res, nil
}

func (t *exactTransport) connect(req *http.Request) (net.Conn, error) {
	port := req.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[req.URL.Scheme]
	}
	conn, err := t.dial(req.Context(), "tcp", net.JoinHostPort(req.URL.Hostname(), port))
	if err != nil || req.URL.Scheme != "https" {
		return conn, err
	}
	config := t.tls.Clone()
	config.ServerName = req.URL.Hostname()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(req.Context()); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// maxInterim bounds the 1xx answers before the one that counts.
const maxInterim = 16

// readFinal reads answers until one that is not interim, and shows those before
// it to the trace, as http.Transport does.
func readFinal(r *bufio.Reader, req *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(req.Context())
	for range maxInterim {
		res, err := http.ReadResponse(r, req)
		if err != nil || res.StatusCode < 100 || res.StatusCode >= 200 {
			return res, err
		}
		if res.StatusCode == http.StatusSwitchingProtocols {
			break
		}
		if trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(res.StatusCode, textproto.MIMEHeader(res.Header)); err != nil {
				return nil, err
			}
		}
	}
	return nil, errInterim
}

var errInterim = errors.New("the API sent interim answers only, or switched protocols unasked")

// targetWriter puts target in place of the `/` of the request line that is
// written to it first.
type targetWriter struct {
	to     io.Writer
	target string
	done   bool
}

func (w *targetWriter) Write(p []byte) (int, error) {
	if w.done {
		return w.to.Write(p)
	}
	w.done = true
	method, rest, _ := bytes.Cut(p, []byte(" / "))
	line := make([]byte, 0, len(p)+len(w.target))
	line = append(append(line, method...), ' ')
	line = append(append(append(line, w.target...), ' '), rest...)
	if _, err := w.to.Write(line); err != nil {
		return 0, err
	}
	return len(p), nil
}

// closingBody closes the connection with the body.
type closingBody struct {
	io.ReadCloser
	conn net.Conn
	stop func() bool
}

func (b *closingBody) Close() error {
	b.stop()
	_ = b.ReadCloser.Close()
	return b.conn.Close()
}
