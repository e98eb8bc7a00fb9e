package app

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/offkey/offkey/internal/config"
)

// Listeners are the bound sockets of a process. Binding comes before all else,
// so that a port in use is said before anything is opened, and so that a port
// chosen by the system can become part of the issuer's URL.
type Listeners struct {
	Gateway, Issuer, Admin, Ops net.Listener
	MTLS                        net.Listener // nil: off
}

// Bind opens the listeners. On error none stays open.
func Bind(where config.Listen) (*Listeners, error) {
	l := &Listeners{}
	for _, one := range []struct {
		name, addr string
		into       *net.Listener
	}{
		{"gateway", where.Gateway, &l.Gateway},
		{"issuer", where.Issuer, &l.Issuer},
		{"admin", where.Admin, &l.Admin},
		{"ops", where.Ops, &l.Ops},
		{"mtls", where.MTLS, &l.MTLS},
	} {
		if one.name == "mtls" && one.addr == "" {
			continue
		}
		bound, err := net.Listen("tcp", one.addr)
		if err != nil {
			return nil, errors.Join(bindError(one.name, one.addr, err), l.Close())
		}
		*one.into = bound
	}
	return l, nil
}

// bindError says which listener it was, and what to do.
func bindError(name, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("the %s cannot listen on %s: another process does; stop it, or choose another address with --%s or listen.%s", name, addr, name, name)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("the %s cannot listen on %s: this user may not use that port; choose one above 1023, or give the binary CAP_NET_BIND_SERVICE", name, addr)
	}
	return fmt.Errorf("the %s cannot listen on %s: %w", name, addr, err)
}

// Close closes what is bound.
func (l *Listeners) Close() error {
	var errs []error
	for _, one := range []net.Listener{l.Gateway, l.Issuer, l.Admin, l.Ops, l.MTLS} {
		if one != nil {
			errs = append(errs, one.Close())
		}
	}
	return errors.Join(errs...)
}

// Addresses are the URLs of a running process, and its data directory.
type Addresses struct {
	Gateway string `json:"gateway"`
	Issuer  string `json:"issuer"`
	Console string `json:"console"`
	Ops     string `json:"ops"`
	MTLS    string `json:"mtls,omitempty"` // the issuer with client certificates
	Data    string `json:"data"`
	// Setup is a one-time link, a secret: whoever opens it within half an hour
	// becomes the first administrator. It is empty where there are people.
	Setup string `json:"setup,omitempty"`
}

// URLOf is the URL at which a listener can be reached from this machine.
func URLOf(l net.Listener, scheme string) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// SocketPath is where the management API of a data directory listens.
func SocketPath(data string) string { return filepath.Join(data, "offkey.sock") }

func scheme(cfg *config.Loaded) string {
	if strings.EqualFold(cfg.TLS.Mode, "files") {
		return "https"
	}
	return "http"
}
