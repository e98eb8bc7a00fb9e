package app

import (
	"io"

	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/openapi"
	"github.com/offkey/offkey/internal/policy"
)

// What commands do on files alone, without a running process. The answers are
// those of package migration; the commands know no flow.
type (
	// PlanRequest says what to plan.
	PlanRequest = migration.PlanRequest
	// FilePlan is a plan over a traffic file.
	FilePlan = migration.FilePlan
	// Window is a span of time.
	Window = migration.Window
	// ScopeSources are files from which scopes are designed and inferred.
	ScopeSources = migration.ScopeSources
	// ScopeActions says how finely scopes tell apart what is done.
	ScopeActions = migration.Actions
	// InferOptions say how scopes are inferred.
	InferOptions = migration.InferOptions
	// Design is a vocabulary of scopes.
	Design = migration.Design
	// Inference is which scopes callers need.
	Inference = migration.Inference
)

// PlanFiles plans over recorded observations, one JSON object a line.
func PlanFiles(q PlanRequest, rules *policy.Ruleset, observations io.Reader) (FilePlan, error) {
	return migration.PlanFiles(q, rules, observations)
}

// ReadRoutes reads a file of routes.
func ReadRoutes(r io.Reader) ([]policy.Route, error) { return migration.ReadRoutes(r) }

// ScopeFor proposes the scope of an operation that declares none.
func ScopeFor(method, template string) (name string, ok bool) {
	return migration.ScopeFor(method, template)
}

// DesignScopes designs scopes from files.
func DesignScopes(s ScopeSources) (Design, error) { return migration.DesignFiles(s) }

// InferScopes infers the scopes of callers from files.
func InferScopes(s ScopeSources, o InferOptions) (Inference, error) {
	return migration.InferFiles(s, o)
}

// RewriteOpenAPI writes OAuth, and the scopes that its operations have or are
// proposed, into a document.
func RewriteOpenAPI(s ScopeSources, mode, issuer string) (out []byte, operations int, err error) {
	d, err := migration.DesignFiles(s)
	if err != nil {
		return nil, 0, err
	}
	r := openapi.Rewriting{Mode: mode, Issuer: issuer, AnyOf: map[string][][]string{}}
	for _, scope := range d.Scopes {
		r.Scopes = append(r.Scopes, openapi.Scope{Name: scope.Name, Description: scope.Description})
	}
	for _, op := range d.Operations {
		if len(op.AnyOf) > 0 {
			r.AnyOf[op.Method+" "+op.Template] = op.AnyOf
		}
	}
	out, err = openapi.Rewrite(s.OpenAPI, r)
	return out, len(r.AnyOf), err
}

// RoutesDocument is routes as the management API takes them.
func RoutesDocument(routes []policy.Route) any { return migration.RoutesDocument(routes) }
