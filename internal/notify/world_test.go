package notify

import (
	"bytes"
	"log/slog"
	"net/mail"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/test/farside"
	"github.com/prometheus/client_golang/prometheus"
)

const password = "correct-horse-battery-staple"

var (
	noon    = time.Date(2027, 3, 1, 12, 0, 0, 123456789, time.UTC)
	network = netip.MustParsePrefix("203.0.113.0/24")
	admin   = mail.Address{Name: "Ops", Address: "ops@example.com"}
)

// world is an outbox in a folder that outlives it, with a clock that can be
// moved.
type world struct {
	*Outbox
	testing.TB
	folder   string
	settings Settings
	clock    atomic.Pointer[time.Time]
	log      lockedBuffer
}

func newWorld(t testing.TB, change func(*Settings)) *world {
	t.Helper()
	w := &world{TB: t, folder: filepath.Join(t.TempDir(), "outbox"), settings: Settings{
		From: mail.Address{Name: "offkey", Address: "offkey@example.com"}, Admins: []mail.Address{admin},
		Issuer: "https://auth.example.com", API: "https://api.example.com",
	}}
	w.set(noon)
	if change != nil {
		change(&w.settings)
	}
	w.start()
	return w
}

// start opens the outbox as a process does.
func (w *world) start() {
	w.Helper()
	var err error
	if w.Outbox, err = Open(Options{
		Folder: w.folder, Now: func() time.Time { return *w.clock.Load() }, Timeout: 10 * time.Second,
		Log: slog.New(slog.NewTextHandler(&w.log, nil)), Metrics: prometheus.NewRegistry(),
	}, w.settings); err != nil {
		w.Fatal(err)
	}
}

func (w *world) set(now time.Time)    { w.clock.Store(&now) }
func (w *world) pass(d time.Duration) { w.set(w.Now().Add(d)) }

// register tells the owner of k of a client, and returns the client.
func (w *world) register(k *apikey.Key, changes ...func(*client.Client)) *client.Client {
	c := newClient(w.Now(), changes...)
	w.UpgradeRegistered(w.Context(), k, c, network)
	return c
}

// deliver delivers what must be deliverable.
func (w *world) deliver() {
	w.Helper()
	if err := w.Deliver(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// files are the messages in the outbox, or in its folder failed.
func (w *world) files(folder ...string) []string {
	w.Helper()
	names, err := messagesIn(filepath.Join(append([]string{w.folder}, folder...)...))
	if err != nil {
		w.Fatal(err)
	}
	return names
}

func (w *world) file(name string) []byte {
	w.Helper()
	raw, err := os.ReadFile(filepath.Join(w.folder, name))
	if err != nil {
		w.Fatal(err)
	}
	return raw
}

// counted is how often offkey_mail_total has that result.
func (w *world) counted(result string) int {
	w.Helper()
	families, err := w.Metrics.(*prometheus.Registry).Gather()
	if err != nil {
		w.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "offkey_mail_total" && m.GetLabel()[0].GetValue() == result {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	w.Fatalf("offkey_mail_total has no %s", result)
	return 0
}

func (w *world) wantLog(words string) {
	w.Helper()
	if !strings.Contains(w.log.String(), words) {
		w.Errorf("the log does not say %q:\n%s", words, w.log.String())
	}
}

func newKey() *apikey.Key {
	return &apikey.Key{ID: apikey.NewID(), Last4: "7f3a", Label: "Billing cron", Owner: "Acme", Contact: "owner@acme.example", Created: noon}
}

func newClient(now time.Time, changes ...func(*client.Client)) *client.Client {
	c := &client.Client{
		ID: client.NewID(), Name: "orders", Status: client.Active, Created: now,
		Scopes: oauth.Scope{"create:orders", "read:orders"}, Source: client.SourceUpgrade,
	}
	for _, change := range changes {
		change(c)
	}
	return c
}

// through are settings that deliver to a mail server, over STARTTLS with a
// password.
func through(m *farside.Mail, changes ...func(*SMTP)) func(*Settings) {
	return func(s *Settings) {
		s.SMTP = &SMTP{Host: "127.0.0.1", Port: m.Port, User: "offkey", Password: secret.NewText(password), TLS: StartTLS, RootCAs: m.Roots}
		for _, change := range changes {
			change(s.SMTP)
		}
	}
}

// withPassword is a mail server that wants ours.
func withPassword(s *farside.MailState) { s.User, s.Password = "offkey", password }

// answering is such a server that says something else to lines that begin so.
func answering(prefix, answer string) func(*farside.MailState) {
	return func(s *farside.MailState) {
		withPassword(s)
		s.Answer = func(line string) string {
			if strings.HasPrefix(line, prefix) {
				return answer
			}
			return ""
		}
	}
}

// behaving takes away what a server answers otherwise.
func behaving(m *farside.Mail) { m.With(func(s *farside.MailState) { s.Answer = nil }) }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
