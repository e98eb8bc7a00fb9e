package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

// mint makes one token for each apikey.
type mint struct {
	err   error
	none  bool
	asked int
}

func (m *mint) TokenOf(_ context.Context, k *apikey.Key) (Minted, error) {
	m.asked++
	if m.none {
		return Minted{}, nil
	}
	return Minted{Token: secret.NewText("minted-for-" + k.ClientID), Scope: []string{"read:a"}}, m.err
}

func TestWhatTheAPIReceivesForAnAPIKeyCall(t *testing.T) {
	const key = "sk_live_000000000001"
	tests := []struct {
		name   string
		call   APIKeyCall
		client string
		mint   mint
		lines  []string
		target string
		want   map[string]string
		path   string
		status int
	}{
		{"original: as it came", SendOriginal, "cl_1", mint{}, []string{"X-API-Key: " + key}, "/a", map[string]string{"X-Api-Key": key, headerClient: ""}, "/a", 200},
		{"drop: the client's name alone", SendNothing, "cl_1", mint{}, []string{"X-API-Key: " + key}, "/a",
			map[string]string{"X-Api-Key": "", headerClient: "cl_1", headerCredential: "apikey:ak_1", "Authorization": ""}, "/a", 200},
		{"drop: in a cookie, beside others", SendNothing, "cl_1", mint{}, []string{"Cookie: theme=dark; apikey=" + key}, "/a", map[string]string{"Cookie": "theme=dark", headerClient: "cl_1"}, "/a", 200},
		{"drop: in the query, and where a page repeats it", SendNothing, "cl_1", mint{}, []string{"Referer: https://x.example/?api_key=" + key}, "/a?x=1&api_key=" + key,
			map[string]string{"Referer": "https://x.example/?api_key=[apikey]", headerClient: "cl_1"}, "/a?x=1", 200},
		{"drop: nobody's apikey names nobody", SendNothing, "", mint{}, []string{"X-API-Key: " + key}, "/a", map[string]string{"X-Api-Key": "", headerClient: ""}, "/a", 200},
		{"drop: what offkey does not know is the API's to judge", SendNothing, "cl_1", mint{}, []string{"X-API-Key: somebody's"}, "/a", map[string]string{"X-Api-Key": "somebody's", headerClient: ""}, "/a", 200},
		{"token: of the client", SendToken, "cl_1", mint{}, []string{"X-API-Key: " + key}, "/a",
			map[string]string{"X-Api-Key": "", "Authorization": "Bearer minted-for-cl_1", headerClient: "cl_1", headerScopes: "read:a"}, "/a", 200},
		{"token: where the apikey was an Authorization", SendToken, "cl_1", mint{}, []string{"Authorization: KEY " + key}, "/a", map[string]string{"Authorization": "Bearer minted-for-cl_1"}, "/a", 200},
		{"token: another credential stays", SendToken, "cl_1", mint{}, []string{"X-API-Key: " + key, "Authorization: Digest x"}, "/a", map[string]string{"Authorization": "Digest x", "X-Api-Key": ""}, "/a", 200},
		{"token: none for an apikey of nobody", SendToken, "", mint{}, []string{"X-API-Key: " + key}, "/a", map[string]string{"Authorization": "", "X-Api-Key": ""}, "/a", 200},
		{"token: none for a client that may have none", SendToken, "cl_1", mint{none: true}, []string{"X-API-Key: " + key}, "/a", map[string]string{"Authorization": "", "X-Api-Key": ""}, "/a", 200},
		{"token: none can be made now", SendToken, "cl_1", mint{err: errors.New("gone")}, []string{"X-API-Key: " + key}, "/a", nil, "", 503},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(w *world) {
				w.options.Minter = &tt.mint
				w.options.Upstreams[0].APIKeyCall = tt.call
			}).serve()
			w.know(key, apikey.Key{ID: "ak_1", ClientID: tt.client})
			var seen *http.Request
			w.handle(func(_ http.ResponseWriter, r *http.Request) { seen = r })
			got := w.get(tt.target, append(tt.lines, "X-Offkey-Client: admin")...)
			if got.StatusCode != tt.status {
				t.Fatalf("got %d %s", got.StatusCode, got.body)
			}
			if tt.status != 200 {
				if seen != nil || got.problem(t).Code != codeCredentialUnavailable {
					t.Errorf("the API was asked, or the problem is %s", got.body)
				}
				return
			}
			if seen.RequestURI != tt.path {
				t.Errorf("the API got %s", seen.RequestURI)
			}
			for name, want := range tt.want {
				if got := strings.Join(seen.Header[name], "|"); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if strings.Contains(w.log.String(), "minted-for") {
				t.Error("the log has the token")
			}
		})
	}
}

// TestAnAnswerSaysNothingOfAnAPIKeyThatTheAPIDidNotSee: it is neither suspended by
// a 401 nor vouched for by a 200.
func TestAnAnswerSaysNothingOfAnAPIKeyThatTheAPIDidNotSee(t *testing.T) {
	vouched := new(Vouched)
	w := newWorld(t, func(w *world) {
		w.options.Upstreams[0].APIKeyCall = SendNothing
		w.options.Learning = Learning{Learner: w.learnt, Vouched: vouched}
	}).serve()
	k := w.know("sk_live_000000000001", apikey.Key{ID: "ak_1", KnownBy: apikey.KnownByUpstream})
	for _, status := range []int{200, 401, 200} {
		w.handle(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status) })
		w.get("/v1/orders", "X-API-Key: sk_live_000000000001")
	}
	l := w.gateway.learner
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.places) != 0 || len(l.suspend) != 0 || !vouched.At(k.ID).IsZero() {
		t.Errorf("learnt %v, %v, %v", l.places, l.suspend, vouched.At(k.ID))
	}
}

// TestTheAPICanVerifyWhatItIsTold is G-12: signed for this API, method and target,
// by keys that are at the gateway, and that are not the authorization server's.
func TestTheAPICanVerifyWhatItIsTold(t *testing.T) {
	w := newWorld(t, func(w *world) {
		raw, _ := secret.GenerateMasterKey()
		master, err := secret.NewMasterKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		w.options.Assertions = keyring.NewDerived(master, "test", w.now)
		w.options.Minter = &mint{}
		w.options.Upstreams[0].TokenCall, w.options.Upstreams[0].APIKeyCall = SendJWT, SendToken
	}).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe}, "/a -> read:a")
	w.know("sk_live_000000000001", apikey.Key{ID: "ak_1", ClientID: "cl_2"})
	var seen *http.Request
	w.handle(func(_ http.ResponseWriter, r *http.Request) { seen = r })

	got := w.get(assertionKeysPath, "Host: inside:8484")
	keys, err := jose.ParseKeySet([]byte(got.body))
	if err != nil || got.StatusCode != 200 || len(keys.Keys) != 3 || got.Header.Get("Content-Type") != "application/jwk-set+json" {
		t.Fatalf("got %d %s", got.StatusCode, got.body)
	}
	if _, theirs := w.manager.Current().Find(keys.Keys[0].ID, w.now()); theirs {
		t.Error("a key of the authorization server signs what is said to an API")
	}
	check := func(method, target string) (token.Call, error) {
		return token.CheckCall(seen.Header.Get(headerAssertion), token.Call{
			Issuer: testResource + "/_offkey", Audience: w.upstream, Method: method, Target: target,
		}, func(kid string) []jose.PublicKey { return keys.Candidates(kid, jose.ES256) }, w.now())
	}
	for _, target := range []string{"/a", "/a?", "/a?x=%zz;y", "/a%20b"} {
		if got := w.get(target, "Authorization: Bearer "+w.issue(t, w.ours, "cl_1", time.Hour, "read:a"), "X-Offkey-Assertion: forged"); got.StatusCode != 200 {
			t.Fatalf("got %d %s", got.StatusCode, got.body)
		}
		said, err := check("GET", seen.RequestURI)
		if err != nil || said.ClientID != "cl_1" || said.Scope.String() != "read:a" || !strings.HasPrefix(said.Credential, "token:") || seen.Header.Get("Authorization") != "" {
			t.Errorf("%s: %+v, %v", target, said, err)
		}
		if _, err := check("GET", "/other"); err == nil {
			t.Error("it is good for another target")
		}
	}
	w.get("/a?api_key=sk_live_000000000001&x=1")
	said, err := check("GET", "/a?x=1")
	if err != nil || said.ClientID != "cl_2" || said.Credential != "apikey:ak_1" || said.Scope.String() != "read:a" {
		t.Errorf("for an apikey: %+v, %v", said, err)
	}
	w.get("/a")
	if said := seen.Header[headerAssertion]; said != nil {
		t.Errorf("a call without credential is said to be somebody's: %q", said)
	}
	var doc map[string]any
	if err := json.Unmarshal([]byte(got.body), &doc); err != nil || strings.Contains(got.body, `"d"`) {
		t.Errorf("the keys are private: %v", err)
	}
}

func TestNewKindsOfCallsNeedTheirMakers(t *testing.T) {
	for name, change := range map[string]func(*Upstream){
		"keys":   func(u *Upstream) { u.TokenCall = SendJWT },
		"tokens": func(u *Upstream) { u.APIKeyCall = SendToken },
	} {
		w := newWorld(t, func(w *world) { change(&w.options.Upstreams[0]) })
		w.serveAPI()
		w.options.Upstreams[0].URL = parsedURL(w.upstream)
		if _, err := New(w.options); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func parsedURL(raw string) *url.URL {
	u, _ := url.Parse(raw)
	return u
}
