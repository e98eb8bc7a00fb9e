package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

// transitions are all that take an audit event, on a store that has what they
// need.
func transitions(b *trial) map[string]func(context.Context, audit.Event) error {
	b.haveAPIKeys("ak_1", "ak_2")
	made := plainClient("cl_made")
	made.Source, made.APIKeyID = client.SourceUpgrade, "ak_1"
	b.haveClients(plainClient("cl_1"), plainClient("cl_2"), made)
	b.ok(b.AddSigningKey(b.ctx(), keyring.Key{ID: "k1", Alg: jose.ES256, Sealed: []byte("x"), SignFrom: noon}, did("signing_key.created")))
	route, err := policy.ParseRoute("GET /v1/orders")
	b.ok(err)
	b.ok(b.SetRoute(b.ctx(), route, did("route.set")))
	other, err := policy.ParseRoute("/v1/others/**")
	b.ok(err)
	_, family := token.NewRefreshToken()
	again := aGrant("gr_again")
	again.ClientID = "cl_9"
	b.ok(b.KeepGrant(b.ctx(), again, did("grant.created")))

	_, err = b.ImportAPIKeys(b.ctx(), []*apikey.Key{aHashedKey("ak_hashed", "hashed")}, did("apikey.imported"))
	b.ok(err)
	b.ok(b.CreateTrustRule(b.ctx(), aRule("tr_1", "cl_1"), did("trust.added")))
	b.ok(b.CreateTrustRule(b.ctx(), aRule("tr_2", "cl_1"), did("trust.added")))
	b.ok(b.CreateRegistrationToken(b.ctx(), aToken("rt_1", 2), did("registration_token.created")))
	b.ok(b.CreateRegistrationToken(b.ctx(), aToken("rt_2", 1), did("registration_token.created")))

	onRecord, _, err := b.OpenLeak(b.ctx(), leak.Opening{Record: aLeak(leak.KindAPIKey, "ak_2")}, did("leak.opened"))
	b.ok(err)
	closing, _, err := b.OpenLeak(b.ctx(), leak.Opening{Record: aLeak(leak.KindClient, "cl_made"), Contain: true}, did("leak.opened"))
	b.ok(err)

	return map[string]func(context.Context, audit.Event) error{
		"CreateTrustRule": func(ctx context.Context, e audit.Event) error {
			return b.CreateTrustRule(ctx, aRule("tr_3", "cl_1"), e)
		},
		"RegisterClient": func(ctx context.Context, e audit.Event) error {
			r := client.Registration{Client: plainClient("cl_self"), Token: secret.HashOf("rt_1")}
			return b.RegisterClient(ctx, r, func(*client.Client, *client.RegistrationToken) error { return nil }, e)
		},
		"CreateRegistrationToken": func(ctx context.Context, e audit.Event) error {
			return b.CreateRegistrationToken(ctx, aToken("rt_3", 1), e)
		},
		"DeleteRegistrationToken": func(ctx context.Context, e audit.Event) error { return b.DeleteRegistrationToken(ctx, "rt_2", e) },
		"SetTrustDisabled":        func(ctx context.Context, e audit.Event) error { return b.SetTrustDisabled(ctx, "tr_1", true, e) },
		"DeleteTrustRule":         func(ctx context.Context, e audit.Event) error { return b.DeleteTrustRule(ctx, "tr_2", e) },
		"CreateClient":            func(ctx context.Context, e audit.Event) error { return b.CreateClient(ctx, plainClient("cl_new"), e) },
		"UpdateClient": func(ctx context.Context, e audit.Event) error {
			_, err := b.UpdateClient(ctx, "cl_1", func(c *client.Client) error { c.Status = client.Disabled; return nil }, e)
			return err
		},
		"DeleteClient": func(ctx context.Context, e audit.Event) error { return b.DeleteClient(ctx, "cl_2", e) },
		"Revoke": func(ctx context.Context, e audit.Event) error {
			return b.Revoke(ctx, token.Revocation{Kind: token.RevokeToken, ID: "jti", Expires: noon.Add(time.Hour)}, e)
		},
		"IssueCode": func(ctx context.Context, e audit.Event) error {
			return b.IssueCode(ctx, aCode("gr_new", "new code"), secret.Hash{}, e)
		},
		"KeepGrant": func(ctx context.Context, e audit.Event) error { return b.KeepGrant(ctx, aGrant("gr_kept"), e) },
		"StartFamily": func(ctx context.Context, e audit.Event) error {
			return b.StartFamily(ctx, aFamily(aGrant("gr_family"), family), e)
		},
		"RevokeGranted": func(ctx context.Context, e audit.Event) error {
			return b.RevokeGranted(ctx, "pe_1", "cl_9", e)
		},
		"AddSigningKey": func(ctx context.Context, e audit.Event) error {
			return b.AddSigningKey(ctx, keyring.Key{ID: "k2", Alg: jose.EdDSA, Sealed: []byte("x"), SignFrom: noon}, e)
		},
		"DropSigningKey": func(ctx context.Context, e audit.Event) error { return b.DropSigningKey(ctx, "k1", noon, e) },
		"ImportAPIKeys": func(ctx context.Context, e audit.Event) error {
			_, err := b.ImportAPIKeys(ctx, []*apikey.Key{plainAPIKey("ak_new"), plainAPIKey("ak_2")}, e)
			return err
		},
		"PinAPIKey": func(ctx context.Context, e audit.Event) error {
			_, err := b.PinAPIKey(ctx, "ak_hashed", secret.HashOf("ak_hashed"), "9f3k", "live_", e)
			return err
		},
		"KeepPepper": func(ctx context.Context, e audit.Event) error { return b.KeepPepper(ctx, "p1", []byte("sealed"), e) },
		"LearnAPIKey": func(ctx context.Context, e audit.Event) error {
			_, err := b.LearnAPIKey(ctx, plainAPIKey("ak_learnt"), e)
			return err
		},
		"UpdateAPIKeys": func(ctx context.Context, e audit.Event) error {
			_, err := b.UpdateAPIKeys(ctx, []string{"ak_1", "ak_2"}, func(k *apikey.Key) error { k.Stage = apikey.Retired; return nil }, e)
			return err
		},
		"ContainAPIKey": func(ctx context.Context, e audit.Event) error {
			_, err := b.ContainAPIKey(ctx, "ak_1", noon.Add(-time.Hour), e)
			return err
		},
		"OpenLeak": func(ctx context.Context, e audit.Event) error {
			_, _, err := b.OpenLeak(ctx, leak.Opening{Record: aLeak(leak.KindAPIKey, "ak_1"), Contain: true, Actor: "os:0"}, e)
			return err
		},
		"UpdateLeak": func(ctx context.Context, e audit.Event) error {
			_, err := b.UpdateLeak(ctx, onRecord.ID, func(r *leak.Record) error { r.NotifiedAt = noon; return nil }, e)
			return err
		},
		"CloseLeak": func(ctx context.Context, e audit.Event) error {
			_, err := b.CloseLeak(ctx, closing.ID, "os:0", "closed", true, e)
			return err
		},
		"SealAPIKey": func(ctx context.Context, e audit.Event) error {
			return b.SealAPIKey(ctx, "ak_1", "cl_1", "api", []byte("sealed"), e)
		},
		"RegisterUpgrade": func(ctx context.Context, e audit.Event) error {
			return b.RegisterUpgrade(ctx, "ak_2", plainClient("cl_up"), true, func([]*client.Client, *apikey.Key) error { return nil }, e)
		},
		"SetRoute":    func(ctx context.Context, e audit.Event) error { return b.SetRoute(ctx, other, e) },
		"DeleteRoute": func(ctx context.Context, e audit.Event) error { return b.DeleteRoute(ctx, "GET /v1/orders", e) },
		"UpdateSettings": func(ctx context.Context, e audit.Event) error {
			_, err := b.UpdateSettings(ctx, func(s *policy.Settings) error { s.Stage = apikey.Warn; return nil }, e)
			return err
		},
	}
}

// everything is the state of the store that transitions change.
func (b *trial) everything() any {
	b.t.Helper()
	var grants []token.Grant
	clients, _, err := b.Clients(b.ctx(), client.Filter{})
	b.ok(err)
	keys, _, err := b.APIKeys(b.ctx(), apikey.Filter{})
	b.ok(err)
	signing, err := b.SigningKeys(b.ctx())
	b.ok(err)
	routes, err := b.Routes(b.ctx())
	b.ok(err)
	settings, err := b.Settings(b.ctx())
	b.ok(err)
	trust, err := b.TrustRules(b.ctx())
	b.ok(err)
	registering, err := b.RegistrationTokens(b.ctx())
	b.ok(err)
	sealed, err := b.SealedAPIKeys(b.ctx())
	b.ok(err)
	leaks, _, err := b.Leaks(b.ctx(), leak.Filter{})
	b.ok(err)
	for _, id := range []string{"gr_new", "gr_kept", "gr_family", "gr_again"} {
		if g, err := b.Grant(b.ctx(), id); !errors.Is(err, token.ErrRevoked) {
			b.ok(err)
			grants = append(grants, g)
		}
	}
	return []any{grants, trust, registering, shown(clients...), shownKeys(keys...), signing, routes, settings, sealed, leaks, b.revoked(), b.entries(), b.changes()}
}

func testTransitions(t *testing.T, open Open) {
	names := []string{
		"IssueCode", "KeepGrant", "StartFamily", "RevokeGranted", "CreateClient", "UpdateClient", "DeleteClient", "Revoke", "AddSigningKey", "DropSigningKey", "ImportAPIKeys", "LearnAPIKey", "PinAPIKey", "KeepPepper",
		"CreateTrustRule", "SetTrustDisabled", "DeleteTrustRule", "RegisterClient", "CreateRegistrationToken", "DeleteRegistrationToken",
		"OpenLeak", "UpdateLeak", "CloseLeak", "UpdateAPIKeys", "ContainAPIKey", "SealAPIKey", "RegisterUpgrade", "SetRoute", "DeleteRoute", "UpdateSettings",
	}
	t.Run("each is one with its audit entry: when that cannot be written nothing has happened", func(t *testing.T) {
		b := setUp(t, open)
		calls := transitions(b)
		if len(calls) != len(names) {
			t.Fatalf("%d transitions, %d names", len(calls), len(names))
		}
		unwritable := did("x")
		unwritable.Detail = func() {} // has no JSON
		before := b.everything()
		for _, name := range names {
			if err := calls[name](b.ctx(), unwritable); err == nil {
				t.Fatalf("%s: no error", name)
			}
			b.same("after "+name, b.everything(), before)
		}
	})
	t.Run("each leaves one audit entry and tells what has changed", func(t *testing.T) {
		b := setUp(t, open)
		calls := transitions(b)
		for _, name := range names {
			entries, changes := len(b.entries()), len(b.changes())
			b.ok(calls[name](b.ctx(), did("test."+name)))
			now := b.entries()
			if len(now) != entries+1 || now[entries].Action != "test."+name {
				t.Fatalf("%s: %d audit entries more, the last of them %q", name, len(now)-entries, now[len(now)-1].Action)
			}
			if views := !slices.Contains([]string{"IssueCode", "KeepGrant", "StartFamily"}, name); views && len(b.changes()) == changes {
				t.Fatalf("%s: nothing in the change log", name)
			}
		}
	})
	t.Run("each is still there after the store was closed and opened", func(t *testing.T) {
		b := setUp(t, open)
		calls := transitions(b)
		for _, name := range names {
			b.ok(calls[name](b.ctx(), did(name)))
		}
		before := b.everything()
		b.reopen()
		b.same("reopened", b.everything(), before)
	})
	t.Run("each that comes with its context ended does nothing", func(t *testing.T) {
		b := setUp(t, open)
		calls := transitions(b)
		before := b.everything()
		ended, cancel := context.WithCancel(b.ctx())
		cancel()
		for _, name := range names {
			b.is(calls[name](ended, did(name)), context.Canceled)
		}
		b.same("afterwards", b.everything(), before)
	})
	t.Run("an error of the caller's function comes back as it is and changes nothing", func(t *testing.T) {
		b := setUp(t, open)
		transitions(b)
		before := b.everything()
		mine := errors.New("mine")
		_, err := b.UpdateClient(b.ctx(), "cl_1", func(c *client.Client) error { c.Name = "x"; return mine }, did("x"))
		b.is(err, mine)
		_, err = b.UpdateAPIKeys(b.ctx(), []string{"ak_1", "ak_2"}, func(k *apikey.Key) error {
			k.Label = "x"
			if k.ID == "ak_2" {
				return mine
			}
			return nil
		}, did("x"))
		b.is(err, mine)
		_, err = b.UpdateSettings(b.ctx(), func(s *policy.Settings) error { s.Stage = apikey.Retired; return mine }, did("x"))
		b.is(err, mine)
		b.is(b.RegisterUpgrade(b.ctx(), "ak_1", plainClient("cl_up"), true, func([]*client.Client, *apikey.Key) error { return mine }, did("x")), mine)
		b.same("afterwards", b.everything(), before)
	})
	t.Run("changes that arrive together are each made on the result of the one before", func(t *testing.T) {
		b := setUp(t, open)
		transitions(b)
		together(20, func(int) {
			if _, err := b.UpdateClient(b.ctx(), "cl_1", func(c *client.Client) error { c.Name += "x"; return nil }, did("x")); err != nil {
				t.Error(err)
			}
			if _, err := b.UpdateAPIKeys(b.ctx(), []string{"ak_1"}, func(k *apikey.Key) error { k.Label += "x"; return nil }, did("x")); err != nil {
				t.Error(err)
			}
			if _, err := b.UpdateSettings(b.ctx(), func(s *policy.Settings) error { s.StageSince = s.StageSince.Add(time.Second); return nil }, did("x")); err != nil {
				t.Error(err)
			}
		})
		c, err := b.Client(b.ctx(), "cl_1")
		b.ok(err)
		k, err := b.APIKey(b.ctx(), "ak_1")
		b.ok(err)
		s, err := b.Settings(b.ctx())
		b.ok(err)
		if len(c.Name) != 20 || len(k.Label) != 20 || s.StageSince.Sub(time.Time{}) != 20*time.Second {
			t.Errorf("of 20 changes %d, %d and %v are there", len(c.Name), len(k.Label), s.StageSince.Sub(time.Time{}))
		}
	})
	t.Run("a detail that the caller's function fills in is written as filled", func(t *testing.T) {
		b := setUp(t, open)
		transitions(b)
		var touched []string
		e := did("x")
		e.Detail = &touched
		_, err := b.UpdateAPIKeys(b.ctx(), []string{"ak_1", "ak_2"}, func(k *apikey.Key) error { touched = append(touched, k.ID); return nil }, e)
		b.ok(err)
		if last := b.entries(); string(last[len(last)-1].Detail) != `["ak_1","ak_2"]` {
			t.Errorf("detail is %s", last[len(last)-1].Detail)
		}
	})
	t.Run("a closed store answers with an error", func(t *testing.T) {
		b := setUp(t, open)
		calls := transitions(b)
		b.ok(b.Close())
		for _, name := range names {
			if err := calls[name](b.ctx(), did(name)); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if _, err := b.Client(b.ctx(), "cl_1"); err == nil || errors.Is(err, client.ErrNotFound) {
			t.Errorf("Client: %v", err)
		}
		b.Store = b.open(t, b.place, b.clock.now)
	})
}
