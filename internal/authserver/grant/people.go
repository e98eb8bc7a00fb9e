package grant

import (
	"context"
	"errors"
	"fmt"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
)

// People is what grants ask of the directory.
type People interface {
	// Person returns a person and the scopes that they may hand on to clients.
	// It is directory.ErrNotFound where there is none, or where nobody may act
	// for them any more.
	Person(ctx context.Context, id string) (p *directory.Person, mayGrant oauth.Scope, err error)
}

// checkPerson refuses what was allowed by somebody who may not sign in any more,
// and returns the part of scope that they still may hand on.
func checkPerson(ctx context.Context, people People, id string, scope oauth.Scope) (oauth.Scope, error) {
	p, may, err := people.Person(ctx, id)
	switch {
	case errors.Is(err, directory.ErrNotFound), err == nil && p.Status != directory.Active && p.Status != directory.Invited:
		return nil, oauth.InvalidGrant("the person who allowed this may not sign in any more")
	case err != nil:
		return nil, fmt.Errorf("read the person of a grant: %w", err)
	}
	left := scope.Intersect(may)
	if left.IsZero() && !scope.IsZero() {
		return nil, oauth.InvalidGrant("nothing is left of what was allowed: the person has lost the right to it")
	}
	return left, nil
}
