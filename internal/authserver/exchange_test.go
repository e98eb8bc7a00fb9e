package authserver_test

import (
	"net/url"
	"testing"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// exchange is the one call that a caller without library makes.
func exchange(more ...string) url.Values {
	return values(append([]string{"grant_type", oauth.GrantTokenExchange, "subject_token", "old-key", "subject_token_type", oauth.TypeAPIKey}, more...)...)
}

func TestChecklist92to98(t *testing.T) {
	w := newWorld(t)
	t.Run("checklist_93 an apikey is exchanged for an access token", func(t *testing.T) {
		a := w.post("/token", nil, exchange("scope", "read:orders", "resource", api))
		c := claims(t, a.ok())
		if a.json["issued_token_type"] != oauth.TypeAccessToken || a.json["token_type"] != "Bearer" || a.json["scope"] != "read:orders" {
			t.Errorf("got %s", a.body)
		}
		if c["offkey_apikey"] != "ak_1" || c["client_id"] != "ak_1" || c["aud"] != api {
			t.Errorf("claims %v", c)
		}
	})
	t.Run("checklist_97 it lives for 15 minutes at most", func(t *testing.T) {
		if a := w.post("/token", nil, exchange()); a.json["expires_in"] != 900.0 {
			t.Errorf("expires_in %v", a.json["expires_in"])
		}
		w.road.life = 60e9
		if a := w.post("/token", nil, exchange()); a.json["expires_in"] != 60.0 {
			t.Errorf("expires_in %v of an apikey that ends in a minute", a.json["expires_in"])
		}
	})
	t.Run("checklist_73 and cannot be refreshed", func(t *testing.T) {
		if a := w.post("/token", nil, exchange()); a.json["refresh_token"] != nil {
			t.Errorf("got %s", a.body)
		}
	})
	drop := func(names ...string) url.Values {
		v := exchange()
		for _, name := range names {
			v.Del(name)
		}
		return v
	}
	for _, tt := range []struct {
		name, code, want string
		form             url.Values
	}{
		{"checklist_92 no subject_token", "invalid_request", "subject_token is missing", drop("subject_token")},
		{"checklist_92 no subject_token_type", "invalid_request", "subject_token_type is missing", drop("subject_token_type")},
		{"checklist_92 actor_token without type", "invalid_request", "without actor_token_type", exchange("actor_token", "x")},
		{"checklist_92 type without actor_token", "invalid_request", "without actor_token", exchange("actor_token_type", oauth.TypeJWT)},
		{"checklist_95 nobody acts for another", "invalid_request", "actor_token is not supported", exchange("actor_token", "x", "actor_token_type", oauth.TypeJWT)},
		{"checklist_93 another type asked for", "invalid_request", "requested_token_type", exchange("requested_token_type", oauth.TypeRefreshToken)},
		{"checklist_94 a bad apikey", "invalid_request", "not an apikey", merged(drop("subject_token"), values("subject_token", "stolen"))},
		{"checklist_94 a resource that is not ours", "invalid_target", "not one of this server's", exchange("resource", "https://else.example.com")},
		{"checklist_94 an audience that is not ours", "invalid_target", "not one of this server's", exchange("audience", "https://else.example.com")},
		{"checklist_94 two resources", "invalid_target", "one resource at a time", exchange("resource", api, "audience", otherAPI)},
		{"checklist_95 more scope than the apikey used", "invalid_scope", "more than the apikey", exchange("scope", "delete:orders")},
		{"a scope that is none", "invalid_scope", "scope", exchange("scope", "a\"b")},
	} {
		t.Run(tt.name, func(t *testing.T) { w.post("/token", nil, tt.form).refused(400, tt.code, tt.want) })
	}
	t.Run("checklist_92 for a token of another type the client proves itself", func(t *testing.T) {
		w.post("/token", nil, merged(drop("subject_token_type"), values("subject_token_type", oauth.TypeAccessToken))).refused(401, "invalid_client", "no client authentication")
	})
	t.Run("checklist_109 for the resource asked for", func(t *testing.T) {
		if c := claims(t, w.post("/token", nil, exchange("audience", otherAPI)).ok()); c["aud"] != otherAPI {
			t.Errorf("aud %v", c["aud"])
		}
	})
	t.Run("checklist_98 a token falls with its apikey", func(t *testing.T) {
		issued := w.post("/token", nil, exchange()).ok()
		if _, err := w.verifier.Verify(issued); err != nil {
			t.Fatal(err)
		}
		r := token.Revocation{Kind: token.RevokeAPIKey, ID: "ak_1", Before: w.now(), Expires: w.now().Add(900e9)}
		if err := w.db.Revoke(t.Context(), r, system); err != nil {
			t.Fatal(err)
		}
		if _, err := w.verifier.Verify(issued); err == nil {
			t.Error("still good")
		}
	})
	t.Run("checklist_95 a mistake of the one who judges cannot widen it", func(t *testing.T) {
		w := newWorld(t)
		w.road.scope = oauth.Scope{"read:orders", "delete:orders"}
		w.post("/token", nil, exchange("scope", "read:orders")).refused(500, "server_error", "")
	})
}

func TestExchangeByAClientThatProvesItself(t *testing.T) {
	w := newWorld(t)
	_, without := w.withSecret(billing())
	_, allowed := w.withSecret(client.Client{ID: "mover", Grants: []string{oauth.GrantTokenExchange}})
	t.Run("it must be registered for the grant", func(t *testing.T) {
		w.post("/token", without, exchange()).refused(400, "unauthorized_client", "not registered")
		w.post("/token", allowed, exchange()).ok()
	})
	t.Run("a wrong proof is not ignored", func(t *testing.T) {
		w.post("/token", nil, exchange("client_id", "mover", "client_secret", "wrong")).refused(401, "invalid_client", "")
	})
	t.Run("a client_id alone proves nothing and is ignored", func(t *testing.T) {
		w.post("/token", nil, exchange("client_id", "mover")).ok()
	})
}
