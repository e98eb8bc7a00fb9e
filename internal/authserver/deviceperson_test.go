package authserver_test

import (
	"testing"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

func TestADeviceOfAPersonRenewsItsTokens(t *testing.T) {
	w := newPeopleWorld(t)
	c := cli()
	c.Grants = append(c.Grants, oauth.GrantRefreshToken)
	c.Scopes = append(c.Scopes, "openid", "offline_access")
	w.add(c)
	begin := func() string {
		w.t.Helper()
		deviceCode, userCode := w.began("cli", "scope", "openid read:orders")
		w.answered(userCode, func(a *session.Answer) { a.PersonID = "pe_alice" })
		return deviceCode
	}
	t.Run("with an ID token and a refresh token that outlives the browser's session", func(t *testing.T) {
		w.t = t
		a := w.poll("cli", begin())
		if id := claims(t, a.text("id_token")); id["sub"] != "pe_alice" || id["aud"] != "cli" || claims(t, a.ok())["sub"] != "pe_alice" {
			t.Errorf("%v", id)
		}
		w.revoke(token.Revocation{Kind: token.RevokeSession, ID: "se_1", Before: w.now()})
		b := w.post("/token", nil, values("grant_type", "refresh_token", "refresh_token", a.text("refresh_token"), "client_id", "cli"))
		if b.ok(); b.text("id_token") == "" || b.text("refresh_token") == "" {
			t.Errorf("%v", b.json)
		}
	})
	t.Run("checklist_81 until the person takes it back", func(t *testing.T) {
		w.t = t
		a := w.poll("cli", begin())
		if err := w.db.RevokeGranted(t.Context(), "pe_alice", "cli", system); err != nil {
			t.Fatal(err)
		}
		if _, err := w.verifier.Verify(a.ok()); err == nil {
			t.Error("its access token is taken")
		}
		w.post("/token", nil, values("grant_type", "refresh_token", "refresh_token", a.text("refresh_token"), "client_id", "cli")).refused(400, "invalid_grant", "")
	})
	t.Run("a client without refresh tokens can be taken back too", func(t *testing.T) {
		w.t = t
		w.advance(2 * time.Second) // what comes after a revocation is not touched by it
		w.update("cli", func(c *client.Client) { c.Grants = []string{oauth.GrantDeviceCode} })
		a := w.poll("cli", begin())
		if a.text("refresh_token") != "" {
			t.Errorf("%v", a.json)
		}
		if err := w.db.RevokeGranted(t.Context(), "pe_alice", "cli", system); err != nil {
			t.Fatal(err)
		}
		if _, err := w.verifier.Verify(a.ok()); err == nil {
			t.Error("its access token is taken")
		}
	})
	t.Run("a person who was disabled since gives nothing", func(t *testing.T) {
		w.t = t
		w.advance(2 * time.Second)
		code := begin()
		w.crowd.change(func() { w.crowd.people["pe_alice"].Status = directory.Disabled })
		w.poll("cli", code).refused(400, "invalid_grant", "may not sign in")
	})
}
