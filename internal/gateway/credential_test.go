package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
)

// TestG13TheFixedTable goes through every combination of apikeys and tokens, and
// says who is counted, what passes while nothing is enforced, and what once it
// is. It is checklist_174 and checklist_169.
func TestG13TheFixedTable(t *testing.T) {
	const (
		keyA, keyB    = "sk_live_aaaaaaaa1111", "sk_live_bbbbbbbb2222"
		unknown       = "sk_live_cccccccc3333"
		ours, another = "cl_ours", "cl_another"

		conflict  = policy.CodeCredentialConflict
		duplicate = policy.CodeCredentialDuplicate
		invalid   = policy.CodeInvalidToken
	)
	tests := []struct {
		apikey, client, token string
		counted               string // credential kind
		observe, enforced     string // code of the refusal, or ""
	}{
		{"no", "", "none", "none", "", policy.CodeCredentialMissing},
		{"no", "", "good", "client", "", ""},
		{"no", "", "expired", "none", invalid, invalid},
		{"no", "", "foreign", "none", "", policy.CodeForeignToken},
		{"no", "", "two", "client", "", duplicate},

		{"good", "same", "none", "apikey", "", ""},
		{"good", "same", "good", "client", "", ""},
		{"good", "same", "expired", "none", invalid, invalid},
		{"good", "same", "foreign", "apikey", "", ""},
		{"good", "same", "two", "client", "", duplicate},

		{"good", "other", "none", "apikey", "", ""},
		{"good", "other", "good", "client", conflict, conflict},
		{"good", "other", "expired", "none", invalid, invalid},
		{"good", "other", "foreign", "apikey", "", ""},
		{"good", "other", "two", "client", conflict, conflict},

		{"good", "none", "none", "apikey", "", ""},
		{"good", "none", "good", "client", conflict, conflict},
		{"good", "none", "expired", "none", invalid, invalid},
		{"good", "none", "foreign", "apikey", "", ""},
		{"good", "none", "two", "client", conflict, conflict},

		{"unknown", "", "none", "unknown", "", ""},
		{"unknown", "", "good", "client", conflict, conflict},
		{"unknown", "", "expired", "none", invalid, invalid},
		{"unknown", "", "foreign", "unknown", "", ""},
		{"unknown", "", "two", "client", conflict, conflict},

		{"two", "same", "none", "apikey", "", duplicate},
		{"two", "same", "good", "client", "", duplicate},
		{"two", "same", "expired", "none", invalid, invalid},
		{"two", "same", "foreign", "apikey", "", duplicate},
		{"two", "same", "two", "client", "", duplicate},

		{"two", "other", "none", "apikey", "", duplicate},
		{"two", "other", "good", "client", conflict, conflict},
		{"two", "other", "expired", "none", invalid, invalid},
		{"two", "other", "foreign", "apikey", "", duplicate},
		{"two", "other", "two", "client", conflict, conflict},
	}
	for _, enforced := range []bool{false, true} {
		w := newWorld(t, nil).serve()
		rules := policy.Ruleset{Stage: apikey.Observe, UpstreamVouches: true}
		if enforced {
			rules.Enforce = policy.On
		}
		w.setRules(rules, "GET /v1/orders -> read:orders")
		for _, tt := range tests {
			name := fmt.Sprintf("%s apikey of the %s client beside %s token, enforced %v", tt.apikey, tt.client, tt.token, enforced)
			t.Run(name, func(t *testing.T) {
				owner := map[string]string{"same": ours, "other": another}[tt.client]
				w.know(keyA, apikey.Key{ID: "ak_a", ClientID: ours})
				w.know(keyB, apikey.Key{ID: "ak_b", ClientID: owner})
				target, lines := "/v1/orders", []string(nil)
				switch tt.apikey {
				case "good":
					lines = append(lines, "X-API-Key: "+keyB)
				case "unknown":
					lines = append(lines, "X-API-Key: "+unknown)
				case "two":
					lines = append(lines, "X-API-Key: "+keyA)
					target += "?api_key=" + keyB
				}
				good := "Authorization: Bearer " + w.issue(t, w.ours, ours, time.Hour, "read:orders")
				switch tt.token {
				case "good":
					lines = append(lines, good)
				case "two":
					lines = append(lines, good, good)
				case "expired":
					old := w.issue(t, w.ours, ours, time.Second, "read:orders")
					w.advance(2 * time.Second)
					lines = append(lines, "Authorization: Bearer "+old)
				case "foreign":
					lines = append(lines, "Authorization: Bearer "+w.issue(t, w.foreign, ours, time.Hour, "read:orders"))
				}
				w.rows()
				got := w.get(target, lines...)
				want := tt.observe
				if enforced {
					want = tt.enforced
				}
				if want == "" {
					if got.StatusCode != http.StatusOK {
						t.Errorf("status %d, want it to pass: %s", got.StatusCode, got.body)
					}
				} else if p := got.problem(t); p.Code != want {
					t.Errorf("code %s, want %s", p.Code, want)
				}
				rows := w.rows()
				if len(rows) != 1 || rows[0].Credential.Kind != tt.counted {
					t.Errorf("counted as %+v, want kind %s", rows, tt.counted)
				}
			})
		}
	}
}

func TestG13TheWorstOfSeveralAPIKeysDecides(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.know("sk_live_good00000001", apikey.Key{ID: "ak_good"})
	w.know("sk_live_leaked000002", apikey.Key{ID: "ak_leaked", Stage: apikey.Blocked})
	tests := []struct{ name, target, lines string }{
		{"alone", "/", "X-API-Key: sk_live_leaked000002"},
		{"behind a good one", "/?api_key=sk_live_leaked000002", "X-API-Key: sk_live_good00000001"},
		{"before a good one", "/?api_key=sk_live_good00000001", "X-API-Key: sk_live_leaked000002"},
		{"in the second of two lines", "/", "X-API-Key: sk_live_good00000001|X-API-Key: sk_live_leaked000002"},
		{"beside a foreign token", "/?api_key=sk_live_leaked000002", "Authorization: Bearer not-an-apikey.not"},
		{"in another spelling of the header", "/", "X_API_Key: sk_live_leaked000002"},
		{"in another spelling of the parameter", "/?API-KEY[]=sk_live_leaked000002", "Accept: a/b"},
		{"in another spelling of the cookie", "/", "Cookie: theme=dark; ApiKey=sk_live_leaked000002"},
		{"escaped in the query", "/?%61pi_key=sk%5flive%5fleaked000002", "Accept: a/b"},
		{"behind a semicolon", "/?a=b;api_key=sk_live_leaked000002", "Accept: a/b"},
		{"as Basic user", "/", "Authorization: Basic c2tfbGl2ZV9sZWFrZWQwMDAwMDI6eA=="},
		{"under a scheme", "/", "Authorization: key sk_live_leaked000002"},
		{"with a word behind it, which code that splits at spaces drops", "/", "Authorization: KEY sk_live_leaked000002 x"},
		{"with a word before it", "/", "Authorization: KEY x sk_live_leaked000002"},
		{"with a comma behind it", "/", "Authorization: Bearer sk_live_leaked000002,x"},
		{"as Basic user with junk that decoders skip", "/", "Authorization: Basic c2tf!bGl2ZV9sZWFrZWQwMDAwMDI6eA=="},
		{"as Basic user with more behind the padding", "/", "Authorization: Basic c2tfbGl2ZV9sZWFrZWQwMDAwMDI6eA==AAAA"},
		{"in a cookie that is quoted by half", "/", `Cookie: apikey="sk_live_leaked000002`},
		{"with space around it, which frameworks trim", "/?api_key=+sk_live_leaked000002%0a", "Accept: a/b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := w.get(tt.target, strings.Split(tt.lines, "|")...)
			if p := got.problem(t); p.Code != policy.CodeAPIKeyBlocked {
				t.Errorf("code %s, want it blocked", p.Code)
			}
		})
	}
	t.Run("as the fifth of five", func(t *testing.T) {
		lines := []string{}
		for i := range 4 {
			lines = append(lines, fmt.Sprintf("X-API-Key: sk_live_junk0000000%d", i))
		}
		got := w.get("/", append(lines, "X-API-Key: sk_live_leaked000002")...)
		if p := got.problem(t); p.Code != policy.CodeCredentialDuplicate {
			t.Errorf("code %s: a blocked apikey behind four others must not pass", p.Code)
		}
	})
}

func TestG14ADuplicateCredentialIsCountedThenRefused(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.know("sk_live_good00000001", apikey.Key{ID: "ak_good"})
	requests := map[string][]string{
		"header twice":    {"X-API-Key: sk_live_good00000001", "X-API-Key: sk_live_good00000001"},
		"two carriers":    {"X-API-Key: sk_live_good00000001", "Cookie: apikey=sk_live_good00000001"},
		"header and junk": {"X-API-Key: sk_live_good00000001", "Authorization: KEY junk"},
	}
	for name, lines := range requests {
		t.Run(name, func(t *testing.T) {
			w.setRules(policy.Ruleset{Stage: apikey.Observe, UpstreamVouches: true})
			w.rows()
			if got := w.get("/", lines...); got.StatusCode != http.StatusOK {
				t.Fatalf("refused while observing: %d", got.StatusCode)
			}
			if rows := w.rows(); len(rows) != 1 || rows[0].Outcome != "shadow:"+policy.CodeCredentialDuplicate {
				t.Errorf("not counted: %+v", rows)
			}
			w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On, UpstreamVouches: true}, "/**")
			got := w.get("/", lines...)
			if p := got.problem(t); p.Code != policy.CodeCredentialDuplicate || got.StatusCode != http.StatusBadRequest {
				t.Errorf("status %d code %s", got.StatusCode, p.Code)
			}
			if challenge := got.Header.Get("WWW-Authenticate"); !strings.Contains(challenge, `error="invalid_request"`) {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
		})
	}
}

func TestATokenUnderTheDPoPSchemeIsRefused(t *testing.T) {
	w := newWorld(t, nil).serve()
	got := w.get("/", "Authorization: DPoP "+w.issue(t, w.ours, "cl_1", time.Hour))
	if p := got.problem(t); p.Code != policy.CodeInvalidToken || !strings.Contains(p.Detail, "send it as Bearer") {
		t.Errorf("%+v", p)
	}
}

// TestChecklist173 is checklist_173: issuer, audience, times, type and
// revocation are all looked at.
func TestChecklist173WhatATokenMustBe(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "/**")
	good := w.issue(t, w.ours, "cl_1", time.Hour)
	if got := w.get("/", "Authorization: Bearer "+good); got.StatusCode != http.StatusOK {
		t.Fatalf("a good token: %d %s", got.StatusCode, got.body)
	}
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	tests := []struct{ name, token, code string }{
		{"checklist_173 signature of another token", header + "." + payload + "." + flip(signature), policy.CodeInvalidToken},
		{"checklist_173 another issuer", w.issue(t, w.foreign, "cl_1", time.Hour), policy.CodeForeignToken},
		{"checklist_168 in the query it is no token", "", policy.CodeCredentialMissing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target, line := "/", "Authorization: Bearer "+tt.token
			if tt.token == "" {
				target, line = "/?access_token="+good, "Accept: */*"
			}
			if p := w.get(target, line).problem(t); p.Code != tt.code {
				t.Errorf("code %s, want %s", p.Code, tt.code)
			}
		})
	}
	t.Run("checklist_173 revoked, though it was just accepted", func(t *testing.T) {
		w.revocations.Add(revocationOf("cl_1", w.now()))
		if p := w.get("/", "Authorization: Bearer "+good).problem(t); p.Code != policy.CodeInvalidToken {
			t.Errorf("code %s", p.Code)
		}
	})
}

func flip(s string) string {
	c := byte('A')
	if s[10] == c {
		c = 'B'
	}
	return s[:10] + string(c) + s[11:]
}
