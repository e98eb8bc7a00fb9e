package authserver_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/prometheus/client_golang/prometheus"
)

// withPost adds a client_secret_post client.
func (w *world) withPost(id string) (*client.Client, string) {
	w.t.Helper()
	s := secret.Generate(secret.KindClientSecret).Reveal()
	return w.add(client.Client{
		ID: id, AuthMethod: oauth.AuthClientSecretPost,
		Credentials: []client.Credential{{ID: "cr_p", Kind: client.KindSecret, Hash: secret.HashOf(s), Created: w.now()}},
	}), s
}

func signed(t testing.TB, _ *world, key *jose.SigningKey, claims map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := key.Sign("", raw)
	if err != nil {
		t.Fatal(err)
	}
	return jwt
}

// counter is the sum of a metric over its labels.
func (w *world) counter(t testing.TB, name string) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	for _, c := range w.metrics.Collectors() {
		if err := reg.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() == name {
			found = true
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	if !found {
		t.Errorf("no metric %s", name)
	}
	return sum
}

func TestChecklist62to65(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	_, other := w.withSecret(client.Client{ID: "other", Grants: []string{oauth.GrantTokenExchange}})
	t.Run("checklist_62 no grant_type", func(t *testing.T) {
		w.post("/token", header, values("scope", "read:orders")).refused(400, "invalid_request", "grant_type is missing")
	})
	t.Run("checklist_62 a grant nobody has", func(t *testing.T) {
		for _, g := range []string{"password", "authorization_code", "refresh_token", "implicit", "CLIENT_CREDENTIALS"} {
			w.post("/token", header, values("grant_type", g)).refused(400, "unsupported_grant_type", "does not have that grant_type")
		}
	})
	t.Run("checklist_62 a grant this client has not", func(t *testing.T) {
		w.token(other).refused(400, "unauthorized_client", "not registered for that grant_type")
	})
	t.Run("checklist_62 a scope this client has not", func(t *testing.T) {
		w.token(header, "scope", "delete:orders").refused(400, "invalid_scope", "1 of the 1 scopes")
	})
	t.Run("checklist_63 the scope is stated", func(t *testing.T) {
		if a := w.token(header, "scope", "create:orders"); a.json["scope"] != "create:orders" || claims(t, a.ok())["scope"] != "create:orders" {
			t.Errorf("got %s", a.body)
		}
	})
	t.Run("checklist_63 no scope asked, no default: a token without", func(t *testing.T) {
		a := w.token(header)
		if _, there := a.json["scope"]; there {
			t.Errorf("answer: %s", a.body)
		}
		if _, there := claims(t, a.ok())["scope"]; there {
			t.Errorf("checklist_114 claims: %v", claims(t, a.ok()))
		}
	})
	t.Run("checklist_63 no scope asked, a default: returned", func(t *testing.T) {
		c := billing()
		c.ID, c.DefaultScopes = "defaults", oauth.Scope{"read:orders", "gone:scope"}
		_, header := w.withSecret(c)
		if a := w.token(header); a.json["scope"] != "read:orders" {
			t.Errorf("got %s", a.body)
		}
	})
	t.Run("checklist_64 expires_in is a number and what the token says", func(t *testing.T) {
		a := w.token(header)
		c := claims(t, a.ok())
		if got, want := a.json["expires_in"], c["exp"].(float64)-c["iat"].(float64); got != want || want != 600 {
			t.Errorf("expires_in %v, token %v, want 600", got, want)
		}
	})
	t.Run("checklist_19 every grant asks a confidential client for its proof", func(t *testing.T) {
		for _, g := range []string{oauth.GrantClientCredentials, oauth.GrantTokenExchange, "refresh_token", oauth.GrantDeviceCode} {
			a := w.post("/token", nil, values("grant_type", g, "client_id", "billing"))
			if a.status == http.StatusOK || a.json["access_token"] != nil {
				t.Errorf("%s: %d %s", g, a.status, a.body)
			}
		}
	})
	t.Run("checklist_65 who has not proved himself learns nothing of grants", func(t *testing.T) {
		for _, grant := range []string{"", "password", oauth.GrantClientCredentials} {
			w.post("/token", http.Header{"Authorization": {oauth.FormatBasic("billing", "wrong")}}, values("grant_type", grant, "scope", "nonsense:scope")).
				refused(401, "invalid_client", "client authentication failed")
		}
	})
}

func TestChecklist72to76(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	t.Run("checklist_72 a public client has no client_credentials", func(t *testing.T) {
		w.add(client.Client{ID: "cli", AuthMethod: oauth.AuthNone})
		w.token(nil, "client_id", "cli").refused(400, "unauthorized_client", "public client")
	})
	t.Run("checklist_73 no refresh token and no ID token", func(t *testing.T) {
		a := w.token(header)
		a.ok()
		if a.json["refresh_token"] != nil || a.json["id_token"] != nil {
			t.Errorf("got %s", a.body)
		}
	})
	t.Run("checklist_73 no scope of a person, registered or not", func(t *testing.T) {
		_, header := w.withSecret(client.Client{ID: "odd", Scopes: oauth.Scope{"openid", "offline_access", "a"}})
		for _, scope := range []string{"openid", "a offline_access"} {
			w.token(header, "scope", scope).refused(400, "invalid_scope", "need a person")
		}
	})
	t.Run("checklist_74 sub is the client id", func(t *testing.T) {
		if c := claims(t, w.token(header).ok()); c["sub"] != "billing" || c["client_id"] != "billing" {
			t.Errorf("got %v", c)
		}
	})
	t.Run("checklist_75 more than registered is refused, not narrowed and not widened", func(t *testing.T) {
		got := w.token(header, "scope", "read:orders delete:orders admin").refused(400, "invalid_scope", "2 of the 3 scopes asked for are not allowed to this client")
		if strings.Contains(got, "admin") || !strings.Contains(got, "read:orders create:orders") {
			t.Errorf("checklist_5: %q names what was sent, or not what is registered", got)
		}
	})
	t.Run("checklist_75 scopes that wait for approval are named as such", func(t *testing.T) {
		c := billing()
		c.ID, c.PendingScopes = "waiting", oauth.Scope{"delete:orders"}
		_, header := w.withSecret(c)
		w.token(header, "scope", "read:orders delete:orders").refused(400, "invalid_scope", "wait for the approval")
		w.token(header, "scope", "read:orders").ok()
	})
	t.Run("checklist_75 a client without scopes", func(t *testing.T) {
		_, header := w.withSecret(client.Client{ID: "bare"})
		w.token(header, "scope", "read:orders").refused(400, "invalid_scope", "none are allowed to it")
		w.token(header).ok()
	})
	t.Run("checklist_75 a scope that is no scope", func(t *testing.T) {
		w.token(header, "scope", "read:\"orders\"").refused(400, "invalid_scope", "scope")
	})
	t.Run("checklist_76 the same again is another token and writes nothing", func(t *testing.T) {
		before, err := w.db.AuditHead(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		changesBefore, err := w.db.ChangesSince(context.Background(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[any]bool{}
		for range 200 {
			jti := claims(t, w.token(header).ok())["jti"]
			if seen[jti] {
				t.Fatal("a jti twice")
			}
			seen[jti] = true
		}
		after, err := w.db.AuditHead(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		changes, err := w.db.ChangesSince(context.Background(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if before != after || len(changes) != len(changesBefore) {
			t.Errorf("written: audit %d -> %d, changes %d -> %d", before.Seq, after.Seq, len(changesBefore), len(changes))
		}
	})
}

func TestAPendingClientIsToldWhy(t *testing.T) {
	w := newWorld(t)
	c := billing()
	c.Status, c.PendingReason = client.Pending, "it is the second client of this apikey"
	_, header := w.withSecret(c)
	w.token(header).refused(400, "unauthorized_client", "waits for the approval of an operator: it is the second client of this apikey")
	if _, err := w.db.UpdateClient(context.Background(), c.ID, func(c *client.Client) error { c.Status = client.Active; return nil }, system); err != nil {
		t.Fatal(err)
	}
	w.token(header).ok()
	if _, err := w.db.UpdateClient(context.Background(), c.ID, func(c *client.Client) error { c.Status = client.Disabled; return nil }, system); err != nil {
		t.Fatal(err)
	}
	w.token(header).refused(401, "invalid_client", "disabled")
}

func TestChecklist106to111(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	both := billing()
	both.ID, both.Resources = "both", []string{api, otherAPI}
	_, bothHeader := w.withSecret(both)
	second := billing()
	second.ID, second.Resources = "second", []string{otherAPI}
	_, secondHeader := w.withSecret(second)
	aud := func(t *testing.T, a answer) any { t.Helper(); return claims(t, a.ok())["aud"] }

	t.Run("checklist_106 what is no absolute URI, or has a fragment", func(t *testing.T) {
		for _, r := range []string{"api", "/v1", api + "#a", "https://", "https://api.example.com/\x01", "//api.example.com", strings.Repeat("https://a/", 300)} {
			w.token(header, "resource", r).refused(400, "invalid_target", "resource")
		}
	})
	t.Run("checklist_107 a resource that is not ours", func(t *testing.T) {
		w.token(header, "resource", "https://else.example.com").refused(400, "invalid_target", "not one of this server's")
	})
	t.Run("checklist_107 one that this client may not use", func(t *testing.T) {
		w.token(header, "resource", otherAPI).refused(400, "invalid_target", "not among those that this client may use")
		w.token(secondHeader, "resource", api).refused(400, "invalid_target", "not among those that this client may use")
		w.token(bothHeader, "resource", api, "resource", "https://else.example.com").refused(400, "invalid_target", "")
	})
	t.Run("checklist_109 aud is what was asked for and nothing else", func(t *testing.T) {
		if got := aud(t, w.token(bothHeader, "resource", otherAPI)); got != otherAPI {
			t.Errorf("aud %v", got)
		}
		got, _ := aud(t, w.token(bothHeader, "resource", otherAPI, "resource", api, "resource", api)).([]any)
		if len(got) != 2 || got[0] != otherAPI || got[1] != api {
			t.Errorf("aud %v", got)
		}
	})
	t.Run("checklist_109 without resource it is the default", func(t *testing.T) {
		for _, h := range []http.Header{header, bothHeader} {
			if got := aud(t, w.token(h)); got != api {
				t.Errorf("aud %v", got)
			}
		}
		if got := aud(t, w.token(secondHeader)); got != otherAPI {
			t.Errorf("aud %v of a client with one resource", got)
		}
	})
	t.Run("checklist_109 a token for one resource does not open the other", func(t *testing.T) {
		if _, err := w.verifier.Verify(w.token(bothHeader, "resource", otherAPI).ok()); err == nil {
			t.Error("the gateway of the first takes it")
		}
	})
	t.Run("checklist_111 a scope counts where its token is for, and nowhere else", func(t *testing.T) { // decision 0053
		for _, resource := range []string{api, otherAPI} {
			token := w.token(bothHeader, "resource", resource, "scope", "read:orders create:orders").ok()
			_, err := w.verifier.Verify(token)
			if opens := err == nil; opens != (resource == api) {
				t.Errorf("for %s: %v", resource, err)
			}
		}
		w.token(bothHeader, "resource", otherAPI, "scope", "delete:orders").refused(400, "invalid_scope", "")
	})
	t.Run("checklist_110 compared as registered, slash by slash", func(t *testing.T) {
		w.token(header, "resource", api).ok()
		for _, r := range []string{api + "/", strings.ToUpper(api), api + ":443", api + "?a=b"} {
			w.token(header, "resource", r).refused(400, "invalid_target", "exactly as the API's metadata names it")
		}
	})
	t.Run("several resources and none of them the default", func(t *testing.T) {
		w := newWorld(t, func(o *authserver.Options) { o.Resources = []string{otherAPI, "https://third.example.com"} })
		c := billing()
		c.Resources = []string{otherAPI, "https://third.example.com"}
		_, header := w.withSecret(c)
		w.token(header).refused(400, "invalid_target", "resource is missing")
	})
	t.Run("more resources than a token can hold", func(t *testing.T) {
		more := []string{}
		for range 11 {
			more = append(more, "resource", api)
		}
		w.token(header, more...).refused(400, "invalid_target", "more than 10")
	})
}

func TestChecklist25Race(t *testing.T) {
	w := newWorld(t)
	c, key := w.withKey(billing(), jose.ES256)
	server := httptest.NewServer(w.handler)
	defer server.Close()
	for range 3 {
		body := merged(w.assertion(c.ID, key), values("grant_type", oauth.GrantClientCredentials)).Encode()
		var passed, refused atomic.Int64
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				resp, err := http.Post(server.URL+"/token", "application/x-www-form-urlencoded", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				switch resp.StatusCode {
				case http.StatusOK:
					passed.Add(1)
				case http.StatusUnauthorized:
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if passed.Load() != 1 || refused.Load() != 49 {
			t.Errorf("checklist_25: fifty requests with one assertion: %d passed, %d were refused", passed.Load(), refused.Load())
		}
	}
}

func TestTokensAreVerifiedByTheGateway(t *testing.T) {
	w := newWorld(t)
	c, key := w.withKey(billing(), jose.ES256)
	issued := w.post("/token", nil, merged(w.assertion(c.ID, key), values("grant_type", oauth.GrantClientCredentials, "scope", "read:orders"))).ok()
	v, err := w.verifier.Verify(issued)
	if err != nil || v.ClientID() != "billing" || !v.Scope().Equal(oauth.Scope{"read:orders"}) {
		t.Errorf("%+v, %v", v, err)
	}
	w.advance(10 * time.Minute)
	if _, err := w.verifier.Verify(issued); err == nil {
		t.Error("good for longer than expires_in")
	}
}

func TestLastUsesAreFlushed(t *testing.T) {
	w := newWorld(t)
	c, header := w.withSecret(billing())
	w.token(header).ok()
	w.advance(time.Second)
	w.token(header).ok()
	if err := w.server.FlushUsage(t.Context(), brokenToucher{}); err == nil {
		t.Fatal("a failure is not told")
	}
	if err := w.server.FlushUsage(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	got, err := w.db.Client(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if used := got.Credentials[0].LastUsed; used.Sub(w.now()).Abs() > time.Millisecond {
		t.Errorf("last used %v, want %v", used, w.now())
	}
}

type brokenToucher struct{}

func (brokenToucher) TouchClients(context.Context, map[string]map[string]time.Time) error {
	return errDisk
}

func TestMetricsCount(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	w.token(header).ok()
	w.token(header).ok()
	w.token(http.Header{"Authorization": {oauth.FormatBasic("billing", "x")}})
	if got := w.counter(t, "offkey_token_issued_total"); got != 2 {
		t.Errorf("issued %v", got)
	}
	if got := w.counter(t, "offkey_client_auth_failures_total"); got != 1 {
		t.Errorf("failures %v", got)
	}
}
