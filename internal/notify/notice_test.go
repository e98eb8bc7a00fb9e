package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/directory"
)

func TestAPersonIsToldAtBothAddresses(t *testing.T) {
	w := newWorld(t, nil)
	w.Tell(t.Context(), directory.Notice{
		Person: &directory.Person{ID: "pe_1", Name: "ana", Email: "new@example.com"}, Before: "old@example.com", At: noon, By: "person:pe_1",
		Events: []directory.Event{{Kind: directory.AddressChanged, Detail: "new@example.com"}},
	})
	var all string
	for _, name := range w.files() {
		all += readable(t, w.file(name))
	}
	for _, part := range []string{"To: <new@example.com>", "To: <old@example.com>", "Your email address was changed at https://auth.example.com", "It is now: new@example.com", "2027-03-01 12:00:00", "https://auth.example.com/account"} {
		if !strings.Contains(all, part) {
			t.Errorf("no %q in\n%s", part, all)
		}
	}
	if strings.Contains(all, "administrator") || strings.Contains(all, "ops@example.com") {
		t.Errorf("who did it is not told:\n%s", all)
	}
}

func TestAPersonIsToldWhatAnOperatorDid(t *testing.T) {
	w := newWorld(t, nil)
	w.Tell(t.Context(), directory.Notice{
		Person: &directory.Person{ID: "pe_1", Name: "ana", Email: "ana@example.com"}, At: noon, By: "os:0",
		Events: []directory.Event{{Kind: directory.TOTPRemoved}, {Kind: directory.PasskeyRemoved, Detail: "lap\u202etop\nX"}},
	})
	text := readable(t, w.file(w.files()[0]))
	for _, part := range []string{"authenticator app was removed from", "A passkey was removed from your account: lap?top?X", "by       an administrator"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}

func TestEveryEventIsSaidInEveryLanguage(t *testing.T) {
	for name, l := range languages {
		for _, kind := range directory.EventKinds {
			words := l.events[kind]
			if strings.Count(words.subject, "%s") != 1 || words.text == "" || strings.Count(words.text, "%s") > 1 || strings.Contains(words.text, "%s") != strings.Contains(languages["en"].events[kind].text, "%s") {
				t.Errorf("%s says %q of %s", name, words, kind)
			}
		}
		if len(l.events) != len(directory.EventKinds) {
			t.Errorf("%s says more than there is", name)
		}
	}
}

// Whoever makes a lot of noise hides nothing that matters more, fills nothing and
// is heard again the next day.
func TestAPersonIsToldSoOften(t *testing.T) {
	w := newWorld(t, nil)
	tell := func(id string, kind directory.EventKind) {
		w.pass(time.Second)
		w.Tell(t.Context(), directory.Notice{Person: &directory.Person{ID: id, Name: id, Email: id + "@example.com"}, At: w.Now(), Events: []directory.Event{{Kind: kind}}})
	}
	for range 50 {
		tell("pe_1", directory.NewBrowser)
	}
	if n := len(w.files()); n != mostPerDay+1 {
		t.Fatalf("%d messages, want %d", n, mostPerDay+1)
	}
	files := w.files()
	if text := readable(t, w.file(files[len(files)-1])); !strings.Contains(text, "no further one") {
		t.Errorf("the last does not say that it is:\n%s", text)
	}
	if w.counted(withheld) != 50-mostPerDay-1 {
		t.Errorf("%d withheld", w.counted(withheld))
	}
	tell("pe_1", directory.PasswordSet)
	tell("pe_2", directory.NewBrowser)
	if n := len(w.files()); n != mostPerDay+3 {
		t.Errorf("%d messages: another kind or person waits", n)
	}
	w.pass(tellWindow)
	tell("pe_1", directory.NewBrowser)
	if n := len(w.files()); n != mostPerDay+4 {
		t.Errorf("%d messages after a day", n)
	}
	w.spool.most = 40
	for i := range 40 {
		tell(fmt.Sprint("pe_x", i), directory.NewBrowser)
	}
	if n := len(w.files()); n != mostPerDay+4 {
		t.Errorf("%d messages: more than half of the outbox", n)
	}
}

func TestNobodyIsToldWhoHasNoAddress(t *testing.T) {
	w := newWorld(t, nil)
	w.Tell(t.Context(), directory.Notice{Person: &directory.Person{ID: "pe_1", Email: "a@example.com\r\nBcc: b@example.com"}, At: noon, Events: []directory.Event{{Kind: directory.NewBrowser}}})
	if len(w.files()) != 0 {
		t.Error("somebody else is told")
	}
}
