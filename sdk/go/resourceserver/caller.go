package resourceserver

import (
	"context"
	"slices"
	"time"
)

// Caller is who makes a request, as it has been proved.
type Caller struct {
	// ClientID is the program, Subject whom it acts for: a person, or itself. With an
	// API key that is mapped to no client there is neither.
	ClientID, Subject string
	Scopes            []string
	// TokenID is the jti of the token; Credential is "token:…", or for an API key
	// "apikey" or "apikey:…". Such a caller has no scopes, and meets every demand.
	TokenID, Credential string
	Expires             time.Time // of the token
	// ACR and AuthTime say how and when its person signed in.
	ACR      string
	AuthTime time.Time
	// Bound says that the token is of use to its holder alone.
	Bound bool
}

// Has reports whether the caller has a scope.
func (c *Caller) Has(scope string) bool { return c != nil && slices.Contains(c.Scopes, scope) }

type callerKey struct{}

// CallerOf is who makes the request of that context; nil outside of Protect.
func CallerOf(ctx context.Context) *Caller {
	c, _ := ctx.Value(callerKey{}).(*Caller)
	return c
}
