package notify

import (
	"bytes"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/directory"
)

// readable is a message as its reader sees it.
func readable(t *testing.T, raw []byte) string {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return "To: " + m.Header.Get("To") + "\nSubject: " + m.Header.Get("Subject") + "\n" + string(body)
}

func TestAOneTimeLinkIsSentToItsPersonAlone(t *testing.T) {
	const link = "https://auth.example.com/invite?token=offkey_li_0123456789"
	for purpose, subject := range map[directory.Purpose]string{directory.ForInvite: "You are invited", directory.ForReset: "Choose another password", directory.ForEmail: "Is this your address"} {
		w := newWorld(t, nil)
		p := &directory.Person{ID: "pe_1", Name: "ana\u202e\nX", Email: "ana@example.com"}
		if err := w.PersonLink(t.Context(), p, directory.Link{Purpose: purpose, Expires: noon.Add(time.Hour)}, link); err != nil {
			t.Fatal(err)
		}
		files := w.files()
		if len(files) != 1 {
			t.Fatalf("%s: %d files", purpose, len(files))
		}
		text := readable(t, w.file(files[0]))
		for _, part := range []string{"To: <ana@example.com>", subject, link, "ana??X", "2027-03-01 13:00"} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: no %q in\n%s", purpose, part, text)
			}
		}
		if strings.Contains(text, "ops@example.com") || strings.Contains(w.log.String(), "offkey_li_") {
			t.Errorf("%s: others see it:\n%s\n%s", purpose, text, w.log.String())
		}
	}
	w := newWorld(t, nil)
	for name, p := range map[string]*directory.Person{"no address": {ID: "pe_1"}, "an address with a line": {ID: "pe_1", Email: "a@example.com\r\nBcc: b@example.com"}} {
		if err := w.PersonLink(t.Context(), p, directory.Link{Purpose: directory.ForInvite}, link); err == nil || strings.Contains(err.Error(), link) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.PersonLink(t.Context(), &directory.Person{Email: "a@example.com"}, directory.Link{Purpose: directory.ForSetup}, link); err == nil {
		t.Error("a link for setup is mailed")
	}
}
