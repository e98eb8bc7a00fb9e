package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/token"
)

// otherIssuer signs tokens that name whatever a test says.
type otherIssuer struct {
	key  *jose.SigningKey
	name string
	gone atomic.Bool
}

func newOther(t *testing.T, name string) *otherIssuer {
	t.Helper()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return &otherIssuer{key: key, name: name}
}

func (o *otherIssuer) keys(_ context.Context, kid string, alg jose.Algorithm) ([]jose.PublicKey, error) {
	if o.gone.Load() {
		return nil, errors.New("the issuer is away")
	}
	return jose.KeySet{Keys: []jose.PublicKey{o.key.Public()}}.Candidates(kid, alg), nil
}

func (o *otherIssuer) trusted(w *world, name string, clients, scopes map[string]string) TrustedIssuer {
	return TrustedIssuer{Name: name, Verifier: token.NewRemoteVerifier(token.RemoteOptions{
		Issuer: o.name, Audience: testResource, Keys: o.keys, Now: w.now, CacheSize: 10, Map: OfIssuer(name, clients, scopes),
	})}
}

func (o *otherIssuer) token(t *testing.T, w *world, pairs ...any) string {
	t.Helper()
	claims := map[string]any{"iss": o.name, "sub": "billing", "client_id": "billing", "aud": testResource, "jti": "1", "scope": "orders.read other",
		"iat": w.now().Unix(), "exp": w.now().Add(time.Hour).Unix()}
	for i := 0; i < len(pairs); i += 2 {
		claims[pairs[i].(string)] = pairs[i+1]
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := o.key.Sign("at+jwt", raw)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// TestTokensOfTrustedIssuersOpenTheAPI: each issuer's by its own keys and under its own
// name, with the meaning that the operator gave its scopes.
func TestTokensOfTrustedIssuersOpenTheAPI(t *testing.T) {
	corp, shop := newOther(t, "https://corp.example"), newOther(t, "https://shop.example")
	w := newWorld(t, func(w *world) {
		w.options.Issuers = []TrustedIssuer{
			corp.trusted(w, "corp", map[string]string{"known": "cl_ours"}, map[string]string{"orders.read": "read:orders"}), shop.trusted(w, "shop", nil, nil),
		}
	}).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "GET /v1/orders -> read:orders", "POST /v1/orders -> other")
	w.know("sk_live_000000000001", apikey.Key{ID: "ak_1", ClientID: "cl_ours"})
	var seen atomic.Pointer[http.Header]
	w.handle(func(_ http.ResponseWriter, r *http.Request) { seen.Store(&r.Header) })
	call := func(raw string, lines ...string) reply {
		seen.Store(nil)
		return w.get("/v1/orders", append(lines, "Authorization: Bearer "+raw)...)
	}
	got := call(corp.token(t, w))
	if got.StatusCode != 200 || seen.Load().Get(headerClient) != "corp:billing" || seen.Load().Get(headerSubject) != "corp:billing" || seen.Load().Get(headerScopes) != "read:orders" {
		t.Fatalf("%d %s %v", got.StatusCode, got.body, seen.Load())
	}
	if got := call(shop.token(t, w, "scope", "read:orders", "sub", "pe_1")); got.StatusCode != 200 || seen.Load().Get(headerClient) != "shop:billing" || seen.Load().Get(headerSubject) != "shop:pe_1" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if got := call(corp.token(t, w, "client_id", "known", "sub", "known"), "X-API-Key: sk_live_000000000001"); got.StatusCode != 200 || seen.Load().Get(headerClient) != "cl_ours" {
		t.Errorf("a client that is ours, beside its own apikey: %d %s", got.StatusCode, got.body)
	}
	// What only our own issuer may say counts for nothing: this one names an apikey that
	// is gone, with which a token of ours would fall.
	if got := call(corp.token(t, w, "offkey_apikey", "ak_gone", "offkey_person", "pe_1", "sid", "s")); got.StatusCode != 200 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	for name, tt := range map[string]struct {
		raw  string
		code string
	}{
		"mix-up: one signs in the other's name":       {shop.token(t, w, "iss", corp.name), policy.CodeInvalidToken},
		"mix-up: another signs in ours":               {corp.token(t, w, "iss", testIssuer), policy.CodeInvalidToken},
		"for another API":                             {corp.token(t, w, "aud", "https://other.example"), policy.CodeInvalidToken},
		"expired":                                     {corp.token(t, w, "exp", w.now().Unix()), policy.CodeInvalidToken},
		"of nobody whom we trust":                     {newOther(t, "https://evil.example").token(t, w), policy.CodeForeignToken},
		"an issuer that only begins like a known one": {corp.token(t, w, "iss", corp.name+"/"), policy.CodeForeignToken},
		"a scope that has no meaning here":            {corp.token(t, w, "scope", "read:orders"), policy.CodeInsufficientScope},
		"a client of theirs beside an apikey of ours": {corp.token(t, w), policy.CodeCredentialConflict},
	} {
		lines := []string{}
		if tt.code == policy.CodeCredentialConflict {
			lines = []string{"X-API-Key: sk_live_000000000001"}
		}
		if got := call(tt.raw, lines...); got.StatusCode < 400 || got.problem(t).Code != tt.code || seen.Load() != nil {
			t.Errorf("%s: %d %s, want %s", name, got.StatusCode, got.body, tt.code)
		}
	}
	raw := corp.token(t, w, "jti", "2")
	corp.gone.Store(true)
	if got := call(raw); got.StatusCode != 401 || !strings.Contains(got.body, "cannot be verified now") {
		t.Errorf("while its keys cannot be had: %d %s", got.StatusCode, got.body)
	}
	if got := call(shop.token(t, w, "scope", "read:orders")); got.StatusCode != 200 {
		t.Errorf("and another's can: %d", got.StatusCode)
	}
	if got := w.get("/.well-known/oauth-protected-resource"); !strings.Contains(got.body, `["`+testIssuer+`","https://corp.example","https://shop.example"]`) {
		t.Errorf("metadata: %s", got.body)
	}
}
