package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/federation"
	"github.com/offkey/offkey/internal/jose"
)

// trustOf is the rules of the file and of the store, read anew each time.
type trustOf struct{ w *world }

func (t trustOf) Rules() []*client.TrustRule {
	rules, err := t.w.db.TrustRules(context.Background())
	if err != nil {
		t.w.t.Error(err)
	}
	declared, err := t.w.config().TrustRules()
	if err != nil {
		t.w.t.Error(err)
	}
	return append(declared, rules...)
}

func (t trustOf) Examine(ctx context.Context, token string) (client.Examined, error) {
	f, err := federation.NewFetcher(federation.Options{})
	if err != nil {
		t.w.t.Fatal(err)
	}
	return federation.NewTrust(federation.TrustOptions{Fetcher: f, Spender: t.w.db, Rules: t.Rules, Issuer: issuerURL, Now: t.w.now}).Examine(ctx, token)
}

func TestTrustRules(t *testing.T) {
	w := newWorldWith(t, plainConfig+`trust:
  - {for: client:edge, from: "github:acme/edge"}
`)
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := jose.KeySet{Keys: []jose.PublicKey{key.Public()}}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	w.ask(http.StatusCreated, "POST", "/clients", map[string]any{"client_id": "deploy", "name": "deploy", "auth": "federated_jwt", "scopes": []string{"create:releases"}})
	w.ask(http.StatusCreated, "POST", "/clients", map[string]any{"client_id": "old", "name": "old", "auth": "client_secret_basic"})
	rule := map[string]any{"client": "deploy", "from": "https://ci.example", "subject": "job:*", "jwks": json.RawMessage(jwks), "where": map[string]any{"env": []string{"prod"}}}
	with := func(member string, value any) map[string]any {
		changed := maps.Clone(rule)
		changed[member] = value
		return changed
	}
	w.run(t, "what cannot be trusted is refused with the reason", func(*testing.T) {
		for _, bad := range []struct {
			member string
			value  any
			says   string
		}{
			{"from", "ftp://x", "github:ORG/REPO"}, {"subject", "a**b", "**"}, {"jwks", json.RawMessage(`{"keys":[]}`), "public keys"}, {"max_age", "48h", "24h"}, {"max_age", "x", "max_age"},
			{"jwks_uri", "https://ci.example/keys", "keep one"}, {"where", map[string]any{"": []string{"x"}}, "claim"}, {"for", "everybody", "statements"}, {"audience", []string{""}, "audience"},
			{"name", "a\nb", "control"}, {"client", "", "no client"},
		} {
			w.refused(http.StatusBadRequest, "POST", "/trust", with(bad.member, bad.value), bad.says)
		}
		w.refused(http.StatusConflict, "POST", "/trust", with("client", "old"), "federated_jwt", "other_method")
		w.refused(http.StatusNotFound, "POST", "/trust", with("client", "nobody"))
	})
	w.run(t, "a dry run adds nothing", func(t *testing.T) {
		w.ask(http.StatusOK, "POST", "/trust?dry_run=true", rule)
		if rules := (trustOf{w}).Rules(); len(rules) != 1 {
			t.Errorf("%d rules", len(rules))
		}
	})
	id := w.ask(http.StatusCreated, "POST", "/trust", rule).text("id")
	w.refused(http.StatusConflict, "POST", "/trust", rule, "--name")
	w.run(t, "the rules of the file are listed with the others, and not changed", func(t *testing.T) {
		list := w.ask(http.StatusOK, "GET", "/trust", nil).list("trust")
		if got := column(list, "source"); !slices.Equal(got, []string{"file", "api"}) || list[0].text("id") != "trust[0]" {
			t.Errorf("%v", list)
		}
		if one := w.ask(http.StatusOK, "GET", "/trust?client=deploy", nil).list("trust"); len(one) != 1 || one[0].text("max_age") != "1h0m0s" {
			t.Errorf("%v", one)
		}
		w.refused(http.StatusConflict, "DELETE", "/trust/trust%5B0%5D", nil, "declared_in_file")
	})
	w.run(t, "a token is held against the rules and kept nowhere", func(t *testing.T) {
		now := w.now().Unix()
		sign := func(env string) string {
			raw, _ := json.Marshal(map[string]any{"iss": "https://ci.example", "sub": "job:7", "aud": issuerURL, "iat": now, "exp": now + 60, "jti": "very-secret-jti", "env": env})
			jwt, err := key.Sign("JWT", raw)
			if err != nil {
				t.Fatal(err)
			}
			return jwt
		}
		good := w.ask(http.StatusOK, "POST", "/trust/test", map[string]string{"token": sign("prod")})
		if good.text("client_id") != "deploy" || good.text("matched") != id || strings.Contains(fmt.Sprint(good), "very-secret-jti") {
			t.Errorf("%v", good)
		}
		if bad := w.ask(http.StatusOK, "POST", "/trust/test", map[string]string{"token": sign("dev")}); bad.text("reason") != "no rule fits: claim env" {
			t.Errorf("%v", bad)
		}
		w.refused(http.StatusBadRequest, "POST", "/trust/test", map[string]string{"token": "x"}, "JWT")
	})
	w.run(t, "a rule ends", func(t *testing.T) {
		if d := w.ask(http.StatusOK, "POST", "/trust/"+id+"/disable", nil); d["disabled"] != true {
			t.Errorf("%v", d)
		}
		if d := w.ask(http.StatusOK, "GET", "/trust/"+id, nil); d["disabled"] != true {
			t.Errorf("%v", d)
		}
		w.ask(http.StatusOK, "POST", "/trust/https:%2F%2Fci.example/enable", nil)
		w.ask(http.StatusOK, "DELETE", "/trust/"+id+"?dry_run=true", nil)
		w.ask(http.StatusOK, "DELETE", "/trust/"+id, nil)
		w.refused(http.StatusNotFound, "GET", "/trust/"+id, nil)
	})
}
