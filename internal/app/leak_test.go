package app

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// exchange trades an apikey for a token without a client (RFC 8693).
func (w *world) exchange(key string) answer {
	w.Helper()
	return w.form("/token", url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {key},
		"subject_token_type": {"urn:offkey:params:token-type:apikey"},
	})
}

// TestALeakedApikeyLeavesNothingBehind: the owner has a client, then the apikey
// gets out, and whoever found it makes whatever it opens. The operator's one
// word ends all of that, and leaves what was there before the leak.
func TestALeakedApikeyLeavesNothingBehind(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey()
	id := w.learn(key)
	w.enforce()
	owners, owner := w.mustRegister(key, "the owner's")

	w.pass(time.Hour)
	leaked := w.now()
	w.pass(time.Minute)
	w.call("GET", "/v1/orders", "X-API-Key", key, "User-Agent", "thief/1.0") // a second program: it may have a client
	thiefs, thief := w.mustRegister(key, "the thief's")
	if thiefs.Pending {
		t.Fatal("the second program's client waits; this test wants it to have got in")
	}
	thiefsToken := w.token(thief)
	exchanged := oauth.TokenResponse{}
	w.decode(w.exchange(key), &exchanged)
	for name, token := range map[string]string{"the owner's": w.token(owner), "the thief's": thiefsToken, "an exchanged one": exchanged.AccessToken} {
		if a := w.call("GET", "/v1/orders", "Authorization", "Bearer "+token); a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", name, a.status, a.body)
		}
	}

	var contained struct {
		Disabled []string `json:"clients_disabled"`
		Kept     []string `json:"clients_kept"`
	}
	w.operate("POST", "/apikeys/"+id+"/block", map[string]string{"reason": "found in a repository", "since": leaked.Format(time.RFC3339Nano)}, &contained)
	if len(contained.Disabled) != 1 || contained.Disabled[0] != thiefs.ClientID || len(contained.Kept) != 1 || contained.Kept[0] != owners.ClientID {
		t.Errorf("disabled %v, kept %v", contained.Disabled, contained.Kept)
	}

	if a := w.call("GET", "/v1/orders", "X-API-Key", key); a.status != http.StatusUnauthorized || !a.has("apikey_blocked") {
		t.Errorf("the apikey: %d %s", a.status, a.body)
	}
	for name, token := range map[string]string{"the thief's client": thiefsToken, "the exchange": exchanged.AccessToken} {
		if a := w.call("GET", "/v1/orders", "Authorization", "Bearer "+token); a.status != http.StatusUnauthorized || !a.has("invalid_token") {
			t.Errorf("a token of %s: %d %s", name, a.status, a.body)
		}
	}
	if _, err := thief.NewToken(t.Context()); refusal(err) == "" {
		t.Error("the thief's client still gets tokens")
	}
	if a := w.exchange(key); a.status < 400 {
		t.Errorf("the apikey is still exchanged: %d", a.status)
	}
	made, _, err := w.register(key, "once more")
	if refusal(err) != oauth.CodeInvalidToken {
		t.Errorf("the apikey still makes clients: %+v, %v", made, err)
	}
	if a := w.call("GET", "/v1/orders", "Authorization", "Bearer "+w.token(owner)); a.status != http.StatusOK {
		t.Errorf("the owner's client, made before the leak: %d %s", a.status, a.body)
	}
}

func TestASecondClientOfOneProgramWaitsForApproval(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey()
	w.learn(key)
	w.enforce()
	if made, _ := w.mustRegister(key, "the first"); made.Pending {
		t.Fatalf("the first waits: %s", made.Reason)
	}
	made, c := w.mustRegister(key, "the second")
	if !made.Pending || !strings.Contains(made.Reason, "an operator approves") {
		t.Fatalf("the second does not wait: %+v", made)
	}
	_, err := c.NewToken(t.Context())
	if code := refusal(err); code != oauth.CodeUnauthorizedClient {
		t.Errorf("its token: %v", err)
	}
	w.operate("POST", "/clients/"+made.ClientID+"/approve", struct{}{}, nil)
	if a := w.call("GET", "/v1/orders", "Authorization", "Bearer "+w.token(c)); a.status != http.StatusOK {
		t.Errorf("approved: %d %s", a.status, a.body)
	}
}

func TestAnApikeyThatTravelsInTheQueryWaitsForApproval(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey()
	w.learn(key, "query")
	made, c := w.mustRegister(key, "board")
	if !made.Pending || !strings.Contains(made.Reason, "query") {
		t.Fatalf("it does not wait: %+v", made)
	}
	if _, err := c.NewToken(t.Context()); refusal(err) != oauth.CodeUnauthorizedClient {
		t.Errorf("its token: %v", err)
	}
}

func TestScopesThatWriteWaitUntilTheyWereUsedForAWeek(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey()
	w.learn(key)
	w.call("POST", "/v1/orders", "X-API-Key", key)
	made, _ := w.mustRegister(key, "orders")
	if made.Pending || strings.Join(made.Scopes, " ") != "read:orders" || strings.Join(made.PendingScopes, " ") != "create:orders" {
		t.Errorf("granted %q, waiting %q", made.Scopes, made.PendingScopes)
	}
	w.pass(8 * 24 * time.Hour)
	other := newKey()
	w.learn(other)
	w.call("POST", "/v1/orders", "X-API-Key", other)
	w.pass(8 * 24 * time.Hour)
	w.call("GET", "/v1/orders", "X-API-Key", other)
	if made, _ := w.mustRegister(other, "others"); made.Pending || strings.Join(made.Scopes, " ") != "create:orders read:orders" && strings.Join(made.Scopes, " ") != "read:orders create:orders" {
		t.Errorf("granted %q, waiting %q", made.Scopes, made.PendingScopes)
	}
}

// TestOnlyALiveApikeyOpensTheUpgrade: in a stage that does, and while the API
// itself vouches for it.
func TestOnlyALiveApikeyOpensTheUpgrade(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey()
	id := w.learn(key)
	for stage, opens := range map[string]bool{"observe": true, "warn": true, "upgrade_only": true, "retired": false, "blocked": false} {
		w.stage(stage, id)
		_, _, err := w.register(key, "in "+stage)
		if opens && err != nil || !opens && refusal(err) != oauth.CodeInvalidToken {
			t.Errorf("%s: %v", stage, err)
		}
	}
	w.stage("upgrade_only", id)
	w.pass(11 * time.Minute)
	if made, _, err := w.register(key, "late"); err != nil || !made.Pending || !strings.Contains(made.Reason, "refused here") {
		t.Errorf("where its calls reach the API no more: %+v, %v", made, err)
	}
	w.stage("observe", id)
	if _, _, err := w.register(key, "too late"); refusal(err) != oauth.CodeInvalidToken {
		t.Errorf("without a success for eleven minutes: %v", err)
	}
	w.call("GET", "/v1/orders", "X-API-Key", key)
	if _, _, err := w.register(key, "in time"); err != nil {
		t.Errorf("with one now: %v", err)
	}
	if _, _, err := w.register(newKey(), "nobody's"); refusal(err) != oauth.CodeInvalidToken {
		t.Errorf("one that nobody knows: %v", err)
	}

	// The API revokes it: from then on nothing is made with it.
	w.api.set(key, false)
	if a := w.call("GET", "/v1/orders", "X-API-Key", key); a.status != http.StatusUnauthorized {
		t.Fatalf("%d", a.status)
	}
	w.eventually(func() bool {
		_, _, err := w.register(key, "revoked at the API")
		return refusal(err) == oauth.CodeInvalidToken
	})
}

// TestJunkIsNotLearnt sends a made-up apikey in every way in which an answer
// with success may be due to something else. The real one that comes last shows
// that learning was at work all the time.
func TestJunkIsNotLearnt(t *testing.T) {
	for name, probe := range map[string]bool{"with probes": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *config.Config) { c.APIKeys.Probe = probe })
			// The API has refused strangers, here and there.
			w.call("GET", "/v1/orders")
			w.call("GET", "/v1/orders", "X-API-Key", newKey())
			w.call("GET", "/v1/reports")
			w.call("GET", "/v1/reports", "X-API-Key", newKey())
			junk := map[string]string{}
			send := func(how, path string, want int, headers ...string) {
				t.Helper()
				junk[how] = newKey()
				for range 3 {
					if a := w.call("GET", path, append(headers, "X-API-Key", junk[how])...); a.status != want {
						t.Fatalf("%s: %d %s", how, a.status, a.body)
					}
				}
			}
			send("beside a valid cookie", "/v1/orders", 200, "Cookie", "session=valid")
			send("beside a valid cookie on another route", "/v1/reports", 200, "Cookie", "theme=dark; session=valid")
			send("beside a valid password", "/v1/orders", 200, "Authorization", "Basic "+"YW5hOnZhbGlk")
			send("where everybody is answered", "/open", 200)
			send("answered by a cache", "/cached/prices", 200)
			send("not modified", "/unchanged", 304)
			send("redirected", "/moved", 302)
			send("refused", "/v1/orders", 401)
			real := newKey()
			w.learn(real)
			if listed := w.inventory(); len(listed) != 1 {
				t.Errorf("%d apikeys are known", len(listed))
			}
			for how, key := range junk {
				if w.known(key) != "" {
					t.Errorf("learnt: %s", how)
				}
				if _, _, err := w.register(key, "junk"); refusal(err) != oauth.CodeInvalidToken {
					t.Errorf("%s: makes a client: %v", how, err)
				}
			}
		})
	}
}

func (w *world) inventory() []string {
	w.Helper()
	var list struct{ APIKeys []struct{ ID string } }
	w.operate("GET", "/apikeys", nil, &list)
	ids := make([]string, len(list.APIKeys))
	for i, k := range list.APIKeys {
		ids[i] = k.ID
	}
	return ids
}

// TestACallersClockIsTenMinutesOff: the issuer says so, and by how much.
func TestACallersClockIsTenMinutesOff(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey()
	w.learn(key)
	w.enforce()
	_, c := w.mustRegister(key, "orders")
	for name, tc := range map[string]struct {
		off  time.Duration
		want string
	}{
		"slow": {-10 * time.Minute, "check the clock of the client"},
		"fast": {10 * time.Minute, "the clock of the client is fast"},
	} {
		wrong := &oauthclient.Config{
			Issuer: c.Issuer, ClientID: c.ClientID, KeyFile: c.KeyFile, KeyID: c.KeyID, Scopes: c.Scopes, Resource: c.Resource,
			Now: func() time.Time { return w.now().Add(tc.off) },
		}
		a := w.post("/token", wrong, url.Values{"grant_type": {"client_credentials"}})
		if a.status != http.StatusUnauthorized || !strings.Contains(a.body, "invalid_client") || !strings.Contains(a.body, tc.want) || !strings.Contains(a.body, "By this server's clock it is") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		_, err := wrong.NewToken(t.Context())
		if err == nil || !strings.Contains(err.Error(), "clock") {
			t.Errorf("%s: the caller reads %v", name, err)
		}
	}
	if w.token(c) == "" {
		t.Error("with the right clock there is none either")
	}
}

// TestATokenThatHasExpired is refused as such, cached or not.
func TestATokenThatHasExpiredIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey()
	w.learn(key)
	w.enforce()
	_, c := w.mustRegister(key, "orders")
	token := w.token(c)
	if a := w.call("GET", "/v1/orders", "Authorization", "Bearer "+token); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	w.pass(20 * time.Minute)
	if a := w.call("GET", "/v1/orders", "Authorization", "Bearer "+token); a.status != http.StatusUnauthorized || !strings.Contains(a.body, "expired") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestOtherCallersDoNotCloseTheUpgrade: the API also takes sessions and
// passwords, and has more apikeys than are learnt yet. Their successes on the
// same route say nothing against an apikey that the API vouches for.
func TestOtherCallersDoNotCloseTheUpgrade(t *testing.T) {
	for name, call := range map[string]func(w *world){
		"a session without apikey":  func(w *world) { w.call("GET", "/v1/orders", "Cookie", "session=valid") },
		"a password without apikey": func(w *world) { w.call("GET", "/v1/orders", "Authorization", "Basic YW5hOnZhbGlk") },
		"junk beside a session":     func(w *world) { w.call("GET", "/v1/orders", "Cookie", "session=valid", "X-API-Key", newKey()) },
		"a busy apikey before it is learnt": func(w *world) {
			busy := newKey()
			w.api.set(busy, true)
			for range 500 {
				w.call("GET", "/v1/orders", "X-API-Key", busy)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			call(w)
			key := newKey()
			w.learn(key)
			call(w)
			if made, _, err := w.register(key, "orders"); err != nil || made.Pending {
				t.Errorf("%+v %v", made, err)
			}
		})
	}
}
