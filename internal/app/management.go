package app

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"time"

	"github.com/offkey/offkey/internal/api"
	"github.com/offkey/offkey/internal/token"
)

// managementAPI joins the parts that operators ask and change.
func (a *App) managementAPI() (*api.Server, error) {
	return api.New(api.Options{
		Store: a.db, Road: road{a.road, a.recorder}, People: a.views.people, Links: peopleLinks{a}, Keyring: a.views.ring, Config: configuration{a}, Trust: trust{a},
		Ruleset: a.views.rules.Load, Surroundings: a.surroundings, Verify: a.verify,
		Fingerprint: a.data.pepper.Fingerprint, Bearers: a.bearers(), Now: a.Now, Log: a.Log,
	})
}

// verify checks a token as the gateway would.
func (a *App) verify(raw string) (*token.Verified, error) {
	return a.flows.Load().gateway.Verifier.Verify(raw)
}

// surroundings are what doctor looks at besides the store.
func (a *App) surroundings() api.Surroundings {
	cfg := a.flows.Load().cfg
	s := api.Surroundings{DataDir: a.data.path, Issuer: cfg.Issuer, Resource: cfg.Gateway.Resource, Version: a.Version}
	if cfg.Secrets.MasterKey.IsZero() {
		s.Secrets = append(s.Secrets, filepath.Join(a.data.path, "master.key"))
	}
	if cfg.Secrets.Pepper.IsZero() {
		s.Secrets = append(s.Secrets, filepath.Join(a.data.path, "pepper.key"))
	}
	for name, u := range cfg.Gateway.Upstreams {
		up := api.DoctorUpstream{Name: name, URL: u.URL, WantsAPIKey: u.TokenCall == "apikey"}
		if u.CAFile != "" {
			if pool, err := certPool(cfg.Path(u.CAFile)); err == nil { // a file that cannot be read was refused before
				up.HTTP = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
			}
		}
		s.Upstreams = append(s.Upstreams, up)
	}
	return s
}
