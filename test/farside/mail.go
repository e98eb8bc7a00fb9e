package farside

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Mail is a mail server. It keeps to the order of commands, to TLS before a
// password, and takes only data that is well-formed: CRLF, ASCII, lines of at
// most 998 characters. Set its fields with [Mail.With].
type Mail struct {
	Port  int            // on 127.0.0.1
	Roots *x509.CertPool // that its certificate is checked against

	mu      sync.Mutex
	state   MailState
	trust   *tls.Config
	running sync.WaitGroup
	open    map[net.Conn]bool
	closed  bool
}

// MailState is how the server is to behave, and what it was sent.
type MailState struct {
	// Implicit is TLS from the first byte; NoStartTLS leaves STARTTLS out.
	Implicit, NoStartTLS bool
	// User and Password are asked for unless they are empty.
	User, Password string
	// Answer replaces the answer to a line; "." is the end of the data and
	// "connect" the connection. "" leaves the server to itself.
	Answer func(line string) string

	Letters  []Letter
	Sessions int
	Lines    []string // commands, in the order of their coming
}

// Letter is a message that the server took.
type Letter struct {
	From, To string
	Data     []byte
	TLS      bool
	User     string
	Hello    string
}

// What an Answer may be besides a reply.
const (
	Silence = "silence" // none, until the other side gives up
	HangUp  = "hang up"
)

// NewMail starts a mail server on loopback.
func NewMail(t testing.TB, behave func(*MailState)) *Mail {
	t.Helper()
	m := &Mail{open: map[net.Conn]bool{}}
	m.certify(t)
	if behave != nil {
		behave(&m.state)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.Port = l.Addr().(*net.TCPAddr).Port
	m.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.running.Go(func() { m.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		m.With(func(*MailState) {
			m.closed = true
			for conn := range m.open {
				_ = conn.Close()
			}
		})
		m.running.Wait()
	})
	return m
}

// With reads or changes how the server behaves and what it has seen.
func (m *Mail) With(f func(*MailState)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.state)
}

// Letters are the messages taken so far.
func (m *Mail) Letters() (letters []Letter) {
	m.With(func(s *MailState) { letters = slices.Clone(s.Letters) })
	return letters
}

func (m *Mail) certify(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	m.Roots = x509.NewCertPool()
	m.Roots.AddCert(certificate)
	m.trust = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}}
}

// letterBox is one session.
type letterBox struct {
	mail   *Mail
	conn   net.Conn
	in     *bufio.Reader
	letter Letter
	over   bool
	said   bool
	asked  bool // for data
}

func (m *Mail) serve(conn net.Conn) {
	defer conn.Close()
	b := &letterBox{mail: m, conn: conn}
	var implicit bool
	m.With(func(s *MailState) {
		if m.closed {
			_ = conn.Close()
		}
		m.open[conn] = true
		s.Sessions++
		implicit = s.Implicit
	})
	defer m.With(func(*MailState) { delete(m.open, conn) })
	if implicit {
		b.upgrade()
	}
	b.in = bufio.NewReader(b.conn)
	if !b.answer("connect", func() string { return "220 farside ESMTP" }) {
		return
	}
	for {
		line, err := b.in.ReadString('\n')
		if err != nil {
			return
		}
		command := strings.TrimSuffix(line, "\r\n")
		m.With(func(s *MailState) { s.Lines = append(s.Lines, command) })
		if hello, ok := strings.CutPrefix(command, "EHLO "); ok {
			b.said, b.letter.Hello = true, hello
		}
		goOn := b.answer(command, func() string { return b.obey(command) })
		if !goOn || command == "QUIT" {
			return
		}
		if command == "STARTTLS" && !b.over {
			b.upgrade()
			b.in = bufio.NewReader(b.conn)
		}
		if b.asked {
			b.asked = false
			if !b.takeData() {
				return
			}
		}
	}
}

func (b *letterBox) upgrade() {
	b.conn, b.over, b.said = tls.Server(b.conn, b.mail.trust), true, false
}

// answer says what Answer wants, else what the server says by itself. It
// reports whether the session goes on.
func (b *letterBox) answer(line string, itself func() string) bool {
	var wanted string
	var choose func(string) string
	b.mail.With(func(s *MailState) { choose = s.Answer })
	if choose != nil {
		wanted = choose(line)
	}
	switch wanted {
	case "":
		wanted = itself()
	case HangUp:
		return false
	case Silence:
		_, _ = b.in.ReadByte()
		return false
	}
	_, err := fmt.Fprintf(b.conn, "%s\r\n", wanted)
	return err == nil
}

// obey is what the server says to a command by itself.
func (b *letterBox) obey(command string) string {
	var s MailState
	b.mail.With(func(state *MailState) { s = *state })
	verb, rest, _ := strings.Cut(command, " ")
	switch {
	case strings.ContainsFunc(command, func(c rune) bool { return c < ' ' || c > '~' }):
		return "500 not a command"
	case verb == "EHLO":
		return b.offer(s)
	case !b.said && verb != "QUIT":
		return "503 say EHLO first"
	case verb == "STARTTLS" && !s.NoStartTLS && !b.over:
		return "220 go on"
	case verb == "AUTH":
		return b.authenticate(s, rest)
	case verb == "MAIL" && strings.HasPrefix(rest, "FROM:<") && strings.HasSuffix(rest, ">"):
		if s.User != "" && b.letter.User == "" {
			return "530 5.7.0 authentication required"
		}
		b.letter.From, b.letter.To = rest[len("FROM:<"):len(rest)-1], ""
		return "250 ok"
	case verb == "RCPT" && b.letter.From != "" && strings.HasPrefix(rest, "TO:<") && strings.HasSuffix(rest, ">"):
		b.letter.To = rest[len("TO:<") : len(rest)-1]
		return "250 ok"
	case command == "DATA" && b.letter.To != "":
		b.asked = true
		return "354 go on"
	case command == "RSET":
		b.letter.From, b.letter.To = "", ""
		return "250 ok"
	case command == "QUIT":
		return "221 bye"
	}
	return "503 not now: " + command
}

func (b *letterBox) offer(s MailState) string {
	lines := []string{"farside"}
	if !s.NoStartTLS && !b.over {
		lines = append(lines, "STARTTLS")
	}
	if s.User != "" {
		lines = append(lines, "AUTH LOGIN PLAIN")
	}
	lines = append(lines, "8BITMIME", "SMTPUTF8")
	for i := range lines {
		lines[i] = "250-" + lines[i]
	}
	lines[len(lines)-1] = strings.Replace(lines[len(lines)-1], "-", " ", 1)
	return strings.Join(lines, "\r\n")
}

func (b *letterBox) authenticate(s MailState, rest string) string {
	if !b.over {
		return "538 not without TLS"
	}
	raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
	if s.User == "" || string(raw) != "\x00"+s.User+"\x00"+s.Password {
		return "535 wrong: " + rest // as some servers do, it repeats what it was sent
	}
	b.letter.User = s.User
	return "235 welcome"
}

// takeData reads the data of a letter.
func (b *letterBox) takeData() bool {
	var data []byte
	fault := ""
	for {
		line, err := b.in.ReadBytes('\n')
		if err != nil {
			return false
		}
		if string(line) == ".\r\n" {
			break
		}
		if !bytes.HasSuffix(line, []byte("\r\n")) || len(line) > 1000 || bytes.ContainsFunc(line, func(c rune) bool { return c > '~' }) {
			fault = "554 not a message"
		}
		data = append(data, bytes.TrimPrefix(line, []byte("."))...)
	}
	return b.answer(".", func() string {
		if fault != "" {
			return fault
		}
		letter := b.letter
		letter.Data, letter.TLS = data, b.over
		b.mail.With(func(s *MailState) { s.Letters = append(s.Letters, letter) })
		b.letter.From, b.letter.To = "", ""
		return "250 taken"
	})
}
