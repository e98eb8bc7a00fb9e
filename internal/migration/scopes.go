package migration

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// ScopeUse is a scope that a caller's successful calls needed.
type ScopeUse struct {
	Name      string    `json:"name"`
	Class     Class     `json:"class"`
	Calls     int64     `json:"calls"`
	FirstSeen time.Time `json:"first_used"`
	LastSeen  time.Time `json:"last_used"`
	// Unseen: the calls passed, and what the API answered to them was never seen
	// here. Nothing is granted on them without an operator.
	Unseen bool `json:"unseen,omitempty"`
}

// maxScopes is how many scopes a caller can be found to need: no more fit in
// one scope parameter.
const maxScopes = 100

// scopeFold gathers the scopes of one caller's rows.
type scopeFold struct {
	rules *policy.Ruleset
	uses  map[string]*ScopeUse
}

func newScopeFold(rules *policy.Ruleset) *scopeFold {
	return &scopeFold{rules: rules, uses: map[string]*ScopeUse{}}
}

// add folds a row in. Only success counts: whoever tries doors gets no scope
// for those that stayed shut, nor by OPTIONS, which most APIs answer to
// everybody. A conditional request that was answered "not modified" has read.
// Where a proxy asked about the calls nobody here knows, and the use says so.
func (f *scopeFold) add(r traffic.Row) {
	if r.Method == http.MethodOptions || !r.MayBeOK() {
		return
	}
	for _, name := range scopesOfOperation(f.rules, r.Method, r.Template) {
		use := f.uses[name]
		if use == nil {
			if len(f.uses) >= maxScopes {
				continue
			}
			use = &ScopeUse{Name: name, Class: ClassOf(name), Unseen: true}
			f.uses[name] = use
		}
		use.Calls += r.Calls
		use.Unseen = use.Unseen && r.Status == traffic.StatusUnknown
		use.FirstSeen, use.LastSeen = earliest(use.FirstSeen, r.First), latest(use.LastSeen, r.Last)
	}
}

// scopesOfOperation are the scopes that a recorded operation needs: those of its
// route, or without one a name made for it. Where the template leaves open which
// of several routes it was, none is taken: a scope is given on evidence only.
func scopesOfOperation(rules *policy.Ruleset, method, template string) oauth.Scope {
	candidates := rules.Candidates(method, template, traffic.IsIdentifier)
	switch route := candidates[0]; {
	case len(candidates) > 1:
		return nil
	case route == nil:
		if name, ok := scopeName(method, template); ok {
			return oauth.Scope{name}
		}
		return nil
	case route.Open:
		return nil
	default:
		return route.Scopes
	}
}

func (f *scopeFold) list() []ScopeUse {
	out := make([]ScopeUse, 0, len(f.uses))
	for _, use := range f.uses {
		out = append(out, *use)
	}
	slices.SortFunc(out, func(a, b ScopeUse) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// ScopesUsed are the scopes that the recorded calls of a credential needed, by
// the rules that hold now, as far as the API was seen to answer with success.
func (r *Road) ScopesUsed(ctx context.Context, c traffic.Credential) ([]ScopeUse, error) {
	fold := newScopeFold(r.Rules())
	err := r.Store.Traffic(ctx, traffic.Filter{Credential: &c}, func(row traffic.Row) error {
		fold.add(row)
		return nil
	})
	return slices.DeleteFunc(fold.list(), func(use ScopeUse) bool { return use.Unseen }), err
}

// namesOf are the names of uses.
func namesOf(uses []ScopeUse) oauth.Scope {
	scope := make(oauth.Scope, 0, len(uses))
	for _, use := range uses {
		scope = append(scope, use.Name)
	}
	return scope
}
