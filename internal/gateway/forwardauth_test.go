package gateway

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// asked makes a gateway that proxies on this machine may ask.
func asked(t testing.TB, change func(*world)) *world {
	return newWorld(t, func(w *world) {
		w.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		if change != nil {
			change(w)
		}
	}).serve()
}

// inquire puts the question of a proxy about `METHOD target`.
func (w *world) inquire(dialect, call string, lines ...string) reply {
	w.Helper()
	method, target, _ := strings.Cut(call, " ")
	if dialect == "envoy" {
		return w.send(method, authPrefix+"envoy"+target, lines...)
	}
	d := dialects[dialect]
	return w.get(authPrefix+dialect, append(lines, d.method+": "+method, d.target+": "+target, d.host+": "+testHost)...)
}

func TestEachProxyAsksInItsOwnWay(t *testing.T) {
	w := asked(t, nil)
	w.setRules(policy.Ruleset{Stage: apikey.Warn, Since: w.now(), Enforce: policy.On}, "GET /v1/orders/{id} -> read:orders", "DELETE /v1/orders/{id} -> delete:orders")
	k := w.know("sk_live_000000000001", apikey.Key{ID: "ak_1"})
	bearer := "Authorization: Bearer " + w.issue(t, w.ours, "cl_1", time.Hour, "read:orders")
	for name := range dialects {
		t.Run(name, func(t *testing.T) {
			w.rows()
			got := w.inquire(name, "GET /v1/orders/7?x=1", bearer)
			if got.StatusCode != 200 || got.body != "" || got.Header.Get(headerClient) != "cl_1" || got.Header.Get(headerScopes) != "read:orders" ||
				!strings.HasPrefix(got.Header.Get(headerCredential), "token:") {
				t.Fatalf("got %d %v %s", got.StatusCode, got.Header, got.body)
			}
			rows := w.rows()
			if len(rows) != 1 || rows[0].Method != "GET" || rows[0].Template != "/v1/orders/{id}" || rows[0].Status != traffic.StatusUnknown ||
				rows[0].Credential != (traffic.Credential{Kind: traffic.KindClient, ID: "cl_1"}) || rows[0].Outcome != "" {
				t.Errorf("counted as %+v: the call, with a status that nobody knows", rows)
			}
			got = w.inquire(name, "DELETE /v1/orders/7", bearer)
			if got.StatusCode != 403 || got.problem(t).Code != policy.CodeInsufficientScope || got.problem(t).Scope != "delete:orders" ||
				!strings.Contains(got.Header.Get("Www-Authenticate"), `scope="delete:orders"`) || got.Header.Get(headerClient) != "" {
				t.Errorf("got %d %v %s", got.StatusCode, got.Header, got.body)
			}
			if rows = w.rows(); len(rows) != 1 || rows[0].Method != "DELETE" || rows[0].Status != 403 || rows[0].Outcome != "denied:insufficient_scope" {
				t.Errorf("counted as %+v", rows)
			}
			got = w.inquire(name, "GET /v1/orders/7", "X-API-Key: sk_live_000000000001")
			if got.StatusCode != 200 || got.Header.Get("Deprecation") == "" || got.Header.Get("Cache-Control") != "private" || got.Header.Get(headerClient) != "" {
				t.Errorf("a call in warn: got %d %v", got.StatusCode, got.Header)
			}
			if rows = w.rows(); len(rows) != 1 || rows[0].Credential.ID != k.ID || rows[0].Carrier != "header:X-API-Key" {
				t.Errorf("counted as %+v", rows)
			}
		})
	}
}

// TestObserveTellsAProxyNothing: in observe the answer has nothing to copy.
func TestObserveTellsAProxyNothing(t *testing.T) {
	w := asked(t, nil)
	w.know("sk_live_000000000001", apikey.Key{})
	for name := range dialects {
		got := w.inquire(name, "GET /v1/orders/7", "X-API-Key: sk_live_000000000001")
		for _, header := range []string{"Date", "Content-Length", "Connection", "X-Envoy-Auth-Headers-To-Remove"} {
			got.Header.Del(header)
		}
		if got.StatusCode != 200 || len(got.Header) != 0 {
			t.Errorf("%s: got %d %v", name, got.StatusCode, got.Header)
		}
	}
}

// TestOnlyTrustedProxiesSayWhatTheCallWas is G-08: the list is empty by default,
// and who is not on it learns nothing and counts nothing.
func TestOnlyTrustedProxiesSayWhatTheCallWas(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "GET /open -> open")
	for name := range dialects {
		for range 3 {
			got := w.inquire(name, "GET /open")
			if got.StatusCode != 403 || got.problem(t).Code != codeProxyUntrusted {
				t.Errorf("%s: got %d %s", name, got.StatusCode, got.body)
			}
		}
	}
	if rows := w.rows(); len(rows) != 0 {
		t.Errorf("counted %+v", rows)
	}
	if told := strings.Count(w.log.String(), "trusted_proxies"); told != 1 {
		t.Errorf("the operator was told %d times, want once a minute", told)
	}
	w.advance(time.Minute)
	w.inquire("nginx", "GET /open")
	if told := strings.Count(w.log.String(), "trusted_proxies"); told != 2 {
		t.Errorf("the operator was told %d times in the second minute", told)
	}
}

// TestAProxyThatDoesNotSayWhichCallIsRefused is the other half of G-08: nothing is
// guessed, and no header of another dialect stands in.
func TestAProxyThatDoesNotSayWhichCallIsRefused(t *testing.T) {
	w := asked(t, nil)
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "GET /open -> open")
	whole := func(name string) map[string]string {
		d := dialects[name]
		return map[string]string{d.method: "GET", d.target: "/open", d.host: testHost}
	}
	for _, name := range []string{"nginx", "traefik", "caddy"} {
		for left := range whole(name) {
			var missing, twice, empty []string
			for header, value := range whole(name) {
				line := header + ": " + value
				twice = append(twice, line)
				if header == left {
					twice, empty = append(twice, line), append(empty, header+":")
					continue
				}
				missing, empty = append(missing, line), append(empty, line)
			}
			// What the other dialect reads is there, as a caller could send it.
			other := []string{"X-Original-Url: https://api.example.com/open", "X-Envoy-Original-Path: /open", "X-Rewrite-Url: /open", "Forwarded: host=" + testHost}
			for how, lines := range map[string][]string{"missing": missing, "twice": twice, "empty": empty, "missing, others there": append(missing, other...)} {
				got := w.get(authPrefix+name, lines...)
				want := http.StatusBadRequest
				if name == "nginx" {
					want = http.StatusForbidden
				}
				if got.StatusCode != want || got.problem(t).Code != codeOriginalMissing {
					t.Errorf("%s, %s %s: got %d %s", name, left, how, got.StatusCode, got.body)
				}
			}
		}
	}
	if got := w.get(authPrefix + "envoy"); got.problem(t).Code != codeOriginalMissing {
		t.Errorf("envoy without a target: got %s", got.body)
	}
	for _, path := range []string{"haproxy", "", "nginx/", "nginx/v1", "Nginx", "envoyx/open"} {
		if got := w.get(authPrefix+path, "X-Original-Method: GET", "X-Original-URI: /open", "X-Forwarded-Host: "+testHost); got.StatusCode != 404 {
			t.Errorf("%q: got %d", path, got.StatusCode)
		}
	}
	// The header of one dialect says nothing to another.
	got := w.inquire("traefik", "GET /open", "X-Original-Method: DELETE", "X-Original-URI: /secret")
	if got.StatusCode != 200 {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
	got = w.inquire("envoy", "GET /secret", "X-Original-URI: /open", "X-Forwarded-Uri: /open", "X-Envoy-Original-Path: /open")
	if got.StatusCode != 401 {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
}

// TestPathTricksAreJudgedLikeTheCallsOfTheGateway is G-01 to G-07 through
// forward-auth: the verdict is that of the same target inline.
func TestPathTricksAreJudgedLikeTheCallsOfTheGateway(t *testing.T) {
	w := asked(t, nil)
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "GET /public/** -> open", "/admin/** -> admin:all", "GET /files/{name} -> read:files")
	bearer := "Authorization: Bearer " + w.issue(t, w.ours, "cl_1", time.Hour, "read:files")
	for _, target := range []string{
		"/public/a", "/public/../admin", "/public/%2e%2e/admin", "/public%2f..%2fadmin", "/public/..;/admin", "//admin", "/./admin", "/admin/.", "/admin%2F",
		"/admin;x=1", "/admin%00", "/public/a%5c..%5cadmin", "/public/%c0%af", "/ADMIN", "/Public/a", "/admin#/public/a", "/public/a#", "/public/a?x=#",
		"/public/%252e%252e/admin", "/files/a%2fb", "/files/a%3Fb", "/files/a", "/files/a/", "/admin\\x", "/public/a?../admin",
		"http://" + testHost + "/public/a", "http:http://internal/admin", "*", "http://other.example/public/a", "/_offkey/auth/nginx", "/_offkey/x",
	} {
		inline := w.get(target, bearer)
		for _, name := range []string{"nginx", "traefik", "caddy", "envoy"} {
			if name == "envoy" && target[0] != '/' {
				continue // it puts paths behind its prefix
			}
			got := w.inquire(name, "GET "+target, bearer)
			want := inline.StatusCode
			if name == "nginx" && want != 200 && want != 401 {
				want = 403
			}
			if strings.HasPrefix(target, "/_offkey/auth/") && name != "nginx" {
				want = 404
			}
			if got.StatusCode != want {
				t.Errorf("%s about %s: got %d, inline %d\n%s", name, target, got.StatusCode, inline.StatusCode, got.body)
				continue
			}
			if want != 200 && !strings.HasPrefix(target, "/_offkey/auth/") && inline.problem(t).Code != codeHostMismatch && got.problem(t).Code != inline.problem(t).Code {
				t.Errorf("%s about %s: refused as %s, inline as %s", name, target, got.problem(t).Code, inline.problem(t).Code)
			}
		}
	}
	for _, method := range []string{"TRACE", "CONNECT", "get", "GET /public/a", "", "G(T"} {
		if got := w.inquire("traefik", method+" /admin/x", bearer); got.StatusCode == 200 {
			t.Errorf("method %q passes", method)
		}
	}
	for _, host := range []string{"a b", "user@" + testHost, "a/b"} {
		got := w.get(authPrefix+"caddy", "X-Forwarded-Method: GET", "X-Forwarded-Uri: /public/a", "X-Forwarded-Host: "+host)
		if got.StatusCode != 400 {
			t.Errorf("host %q: got %d", host, got.StatusCode)
		}
	}
}

// TestNginxGetsTheTwoAnswersThatItUnderstands: everything that is neither 2xx, 401
// nor 403 would be a 500 to its caller. The document is in a header, for nginx
// keeps no body.
func TestNginxGetsTheTwoAnswersThatItUnderstands(t *testing.T) {
	w := asked(t, func(w *world) { w.options.Notice.Page = "https://example.com/umzug/schlüssel/𝕏" })
	w.setRules(policy.Ruleset{Stage: apikey.Retired, Enforce: policy.On}, "GET /open -> open")
	w.know("sk_live_000000000001", apikey.Key{ID: "ak_1"})
	for call, want := range map[string]struct {
		status int
		code   string
		line   string
	}{
		"GET /open/../x": {403, policy.CodeAmbiguousRequest, "X-A: b"},
		"TRACE /open":    {403, codeMethodRefused, "X-A: b"},
		"GET /open":      {401, policy.CodeAPIKeyRetired, "X-API-Key: sk_live_000000000001"},
		"GET /nothing":   {401, policy.CodeCredentialMissing, "X-A: b"},
	} {
		got := w.inquire("nginx", call, want.line)
		var p problem
		line := got.Header.Get(headerProblem)
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("%s: %v in %q", call, err, line)
		}
		if got.StatusCode != want.status || p.Status != want.status || p.Code != want.code || p.Page != w.options.Notice.Page || p != got.problem(t) && p.Since == nil {
			t.Errorf("%s: got %d, %s", call, got.StatusCode, line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r > '~' || r < ' ' }) {
			t.Errorf("%q is no header", line)
		}
	}
}

// TestEnvoyTakesAwayWhatTheCallerSentUnderOurNames is G-10 through forward-auth.
func TestEnvoyTakesAwayWhatTheCallerSentUnderOurNames(t *testing.T) {
	w := asked(t, nil)
	got := w.inquire("envoy", "GET /v1/orders", "X-Offkey-Client: admin", "X_Offkey_Subject: admin", "x-offkey.scopes: all", "X-Offkey-Role: admin", "Authorization: Bearer "+w.issue(t, w.ours, "cl_1", time.Hour))
	removed := strings.Split(got.Header.Get("X-Envoy-Auth-Headers-To-Remove"), ",")
	for _, name := range []string{"x_offkey_subject", "x-offkey.scopes", "x-offkey-role", "authorization", "dpop"} {
		if !strings.Contains(","+strings.Join(removed, ",")+",", ","+name+",") {
			t.Errorf("%s stays: %v", name, removed)
		}
	}
	if got.Header.Get(headerClient) != "cl_1" {
		t.Errorf("got %v", got.Header)
	}
	for _, name := range removed {
		if strings.EqualFold(name, headerClient) {
			t.Errorf("what we said is removed: %v", removed)
		}
	}
	none := w.inquire("envoy", "GET /v1/orders", "X-Offkey-Client: admin")
	if removed := none.Header.Get("X-Envoy-Auth-Headers-To-Remove"); !strings.Contains(removed, "x-offkey-client") || strings.Contains(removed, "authorization") {
		t.Errorf("without a credential %q is removed", removed)
	}
}

// TestTheCallerIsBehindTheProxy: the network that is recorded is the caller's, and
// a DPoP proof is for the URL that the caller saw.
func TestTheCallerIsBehindTheProxy(t *testing.T) {
	w := asked(t, nil)
	w.know("sk_live_000000000001", apikey.Key{ID: "ak_1"})
	w.inquire("nginx", "GET /v1/orders", "X-API-Key: sk_live_000000000001", "X-Forwarded-For: 198.51.100.7, 203.0.113.9")
	if rows := w.rows(); len(rows) != 1 || rows[0].Source.String() != "203.0.113.0/24" {
		t.Errorf("counted as %+v", rows)
	}
}

// TestNoSecretIsGivenToAProxy: what token_call puts back for an API is sent by the
// gateway itself or not at all.
func TestNoSecretIsGivenToAProxy(t *testing.T) {
	vault := &sealed{keys: map[string]string{"cl_1 api": "sk_live_sealed"}}
	w := asked(t, func(w *world) {
		w.options.Unsealer = vault
		u := &w.options.Upstreams[0]
		u.TokenCall, u.In = SendAPIKey, carrierOf(t, "header:X-API-Key")
	})
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "/a -> read:a")
	for name := range dialects {
		got := w.inquire(name, "GET /a", "Authorization: Bearer "+w.issue(t, w.ours, "cl_1", time.Hour, "read:a"))
		if got.StatusCode != 200 || got.Header.Get("X-Api-Key") != "" || got.Header.Get(headerClient) != "cl_1" || vault.asked != 0 {
			t.Errorf("%s: got %d %v, asked %d times", name, got.StatusCode, got.Header, vault.asked)
		}
	}
}

// FuzzForwardAuth holds that whatever a proxy repeats of a caller is answered, and
// that what passes would pass inline.
func FuzzForwardAuth(f *testing.F) {
	w := newWorld(f, func(w *world) { w.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")} }).build()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "GET /public/** -> open")
	f.Add("nginx", "GET", "/public/a", testHost)
	f.Add("traefik", "TRACE", "/public/../admin", "a b")
	f.Add("caddy", "get", "http:http://x/admin", "")
	f.Fuzz(func(t *testing.T, name, method, target, host string) {
		d := dialects[name]
		if d == nil || d.target == "" {
			return
		}
		r := benchRequest("Accept", "*/*")
		r.Method, r.RequestURI = "GET", authPrefix+name
		r.Header[d.method], r.Header[d.target], r.Header[d.host] = []string{method}, []string{target}, []string{host}
		got := &caught{header: http.Header{}}
		w.gateway.ServeHTTP(got, r)
		passes := method == "GET" && strings.HasPrefix(policy.ParseTarget(target).Path, "/public") && policy.ParseTarget(target).Problem == ""
		if got.status == 200 && !passes {
			t.Fatalf("%s %q passes", method, target)
		}
		if got.status != 200 && got.status != 400 && got.status != 401 && got.status != 403 && got.status != 404 && got.status != 405 && got.status != 421 {
			t.Fatalf("answered %d", got.status)
		}
	})
}

// TestAProofIsForTheCallThatIsAskedAbout: not for the question, and good once.
func TestAProofIsForTheCallThatIsAskedAbout(t *testing.T) { // RFC 9449 §7.1
	w := asked(t, nil)
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "GET /v1/orders/** -> read:orders")
	h := w.holder(t)
	const path = "/v1/orders/7"
	for _, name := range []string{"nginx", "traefik", "caddy", "envoy"} {
		proof := h.proof(t, path)
		with := func(proof string) []string { return []string{"Authorization: DPoP " + h.token, "DPoP: " + proof} }
		if got := w.inquire(name, "GET "+path, with(proof)...); got.StatusCode != 200 || got.Header.Get(headerClient) != "cl_1" {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
		for what, other := range map[string]string{
			"used before": proof, "for the question": h.proof(t, authPrefix+name), "for another call": h.proof(t, "/v1/orders/8"), "for another method": h.proof(t, path, "htm", "POST"),
		} {
			if got := w.inquire(name, "GET "+path, with(other)...); got.StatusCode != 401 || got.problem(t).Code != policy.CodeInvalidProof {
				t.Errorf("%s, %s: %d %s", name, what, got.StatusCode, got.body)
			}
		}
	}
}
