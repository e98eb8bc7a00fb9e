package gateway

import (
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
)

// forwarder is what carries one call: the lean client, or for what is unusual the
// reverse proxy of the standard library. Its hooks are bound to the call once, and
// pooled with it.
type forwarder struct {
	lean  *leanCall
	proxy *httputil.ReverseProxy
}

func newCall(g *Gateway) *call {
	c := &call{g: g}
	c.forwarder.lean = newLeanCall(c)
	c.forwarder.proxy = &httputil.ReverseProxy{
		Rewrite:        c.rewrite,
		ModifyResponse: c.answered,
		ErrorHandler:   c.failed,
		BufferPool:     buffers{},
		ErrorLog:       log.New(debugLog{g.Log}, "", 0),
	}
	return c
}

// forward sends the call to the API and its answer back.
func (c *call) forward() {
	r := c.r
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		// Without it net/http eats the rest of a body as soon as an answer
		// begins, although the API may still be reading it.
		_ = http.NewResponseController(c.w).EnableFullDuplex()
		// A copy: net/http looks at the type of its own request's body.
		c.body = &callerBody{ReadCloser: r.Body, trailer: r.Trailer, trusted: c.trusted}
		r = r.WithContext(r.Context())
		r.Body = c.body
	}
	c.r.URL.RawQuery = "" // the raw one is judged and sent; nobody shall clean it in between
	var target url.URL
	exact := setTarget(&target, c.target)
	transport := c.upstream.transport(c.r, exact)
	defer func() {
		if p := recover(); p != nil {
			// The API broke off. The caller gets as much as it would have had
			// from the API itself, and a connection that closes.
			_ = http.NewResponseController(c.w).Flush()
			panic(p)
		}
	}()
	if !c.isUsual(transport) || !c.forwarder.lean.forward(r) {
		c.forwarder.proxy.Transport = transport
		c.forwarder.proxy.ServeHTTP(c.w, r)
	}
	broken := c.body.isBroken()
	if c.chunked || broken {
		// net/http would give a short answer a length that the API did not.
		_ = http.NewResponseController(c.w).Flush()
	}
	if broken {
		panic(http.ErrAbortHandler) // ends the connection
	}
}

// callerBody notices a body that breaks off or is wrongly framed. Of such a one
// it is not known where it ends: what follows on the connection must not be read
// as another request. net/http ends the connection itself, but not while it
// serves in full duplex.
//
// At its end it takes out of the trailers what may not come from callers, for
// net/http puts there what was not announced, and some servers take trailers for
// headers.
type callerBody struct {
	io.ReadCloser
	trailer http.Header
	trusted bool

	mu     sync.Mutex
	broken bool
}

func (b *callerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil, errors.Is(err, http.ErrBodyReadAfterClose):
	case err == io.EOF:
		dropOurs(b.trailer)
		dropSources(b.trailer, b.trusted)
	default:
		b.mu.Lock()
		b.broken = true
		b.mu.Unlock()
	}
	return n, err
}

// Close looks for the end of the body, as far as net/http is willing to.
func (b *callerBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.ReadCloser.Close()
	b.broken = b.broken || err != nil
	return err
}

func (b *callerBody) isBroken() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}

// rewrite makes the request that the API gets.
func (c *call) rewrite(p *httputil.ProxyRequest) {
	out := p.Out
	out.URL.Scheme, out.URL.Host, out.URL.User = c.upstream.URL.Scheme, c.upstream.URL.Host, nil
	if c.upstream.OwnHost {
		out.Host = ""
	}
	out.Trailer = p.In.Trailer // filled when the body ends
	dropOurs(out.Trailer)
	dropSources(out.Trailer, c.trusted)
	c.g.restoreCredentials(out.Header, p.In.Header)
	dropH2C(out.Header)
	dropOurs(out.Header)
	c.forwardedFor(out)
	c.dropCertificates(out.Header)
	target := c.target
	target.RawQuery = c.setCredential(out.Header, target.RawQuery)
	target.HasQuery = target.HasQuery && (target.RawQuery != "" || c.target.RawQuery == "")
	setTarget(out.URL, target)
	keepAsCame(out.Header, p.In)
}

// keepAsCame stops net/http from dropping what the caller sent: it writes one
// User-Agent and none that is empty, and a length of zero only with the methods
// that usually have a body. It knows both by their usual spelling only.
func keepAsCame(h http.Header, in *http.Request) {
	if v := h["User-Agent"]; len(v) > 1 || len(v) == 1 && v[0] == "" {
		respell(h, h, "User-Agent", "user-agent")
	}
	switch in.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		if in.ContentLength == 0 {
			respell(h, h, "Content-Length", "content-length")
		}
	}
}

// answered sees the API's answer before the caller does.
func (c *call) answered(res *http.Response) error {
	c.chunked = res.ContentLength < 0 && c.r.ProtoMajor == 1 && hasBody(c.r.Method, res.StatusCode)
	c.g.learner.saw(c, res)
	c.observe(res.StatusCode, "")
	c.endWithToken(res)
	c.announce(res.Header)
	c.renewNonce(res.Header)
	keepAsSent(c.w.Header(), res, c.r.ProtoMajor)
	return nil
}

// keepAsSent stops net/http from adding to the answer what the API did not send,
// and from dropping what it did.
func keepAsSent(to http.Header, res *http.Response, protoMajor int) {
	for _, name := range [...]string{"Date", "Content-Type"} {
		if len(res.Header[name]) == 0 {
			to[name] = nil // present and empty: nothing is made up
		}
	}
	if protoMajor != 1 {
		return
	}
	// The server drops these from answers without a body, though a 304 may well
	// have them (RFC 9110 §15.4.5). It knows them by their usual spelling only.
	switch length := res.Header["Content-Length"]; {
	case res.StatusCode == http.StatusNotModified:
		respell(to, res.Header, "Content-Type", "content-type")
		respell(to, res.Header, "Content-Length", "content-length")
	case res.StatusCode == http.StatusNoContent && len(length) == 1 && length[0] == "0":
		respell(to, res.Header, "Content-Length", "content-length")
	}
}

func respell(to, from http.Header, name, as string) {
	if v := from[name]; len(v) > 0 {
		delete(from, name)
		to[as] = v
	}
}

// hasBody reports whether an answer has a body (RFC 9110 §6.4.1).
func hasBody(method string, status int) bool {
	return method != http.MethodHead && status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// statusClientGone is what a call is counted under whose caller left before the
// API answered.
const statusClientGone = 499

// failed answers when the API did not. Nothing is learnt from it.
func (c *call) failed(_ http.ResponseWriter, req *http.Request, err error) {
	if c.r.Context().Err() != nil {
		c.observe(statusClientGone, "")
		return
	}
	if c.body.isBroken() {
		c.w.Header()["Connection"] = []string{"close"}
		c.refuse(codeAmbiguousFraming)
		return
	}
	code := codeUpstreamUnavailable
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		code = codeUpstreamTimeout
	}
	c.g.Log.LogAttrs(req.Context(), slog.LevelWarn, "the API did not answer",
		slog.String("upstream", c.upstream.Name), slog.String("method", c.r.Method),
		slog.String("path", c.g.Reader.Redact(c.target.Path)), slog.String("error", err.Error()))
	c.refuse(code)
}

// buffers are what bodies are copied through.
type buffers struct{}

const copyBuffer = 32 << 10

var bufferPool = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// Get and Put satisfy httputil.BufferPool.
func (buffers) Get() []byte  { return bufferPool.Get().(*[copyBuffer]byte)[:] }
func (buffers) Put(b []byte) { bufferPool.Put((*[copyBuffer]byte)(b)) }

// debugLog takes what net/http has to say about connections that broke.
type debugLog struct{ log *slog.Logger }

func (d debugLog) Write(p []byte) (int, error) {
	d.log.Debug("proxy", slog.String("message", strconv.QuoteToASCII(string(p))))
	return len(p), nil
}
