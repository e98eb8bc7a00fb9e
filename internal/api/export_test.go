package api

// Patterns are the endpoints, for tests of all of them.
func Patterns() (all []string) {
	for _, e := range (*Server)(nil).endpoints() {
		all = append(all, e.pattern)
	}
	return all
}

// ScopeOf is the scope that an endpoint needs.
func ScopeOf(pattern string) string { return scopeOf(pattern) }
