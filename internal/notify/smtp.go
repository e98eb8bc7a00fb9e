package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

// TLSMode says how a mail server is spoken to.
type TLSMode string

const (
	// StartTLS begins in the clear and goes on over TLS, or not at all
	// (RFC 3207 §4).
	StartTLS TLSMode = "starttls"
	// ImplicitTLS is TLS from the first byte (RFC 8314 §3).
	ImplicitTLS TLSMode = "implicit"
	// NoTLS is for a relay on loopback, and never with a password.
	NoTLS TLSMode = "none"
)

// Port is where servers that are spoken to so usually listen.
func (m TLSMode) Port() int {
	switch m {
	case ImplicitTLS:
		return 465
	case NoTLS:
		return 25
	}
	return 587
}

// SMTP is a mail server that takes our messages.
type SMTP struct {
	Host     string
	Port     int
	User     string // "" for a server that asks for none
	Password secret.Text
	TLS      TLSMode
	RootCAs  *x509.CertPool // nil: those of the system
}

// mostReplies bounds what a mail server may send in one session, in bytes.
const mostReplies = 1 << 20

// A refusal is a server's word about one message; others may still go.
type refusal struct {
	permanent bool
	err       error
}

func (r *refusal) Error() string { return r.err.Error() }

// session is a conversation with a mail server that is ready to take messages.
type session struct {
	client  *smtp.Client
	conn    net.Conn
	timeout time.Duration
	stop    func() bool // of the watch over ctx
}

// connect opens a session. The server is told that we are called name.
func (s SMTP) connect(ctx context.Context, name string, timeout time.Duration) (*session, error) {
	dialer := net.Dialer{Timeout: timeout}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))
	if err != nil {
		return nil, err
	}
	x := &session{conn: &bounded{Conn: conn, left: mostReplies}, timeout: timeout}
	x.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := x.greet(ctx, s, name); err != nil {
		x.end()
		return nil, fmt.Errorf("mail server %s: %w", s.Host, inWords(err))
	}
	return x, nil
}

// greet goes as far as the first message.
func (x *session) greet(ctx context.Context, s SMTP, name string) (err error) {
	trust := &tls.Config{ServerName: s.Host, RootCAs: s.RootCAs, MinVersion: tls.VersionTLS12}
	conn := x.conn
	x.within()
	switch s.TLS {
	case ImplicitTLS:
		over := tls.Client(conn, trust)
		if err := over.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = over
	case NoTLS:
		if err := checkLoopback(conn.RemoteAddr()); err != nil {
			return err
		}
	}
	if x.client, err = smtp.NewClient(conn, s.Host); err != nil {
		return err
	}
	if err := x.client.Hello(name); err != nil {
		return err
	}
	if s.TLS == StartTLS {
		x.within()
		if ok, _ := x.client.Extension("STARTTLS"); !ok {
			return errors.New("does not offer STARTTLS; nothing is sent in the clear")
		}
		if err := x.client.StartTLS(trust); err != nil {
			return fmt.Errorf("STARTTLS: %w", err)
		}
	}
	if s.User == "" {
		return nil
	}
	return x.authenticate(s)
}

// authenticate sends the password, over TLS only (RFC 4954 §4).
func (x *session) authenticate(s SMTP) error {
	if _, over := x.client.TLSConnectionState(); !over {
		return errors.New("the password is not sent without TLS")
	}
	_, offered := x.client.Extension("AUTH")
	if !slices.Contains(strings.Fields(strings.ToUpper(offered)), "PLAIN") {
		return errors.New("does not offer AUTH PLAIN")
	}
	x.within()
	err := x.client.Auth(smtp.PlainAuth("", s.User, s.Password.Reveal(), s.Host))
	var reply *textproto.Error
	var garbled textproto.ProtocolError
	switch { // the text of a reply may repeat what was sent
	case errors.As(err, &reply):
		return fmt.Errorf("refuses email.smtp.user with its password (%d)", reply.Code)
	case errors.As(err, &garbled):
		return errors.New("answers AUTH with what is no reply")
	}
	return err
}

// checkLoopback holds TLS: none to this machine, whatever the name stands for.
func checkLoopback(a net.Addr) error {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is not loopback, and is not spoken to without TLS", a)
}

// send hands over one message. The error is a *refusal where the server refuses
// this one only; after any other the session is of no more use.
func (x *session) send(from, to string, raw []byte) error {
	if err := x.command(250, "MAIL FROM:<%s>", from); err != nil {
		return fmt.Errorf("sender: %w", inWords(err)) // ours for every message
	}
	x.within()
	if err := x.client.Rcpt(to); err != nil {
		return x.refused("recipient", err)
	}
	x.within()
	w, err := x.client.Data()
	if err != nil {
		return x.refused("DATA", err)
	}
	_, err = w.Write(raw)
	if x.within(); err == nil {
		err = w.Close()
	}
	if err != nil {
		return x.refused("message", err)
	}
	return nil
}

// command is for what net/smtp adds parameters to that we do not mean.
func (x *session) command(code int, format string, args ...any) error {
	x.within()
	id, err := x.client.Text.Cmd(format, args...)
	if err != nil {
		return err
	}
	x.client.Text.StartResponse(id)
	defer x.client.Text.EndResponse(id)
	_, _, err = x.client.Text.ReadResponse(code)
	return err
}

// refused tells a refusal of this message from a session that is at its end
// (RFC 5321 §4.2.1): 421 is the server leaving, 530 that it wants a password.
// After a refusal the session is made ready for the next message.
func (x *session) refused(what string, err error) error {
	words := fmt.Errorf("%s: %w", what, inWords(err))
	var reply *textproto.Error
	if !errors.As(err, &reply) || reply.Code == 421 || reply.Code == 530 || reply.Code < 400 {
		return words
	}
	x.within()
	if err := x.client.Reset(); err != nil {
		return words
	}
	return &refusal{permanent: reply.Code >= 500, err: words}
}

// inWords is an error that may hold a server's reply, in one line that is not
// longer than others.
func inWords(err error) error {
	return errors.New(oneLine(strings.Join(strings.Fields(err.Error()), " "), longestReason))
}

// within gives the next step its time.
func (x *session) within() { _ = x.conn.SetDeadline(time.Now().Add(x.timeout)) }

// end takes leave, without waiting long for an answer.
func (x *session) end() {
	if x.client != nil {
		_ = x.conn.SetDeadline(time.Now().Add(min(x.timeout, 5*time.Second)))
		_ = x.client.Quit()
	}
	_ = x.conn.Close()
	x.stop()
}

// bounded is a connection that ends after so many bytes were read: a reply has
// no length of its own.
type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("sent more than %d bytes of replies", mostReplies)
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
