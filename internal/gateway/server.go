package gateway

import (
	"context"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// How long a caller may take to send a request's head, and how long a connection
// may wait for the next request. Bodies and answers have no limit: they may be
// streams.
const (
	headerTimeout    = 30 * time.Second
	idleCallerTime   = 2 * time.Minute
	maxHeaderBytes   = 1 << 20
	maxStreamsPerTCP = 250
)

// NewServer makes the server of a gateway: HTTP/1.1, and HTTP/2 both with TLS
// and by prior knowledge, which gRPC callers use. Give it a GuardListener, or a
// GuardTLSListener, to serve on.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleCallerTime,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreamsPerTCP},
		ErrorLog:          log.New(debugLog{logger}, "", 0),
		// OPTIONS * is for the handler to refuse, not for net/http to answer.
		DisableGeneralOptionsHandler: true,
		ConnContext:                  withConn,
	}
}

// connKey finds the guarded connection that a request came on.
type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	if guarded, ok := conn.(interface{ arrivedWhole() bool }); ok {
		return context.WithValue(ctx, connKey{}, guarded)
	}
	return ctx
}

// arrivedWhole reports whether a request in HTTP/1 is there with all of its body.
func arrivedWhole(r *http.Request) bool {
	guarded, ok := r.Context().Value(connKey{}).(interface{ arrivedWhole() bool })
	return ok && r.ProtoMajor == 1 && guarded.arrivedWhole()
}
