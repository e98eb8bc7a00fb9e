package app

import (
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/federation"
	"github.com/offkey/offkey/internal/gateway"
	"github.com/offkey/offkey/internal/token"
)

// issuers are the authorization servers whose tokens open the API beside ours.
func (a *App) issuers(cfg *config.Loaded) ([]gateway.TrustedIssuer, error) {
	if len(cfg.Issuers) == 0 {
		return nil, nil
	}
	fetcher, err := federation.NewFetcher(federation.Options{AllowPrivate: cfg.Outbound.AllowPrivate, CAFile: cfg.Path(cfg.Outbound.CAFile)})
	if err != nil {
		return nil, err
	}
	keys := federation.NewIssuerKeys(fetcher, a.Now)
	var trusted []gateway.TrustedIssuer
	for _, i := range cfg.Issuers {
		o := token.RemoteOptions{
			Issuer: i.Issuer, Audience: i.Audience, Keys: keys.Of(i.Issuer, i.JWKSURI), Now: a.Now,
			CacheSize: tokenCacheSize, Map: gateway.OfIssuer(i.Name, i.Clients, i.Scopes),
		}
		if i.Tokens == "jwt" {
			o.Claims = &token.ForeignClaims{}
		}
		trusted = append(trusted, gateway.TrustedIssuer{Name: i.Name, Verifier: token.NewRemoteVerifier(o)})
	}
	return trusted, nil
}
