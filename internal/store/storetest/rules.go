package storetest

import (
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
)

func testRoutes(t *testing.T, open Open) {
	route := func(b *trial, match string, scopes ...string) policy.Route {
		b.t.Helper()
		r, err := policy.ParseRoute(match)
		b.ok(err)
		r.Scopes, r.Source = scopes, policy.SourceSet
		return r
	}
	routes := func(b *trial) []policy.Route {
		b.t.Helper()
		routes, err := b.Routes(b.ctx())
		b.ok(err)
		return routes
	}
	t.Run("a route reads back as it was written, ready to match", func(t *testing.T) {
		b := setUp(t, open)
		r := route(b, "GET /v1/orders/{id}", "read:orders", "read:all")
		r.Enforce, r.Open = policy.Shadow, true
		r.Demands = policy.Demands{DPoP: true, ACR: []string{"urn:mfa", "urn:pwd"}, MaxAge: 300}
		b.ok(b.SetRoute(b.ctx(), r, did("x")))
		got := routes(b)
		b.same("routes", got, []policy.Route{r})
		if !got[0].Open {
			t.Error("no longer open")
		}
		rules := policy.Ruleset{}.Build(nil, got)
		if m := rules.Match("GET", "/v1/orders/7"); m == nil || !m.Scopes.Equal(oauth.Scope{"read:all", "read:orders"}) {
			t.Errorf("matched %+v", m)
		}
	})
	t.Run("a route is replaced by its match and deleted by it", func(t *testing.T) {
		b := setUp(t, open)
		b.ok(b.SetRoute(b.ctx(), route(b, "GET /a", "one"), did("x")))
		b.ok(b.SetRoute(b.ctx(), route(b, "/a", "any"), did("x")))
		b.ok(b.SetRoute(b.ctx(), route(b, "GET /a", "two"), did("x")))
		b.same("routes", routes(b), []policy.Route{route(b, "/a", "any"), route(b, "GET /a", "two")})
		b.ok(b.DeleteRoute(b.ctx(), "GET /a", did("x")))
		b.is(b.DeleteRoute(b.ctx(), "GET /a", did("x")), policy.ErrNotFound)
		b.same("the other stays", routes(b), []policy.Route{route(b, "/a", "any")})
	})
	t.Run("a route that could not be read back is refused", func(t *testing.T) {
		b := setUp(t, open)
		for _, r := range []policy.Route{{}, {Method: "GET", Template: "v1"}, {Template: "/a", Scopes: oauth.Scope{"a b"}}} {
			if err := b.SetRoute(b.ctx(), r, did("x")); err == nil {
				t.Errorf("%+v was taken", r)
			}
		}
	})
}

func testSettings(t *testing.T, open Open) {
	t.Run("settings are zero until they are set, and read back as they were set", func(t *testing.T) {
		b := setUp(t, open)
		got, err := b.Settings(b.ctx())
		b.ok(err)
		b.same("at first", got, policy.Settings{})
		want := policy.Settings{
			Stage: apikey.UpgradeOnly, StageSince: kept(noon), StageUntil: kept(noon.AddDate(0, 1, 0)), Enforce: policy.On,
			ClientEnforce: map[string]policy.Enforce{"cl_1": policy.Off, "cl_2": policy.Shadow},
		}
		updated, err := b.UpdateSettings(b.ctx(), func(s *policy.Settings) error { *s = want; return nil }, did("x"))
		b.ok(err)
		b.same("returned", updated, want)
		got, err = b.Settings(b.ctx())
		b.ok(err)
		b.same("read", got, want)
	})
	t.Run("a campaign reads back as it was set, and is gone when it is taken out", func(t *testing.T) {
		b := setUp(t, open)
		want := policy.Settings{Stage: apikey.Warn, Campaign: policy.Campaign{
			Cohorts: []policy.Cohort{
				{Name: "partners", Match: policy.Match{Owners: []string{"Acme"}, Labels: []string{"a b"}, Prefixes: []string{"sk_"}, Share: 25}, Created: kept(noon)},
				{Name: "quiet", Match: policy.Match{Named: true, Quiet: true, Chosen: "unused 30d"}},
			},
			Steps:   []policy.Step{{Cohort: "partners", Share: 500, Stage: apikey.UpgradeOnly, At: kept(noon.AddDate(0, 1, 0)), Set: kept(noon), ID: "st_1"}, {Stage: apikey.Inherit, At: kept(noon), Done: true}},
			Windows: []policy.Window{{ID: "br_1", From: kept(noon), To: kept(noon.AddDate(0, 0, 1)), Cohort: "partners", Share: 10, Reason: "x", Began: true}},
			Pause:   policy.Pause{At: kept(noon), Back: kept(noon.AddDate(0, 0, -1)), By: "os:0", Reason: "support"},
			Freeze:  kept(noon), Guards: []string{"refused > 5"}, SelfExtension: 86400,
			Widened: []policy.Widening{{Client: "cl_1", Scopes: oauth.Scope{"a", "b"}, Until: kept(noon), At: kept(noon), By: "os:0"}},
		}}
		_, err := b.UpdateSettings(b.ctx(), func(s *policy.Settings) error { *s = want; return nil }, did("x"))
		b.ok(err)
		got, err := b.Settings(b.ctx())
		b.ok(err)
		b.same("read", got, want)
		_, err = b.UpdateSettings(b.ctx(), func(s *policy.Settings) error { s.Campaign = policy.Campaign{}; return nil }, did("x"))
		b.ok(err)
		got, err = b.Settings(b.ctx())
		b.ok(err)
		b.same("taken out", got, policy.Settings{Stage: apikey.Warn})
	})
	t.Run("what is taken out is gone, what is left alone stays", func(t *testing.T) {
		b := setUp(t, open)
		update := func(change func(*policy.Settings)) policy.Settings {
			t.Helper()
			s, err := b.UpdateSettings(b.ctx(), func(s *policy.Settings) error { change(s); return nil }, did("x"))
			b.ok(err)
			return s
		}
		update(func(s *policy.Settings) {
			s.Enforce, s.StageUntil, s.ClientEnforce = policy.On, kept(noon), map[string]policy.Enforce{"cl_1": policy.Off}
		})
		update(func(s *policy.Settings) { s.ClientEnforce["cl_2"] = policy.On })
		update(func(s *policy.Settings) { delete(s.ClientEnforce, "cl_1") })
		s := update(func(s *policy.Settings) { *s = policy.Settings{Enforce: s.Enforce, ClientEnforce: s.ClientEnforce} })
		b.same("settings", s, policy.Settings{Enforce: policy.On, ClientEnforce: map[string]policy.Enforce{"cl_2": policy.On}})
		got, err := b.Settings(b.ctx())
		b.ok(err)
		b.same("read", got, s)
	})
}
