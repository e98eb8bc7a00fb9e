package policy

import "github.com/offkey/offkey/internal/oauth"

// allIncluded adds to what each scope includes what that includes in turn, round
// circles once.
func allIncluded(declared map[string]oauth.Scope) map[string]oauth.Scope {
	if len(declared) == 0 {
		return nil
	}
	all := make(map[string]oauth.Scope, len(declared))
	for name := range declared {
		found := oauth.Scope{name}
		for i := 0; i < len(found); i++ {
			found = found.Union(declared[found[i]])
		}
		all[name] = found[1:]
	}
	return all
}

// satisfies reports whether a token with the scope may do what needs all of need:
// each of them is in the scope, or included in a broader one that is.
func (rs *Ruleset) satisfies(scope, need oauth.Scope) bool {
	if scope.Covers(need) {
		return true
	}
	all := scope
	for _, name := range scope {
		all = all.Union(rs.Includes[name])
	}
	return all.Covers(need)
}
