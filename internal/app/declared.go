package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// declaration is what of a configuration is kept in the store.
type declaration struct {
	clients []*client.Client
	people  *declaredPeople
}

// readDeclared reads what a file declares, and refuses what the store has of
// others. It changes nothing.
func (a *App) readDeclared(ctx context.Context, cfg *config.Loaded) (d declaration, err error) {
	if d.clients, err = a.readDeclaredClients(ctx, cfg); err != nil {
		return d, err
	}
	d.people, err = a.readDeclaredPeople(ctx, cfg)
	return d, err
}

// declare brings the store in line with what a file declares.
func (a *App) declare(ctx context.Context, d declaration) error {
	if err := a.declareClients(ctx, d.clients); err != nil {
		return err
	}
	return a.declarePeople(ctx, d.people)
}

// readDeclaredClients reads the clients of the file and what they prove
// themselves with, and refuses ids that other clients have. It changes nothing.
func (a *App) readDeclaredClients(ctx context.Context, cfg *config.Loaded) ([]*client.Client, error) {
	all := make([]*client.Client, 0, len(cfg.Clients))
	for i, c := range cfg.Clients {
		want, err := clientOf(cfg, c, a.Now())
		if err == nil {
			err = a.checkFree(ctx, want.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("clients[%d]: %w", i, err)
		}
		all = append(all, want)
	}
	return all, nil
}

// checkFree refuses the id of a client that no file has declared.
func (a *App) checkFree(ctx context.Context, id string) error {
	have, err := a.db.Client(ctx, id)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	return declaredBefore(have)
}

func declaredBefore(have *client.Client) error {
	if have.Source != client.SourceFile {
		return fmt.Errorf("the client %s exists already and was not declared in a file; choose another id, or delete it with `offkey clients delete %s`", have.ID, have.ID)
	}
	return nil
}

// declareClients brings the store in line with the clients of the file: new
// ones are made, changed ones changed, and those that are gone from the file
// deleted. Clients that the file never had are left alone.
func (a *App) declareClients(ctx context.Context, all []*client.Client) error {
	declared := make(map[string]bool, len(all))
	for _, want := range all {
		declared[want.ID] = true
		if err := a.declareClient(ctx, want); err != nil {
			return fmt.Errorf("client %s: %w", want.ID, err)
		}
	}
	return a.withdrawClients(ctx, declared)
}

func (a *App) declareClient(ctx context.Context, want *client.Client) error {
	event := func(action string) audit.Event { return audit.Event{Actor: "system", Action: action, Object: want.ID} }
	have, err := a.db.Client(ctx, want.ID)
	switch {
	case errors.Is(err, client.ErrNotFound):
		return a.db.CreateClient(ctx, want, event("client.declared"))
	case err != nil:
		return err
	}
	keepHistory(want, have)
	if reflect.DeepEqual(want, have) {
		return nil
	}
	_, err = a.db.UpdateClient(ctx, want.ID, func(c *client.Client) error {
		if err := declaredBefore(c); err != nil { // made meanwhile
			return err
		}
		keepHistory(want, c)
		*c = *want
		return nil
	}, event("client.declared"))
	return err
}

// keepHistory takes over what the file does not say: when a client and those
// of its credentials that stay were made and last used, and whether it is stopped.
func keepHistory(want, have *client.Client) {
	want.Created, want.LastUsed = have.Created, have.LastUsed
	proven := false
	for i := range want.Credentials {
		for _, old := range have.Credentials {
			if sameCredential(want.Credentials[i], old) {
				want.Credentials[i] = old
				proven = true
			}
		}
	}
	// One that was stopped for a leak stays so while it proves itself by what has
	// leaked.
	if have.Status == client.Disabled && proven {
		want.Status = client.Disabled
	}
}

func sameCredential(a, b client.Credential) bool {
	switch {
	case a.Kind != b.Kind:
		return false
	case a.Kind == client.KindSecret:
		return a.Hash.Equal(b.Hash)
	}
	return a.Key != nil && b.Key != nil && a.Key.ID == b.Key.ID && a.Key.Thumbprint() == b.Key.Thumbprint()
}

// withdrawClients deletes the clients of the file that it no longer has.
func (a *App) withdrawClients(ctx context.Context, declared map[string]bool) error {
	for after := ""; ; {
		page, next, err := a.db.Clients(ctx, client.Filter{Limit: 500, After: after})
		if err != nil {
			return fmt.Errorf("read the clients: %w", err)
		}
		for _, c := range page {
			if c.Source != client.SourceFile || declared[c.ID] {
				continue
			}
			if err := a.db.DeleteClient(ctx, c.ID, audit.Event{Actor: "system", Action: "client.withdrawn", Object: c.ID}); err != nil {
				return fmt.Errorf("delete the client %s, which the file no longer has: %w", c.ID, err)
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// clientOf is a declared client as it is registered.
func clientOf(cfg *config.Loaded, c config.Client, now time.Time) (*client.Client, error) {
	scopes, err := oauth.ParseScope(strings.Join(c.Scopes, " "))
	if err != nil {
		return nil, err
	}
	defaults, err := oauth.ParseScope(strings.Join(c.DefaultScopes, " "))
	if err != nil {
		return nil, err
	}
	out := &client.Client{
		ID: c.ID, Name: c.Name, Owner: c.Owner, Status: client.Active, AuthMethod: c.Auth,
		Audience: client.AudiencePolicy(c.Audience), JWKSURI: c.JWKSURI,
		Scopes: scopes, DefaultScopes: defaults, Resources: c.Resources,
		Source: client.SourceFile, Created: now.UTC().Truncate(time.Microsecond),
	}
	if out.Name == "" {
		out.Name = out.ID
	}
	if out.Audience == "" {
		out.Audience = client.Strict
	}
	for _, name := range c.Grants {
		out.Grants = append(out.Grants, config.GrantType(name))
	}
	if len(out.Grants) == 0 {
		out.Grants = []string{oauth.GrantClientCredentials}
		if out.AuthMethod == oauth.AuthFederatedJWT {
			out.Grants = append(out.Grants, oauth.GrantJWTBearer)
		}
	}
	if out.Details, err = detailsOf(c); err != nil {
		return nil, err
	}
	out.Credentials, err = credentialsOf(cfg, c, out.Created)
	return out, err
}

// detailsOf is what of a declared client is about people and bound tokens.
func detailsOf(c config.Client) (client.Details, error) {
	d := client.Details{
		ApplicationType: c.Type, RedirectURIs: c.RedirectURIs, PKCEOptional: c.PKCE == "optional", Profile: c.Profile,
		RequirePAR: c.PAR == "required", RequestAlg: jose.Algorithm(c.RequestAlg), DPoPBound: c.DPoPBound, CertificateBound: c.CertificateBound,
		IDTokenAlg: jose.Algorithm(c.IDTokenAlg), SubjectType: c.SubjectType, SectorIdentifier: c.SectorIdentifier,
		PostLogoutRedirectURIs: c.PostLogoutRedirectURIs, BackchannelLogoutURI: c.BackchannelLogoutURI, BackchannelLogoutSession: c.BackchannelLogoutURI != "",
		Exchange:         exchangeOf(c.Exchange),
		InitiateLoginURI: c.InitiateLoginURI, ClientURI: c.URI, LogoURI: c.LogoURI, PolicyURI: c.PolicyURI, TosURI: c.TosURI,
	}
	if c.TLSSubject == "" {
		return d, nil
	}
	kind, value, _ := strings.Cut(c.TLSSubject, ":")
	into := map[string]*string{"dn": &d.TLS.DN, "dns": &d.TLS.DNS, "uri": &d.TLS.URI, "ip": &d.TLS.IP, "email": &d.TLS.Email}[kind]
	if into == nil || value == "" {
		return d, fmt.Errorf("tls_subject %q: does not say what it is: write dn:, dns:, uri:, ip: or email: before the value", c.TLSSubject)
	}
	*into = value
	if err := d.TLS.Check(); err != nil {
		return d, fmt.Errorf("tls_subject: %w", err)
	}
	return d, nil
}

func exchangeOf(e config.Exchange) client.Exchange {
	act := client.Acting(e.Act)
	if act == "optional" {
		act = client.ActOptional
	}
	return client.Exchange{From: e.From, Resources: e.Resources, Act: act}
}

func credentialsOf(cfg *config.Loaded, c config.Client, now time.Time) ([]client.Credential, error) {
	if c.JWKSFile != "" {
		raw, err := os.ReadFile(cfg.Path(c.JWKSFile))
		if err != nil {
			return nil, fmt.Errorf("jwks_file: %w", err)
		}
		parse := jose.ParseKeySet
		if c.Auth == oauth.AuthSelfSignedTLSClient {
			parse = jose.ParseCertificateKeySet
		}
		set, err := parse(raw)
		if err != nil {
			return nil, fmt.Errorf("jwks_file %s: %w", c.JWKSFile, err)
		}
		var credentials []client.Credential
		for _, k := range set.Keys {
			credentials = append(credentials, client.Credential{ID: client.NewCredentialID(), Kind: client.KindJWK, Key: &k, Created: now})
		}
		return credentials, nil
	}
	if c.CertificateFile != "" {
		raw, err := os.ReadFile(cfg.Path(c.CertificateFile))
		if err != nil {
			return nil, fmt.Errorf("certificate_file: %w", err)
		}
		key, err := jose.ParseCertificatePEM(raw)
		if err != nil {
			return nil, fmt.Errorf("certificate_file %s: %w", c.CertificateFile, err)
		}
		return []client.Credential{{ID: client.NewCredentialID(), Kind: client.KindJWK, Key: &key, Created: now}}, nil
	}
	value := c.Secret.Reveal()
	if c.SecretFile != "" {
		raw, err := os.ReadFile(cfg.Path(c.SecretFile))
		if err != nil {
			return nil, fmt.Errorf("secret_file: %w", err)
		}
		if value = strings.TrimRight(string(raw), "\r\n"); len(value) < config.ShortestSecret {
			return nil, fmt.Errorf("secret_file %s holds fewer than %d characters; make one with `openssl rand -base64 32`", c.SecretFile, config.ShortestSecret)
		}
	}
	if value == "" {
		return nil, nil
	}
	return []client.Credential{{ID: client.NewCredentialID(), Kind: client.KindSecret, Hash: secret.HashOf(value), Created: now}}, nil
}
