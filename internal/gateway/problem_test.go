package gateway

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client/snippet"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/policy"
)

const bareChallenge = `Bearer resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`

func TestRefusalsOfTheRoad(t *testing.T) {
	since := time.Date(2027, 1, 10, 8, 0, 0, 0, time.UTC)
	until := time.Date(2027, 9, 30, 0, 0, 0, 0, time.UTC)
	const value = "sk_live_abcdefgh1234"
	upgrade := "offkey upgrade --api https://api.example.com"
	tests := []struct {
		name    string
		stage   apikey.Stage // of the apikey
		all     apikey.Stage
		code    string
		command string
	}{
		{"upgrade_only", apikey.UpgradeOnly, apikey.Observe, policy.CodeAPIKeyUpgradeOnly, upgrade},
		{"retired", apikey.Retired, apikey.Observe, policy.CodeAPIKeyRetired, ""},
		{"blocked", apikey.Blocked, apikey.Observe, policy.CodeAPIKeyBlocked, ""},
		{"all retired", apikey.Inherit, apikey.Retired, policy.CodeAPIKeyRetired, ""},
		{"brownout", apikey.Brownout, apikey.Observe, policy.CodeAPIKeyBrownout, upgrade},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(w *world) { w.options.Notice = Notice{Sunset: until, Page: "https://docs.example.com/move"} }).serve()
			reached := false
			w.handle(func(http.ResponseWriter, *http.Request) { reached = true })
			window := policy.Window{From: w.now().Add(-time.Minute), To: w.now().Add(time.Minute)}
			w.setRules(policy.Ruleset{Stage: tt.all, Since: since, Campaign: policy.Campaign{Windows: []policy.Window{window}}})
			w.know(value, apikey.Key{Stage: tt.stage, StageSince: since})
			got := w.get("/v1/orders?api_key="+value, "Accept: */*")
			p := got.problem(t)
			wantSince, wantUntil := since, until
			if tt.stage == apikey.Brownout {
				wantSince, wantUntil = window.From, window.To
			}
			switch {
			case reached:
				t.Error("the API saw the call")
			case got.StatusCode != http.StatusUnauthorized || p.Status != http.StatusUnauthorized:
				t.Errorf("status %d, in the body %d, want 401", got.StatusCode, p.Status)
			case p.Code != tt.code || p.Type != defaultDocsURL+tt.code+".md":
				t.Errorf("code %s, type %s", p.Code, p.Type)
			case p.Last4 != "1234":
				t.Errorf("last4 %q", p.Last4)
			case p.Since == nil || !p.Since.Equal(wantSince) || p.Until == nil || !p.Until.Equal(wantUntil):
				t.Errorf("since %v until %v, want %v and %v", p.Since, p.Until, wantSince, wantUntil)
			case p.Command != tt.command || p.Page != "https://docs.example.com/move":
				t.Errorf("command %q, page %q", p.Command, p.Page)
			case got.Header.Get("Cache-Control") != "no-store":
				t.Errorf("G-22: Cache-Control %q", got.Header.Get("Cache-Control"))
			case got.Header.Get("WWW-Authenticate") != bareChallenge:
				t.Errorf("checklist_165: WWW-Authenticate %q", got.Header.Get("WWW-Authenticate"))
			}
			head := w.send("HEAD", "/v1/orders", "X-API-Key: "+value)
			if head.body != "" || head.StatusCode != http.StatusUnauthorized || head.Header.Get("WWW-Authenticate") != bareChallenge {
				t.Errorf("HEAD: %d %v %q", head.StatusCode, head.Header, head.body)
			}
		})
	}
}

func TestRefusalsOfTheRules(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On},
		"GET /v1/orders/** -> read:orders read:lines", "GET /v1/health -> open")
	scoped := func(scope ...string) string {
		return "Authorization: Bearer " + w.issue(t, w.ours, "cl_1", time.Hour, scope...)
	}
	tests := []struct {
		name, target, line string
		status             int
		code, challenge    string
	}{
		{"checklist_170 checklist_220 no credential: a challenge without error, with the scopes", "/v1/orders/7", "Accept: */*", 401, policy.CodeCredentialMissing,
			`Bearer scope="read:orders read:lines", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`},
		{"no credential and no route", "/v1/other", "Accept: */*", 401, policy.CodeCredentialMissing, bareChallenge},
		{"open route", "/v1/health", "Accept: */*", 200, "", ""},
		{"all scopes", "/v1/orders/7", scoped("read:lines", "read:orders"), 200, "", ""},
		{"checklist_171 403 names all scopes needed", "/v1/orders/7", scoped("read:orders"), 403, policy.CodeInsufficientScope,
			`Bearer error="insufficient_scope", scope="read:orders read:lines", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`},
		{"no scope at all", "/v1/orders/7", scoped(), 403, policy.CodeInsufficientScope, ""},
		{"no route", "/v1/other", scoped("read:orders"), 403, policy.CodeUnknownRoute, ""},
		{"checklist_171 invalid_token is 401", "/v1/orders/7", "Authorization: Bearer " + flipLast(w.issue(t, w.ours, "cl_1", time.Hour)), 401, policy.CodeInvalidToken,
			`Bearer error="invalid_token", error_description="the access token is malformed or its signature is wrong", scope="read:orders read:lines", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"`},
		{"unknown apikey", "/v1/orders/7", "X-API-Key: sk_live_abcdefgh1234", 401, policy.CodeAPIKeyUnknown, bareChallenge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := w.get(tt.target, tt.line)
			if got.StatusCode != tt.status {
				t.Fatalf("status %d, want %d: %s", got.StatusCode, tt.status, got.body)
			}
			if tt.code == "" {
				return
			}
			if p := got.problem(t); p.Code != tt.code {
				t.Errorf("code %s, want %s", p.Code, tt.code)
			}
			challenges := got.Header.Values("WWW-Authenticate")
			if tt.challenge != "" && (len(challenges) != 1 || challenges[0] != tt.challenge) {
				t.Errorf("checklist_172: WWW-Authenticate\n%q, want\n%q", challenges, tt.challenge)
			}
		})
	}
	if p := w.get("/v1/orders/7", scoped("read:orders")).problem(t); p.Command != "offkey token --scope 'read:orders read:lines'" {
		t.Errorf("command %q", p.Command)
	}
}

func flipLast(s string) string {
	i := strings.LastIndexByte(s, '.')
	return s[:i+1] + flip(s[i+1:])
}

// TestG25RefusalsHoldNoSecret sends secrets in every place and looks for them in
// the answers and in the log.
func TestG25RefusalsHoldNoSecret(t *testing.T) {
	const value = "sk_live_topsecretvalue99"
	w := newWorld(t, nil).serve()
	w.know(value, apikey.Key{Stage: apikey.Retired})
	expired := w.issue(t, w.ours, "cl_1", time.Second)
	w.advance(time.Minute)
	for name, got := range map[string]reply{
		"header":        w.get("/", "X-API-Key: "+value),
		"query":         w.get("/?api_key="+value, "Accept: */*"),
		"scheme":        w.get("/", "Authorization: KEY "+value),
		"cookie":        w.get("/", "Cookie: apikey="+value),
		"expired token": w.get("/", "Authorization: Bearer "+expired),
		"path":          w.get("/_offkey/"+value, "Accept: */*"),
		"target":        w.get("http:http://x/?api_key="+value, "Accept: */*"),
	} {
		all := got.body
		for _, lines := range got.Header {
			all += strings.Join(lines, "\n")
		}
		if got.StatusCode < 400 {
			t.Errorf("%s: status %d, want a refusal", name, got.StatusCode)
		}
		for _, secret := range []string{value, "topsecret", expired} {
			if strings.Contains(all, secret) || strings.Contains(w.log.String(), secret) {
				t.Errorf("%s: a secret shows in the answer or the log", name)
			}
		}
	}
}

func TestUpstreamDown(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.upstream = "http://127.0.0.1:1" // nobody listens
		w.options.Learning = Learning{Learner: w.learnt, Probe: true}
	}).serve()
	got := w.get("/v1/orders", "X-API-Key: sk_live_abcdefgh1234")
	if p := got.problem(t); got.StatusCode != http.StatusBadGateway || p.Code != codeUpstreamUnavailable {
		t.Errorf("status %d, %+v", got.StatusCode, p)
	}
	if got.Header.Get("WWW-Authenticate") != "" {
		t.Error("a 502 has a challenge: callers would throw their credential away")
	}
	rows := w.rows()
	if len(rows) != 1 || rows[0].Status != 502 || rows[0].Outcome != "failed:"+codeUpstreamUnavailable {
		t.Errorf("rows %+v", rows)
	}
	w.gateway.learner.mu.Lock()
	defer w.gateway.learner.mu.Unlock()
	if len(w.gateway.learner.places)+len(w.gateway.learner.waiting) != 0 || w.index.Len() != 0 {
		t.Error("something was learnt from an API that is down")
	}
	w.get("/v1/orders&api_key=sk_live_abcdefgh1234", "Accept: */*") // `&` in place of `?`
	if log := w.log.String(); !strings.Contains(log, "the API did not answer") || strings.Contains(log, "abcdefgh") {
		t.Errorf("the log does not say so, or more: %s", log)
	}
}

func TestUpstreamThatTakesTooLong(t *testing.T) {
	release := make(chan struct{})
	w := newWorld(t, func(w *world) { w.options.Upstreams[0].AnswerTimeout = 30 * time.Millisecond }).serve()
	w.handle(func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	got := w.get("/")
	if p := got.problem(t); got.StatusCode != http.StatusGatewayTimeout || p.Code != codeUpstreamTimeout {
		t.Errorf("status %d, %+v", got.StatusCode, p)
	}
}

// TestG27LimitsFollowTheClient uses one bucket with an apikey and with a token.
func TestG27LimitsFollowTheClient(t *testing.T) {
	w := newWorld(t, func(w *world) { w.options.PerClient = limit.New(0.001, 3, 1000) }).serve()
	w.know("sk_live_abcdefgh1234", apikey.Key{ID: "ak_1", ClientID: "cl_1"})
	w.know("sk_live_otherkey5678", apikey.Key{ID: "ak_2"})
	withKey, withToken := "X-API-Key: sk_live_abcdefgh1234", "Authorization: Bearer "+w.issue(t, w.ours, "cl_1", time.Hour)
	for i, line := range []string{withKey, withToken, withKey} {
		if got := w.get("/", line); got.StatusCode != http.StatusOK {
			t.Fatalf("call %d: %d", i, got.StatusCode)
		}
	}
	for _, line := range []string{withKey, withToken} {
		got := w.get("/", line)
		if p := got.problem(t); got.StatusCode != http.StatusTooManyRequests || p.Code != codeRateLimited || got.Header.Get("Retry-After") == "" {
			t.Errorf("status %d code %s Retry-After %q", got.StatusCode, p.Code, got.Header.Get("Retry-After"))
		}
	}
	for _, line := range []string{"X-API-Key: sk_live_otherkey5678", "Accept: */*", "X-API-Key: sk_live_nobodyknows00"} {
		if got := w.get("/", line); got.StatusCode != http.StatusOK {
			t.Errorf("%s: another's bucket was asked: %d", line, got.StatusCode)
		}
	}
}

func TestEveryCodeHasAPage(t *testing.T) {
	codes := append(slices.Collect(maps.Keys(refusals)), codeAmbiguousFraming, codeHostMismatch)
	for _, code := range codes {
		page, err := os.ReadFile(filepath.Join("../../docs/errors", code+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, part := range []string{"# " + code + "\n", "\n## Cause\n", "\n## Fix\n"} {
			if !strings.Contains(string(page), part) {
				t.Errorf("docs/errors/%s.md lacks %q", code, part)
			}
		}
		if r, ok := refusals[code]; ok && r.title == "" {
			t.Errorf("%s has no title", code)
		}
	}
	pages, err := filepath.Glob("../../docs/errors/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if code := strings.TrimSuffix(filepath.Base(page), ".md"); code != "README" && !slices.Contains(codes, code) {
			t.Errorf("%s is about a code that nothing answers with", page)
		}
	}
}

// TestEveryDecisionCanBeAnswered goes through the codes of package policy that
// refuse.
func TestEveryDecisionCanBeAnswered(t *testing.T) {
	for code, o := range outcomes {
		refusing := o.index >= outcomes[policy.CodeAPIKeyBrownout].index
		if _, ok := refusals[code]; ok != refusing {
			t.Errorf("%s: refusal text %v, want %v", code, ok, refusing)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"https://api.example.com": "https://api.example.com",
		"read:orders":             "read:orders",
		"read:a write:b":          "'read:a write:b'",
		"a'b`$(c)":                `'a'\''b` + "`$(c)'",
		"":                        "''",
	} {
		if got := snippet.ShellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}
