package app

import (
	"crypto/tls"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of the servers that answer for themselves. The gateway's are its own:
// what passes through it may be a stream.
const (
	headerTimeout    = 10 * time.Second
	requestTimeout   = 60 * time.Second
	idleTimeout      = 2 * time.Minute
	maxHeaderBytes   = 64 << 10
	handshakeTimeout = 10 * time.Second
)

// plainServer is the server of the issuer, the management API and ops.
func plainServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout,
		WriteTimeout: 3 * time.Minute, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: log.New(debugLog{logger}, "", 0),
	}
}

// debugLog takes what net/http says about connections of strangers: worth
// having when something is looked for, no error of ours.
type debugLog struct{ *slog.Logger }

func (l debugLog) Write(line []byte) (int, error) {
	l.Debug("net/http", "says", string(line))
	return len(line), nil
}

// encrypted puts TLS over a listener if the configuration has it.
func (a *App) encrypted(l net.Listener) net.Listener {
	if a.certs == nil {
		return l
	}
	return tls.NewListener(l, a.certs.config())
}

// overTLS tells the handler of the gateway that its calls came over TLS: its
// guard reads the plain text before net/http, which then does not know.
func (a *App) overTLS(next http.Handler) http.Handler {
	if a.certs == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			r.TLS = &tls.ConnectionState{HandshakeComplete: true}
		}
		next.ServeHTTP(w, r)
	})
}
