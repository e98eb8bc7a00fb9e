package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
)

// sealed hands out apikeys as an opened seal would.
type sealed struct {
	keys  map[string]string // by client and upstream
	err   error
	asked int
}

func (s *sealed) APIKeyFor(_ context.Context, clientID, upstream string) (secret.Text, bool, error) {
	s.asked++
	value, ok := s.keys[clientID+" "+upstream]
	return secret.NewText(value), ok, s.err
}

func carrierOf(t *testing.T, s string) apikey.Carrier {
	t.Helper()
	c, err := apikey.ParseCarrier(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatTheAPIReceivesForATokenCall(t *testing.T) {
	everywhere := policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}
	tests := []struct {
		name     string
		call     TokenCall
		in       string
		rules    policy.Ruleset
		target   string
		want     map[string]string // headers at the API; "" is none
		wantPath string
	}{
		{"checklist_173 headers: the token stays here", SendHeaders, "", everywhere, "/a",
			map[string]string{"Authorization": "", "X-Api-Key": "", "X-Offkey-Client": "cl_1"}, "/a"},
		{"bearer: the token passes", SendBearer, "", everywhere, "/a",
			map[string]string{"Authorization": "Bearer TOKEN", "X-Offkey-Client": "cl_1"}, "/a"},
		{"one secret in a header", SendSecret, "header:X-API-Key", everywhere, "/a",
			map[string]string{"Authorization": "", "X-Api-Key": "shared", "X-Offkey-Client": "cl_1"}, "/a"},
		{"one secret under a scheme", SendSecret, "authorization:KEY", everywhere, "/a", map[string]string{"Authorization": "KEY shared"}, "/a"},
		{"one secret as Basic user", SendSecret, "basic", everywhere, "/a", map[string]string{"Authorization": "Basic c2hhcmVkOg=="}, "/a"},
		{"one secret in the query", SendSecret, "query:api_key", everywhere, "/a?x=%zz;y", map[string]string{"Authorization": ""}, "/a?x=%zz;y&api_key=shared"},
		{"one secret in an empty query", SendSecret, "query:api_key", everywhere, "/a", nil, "/a?api_key=shared"},
		{"one secret in a cookie", SendSecret, "cookie:apikey", everywhere, "/a", map[string]string{"Cookie": "theme=dark; apikey=shared"}, "/a"},
		{"the caller's own apikey", SendAPIKey, "header:X-API-Key", everywhere, "/a",
			map[string]string{"Authorization": "", "X-Api-Key": "sk_live_sealed", "X-Offkey-Client": "cl_1"}, "/a"},
		{"not where something passes unchecked", SendAPIKey, "header:X-API-Key", policy.Ruleset{Stage: apikey.Observe, Enforce: policy.Shadow}, "/a",
			map[string]string{"Authorization": "", "X-Api-Key": ""}, "/a"},
		{"not on an open route, whose scopes nobody checked", SendAPIKey, "header:X-API-Key", everywhere, "/open", map[string]string{"X-Api-Key": ""}, "/open"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vault := &sealed{keys: map[string]string{"cl_1 api": "sk_live_sealed", "cl_2 api": "another's"}}
			w := newWorld(t, func(w *world) {
				w.options.Unsealer = vault
				u := &w.options.Upstreams[0]
				u.TokenCall, u.Secret = tt.call, secret.NewText("shared")
				if tt.in != "" {
					u.In = carrierOf(t, tt.in)
				}
			}).serve()
			w.setRules(tt.rules, "/a -> read:a", "/open -> open")
			seen, path := http.Header{}, ""
			w.handle(func(_ http.ResponseWriter, r *http.Request) { seen, path = r.Header.Clone(), r.RequestURI })
			token := w.issue(t, w.ours, "cl_1", time.Hour, "read:a")
			lines := []string{"Authorization: Bearer " + token}
			if strings.HasPrefix(tt.in, "cookie") {
				lines = append(lines, "Cookie: theme=dark")
			}
			for range 3 {
				if got := w.get(tt.target, lines...); got.StatusCode != http.StatusOK {
					t.Fatalf("status %d %s", got.StatusCode, got.body)
				}
			}
			for name, want := range tt.want {
				if got := strings.Replace(seen.Get(name), token, "TOKEN", 1); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if path != tt.wantPath {
				t.Errorf("target %q, want %q", path, tt.wantPath)
			}
			if vault.asked > 1 {
				t.Errorf("unsealed %d times for three calls", vault.asked)
			}
		})
	}
}

func TestTheSecretTakesThePlaceOfWhatTheCallerSent(t *testing.T) {
	w := newWorld(t, func(w *world) {
		u := &w.options.Upstreams[0]
		u.TokenCall, u.Secret, u.In = SendSecret, secret.NewText("shared"), carrierOf(t, "header:X-API-Key")
	}).serve()
	w.know("sk_live_abcdefgh1234", apikey.Key{ClientID: "cl_1"})
	seen, query := http.Header{}, ""
	w.handle(func(_ http.ResponseWriter, r *http.Request) { seen, query = r.Header.Clone(), r.URL.RawQuery })
	w.get("/?a=1&api_key=sk_live_abcdefgh1234", "Authorization: Bearer "+w.issue(t, w.ours, "cl_1", time.Hour))
	if query != "a=1" || fmt.Sprint(seen["X-Api-Key"]) != "[shared]" {
		t.Errorf("query %q, X-API-Key %q", query, seen["X-Api-Key"])
	}
}

func TestASealThatCannotBeOpened(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.options.Unsealer = &sealed{err: errors.New("wrong master key")}
		u := &w.options.Upstreams[0]
		u.TokenCall, u.In = SendAPIKey, carrierOf(t, "header:X-API-Key")
	}).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "/** -> read:a")
	reached := false
	w.handle(func(http.ResponseWriter, *http.Request) { reached = true })
	got := w.get("/a", "Authorization: Bearer "+w.issue(t, w.ours, "cl_1", time.Hour, "read:a"))
	if p := got.problem(t); p.Code != codeCredentialUnavailable || got.StatusCode != http.StatusServiceUnavailable || reached {
		t.Errorf("%d %+v, the API was reached: %v", got.StatusCode, p, reached)
	}
	if strings.Contains(got.body, "master key") {
		t.Error("the caller reads our reasons")
	}
}

func TestUnsealedCacheIsBoundedAndForgets(t *testing.T) {
	var cache unsealedCache
	vault := &sealed{keys: map[string]string{"cl_1 api": "a"}}
	now := time.Unix(1_800_000_000, 0)
	find := func(id string, at time.Time) string {
		v, err := cache.find(t.Context(), vault, id, "api", at)
		if err != nil {
			t.Fatal(err)
		}
		return v.Reveal()
	}
	if find("cl_1", now) != "a" || find("cl_1", now.Add(59*time.Second)) != "a" || vault.asked != 1 {
		t.Errorf("asked %d times within a minute", vault.asked)
	}
	vault.keys["cl_1 api"] = "b"
	if find("cl_1", now.Add(61*time.Second)) != "b" {
		t.Error("an old apikey after more than a minute")
	}
	for i := range 3 * maxUnsealed {
		find(fmt.Sprint("cl_", i), now)
	}
	if len(cache.byOwner) > maxUnsealed {
		t.Errorf("%d entries", len(cache.byOwner))
	}
}

func TestUpstreamsThatCannotBe(t *testing.T) {
	plain, _ := url.Parse("http://10.0.3.7:8080")
	local, _ := url.Parse("http://127.0.0.1:8080")
	in := carrierOf(t, "header:X-API-Key")
	tests := []struct {
		name string
		list []Upstream
		want string
	}{
		{"none", nil, "no upstream"},
		{"two for every host", []Upstream{{Name: "a", URL: local}, {Name: "b", URL: local}}, "both take every host"},
		{"two for one host", []Upstream{{Name: "a", URL: local, Hosts: []string{"X.example"}}, {Name: "b", URL: local, Hosts: []string{"x.example"}}}, "both have the host x.example"},
		{"secret without one", []Upstream{{Name: "a", URL: local, TokenCall: SendSecret, In: in}}, "needs the secret"},
		{"secret without a place", []Upstream{{Name: "a", URL: local, TokenCall: SendSecret, Secret: secret.NewText("s")}}, "needs the place"},
		{"apikeys in the clear", []Upstream{{Name: "a", URL: plain, TokenCall: SendAPIKey, In: in}}, "not sent in the clear"},
		{"apikeys to loopback", []Upstream{{Name: "a", URL: local, TokenCall: SendAPIKey, In: in}}, ""},
		{"a path", []Upstream{{Name: "a", URL: local.JoinPath("v1")}}, "write http://127.0.0.1:8080"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newUpstreams(Options{Upstreams: tt.list, Unsealer: &sealed{}})
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	if _, err := newUpstreams(Options{Upstreams: []Upstream{{Name: "a", URL: local, TokenCall: SendAPIKey, In: in}}}); err == nil {
		t.Error("token_call: apikey without a store of them was accepted")
	}
}

// TestG17TheQueryCredentialIsRemoved is about what the API and the log see; the
// spellings are package apikey's tests.
func TestG17TheQueryCredentialIsRemoved(t *testing.T) {
	const value = "sk_live_abcdefgh1234"
	tests := []struct {
		name     string
		mapped   bool
		strip    bool
		target   string
		arrives  string
		identity string
	}{
		{"not before it is mapped", false, true, "/a?api_key=" + value, "/a?api_key=" + value, ""},
		{"not unless asked for", true, false, "/a?api_key=" + value, "/a?api_key=" + value, ""},
		{"mapped and asked for", true, true, "/a?api_key=" + value, "/a", "cl_1"},
		{"byte for byte what is left", true, true, "/a?x=%zz&api_key=" + value + "&y=1;z&&q=%2f", "/a?x=%zz&y=1;z&&q=%2f", "cl_1"},
		{"escaped name", true, true, "/a?b=1&%61pi%5fkey=" + value, "/a?b=1", "cl_1"},
		{"behind a semicolon", true, true, "/a?b=1;api_key=" + value + ";c=2", "/a?b=1;c=2", "cl_1"},
		{"behind many parameters", true, true, "/a?" + strings.Repeat("p=1&", 1500) + "api_key=" + value, "/a?" + strings.TrimSuffix(strings.Repeat("p=1&", 1500), "&"), "cl_1"},
		{"an empty query stays one", true, true, "/a?", "/a?", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(w *world) { w.options.Upstreams[0].StripQuery = tt.strip }).serve()
			k := apikey.Key{ID: "ak_1"}
			if tt.mapped {
				k.ClientID = "cl_1"
			}
			w.know(value, k)
			seen, arrived := http.Header{}, ""
			w.handle(func(_ http.ResponseWriter, r *http.Request) { seen, arrived = r.Header.Clone(), r.RequestURI })
			w.get(tt.target, "Referer: https://app.example.com/page?api_key="+value+"&x=1")
			if arrived != tt.arrives {
				t.Errorf("the API got %q, want %q", arrived, tt.arrives)
			}
			if got := seen.Get("X-Offkey-Client"); got != tt.identity {
				t.Errorf("X-Offkey-Client %q, want %q", got, tt.identity)
			}
			if tt.identity != "" && strings.Contains(seen.Get("Referer"), value) {
				t.Errorf("Referer %q", seen.Get("Referer"))
			}
			if strings.Contains(w.log.String(), value) {
				t.Error("the log holds the apikey")
			}
		})
	}
}

// TestG12TheAPICanVerifyWhoCalls: with token_call: bearer the API gets the token
// itself, signed, for its own audience, and short-lived.
func TestG12TheAPICanVerifyWhoCalls(t *testing.T) {
	w := newWorld(t, func(w *world) { w.options.Upstreams[0].TokenCall = SendBearer }).serve()
	verified := ""
	w.handle(func(_ http.ResponseWriter, r *http.Request) {
		raw := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		v, err := w.options.Verifier.Verify(raw) // as sdk/go/resourceserver does
		if err != nil {
			t.Error(err)
			return
		}
		verified = v.ClientID()
	})
	w.get("/", "Authorization: Bearer "+w.issue(t, w.ours, "cl_1", time.Minute))
	if verified != "cl_1" {
		t.Errorf("the API verified %q", verified)
	}
}
