package federation

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/test/farside"
)

const backHere = "https://auth.example.com/upstream/corp"

// upstreamWorld is an Upstream and its provider.
type upstreamWorld struct {
	*Upstream
	provider *farside.Provider
	clock    *moving
	spent    *trustWorld
}

func newUpstreamWorld(t *testing.T) *upstreamWorld {
	t.Helper()
	w := &upstreamWorld{clock: newMoving(), spent: &trustWorld{spent: map[string]bool{}}, provider: farside.NewProvider(t, "offkey", "a secret", backHere)}
	w.provider.Clock = w.clock.now
	f, err := NewFetcher(Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := secret.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	master, err := secret.NewMasterKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	w.Upstream = NewUpstream(UpstreamOptions{
		Name: "corp", Issuer: w.provider.URL, ClientID: "offkey", Secret: secret.NewText("a secret"), Redirect: backHere, Fetcher: f,
		Spender: w.spent, Master: master, Now: w.clock.now,
	})
	return w
}

// leave begins, and returns the browser's cookie and the way back.
func (w *upstreamWorld) leave(t *testing.T) (*http.Cookie, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	if err := w.Begin(rec, httptest.NewRequest(http.MethodGet, "/", nil), "request-1"); err != nil {
		t.Fatal(err)
	}
	cookies := rec.Result().Cookies()
	if rec.Code != http.StatusSeeOther || len(cookies) != 1 || !cookies[0].HttpOnly || !cookies[0].Secure || cookies[0].SameSite != http.SameSiteLaxMode || cookies[0].Path != "/upstream/corp" {
		t.Fatalf("%d %v", rec.Code, cookies)
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(rec.Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("the provider answers %d", resp.StatusCode)
	}
	return cookies[0], resp.Header.Get("Location")
}

func (w *upstreamWorld) back(cookie *http.Cookie, target string) (Arrival, *httptest.ResponseRecorder, error) {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if cookie != nil {
		r.AddCookie(cookie)
	}
	rec := httptest.NewRecorder()
	a, err := w.Finish(rec, r)
	return a, rec, err
}

func wantRefused(t *testing.T, err error, says string) {
	t.Helper()
	var r *Refused
	if !errors.As(err, &r) || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want a refusal with %q", err, says)
	}
}

func TestAPersonArrivesFromAProvider(t *testing.T) {
	w := newUpstreamWorld(t)
	cookie, target := w.leave(t)
	a, rec, err := w.back(cookie, target)
	if err != nil || a.RequestID != "request-1" || a.Issuer != w.provider.URL || a.Subject != "up-7" {
		t.Fatalf("%+v, %v", a, err)
	}
	if gone := rec.Result().Cookies(); len(gone) != 1 || gone[0].MaxAge >= 0 {
		t.Errorf("the cookie stays: %v", gone)
	}
	_, _, err = w.back(cookie, target)
	wantRefused(t, err, "did not confirm") // by the provider already
	t.Run("once, also where the provider forgets what it has redeemed", func(t *testing.T) {
		w.provider.Forgets = true
		defer func() { w.provider.Forgets = false }()
		cookie, target := w.leave(t)
		if _, _, err := w.back(cookie, target); err != nil {
			t.Error(err)
		}
		_, _, err = w.back(cookie, target)
		wantRefused(t, err, "used before")
	})
	t.Run("its keys rotate", func(t *testing.T) {
		w.provider.Rotate()
		cookie, target := w.leave(t)
		if _, _, err := w.back(cookie, target); err != nil {
			t.Error(err)
		}
	})
}

func TestOnlyTheBrowserThatLeftComesBack(t *testing.T) {
	w := newUpstreamWorld(t)
	mine, target := w.leave(t)
	other, otherTarget := w.leave(t)
	_, _, err := w.back(nil, target)
	wantRefused(t, err, "has not begun")
	_, _, err = w.back(other, target)
	wantRefused(t, err, "begun elsewhere")
	changed := *mine
	middle := len(changed.Value) / 2
	changed.Value = changed.Value[:middle] + strings.Map(func(r rune) rune {
		if r == 'A' {
			return 'B'
		}
		return 'A'
	}, changed.Value[middle:middle+1]) + changed.Value[middle+1:]
	_, _, err = w.back(&changed, target)
	wantRefused(t, err, "has not begun")
	_, _, err = w.back(mine, strings.Replace(target, "state=", "state=x", 1))
	wantRefused(t, err, "begun elsewhere")
	w.clock.at.Add(601)
	_, _, err = w.back(other, otherTarget)
	wantRefused(t, err, "too long ago")
	elsewhere := newUpstreamWorld(t)
	_, _, err = elsewhere.back(mine, target)
	wantRefused(t, err, "has not begun")
}

func TestAnAnswerThatIsNotOfTheProvider(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(url.Values)
		says   string
	}{
		"another iss":   {func(v url.Values) { v.Set("iss", "https://evil.example") }, "not of the place"},
		"no iss":        {func(v url.Values) { v.Del("iss") }, "not of the place"},
		"an error":      {func(v url.Values) { v.Del("code"); v.Set("error", "access_denied") }, "access_denied"},
		"no code":       {func(v url.Values) { v.Del("code") }, "cannot be read"},
		"another code":  {func(v url.Values) { v.Set("code", "x") }, "did not confirm"},
		"no state":      {func(v url.Values) { v.Del("state") }, "begun elsewhere"},
		"the code once": {func(v url.Values) { v.Add("code", "y") }, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newUpstreamWorld(t)
			w.provider.Answer = tt.answer
			cookie, target := w.leave(t)
			_, _, err := w.back(cookie, target)
			wantRefused(t, err, tt.says)
			if len(w.spent.spent) > 0 {
				t.Error("somebody whom no provider knows has us write")
			}
		})
	}
}

func TestAnIDTokenThatProvesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		claims map[string]any
		says   string
	}{
		"another issuer":          {map[string]any{"iss": "https://evil.example"}, "iss"},
		"another client":          {map[string]any{"aud": "other"}, "another client"},
		"several without azp":     {map[string]any{"aud": []string{"offkey", "other"}}, "given to another"},
		"another azp":             {map[string]any{"azp": "other"}, "given to another"},
		"another nonce":           {map[string]any{"nonce": "x"}, "nonce"},
		"no nonce":                {map[string]any{"nonce": nil}, "nonce"},
		"no sub":                  {map[string]any{"sub": nil}, "sub"},
		"a sub without end":       {map[string]any{"sub": strings.Repeat("a", 256)}, "sub"},
		"a sub that moves things": {map[string]any{"sub": "a\nb"}, "sub"},
		"expired":                 {map[string]any{"exp": int64(1_800_000_000 - 60)}, "expired"},
		"no exp":                  {map[string]any{"exp": nil}, "expired"},
		"no iat":                  {map[string]any{"iat": nil}, "iat"},
		"an old one":              {map[string]any{"iat": int64(1_800_000_000 - 700)}, "iat"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newUpstreamWorld(t)
			claims := map[string]any{"sub": "up-7"}
			for n, v := range tt.claims {
				claims[n] = v
			}
			w.provider.Claims = claims
			cookie, target := w.leave(t)
			_, _, err := w.back(cookie, target)
			wantRefused(t, err, tt.says)
			if len(w.spent.spent) > 0 {
				t.Error("somebody whom no provider knows has us write")
			}
		})
	}
	t.Run("another kind of token", func(t *testing.T) {
		w := newUpstreamWorld(t)
		w.provider.Typ = "logout+jwt"
		cookie, target := w.leave(t)
		_, _, err := w.back(cookie, target)
		wantRefused(t, err, "typ")
	})
	t.Run("several audiences with azp", func(t *testing.T) {
		w := newUpstreamWorld(t)
		w.provider.Claims = map[string]any{"sub": "up-7", "aud": []string{"offkey", "other"}, "azp": "offkey"}
		cookie, target := w.leave(t)
		if _, _, err := w.back(cookie, target); err != nil {
			t.Error(err)
		}
	})
}

func TestOfSixtyFourThatComeBackTogetherOneArrives(t *testing.T) {
	w := newUpstreamWorld(t)
	w.provider.Forgets = true
	cookie, target := w.leave(t)
	var arrived atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			if _, _, err := w.back(cookie, target); err == nil {
				arrived.Add(1)
			}
		})
	}
	all.Wait()
	if arrived.Load() != 1 {
		t.Errorf("%d arrived", arrived.Load())
	}
}

func FuzzUpstreamAnswer(f *testing.F) {
	d := departure{State: "s", Nonce: "n", Expires: time.Unix(2_000_000_000, 0)}
	m := issuerMetadata{Issuer: "https://corp.example", ResponseIssuer: true}
	f.Add("code=a&state=s&iss=https%3A%2F%2Fcorp.example")
	f.Add("error=x&state=s")
	f.Fuzz(func(t *testing.T, query string) {
		p, err := oauth.ParseParams(query)
		if err == nil && checkAnswer(p, d, m) == nil && (p.Value("state") != "s" || p.Value("iss") != m.Issuer || p.Value("code") == "") {
			t.Errorf("%q is taken", query)
		}
	})
}
