package directory

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/oauth"
)

// claimScopes are the standard claims by the scope that opens them (OIDC Core
// §5.4).
var claimScopes = map[string][]string{
	"profile": {
		"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
		"gender", "birthdate", "zoneinfo", "locale", "updated_at",
	},
	"email":   {"email", "email_verified"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
}

// ClaimNames are the standard claims that people can have (OIDC Discovery §3
// claims_supported), sub apart.
func ClaimNames() []string {
	return slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(claimScopes))...)))
}

// ScopeOf is the scope that opens a standard claim, "" where the claim is none.
func ScopeOf(claim string) string {
	for scope, claims := range claimScopes {
		if slices.Contains(claims, claim) {
			return scope
		}
	}
	return ""
}

// ClaimsFor are the standard claims about the person that these scopes open
// (OIDC Core §5.4). sub is whoever asks's to add: it may be pairwise.
func (p *Person) ClaimsFor(scope oauth.Scope) map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	for _, name := range scope {
		for _, claim := range claimScopes[name] {
			if value := p.Claim(claim); value != nil {
				all[claim] = value
			}
		}
	}
	return all
}

// Claim is the value of one standard claim, nil where the person has none.
func (p *Person) Claim(name string) json.RawMessage {
	if value, there := p.Claims[name]; there {
		return value
	}
	switch name {
	case "preferred_username":
		return quoted(p.Name)
	case "name":
		return quoted(p.fullName())
	case "email":
		if p.Email != "" {
			return quoted(p.Email)
		}
	case "email_verified":
		if p.Email != "" {
			return json.RawMessage(fmt.Sprint(p.EmailVerified))
		}
	case "updated_at":
		at := p.Updated
		if at.IsZero() {
			at = p.Created
		}
		return json.RawMessage(fmt.Sprint(at.Unix()))
	}
	return nil
}

// fullName is name where it was not given: of its parts, else what is typed to
// sign in.
func (p *Person) fullName() string {
	var parts []string
	for _, claim := range []string{"given_name", "middle_name", "family_name"} {
		var part string
		if json.Unmarshal(p.Claims[claim], &part) == nil && part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return p.Name
	}
	return strings.Join(parts, " ")
}

// checkClaim refuses what is no standard claim, what the person has a field
// for, and values of another type than OIDC Core §5.1 gives.
func checkClaim(name string, value json.RawMessage) error {
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return fmt.Errorf("the claim %s is no JSON", name)
	}
	var fits bool
	switch name {
	case "email", "sub":
		return fmt.Errorf("the claim %s is not set here: it follows from the person", name)
	case "address": // OIDC Core §5.1.1
		_, fits = v.(map[string]any)
	case "email_verified", "phone_number_verified":
		_, fits = v.(bool)
	case "updated_at":
		_, fits = v.(float64)
	default:
		if !slices.Contains(ClaimNames(), name) {
			return fmt.Errorf("the claim %s is no standard claim of a person: use %s", name, strings.Join(ClaimNames(), ", "))
		}
		_, fits = v.(string)
	}
	if !fits {
		return fmt.Errorf("the claim %s is of the wrong type (OIDC Core §5.1)", name)
	}
	return nil
}

func quoted(s string) json.RawMessage {
	raw, _ := json.Marshal(s) // of a string
	return raw
}
