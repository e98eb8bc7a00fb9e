package authserver_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// cli is the usual client of the device flow.
func cli() client.Client {
	return client.Client{ID: "cli", AuthMethod: oauth.AuthNone, Grants: []string{oauth.GrantDeviceCode}, Scopes: oauth.Scope{"read:orders", "create:orders"}}
}

// begin starts the device flow of a public client.
func (w *world) begin(clientID string, more ...string) answer {
	w.t.Helper()
	return w.post("/device/authorize", nil, values(append([]string{"client_id", clientID}, more...)...))
}

// began is begin where it works: what the device keeps, and what its person sees.
func (w *world) began(clientID string, more ...string) (deviceCode, userCode string) {
	w.t.Helper()
	a := w.begin(clientID, more...)
	deviceCode, _ = a.json["device_code"].(string)
	userCode, _ = a.json["user_code"].(string)
	if a.status != http.StatusOK || deviceCode == "" || userCode == "" {
		w.t.Fatalf("got %d %s", a.status, a.body)
	}
	return deviceCode, userCode
}

func (w *world) poll(clientID, deviceCode string, more ...string) answer {
	w.t.Helper()
	return w.post("/token", nil, values(append([]string{"grant_type", oauth.GrantDeviceCode, "client_id", clientID, "device_code", deviceCode}, more...)...))
}

// answered is what the device page does once its person has spoken.
func (w *world) answered(userCode string, change ...func(*session.Answer)) {
	w.t.Helper()
	code, ok := session.ReadUserCode(userCode)
	d, err := w.db.WaitingDevice(context.Background(), code, w.now())
	if err != nil || !ok {
		w.t.Fatalf("%q, %v, %v", userCode, ok, err)
	}
	a := session.Answer{
		PersonID: "pe_alice", SessionID: "se_1", Scope: d.Ask.Scope, At: w.now(),
		Login: session.Login{AuthTime: w.now().Truncate(time.Second), ACR: session.ACRMFA, AMR: []string{"pwd", "otp"}},
	}
	for _, c := range change {
		c(&a)
	}
	if err := w.db.AnswerDevice(context.Background(), d.Code, a, system); err != nil {
		w.t.Fatal(err)
	}
}

func TestChecklist85to91(t *testing.T) {
	w := newPeopleWorld(t)
	w.add(cli())
	t.Run("checklist_85 the answer has all members", func(t *testing.T) {
		a := w.begin("cli", "scope", "read:orders")
		if a.status != http.StatusOK || a.json["verification_uri"] != issuerURL+"/device" || a.json["expires_in"] != 600.0 || a.json["interval"] != 5.0 {
			t.Errorf("got %d %s", a.status, a.body)
		}
		if shown, _ := a.json["user_code"].(string); !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(shown) ||
			a.json["verification_uri_complete"] != issuerURL+"/device?user_code="+shown {
			t.Errorf("checklist_88: %s", a.body)
		}
		if code, _ := a.json["device_code"].(string); len(code) < 43 {
			t.Errorf("device_code %q has less than 256 bits", code)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
			t.Errorf("checklist_4: %v", a.header)
		}
	})
	t.Run("the metadata says where", func(t *testing.T) {
		m := w.get("/.well-known/oauth-authorization-server").json
		grants, _ := m["grant_types_supported"].([]any)
		if m["device_authorization_endpoint"] != issuerURL+"/device/authorize" || !slices.Contains(grants, any(oauth.GrantDeviceCode)) {
			t.Errorf("%v", m)
		}
	})
	t.Run("checklist_86 pending, slower, then a token, once", func(t *testing.T) {
		code, shown := w.began("cli", "scope", "read:orders create:orders")
		w.poll("cli", code).refused(400, "authorization_pending", "not answered yet")
		w.advance(time.Second)
		w.poll("cli", code).refused(400, "slow_down", "5 s longer")
		w.advance(6 * time.Second)
		w.poll("cli", code).refused(400, "slow_down", "") // ten seconds are due now
		w.advance(15 * time.Second)
		w.poll("cli", code).refused(400, "authorization_pending", "") // fifteen, and they have passed
		w.answered(shown)
		w.advance(time.Second) // an answer that is there is given at once
		a := w.poll("cli", code)
		c := claims(t, a.ok())
		if a.json["scope"] != "read:orders create:orders" || a.json["token_type"] != "Bearer" || a.json["expires_in"] != 600.0 {
			t.Errorf("got %s", a.body)
		}
		if c["client_id"] != "cli" || c["offkey_person"] != "pe_alice" || c["acr"] != session.ACRMFA || c["auth_time"] == nil || c["aud"] != api || c["sid"] != nil || c["sub"] != "pe_alice" {
			t.Errorf("claims %v", c)
		}
		if id, _ := c["offkey_grant"].(string); !strings.HasPrefix(id, "gr_") {
			t.Errorf("offkey_grant %q", id)
		}
		w.poll("cli", code).refused(400, "invalid_grant", "was used") // checklist_87
	})
	t.Run("checklist_86 the person says no", func(t *testing.T) {
		code, shown := w.began("cli")
		w.answered(shown, func(a *session.Answer) { a.Error = oauth.CodeAccessDenied })
		w.poll("cli", code).refused(400, "access_denied", "not allowed")
		w.poll("cli", code).refused(400, "access_denied", "")
	})
	t.Run("checklist_86 nobody answers in time", func(t *testing.T) {
		code, _ := w.began("cli")
		w.advance(session.DeviceLife)
		w.poll("cli", code).refused(400, "expired_token", "start again")
	})
	t.Run("what the person left out is not in the token", func(t *testing.T) {
		code, shown := w.began("cli", "scope", "read:orders create:orders")
		w.answered(shown, func(a *session.Answer) { a.Scope = oauth.Scope{"read:orders"} })
		if a := w.poll("cli", code); a.json["scope"] != "read:orders" { // checklist_63
			t.Errorf("got %s", a.body)
		}
	})
	t.Run("checklist_87 another client's poll learns nothing and spends nothing", func(t *testing.T) {
		other := cli()
		other.ID = "other"
		w.add(other)
		code, shown := w.began("cli")
		unknown := w.poll("other", "offkey_dc_unknown").refused(400, "invalid_grant", "")
		if got := w.poll("other", code).refused(400, "invalid_grant", ""); got != unknown {
			t.Errorf("%q tells that the code is there", got)
		}
		w.answered(shown)
		w.poll("other", code).refused(400, "invalid_grant", "")
		w.poll("cli", code).ok()
	})
	t.Run("checklist_107 for a resource of ours", func(t *testing.T) {
		w.advance(time.Minute)
		both := cli()
		both.ID, both.Resources = "both", []string{api, otherAPI}
		w.add(both)
		w.begin("both", "resource", "https://else.example.com").refused(400, "invalid_target", "not one of this server's")
		w.begin("cli", "resource", otherAPI).refused(400, "invalid_target", "not among those")
		code, shown := w.began("both", "resource", api, "resource", otherAPI)
		w.answered(shown)
		w.poll("both", code, "resource", "https://else.example.com").refused(400, "invalid_target", "not among the 2") // checklist_108
		if c := claims(t, w.poll("both", code, "resource", otherAPI).ok()); c["aud"] != otherAPI {
			t.Errorf("aud %v", c["aud"])
		}
	})
	for _, tt := range []struct {
		name, code, want string
		form             url.Values
	}{
		{"no client", "invalid_client", "no client authentication", url.Values{}},
		{"an unknown client", "invalid_client", "", values("client_id", "nobody")},
		{"a scope that is not the client's", "invalid_scope", "not allowed", values("client_id", "cli", "scope", "delete:orders")},
		{"a scope that is none", "invalid_scope", "", values("client_id", "cli", "scope", "a\"b")},
		{"checklist_3 a parameter sent twice", "invalid_request", "twice", values("client_id", "cli", "scope", "a", "scope", "b")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status := 400
			if tt.code == "invalid_client" {
				status = 401
			}
			w.post("/device/authorize", nil, tt.form).refused(status, tt.code, tt.want)
		})
	}
	t.Run("a poll without a code, or with one that cannot be any", func(t *testing.T) {
		w.post("/token", nil, values("grant_type", oauth.GrantDeviceCode, "client_id", "cli")).refused(400, "invalid_request", "device_code is missing")
		w.poll("cli", "x").refused(400, "invalid_grant", "")
	})
}

func TestConfidentialDevicesProveThemselvesAtEveryStep(t *testing.T) {
	// checklist_90, checklist_19, checklist_30
	w := newPeopleWorld(t)
	c := cli()
	c.ID = "tv"
	_, header := w.withSecret(c)
	k := cli()
	k.ID = "robot"
	_, key := w.withKey(k, jose.ES256)
	w.begin("tv").refused(401, "invalid_client", "")
	a := w.post("/device/authorize", header, url.Values{})
	code, _ := a.json["device_code"].(string)
	shown, _ := a.json["user_code"].(string)
	w.answered(shown)
	w.poll("tv", code).refused(401, "invalid_client", "")
	form := values("grant_type", oauth.GrantDeviceCode, "device_code", code)
	w.post("/token", nil, merged(form, w.assertion("robot", key))).refused(400, "invalid_grant", "")
	w.post("/token", header, form).ok()
	if a := w.post("/device/authorize", nil, w.assertion("robot", key)); a.status != http.StatusOK {
		t.Errorf("got %d %s", a.status, a.body)
	}
}

func TestAProofAtTheBeginningBindsTheDevice(t *testing.T) {
	// checklist_91
	w := newPeopleWorld(t)
	w.add(cli())
	mine, other := w.prover(jose.ES256), w.prover(jose.ES256)
	begin := func(proof string) answer {
		return w.post("/device/authorize", proving(nil, proof), values("client_id", "cli"))
	}
	poll := func(code string, proofs ...string) answer {
		return w.post("/token", proving(nil, proofs...), values("grant_type", oauth.GrantDeviceCode, "client_id", "cli", "device_code", code))
	}
	proof := mine.proof("htu", issuerURL+"/device/authorize")
	a := begin(proof)
	code, _ := a.json["device_code"].(string)
	shown, _ := a.json["user_code"].(string)
	begin(proof).refused(400, "invalid_dpop_proof", "used before")
	begin(mine.proof()).refused(400, "invalid_dpop_proof", "htu")
	w.answered(shown)
	poll(code, other.proof()).refused(400, "invalid_grant", "bound to the key")
	w.poll("cli", code).refused(400, "invalid_grant", "bound to the key")
	if a := poll(code, mine.proof()); a.json["token_type"] != "DPoP" || cnf(t, a.ok())["jkt"] != mine.jkt() {
		t.Errorf("got %s", a.body)
	}
	t.Run("and one that comes later binds the token", func(t *testing.T) {
		code, shown := w.began("cli")
		w.answered(shown)
		if a := poll(code, mine.proof()); cnf(t, a.ok())["jkt"] != mine.jkt() {
			t.Errorf("got %s", a.body)
		}
	})
}

func TestTheDeviceFlowIsForClientsRegisteredForIt(t *testing.T) {
	// checklist_62
	w := newPeopleWorld(t)
	c := cli()
	c.Grants = []string{oauth.GrantRefreshToken}
	w.add(c)
	w.begin("cli").refused(400, "unauthorized_client", "not registered for that grant_type")
	w.poll("cli", "x").refused(400, "unauthorized_client", "")
	waiting := cli()
	waiting.ID, waiting.Status = "waiting", client.Pending
	w.add(waiting)
	w.begin("waiting").refused(400, "unauthorized_client", "approval")
}

func TestADeviceStaysSignedInAndKnowsItsPerson(t *testing.T) {
	w := newPeopleWorld(t)
	c := cli()
	c.Grants, c.Scopes = append(c.Grants, oauth.GrantRefreshToken), append(c.Scopes, "openid", "offline_access")
	w.add(c)
	signIn := func() answer {
		w.advance(time.Minute)
		code, shown := w.began("cli", "scope", "openid offline_access read:orders")
		w.answered(shown)
		return w.poll("cli", code)
	}
	renew := func(a answer) answer {
		sent, _ := a.json["refresh_token"].(string)
		return w.post("/token", nil, values("grant_type", oauth.GrantRefreshToken, "client_id", "cli", "refresh_token", sent))
	}
	t.Run("by an ID token and a refresh token of its own grant", func(t *testing.T) {
		a := signIn()
		issued := claims(t, a.ok())
		id, _ := a.json["id_token"].(string)
		if c := claims(t, id); c["sub"] != "pe_alice" || c["aud"] != "cli" || c["sid"] != nil || c["auth_time"] == nil {
			t.Errorf("the ID token says %v", c)
		}
		if next := claims(t, renew(a).ok()); next["offkey_grant"] != issued["offkey_grant"] || next["sub"] != "pe_alice" {
			t.Errorf("renewed: %v", next)
		}
	})
	t.Run("until its grant is revoked", func(t *testing.T) {
		a := signIn()
		id, _ := claims(t, a.ok())["offkey_grant"].(string)
		w.revokes(token.Revocation{Kind: token.RevokeGrant, ID: id})
		renew(a).refused(400, "invalid_grant", "")
	})
	t.Run("and not at all where the person is shut out before it asks", func(t *testing.T) {
		w.advance(time.Minute)
		code, shown := w.began("cli", "scope", "read:orders")
		w.answered(shown)
		w.crowd.change(func() { w.crowd.people["pe_alice"].Status = directory.Disabled })
		w.poll("cli", code).refused(400, "invalid_grant", "may not sign in any more")
	})
}

func TestOf64PollsThatArriveTogetherOneGetsTheToken(t *testing.T) {
	// checklist_87, checklist_227
	w := newPeopleWorld(t)
	w.add(cli())
	code, shown := w.began("cli")
	w.answered(shown)
	var wg sync.WaitGroup
	answers := make([]answer, 64)
	for i := range answers {
		wg.Go(func() { answers[i] = w.poll("cli", code) })
	}
	wg.Wait()
	won := 0
	for _, a := range answers {
		if a.status == http.StatusOK {
			won++
			continue
		}
		a.refused(400, "invalid_grant", "")
	}
	if won != 1 {
		t.Errorf("%d tokens", won)
	}
}

func TestDevicesThatWaitAreBounded(t *testing.T) {
	from := func(w *peopleWorld, source string) answer {
		r := httptest.NewRequest(http.MethodPost, "/device/authorize", strings.NewReader("client_id=cli"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(source), 1234).String()
		return w.do(r)
	}
	t.Run("a source begins twenty at once and then one in ten seconds", func(t *testing.T) {
		w := newPeopleWorld(t)
		w.add(cli())
		for range 20 {
			w.began("cli")
		}
		a := w.begin("cli")
		a.refused(429, "temporarily_unavailable", "try again in 10 s")
		if a.header.Get("Retry-After") != "10" {
			t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
		}
		if a := from(w, "198.51.100.7"); a.status != http.StatusOK {
			t.Errorf("another source: %d %s", a.status, a.body)
		}
		w.advance(10 * time.Second)
		w.began("cli")
	})
	t.Run("and no more wait than the limit says", func(t *testing.T) {
		w := newPeopleWorld(t, func(o *authserver.Options) { o.DeviceLimits = session.DeviceLimits{PerClient: 3, All: 100} })
		w.add(cli())
		for range 3 {
			w.began("cli")
		}
		w.begin("cli").refused(429, "temporarily_unavailable", "as many devices wait")
		w.advance(session.DeviceLife)
		w.began("cli")
	})
}

func TestWhereADeviceAskedFromIsKeptAsOneShortLine(t *testing.T) {
	// checklist_89
	w := newPeopleWorld(t)
	w.add(cli())
	r := httptest.NewRequest(http.MethodPost, "/device/authorize", strings.NewReader("client_id=cli"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "tool/1 \x07\u202e<b>\xff"+strings.Repeat("é", 300))
	r.RemoteAddr = "198.51.100.7:99"
	a := w.do(r)
	shown, _ := a.json["user_code"].(string)
	code, _ := session.ReadUserCode(shown)
	d, err := w.db.WaitingDevice(t.Context(), code, w.now())
	if err != nil || d.Origin.Source.String() != "198.51.100.7" || d.Origin.UserAgent != "tool/1 <b>"+strings.Repeat("é", 110)+"…" {
		t.Errorf("%+v, %v", d.Origin, err)
	}
}

func FuzzDevice(f *testing.F) {
	w := newPeopleWorld(f, unlimited)
	w.add(cli())
	f.Add("client_id=cli&scope=read:orders", "grant_type="+url.QueryEscape(oauth.GrantDeviceCode)+"&client_id=cli&device_code=x")
	f.Add("client_id=cli&resource="+url.QueryEscape(api), "device_code=offkey_dc_")
	f.Fuzz(func(t *testing.T, begin, poll string) {
		for path, body := range map[string]string{"/device/authorize": begin, "/token": poll} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			a := httptest.NewRecorder()
			w.handler.ServeHTTP(a, r)
			if a.Code >= 500 || a.Code == http.StatusOK && path == "/token" {
				t.Errorf("%s: %d %s", path, a.Code, a.Body)
			}
		}
	})
}
