package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/test/farside"
)

// importKey brings in an apikey as an operator does.
func (p *process) importKey(value, contact string) *apikey.Key {
	p.Helper()
	k := &apikey.Key{
		ID: apikey.NewID(), Fingerprint: p.data.pepper.Fingerprint(value), Last4: secret.Last4(value), Label: "Billing cron",
		Contact: contact, KnownBy: apikey.KnownByImport, Created: p.Now(),
	}
	if _, err := p.db.ImportAPIKeys(p.Context(), []*apikey.Key{k}, audit.Event{Actor: "os:0", Action: "apikey.imported"}); err != nil {
		p.Fatal(err)
	}
	return k
}

// registration is what a caller sends to /register.
func registration(t testing.TB) []byte {
	t.Helper()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(jose.KeySet{Keys: []jose.PublicKey{key.Public()}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(oauth.ClientMetadata{ClientName: "orders", TokenEndpointAuthMethod: oauth.AuthPrivateKeyJWT, JWKS: keys})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// register registers a client with an apikey, and returns its id.
func (p *process) register(value string, body []byte) string {
	p.Helper()
	req, err := http.NewRequestWithContext(p.Context(), "POST", p.Addresses().Issuer+"/register", bytes.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+value)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusCreated {
		p.Fatalf("%s %s, %v", resp.Status, answer, err)
	}
	var made struct {
		ClientID string `json:"client_id"`
	}
	if err := json.Unmarshal(answer, &made); err != nil {
		p.Fatal(err)
	}
	return made.ClientID
}

// outboxFiles are the messages in the outbox.
func (p *process) outboxFiles() []string {
	p.Helper()
	files, err := filepath.Glob(filepath.Join(p.data.path, "outbox", "*.eml"))
	if err != nil {
		p.Fatal(err)
	}
	return files
}

// waitForMail waits until the outbox is empty; the job comes by every 2 s.
func (p *process) waitForMail() {
	p.Helper()
	for deadline := time.Now().Add(30 * time.Second); len(p.outboxFiles()) > 0; {
		if time.Now().After(deadline) {
			p.Fatal("not delivered")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestTheOwnerIsToldBeforeARegistrationIsAnswered(t *testing.T) {
	const value = "sk_live_0123456789abcdef7f3a"
	p := runProcess(t, "")
	k := p.importKey(value, "owner@acme.example")
	body := registration(t)
	id := p.register(value, body)
	files := p.outboxFiles()
	if len(files) != 1 {
		t.Fatalf("%q in the outbox", files)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\r\nTo: <owner@acme.example>\r\n", id, k.ID, "127.0.0.0/24", "http://127.0.0.1:2", "offkey apikeys block " + k.ID} {
		if !bytes.Contains(raw, []byte(want)) {
			t.Errorf("the message lacks %q:\n%s", want, raw)
		}
	}
	if bytes.Contains(raw, []byte(value[:len(value)-4])) {
		t.Error("the message holds the apikey")
	}
	if again := p.register(value, body); again != id || len(p.outboxFiles()) != 1 {
		t.Errorf("registered again as %s, with %d messages", again, len(p.outboxFiles()))
	}
}

func TestMailWaitsForAServerAndAReloadNamesOne(t *testing.T) {
	const value = "sk_live_0123456789abcdef7f3a"
	m := farside.NewMail(t, func(s *farside.MailState) { s.NoStartTLS = true })
	p := runProcess(t, "email: {from: offkey@example.com, to_admins: [ops@example.com], smtp: {host: 127.0.0.1, port: 1, tls: none}}\n")
	p.importKey(value, "") // nobody's
	id := p.register(value, registration(t))
	if n := len(p.outboxFiles()); n != 1 {
		t.Fatalf("%d messages in the outbox", n)
	}
	p.write(fmt.Sprintf("email: {from: offkey@example.com, to_admins: [ops@example.com], smtp: {host: 127.0.0.1, port: %d, tls: none}}\n", m.Port))
	if err := p.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.waitForMail()
	letters := m.Letters()
	if len(letters) != 1 || letters[0].To != "ops@example.com" || !strings.Contains(string(letters[0].Data), id) {
		t.Errorf("%+v", letters)
	}
}

func TestAReloadThatFailsKeepsTheMailServer(t *testing.T) {
	const value = "sk_live_0123456789abcdef7f3a"
	m := farside.NewMail(t, func(s *farside.MailState) { s.NoStartTLS = true })
	email := "email: {from: offkey@example.com, to_admins: [ops@example.com], smtp: {host: 127.0.0.1, port: %d, tls: none}}\n"
	p := runProcess(t, fmt.Sprintf(email, m.Port))
	p.importKey(value, "")
	p.write(fmt.Sprintf(email, 1) + "clients:\n  - {id: beta, auth: client_secret_basic, secret_file: nowhere}\n")
	if err := p.Reload(t.Context()); err == nil {
		t.Fatal("reloaded")
	}
	p.register(value, registration(t))
	p.waitForMail()
	if n := len(m.Letters()); n != 1 {
		t.Errorf("%d letters", n)
	}
}
