package gateway

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/gateway/lean"
)

// leanCall does for one call what httputil.ReverseProxy does, by the lean client
// and without what a gateway does not need: it is used again and again, shares the
// caller's header lines instead of copying them, and reads the API's into the
// header of the answer itself.
type leanCall struct {
	c       *call
	call    lean.Call
	out     http.Request
	target  url.URL
	header  http.Header
	rewrite httputil.ProxyRequest
	interim func(status int)
}

// joinedBody is how long a body may be that goes out together with its head, if it
// is there already: more than this is not in net/http's buffer.
const joinedBody = 4 << 10

func newLeanCall(c *call) *leanCall {
	l := &leanCall{c: c, header: http.Header{}}
	l.interim = func(status int) { c.w.WriteHeader(status) }
	return l
}

// isUsual reports whether a call may go by the lean client: it is to go by
// HTTP/1.1 and asks for nothing that only net/http does.
func (c *call) isUsual(transport http.RoundTripper) bool {
	return c.upstream.lean != nil && (transport == c.upstream.http1 || transport == c.upstream.fresh)
}

// forward sends the call on and its answer back. It reports false, and has done
// nothing, if the call cannot be sent this way.
func (l *leanCall) forward(r *http.Request) bool {
	defer l.reset()
	c := l.c
	if len(r.Header["Upgrade"]) > 0 || len(r.Header["Expect"]) > 0 || len(r.Header["Te"]) > 0 {
		return false
	}
	l.out = http.Request{Method: r.Method, URL: &l.target, Host: r.Host, Header: l.header, ContentLength: r.ContentLength}
	copyEndToEnd(l.header, r.Header)
	l.rewrite = httputil.ProxyRequest{In: r, Out: &l.out}
	c.rewrite(&l.rewrite)
	if !l.call.Compose(&l.out, r.Body) {
		return false
	}
	if r.ContentLength > 0 && r.ContentLength <= joinedBody && arrivedWhole(r) {
		if err := l.call.Join(); err != nil {
			c.failed(c.w, r, err)
			return true
		}
	}
	res, err := c.upstream.lean.Do(r.Context(), &l.call, c.w.Header(), l.interim)
	switch {
	case errors.Is(err, lean.ErrSwitched):
		l.refuseSwitch(r, err)
	case err != nil:
		c.failed(c.w, r, err)
	default:
		l.answer(r, res)
	}
	return true
}

func (l *leanCall) reset() {
	l.call.Reset()
	clear(l.header)
	l.out, l.target, l.rewrite = http.Request{}, url.URL{}, httputil.ProxyRequest{}
}

// copyEndToEnd shares the fields of a request that are not of the hop
// (RFC 9110 §7.6.1), nor made anew for every call.
func copyEndToEnd(to, from http.Header) {
	for name, values := range from {
		switch name {
		case "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Trailer", "Transfer-Encoding",
			"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto":
			continue
		}
		to[name] = values[:len(values):len(values)]
	}
	if hasConnectionOptions(from) {
		for name := range connectionOptions(from) {
			delete(to, name)
		}
	}
}

// refuseSwitch is for an API that switches protocols although nobody asked.
func (l *leanCall) refuseSwitch(r *http.Request, err error) {
	res := &http.Response{StatusCode: http.StatusSwitchingProtocols, Header: http.Header{}, Body: http.NoBody}
	_ = l.c.answered(res)
	_ = res.Body.Close()
	l.c.failed(l.c.w, r, err)
}

// answer sends the API's answer to the caller. Its header is that of c.w already.
func (l *leanCall) answer(r *http.Request, res *http.Response) {
	c, body := l.c, res.Body
	defer func() { _ = body.Close() }() // whatever happens
	from, _ := body.(interface{ Buffered() bool })
	_ = c.answered(res) // never fails
	announced := announceTrailers(c.w.Header(), res.Trailer)
	c.w.WriteHeader(res.StatusCode)
	flushes := res.ContentLength < 0 || isEventStream(res.Header["Content-Type"])
	if flushes && !from.Buffered() {
		_ = http.NewResponseController(c.w).Flush()
	}
	err := c.copyBody(res.Body, flushes)
	_ = res.Body.Close()
	switch {
	case err == nil:
		sendTrailers(c.w, res.Trailer, announced)
	case r.Context().Value(http.ServerContextKey) != nil:
		panic(http.ErrAbortHandler) // ends the connection: the caller shall not take it for whole
	}
}

// isEventStream reports whether each event is to be sent when it comes.
func isEventStream(contentType []string) bool {
	const name = "text/event-stream"
	if len(contentType) == 0 || len(contentType[0]) < len(name) || !strings.EqualFold(contentType[0][:len(name)], name) {
		return false
	}
	media, _, _ := mime.ParseMediaType(contentType[0])
	return media == name
}

// copyBody copies a body to the caller, and flushes what comes if it is a stream.
func (c *call) copyBody(from io.Reader, flushes bool) error {
	room := buffers{}.Get()
	defer buffers{}.Put(room)
	flush := http.NewResponseController(c.w)
	for {
		n, err := from.Read(room)
		if n > 0 {
			if _, err := c.w.Write(room[:n]); err != nil {
				return err
			}
			if flushes {
				if err := flush.Flush(); err != nil {
					return err
				}
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, context.Canceled):
			c.forwarder.proxy.ErrorLog.Printf("the answer broke off: %v", err)
			return err
		case err != nil:
			return err
		}
	}
}

// announceTrailers names the trailers that the API has announced, and returns
// their number.
func announceTrailers(h, trailers http.Header) int {
	if len(trailers) == 0 {
		return 0
	}
	names := make([]string, 0, len(trailers))
	for name := range trailers {
		names = append(names, name)
	}
	slices.Sort(names)
	h.Add("Trailer", strings.Join(names, ", "))
	return len(names)
}

// sendTrailers puts trailers where net/http looks for them.
func sendTrailers(w http.ResponseWriter, trailers http.Header, announced int) {
	if len(trailers) == 0 {
		return
	}
	_ = http.NewResponseController(w).Flush() // chunks, though the body may be short
	prefix := http.TrailerPrefix
	if len(trailers) == announced {
		prefix = ""
	}
	for name, values := range trailers {
		for _, value := range values {
			w.Header().Add(prefix+name, value)
		}
	}
}
