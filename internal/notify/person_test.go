package notify

import (
	"bytes"
	"encoding/json"
	"io"
	"net/mail"
	"reflect"
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
	body, err := io.ReadAll(decoded(m))
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
		if err := w.PersonLink(t.Context(), p, directory.Link{Purpose: purpose, Expires: noon.Add(time.Hour)}, link, ""); err != nil {
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
		if err := w.PersonLink(t.Context(), p, directory.Link{Purpose: directory.ForInvite}, link, ""); err == nil || strings.Contains(err.Error(), link) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.PersonLink(t.Context(), &directory.Person{Email: "a@example.com"}, directory.Link{Purpose: directory.ForSetup}, link, ""); err == nil {
		t.Error("a link for setup is mailed")
	}
}

func TestALinkIsInTheLanguageOfItsPerson(t *testing.T) {
	german := map[string]json.RawMessage{"locale": json.RawMessage(`"de-AT"`)}
	for name, tc := range map[string]struct {
		claims         map[string]json.RawMessage
		language, says string
	}{
		"of their browser":        {nil, "de", "Passwort gebeten"},
		"of their claim":          {german, "", "Passwort gebeten"},
		"the browser's is nearer": {german, "en", "asked for another password"},
		"one that we do not have": {nil, "fr", "asked for another password"},
		"a claim that is no text": {map[string]json.RawMessage{"locale": json.RawMessage(`7`)}, "", "asked for another password"},
	} {
		w := newWorld(t, nil)
		p := &directory.Person{ID: "pe_1", Name: "ana", Email: "ana@example.com", Claims: tc.claims}
		if err := w.PersonLink(t.Context(), p, directory.Link{Purpose: directory.ForReset}, "https://auth.example.com/reset", tc.language); err != nil {
			t.Fatal(err)
		}
		if text := readable(t, w.file(w.files()[0])); !strings.Contains(text, tc.says) {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

// Every language says all of what another says.
func TestMessagesToPeopleAreInEveryLanguage(t *testing.T) {
	for name, l := range languages {
		var missing []string
		walk(reflect.ValueOf(*l), name, func(at string, v reflect.Value) {
			if v.Kind() == reflect.String && v.String() == "" {
				missing = append(missing, at)
			}
		})
		if len(missing) > 0 || len(l.links) != len(languages["en"].links) {
			t.Errorf("%s lacks %v", name, missing)
		}
	}
}

func walk(v reflect.Value, at string, f func(string, reflect.Value)) {
	f(at, v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), at+"."+v.Type().Field(i).Name, f)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			walk(v.MapIndex(k), at+"."+k.String(), f)
		}
	}
}
