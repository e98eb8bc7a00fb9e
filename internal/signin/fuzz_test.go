package signin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// fuzzed is a page that a stranger's bytes reach: whatever they are, it answers
// as it should and signs nobody in.
func fuzzed(t *testing.T, w *world, r *http.Request) {
	t.Helper()
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	if rec.Code >= http.StatusInternalServerError {
		t.Errorf("%d: %s", rec.Code, rec.Body)
	}
	for _, c := range rec.Result().Cookies() {
		if c.Name == "__Host-offkey" && c.Value != "" {
			t.Error("somebody is signed in")
		}
	}
}

func FuzzCookies(f *testing.F) {
	w := newWorld(f)
	w.person("ana", anasPassword)
	for _, s := range []string{"", "__Host-offkey=" + strings.Repeat("A", 43), "__Host-offkey-known=a.b~c.d", "__Host-offkey-browser=x; __Host-offkey-browser=y", "=;=", "__Host-offkey=\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cookies string) {
		for _, path := range []string{"/account", "/signin?r=x", "/device", "/signout"} {
			r := httptest.NewRequest(http.MethodGet, issuer+path, nil)
			r.Header.Set("Cookie", cookies)
			fuzzed(t, w, r)
		}
	})
}

func FuzzForm(f *testing.F) {
	w := newWorld(f)
	w.person("ana", anasPassword)
	b := w.browser()
	_, form := b.authorize(asks()).form(`id="login-submit"`)
	browser := "__Host-offkey-browser=" + b.cookie("__Host-offkey-browser")
	f.Add("/signin", form.Encode()+"&username=ana&password=x")
	f.Add("/signin/passkey", form.Encode()+"&response={}&challenge=a|b|c")
	f.Add("/device", "user_code=BCDF-GHJK&csrf=x")
	f.Add("/consent", "r=&decision=allow")
	f.Add("/setup", "token=offkey_li_x")
	_, forgotten := b.get("/forgot").form(`id="forgot-submit"`)
	f.Add("/forgot", forgotten.Encode()+"&username=ana")
	f.Add("/address", "token=offkey_li_x&csrf=")
	f.Add("/signin/second", "%zz&r=%00")
	f.Fuzz(func(t *testing.T, path, body string) {
		if !w.service.Serves(path) || strings.Contains(body, url.QueryEscape(anasPassword)) {
			return
		}
		r := httptest.NewRequest(http.MethodPost, issuer+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Cookie", browser)
		fuzzed(t, w, r)
	})
}

func FuzzWebAuthnResponse(f *testing.F) {
	w := newWorld(f)
	w.person("ana", anasPassword)
	a := w.signedIn("ana").withPasskey()
	f.Add(a.Get(w.browser().authorize(asks()).options()))
	f.Add(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA"}}`)
	f.Add(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"}}`)
	f.Fuzz(func(t *testing.T, response string) {
		if len(response) > 32<<10 {
			return
		}
		w.t = t
		p := w.browser().authorize(asks())
		if got := p.send(`data-passkey="get"`, "response", response); got.status != http.StatusUnauthorized && got.status != http.StatusTooManyRequests {
			t.Errorf("%d at %s", got.status, got.path)
		}
		w.advance(3600e9)
	})
}

func FuzzAttestation(f *testing.F) {
	w := newWorld(f)
	w.person("ana", anasPassword)
	b := w.signedIn("ana")
	page := b.get("/account/passkeys")
	f.Add(newAuthenticator(f).Create(page.options()))
	f.Fuzz(func(t *testing.T, response string) {
		w.t = t
		p := b.get("/account/passkeys")
		if p.path != "/account/passkeys" || len(response) > 32<<10 {
			return
		}
		if got := p.send(`data-passkey="create"`, "response", response); got.status != http.StatusBadRequest {
			t.Errorf("%d at %s", got.status, got.path)
		}
	})
}
