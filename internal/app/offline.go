package app

import (
	"io"

	"github.com/offkey/offkey/internal/migration"
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
