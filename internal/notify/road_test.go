package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
)

func aNotice(changes ...func(*migration.Notice)) migration.Notice {
	k := &apikey.Key{ID: "ak_1", Last4: "9f3c", Label: "orders", Owner: "Acme Ltd", Contact: "dev@acme.example"}
	n := migration.Notice{
		Telling: apikey.Telling{APIKeyID: k.ID, Program: "python-requests", Occasion: "end:7:2027-03-08"}, Key: k, Stage: apikey.Warn,
		Until: noon.Add(7 * 24 * time.Hour), Calls: 48120, Route: "GET /v1/orders/{id}", Callers: 1,
	}
	for _, change := range changes {
		change(&n)
	}
	return n
}

func TestAnOwnerIsToldWhatToDoAndByWhen(t *testing.T) {
	w := newWorld(t, func(s *Settings) { s.Upgrade = "https://auth.example.com/upgrade" })
	m := w.Write(migration.Bundle{Contact: "dev@acme.example", Notices: []migration.Notice{aNotice()}})
	if m.Subject != "Your API key ending in 9f3c (orders) stops working on 8 March 2027" || len(m.To) != 1 || m.To[0] != "dev@acme.example" {
		t.Errorf("%+v", m)
	}
	for _, part := range []string{"ending in 9f3c (orders)", "Acme Ltd", "works until 8 March 2027", "python-requests, 48120 calls in 30 days, mostly GET /v1/orders/{id}",
		"offkey upgrade --api https://api.example.com --apikey-stdin", "https://auth.example.com/upgrade"} {
		if !strings.Contains(m.Text, part) {
			t.Errorf("%q is not in it:\n%s", part, m.Text)
		}
	}
}

func TestSubjectsSayWhatIsMostUrgent(t *testing.T) {
	w := newWorld(t, nil)
	other := aNotice(func(n *migration.Notice) {
		n.APIKeyID, n.Occasion = "ak_2", "warn"
		n.Key = &apikey.Key{ID: "ak_2", Last4: "01be"}
	})
	window := policy.Window{From: noon.Add(24 * time.Hour), To: noon.Add(25 * time.Hour)}
	for _, tt := range []struct {
		name    string
		notices []migration.Notice
		want    string
	}{
		{"two, one of which ends", []migration.Notice{other, aNotice()}, "2 API keys of yours stop working on 8 March 2027"},
		{"a warning", []migration.Notice{other}, "Your API key ending in 01be is on the way out"},
		{"a test", []migration.Notice{aNotice(func(n *migration.Notice) { n.Occasion, n.Window = "brownout:1:x", &window })}, "Your API key ending in 9f3c (orders) is refused for a test on 2 March 2027, 12:00 UTC"},
	} {
		if got := w.Write(migration.Bundle{Notices: tt.notices}).Subject; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestWhatCallersSayStaysInItsLineOfAMail(t *testing.T) {
	w := newWorld(t, nil)
	evil := aNotice(func(n *migration.Notice) {
		n.Program, n.Route, n.Key.Label, n.Key.Owner = "a\r\nBcc: x@evil.example", "GET /\r\n\r\nhello", "x\nSubject: y", "\x1b[31m<b>"
	})
	m := w.Write(migration.Bundle{Notices: []migration.Notice{evil}})
	if strings.Contains(m.Subject, "\n") || strings.Contains(m.Text, "\nBcc") || strings.Contains(m.Text, "\nhello") || strings.Contains(m.Text, "\x1b") {
		t.Errorf("%q\n%q", m.Subject, m.Text)
	}
}

func TestNoticesLeaveRoomInTheOutbox(t *testing.T) {
	w := newWorld(t, nil)
	w.spool.most = 10
	var err error
	for range 20 {
		if _, err = w.Send(t.Context(), migration.Bundle{Contact: "dev@acme.example", Notices: []migration.Notice{aNotice()}}); err != nil {
			break
		}
	}
	if names, _ := w.spool.waiting(); !errors.Is(err, migration.ErrPostFull) || len(names) != 5 {
		t.Errorf("%d wait, %v", len(names), err)
	}
}

// hookServer is the far side of a webhook.
type hookServer struct {
	status int
	err    error
	got    []http.Header
	bodies [][]byte
}

func (h *hookServer) post(_ context.Context, _ string, header http.Header, body []byte) (int, error) {
	h.got, h.bodies = append(h.got, header), append(h.bodies, body)
	return h.status, h.err
}

func TestAWebhookIsSignedAndComesAgainUntilItIsTaken(t *testing.T) {
	far := &hookServer{status: http.StatusServiceUnavailable}
	key := secret.NewText("whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef")))
	w := newWorld(t, func(s *Settings) { s.Webhook = &Webhook{URL: "https://hooks.example.com", Secret: key, Post: far.post} })
	if _, err := w.Send(t.Context(), migration.Bundle{Contact: "dev@acme.example", Notices: []migration.Notice{aNotice()}}); err != nil {
		t.Fatal(err)
	}
	if err := w.DeliverHooks(t.Context()); err == nil {
		t.Error("503 is no delivery")
	}
	if err := w.DeliverHooks(t.Context()); err == nil || len(far.got) != 1 {
		t.Errorf("it is asked again at once: %d", len(far.got))
	}
	w.start() // a restart forgets nothing
	w.pass(time.Minute)
	far.status = http.StatusNoContent
	if err := w.DeliverHooks(t.Context()); err != nil || len(far.got) != 2 {
		t.Fatal(err, len(far.got))
	}
	if err := w.DeliverHooks(t.Context()); err != nil || len(far.got) != 2 {
		t.Errorf("it is sent again: %v, %d", err, len(far.got))
	}
	h, body := far.got[1], far.bodies[1]
	if h.Get("Webhook-Id") != far.got[0].Get("Webhook-Id") {
		t.Error("the second try has another id")
	}
	mac := hmac.New(sha256.New, []byte("0123456789abcdef0123456789abcdef"))
	mac.Write([]byte(h.Get("Webhook-Id") + "." + h.Get("Webhook-Timestamp") + "." + string(body)))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); h.Get("Webhook-Signature") != want {
		t.Errorf("signature %s, want %s", h.Get("Webhook-Signature"), want)
	}
	var e hookEvent
	if err := json.Unmarshal(body, &e); err != nil || e.Type != "apikey.notice" || len(e.Data) != 1 || e.Data[0].Occasion != "end" || e.Data[0].Last4 != "9f3c" || strings.Contains(string(body), "acme.example") {
		t.Errorf("%s %v", body, err)
	}
}

// The example of the Standard Webhooks specification.
func TestTheSignatureIsThatOfTheSpecification(t *testing.T) {
	h := signedHook("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), secret.NewText("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	if got := h.Get("Webhook-Signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("%s", got)
	}
}

func TestAWebhookThatIsGoneHoldsNothingUp(t *testing.T) {
	far := &hookServer{status: http.StatusGone}
	w := newWorld(t, func(s *Settings) {
		s.Webhook = &Webhook{URL: "https://hooks.example.com", Secret: secret.NewText("a secret of some length"), Post: far.post}
	})
	for range 3 {
		if _, err := w.Send(t.Context(), migration.Bundle{Notices: []migration.Notice{aNotice()}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.DeliverHooks(t.Context()); err != nil || len(far.got) != 3 {
		t.Errorf("%v, %d", err, len(far.got))
	}
}
