package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// clientProposal is a client as an operator asks for it.
type clientProposal struct {
	ID          string          `json:"client_id"` // left out: one is made
	Auth        string          `json:"auth"`
	JWKS        json.RawMessage `json:"jwks"`
	Certificate string          `json:"certificate"` // PEM, of self_signed_tls_client_auth
	clientMembers
}

// clientMembers are what a client is made with and what can be changed. Those
// left out stay, or have their zero value in a new one.
type clientMembers struct {
	Name          *string                `json:"name,omitempty"`
	Owner         *string                `json:"owner,omitempty"`
	SigningAlg    *jose.Algorithm        `json:"signing_alg,omitempty"`
	Audience      *client.AudiencePolicy `json:"audience,omitempty"`
	JWKSURI       *string                `json:"jwks_uri,omitempty"`
	Grants        *[]string              `json:"grants,omitempty"`
	Scopes        *oauth.Scope           `json:"scopes,omitempty"`
	DefaultScopes *oauth.Scope           `json:"default_scopes,omitempty"`
	Resources     *[]string              `json:"resources,omitempty"`
	Exchange      *client.Exchange       `json:"exchange,omitempty"` // as a whole

	TLS              *client.TLSSubject `json:"tls,omitempty"` // of tls_client_auth
	DPoPBound        *bool              `json:"dpop_bound_access_tokens,omitempty"`
	CertificateBound *bool              `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	Profile          *string            `json:"profile,omitempty"`
	forPeople
}

// assign takes over all but JWKSURI, which has its own rules.
func (p clientMembers) assign(c *client.Client) {
	set(&c.Name, p.Name)
	set(&c.Owner, p.Owner)
	set(&c.SigningAlg, p.SigningAlg)
	c.SigningAlg = jose.AlgorithmNamed(string(c.SigningAlg))
	set(&c.Audience, p.Audience)
	set(&c.Grants, p.Grants)
	set(&c.Scopes, p.Scopes)
	set(&c.DefaultScopes, p.DefaultScopes)
	set(&c.Resources, p.Resources)
	set(&c.Exchange, p.Exchange)
	set(&c.TLS, p.TLS)
	set(&c.DPoPBound, p.DPoPBound)
	set(&c.CertificateBound, p.CertificateBound)
	set(&c.Profile, p.Profile)
	p.forPeople.apply(c)
}

// clientMethods are the ways in which a client can prove itself here.
var clientMethods = []string{
	oauth.AuthPrivateKeyJWT, oauth.AuthClientSecretBasic, oauth.AuthClientSecretPost, oauth.AuthFederatedJWT, oauth.AuthTLSClient, oauth.AuthSelfSignedTLSClient,
	oauth.AuthNone,
}

// client makes the client, with a new secret where its method is one.
func (p clientProposal) client(now time.Time) (clientAnswer, error) {
	c := &client.Client{ID: p.ID, Status: client.Active, AuthMethod: p.Auth, Source: client.SourceAPI, Created: now}
	p.assign(c)
	set(&c.JWKSURI, p.JWKSURI)
	if c.ID == "" {
		c.ID = client.NewID()
	}
	if c.Audience == "" {
		c.Audience = client.Strict
	}
	if len(c.Grants) == 0 && c.AuthMethod != oauth.AuthNone {
		c.Grants = []string{oauth.GrantClientCredentials}
		if c.AuthMethod == oauth.AuthFederatedJWT {
			c.Grants = append(c.Grants, oauth.GrantJWTBearer)
		}
	}
	made := clientAnswer{Client: c}
	if err := p.credential(&made, now); err != nil {
		return clientAnswer{}, err
	}
	return made, checkClient(c)
}

// credential gives the client what its method needs, and nothing else.
func (p clientProposal) credential(made *clientAnswer, now time.Time) error {
	keys, uri := len(p.JWKS) > 0, made.JWKSURI != ""
	switch {
	case p.Auth == "":
		return badRequest("it is "+strings.Join(clientMethods, ", "), "auth is missing")
	case !slices.Contains(clientMethods, p.Auth):
		return badRequest("it is "+strings.Join(clientMethods, ", "), "auth is %q, which this release does not have", p.Auth)
	case p.Certificate != "":
		return p.certificate(made, now)
	case !hasKeys(p.Auth) && (keys || uri):
		return badRequest("leave them out, or use auth private_key_jwt", "a client with auth %s has no public keys", p.Auth)
	case p.Auth == oauth.AuthFederatedJWT, p.Auth == oauth.AuthTLSClient, p.Auth == oauth.AuthNone: // checkBinding holds the subject of the latter
		made.Credentials = []client.Credential{}
		return nil
	case !hasKeys(p.Auth):
		value := secret.Generate(secret.KindClientSecret)
		made.Credentials, made.Secret = []client.Credential{newSecret(value, now)}, value.Reveal()
		return nil
	case keys == uri:
		return badRequest("give one of jwks and jwks_uri", "a client with auth %s needs its public keys from one place", p.Auth)
	case uri:
		made.Credentials = []client.Credential{}
		return nil
	}
	var err error
	made.Credentials, err = credentialsOf(p.JWKS, p.Auth, now)
	return err
}

// certificate takes the key of a certificate, which is all that counts of one that
// signed itself (RFC 8705 §2.2.2).
func (p clientProposal) certificate(made *clientAnswer, now time.Time) error {
	switch {
	case p.Auth != oauth.AuthSelfSignedTLSClient:
		return badRequest("leave it out, or use auth self_signed_tls_client_auth", "a client with auth %s is not known by its certificate", p.Auth)
	case len(p.JWKS) > 0 || made.JWKSURI != "":
		return badRequest("give one of certificate, jwks and jwks_uri", "the client's key comes from two places")
	}
	key, err := jose.ParseCertificatePEM([]byte(p.Certificate))
	if err != nil {
		return badRequest("send one certificate in PEM, without its key", "certificate: %v", err)
	}
	made.Credentials = []client.Credential{{ID: client.NewCredentialID(), Kind: client.KindJWK, Key: &key, Created: now}}
	return nil
}

// hasKeys reports whether clients of a method are known by public keys.
func hasKeys(method string) bool {
	return method == oauth.AuthPrivateKeyJWT || method == oauth.AuthSelfSignedTLSClient
}

// keyAddition brings further public keys.
type keyAddition struct {
	JWKS json.RawMessage `json:"jwks"`
	// Overlap ends the keys that are there after this long; left out, they stay.
	Overlap string `json:"overlap"`
}

func (p keyAddition) overlap() (*time.Duration, error) {
	if p.Overlap == "" {
		return nil, nil
	}
	d, err := parseLength(p.Overlap)
	if err != nil {
		return nil, badRequest("", "overlap: %v", err)
	}
	return &d, nil
}

func credentialsOf(jwks json.RawMessage, method string, now time.Time) ([]client.Credential, error) {
	if len(jwks) == 0 {
		return nil, badRequest("send a JWK set with the public keys", "jwks is missing")
	}
	parse := jose.ParseKeySet
	if method == oauth.AuthSelfSignedTLSClient {
		parse = jose.ParseCertificateKeySet
	}
	set, err := parse(jwks)
	if err != nil {
		return nil, badRequest("make one with `offkey keygen`", "jwks: %v", err)
	}
	out := make([]client.Credential, 0, len(set.Keys))
	for _, k := range set.Keys {
		out = append(out, client.Credential{ID: client.NewCredentialID(), Kind: client.KindJWK, Key: &k, Created: now})
	}
	return out, nil
}

// clientChanges are the members to change; those left out stay.
type clientChanges struct{ clientMembers }

func (p clientChanges) apply(c *client.Client, now time.Time) error {
	if p == (clientChanges{}) {
		return badRequest("name at least one member to change", "the request changes nothing")
	}
	p.assign(c)
	if p.JWKSURI != nil {
		if !hasKeys(c.AuthMethod) {
			return badRequest("", "a client with auth %s has no public keys", c.AuthMethod)
		}
		if *p.JWKSURI == "" && len(c.Keys(now).Keys) == 0 {
			return problem(http.StatusConflict, "no_keys", "name another address", "client %s would be left without public keys", c.ID)
		}
		c.JWKSURI = *p.JWKSURI
	}
	return checkClient(c)
}

func set[T any](dst *T, to *T) {
	if to != nil {
		*dst = *to
	}
}

// maxName bounds names, owners and labels, in characters.
const maxName = 200

// checkClient holds what must be true of every client that an operator makes.
func checkClient(c *client.Client) error {
	if err := checkLine("name", c.Name, true); err != nil {
		return err
	}
	if err := checkLine("owner", c.Owner, false); err != nil {
		return err
	}
	if strings.Trim(c.ID, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") != "" || len(c.ID) > 100 {
		return badRequest("use up to 100 letters, digits and -._~, or leave it out", "client_id is %q", c.ID)
	}
	if err := client.CheckID(c.ID); err != nil {
		return badRequest("leave it out, or choose another", "%v", err)
	}
	if strings.HasPrefix(c.ID, "ak_") {
		return badRequest("leave it out, or choose another", "client_id starts with ak_, as ids of apikeys do")
	}
	for _, member := range []struct {
		name  string
		value oauth.Scope
	}{{"scopes", c.Scopes}, {"default_scopes", c.DefaultScopes}} {
		parsed, err := oauth.ParseScope(strings.Join(member.value, " "))
		if err != nil {
			return badRequest("", "%s: %v", member.name, err)
		}
		if len(parsed) != len(member.value) {
			return badRequest("name each scope once, one in each element", "%s has an element that is empty, repeated or holds a space", member.name)
		}
	}
	if extra := c.DefaultScopes.Minus(c.Scopes); !extra.IsZero() {
		return badRequest("add it to scopes too", "default_scopes names %s, which scopes does not", extra)
	}
	for _, g := range c.Grants {
		known := slices.Contains(grantsForPeople, g) || g == oauth.GrantClientCredentials || g == oauth.GrantTokenExchange
		if !known && !(g == oauth.GrantJWTBearer && c.AuthMethod != oauth.AuthNone) {
			return badRequest("use client_credentials, "+strings.Join(grantsForPeople, ", ")+" or "+oauth.GrantTokenExchange, "grants names %q, which is none that this client can have", g)
		}
	}
	if err := checkExchange(c); err != nil {
		return err
	}
	if err := checkBinding(c); err != nil {
		return err
	}
	if err := checkForPeople(c); err != nil {
		return err
	}
	for _, resource := range c.Resources {
		if err := oauth.CheckResource(resource); err != nil {
			return badRequest("", "resources: %v", err)
		}
	}
	return checkAssertion(c)
}

// checkExchange holds whose tokens a client may exchange.
func checkExchange(c *client.Client) error {
	switch e := c.Exchange; {
	case c.Allows(oauth.GrantTokenExchange) != (len(e.From) > 0):
		return badRequest("name the clients whose tokens it may exchange, or leave both out", "exchange.from and the grant %s come together", oauth.GrantTokenExchange)
	case e.Act != client.ActOptional && e.Act != client.ActRequired && e.Act != client.ActNone:
		return badRequest("it is required or none, or left out", "exchange.act is %q", e.Act)
	}
	for _, resource := range c.Exchange.Resources {
		if err := oauth.CheckResource(resource); err != nil {
			return badRequest("", "exchange.resources: %v", err)
		}
	}
	return nil
}

// checkBinding holds what concerns certificates, and the profile.
func checkBinding(c *client.Client) error {
	if c.AuthMethod == oauth.AuthTLSClient {
		if err := c.TLS.Check(); err != nil {
			return badRequest(`send one, as in {"tls_client_auth_subject_dn":"CN=edge,O=Acme"}`, "tls: %v", err)
		}
	} else if c.TLS != (client.TLSSubject{}) {
		return badRequest("leave it out, or use auth tls_client_auth", "a client with auth %s is not known by the subject of a certificate", c.AuthMethod)
	}
	switch {
	case c.Profile != "" && c.Profile != client.ProfileFAPI2:
		return badRequest("it is fapi2, or left out", "profile is %q", c.Profile)
	case c.Profile == client.ProfileFAPI2 && c.AuthMethod != oauth.AuthPrivateKeyJWT && c.AuthMethod != oauth.AuthTLSClient && c.AuthMethod != oauth.AuthSelfSignedTLSClient:
		return badRequest("use private_key_jwt or mutual TLS", "a client with auth %s cannot keep the profile fapi2", c.AuthMethod)
	}
	return nil
}

// checkAssertion holds what concerns private_key_jwt alone.
func checkAssertion(c *client.Client) error {
	byKey := c.AuthMethod == oauth.AuthPrivateKeyJWT
	switch {
	case c.Audience != client.Strict && c.Audience != client.Compat:
		return badRequest("it is strict or compat", "audience is %q", c.Audience)
	case c.Audience == client.Compat && !byKey:
		return badRequest("leave it out", "audience: compat is about assertions, and a client with auth %s sends none", c.AuthMethod)
	case c.SigningAlg != "" && !byKey:
		return badRequest("leave it out", "signing_alg is about assertions, and a client with auth %s sends none", c.AuthMethod)
	case c.SigningAlg != "" && !slices.Contains(jose.ClientAlgorithms, c.SigningAlg):
		return badRequest("", "signing_alg is %q: it is one of %v", c.SigningAlg, jose.ClientAlgorithms)
	case c.JWKSURI == "":
		return nil
	}
	u, err := url.Parse(c.JWKSURI)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && !(u.Scheme == "http" && oauth.IsLoopback(u.Hostname())) {
		return badRequest("write it as https://app.example.com/jwks.json", "jwks_uri is %q, which is no https URL", c.JWKSURI)
	}
	return nil
}

// checkLine holds a name to one readable line.
func checkLine(member, value string, needed bool) error {
	switch {
	case needed && strings.TrimSpace(value) == "":
		return badRequest("give it one that people recognise", "%s is missing", member)
	case utf8.RuneCountInString(value) > maxName:
		return badRequest("", "%s has more than %d characters", member, maxName)
	case !utf8.ValidString(value), strings.ContainsFunc(value, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }):
		return badRequest("", "%s has a control character", member)
	}
	return nil
}
