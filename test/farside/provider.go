package farside

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// Provider is an OpenID provider on loopback at which one person is signed in,
// and which behaves: it holds requests to its one client, asks for PKCE, and
// redeems each code once.
type Provider struct {
	URL      string
	ClientID string
	Secret   string
	Redirect string
	Clock    func() time.Time

	// Claims are what the ID token says beside what the provider fills in; a nil
	// value takes one out. Answer changes the authorization response. Typ is that
	// of the ID token.
	Claims map[string]any
	Answer func(url.Values)
	Typ    string
	// Forgets takes a code as often as it comes, which no provider should.
	Forgets bool

	t     testing.TB
	mu    sync.Mutex
	key   *jose.SigningKey
	codes map[string]url.Values
	seen  []url.Values
}

// NewProvider starts one; it ends with the test.
func NewProvider(t testing.TB, clientID, secret, redirect string) *Provider {
	t.Helper()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{ClientID: clientID, Secret: secret, Redirect: redirect, Clock: time.Now, Claims: map[string]any{"sub": "up-7"}, Typ: "JWT", t: t, key: key, codes: map[string]url.Values{}}
	server := httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// Rotate signs with a new key from now on.
func (p *Provider) Rotate() {
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key = key
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"authorization_response_iss_parameter_supported": true,
		})
	case "/keys":
		writeJSON(w, http.StatusOK, jose.KeySet{Keys: []jose.PublicKey{p.key.Public()}})
	case "/authorize":
		p.authorize(w, r)
	case "/token":
		p.token(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != p.ClientID || q.Get("redirect_uri") != p.Redirect || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || q.Get("nonce") == "" {
		http.Error(w, "not a good request", http.StatusBadRequest)
		return
	}
	code := fmt.Sprintf("code-%d", len(p.seen))
	p.seen = append(p.seen, q)
	p.codes[code] = q
	answer := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
	if p.Answer != nil {
		p.Answer(answer)
	}
	http.Redirect(w, r, p.Redirect+"?"+answer.Encode(), http.StatusSeeOther)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, err := oauth.ParseBasic(r.Header.Get("Authorization"))
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	q, known := p.codes[r.PostFormValue("code")]
	if !p.Forgets {
		delete(p.codes, r.PostFormValue("code"))
	}
	switch {
	case err != nil || id != p.ClientID || secret != p.Secret:
		refuse(w, oauth.InvalidClient("another client"))
		return
	case !known || r.PostFormValue("redirect_uri") != p.Redirect || base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge"):
		refuse(w, oauth.InvalidGrant("another code"))
		return
	}
	now := p.Clock().Unix()
	claims := map[string]any{"iss": p.URL, "aud": p.ClientID, "iat": now, "exp": now + 300, "nonce": q.Get("nonce")}
	for name, v := range p.Claims {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": p.sign(claims)})
}

// Vouch makes an assertion that a client of another server may act for a person
// (draft-ietf-oauth-identity-assertion-authz-grant).
func (p *Provider) Vouch(server, clientID, sub, jti string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Clock().Unix()
	i := &Issuer{key: p.key}
	return i.Sign(p.t, oauth.TypIDJAG, map[string]any{"iss": p.URL, "sub": sub, "aud": server, "client_id": clientID, "iat": now, "exp": now + 300, "jti": jti})
}

func (p *Provider) sign(claims map[string]any) string {
	i := &Issuer{key: p.key}
	return i.Sign(p.t, p.Typ, claims)
}
