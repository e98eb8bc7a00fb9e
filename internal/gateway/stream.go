package gateway

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// endWithToken bounds a stream by the token that opened it: WebSocket, server-sent
// events and gRPC end when the token expires, and the caller has to come back
// with a new one. Other answers, however long, are finished. A token revoked
// while its stream is open ends it no later than that.
func (c *call) endWithToken(res *http.Response) {
	if c.token == nil || !isStream(res) {
		return
	}
	left := c.token.Expires().Sub(c.at)
	if conn, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
		res.Body = &boundConn{ReadWriteCloser: conn, timer: time.AfterFunc(left, func() { _ = conn.Close() })}
		return
	}
	res.Body = newBoundBody(res, left)
}

// isStream reports whether an answer goes on until somebody ends it.
func isStream(res *http.Response) bool {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return true
	}
	contentType, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	contentType = strings.ToLower(strings.TrimSpace(contentType))
	return contentType == "text/event-stream" || strings.HasPrefix(contentType, "application/grpc")
}

// boundConn is a connection that was switched to another protocol.
type boundConn struct {
	io.ReadWriteCloser
	timer *time.Timer
}

func (b *boundConn) Close() error {
	b.timer.Stop()
	return b.ReadWriteCloser.Close()
}

// boundBody ends cleanly at its time: the caller sees the end of the stream and
// not a broken connection, gRPC callers the status UNAUTHENTICATED.
type boundBody struct {
	io.ReadCloser
	res   *http.Response
	timer *time.Timer

	mu   sync.Mutex
	over bool
}

func newBoundBody(res *http.Response, left time.Duration) *boundBody {
	b := &boundBody{ReadCloser: res.Body, res: res}
	b.timer = time.AfterFunc(left, func() {
		b.mu.Lock()
		b.over = true
		b.mu.Unlock()
		_ = b.ReadCloser.Close() // wakes a Read that waits
	})
	return b
}

func (b *boundBody) isOver() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over
}

func (b *boundBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil || err == io.EOF || !b.isOver() {
		return n, err
	}
	if isGRPC(b.res.Header) {
		b.res.Trailer = http.Header{"Grpc-Status": {"16"}, "Grpc-Message": {"the access token has expired"}}
	}
	return n, io.EOF
}

// Close leaves a body that is over to its timer: closing an HTTP/2 stream waits
// for the caller's half, which ends only when the call has.
func (b *boundBody) Close() error {
	if b.timer.Stop(); b.isOver() {
		return nil
	}
	return b.ReadCloser.Close()
}
