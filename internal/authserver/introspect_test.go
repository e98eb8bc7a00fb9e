package authserver_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

const inactive = `{"active":false}`

func TestChecklist127to133(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	_, reader := w.withSecret(client.Client{ID: "rs", Resources: []string{api}, Grants: []string{}})
	_, otherReader := w.withSecret(client.Client{ID: "rs2", Resources: []string{otherAPI}})
	_, plain := w.withSecret(client.Client{ID: "plain"})
	issued := w.token(header, "scope", "read:orders").ok()
	ask := func(header http.Header, token string) answer {
		return w.post("/introspect", header, values("token", token))
	}
	t.Run("checklist_127 nobody asks anonymously", func(t *testing.T) {
		ask(nil, issued).refused(401, "invalid_client", "")
		w.add(client.Client{ID: "cli", AuthMethod: oauth.AuthNone})
		w.post("/introspect", nil, values("token", issued, "client_id", "cli")).refused(401, "invalid_client", "needs client authentication")
	})
	t.Run("checklist_130 a wrong credential is 401 and not inactive", func(t *testing.T) {
		ask(http.Header{"Authorization": {oauth.FormatBasic("rs", "wrong")}}, issued).refused(401, "invalid_client", "")
	})
	t.Run("what a token says", func(t *testing.T) {
		for name, h := range map[string]http.Header{"its client": header, "its resource server": reader} {
			a := ask(h, issued)
			c := claims(t, issued)
			if aud, _ := a.json["aud"].([]any); len(aud) != 1 || aud[0] != api {
				t.Errorf("%s: aud is %v", name, a.json["aud"])
			}
			for claim, want := range map[string]any{
				"active": true, "scope": "read:orders", "client_id": "billing", "sub": "billing", "iss": issuerURL,
				"exp": c["exp"], "iat": c["iat"], "jti": c["jti"], "token_type": "Bearer",
			} {
				if a.json[claim] != want {
					t.Errorf("%s: %s is %v, want %v", name, claim, a.json[claim], want)
				}
			}
		}
	})
	t.Run("checklist_129 a resource server learns of its own tokens only", func(t *testing.T) {
		for name, h := range map[string]http.Header{"of another resource": otherReader, "of the default resource unnamed": plain} {
			if a := ask(h, issued); a.status != 200 || a.body != inactive {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
	})
	stranger, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"junk": "junk", "another issuer's": signed(t, w, stranger, map[string]any{"iss": "https://else.example.com"}),
		"forged": signed(t, w, stranger, claims(t, issued)), "cut short": issued[:len(issued)-5],
	} {
		t.Run("checklist_128 inactive and nothing else: "+name, func(t *testing.T) {
			if a := ask(reader, raw); a.status != 200 || a.body != inactive {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	t.Run("checklist_123 a hint is only a hint", func(t *testing.T) {
		for _, hint := range []string{"refresh_token", "access_token", "nonsense"} {
			if a := w.post("/introspect", reader, values("token", issued, "token_type_hint", hint)); a.json["active"] != true {
				t.Errorf("%s: %s", hint, a.body)
			}
		}
	})
	t.Run("no token", func(t *testing.T) {
		w.post("/introspect", reader, nil).refused(400, "invalid_request", "token is missing")
	})
	t.Run("a client that waits for approval asks nothing", func(t *testing.T) {
		_, pending := w.withSecret(client.Client{ID: "pending", Status: client.Pending, Resources: []string{api}})
		ask(pending, issued).refused(400, "unauthorized_client", "approval")
	})
	t.Run("checklist_133 a revoked token is inactive at once", func(t *testing.T) {
		gone := w.token(header).ok()
		w.post("/revoke", header, values("token", gone))
		if a := ask(reader, gone); a.body != inactive {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("checklist_133 so is one of a disabled client", func(t *testing.T) {
		c, h := w.withSecret(client.Client{ID: "soon-gone"})
		issued := w.token(h).ok()
		if _, err := w.db.UpdateClient(t.Context(), c.ID, func(c *client.Client) error { c.Status = client.Disabled; return nil }, system); err != nil {
			t.Fatal(err)
		}
		if a := ask(reader, issued); a.body != inactive {
			t.Errorf("%s", a.body)
		}
	})
	t.Run("checklist_119 so is one signed with a dropped key", func(t *testing.T) {
		v, err := w.verifier.Verify(issued)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.manager.Drop(t.Context(), v.KeyID(), audit.Event{Actor: "system", Action: "signing_key.dropped"}); err != nil {
			t.Fatal(err)
		}
		if a := ask(reader, issued); a.body != inactive {
			t.Errorf("%s", a.body)
		}
		if _, err := w.verifier.Verify(issued); err == nil {
			t.Error("the gateway still takes it")
		}
		if strings.Contains(w.get("/jwks").body, v.KeyID()) {
			t.Error("still published")
		}
		w.token(header).ok()
	})
	t.Run("checklist_128 an expired one is inactive", func(t *testing.T) {
		issued := w.token(header).ok()
		w.advance(10 * time.Minute)
		if a := ask(reader, issued); a.body != inactive {
			t.Errorf("%s", a.body)
		}
	})
}

func TestChecklist120to125(t *testing.T) {
	w := newWorld(t)
	_, header := w.withSecret(billing())
	_, other := w.withSecret(client.Client{ID: "other"})
	revoke := func(h http.Header, more ...string) answer { return w.post("/revoke", h, values(more...)) }

	t.Run("checklist_124 a revoked token is refused by the gateway of this process at once", func(t *testing.T) {
		issued, kept := w.token(header).ok(), w.token(header).ok()
		if _, err := w.verifier.Verify(issued); err != nil {
			t.Fatal(err)
		}
		if a := revoke(header, "token", issued); a.status != 200 || a.body != "" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if _, err := w.verifier.Verify(issued); err == nil {
			t.Error("still good")
		}
		if _, err := w.verifier.Verify(kept); err != nil {
			t.Errorf("the client's other token fell too: %v", err)
		}
	})
	t.Run("checklist_124 and after a restart", func(t *testing.T) {
		issued := w.token(header).ok()
		revoke(header, "token", issued)
		rows, err := w.db.Revocations(t.Context(), w.now())
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, r := range rows {
			found = found || r.ID == claims(t, issued)["jti"]
		}
		if !found {
			t.Error("not stored")
		}
	})
	t.Run("checklist_120 what is no token is 200", func(t *testing.T) {
		for _, raw := range []string{"junk", "a.b.c", strings.Repeat("x", 5000)} {
			if a := revoke(header, "token", raw); a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
	})
	t.Run("checklist_120 an expired token is 200 and leaves nothing", func(t *testing.T) {
		issued := w.token(header).ok()
		w.advance(time.Hour)
		before, err := w.db.AuditHead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if a := revoke(header, "token", issued); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if after, err := w.db.AuditHead(t.Context()); err != nil || after != before {
			t.Errorf("written: %v, %v", after, err)
		}
	})
	t.Run("checklist_121 another client's token is 200 and stays good", func(t *testing.T) {
		issued := w.token(header).ok()
		if a := revoke(other, "token", issued); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if _, err := w.verifier.Verify(issued); err != nil {
			t.Errorf("revoked by a stranger: %v", err)
		}
	})
	for _, hint := range []string{"refresh_token", "access_token", "nonsense"} {
		t.Run("checklist_123 with the hint "+hint, func(t *testing.T) {
			issued := w.token(header).ok()
			revoke(header, "token", issued, "token_type_hint", hint)
			if _, err := w.verifier.Verify(issued); err == nil {
				t.Error("still good")
			}
		})
	}
	t.Run("checklist_125 every kind of client can revoke", func(t *testing.T) {
		keyed, key := w.withKey(client.Client{ID: "keyed"}, jose.EdDSA)
		posted, postedSecret := w.withPost("posted")
		grant := values("grant_type", oauth.GrantClientCredentials)
		byKey := w.post("/token", nil, merged(w.assertion(keyed.ID, key), grant)).ok()
		proof := values("client_id", posted.ID, "client_secret", postedSecret)
		byPost := w.post("/token", nil, merged(proof, grant)).ok()
		w.post("/revoke", nil, merged(w.assertion(keyed.ID, key), values("token", byKey)))
		w.post("/revoke", nil, merged(proof, values("token", byPost)))
		for _, issued := range []string{byKey, byPost} {
			if _, err := w.verifier.Verify(issued); err == nil {
				t.Error("still good")
			}
		}
	})
	t.Run("checklist_124 a public client is let in by its id", func(t *testing.T) {
		w.add(client.Client{ID: "cli", AuthMethod: oauth.AuthNone})
		if a := revoke(nil, "token", "junk", "client_id", "cli"); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("no authentication", func(t *testing.T) {
		revoke(nil, "token", "x").refused(401, "invalid_client", "")
	})
	t.Run("no token", func(t *testing.T) {
		revoke(header).refused(400, "invalid_request", "token is missing")
	})
	t.Run("it is audited", func(t *testing.T) {
		issued := w.token(header).ok()
		revoke(header, "token", issued)
		head, err := w.db.AuditHead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		entries, err := w.db.AuditEntries(t.Context(), head.Seq-1, 10)
		if err != nil || len(entries) != 1 || entries[0].Action != "token.revoked" || entries[0].Actor != "client:billing" || entries[0].Object != claims(t, issued)["jti"] {
			t.Errorf("%+v, %v", entries, err)
		}
	})
	t.Run("storage that fails is told, and the token is not called revoked", func(t *testing.T) {
		issued := w.token(header).ok()
		if err := w.db.Close(); err != nil {
			t.Fatal(err)
		}
		a := revoke(header, "token", issued)
		a.refused(503, "temporarily_unavailable", "not revoked yet")
		if a.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
}
