package authserver_test

import (
	"context"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// meanwhile is what happens while a request waits for the store.
type meanwhile struct {
	authserver.Spender
	authserver.Exchanger
	happens func()
}

func (m *meanwhile) SpendAssertion(ctx context.Context, clientID, jti string, expires time.Time) (bool, error) {
	m.happens()
	return m.Spender.SpendAssertion(ctx, clientID, jti, expires)
}

func (m *meanwhile) Exchange(ctx context.Context, apikey string, requested oauth.Scope, resource string) (token.Authorization, error) {
	a, err := m.Exchanger.Exchange(ctx, apikey, requested, resource)
	m.happens()
	return a, err
}

func TestATokenUnderWayWhenItsGroundIsGoneIsRefused(t *testing.T) {
	m := &meanwhile{happens: func() {}}
	w := newWorld(t, func(o *authserver.Options) {
		m.Spender, m.Exchanger = o.Spender, o.Exchanger
		o.Spender, o.Exchanger = m, m
	})
	c, key := w.withKey(billing(), jose.ES256)
	t.Run("its client is disabled", func(t *testing.T) {
		m.happens = func() {
			w.disable(c.ID)
			w.advance(3 * time.Second) // a slow disk
		}
		a := w.post("/token", nil, merged(values("grant_type", oauth.GrantClientCredentials), w.assertion(c.ID, key)))
		if a.status != 200 {
			return // refused at once: as good
		}
		if _, err := w.verifier.Verify(a.ok()); err == nil {
			t.Error("a token was issued that outlives its client")
		}
	})
	t.Run("its apikey is blocked", func(t *testing.T) {
		m.happens = func() {
			r := token.Revocation{Kind: token.RevokeAPIKey, ID: "ak_1", Before: w.now()}
			if err := w.db.Revoke(t.Context(), r, system); err != nil {
				t.Fatal(err)
			}
			w.advance(3 * time.Second)
		}
		if _, err := w.verifier.Verify(w.post("/token", nil, exchange()).ok()); err == nil {
			t.Error("a token was issued that outlives its apikey")
		}
	})
}

func (w *world) disable(id string) {
	w.t.Helper()
	if _, err := w.db.UpdateClient(context.Background(), id, func(c *client.Client) error {
		c.Status = client.Disabled
		return nil
	}, system); err != nil {
		w.t.Fatal(err)
	}
}

func TestIntrospectionJudgesAnExchangedTokenByItsApikey(t *testing.T) {
	holds := true
	w := newWorld(t, func(o *authserver.Options) {
		o.APIKeyHolds = func(id string) bool { return id == "ak_1" && holds }
	})
	_, reader := w.withSecret(client.Client{ID: "rs", Resources: []string{api}})
	exchanged, own := w.post("/token", nil, exchange()).ok(), w.token(reader).ok()
	ask := func(raw string) string { return w.post("/introspect", reader, values("token", raw)).body }
	if a := ask(exchanged); a == inactive {
		t.Error("inactive while its apikey holds")
	}
	holds = false
	if a := ask(exchanged); a != inactive {
		t.Errorf("after its apikey has ended: %s", a)
	}
	if a := ask(own); a == inactive {
		t.Error("a token without an apikey ends with none")
	}
}
