package authserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/authserver/registration"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// Who may register without an apikey.
const (
	RegistrationClosed = "closed" // nobody, and so does the zero value
	RegistrationToken  = "token"  // with an initial access token or an approved software statement
	RegistrationOpen   = "open"   // everybody, quarantined
)

// RegistrationStore keeps the clients that register themselves.
type RegistrationStore interface {
	// RegisterClient adds a client and spends the registration token for it in
	// one step. See client.Registration for its bounds.
	RegisterClient(ctx context.Context, r client.Registration, decide func(*client.Client, *client.RegistrationToken) error, e audit.Event) error
	UpdateClient(ctx context.Context, id string, update func(*client.Client) error, e audit.Event) (*client.Client, error)
	DeleteClient(ctx context.Context, id string, e audit.Event) error
}

// The bounds of open registration: clients that nobody uses go after a day, and
// there are few of them.
const (
	unusedLife = 24 * time.Hour
	mostUnused = 10_000
)

// The bounds of the clients of one software statement, which every copy of a
// program carries: what is installed is used within a month.
const (
	vouchedLife = 30 * 24 * time.Hour
	mostVouched = 100_000
)

// newRegistrationLimiter bounds how often a source registers on nobody's word: a
// suite of tests registers dozens within minutes.
func newRegistrationLimiter() *limit.Limiter { return limit.New(1.0/30, 100, 1<<14) }

// identityScopes are about the person alone: every client may ask for them
// (OIDC Core §5.4, §11).
var identityScopes = oauth.Scope{"openid", "profile", "email", "address", "phone", "offline_access"}

// voucher is on whose word a client registers.
type voucher struct {
	token     string              // an initial access token
	statement client.ForeignToken // of an issuer that is trusted for it
	vouched   bool                // false: nobody's
	scopes    oauth.Scope         // that may be asked for beside identityScopes
}

// takesRegistrations reports whether there is a registration endpoint.
func (s *Server) takesRegistrations() bool {
	return s.options.Registrar != nil || s.options.SelfRegistered != nil && (s.options.Registration == RegistrationToken || s.options.Registration == RegistrationOpen)
}

// isRegistrationToken reports whether a credential is an initial access token
// and not an apikey: its prefix says so.
func isRegistrationToken(presented string) bool {
	return strings.HasPrefix(presented, "offkey_"+secret.KindRegistrationToken+"_") && secret.WellFormed(presented)
}

// registersItself reports whether a registration with that credential, "" for
// none, is not about an apikey.
func (s *Server) registersItself(presented string) bool {
	if s.options.SelfRegistered == nil || s.options.Registration != RegistrationToken && s.options.Registration != RegistrationOpen {
		return false
	}
	return presented == "" || isRegistrationToken(presented)
}

// registerItself registers a client on the word of an operator, of an issuer, or
// on its own (RFC 7591 §3).
func (s *Server) registerItself(w http.ResponseWriter, r *http.Request, presented string) (registered, error) {
	source := s.options.Source(r)
	if err := s.checkSource(source); err != nil {
		return registered{}, err
	}
	md, err := readClientMetadata(w, r)
	if err != nil {
		return registered{}, err
	}
	by, md, err := s.vouchFor(r.Context(), presented, md)
	if err != nil {
		return registered{}, err
	}
	if by.token == "" { // a token is used up, a statement can be read out of every copy of a program
		if ok, after := s.registrations.Allow(clientauth.SourceName(source), s.options.Now()); !ok {
			return registered{}, clientauth.TooMany("too many clients are registered from this address: try again in %d s", after)
		}
	}
	if err := s.checkMetadata(r.Context(), &md, by.vouched); err != nil {
		return registered{}, err
	}
	c, secrets, err := s.makeClient(r.Context(), md, by, source)
	if errors.Is(err, client.ErrNoRegistrationToken) {
		s.countGuess(source)
		return registered{}, oauth.InvalidToken("the registration token is not known, used up or expired: ask the operator of this server for another").WithCause(err)
	}
	if err != nil {
		return registered{}, err
	}
	return s.describe(c, secrets)
}

// readClientMetadata reads the body of a registration.
func readClientMetadata(w http.ResponseWriter, r *http.Request) (oauth.ClientMetadata, error) {
	if mediaType(r) != "application/json" {
		return oauth.ClientMetadata{}, oauth.InvalidClientMetadata("the body must be application/json, and Content-Type must say so")
	}
	body, err := readBody(w, r)
	if err != nil {
		return oauth.ClientMetadata{}, err
	}
	return oauth.ParseClientMetadata(body)
}

// vouchFor finds on whose word a client registers. What a software statement
// says holds, whatever the client says beside it (RFC 7591 §2.3).
func (s *Server) vouchFor(ctx context.Context, presented string, md oauth.ClientMetadata) (voucher, oauth.ClientMetadata, error) {
	by := voucher{token: presented, vouched: presented != ""}
	if md.SoftwareStatement == "" {
		if !by.vouched && s.options.Registration != RegistrationOpen {
			return by, md, errNoApikey
		}
		return by, md, nil
	}
	if s.options.Federation == nil {
		return by, md, unapproved(nil)
	}
	found, err := s.options.Federation.Identify(ctx, client.Presented{Token: md.SoftwareStatement, For: client.TrustStatements})
	var failure *client.TrustFailure
	switch {
	case errors.As(err, &failure) && failure.Cause == client.TrustUnproved:
		return by, md, unapproved(failure)
	case errors.As(err, &failure):
		return by, md, &oauth.Error{Code: "invalid_software_statement", Status: http.StatusBadRequest, Description: oauth.CleanDescription(failure.Description), Cause: failure.Err}
	case err != nil:
		return by, md, fmt.Errorf("judge software statement: %w", err)
	}
	by.statement, by.vouched = found.Token, true
	if md, err = overlay(md, found.Token.Claims); err != nil {
		return by, md, err
	}
	if _, says := found.Token.Claims["scope"]; says {
		by.scopes, err = oauth.ParseScope(md.Scope)
	}
	return by, md, err
}

// unapproved answers a software statement that nobody here trusts (RFC 7591
// §3.2.2).
func unapproved(cause error) *oauth.Error {
	return &oauth.Error{
		Code: "unapproved_software_statement", Status: http.StatusBadRequest, Cause: cause,
		Description: "software statements of this issuer are not approved here: ask the operator of this server, or leave software_statement out",
	}
}

// overlay puts the claims of a statement over what the client says.
func overlay(md oauth.ClientMetadata, claims map[string]json.RawMessage) (oauth.ClientMetadata, error) {
	raw, err := json.Marshal(md)
	if err != nil {
		return md, fmt.Errorf("software statement: %w", err)
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &members); err != nil {
		return md, fmt.Errorf("software statement: %w", err)
	}
	for name, value := range claims {
		if name != "software_statement" {
			members[name] = value
		}
	}
	if raw, err = json.Marshal(members); err != nil {
		return md, fmt.Errorf("software statement: %w", err)
	}
	return oauth.ParseClientMetadata(raw)
}

// fixedBy is the metadata that a statement says, nil without one.
func fixedBy(claims map[string]json.RawMessage) (json.RawMessage, error) {
	if claims == nil {
		return nil, nil
	}
	md, err := overlay(oauth.ClientMetadata{}, claims)
	if err != nil {
		return nil, err
	}
	return json.Marshal(md)
}

// keepStatement puts what a statement has said once over what an update says: it
// vouches for no other redirect URI and no other name.
func keepStatement(c *client.Client, md *oauth.ClientMetadata) error {
	if c.Statement == nil {
		return nil
	}
	claims := map[string]json.RawMessage{}
	err := json.Unmarshal(c.Statement, &claims)
	if err != nil {
		return fmt.Errorf("client %s: software statement: %w", c.ID, err)
	}
	*md, err = overlay(*md, claims)
	return err
}

// checkMetadata holds metadata to what this server does. A client that nobody
// vouches for may only act for people, who are asked.
func (s *Server) checkMetadata(ctx context.Context, md *oauth.ClientMetadata, vouched bool) error {
	p := registration.Policy{
		Methods: append([]string{oauth.AuthNone}, s.authMethods()...), RequestAlgs: jose.ClientAlgorithms, DPoP: true, MutualTLS: s.options.MutualTLS,
	}
	// A trust rule names its client: no client makes itself one.
	p.Methods = slices.DeleteFunc(p.Methods, func(m string) bool { return m == oauth.AuthFederatedJWT })
	if s.options.Browser != nil {
		p.Grants = append(p.Grants, oauth.GrantAuthorizationCode, oauth.GrantRefreshToken)
	}
	if s.device != nil {
		p.Grants = append(p.Grants, oauth.GrantDeviceCode)
	}
	if vouched {
		p.Grants = append(p.Grants, oauth.GrantClientCredentials)
	}
	if err := registration.Check(md, p); err != nil {
		return err
	}
	if md.SectorIdentifierURI == "" {
		return nil
	}
	return s.checkSector(ctx, md)
}

// checkSector fetches what vouches for the redirect URIs (OIDC Registration §5).
func (s *Server) checkSector(ctx context.Context, md *oauth.ClientMetadata) error {
	if s.options.Fetch == nil {
		return oauth.InvalidClientMetadata("sector_identifier_uri is not supported here")
	}
	raw, err := s.options.Fetch(ctx, md.SectorIdentifierURI)
	var listed []string
	if err == nil {
		err = json.Unmarshal(raw, &listed)
	}
	if err != nil {
		return oauth.InvalidClientMetadata("the document at sector_identifier_uri cannot be fetched, or is no JSON array of redirect URIs").WithCause(err)
	}
	return registration.CheckSectorDocument(listed, md.RedirectURIs)
}

// handedOut is what a client is told once.
type handedOut struct {
	secret, access secret.Text
}

// audienceOf is strict, but for clients of OpenID Connect: that has them name the
// token endpoint in their assertions (OIDC Core §9), and registration no way to
// say which they do.
func audienceOf(c *client.Client) client.AudiencePolicy {
	if c.Allows(oauth.GrantAuthorizationCode) && c.AuthMethod == oauth.AuthPrivateKeyJWT {
		return client.Compat
	}
	return client.Strict
}

// newRegistrationAccess makes a registration access token (RFC 7592 §3).
func newRegistrationAccess(now time.Time) (secret.Text, client.Credential) {
	text := secret.Generate(secret.KindRegistrationAccess)
	return text, client.Credential{
		ID: client.NewCredentialID(), Kind: client.KindRegistration, Hash: secret.HashOf(text.Reveal()), Created: now.UTC().Truncate(time.Microsecond),
	}
}

// makeClient makes the client and stores it.
func (s *Server) makeClient(ctx context.Context, md oauth.ClientMetadata, by voucher, source netip.Addr) (*client.Client, handedOut, error) {
	now := s.options.Now().UTC().Truncate(time.Microsecond)
	c := &client.Client{ID: client.NewID(), Status: client.Active, Source: client.SourceRegistration, Created: now}
	c.Quarantined = !by.vouched
	var err error
	if c.Statement, err = fixedBy(by.statement.Claims); err != nil {
		return nil, handedOut{}, err
	}
	if err := registration.Apply(md, c, now); err != nil {
		return nil, handedOut{}, err
	}
	c.Audience = audienceOf(c)
	text, access := newRegistrationAccess(now)
	out := handedOut{access: text}
	c.Credentials = append(c.Credentials, access)
	out.secret = giveSecret(c, now)
	asked, err := oauth.ParseScope(md.Scope)
	if err != nil {
		return nil, handedOut{}, err
	}
	r := client.Registration{Client: c}
	if by.token != "" {
		r.Token = secret.HashOf(by.token)
	}
	switch {
	case !by.vouched:
		r.UnusedUntil, r.MostUnused = now.Add(unusedLife), mostUnused
	case c.Statement != nil && by.token == "": // a token has its uses
		r.UnusedUntil, r.MostVouched = now.Add(vouchedLife), s.mostVouched
		r.Voucher = secret.HashOf(by.statement.Issuer + " " + string(c.Statement)).String()
	}
	detail := map[string]any{"name": c.Name, "redirect_uris": c.RedirectURIs, "source": source.String(), "on_the_word_of": onTheWordOf(by, nil)}
	err = s.options.SelfRegistered.RegisterClient(ctx, r, func(c *client.Client, t *client.RegistrationToken) error {
		allowed := s.mayAskFor(c, by)
		if t != nil {
			allowed = allowed.Union(t.Scopes)
			detail["on_the_word_of"] = onTheWordOf(by, t)
		}
		grantScopes(c, asked, allowed)
		if c.Quarantined {
			// What it named is what it wants first: MCP clients name the scopes of
			// one challenge, and ask people for more at the next.
			c.Scopes = c.Scopes.Union(allowed)
		}
		return nil
	}, audit.Event{Actor: "client:" + c.ID, Action: "client.registered", Object: c.ID, Detail: detail})
	switch {
	case errors.Is(err, client.ErrTooManyVouched):
		err = oauth.TemporarilyUnavailable("as many clients have registered with this software statement as this server allows: ask its operator").WithCause(err)
	case errors.Is(err, client.ErrTooManyUnused):
		err = oauth.TemporarilyUnavailable("too many clients have registered here and were not used yet: try again later").WithCause(err)
	}
	return c, out, err
}

func onTheWordOf(by voucher, t *client.RegistrationToken) string {
	switch {
	case t != nil:
		return "registration token " + t.ID
	case by.statement.Issuer != "":
		return "statement of " + by.statement.Issuer
	}
	return "nobody"
}

// giveSecret gives a client that needs one a secret, and takes those away that it
// has no use for.
func giveSecret(c *client.Client, now time.Time) secret.Text {
	needs := c.AuthMethod == oauth.AuthClientSecretBasic || c.AuthMethod == oauth.AuthClientSecretPost
	has := slices.ContainsFunc(c.Credentials, func(cr client.Credential) bool { return cr.Kind == client.KindSecret && cr.Live(now) })
	switch {
	case !needs:
		c.Credentials = slices.DeleteFunc(c.Credentials, func(cr client.Credential) bool { return cr.Kind == client.KindSecret })
		return secret.Text{}
	case has:
		return secret.Text{}
	}
	made := secret.Generate(secret.KindClientSecret)
	c.Credentials = append(c.Credentials, client.Credential{ID: client.NewCredentialID(), Kind: client.KindSecret, Hash: secret.HashOf(made.Reveal()), Created: now})
	return made
}

// mayAskFor are the scopes that a client may ask for without an operator: who a
// person is, what its voucher says, and, where nobody vouches, what the API has:
// there a person is asked every time, and may grant no more than they have.
func (s *Server) mayAskFor(c *client.Client, by voucher) oauth.Scope {
	allowed := by.scopes
	if c.Allows(oauth.GrantAuthorizationCode) || c.Allows(oauth.GrantDeviceCode) {
		allowed = identityScopes.Union(allowed)
	}
	if c.Quarantined && s.options.APIScopes != nil {
		allowed = allowed.Union(s.options.APIScopes())
	}
	return allowed
}

// grantScopes lets a client ask for what is allowed of what it named, or for all
// of it where it named nothing. The rest waits for an operator: a registration
// alone grants nothing (RFC 7591 §2).
func grantScopes(c *client.Client, asked, allowed oauth.Scope) {
	c.PendingScopes, c.PendingReason = nil, ""
	if asked.IsZero() {
		c.Scopes = allowed
		return
	}
	c.Scopes, c.PendingScopes = asked.Intersect(allowed), asked.Minus(allowed)
	if !c.PendingScopes.IsZero() {
		c.PendingReason = "an operator must grant the scopes that wait: nothing needs to be changed, ask again later"
	}
}

// registered is the answer to a registration: what is registered, which may be
// less than was asked for (RFC 7591 §3.2.1, RFC 7592 §3).
type registered struct {
	oauth.ClientInformation
	Reason       string `json:"offkey_reason,omitempty"`
	PendingScope string `json:"offkey_pending_scope,omitempty"`
}

func (s *Server) describe(c *client.Client, out handedOut) (registered, error) {
	md, err := registration.Describe(c, s.options.Now())
	if err != nil {
		return registered{}, err
	}
	resp := registered{
		ClientInformation: oauth.ClientInformation{
			ClientID: c.ID, ClientIDIssuedAt: c.Created.Unix(), ClientMetadata: md,
			RegistrationAccessToken: out.access.Reveal(), RegistrationClientURI: s.endpoint(pathRegister) + "/" + c.ID,
		},
		Reason: c.PendingReason, PendingScope: c.PendingScopes.String(),
	}
	if !out.secret.IsZero() {
		never := int64(0)
		resp.ClientSecret, resp.ClientSecretExpiresAt = out.secret.Reveal(), &never
	}
	return resp, nil
}

// managed are the members that the server alone sets: a client that sends them
// back in an update is refused (RFC 7592 §2.2).
var managed = []string{"registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"}

// update is what an update says beside the metadata.
type update struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

// readUpdate reads the body of an update.
func readUpdate(w http.ResponseWriter, r *http.Request) (oauth.ClientMetadata, update, error) {
	var u update
	if mediaType(r) != "application/json" {
		return oauth.ClientMetadata{}, u, oauth.InvalidClientMetadata("the body must be application/json, and Content-Type must say so")
	}
	body, err := readBody(w, r)
	if err != nil {
		return oauth.ClientMetadata{}, u, err
	}
	md, err := oauth.ParseClientMetadata(body)
	if err != nil {
		return oauth.ClientMetadata{}, u, err
	}
	members := map[string]json.RawMessage{}
	if err := errors.Join(json.Unmarshal(body, &members), json.NewDecoder(bytes.NewReader(body)).Decode(&u)); err != nil {
		return oauth.ClientMetadata{}, u, oauth.InvalidClientMetadata("client_id and client_secret must be strings").WithCause(err)
	}
	for _, name := range managed {
		if _, there := members[name]; there {
			return oauth.ClientMetadata{}, u, oauth.InvalidClientMetadata(name + " must be left out of an update: RFC 7592 section 2.2")
		}
	}
	return md, u, nil
}
