package token

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

func TestTheNextRefreshTokenIsAlwaysTheSame(t *testing.T) {
	key, other := []byte("key of this server"), []byte("key of another")
	text, first := NewRefreshToken()
	read, ok := ReadRefreshToken(text.Reveal())
	if !ok || read.Secret != first.Secret || read.Handle != first.Handle {
		t.Fatal("a new token cannot be read")
	}
	aText, a := read.Next(key)
	bText, b := first.Next(key)
	if a.Secret != b.Secret || aText.Reveal() != bText.Reveal() {
		t.Error("two successors of one token")
	}
	if a.Handle != first.Handle || a.Secret == first.Secret {
		t.Error("the successor is of another family, or is the token itself")
	}
	if _, c := first.Next(other); c.Secret == a.Secret {
		t.Error("the successor can be told without the key")
	}
	if again, ok := ReadRefreshToken(aText.Reveal()); !ok || again.Secret != a.Secret {
		t.Error("the successor cannot be read")
	}
	if printed := fmt.Sprintf("%v %+v %#v", first, first, first); strings.Contains(printed, strings.TrimPrefix(text.Reveal(), "offkey_rf_")[:20]) {
		t.Error("a refresh token prints itself")
	}
}

func TestWhatIsNoRefreshToken(t *testing.T) {
	text, _ := NewRefreshToken()
	good := text.Reveal()
	body, handle, _ := strings.Cut(good, ".")
	for name, s := range map[string]string{
		"empty": "", "no handle": body, "no body": "." + handle, "a short handle": good[:len(good)-1], "a padded handle": good + "==",
		"spare bits": good[:len(good)-1] + "B", "a long handle": good + "AAAA", "a client secret": secret.Generate(secret.KindClientSecret).Reveal() + "." + handle,
		"a wrong checksum": body[:len(body)-1] + "!" + "." + handle, "a line break": good + "\n", "two dots": good + "." + handle,
	} {
		if _, ok := ReadRefreshToken(s); ok && s != good {
			t.Errorf("%s is taken for one", name)
		}
	}
}

func TestJudge(t *testing.T) {
	at := time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC)
	_, first := NewRefreshToken()
	_, second := first.Next([]byte("key"))
	_, third := second.Next([]byte("key"))
	_, stranger := NewRefreshToken()
	f := Family{Handle: first.Handle, Current: second.Secret, Previous: first.Secret, Rotated: at, LastUsed: at, Idle: time.Hour, Ends: at.Add(2 * time.Hour)}
	guess := third
	for _, tt := range []struct {
		name  string
		t     RefreshToken
		after time.Duration
		grace time.Duration
		want  Standing
	}{
		{"the newest", second, 0, 0, Newest},
		{"the newest, at the last moment", second, time.Hour - 1, 0, Newest},
		{"unused for too long", second, time.Hour, 0, Unknown},
		{"the one before, without grace", first, 0, 0, Reused},
		{"the one before, within the grace", first, 9 * time.Second, 10 * time.Second, Repeated},
		{"the one before, after the grace", first, 10 * time.Second, 10 * time.Second, Reused},
		{"one that only knows the family", guess, 0, time.Hour, Reused},
		{"one of another family", stranger, 0, time.Hour, Unknown},
	} {
		if got := f.Judge(tt.t, at.Add(tt.after), tt.grace); got != tt.want {
			t.Errorf("checklist_77 %s: %d, want %d", tt.name, got, tt.want)
		}
	}
	f.Idle = 0
	if got := f.Judge(second, at.Add(2*time.Hour), 0); got != Unknown {
		t.Errorf("at its end it is %d", got)
	}
	if got := f.Judge(second, at.Add(2*time.Hour-1), 0); got != Newest {
		t.Errorf("before its end it is %d", got)
	}
	if got := (Family{}).Judge(RefreshToken{}, at, time.Hour); got != Unknown {
		t.Errorf("nothing in no family is %d", got)
	}
}

func TestWhatOutlivesASession(t *testing.T) {
	for _, tt := range []struct {
		scope   string
		session string
		want    bool
	}{
		{"openid profile", "se_1", false}, {"openid offline_access", "se_1", true}, {"read:orders", "se_1", true}, {"", "se_1", true}, {"openid", "", true},
	} {
		scope, err := oauth.ParseScope(tt.scope)
		if err != nil && tt.scope != "" {
			t.Fatal(err)
		}
		if got := (Grant{Scope: scope, Login: Login{Session: tt.session}}).Offline(); got != tt.want {
			t.Errorf("%q in %q: %v", tt.scope, tt.session, got)
		}
	}
}

func FuzzReadRefreshToken(f *testing.F) {
	text, _ := NewRefreshToken()
	f.Add(text.Reveal())
	f.Add("")
	f.Add("offkey_rf_.")
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ReadRefreshToken(s)
		if ok != (got.Handle != secret.Hash{}) {
			t.Errorf("%q: ok %v, %v", s, ok, got.Handle)
		}
		if _, next := got.Next([]byte("k")); ok && next.Handle != got.Handle {
			t.Errorf("%q: its successor is of another family", s)
		}
	})
}
