package app

import (
	"context"
	"time"

	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
)

// letPeopleGrant gives the authorization server what the flows of people need.
// The keys that it derives stay what they are for as long as the master key
// does.
func (a *App) letPeopleGrant(cfg *config.Loaded, f *flows, o *authserver.Options) {
	o.Browser, o.Grants, o.People, o.Devices = f.signin, a.db, grantors{a.views.people}, a.db
	o.Links = a.db
	o.RefreshKey, o.SubjectKey = a.data.master.Derive("refresh tokens"), a.data.master.Derive("pairwise subjects")
	o.WantKey = a.views.ring.Want
	o.RefreshLife, o.RefreshIdle = time.Duration(cfg.Tokens.Refresh.TTL), time.Duration(cfg.Tokens.Refresh.Idle)
	o.RefreshGrace = time.Duration(cfg.Tokens.Refresh.ReuseGrace)
	o.RequirePAR = cfg.Features.PAR == "required"
}

// grantors are the people as grants ask about them.
type grantors struct{ directory *directory.Directory }

// Person implements authserver.People.
func (g grantors) Person(ctx context.Context, id string) (*directory.Person, oauth.Scope, error) {
	s, err := g.directory.Standing(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if s.Open() != nil {
		return nil, nil, directory.ErrNotFound // nobody may act for them
	}
	return s.Person, s.MayGrant, nil
}

// tellLogouts is the job that tells clients of sessions that have ended.
func (a *App) tellLogouts(ctx context.Context) error {
	f := a.flows.Load()
	return f.issuer.TellLogouts(ctx, a.db, f.poster)
}
