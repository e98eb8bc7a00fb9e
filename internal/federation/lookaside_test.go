package federation

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/secret"
)

func TestAServiceIsAskedAboutApikeys(t *testing.T) {
	const right = "look-aside-key-0123456789"
	var status atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s := status.Load(); s != 0 {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(int(s))
			return
		}
		switch r.Header.Get("X-Key") {
		case right, secret.HashOf(right).String():
			_, _ = io.WriteString(w, `{"Owner":"Acme","scopes":["a","b"],"enabled":true,"n":7,"deep":{"x":1}}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer service.Close()
	for _, hashed := range []bool{false, true} {
		l, err := NewLookAside(LookAsideOptions{URL: service.URL, Header: "X-Key", Hashed: hashed})
		if err != nil {
			t.Fatal(err)
		}
		known, about, err := l.Ask(t.Context(), secret.NewText(right))
		if err != nil || !known || about["owner"] != "Acme" || about["scopes"] != "a b" || about["enabled"] != "true" || len(about) != 3 {
			t.Errorf("hashed %v: %v %v %v", hashed, known, about, err)
		}
		for _, wrong := range []string{"another", "", "with\r\nX-Key: " + right, "with\x00nul"} {
			if known, _, err := l.Ask(t.Context(), secret.NewText(wrong)); known || err != nil {
				t.Errorf("%q: %v %v", wrong, known, err)
			}
		}
		for code, no := range map[int64]bool{401: true, 403: true, 410: true, 302: false, 400: false, 429: false, 500: false, 503: false} {
			status.Store(code)
			known, _, err := l.Ask(t.Context(), secret.NewText(right))
			if known || (err == nil) != no || err != nil && strings.Contains(err.Error(), right) {
				t.Errorf("status %d: %v %v", code, known, err)
			}
		}
		status.Store(0)
	}
	for _, bad := range []string{"", "keys.internal", "ftp://keys.internal/", "https://"} {
		if _, err := NewLookAside(LookAsideOptions{URL: bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestASlowServiceIsNoAnswer(t *testing.T) {
	held := make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	defer service.Close()
	defer close(held)
	l, err := NewLookAside(LookAsideOptions{URL: service.URL + "/?token=secret-of-the-url"})
	if err != nil {
		t.Fatal(err)
	}
	l.client.Timeout = 20 * time.Millisecond
	if known, _, err := l.Ask(t.Context(), secret.NewText("x")); known || err == nil || strings.Contains(err.Error(), "secret-of-the-url") {
		t.Errorf("%v %v", known, err)
	}
}

func FuzzLookAsideAnswer(f *testing.F) {
	f.Add(`{"owner":"Acme","scopes":["a"]}`)
	f.Fuzz(func(t *testing.T, body string) {
		for name, value := range members([]byte(body)) {
			if len(name)+len(value) > 4*len(body)+16 {
				t.Fatal("an answer grows")
			}
		}
	})
}
