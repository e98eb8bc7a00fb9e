package authserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// lateStore is the store of a world that is made after its options.
type lateStore struct{ w **world }

func (s lateStore) RegisterClient(ctx context.Context, r client.Registration, decide func(*client.Client, *client.RegistrationToken) error, e audit.Event) error {
	return (*s.w).db.RegisterClient(ctx, r, decide, e)
}

func (s lateStore) UpdateClient(ctx context.Context, id string, update func(*client.Client) error, e audit.Event) (*client.Client, error) {
	return (*s.w).db.UpdateClient(ctx, id, update, e)
}

func (s lateStore) DeleteClient(ctx context.Context, id string, e audit.Event) error {
	return (*s.w).db.DeleteClient(ctx, id, e)
}

// newRegistrationWorld lets clients register themselves.
func newRegistrationWorld(t testing.TB, mode string, change ...func(*authserver.Options)) *peopleWorld {
	t.Helper()
	var w *world
	p := newPeopleWorld(t, append([]func(*authserver.Options){func(o *authserver.Options) {
		o.Registration, o.SelfRegistered = mode, lateStore{&w}
		o.APIScopes = func() oauth.Scope { return oauth.Scope{"read:orders", "create:orders"} }
		o.Source = func(r *http.Request) netip.Addr { return netip.MustParseAddr("198.51.100.1") }
	}}, change...)...)
	w = p.world
	return p
}

// initialToken makes a registration token and returns its text.
func (w *world) initialToken(uses int, scopes ...string) string {
	w.t.Helper()
	text := secret.Generate(secret.KindRegistrationToken).Reveal()
	err := w.db.CreateRegistrationToken(context.Background(), &client.RegistrationToken{
		ID: client.NewRegistrationTokenID(), Hash: secret.HashOf(text), Scopes: scopes, UsesLeft: uses, Created: w.now(), Expires: w.now().Add(time.Hour),
	}, system)
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// manage calls the client configuration endpoint.
func (w *world) manage(method, uri, token string, body any) answer {
	w.t.Helper()
	raw := ""
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		raw = string(encoded)
	}
	r := httptest.NewRequest(method, strings.TrimPrefix(uri, issuerURL), strings.NewReader(raw))
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return w.do(r)
}

func webApp() map[string]any {
	return map[string]any{"redirect_uris": []string{"https://shop.example/cb"}, "client_name": "Shop", "grant_types": []string{"authorization_code", "refresh_token"}}
}

func (a answer) made() answer {
	a.t.Helper()
	if a.status != http.StatusCreated {
		a.t.Fatalf("%d %s", a.status, a.body)
	}
	return a
}

func TestChecklist183WhoMayRegister(t *testing.T) {
	for mode, open := range map[string]bool{authserver.RegistrationClosed: false, authserver.RegistrationToken: false, authserver.RegistrationOpen: true} {
		t.Run("checklist_183 without a credential: "+mode, func(t *testing.T) {
			w := newRegistrationWorld(t, mode)
			a := w.register(t, "", webApp())
			if open {
				a.made()
				return
			}
			a.refused(http.StatusUnauthorized, "invalid_token", "")
			if got := a.header.Get("WWW-Authenticate"); got != "Bearer" {
				t.Errorf("challenge %q", got)
			}
		})
		t.Run("checklist_183 with an initial access token: "+mode, func(t *testing.T) {
			w := newRegistrationWorld(t, mode)
			a := w.register(t, w.initialToken(1), webApp())
			if mode != authserver.RegistrationClosed {
				a.made()
				return
			}
			a.refused(http.StatusUnauthorized, "invalid_token", "")
		})
	}
	w := newRegistrationWorld(t, authserver.RegistrationToken)
	t.Run("an apikey registers as before", func(t *testing.T) {
		w.t = t
		w.register(t, "old-key", goodMetadata(t)).made()
	})
	t.Run("checklist_183 a token of somebody else's making", func(t *testing.T) {
		w.t = t
		a := w.register(t, secret.Generate(secret.KindRegistrationToken).Reveal(), webApp())
		a.refused(http.StatusUnauthorized, "invalid_token", "registration token")
	})
}

func TestChecklist178ARegistrationSaysAllThatIsRegistered(t *testing.T) {
	// checklist_178 checklist_182
	w := newRegistrationWorld(t, authserver.RegistrationToken)
	md := webApp()
	md["scope"] = "openid read:orders admin:all"
	md["unknown_member"] = "ignored"
	a := w.register(t, w.initialToken(1, "read:orders"), md).made()
	for name, want := range map[string]any{
		"client_name": "Shop", "token_endpoint_auth_method": "client_secret_basic", "application_type": "web", "scope": "openid read:orders", "client_secret_expires_at": 0.0,
		"offkey_pending_scope": "admin:all", "unknown_member": nil, "client_id_issued_at": float64(w.now().Unix()),
	} {
		if a.json[name] != want {
			t.Errorf("%s is %v, want %v", name, a.json[name], want)
		}
	}
	if a.header.Get("Cache-Control") != "no-store" || !has(a.json["response_types"], "code") || !secret.WellFormed(a.text("client_secret")) || !secret.WellFormed(a.text("registration_access_token")) {
		t.Errorf("%s", a.body)
	}
	if a.text("registration_client_uri") != issuerURL+"/register/"+a.text("client_id") {
		t.Errorf("registration_client_uri %s", a.text("registration_client_uri"))
	}
	header := http.Header{"Authorization": {oauth.FormatBasic(a.text("client_id"), a.text("client_secret"))}}
	w.token(header).refused(http.StatusBadRequest, "unauthorized_client", "") // it is registered for people's grants
	c, err := w.db.Client(t.Context(), a.text("client_id"))
	if err != nil || c.Source != client.SourceRegistration || c.Quarantined {
		t.Errorf("%+v, %v", c, err)
	}
	if strings.Contains(w.log.String(), a.text("client_secret")) {
		t.Error("the secret is in the log")
	}
}

func TestChecklist179ErrorsOfARegistration(t *testing.T) {
	w := newRegistrationWorld(t, authserver.RegistrationOpen)
	for name, tt := range map[string]struct {
		member string
		value  any
		code   string
	}{
		"checklist_179 a fragment":         {"redirect_uris", []string{"https://shop.example/#a"}, "invalid_redirect_uri"},
		"checklist_179 javascript":         {"redirect_uris", []string{"javascript:alert(1)"}, "invalid_redirect_uri"},
		"checklist_179 none":               {"redirect_uris", nil, "invalid_redirect_uri"},
		"checklist_179 a grant":            {"grant_types", []string{"password"}, "invalid_client_metadata"},
		"checklist_182 acts for itself":    {"grant_types", []string{"client_credentials"}, "invalid_client_metadata"},
		"checklist_179 a federated client": {"token_endpoint_auth_method", "federated_jwt", "invalid_client_metadata"},
		"checklist_179 a wrong type":       {"client_name", 7, "invalid_client_metadata"},
		"checklist_179 a statement":        {"software_statement", "a.b.c", "unapproved_software_statement"},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.register(t, "", with(webApp(), tt.member, tt.value)).refused(http.StatusBadRequest, tt.code, "")
		})
	}
}

func TestChecklist182OpenRegistrationIsQuarantined(t *testing.T) {
	w := newRegistrationWorld(t, authserver.RegistrationOpen)
	a := w.register(t, "", with(webApp(), "scope", "openid read:orders delete:everything")).made()
	c, err := w.db.Client(t.Context(), a.text("client_id"))
	if err != nil {
		t.Fatal(err)
	}
	// What it named is no bound: people are asked each time, and it may ask them for more later.
	if !c.Quarantined || c.Scopes.String() != "openid read:orders profile email address phone offline_access create:orders" || c.PendingScopes.String() != "delete:everything" {
		t.Errorf("checklist_182 %+v", c)
	}
	if all := w.register(t, "", webApp()).made(); all.text("scope") != "openid profile email address phone offline_access read:orders create:orders" {
		t.Errorf("checklist_182 without scope: %s", all.text("scope"))
	}
	t.Run("checklist_187 it is gone in a day unless it is used", func(t *testing.T) {
		used := w.register(t, "", with(webApp(), "token_endpoint_auth_method", "none")).made()
		v := w.signIn("pe_alice")
		back := v.allow(v.authorize(usual("client_id", used.text("client_id"), "redirect_uri", "https://shop.example/cb")), "pe_alice")
		u := back.header.Get("Location")
		code := u[strings.Index(u, "code=")+5:]
		code, _, _ = strings.Cut(code, "&")
		w.post("/token", nil, values("grant_type", "authorization_code", "client_id", used.text("client_id"), "code", code, "redirect_uri", "https://shop.example/cb", "code_verifier", verifier)).ok()
		if err := w.server.FlushUsage(t.Context(), w.db); err != nil {
			t.Fatal(err)
		}
		if _, err := w.db.Clean(t.Context(), w.now().Add(25*time.Hour), 100); err != nil {
			t.Fatal(err)
		}
		if _, err := w.db.Client(t.Context(), a.text("client_id")); !errors.Is(err, client.ErrNotFound) {
			t.Errorf("the unused client: %v", err)
		}
		if _, err := w.db.Client(t.Context(), used.text("client_id")); err != nil {
			t.Errorf("the used client: %v", err)
		}
	})
}

func TestChecklist187OpenRegistrationIsLimited(t *testing.T) {
	// checklist_187
	w := newRegistrationWorld(t, authserver.RegistrationOpen)
	for i := range 130 {
		a := w.register(t, "", webApp())
		if a.status == http.StatusTooManyRequests {
			if i < 90 || a.header.Get("Retry-After") == "" {
				t.Errorf("after %d, Retry-After %q", i, a.header.Get("Retry-After"))
			}
			w.register(t, w.initialToken(1), webApp()).made() // others are not
			return
		}
	}
	t.Error("130 were registered from one address")
}

func TestChecklist227AnInitialTokenIsSpentAtomically(t *testing.T) {
	// checklist_227: 64 together, on the real store
	w := newRegistrationWorld(t, authserver.RegistrationToken, unlimited)
	token := w.initialToken(3)
	codes := make([]int, 64)
	var all sync.WaitGroup
	for i := range codes {
		all.Go(func() { codes[i] = w.register(t, token, webApp()).status })
	}
	all.Wait()
	made := 0
	for _, code := range codes {
		switch code {
		case http.StatusCreated:
			made++
		case http.StatusUnauthorized:
		default:
			t.Errorf("status %d", code)
		}
	}
	if made != 3 {
		t.Errorf("%d were registered", made)
	}
}

func TestChecklist184Management(t *testing.T) {
	w := newRegistrationWorld(t, authserver.RegistrationToken)
	made := w.register(t, w.initialToken(1, "read:orders"), with(webApp(), "logo_uri", "https://shop.example/l.png")).made()
	uri, access, id := made.text("registration_client_uri"), made.text("registration_access_token"), made.text("client_id")
	step := func(name string, do func(t *testing.T)) {
		t.Run("checklist_184 "+name, func(t *testing.T) { w.t = t; do(t) })
	}
	step("it reads what is registered, without the secret", func(t *testing.T) {
		a := w.manage(http.MethodGet, uri, access, nil)
		if a.status != http.StatusOK || a.text("client_name") != "Shop" || a.text("logo_uri") == "" || a.json["client_secret"] != nil || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a.text("registration_access_token") != access { // checklist_185
			t.Error("checklist_185 it was rotated")
		}
	})
	step("nobody else does", func(t *testing.T) {
		other := w.register(t, w.initialToken(1), webApp()).made()
		for name, token := range map[string]string{"none": "", "another client's": other.text("registration_access_token"), "the secret": made.text("client_secret"), "made up": "x"} {
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
				if a := w.manage(method, uri, token, with(webApp(), "client_id", id)); a.status != http.StatusUnauthorized {
					t.Errorf("%s %s: %d", name, method, a.status)
				}
			}
		}
		if a := w.manage(http.MethodGet, issuerURL+"/register/cl_nobody", access, nil); a.status != http.StatusUnauthorized {
			t.Errorf("an unknown client: %d", a.status)
		}
	})
	update := func(pairs ...any) map[string]any {
		md := with(webApp(), "client_id", id)
		for i := 0; i < len(pairs); i += 2 {
			md = with(md, pairs[i].(string), pairs[i+1])
		}
		return md
	}
	step("an update that is not about this client", func(t *testing.T) {
		for name, md := range map[string]map[string]any{
			"no client_id": update("client_id", nil), "another client_id": update("client_id", "cl_other"), "a secret of its own choice": update("client_secret", "mine"),
			"a registration token": update("registration_access_token", access), "an address": update("registration_client_uri", uri), "an expiry": update("client_secret_expires_at", 0),
			"an issue time": update("client_id_issued_at", 1), "a bad redirect": update("redirect_uris", []string{"data:x"}), "a statement": update("software_statement", "a.b.c"),
		} {
			if a := w.manage(http.MethodPut, uri, access, md); a.status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
	})
	step("an update replaces, and grants nothing", func(t *testing.T) {
		a := w.manage(http.MethodPut, uri, access, update("client_name", "Shop 2", "client_secret", made.text("client_secret"), "scope", "openid read:orders admin:all"))
		if a.status != http.StatusOK || a.text("client_name") != "Shop 2" || a.json["logo_uri"] != nil || a.text("scope") != "openid read:orders" || a.text("offkey_pending_scope") != "admin:all" || a.json["client_secret"] != nil {
			t.Errorf("%d %s", a.status, a.body)
		}
		header := http.Header{"Authorization": {oauth.FormatBasic(id, made.text("client_secret"))}}
		w.token(header).refused(http.StatusBadRequest, "unauthorized_client", "") // the secret still proves it
	})
	step("another method takes the secret away, and back brings a new one", func(t *testing.T) {
		if a := w.manage(http.MethodPut, uri, access, update("token_endpoint_auth_method", "none")); a.status != http.StatusOK || a.json["client_secret"] != nil {
			t.Errorf("%d %s", a.status, a.body)
		}
		a := w.manage(http.MethodPut, uri, access, update("token_endpoint_auth_method", "client_secret_post"))
		if !secret.WellFormed(a.text("client_secret")) || a.text("client_secret") == made.text("client_secret") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	step("a disabled client does not manage itself", func(t *testing.T) {
		for _, status := range []client.Status{client.Disabled, client.Active} { // in this order: later steps need it active
			if _, err := w.db.UpdateClient(t.Context(), id, func(c *client.Client) error { c.Status = status; return nil }, system); err != nil {
				t.Fatal(err)
			}
			want := map[client.Status]int{client.Disabled: http.StatusForbidden, client.Active: http.StatusOK}[status]
			if a := w.manage(http.MethodGet, uri, access, nil); a.status != want {
				t.Errorf("%s: %d", status, a.status)
			}
		}
	})
	step("deleted is deleted, and the token with it", func(t *testing.T) {
		if a := w.manage(http.MethodDelete, uri, access, nil); a.status != http.StatusNoContent || a.body != "" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := w.manage(http.MethodGet, uri, access, nil); a.status != http.StatusUnauthorized {
			t.Errorf("%d", a.status)
		}
		if a := w.manage(http.MethodPost, uri, access, nil); a.status != http.StatusMethodNotAllowed {
			t.Errorf("POST: %d", a.status)
		}
	})
}

func TestASectorIdentifierIsFetchedAndHeldTo(t *testing.T) {
	listed := `["https://shop.example/cb"]`
	w := newRegistrationWorld(t, authserver.RegistrationOpen, func(o *authserver.Options) {
		o.Fetch = func(_ context.Context, url string) ([]byte, error) {
			if url != "https://sector.example/s.json" {
				return nil, errors.New("not there")
			}
			return []byte(listed), nil
		}
	})
	md := with(with(webApp(), "subject_type", "pairwise"), "sector_identifier_uri", "https://sector.example/s.json")
	a := w.register(t, "", md).made()
	if c, err := w.db.Client(t.Context(), a.text("client_id")); err != nil || c.SectorIdentifier != "sector.example" || a.text("sector_identifier_uri") == "" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, doc := range []string{`["https://shop.example/other"]`, `{}`, `not JSON`, `[]`} {
		listed = doc
		w.register(t, "", md).refused(http.StatusBadRequest, "invalid_client_metadata", "sector_identifier_uri")
	}
	w.register(t, "", with(md, "sector_identifier_uri", "https://elsewhere.example/s.json")).refused(http.StatusBadRequest, "invalid_client_metadata", "sector_identifier_uri")
}

func TestASoftwareStatementHoldsWhateverTheClientSays(t *testing.T) {
	// checklist_179
	var w *world
	p := newPeopleWorld(t, func(o *authserver.Options) {
		o.Registration, o.SelfRegistered, o.Federation = authserver.RegistrationToken, lateStore{&w}, nil
	})
	w = p.world
	w.register(t, "", with(webApp(), "software_statement", "a.b.c")).refused(http.StatusBadRequest, "unapproved_software_statement", "")

	var q *world
	far := newFederatedWorld(t, func(o *authserver.Options) {
		o.Registration, o.SelfRegistered, o.Browser = authserver.RegistrationToken, lateStore{&q}, nil
		o.Devices = nil
	})
	q = far.world
	rule := &client.TrustRule{ID: client.NewTrustID(), Name: "statements", For: client.TrustStatements, Kind: client.TrustOIDC, Issuer: far.far.URL, MaxAge: time.Hour, Source: client.SourceAPI, Created: q.now()}
	if err := rule.Check(); err != nil {
		t.Fatal(err)
	}
	if err := q.db.CreateTrustRule(t.Context(), rule, system); err != nil {
		t.Fatal(err)
	}
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	md := map[string]any{
		"grant_types": []string{"client_credentials"}, "token_endpoint_auth_method": "private_key_jwt", "jwks": jose.KeySet{Keys: []jose.PublicKey{key.Public()}}, "client_name": "my own",
		"scope": "admin:all",
	}
	statement := func(claims map[string]any) string {
		claims["iss"], claims["iat"] = far.far.URL, q.now().Unix()
		return far.far.Sign(t, "JWT", claims)
	}
	good := statement(map[string]any{"software_id": "shop", "client_name": "Shop", "scope": "read:orders"})
	for range 2 { // a program carries the same one everywhere
		a := q.register(t, "", with(md, "software_statement", good)).made()
		if a.text("client_name") != "Shop" || a.text("software_id") != "shop" || a.text("scope") != "read:orders" {
			t.Errorf("%s", a.body)
		}
		q.token(nil, flat(q.assertion(a.text("client_id"), key))...).ok()
	}
	// An update replaces what the statement leaves open, and nothing else.
	pinned := q.register(t, "", with(md, "software_statement", statement(map[string]any{"client_name": "Shop", "client_uri": "https://shop.example/", "scope": "read:orders"}))).made()
	changed := with(with(with(with(md, "client_id", pinned.text("client_id")), "client_name", "Bank"), "client_uri", "https://evil.example/"), "software_id", "mine")
	a := q.manage(http.MethodPut, pinned.text("registration_client_uri"), pinned.text("registration_access_token"), changed)
	if a.status != http.StatusOK || a.text("client_name") != "Shop" || a.text("client_uri") != "https://shop.example/" || a.text("scope") != "read:orders" || a.text("software_id") != "mine" {
		t.Errorf("%d %s", a.status, a.body)
	}
	other := newFederatedWorld(t).far.Sign(t, "JWT", map[string]any{"iss": far.far.URL, "software_id": "shop"})
	q.register(t, "", with(md, "software_statement", other)).refused(http.StatusBadRequest, "unapproved_software_statement", "")
	q.register(t, "", with(md, "software_statement", statement(map[string]any{"exp": q.now().Unix() - 100}))).refused(http.StatusBadRequest, "invalid_software_statement", "expires")
	q.register(t, "", with(md, "software_statement", statement(map[string]any{"redirect_uris": []string{"data:x"}}))).refused(http.StatusBadRequest, "invalid_redirect_uri", "")
	q.register(t, "", md).refused(http.StatusUnauthorized, "invalid_token", "")
	q.token(nil, flat(asClient(good))...).refused(http.StatusUnauthorized, "invalid_client", "")
	q.advance(time.Hour)
	q.server.AllowVouched(3)
	q.register(t, "", with(md, "software_statement", good)).made()
	q.register(t, "", with(md, "software_statement", statement(map[string]any{"software_id": "shop", "client_name": "Shop", "scope": "read:orders"}))).
		refused(http.StatusServiceUnavailable, "temporarily_unavailable", "software statement")
	q.register(t, "", with(md, "software_statement", statement(map[string]any{"software_id": "shop 2", "scope": "read:orders"}))).made()
	for range 100 { // at once, then one in half a minute
		q.register(t, "", with(md, "software_statement", good))
	}
	if a := q.register(t, "", with(md, "software_statement", good)); a.status != http.StatusTooManyRequests {
		t.Errorf("one program registers without end: %d %s", a.status, a.body)
	}
}

func FuzzSelfRegistration(f *testing.F) {
	w := newRegistrationWorld(f, authserver.RegistrationOpen, unlimited)
	for _, seed := range []string{`{"redirect_uris":["https://a.example/"]}`, `{"redirect_uris":["com.a:/"],"token_endpoint_auth_method":"none","scope":"x y"}`, `[]`, `{"software_statement":"a.b.c"}`} {
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, body, presented string) {
		w.t = t
		a := w.register(t, presented, body)
		switch a.status {
		case http.StatusCreated:
			c, err := w.db.Client(t.Context(), a.text("client_id"))
			if err != nil || presented == "" && (!c.Quarantined || c.Allows(oauth.GrantClientCredentials)) {
				t.Errorf("%s: %+v, %v", body, c, err)
			}
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		default:
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	})
}
