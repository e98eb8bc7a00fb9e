package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
)

// TrustStore is what the management of trust rules asks of storage.
type TrustStore interface {
	CreateTrustRule(ctx context.Context, r *client.TrustRule, e audit.Event) error
	// SetTrustDisabled and DeleteTrustRule revoke the tokens of the client of a
	// rule that ends.
	SetTrustDisabled(ctx context.Context, id string, disabled bool, e audit.Event) error
	DeleteTrustRule(ctx context.Context, id string, e audit.Event) error
}

// Trust knows the rules in force.
type Trust interface {
	Rules() []*client.TrustRule // those of the file too; not to be changed
	// Examine says what would become of a token, and changes nothing.
	Examine(ctx context.Context, token string) (client.Examined, error)
}

// trustAnswer is a rule as it is shown.
type trustAnswer struct {
	*client.TrustRule
	Audience []string           `json:"audience"`
	Where    []client.Condition `json:"where"`
	MaxAge   string             `json:"max_age"`
	Keys     []string           `json:"keys,omitempty"` // thumbprints of keys that were given
	DryRun   bool               `json:"dry_run,omitempty"`
}

func shownTrust(r *client.TrustRule) trustAnswer {
	a := trustAnswer{TrustRule: r, Audience: orNone(r.Audience), Where: orNone(r.Where), MaxAge: r.MaxAge.String()}
	for _, k := range r.Keys.Keys {
		a.Keys = append(a.Keys, k.Thumbprint())
	}
	return a
}

func (s *Server) listTrust(r *http.Request) (any, error) {
	q, err := readQuery(r, "client", "limit", "after")
	if err != nil {
		return nil, err
	}
	limit, err := q.number("limit", defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	rules := slices.Clone(s.o.Trust.Rules())
	if ref := q.text("client"); ref != "" {
		c, err := s.findClient(r.Context(), ref)
		if err != nil {
			return nil, err
		}
		rules = slices.DeleteFunc(rules, func(t *client.TrustRule) bool { return t.ClientID != c.ID })
	}
	part, next, err := page(rules, func(t *client.TrustRule) string { return t.ID }, limit, q.text("after"))
	if err != nil {
		return nil, err
	}
	list := struct {
		Trust []trustAnswer `json:"trust"`
		Next  *string       `json:"next"`
	}{make([]trustAnswer, len(part)), next}
	for i, t := range part {
		list.Trust[i] = shownTrust(t)
	}
	return list, nil
}

// findTrust takes an id, a unique beginning of one, or a name.
func (s *Server) findTrust(ref string) (*client.TrustRule, error) {
	return pick("trust rule", ref, s.o.Trust.Rules(), func(t *client.TrustRule) (id, name string) { return t.ID, t.Name })
}

func (s *Server) showTrust(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	t, err := s.findTrust(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return shownTrust(t), nil
}

// trustProposal is a rule as an operator asks for it.
type trustProposal struct {
	Name     string                      `json:"name"`   // left out: what From says
	For      string                      `json:"for"`    // left out: client
	Client   string                      `json:"client"` // id, a beginning of it, or name
	From     string                      `json:"from"`   // of client.TrustFrom
	Subject  client.Pattern              `json:"subject"`
	Where    map[string][]client.Pattern `json:"where"`
	Audience []string                    `json:"audience"`
	JWKS     json.RawMessage             `json:"jwks"`
	JWKSURI  string                      `json:"jwks_uri"`
	MaxAge   string                      `json:"max_age"`
	Reusable *bool                       `json:"reusable"`
}

// rule makes the rule, but for its client.
func (p trustProposal) rule(now time.Time) (*client.TrustRule, error) {
	r, err := client.TrustFrom(p.From)
	if err != nil {
		return nil, badRequest("", "from: %v", err)
	}
	r.ID, r.Name, r.For, r.JWKSURI, r.Audience = client.NewTrustID(), cmp.Or(p.Name, p.From), cmp.Or(p.For, client.TrustClient), p.JWKSURI, p.Audience
	r.Source, r.Created = client.SourceAPI, now
	if r.For == client.TrustPeople {
		r.MaxAge = client.PeopleAge
	}
	if p.Subject != "" {
		r.Subject = p.Subject
	}
	for _, claim := range slices.Sorted(maps.Keys(p.Where)) {
		r.Where = slices.DeleteFunc(r.Where, func(c client.Condition) bool { return c.Claim == claim })
		r.Where = append(r.Where, client.Condition{Claim: claim, AnyOf: p.Where[claim]})
	}
	if p.MaxAge != "" {
		if r.MaxAge, err = parseLength(p.MaxAge); err != nil {
			return nil, badRequest("", "max_age: %v", err)
		}
	}
	if p.Reusable != nil {
		r.Reusable = *p.Reusable
	}
	if len(p.JWKS) > 0 {
		parse := jose.ParseIssuerKeySet
		if r.Kind == client.TrustSPIFFE {
			parse = jose.ParseBundle
		}
		if r.Keys, err = parse(p.JWKS); err != nil {
			return nil, badRequest("give the public keys of the issuer", "jwks: %v", err)
		}
	}
	return &r, checkLine("name", r.Name, true)
}

func (s *Server) addTrust(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[trustProposal](r)
	if err != nil {
		return nil, err
	}
	rule, err := p.rule(s.now())
	if err != nil {
		return nil, err
	}
	if p.Client != "" {
		if rule.ClientID, err = s.trustedClient(r.Context(), p.Client); err != nil {
			return nil, err
		}
	}
	if err := rule.Check(); err != nil {
		return nil, badRequest("", "%v", err)
	}
	if slices.ContainsFunc(s.o.Trust.Rules(), func(t *client.TrustRule) bool { return t.Name == rule.Name }) {
		return nil, problem(http.StatusConflict, "exists", "give it another name with --name", "a trust rule named %q exists", rule.Name)
	}
	shown := shownTrust(rule)
	if dryRun {
		shown.DryRun = true
		return shown, nil
	}
	if err := s.store.CreateTrustRule(r.Context(), rule, event(r, "trust.added", rule.ID, shown)); err != nil {
		return nil, err
	}
	return answer{http.StatusCreated, shown}, nil
}

// trustedClient finds the client of a rule, which must be registered for the
// tokens of others (RFC 7591 §2).
func (s *Server) trustedClient(ctx context.Context, ref string) (string, error) {
	c, err := s.findClient(ctx, ref)
	if err != nil {
		return "", err
	}
	if c.AuthMethod != oauth.AuthFederatedJWT {
		return "", problem(http.StatusConflict, "other_method", "make one for it: `offkey clients create --name NAME --auth federated_jwt --scopes LIST`",
			"client %s proves itself with %s, and not with tokens of another issuer", c.ID, c.AuthMethod)
	}
	return c.ID, nil
}

// changeTrust finds a rule that may be changed here, and changes it unless it is
// only to be shown.
func (s *Server) changeTrust(r *http.Request, change func(t *client.TrustRule) error) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	t, err := s.findTrust(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if t.Source == client.SourceFile {
		return nil, problem(http.StatusConflict, "declared_in_file", "change it there, then run `offkey config reload`", "trust rule %s is declared in the configuration file", t.ID)
	}
	shown := shownTrust(t)
	if shown.DryRun = dryRun; dryRun {
		return shown, nil
	}
	return shown, change(t)
}

func (s *Server) removeTrust(r *http.Request) (any, error) {
	return s.changeTrust(r, func(t *client.TrustRule) error {
		return s.store.DeleteTrustRule(r.Context(), t.ID, event(r, "trust.removed", t.ID, shownTrust(t)))
	})
}

func (s *Server) disableTrust(r *http.Request) (any, error) {
	return s.setTrust(r, true, "trust.disabled")
}

func (s *Server) enableTrust(r *http.Request) (any, error) {
	return s.setTrust(r, false, "trust.enabled")
}

func (s *Server) setTrust(r *http.Request, disabled bool, action string) (any, error) {
	if _, err := readJSON[struct{}](r); err != nil {
		return nil, err
	}
	body, err := s.changeTrust(r, func(t *client.TrustRule) error {
		return s.store.SetTrustDisabled(r.Context(), t.ID, disabled, event(r, action, t.ID, nil))
	})
	if shown, ok := body.(trustAnswer); ok && err == nil {
		after := *shown.TrustRule
		after.Disabled, shown.TrustRule = disabled, &after
		return shown, nil
	}
	return nil, err
}

// tokenToExamine is a token of another issuer. It is a credential, and so is
// sent in a body and never kept.
type tokenToExamine struct {
	Token string `json:"token"`
}

func (s *Server) testTrust(r *http.Request) (any, error) {
	p, err := readJSON[tokenToExamine](r)
	if err != nil {
		return nil, err
	}
	out, err := s.o.Trust.Examine(r.Context(), p.Token)
	var unreadable *client.TrustFailure
	if errors.As(err, &unreadable) {
		return nil, badRequest("send the token as its issuer gave it", "%s", unreadable.Description)
	}
	if err != nil {
		return nil, fmt.Errorf("examine the token: %w", err)
	}
	return out, nil
}
