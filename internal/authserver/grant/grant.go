// Package grant decides who gets an access token and for what: a file per
// grant. A grant takes a client that has proved itself and the parameters of
// the request, and returns a token.Authorization; it signs nothing and writes
// nothing.
package grant

import (
	"fmt"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// Request is what a grant is asked with.
type Request struct {
	Form oauth.Params
	// Confirmation is the key that the client proved to hold with this request:
	// what is issued is bound to it.
	Confirmation token.Confirmation
	At           time.Time
}

// Targets are the resources that tokens may be for (RFC 8707).
type Targets struct {
	Default string   // the audience where a request names none
	Known   []string // every resource of this server, Default included
}

// maxTargets bounds the audience of one token.
const maxTargets = 10

// Choose returns the audience of a token: the resources asked for and no
// others (RFC 8707 §2.2), compared octet by octet, or the default. Those of a
// client without resources of its own are the default alone.
func (t Targets) Choose(allowed, requested []string) ([]string, error) {
	if len(allowed) == 0 {
		allowed = []string{t.Default}
	}
	if len(requested) == 0 {
		return t.implied(allowed)
	}
	if len(requested) > maxTargets {
		return nil, oauth.InvalidTarget(fmt.Sprintf("more than %d resources in one request", maxTargets))
	}
	var chosen []string
	for _, r := range requested {
		if err := oauth.CheckResource(r); err != nil {
			return nil, err
		}
		switch {
		case !slices.Contains(t.Known, r):
			return nil, oauth.InvalidTarget("resource is not one of this server's: send the identifier exactly as the API's metadata names it, slash by slash")
		case !slices.Contains(allowed, r):
			return nil, oauth.InvalidTarget("resource is not among those that this client may use")
		case !slices.Contains(chosen, r):
			chosen = append(chosen, r)
		}
	}
	return chosen, nil
}

// left are those of the resources that a client was given which it may still
// use.
func (t Targets) left(allowed, given []string) (left []string) {
	if len(allowed) == 0 {
		allowed = []string{t.Default}
	}
	for _, r := range given {
		if slices.Contains(allowed, r) && slices.Contains(t.Known, r) {
			left = append(left, r)
		}
	}
	return left
}

// implied is the audience of a request without resource.
func (t Targets) implied(allowed []string) ([]string, error) {
	switch {
	case t.Default != "" && slices.Contains(allowed, t.Default):
		return []string{t.Default}, nil
	case len(allowed) == 1 && slices.Contains(t.Known, allowed[0]):
		return []string{allowed[0]}, nil
	}
	return nil, oauth.InvalidTarget("resource is missing: this client may use several, name the one that the token is for")
}

// ChooseScope returns the scope of a token: what was asked for, if the client
// may have all of it (RFC 6749 §3.3). It is never narrowed in silence and never
// widened; a request without scope gets the client's default_scopes, which may
// be none.
func ChooseScope(c *client.Client, requested string) (oauth.Scope, error) {
	if requested == "" {
		return c.DefaultScopes.Intersect(c.Scopes), nil
	}
	scope, err := oauth.ParseScope(requested)
	if err != nil {
		return nil, err
	}
	refused := scope.Minus(c.Scopes)
	switch {
	case refused.IsZero():
		return scope, nil
	case c.PendingScopes.Covers(refused):
		return nil, oauth.InvalidScope(fmt.Sprintf("%d of the %d scopes asked for wait for the approval of an operator: until then ask for %s", len(refused), len(scope), mayAsk(c)))
	}
	return nil, oauth.InvalidScope(fmt.Sprintf("%d of the %d scopes asked for are not allowed to this client: ask for %s, or have an operator add them", len(refused), len(scope), mayAsk(c)))
}

// mayAsk lists what is registered: the client's own, not what it sent.
func mayAsk(c *client.Client) string {
	const most = 200 // characters
	names := c.Scopes.String()
	switch {
	case names == "":
		return "none, for none are allowed to it"
	case len(names) > most:
		return fmt.Sprintf("some of the %d that are", len(c.Scopes))
	}
	return "some of: " + names
}

// wholeSeconds is a life as expires_in can state it.
func wholeSeconds(d time.Duration) time.Duration { return d.Truncate(time.Second) }
