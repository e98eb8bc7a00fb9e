package notify

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/test/farside"
)

func TestMessagesReachTheMailServer(t *testing.T) {
	tests := []struct {
		name    string
		server  func(*farside.MailState)
		smtp    func(*SMTP)
		overTLS bool
		user    string
	}{
		{"STARTTLS with a password", withPassword, func(*SMTP) {}, true, "offkey"},
		{"STARTTLS without", nil, func(s *SMTP) { s.User, s.Password = "", secret.Text{} }, true, ""},
		{"implicit TLS with a password", func(s *farside.MailState) { withPassword(s); s.Implicit = true }, func(s *SMTP) { s.TLS = ImplicitTLS }, true, "offkey"},
		{"in the clear on loopback", func(s *farside.MailState) { s.NoStartTLS = true }, func(s *SMTP) { s.TLS, s.User = NoTLS, "" }, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := farside.NewMail(t, tt.server)
			w := newWorld(t, through(m, tt.smtp))
			first, second := w.register(newKey()), w.register(newKey())
			kept := w.file(w.files()[0])
			w.deliver()
			letters := m.Letters()
			if len(letters) != 2 || len(w.files()) != 0 || w.counted(sent) != 2 {
				t.Fatalf("%d letters, %q left, counted %d", len(letters), w.files(), w.counted(sent))
			}
			for i, c := range []string{first.ID, second.ID} {
				l := letters[i]
				if l.From != "offkey@example.com" || l.To != "owner@acme.example" || l.TLS != tt.overTLS || l.User != tt.user || l.Hello != "example.com" {
					t.Errorf("from %s to %s, TLS %v, user %q, EHLO %s", l.From, l.To, l.TLS, l.User, l.Hello)
				}
				if _, _, text := opened(t, l.Data); !strings.Contains(text, c) {
					t.Errorf("letter %d is not about %s", i, c)
				}
			}
			if !bytes.Equal(letters[0].Data, kept) {
				t.Errorf("sent\n%s\nkept\n%s", letters[0].Data, kept)
			}
			m.With(func(s *farside.MailState) {
				if s.Sessions != 1 || s.Lines[len(s.Lines)-1] != "QUIT" {
					t.Errorf("%d sessions, the last command is %s", s.Sessions, s.Lines[len(s.Lines)-1])
				}
			})
		})
	}
}

func TestNothingIsSentWhereNoServerIsSet(t *testing.T) {
	w := newWorld(t, nil)
	w.register(newKey())
	w.pass(30 * 24 * time.Hour)
	w.deliver()
	if len(w.files()) != 1 {
		t.Error("the message is gone")
	}
}

// hurdle is a mail server, or our way to it, that mail does not get over.
type hurdle struct {
	name   string
	server func(*farside.MailState)
	smtp   func(*SMTP)
	says   string // in the error
}

// A server that cannot be used keeps no message from being sent later.
func TestAServerThatDoesNotServe(t *testing.T) {
	tests := []hurdle{
		{"no STARTTLS", func(s *farside.MailState) { withPassword(s); s.NoStartTLS = true }, nil, "does not offer STARTTLS"},
		{"STARTTLS refused", answering("STARTTLS", "454 not now"), nil, "STARTTLS: 454"},
		{"a certificate that is not trusted", withPassword, func(s *SMTP) { s.RootCAs = nil }, "certificate"},
		{"a certificate for another name", withPassword, func(s *SMTP) { s.Host = "127.0.0.2" }, ""},
		{"TLS where it begins in the clear", withPassword, func(s *SMTP) { s.TLS = ImplicitTLS }, "tls"},
		{"a wrong password", withPassword, func(s *SMTP) { s.Password = secret.NewText(password + "x") }, "refuses email.smtp.user with its password (535)"},
		{"what is no reply to a password", answering("AUTH", "AHVzZXI= what?"), nil, "what is no reply"},
		{"no AUTH PLAIN", answering("EHLO", "250-farside\r\n250-STARTTLS\r\n250 AUTH LOGIN"), nil, "AUTH PLAIN"},
		{"a greeting that refuses", answering("connect", "554 go away"), nil, `554 "go away"`},
		{"no greeting", answering("connect", farside.HangUp), nil, "EOF"},
		{"a greeting without end", answering("connect", "220-"+strings.Repeat("x", mostReplies)), nil, "more than"},
		{"EHLO and HELO refused", func(s *farside.MailState) {
			s.Answer = func(line string) string {
				if strings.HasPrefix(line, "EHLO") || strings.HasPrefix(line, "HELO") {
					return "502 what?"
				}
				return ""
			}
		}, nil, "502"},
		{"our address refused", answering("MAIL", "553 sender not owned by user"), nil, `sender: 553 "sender not owned by user"`},
		{"a password wanted", func(s *farside.MailState) { withPassword(s) }, func(s *SMTP) { s.User = "" }, "sender: 530"},
		{"too many messages", answering("RCPT", "421 come back later"), nil, "421"},
		{"an end in between", answering("DATA", farside.HangUp), nil, "EOF"},
		{"an end after the data", answering(".", farside.HangUp), nil, "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := farside.NewMail(t, tt.server)
			change := tt.smtp
			if change == nil {
				change = func(*SMTP) {}
			}
			w := newWorld(t, through(m, change))
			c := w.register(newKey())
			err := w.Deliver(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("the error is %v, want one that says %q", err, tt.says)
			}
			for _, s := range []string{err.Error(), w.log.String()} {
				checkNoPassword(t, s)
				if len(s) > 2000 {
					t.Errorf("a reply of the server is repeated without a bound: %d bytes", len(s))
				}
			}
			if len(w.files()) != 1 || len(m.Letters()) != 0 {
				t.Fatalf("%q in the outbox, %d letters", w.files(), len(m.Letters()))
			}
			// until it is tried again the job fails as it did
			sessions := 0
			m.With(func(s *farside.MailState) { sessions = s.Sessions })
			if again := w.Deliver(t.Context()); fmt.Sprint(again) != fmt.Sprint(err) {
				t.Errorf("asked again it says %v", again)
			}
			m.With(func(s *farside.MailState) {
				if s.Sessions != sessions {
					t.Error("the server is not left alone for a while")
				}
			})
			// the operator corrects what was wrong, here or there
			behaving(m)
			m.With(func(s *farside.MailState) { s.NoStartTLS = false })
			through(m)(&w.settings)
			m.With(withPassword)
			w.Use(w.settings)
			w.deliver()
			letters := m.Letters()
			if len(letters) != 1 || !bytes.Contains(letters[0].Data, []byte(c.ID)) || len(w.files()) != 0 {
				t.Errorf("corrected, %d letters and %q in the outbox", len(letters), w.files())
			}
		})
	}
}

// checkNoPassword looks for the password as it is and as it travels.
func checkNoPassword(t testing.TB, s string) {
	t.Helper()
	for _, form := range []string{password, "Y29ycmVjdC1ob3JzZ", "AG9mZmtleQBjb3"} {
		if strings.Contains(s, form) {
			t.Errorf("the password is in %q", s)
		}
	}
}

func TestAPasswordStaysWhereThereIsNoTLS(t *testing.T) {
	// the configuration refuses this; the code does not rely on it
	m := farside.NewMail(t, withPassword)
	w := newWorld(t, through(m, func(s *SMTP) { s.TLS = NoTLS }))
	w.register(newKey())
	if err := w.Deliver(t.Context()); err == nil || !strings.Contains(err.Error(), "not sent without TLS") {
		t.Error(err)
	}
	m.With(func(s *farside.MailState) {
		for _, line := range s.Lines {
			if strings.HasPrefix(line, "AUTH") {
				t.Error(line)
			}
		}
	})
}

func TestWhatIsSaidBeforeTLSIsForgotten(t *testing.T) {
	// a stranger on the line adds replies to the one that TLS begins after
	m := farside.NewMail(t, answering("STARTTLS", "220 go on\r\n250-evil\r\n250 AUTH PLAIN\r\n535 injected"))
	w := newWorld(t, through(m))
	w.register(newKey())
	w.deliver()
	if l := m.Letters(); len(l) != 1 || !l[0].TLS || l[0].User != "offkey" {
		t.Errorf("%+v", l)
	}
}

func TestPortsAreTheUsualOnes(t *testing.T) {
	for mode, want := range map[TLSMode]int{StartTLS: 587, ImplicitTLS: 465, NoTLS: 25} {
		if got := mode.Port(); got != want {
			t.Errorf("%s: %d", mode, got)
		}
	}
}

func TestNoTLSIsForLoopback(t *testing.T) {
	for address, ok := range map[string]bool{"127.0.0.1": true, "127.8.9.1": true, "::1": true, "10.0.0.1": false, "203.0.113.7": false, "fe80::1": false} {
		if err := checkLoopback(&net.TCPAddr{IP: net.ParseIP(address)}); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestAServerThatRefusesOneMessage(t *testing.T) {
	tests := []struct {
		name, prefix, answer string
		permanent            bool
	}{
		{"the recipient, for now", "RCPT TO:<greylisted", "451 4.7.1 greylisted", false},
		{"the recipient, whose box is full", "RCPT TO:<greylisted", "452 full", false},
		{"the recipient, for good", "RCPT TO:<greylisted", "550 5.1.1 no such user", true},
		{"the recipient, in many words", "RCPT TO:<greylisted", "550-a\r\n550-b\r\n550 c" + strings.Repeat("d", 10_000), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := farside.NewMail(t, answering(tt.prefix, tt.answer))
			w := newWorld(t, through(m))
			k := newKey()
			k.Contact = "greylisted@acme.example"
			refused := w.register(k)
			other := w.register(newKey())
			w.deliver()
			to := func() (all []string) {
				for _, l := range m.Letters() {
					all = append(all, l.To)
				}
				return all
			}
			if tt.permanent {
				// the other one is delivered, this one goes to the admins
				if got := to(); !slices.Equal(got, []string{"owner@acme.example", admin.Address}) || len(w.files()) != 0 {
					t.Fatalf("letters to %q, in the outbox %q", got, w.files())
				}
				header, _, text := opened(t, m.Letters()[1].Data)
				if !strings.Contains(text, refused.ID) || !strings.HasPrefix(text, "This message was for greylisted@acme.example, whom the mail server refuses.\n\nSomebody") || header.Get("To") != admin.String() {
					t.Errorf("to %s:\n%s", header.Get("To"), text)
				}
				if aside := w.files("failed"); len(aside) != 1 || w.counted(failed) != 1 {
					t.Errorf("put aside %q, counted %d", aside, w.counted(failed))
				}
				w.wantLog("put aside")
				if n := len(w.log.String()); n > 4000 {
					t.Errorf("the log has %d bytes", n)
				}
				return
			}
			if got := to(); !slices.Equal(got, []string{"owner@acme.example"}) || !bytes.Contains(m.Letters()[0].Data, []byte(other.ID)) {
				t.Fatalf("letters to %q", got)
			}
			if len(w.files()) != 1 || w.counted(deferred) != 1 || len(w.files("failed")) != 0 {
				t.Fatalf("%q in the outbox, %d deferred", w.files(), w.counted(deferred))
			}
			w.deliver() // not yet
			if w.counted(deferred) != 1 {
				t.Error("tried again at once")
			}
			behaving(m)
			w.pass(firstMessageWait)
			w.deliver()
			if got := to(); !slices.Equal(got, []string{"owner@acme.example", "greylisted@acme.example"}) || len(w.files()) != 0 {
				t.Errorf("letters to %q, in the outbox %q", got, w.files())
			}
		})
	}
}

func TestAMessageThatEndsEverySessionDoesNotHoldUpOthers(t *testing.T) {
	m := farside.NewMail(t, answering("RCPT TO:<poison", farside.HangUp))
	w := newWorld(t, through(m))
	k := newKey()
	k.Contact = "poison@acme.example"
	w.register(k)
	w.register(newKey())
	if err := w.Deliver(t.Context()); err == nil {
		t.Fatal("no error of a session that ended")
	}
	w.pass(firstServerWait)
	w.deliver()
	if n := len(m.Letters()); n != 1 || len(w.files()) != 1 {
		t.Errorf("%d letters, %d left", n, len(w.files()))
	}
}

func TestAnAdminWhoIsRefusedIsNotToldThatHeIs(t *testing.T) {
	m := farside.NewMail(t, answering("RCPT", "550 no"))
	w := newWorld(t, through(m))
	k := newKey()
	k.Contact = ""
	w.register(k)
	w.register(newKey()) // refused too, then readdressed to the admin, who is refused
	w.deliver()
	if len(w.files()) != 0 || len(w.files("failed")) != 3 {
		t.Errorf("%d in the outbox, %d put aside", len(w.files()), len(w.files("failed")))
	}
}

func TestWhatCannotBeDeliveredIsGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name   string
		server func(*farside.MailState)
	}{
		{"a server that is down", answering("connect", farside.HangUp)},
		{"a recipient who is never taken", answering("RCPT", "450 later")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := farside.NewMail(t, tt.server)
			w := newWorld(t, through(m))
			w.register(newKey())
			tries := func() (n int) {
				m.With(func(s *farside.MailState) { n = s.Sessions })
				return n
			}
			for passed := time.Duration(0); passed < giveUpAfter-time.Hour; passed += 20 * time.Minute {
				_ = w.Deliver(t.Context())
				w.pass(20 * time.Minute)
			}
			if len(w.files()) != 1 {
				t.Fatal("given up early")
			}
			if n := tries(); n < 100 || n > 400 {
				t.Errorf("%d tries in 5 days", n)
			}
			for range 3 {
				w.pass(time.Hour)
				_ = w.Deliver(t.Context())
			}
			if len(w.files()) != 0 || len(w.files("failed")) != 1 || w.counted(failed) != 1 {
				t.Fatalf("%q in the outbox, put aside %q", w.files(), w.files("failed"))
			}
			w.wantLog("put aside in outbox/failed")
			// an operator puts it back
			if err := os.Rename(filepath.Join(w.folder, "failed", w.files("failed")[0]), filepath.Join(w.folder, "again.eml")); err != nil {
				t.Fatal(err)
			}
			behaving(m)
			w.pass(time.Hour)
			w.deliver()
			if len(m.Letters()) != 1 {
				t.Error("put back, it is not delivered")
			}
		})
	}
}

func TestOldMessagesAreNotGivenUpInTheFirstHourOfAServer(t *testing.T) {
	w := newWorld(t, nil)
	w.register(newKey())
	w.pass(90 * 24 * time.Hour)
	m := farside.NewMail(t, withPassword)
	through(m, func(s *SMTP) { s.Password = secret.NewText("mistyped") })(&w.settings)
	w.Use(w.settings)
	for range 100 {
		_ = w.Deliver(t.Context())
		w.pass(30 * time.Second)
	}
	if len(w.files()) != 1 {
		t.Fatal("given up before the password could be corrected")
	}
	through(m)(&w.settings)
	w.Use(w.settings)
	w.deliver()
	if len(m.Letters()) != 1 {
		t.Error("not delivered")
	}
}

func TestARestartDelivers(t *testing.T) {
	m := farside.NewMail(t, answering("connect", farside.HangUp))
	w := newWorld(t, through(m))
	var clients []string
	for range 3 {
		clients = append(clients, w.register(newKey()).ID)
	}
	if err := w.Deliver(t.Context()); err == nil {
		t.Fatal("no error")
	}
	behaving(m)
	w.start()
	w.deliver()
	letters := m.Letters()
	if len(letters) != 3 {
		t.Fatalf("%d letters", len(letters))
	}
	for i, c := range clients {
		if !bytes.Contains(letters[i].Data, []byte(c)) {
			t.Errorf("letter %d is not about %s", i, c)
		}
	}
}

func TestMessagesForNobodyGoToAdminsOnceThereAreAny(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.Admins, s.From = nil, mail.Address{Address: "offkey@localhost"} })
	k := newKey()
	k.Contact = ""
	c := w.register(k)
	w.deliver()
	m := farside.NewMail(t, withPassword)
	through(m)(&w.settings)
	w.Use(w.settings)
	w.deliver()
	if len(w.files()) != 1 || len(m.Letters()) != 0 {
		t.Fatalf("%q in the outbox, %d letters while nobody has an address", w.files(), len(m.Letters()))
	}
	w.settings.Admins = []mail.Address{admin, {Address: "second@example.com"}}
	w.settings.From = mail.Address{Name: "Key desk", Address: "keys@example.com"}
	w.Use(w.settings)
	w.deliver()
	letters := m.Letters()
	if len(letters) != 2 || len(w.files()) != 0 {
		t.Fatalf("%d letters, %q left", len(letters), w.files())
	}
	for i, l := range letters {
		header, _, text := opened(t, l.Data)
		if l.To != w.settings.Admins[i].Address || header.Get("To") != w.settings.Admins[i].String() || !strings.Contains(text, c.ID) {
			t.Errorf("to %s, %s", l.To, header.Get("To"))
		}
		if l.From != "keys@example.com" || header.Get("From") != `"Key desk" <keys@example.com>` {
			t.Errorf("from %s, %s: not the sender that the server takes", l.From, header.Get("From"))
		}
	}
}

func TestWhatIsNoMessageIsPutAside(t *testing.T) {
	m := farside.NewMail(t, withPassword)
	w := newWorld(t, through(m))
	for name, text := range map[string]string{
		"a.eml": "no message", "b.eml": "", "c.eml": "From: a@b.example\r\n\r\nto nobody\r\n",
		"d.eml": "From: a@b.example\r\nTo: a@b.example, c@d.example\r\n\r\nto two\r\n",
		"e.eml": "From: a@b.example\r\nTo: \"x> SIZE=1\"@d.example\r\n\r\n",
		"f.eml": "To: <a@b.example>\r\n\r\n" + strings.Repeat("x", longestMessage),
	} {
		if err := os.WriteFile(filepath.Join(w.folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(w.folder, "folder.eml"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.register(newKey())
	w.deliver()
	if len(m.Letters()) != 1 || len(w.files()) != 0 || len(w.files("failed")) != 6 {
		t.Errorf("%d letters, %q left, put aside %q", len(m.Letters()), w.files(), w.files("failed"))
	}
}

func TestAMessageWrittenByHandIsSentUnharmed(t *testing.T) {
	m := farside.NewMail(t, withPassword)
	w := newWorld(t, through(m))
	text := "From: a@b.example\r\nTo: <owner@acme.example>\r\n\r\n.\r\n..\r\nQUIT\r\n"
	if err := os.WriteFile(filepath.Join(w.folder, "a.eml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.deliver()
	want := strings.Replace(text, "From: a@b.example", `From: "offkey" <offkey@example.com>`, 1)
	if l := m.Letters(); len(l) != 1 || string(l[0].Data) != want {
		t.Errorf("%+v", l)
	}
}

func TestASlowServerSlowsNobody(t *testing.T) {
	reached := make(chan struct{})
	m := farside.NewMail(t, func(s *farside.MailState) {
		s.NoStartTLS = true
		var once sync.Once
		s.Answer = func(line string) string {
			if strings.HasPrefix(line, "RCPT") {
				once.Do(func() { close(reached) })
				return farside.Silence
			}
			return ""
		}
	})
	w := newWorld(t, through(m, func(s *SMTP) { s.TLS, s.User = NoTLS, "" }))
	w.register(newKey())
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Deliver(ctx) }()
	<-reached
	// while the server is waited for
	w.register(newKey())
	w.Use(w.settings)
	if n := len(w.files()); n != 2 {
		t.Errorf("%d messages in the outbox", n)
	}
	stop() // the process ends
	if err := <-ended; err == nil || ctx.Err() == nil {
		t.Errorf("ended with %v", err)
	}
	if n := len(w.files()); n != 2 || w.counted(deferred) != 0 {
		t.Errorf("%d messages in the outbox, %d deferred: an end is not the server's failure", n, w.counted(deferred))
	}
}

func TestAServerThatSaysNothingIsGivenUpInTime(t *testing.T) {
	for _, step := range []string{"connect", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "."} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			m := farside.NewMail(t, answering(step, farside.Silence))
			w := newWorld(t, through(m))
			w.Timeout = 500 * time.Millisecond
			w.register(newKey())
			if err := w.Deliver(t.Context()); err == nil || !strings.Contains(err.Error(), "timeout") {
				t.Errorf("the error is %v", err)
			}
			if len(w.files()) != 1 {
				t.Error("the message is gone")
			}
		})
	}
}

func TestDeliveringWhileOthersRegister(t *testing.T) {
	m := farside.NewMail(t, withPassword)
	w := newWorld(t, through(m))
	const writers, each = 4, 25
	var writing, delivering sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		delivering.Go(func() {
			for {
				if err := w.Deliver(t.Context()); err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	var mu sync.Mutex
	want := map[string]bool{}
	for range writers {
		writing.Go(func() {
			for range each {
				c := w.register(newKey())
				mu.Lock()
				want["<registered-"+c.ID+"@example.com>"] = true
				mu.Unlock()
			}
		})
	}
	writing.Wait()
	close(done)
	delivering.Wait()
	w.deliver()
	letters := m.Letters()
	for _, l := range letters {
		header, _, _ := opened(t, l.Data)
		delete(want, header.Get("Message-ID"))
	}
	if len(letters) != writers*each || len(want) != 0 || len(w.files()) != 0 {
		t.Errorf("%d letters, %d of them missing, %d in the outbox", len(letters), len(want), len(w.files()))
	}
}

func TestMoreThanASessionTakes(t *testing.T) {
	m := farside.NewMail(t, withPassword)
	w := newWorld(t, through(m))
	for range mostPerSession + 20 {
		w.register(&apikey.Key{ID: apikey.NewID(), Contact: "owner@acme.example"})
	}
	w.deliver()
	m.With(func(s *farside.MailState) {
		if len(s.Letters) != mostPerSession+20 || s.Sessions != 2 {
			t.Errorf("%d letters in %d sessions", len(s.Letters), s.Sessions)
		}
	})
}

func TestAMessageTakenOutByHandIsNotMissed(t *testing.T) {
	m := farside.NewMail(t, answering("RCPT", "450 later"))
	w := newWorld(t, through(m))
	w.register(newKey())
	w.deliver()
	if err := os.Remove(filepath.Join(w.folder, w.files()[0])); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	w.deliver()
	if n := len(w.attempts.messages); n != 0 {
		t.Errorf("%d attempts are kept of what is gone", n)
	}
}

func TestWhatCannotBePutAsideIsLeftForAWhile(t *testing.T) {
	m := farside.NewMail(t, withPassword)
	w := newWorld(t, through(m))
	if err := os.WriteFile(filepath.Join(w.folder, "a.eml"), []byte("no message"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(w.folder, "failed")); err != nil {
		t.Fatal(err)
	}
	w.deliver()
	w.wantLog("nor put aside")
	if err := os.Mkdir(filepath.Join(w.folder, "failed"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.pass(longestMessageWait)
	w.deliver()
	if len(w.files()) != 0 || len(w.files("failed")) != 1 {
		t.Errorf("%q in the outbox, put aside %q", w.files(), w.files("failed"))
	}
}
