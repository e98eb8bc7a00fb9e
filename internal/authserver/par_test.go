package authserver_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
)

// push sends a request ahead and returns its request_uri.
func (w *peopleWorld) push(header http.Header, form url.Values) string {
	w.t.Helper()
	a := w.post("/par", header, form)
	uri := a.text("request_uri")
	if a.status != http.StatusCreated || !strings.HasPrefix(uri, oauth.RequestURIPrefix) || a.header.Get("Cache-Control") != "no-store" {
		w.t.Fatalf("checklist_134: %d %s", a.status, a.body)
	}
	if n, _ := a.json["expires_in"].(float64); n <= 0 || n >= 600 {
		w.t.Errorf("checklist_214: expires_in %v", a.json["expires_in"])
	}
	return uri
}

func TestPushedRequests(t *testing.T) {
	w := newPeopleWorld(t)
	_, header := w.withSecret(site())
	w.add(app())
	request := func(pairs ...string) url.Values { return usual(append([]string{"client_id", "site"}, pairs...)...) }
	alice := w.signIn("pe_alice")
	t.Run("checklist_134 checklist_214 a pushed request is answered as it was pushed, with iss", func(t *testing.T) {
		w.t = t
		uri := w.push(header, request("state", "pushed", "nonce", "n"))
		v := &visit{p: w}
		page := v.authorize(values("client_id", "site", "request_uri", uri))
		back := v.allow(page, "pe_alice").sentTo(redirectURI)
		if back.Get("state") != "pushed" {
			t.Errorf("%v", back)
		}
		w.redeem(back.Get("code"), header).ok()
	})
	t.Run("checklist_138 what comes beside the request_uri does not count", func(t *testing.T) {
		w.t = t
		uri := w.push(header, request("state", "", "scope", "openid"))
		v := &visit{p: w}
		page := v.authorize(values("client_id", "site", "request_uri", uri, "state", "outside", "scope", "openid read:orders", "redirect_uri", "https://evil.example", "prompt", "none"))
		if back := v.allow(page, "pe_alice").sentTo(redirectURI); back.Has("state") {
			t.Errorf("%v", back)
		}
		if q := w.pages.begun[len(w.pages.begun)-1]; q.Ask.Scope.String() != "openid" {
			t.Errorf("%v", q.Ask)
		}
	})
	t.Run("checklist_137 it may be brought again until it is answered, and not after", func(t *testing.T) {
		w.t = t
		uri := w.push(header, request())
		v := &visit{p: w}
		v.authorize(values("client_id", "site", "request_uri", uri))
		page := v.authorize(values("client_id", "site", "request_uri", uri))
		v.allow(page, "pe_alice").sentTo(redirectURI)
		v.authorize(values("client_id", "site", "request_uri", uri)).page("invalid_request_uri")
	})
	t.Run("checklist_137 a person who says no has answered too, in every tab", func(t *testing.T) {
		w.t = t
		uri := w.push(header, request())
		v := &visit{p: w}
		other := v.authorize(values("client_id", "site", "request_uri", uri))
		page := v.authorize(values("client_id", "site", "request_uri", uri))
		v.allow(page, "pe_alice", func(a *session.Answer) { *a = session.Answer{Error: oauth.CodeAccessDenied, At: w.now()} }).failed("access_denied", "")
		v.authorize(values("client_id", "site", "request_uri", uri)).page("invalid_request_uri")
		v.allow(other, "pe_alice").page("invalid_request_uri")
	})
	t.Run("checklist_136 it is the client's own, and not good for ever", func(t *testing.T) {
		w.t = t
		uri := w.push(header, request())
		alice.authorize(values("client_id", "app", "request_uri", uri)).page("invalid_request_uri")
		w.advance(5 * time.Minute)
		alice.authorize(values("client_id", "site", "request_uri", uri)).page("invalid_request_uri")
	})
	for _, tt := range []struct {
		name   string
		header http.Header
		form   url.Values
		status int
		code   string
	}{
		{"checklist_135 not authenticated", nil, request(), 401, "invalid_client"},
		{"checklist_135 a request_uri", header, request("request_uri", oauth.RequestURIPrefix+"x"), 400, "invalid_request"},
		{"checklist_139 no PKCE", header, request("code_challenge", "", "code_challenge_method", ""), 400, "invalid_request"},
		{"checklist_139 plain", header, request("code_challenge_method", "plain"), 400, "invalid_request"},
		{"checklist_139 another redirect URI", header, request("redirect_uri", "https://evil.example"), 400, "invalid_request"},
		{"checklist_139 no redirect URI", header, request("redirect_uri", ""), 400, "invalid_request"},
		{"checklist_139 a scope of others", header, request("scope", "create:orders"), 400, "invalid_scope"},
		{"checklist_107 a resource of others", header, request("resource", "https://evil.example"), 400, "invalid_target"},
		{"checklist_139 no response_type", header, request("response_type", ""), 400, "invalid_request"},
		{"checklist_139 an unknown response_type", header, request("response_type", "token"), 400, "unsupported_response_type"},
		{"checklist_3 two scopes", header, merged(request(), values("scope", "openid")), 400, "invalid_request"},
		{"checklist_142 a request object that is none", header, request("request", "x.y.z"), 400, "invalid_request_object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.post("/par", tt.header, tt.form).refused(tt.status, tt.code, "")
		})
	}
	t.Run("checklist_141 the wrong method, and too much", func(t *testing.T) {
		w.t = t
		w.get("/par").want(t, http.StatusMethodNotAllowed)
		w.post("/par", header, request("state", strings.Repeat("x", 70_000))).want(t, http.StatusRequestEntityTooLarge)
	})
	t.Run("checklist_137 a client that was disabled meanwhile", func(t *testing.T) {
		w.t = t
		c := site()
		c.ID = "leaver"
		_, header := w.withSecret(c)
		uri := w.push(header, usual("client_id", "leaver"))
		w.update("leaver", func(c *client.Client) { c.Status = client.Disabled })
		alice.authorize(values("client_id", "leaver", "request_uri", uri)).page("disabled")
	})
	t.Run("checklist_227 of 64 browsers that finish one request one gets a code", func(t *testing.T) {
		w.t = t
		alice := w.signIn("pe_alice")
		alice.code(request(), "pe_alice") // consent is remembered: each answers at once
		uri := w.push(header, request())
		var got atomic.Int32
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range 64 {
			browser := &visit{p: w, cookie: alice.cookie}
			wg.Go(func() {
				<-start
				if a := browser.authorize(values("client_id", "site", "request_uri", uri)); strings.Contains(a.header.Get("Location"), "code=") {
					got.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if got.Load() != 1 {
			t.Errorf("%d got a code", got.Load())
		}
	})
	t.Run("a public client pushes as often as people sign in, and no more", func(t *testing.T) {
		w.t = t
		limited := 0
		for range 100 {
			if a := w.post("/par", nil, usual()); a.status == http.StatusTooManyRequests {
				limited++
			}
		}
		if limited == 0 || limited > 60 {
			t.Errorf("%d of 100 were refused", limited)
		}
	})
}

// object is a signed request.
func object(t testing.TB, key *jose.SigningKey, typ string, claims map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := key.Sign(typ, raw)
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// asClaims are parameters as claims of a request object.
func asClaims(q url.Values, more ...any) map[string]any {
	c := map[string]any{}
	for name := range q {
		c[name] = q.Get(name)
	}
	for i := 0; i < len(more); i += 2 {
		if c[more[i].(string)] = more[i+1]; more[i+1] == nil {
			delete(c, more[i].(string))
		}
	}
	return c
}

func TestChecklist142(t *testing.T) {
	w := newPeopleWorld(t)
	c := site()
	c.ID = "signer"
	added, key := w.withKey(c, jose.ES256)
	pinned := site()
	pinned.ID, pinned.RequestAlg = "pinned", jose.PS256
	_, pinnedKey := w.withKey(pinned, jose.ES256)
	stranger, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	alice := w.signIn("pe_alice")
	base := func(more ...any) map[string]any {
		return asClaims(usual("client_id", "signer"), append([]any{"iss", "signer", "aud", issuerURL, "exp", w.now().Unix() + 60, "max_age", 3600, "resource", []string{api}}, more...)...)
	}
	bring := func(jwt string, more ...string) answer {
		return alice.authorize(merged(values("client_id", "signer", "request", jwt), values(more...)))
	}
	for name, typ := range map[string]string{"its own typ": "oauth-authz-req+jwt", "JWT": "JWT", "none": ""} {
		t.Run("checklist_142 a request object of typ "+name, func(t *testing.T) {
			w.t = t
			v := &visit{p: w}
			v.allow(v.authorize(values("client_id", "signer", "request", object(t, key, typ, base()))), "pe_alice").sentTo(redirectURI + "?code=")
		})
	}
	t.Run("checklist_142 nothing outside of it counts", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		page := v.authorize(values("client_id", "signer", "request", object(t, key, "", base("state", nil)), "state", "outside", "redirect_uri", "https://evil.example", "scope", "openid email"))
		if back := v.allow(page, "pe_alice").sentTo(redirectURI); back.Has("state") {
			t.Errorf("%v", back)
		}
	})
	t.Run("claims as an object", func(t *testing.T) {
		w.t = t
		v := &visit{p: w}
		v.authorize(values("client_id", "signer", "request", object(t, key, "", base("claims", map[string]any{"id_token": map[string]any{"acr": map[string]any{"values": []string{"urn:offkey:acr:mfa"}}}}))))
		if q := w.pages.begun[len(w.pages.begun)-1]; len(q.Demand.ACRValues) != 1 {
			t.Errorf("%+v", q.Demand)
		}
	})
	for _, tt := range []struct {
		name string
		jwt  string
		part string
	}{
		{"checklist_142 another client_id inside", object(t, key, "", base("client_id", "app")), "client_id"},
		{"checklist_142 no client_id inside", object(t, key, "", base("client_id", nil)), "client_id"},
		{"checklist_142 a request inside", object(t, key, "", base("request", "x")), "request"},
		{"checklist_142 a request_uri inside", object(t, key, "", base("request_uri", "x")), "request"},
		{"checklist_142 sub is the client", object(t, key, "", base("sub", "signer")), "client assertion"},
		{"checklist_142 another iss", object(t, key, "", base("iss", "app")), "iss"},
		{"checklist_143 another aud", object(t, key, "", base("aud", "https://other.example")), "aud"},
		{"checklist_143 expired", object(t, key, "", base("exp", w.now().Unix()-31)), "expired"},
		{"checklist_143 nbf is ahead", object(t, key, "", base("nbf", w.now().Unix()+60)), "future"},
		{"checklist_142 typ of an access token", object(t, key, "at+jwt", base()), "typ"},
		{"checklist_142 typ of a client assertion", object(t, key, "client-authentication+jwt", base()), "typ"},
		{"checklist_142 a stranger's signature", object(t, stranger, "", base()), "signature"},
		{"checklist_142 alg none", "eyJhbGciOiJub25lIn0." + strings.Split(object(t, key, "", base()), ".")[1] + ".", ""},
		{"a parameter that is a list", object(t, key, "", base("scope", []string{"openid"})), "string"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			bring(tt.jwt).page("invalid_request_object")
			bring(tt.jwt, "redirect_uri", redirectURI).failed("invalid_request_object", tt.part)
			form := merged(w.assertion(added.ID, key), values("request", tt.jwt))
			w.post("/par", nil, form).refused(400, "invalid_request_object", tt.part)
		})
	}
	t.Run("checklist_142 alg is the registered one", func(t *testing.T) {
		w.t = t
		jwt := object(t, pinnedKey, "", asClaims(usual("client_id", "pinned")))
		alice.authorize(values("client_id", "pinned", "request", jwt, "redirect_uri", redirectURI)).failed("invalid_request_object", "alg")
	})
	t.Run("RFC 9126 §3: a pushed request object", func(t *testing.T) {
		w.t = t
		uri := w.push(nil, merged(w.assertion(added.ID, key), values("request", object(t, key, "", base("state", "in")))))
		v := &visit{p: w}
		if back := v.allow(v.authorize(values("client_id", "signer", "request_uri", uri)), "pe_alice").sentTo(redirectURI); back.Get("state") != "in" {
			t.Errorf("%v", back)
		}
	})
}

func TestChecklist213to219(t *testing.T) {
	w := newPeopleWorld(t)
	c := site()
	c.ID, c.Profile, c.Audience = "bank", client.ProfileFAPI2, client.Compat
	added, key := w.withKey(c, jose.ES256)
	p := w.prover(jose.ES256)
	alice := w.signIn("pe_alice")
	request := func(pairs ...string) url.Values {
		return merged(w.assertion(added.ID, key), usual(append([]string{"client_id", "bank"}, pairs...)...))
	}
	t.Run("checklist_213 a request that was not pushed", func(t *testing.T) {
		w.t = t
		alice.authorize(usual("client_id", "bank")).failed("invalid_request", "pushed")
	})
	t.Run("checklist_213 no PKCE", func(t *testing.T) {
		w.t = t
		w.post("/par", nil, request("code_challenge", "", "code_challenge_method", "")).refused(400, "invalid_request", "PKCE")
	})
	t.Run("checklist_216 an assertion of RS256", func(t *testing.T) {
		w.t = t
		old := site()
		old.ID, old.Profile = "old", client.ProfileFAPI2
		added, key := w.withKey(old, jose.RS256)
		w.post("/par", nil, merged(w.assertion(added.ID, key), usual("client_id", "old"))).refused(401, "invalid_client", "PS256")
	})
	code := func() string {
		w.t.Helper()
		uri := w.push(nil, request())
		v := &visit{p: w}
		return v.allow(v.authorize(values("client_id", "bank", "request_uri", uri)), "pe_alice").sentTo(redirectURI).Get("code")
	}
	redeem := func(code string, header http.Header) answer {
		return w.post("/token", header, merged(w.assertion(added.ID, key), values("grant_type", "authorization_code", "code", code, "code_verifier", verifier)))
	}
	t.Run("checklist_213 the way through, and its refresh token is not rotated", func(t *testing.T) {
		w.t = t
		a := redeem(code(), proving(nil, p.proof()))
		if a.ok(); a.text("token_type") != "DPoP" {
			t.Errorf("%v", a.json)
		}
		if head := headerOf(t, a.text("id_token")); head["alg"] != "PS256" {
			t.Errorf("checklist_216: an ID token of %v", head)
		}
		again := merged(w.assertion(added.ID, key), values("grant_type", "refresh_token", "refresh_token", a.text("refresh_token")))
		b := w.post("/token", proving(nil, p.proof()), again)
		if b.ok(); b.text("refresh_token") != "" {
			t.Errorf("%v", b.json)
		}
	})
	t.Run("checklist_214 iss is in the answer, request_uri and code are short-lived and good once", func(t *testing.T) {
		w.t = t
		uri := w.push(nil, request()) // looks at expires_in
		v := &visit{p: w}
		back := v.allow(v.authorize(values("client_id", "bank", "request_uri", uri)), "pe_alice").sentTo(redirectURI) // looks at iss
		redeem(back.Get("code"), proving(nil, p.proof())).ok()
		redeem(back.Get("code"), proving(nil, p.proof())).refused(400, "invalid_grant", "before")
		v.authorize(values("client_id", "bank", "request_uri", uri)).page("invalid_request_uri")
		late := w.push(nil, request())
		w.advance(10*time.Minute - time.Second)
		v.authorize(values("client_id", "bank", "request_uri", late)).page("invalid_request_uri")
		v = &visit{p: w}
		denied := v.allow(v.authorize(values("client_id", "bank", "request_uri", w.push(nil, request()))), "pe_alice", func(a *session.Answer) { *a = session.Answer{Error: oauth.CodeAccessDenied, At: w.now()} })
		denied.failed("access_denied", "") // looks at iss too
	})
	t.Run("checklist_219 no open redirector, no 307, no password grant", func(t *testing.T) {
		w.t = t
		w.post("/par", nil, request("redirect_uri", "https://evil.example/cb")).refused(400, "invalid_request", "redirect_uri")
		for _, q := range []url.Values{usual("client_id", "bank", "redirect_uri", "https://evil.example/cb"), usual("client_id", "nobody"), values("client_id", "bank", "request_uri", oauth.RequestURIPrefix+"x", "redirect_uri", "https://evil.example/cb")} {
			alice.authorize(q).page("")
		}
		v := &visit{p: w}
		if a := v.allow(v.authorize(values("client_id", "bank", "request_uri", w.push(nil, request()))), "pe_alice"); a.status != http.StatusSeeOther {
			t.Errorf("a code by %d", a.status)
		}
		w.post("/token", proving(nil, p.proof()), merged(w.assertion(added.ID, key), values("grant_type", "password", "username", "alice", "password", "x"))).refused(400, "unsupported_grant_type", "")
	})
	t.Run("checklist_213 tokens are bound", func(t *testing.T) {
		w.t = t
		redeem(code(), nil).refused(400, "invalid_request", "bound to their holder")
	})
	t.Run("checklist_151 a proof that was pushed binds the code", func(t *testing.T) {
		w.t = t
		pushed := func(header http.Header, pairs ...string) string {
			uri := w.push(header, request(pairs...))
			v := &visit{p: w}
			return v.allow(v.authorize(values("client_id", "bank", "request_uri", uri)), "pe_alice").sentTo(redirectURI).Get("code")
		}
		proof := func() http.Header { return proving(nil, p.proof("htu", issuerURL+"/par")) }
		redeem(pushed(proof()), proving(nil, w.prover(jose.ES256).proof())).refused(400, "invalid_grant", "dpop_jkt")
		redeem(pushed(proof()), proving(nil, p.proof())).ok()
		redeem(pushed(proof(), "dpop_jkt", p.jkt()), proving(nil, p.proof())).ok()
		w.post("/par", proof(), request("dpop_jkt", w.prover(jose.ES256).jkt())).refused(400, "invalid_dpop_proof", "")
	})
	t.Run("checklist_59 its code lives for a minute at most", func(t *testing.T) {
		w.t = t
		c := code()
		w.advance(60 * time.Second)
		redeem(c, proving(nil, p.proof())).refused(400, "invalid_grant", "expired")
	})
	t.Run("checklist_143 its request objects have times", func(t *testing.T) {
		w.t = t
		at := w.now().Unix()
		for _, tt := range []struct {
			more []any
			good bool
		}{
			{[]any{"exp", at + 60, "nbf", at, "aud", issuerURL}, true},
			{[]any{"nbf", at, "aud", issuerURL}, false},
			{[]any{"exp", at + 60, "aud", issuerURL}, false},
			{[]any{"exp", at + 60, "nbf", at}, false},
			{[]any{"exp", at + 3700, "nbf", at, "aud", issuerURL}, false},
			{[]any{"exp", at + 60, "nbf", at - 3700, "aud", issuerURL}, false},
			{[]any{"exp", at + 60, "nbf", at + 8, "aud", issuerURL}, true},
		} {
			a := w.post("/par", nil, merged(w.assertion(added.ID, key), values("request", object(t, key, "", asClaims(usual("client_id", "bank"), tt.more...)))))
			if good := a.status == http.StatusCreated; good != tt.good {
				t.Errorf("%v: %d %s", tt.more, a.status, a.body)
			}
		}
	})
}

func headerOf(t testing.TB, jwt string) map[string]any {
	t.Helper()
	head, rest, _ := strings.Cut(jwt, ".")
	_, sig, _ := strings.Cut(rest, ".")
	return claims(t, "x."+head+"."+sig)
}

// published are keys that clients have at a jwks_uri.
type published map[string]jose.KeySet

func (p published) KeySet(_ context.Context, uri string) (jose.KeySet, error) {
	set, there := p[uri]
	if !there {
		return jose.KeySet{}, errDisk
	}
	return set, nil
}

func (p published) Refresh(ctx context.Context, uri string) (jose.KeySet, error) {
	return p.KeySet(ctx, uri)
}

func TestRequestObjectsOfAClientWhoseKeysAreFetched(t *testing.T) {
	key, err := jose.GenerateSigningKey(jose.PS256)
	if err != nil {
		t.Fatal(err)
	}
	w := newPeopleWorld(t, func(o *authserver.Options) {
		o.KeySets = published{"https://client.example/jwks": {Keys: []jose.PublicKey{key.Public()}}}
	})
	c := site()
	c.JWKSURI = "https://client.example/jwks"
	w.withSecret(c)
	lost := site()
	lost.ID, lost.JWKSURI = "lost", "https://client.example/nothing"
	w.withSecret(lost)
	v := &visit{p: w}
	page := v.authorize(values("client_id", "site", "request", object(t, key, "oauth-authz-req+jwt", asClaims(usual("client_id", "site")))))
	v.allow(page, "pe_alice").sentTo(redirectURI + "?code=")
	a := v.authorize(values("client_id", "lost", "redirect_uri", redirectURI, "request", object(t, key, "", asClaims(usual("client_id", "lost")))))
	a.failed("invalid_request_object", "cannot be read")
	if strings.Contains(a.header.Get("Location"), "secret") {
		t.Errorf("the cause is told: %s", a.header.Get("Location"))
	}
}
