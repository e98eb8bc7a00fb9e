package resourceserver

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

const resource = "https://api.example.com/v1"

// issuer is an authorization server that signs real tokens and publishes its keys.
type issuer struct {
	*httptest.Server
	testing.TB

	mu      sync.Mutex
	keys    []*jose.SigningKey // all published, the last signs
	fetches atomic.Int64
	down    atomic.Bool
	named   string // as its metadata has it; "" is its URL
	at      atomic.Int64
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{TB: t}
	i.at.Store(time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC).UnixNano())
	i.rotate()
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		switch {
		case i.down.Load():
			w.WriteHeader(http.StatusBadGateway)
		case r.URL.Path == "/.well-known/oauth-authorization-server":
			name := i.named
			if name == "" {
				name = i.URL
			}
			_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, name, i.URL+"/jwks")
		case r.URL.Path == "/jwks":
			i.fetches.Add(1)
			var set jose.KeySet
			for _, k := range i.keys {
				set.Keys = append(set.Keys, k.Public())
			}
			_ = json.NewEncoder(w).Encode(set)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) now() time.Time { return time.Unix(0, i.at.Load()).UTC() }

func (i *issuer) rotate() {
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		i.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, key)
}

// token signs claims of a usual token, changed by pairs of name and value; a nil
// value takes the claim out, "typ" is the header's.
func (i *issuer) token(pairs ...any) string {
	i.Helper()
	claims := map[string]any{
		"iss": i.URL, "sub": "cl_1", "client_id": "cl_1", "aud": resource, "jti": "t1", "scope": "read:orders",
		"iat": i.now().Unix(), "exp": i.now().Add(15 * time.Minute).Unix(),
	}
	typ := "at+jwt"
	for n := 0; n < len(pairs); n += 2 {
		name := pairs[n].(string)
		switch {
		case name == "typ":
			typ = pairs[n+1].(string)
		case pairs[n+1] == nil:
			delete(claims, name)
		default:
			claims[name] = pairs[n+1]
		}
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		i.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	signed, err := i.keys[len(i.keys)-1].Sign(typ, raw)
	if err != nil {
		i.Fatal(err)
	}
	return signed
}

func (i *issuer) api(change func(*Config)) *API {
	i.Helper()
	c := Config{Resource: resource, Issuer: i.URL, Now: i.now, Scopes: []string{"read:orders"}}
	if change != nil {
		change(&c)
	}
	a, err := New(c)
	if err != nil {
		i.Fatal(err)
	}
	return a
}

// ask makes a request to a handler that tells who calls.
func ask(a *API, method, target string, header http.Header, asked ...Demand) *httptest.ResponseRecorder {
	h := a.ProtectFunc(func(w http.ResponseWriter, r *http.Request) {
		c := CallerOf(r.Context())
		_, _ = fmt.Fprintf(w, "%s %s %v %s", c.ClientID, c.Subject, c.Scopes, c.Credential)
	}, asked...)
	r := httptest.NewRequest(method, target, nil)
	r.Header = header
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func bearer(raw string) http.Header { return http.Header{"Authorization": {"Bearer " + raw}} }

func TestATokenIsHeldAgainstEveryRule(t *testing.T) { // RFC 9068 §4, RFC 6750 §3
	i := newIssuer(t)
	stranger := newIssuer(t)
	a := i.api(nil)
	for name, tt := range map[string]struct {
		header http.Header
		asked  []Demand
		status int
		has    []string // in WWW-Authenticate
		hasnt  string
	}{
		"good":                          {bearer(i.token()), []Demand{Scopes("read:orders")}, 200, nil, ""},
		"scheme in another case":        {http.Header{"Authorization": {"bEARER " + i.token()}}, nil, 200, nil, ""},
		"audience among others":         {bearer(i.token("aud", []string{"https://x.example", resource})), nil, 200, nil, ""},
		"no credential":                 {http.Header{}, nil, 401, []string{`resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/v1"`}, "error"},
		"another scheme":                {http.Header{"Authorization": {"Basic YTpi"}}, nil, 401, []string{"Bearer"}, "error"},
		"two lines":                     {http.Header{"Authorization": {"Bearer a", "Bearer b"}}, nil, 400, []string{`error="invalid_request"`}, ""},
		"a scope is missing":            {bearer(i.token()), []Demand{Scopes("read:orders", "create:orders")}, 403, []string{`error="insufficient_scope"`, `scope="read:orders create:orders"`}, ""},
		"for another API":               {bearer(i.token("aud", "https://other.example")), nil, 401, []string{`error="invalid_token"`, "another resource"}, ""},
		"of another issuer":             {bearer(stranger.token()), nil, 401, []string{`error="invalid_token"`, "another issuer"}, ""},
		"of another that says it is us": {bearer(stranger.token("iss", i.URL)), nil, 401, []string{`error="invalid_token"`}, ""},
		"expired":                       {bearer(i.token("exp", i.now().Unix())), nil, 401, []string{"expired"}, ""},
		"not valid yet":                 {bearer(i.token("nbf", i.now().Add(time.Minute).Unix())), nil, 401, []string{"not valid yet"}, ""},
		"an ID token":                   {bearer(i.token("typ", "JWT")), nil, 401, []string{"typ must be at+jwt"}, ""},
		"without client_id":             {bearer(i.token("client_id", nil)), nil, 401, []string{"lacks a required claim"}, ""},
		"nonsense":                      {bearer("a.b.c"), nil, 401, []string{`error="invalid_token"`}, ""},
		"bound to a key, as Bearer":     {bearer(i.token("cnf", map[string]string{"jkt": "x"})), nil, 401, []string{"DPoP", "under the scheme DPoP", "algs="}, ""},
		"bound to a certificate":        {bearer(i.token("cnf", map[string]string{"x5t#S256": "x"})), nil, 401, []string{"TLS certificate"}, ""},
		"DPoP is asked for":             {bearer(i.token()), []Demand{DPoP()}, 401, []string{"DPoP ", `error="invalid_token"`}, ""},
		"a newer sign-in is asked for":  {bearer(i.token("auth_time", i.now().Add(-time.Hour).Unix())), []Demand{SignedIn(10*time.Minute, "mfa")}, 401, []string{`error="insufficient_user_authentication"`, `acr_values="mfa"`, `max_age="600"`}, ""},
		"and is there":                  {bearer(i.token("auth_time", i.now().Add(-time.Minute).Unix(), "acr", "mfa")), []Demand{SignedIn(10*time.Minute, "mfa")}, 200, nil, ""},
	} {
		got := ask(a, "GET", "/v1/orders", tt.header, tt.asked...)
		challenge := got.Header().Get("WWW-Authenticate")
		if got.Code != tt.status || tt.status == 200 && challenge != "" || tt.hasnt != "" && strings.Contains(challenge, tt.hasnt) {
			t.Errorf("%s: %d %s\n%s", name, got.Code, challenge, got.Body)
		}
		for _, part := range tt.has {
			if !strings.Contains(challenge, part) {
				t.Errorf("%s: %q lacks %q", name, challenge, part)
			}
		}
		if tt.status != 200 && (got.Header().Get("Cache-Control") != "no-store" || got.Header().Get("Content-Type") != "application/problem+json") {
			t.Errorf("%s: %v", name, got.Header())
		}
	}
	if got := ask(a, "GET", "/v1/orders", bearer(i.token())); got.Body.String() != "cl_1 cl_1 [read:orders] token:t1" || got.Header().Get("Cache-Control") != "private" {
		t.Errorf("%s %v", got.Body, got.Header())
	}
}

func TestKeysAreKeptAndFollowTheIssuer(t *testing.T) {
	i := newIssuer(t)
	a := i.api(nil)
	old := i.token()
	for range 20 {
		if got := ask(a, "GET", "/", bearer(i.token("jti", fmt.Sprint(i.fetches.Load())))); got.Code != 200 {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("keys were fetched %d times for 20 tokens", n)
	}
	i.at.Add(int64(11 * time.Second))
	i.rotate()
	if got := ask(a, "GET", "/", bearer(i.token())); got.Code != 200 || i.fetches.Load() != 2 {
		t.Errorf("a new key: %d after %d fetches", got.Code, i.fetches.Load())
	}
	stranger, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 { // made-up kids do not make us ask again and again
		raw, _ := stranger.WithID(fmt.Sprint("made-up-", n)).Sign("at+jwt", fmt.Appendf(nil, `{"iss":%q}`, i.URL))
		if got := ask(a, "GET", "/", bearer(raw)); got.Code != 401 {
			t.Errorf("%d", got.Code)
		}
	}
	if n := i.fetches.Load(); n > 3 {
		t.Errorf("%d fetches", n)
	}
	i.down.Store(true)
	i.at.Add(int64(10 * time.Minute))
	if got := ask(a, "GET", "/", bearer(i.token())); got.Code != 200 {
		t.Errorf("while the issuer is away: %d %s", got.Code, got.Body)
	}
	i.down.Store(false)
	i.mu.Lock()
	i.keys = i.keys[1:] // the first was dropped
	i.mu.Unlock()
	i.at.Add(int64(6 * time.Minute))
	held := func() bool { return ask(a, "GET", "/", bearer(old)).Code == 200 }
	for n := 0; held(); n++ { // renewed beside the requests
		if n == 2000 {
			t.Fatal("a token of a key that was dropped is still accepted")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAnIssuerThatIsAwayIsNoVerdict(t *testing.T) {
	i := newIssuer(t)
	a := i.api(nil)
	i.down.Store(true)
	got := ask(a, "GET", "/", bearer(i.token()))
	if got.Code != 503 || got.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", got.Code, got.Header())
	}
	i.down.Store(false)
	i.named = "https://other.example" // RFC 8414 §3.3
	i.at.Add(int64(time.Minute))
	if got := ask(a, "GET", "/", bearer(i.token())); got.Code != 503 {
		t.Errorf("keys of metadata that names another issuer: %d", got.Code)
	}
}

// proof makes a DPoP proof (RFC 9449 §4.2).
func proof(t *testing.T, key *jose.SigningKey, method, url, access, jti string, at time.Time) string {
	t.Helper()
	sum := sha256.Sum256([]byte(access))
	raw, err := key.SignSelfSigned(oauth.TypDPoPProof, fmt.Appendf(nil, `{"jti":%q,"htm":%q,"htu":%q,"iat":%d,"ath":%q}`, jti, method, url, at.Unix(), base64.RawURLEncoding.EncodeToString(sum[:])))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestABoundTokenIsItsHoldersAlone(t *testing.T) { // RFC 9449 §7.1
	i := newIssuer(t)
	a := i.api(nil)
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	thief, _ := jose.GenerateSigningKey(jose.ES256)
	raw := i.token("cnf", map[string]string{"jkt": key.Public().Thumbprint()})
	with := func(proofs ...string) http.Header {
		return http.Header{"Authorization": {"DPoP " + raw}, "Dpop": proofs}
	}
	const url = "https://api.example.com/v1/orders"
	good := proof(t, key, "GET", url, raw, "1", i.now())
	if got := ask(a, "GET", "/v1/orders?x=1", with(good), DPoP()); got.Code != 200 {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	for name, header := range map[string]http.Header{
		"again": with(good), "none": with(), "of another key": with(proof(t, thief, "GET", url, raw, "2", i.now())),
		"for another method": with(proof(t, key, "POST", url, raw, "3", i.now())), "for another host": with(proof(t, key, "GET", "https://evil.example/v1/orders", raw, "4", i.now())),
		"for another token": with(proof(t, key, "GET", url, "other", "5", i.now())), "of yesterday": with(proof(t, key, "GET", url, raw, "6", i.now().Add(-time.Hour))),
	} {
		got := ask(a, "GET", "/v1/orders", header)
		if challenge := got.Header().Get("WWW-Authenticate"); got.Code != 401 || !strings.HasPrefix(challenge, "DPoP ") || !strings.Contains(challenge, "invalid_dpop_proof") {
			t.Errorf("%s: %d %s", name, got.Code, challenge)
		}
	}
	plain := http.Header{"Authorization": {"DPoP " + i.token()}, "Dpop": {good}}
	if got := ask(a, "GET", "/v1/orders", plain); got.Code != 401 {
		t.Errorf("a bearer token under DPoP: %d", got.Code)
	}
	der := []byte("a certificate")
	certified := i.api(func(c *Config) { c.Certificates = func(*http.Request) [][]byte { return [][]byte{der} } })
	bound := i.token("cnf", map[string]string{"x5t#S256": token.CertificateThumbprint(der)})
	if got := ask(certified, "GET", "/", bearer(bound)); got.Code != 200 { // RFC 8705 §3
		t.Errorf("with its certificate: %d %s", got.Code, got.Body)
	}
	if got := ask(a, "GET", "/", bearer(bound)); got.Code != 401 {
		t.Errorf("without: %d", got.Code)
	}
}

func TestTokensOfOtherShapesOnDemand(t *testing.T) {
	i := newIssuer(t)
	lax := i.api(func(c *Config) { c.LaxTokens = true })
	entra := []any{"typ", "JWT", "client_id", nil, "jti", nil, "azp", "app-1", "scope", nil, "scp", "read:orders write"}
	if got := ask(i.api(nil), "GET", "/", bearer(i.token(entra...))); got.Code != 401 {
		t.Errorf("strict: %d", got.Code)
	}
	if got := ask(lax, "GET", "/", bearer(i.token(entra...)), Scopes("write")); got.Code != 200 || !strings.HasPrefix(got.Body.String(), "app-1 cl_1 [read:orders write]") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if got := ask(lax, "GET", "/", bearer(i.token("typ", "JWT", "scp", []string{"a"}, "scope", []string{"b"})), Scopes("b")); got.Code != 200 {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	for name, change := range map[string][]any{
		"an ID token": {"typ", "JWT", "nonce", "n"}, "a logout token": {"typ", "logout+jwt"}, "for another": {"typ", "JWT", "aud", "app-1"}, "without a client": {"typ", "JWT", "client_id", nil},
	} {
		if got := ask(lax, "GET", "/", bearer(i.token(change...))); got.Code != 401 {
			t.Errorf("%s: %d", name, got.Code)
		}
	}
}

func TestAGatewaysWordIsForOneRequest(t *testing.T) { // G-12
	i := newIssuer(t)
	const gateway, audience = "https://api.example.com/_offkey", "http://10.0.3.7:8080"
	a := i.api(func(c *Config) { c.Gateway = Gateway{Issuer: gateway, Audience: audience, JWKSURL: i.URL + "/jwks"} })
	said := func(method, target string) http.Header {
		raw, err := token.Call{Issuer: gateway, Audience: audience, ClientID: "cl_1", Subject: "pe_1", Scope: []string{"read:orders"}, Credential: "token:x", Method: method, Target: target, IssuedAt: i.now()}.Sign(i.keys[0])
		if err != nil {
			t.Fatal(err)
		}
		return http.Header{headerAssertion: {raw}, "X-Offkey-Client": {"admin"}}
	}
	if got := ask(a, "GET", "/v1/orders?x=1", said("GET", "/v1/orders?x=1"), Scopes("read:orders")); got.Code != 200 || got.Body.String() != "cl_1 pe_1 [read:orders] token:x" {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if got := ask(a, "GET", "/v1/orders", said("GET", "/v1/orders"), Scopes("delete:orders")); got.Code != 403 {
		t.Errorf("without the scope: %d", got.Code)
	}
	for name, header := range map[string]http.Header{
		"another target": said("GET", "/other"), "another method": said("POST", "/v1/orders"), "unsigned headers": {"X-Offkey-Client": {"admin"}},
		"an access token": {headerAssertion: {i.token()}}, "two": {headerAssertion: append(said("GET", "/v1/orders")[headerAssertion], "x")},
	} {
		if got := ask(a, "GET", "/v1/orders", header); got.Code != 401 && got.Code != 400 {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
	}
	if got := ask(i.api(nil), "GET", "/v1/orders", said("GET", "/v1/orders")); got.Code != 401 {
		t.Errorf("an API that knows of no gateway: %d", got.Code)
	}
}

func TestAPIKeysAreJudgedByTheAPIAndByOffkey(t *testing.T) {
	i := newIssuer(t)
	var refused atomic.Bool
	var asked atomic.Pointer[http.Request]
	offkey := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r)
		w.Header().Set("X-Offkey-Client", "cl_7")
		w.Header().Set("X-Offkey-Credential", "apikey:ak_7")
		if refused.Load() {
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="x"`)
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(401)
			_, _ = io.WriteString(w, `{"code":"apikey_retired"}`)
			return
		}
		w.Header().Set("Deprecation", "@1")
	}))
	defer offkey.Close()
	good := func(r *http.Request) bool { return r.Header.Get("X-Api-Key") == "good" }
	a := i.api(func(c *Config) { c.APIKeys, c.Offkey = good, offkey.URL })
	key := func(v string) http.Header { return http.Header{"X-Api-Key": {v}} }
	got := ask(a, "POST", "/v1/orders?x=%zz", key("good"), Scopes("create:orders"))
	r := asked.Load()
	if got.Code != 200 || got.Body.String() != "cl_7  [] apikey:ak_7" || got.Header().Get("Deprecation") != "@1" {
		t.Fatalf("%d %s %v", got.Code, got.Body, got.Header())
	}
	if r.URL.Path != "/_offkey/auth/traefik" || r.Header.Get("X-Forwarded-Method") != "POST" || r.Header.Get("X-Forwarded-Uri") != "/v1/orders?x=%zz" || r.Header.Get("X-Api-Key") != "good" || !strings.HasSuffix(r.Header.Get("X-Forwarded-For"), "192.0.2.1") {
		t.Errorf("asked %s with %v", r.URL, r.Header)
	}
	asked.Store(nil)
	for _, header := range []http.Header{key("bad"), {}} {
		if got := ask(a, "GET", "/", header); got.Code != 401 || asked.Load() != nil {
			t.Errorf("%v: %d, and offkey was asked: %v", header, got.Code, asked.Load() != nil)
		}
	}
	refused.Store(true)
	if got := ask(a, "GET", "/", key("good")); got.Code != 401 || !strings.Contains(got.Body.String(), "apikey_retired") || got.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	offkey.Close()
	if got := ask(a, "GET", "/", key("good")); got.Code != 503 {
		t.Errorf("without an answer: %d", got.Code)
	}
	if got := ask(i.api(func(c *Config) { c.APIKeys = good }), "GET", "/", key("good")); got.Code != 200 {
		t.Errorf("nobody is asked: %d", got.Code)
	}
	if _, err := New(Config{Resource: resource, Issuer: i.URL, Offkey: offkey.URL}); err == nil {
		t.Error("an API that would let everybody pass whom offkey observes")
	}
}

func TestConfigurationsThatCannotBeMeant(t *testing.T) {
	for _, c := range []Config{
		{}, {Resource: resource}, {Resource: "http://api.example.com", Issuer: "https://a.example"}, {Resource: resource, Issuer: "a.example"},
		{Resource: resource, Issuer: "https://a.example", JWKSURL: "http://a.example/jwks"}, {Resource: resource, Issuer: "https://a.example", Gateway: Gateway{Issuer: "x"}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func TestTheMetadataLeadsToTheIssuer(t *testing.T) { // RFC 9728 §3.2
	i := newIssuer(t)
	a := i.api(nil)
	w := httptest.NewRecorder()
	a.Metadata().ServeHTTP(w, httptest.NewRequest("GET", a.MetadataPath(), nil))
	var m oauth.ResourceMetadata
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || m.Resource != resource || len(m.AuthorizationServers) != 1 || m.AuthorizationServers[0] != i.URL || a.MetadataPath() != "/.well-known/oauth-protected-resource/v1" {
		t.Errorf("%s at %s", w.Body, a.MetadataPath())
	}
}

// FuzzAuthorization holds that whatever is sent is answered, and that nothing opens
// the API but a token of its issuer.
func FuzzAuthorization(f *testing.F) {
	i := newIssuer(f)
	a := i.api(nil)
	good := i.token()
	f.Add("Bearer "+good, "")
	f.Add("DPoP "+good, good)
	f.Add("bearer a.b.c", "x")
	f.Fuzz(func(t *testing.T, authorization, proof string) {
		got := ask(a, "GET", "/", http.Header{"Authorization": {authorization}, "Dpop": {proof}})
		if got.Code == 200 && !strings.Contains(authorization, good) {
			t.Fatalf("%q opens the API", authorization)
		}
		if got.Code != 200 && got.Code != 401 && got.Code != 400 {
			t.Fatalf("%q: %d", authorization, got.Code)
		}
	})
}
