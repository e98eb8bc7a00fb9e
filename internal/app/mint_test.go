package app

import (
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// A token that the API gets in place of an apikey is the client's as it is now: of
// its scopes, none once it is disabled, and refused with the apikey.
func TestAMintedTokenIsTheClientsAsItIsNow(t *testing.T) {
	p := runProcess(t, "")
	p.makeClient("billing")
	scope := func(scope ...string) {
		t.Helper()
		if _, err := p.db.UpdateClient(t.Context(), "billing", func(c *client.Client) error { c.Scopes = scope; return nil }, audit.Event{}); err != nil {
			t.Fatal(err)
		}
	}
	scope("read:orders", "create:orders")
	k := &apikey.Key{ID: "ak_1", ClientID: "billing", Fingerprint: p.data.pepper.Fingerprint("old-key"), KnownBy: apikey.KnownByImport, Created: p.Now()}
	if _, err := p.db.ImportAPIKeys(t.Context(), []*apikey.Key{k}, audit.Event{}); err != nil {
		t.Fatal(err)
	}
	f := p.flows.Load()
	m := p.minter(f.cfg, f)
	verifier := token.NewVerifier(token.VerifierOptions{Issuer: f.cfg.Issuer, Audience: f.cfg.Gateway.Resource, Ring: p.views.ring.Current, Revocations: p.views.revocations, Now: p.Now})
	of := func() (string, *token.Verified) {
		t.Helper()
		made, err := m.TokenOf(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		if made.Token.IsZero() {
			return "", nil
		}
		verified, err := verifier.Verify(made.Token.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if verified.ClientID() != "billing" || verified.Claims().APIKeyID != "ak_1" || !made.Scope.Covers(verified.Scope()) || verified.Expires().Sub(p.Now()) > mintedLife {
			t.Errorf("%+v", verified.Claims())
		}
		return made.Token.Reveal(), verified
	}
	first, verified := of()
	if !verified.Scope().Covers(oauth.Scope{"read:orders", "create:orders"}) {
		t.Errorf("scope %v", verified.Scope())
	}
	if again, _ := of(); again != first {
		t.Error("each call makes a token")
	}
	scope("read:orders")
	if second, verified := of(); second == first || verified.Scope().String() != "read:orders" {
		t.Errorf("after a scope was taken: %v", verified.Scope())
	}
	p.pass(mintedFor + time.Second)
	if third, _ := of(); third == first {
		t.Error("a token is handed out for longer than it lives")
	}
	if _, err := p.db.UpdateClient(t.Context(), "billing", func(c *client.Client) error { c.Status = client.Disabled; return nil }, audit.Event{}); err != nil {
		t.Fatal(err)
	}
	if none, _ := of(); none != "" {
		t.Error("a disabled client has a token")
	}
	k.ClientID = "nobody"
	if none, _ := of(); none != "" {
		t.Error("a client that is gone has a token")
	}
}
