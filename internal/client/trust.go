package client

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/offkey/offkey/internal/jose"
)

// What the tokens under a TrustRule are good for.
const (
	TrustClient     = "client"     // whoever has one is the client of the rule
	TrustStatements = "statements" // they vouch for what a client says when it registers (RFC 7591 §2.3)
	// TrustPeople lets clients act for people of an identity provider
	// (draft-ietf-oauth-identity-assertion-authz-grant).
	TrustPeople = "people"
)

// The kinds of other issuers. They differ in what is filled in for them.
const (
	TrustOIDC       = "oidc"
	TrustGitHub     = "github"
	TrustGitLab     = "gitlab"
	TrustKubernetes = "kubernetes"
	TrustSPIFFE     = "spiffe"
)

// TrustRule lets tokens of another issuer stand for something here. Everything
// it says must hold; what no rule names is refused. The zero value trusts
// nobody.
type TrustRule struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	For      string `json:"for"`                 // one of TrustClient and so on
	ClientID string `json:"client_id,omitempty"` // whom the tokens prove, with TrustClient
	Kind     string `json:"kind"`
	Issuer   string `json:"issuer"` // iss, octet by octet; of SPIFFE the trust domain as spiffe://example.org

	JWKSURI string      `json:"jwks_uri,omitempty"` // where its keys are; "" finds them by the issuer's metadata
	Keys    jose.KeySet `json:"-"`                  // given, instead of fetched

	Audience []string    `json:"audience,omitempty"` // every aud must be among them; none: our issuer
	Subject  Pattern     `json:"subject"`
	Where    []Condition `json:"where,omitempty"` // all must hold
	// MaxAge is how long ago a token may have been made.
	MaxAge time.Duration `json:"-"`
	// Reusable tokens may come again until they expire: their issuer hands the
	// same one out several times, or puts no jti into it.
	Reusable bool `json:"reusable"`

	Disabled bool      `json:"disabled"`
	Source   string    `json:"source"`
	Created  time.Time `json:"created,omitzero"`
}

// Condition is a claim and the values that it may have.
type Condition struct {
	// Claim is the name of a claim, or, with a slash at its start, the way to a
	// member inside of one (RFC 6901 §3).
	Claim string    `json:"claim"`
	AnyOf []Pattern `json:"any_of"`
}

// The bounds of a rule.
const (
	MaxTrustAge   = 24 * time.Hour
	PeopleAge     = 10 * time.Minute // of an assertion about a person, unless the rule says otherwise
	maxTrustText  = 512              // bytes of a pattern, a claim's name, an audience
	maxTrustItems = 20               // conditions, values of one, audiences
)

// NewTrustID makes the id of a trust rule.
func NewTrustID() string { return "tr_" + uuid.Must(uuid.NewV7()).String() }

// What a store answers about trust rules.
var (
	ErrNoTrust     = errors.New("no such trust rule")
	ErrTrustExists = errors.New("a trust rule with this name exists")
)

// Check reports what, if anything, makes a rule unfit to be used.
func (r *TrustRule) Check() error {
	for _, check := range []func() error{r.checkPurpose, r.checkIssuer, r.checkKeys, r.checkAudience, r.checkSubject, r.checkWhere, r.checkAge} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (r *TrustRule) checkPurpose() error {
	switch r.For {
	case TrustClient:
		if r.ClientID == "" {
			return errors.New("the rule names no client: whoever has such a token must be somebody")
		}
	case TrustStatements:
		if r.ClientID != "" {
			return fmt.Errorf("the rule is for %s and names a client too", r.For)
		}
		if r.Kind == TrustSPIFFE {
			return fmt.Errorf("tokens of SPIFFE are for clients, not for %s", r.For)
		}
	case TrustPeople:
		switch {
		case r.ClientID != "":
			return fmt.Errorf("the rule is for %s and names a client too: the assertion does that", r.For)
		case r.Kind != TrustOIDC:
			return fmt.Errorf("tokens of %s are of workloads, not of people", r.Kind)
		case r.Reusable:
			return errors.New("an assertion about a person is good once: the rule lets it come again")
		}
	default:
		return fmt.Errorf("the rule is for %q: it is client, statements or people", r.For)
	}
	return nil
}

func (r *TrustRule) checkIssuer() error {
	if r.Kind == TrustSPIFFE {
		domain, ok := strings.CutPrefix(r.Issuer, "spiffe://")
		if !ok || !isTrustDomain(domain) {
			return fmt.Errorf("%q is no trust domain: write spiffe://example.org, in lower case", r.Issuer)
		}
		return nil
	}
	return checkFetched("issuer", r.Issuer, true)
}

// isTrustDomain holds a trust domain to the letters of SPIFFE-ID §2.1.
func isTrustDomain(s string) bool {
	return s != "" && len(s) <= 255 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == ""
}

// checkFetched wants a URL that can be fetched: https, or http to loopback,
// which the fetcher allows in test set-ups alone.
func checkFetched(what, raw string, identifier bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%s %q is not an https URL", what, raw)
	case u.User != nil || strings.Contains(raw, "#") || identifier && strings.Contains(raw, "?"):
		return fmt.Errorf("%s %q has a user, a query or a fragment", what, raw)
	}
	return nil
}

func (r *TrustRule) checkKeys() error {
	switch {
	case r.JWKSURI != "" && len(r.Keys.Keys) > 0:
		return errors.New("the rule has keys and an address where keys are: keep one")
	case r.JWKSURI != "":
		return checkFetched("the address of the keys", r.JWKSURI, false)
	case r.Kind == TrustSPIFFE && len(r.Keys.Keys) == 0:
		return errors.New("the rule does not say where the bundle of the trust domain is: a SPIFFE ID alone does not lead there")
	}
	return nil
}

func (r *TrustRule) checkAudience() error {
	if len(r.Audience) > maxTrustItems {
		return fmt.Errorf("the rule has more than %d audiences", maxTrustItems)
	}
	for _, a := range r.Audience {
		if a == "" || len(a) > maxTrustText {
			return errors.New("an audience of the rule is empty or too long")
		}
	}
	return nil
}

// checkSubject refuses to trust everybody whom an issuer knows: what one
// operator means by that another does not.
func (r *TrustRule) checkSubject() error {
	switch {
	case (r.For == TrustStatements || r.For == TrustPeople) && r.Subject == "": // of people those count who are known here
		return nil
	case r.Subject == "":
		return errors.New("the rule names no subject: say whose tokens are meant")
	case r.Kind == TrustSPIFFE && !strings.HasPrefix(string(r.Subject), r.Issuer+"/"):
		return fmt.Errorf("the subject %q is not in the trust domain %s", r.Subject, r.Issuer)
	case r.Subject.matchesAll() && len(r.Where) == 0:
		return fmt.Errorf("the subject %q is everybody at that issuer: name a part of it, or a claim", r.Subject)
	}
	return r.Subject.check()
}

func (r *TrustRule) checkWhere() error {
	if len(r.Where) > maxTrustItems {
		return fmt.Errorf("the rule has more than %d conditions", maxTrustItems)
	}
	for _, c := range r.Where {
		switch {
		case c.Claim == "" || c.Claim == "/" || len(c.Claim) > maxTrustText:
			return fmt.Errorf("%q is no name of a claim", c.Claim)
		case len(c.AnyOf) == 0 || len(c.AnyOf) > maxTrustItems:
			return fmt.Errorf("the condition on %s has %d values: 1 to %d are possible", c.Claim, len(c.AnyOf), maxTrustItems)
		}
		for _, p := range c.AnyOf {
			if err := p.check(); err != nil {
				return fmt.Errorf("the condition on %s: %w", c.Claim, err)
			}
		}
	}
	return nil
}

func (r *TrustRule) checkAge() error {
	if r.MaxAge < time.Second || r.MaxAge > MaxTrustAge {
		return fmt.Errorf("tokens of up to %s would be taken: 1s to 24h are possible", r.MaxAge)
	}
	return nil
}
