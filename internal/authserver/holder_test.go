package authserver_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/oauth"
)

// holders knows one apikey.
type holders struct{}

func (holders) HeldBy(_ context.Context, apikey string) (any, error) {
	if apikey != "old-key" {
		return nil, oauth.InvalidToken("this apikey is not known here, or no longer accepted")
	}
	return map[string]string{"last4": "-key"}, nil
}

func (h holders) ExtendHeld(ctx context.Context, apikey, reason string) (any, error) {
	if reason == "" {
		return nil, oauth.InvalidRequest("say why in reason")
	}
	return h.HeldBy(ctx, apikey)
}

func TestWhoHoldsAnAPIKeyMayAskForMoreTime(t *testing.T) {
	w := newWorld(t, func(o *authserver.Options) { o.Holders = holders{} })
	extend := func(apikey, body string) answer {
		r := httptest.NewRequest(http.MethodPost, "/upgrade/apikey/extension", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+apikey)
		return w.do(r)
	}
	for name, tt := range map[string]struct {
		apikey, body string
		status       int
	}{
		"granted": {"old-key", `{"reason":"release in May"}`, 200}, "no reason": {"old-key", `{}`, 400}, "no JSON": {"old-key", `reason=x`, 400},
		"too long": {"old-key", `{"reason":"` + strings.Repeat("x", 5000) + `"}`, 400}, "an unknown apikey": {"made-up", `{"reason":"x"}`, 401},
	} {
		if a := extend(tt.apikey, tt.body); a.status != tt.status {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func (w *world) held(authorization ...string) answer {
	r := httptest.NewRequest(http.MethodGet, "/upgrade/apikey", nil)
	r.Header["Authorization"] = authorization
	return w.do(r)
}

func TestWhoHoldsAnAPIKeyIsTold(t *testing.T) {
	w := newWorld(t, func(o *authserver.Options) { o.Holders = holders{} })
	a := w.held("Bearer old-key")
	if a.status != http.StatusOK || a.json["last4"] != "-key" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	for name, authorization := range map[string][]string{
		"nothing": nil, "another scheme": {"Basic old-key"}, "an unknown one": {"Bearer made-up"},
	} {
		if a := w.held(authorization...); a.status != http.StatusUnauthorized || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") || strings.Contains(a.body, "made-up") {
			t.Errorf("%s: %d %v %s", name, a.status, a.header, a.body)
		}
	}
	if a := w.do(httptest.NewRequest(http.MethodGet, "/upgrade/apikey?access_token=old-key", nil)); a.status != http.StatusUnauthorized {
		t.Errorf("in the query: %d", a.status)
	}
}

func TestGuessingAPIKeysIsSlowed(t *testing.T) {
	w := newWorld(t, func(o *authserver.Options) { o.Holders = holders{} })
	for range 1000 {
		if a := w.held("Bearer made-up"); a.status == http.StatusTooManyRequests {
			if a.header.Get("Retry-After") == "" {
				t.Error("it does not say how long to wait")
			}
			return
		}
	}
	t.Error("1000 guesses went through")
}
