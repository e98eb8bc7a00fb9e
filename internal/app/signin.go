package app

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/signin"
)

// buildSignin makes the pages by which people sign in.
func (a *App) buildSignin(cfg *config.Loaded, f *flows) (*signin.Service, error) {
	var upgrade *signin.Upgrade
	if cfg.Migration.Upgrade != "off" {
		upgrade = &signin.Upgrade{API: f.gateway.Resource, Resource: f.gateway.Resource, TokenURL: strings.TrimSuffix(cfg.Issuer, "/") + "/token"}
	}
	return signin.New(signin.Options{
		Issuer: cfg.Issuer, Store: a.db, People: a.views.people, Clients: f.clients, Devices: a.db, Spender: a.db,
		Master: a.data.master, Mail: peopleLinks{a}, Later: a.running.Go, Now: a.Now, Log: a.Log, Upgrade: upgrade,
		Source:        func(r *http.Request) netip.Addr { return f.gateway.Source(r) },
		Upstreams:     buttons(f.upstreams),
		Name:          func() string { return a.views.settings.Load().Service },
		DescribeScope: func(name, language string) string { return a.views.settings.Load().Words.Scope(name, language) },
		Lives:         signin.Lives{Token: time.Duration(cfg.Tokens.Access.TTL), Refresh: time.Duration(cfg.Tokens.Refresh.TTL), Idle: time.Duration(cfg.Tokens.Refresh.Idle)},
	})
}

// issue serves the issuer's listener: the pages of people, and for all else the
// authorization server.
func (f *flows) issue(w http.ResponseWriter, r *http.Request) {
	if f.signin.Serves(r.URL.Path) {
		f.signin.Handler().ServeHTTP(w, r)
		return
	}
	for _, u := range f.upstreams {
		if r.URL.Path == u.path {
			u.arrive(w, r, f.signin)
			return
		}
	}
	f.issuer.Handler().ServeHTTP(w, r)
}
