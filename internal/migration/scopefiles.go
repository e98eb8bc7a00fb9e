package migration

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/offkey/offkey/internal/openapi"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// ScopeSources are what scopes are designed and inferred from. Each may be
// missing, but not all.
type ScopeSources struct {
	OpenAPI []byte
	Routes  []policy.Route
	// Traffic opens recorded calls, one Observation a line. It is read twice
	// where nothing else says which operations there are.
	Traffic func() (io.ReadCloser, error)
	Actions Actions
}

// DesignFiles designs scopes from files alone.
func DesignFiles(s ScopeSources) (Design, error) {
	operations, err := s.operations()
	if err != nil {
		return Design{}, err
	}
	return DesignScopes(operations, s.Actions), nil
}

// operations are those of the document, else those of the traffic. Routes say
// which scopes they need already.
func (s ScopeSources) operations() ([]APIOperation, error) {
	var out []APIOperation
	switch {
	case len(s.OpenAPI) > 0:
		doc, err := openapi.Read(s.OpenAPI)
		if err != nil {
			return nil, fmt.Errorf("OpenAPI file: %w", err)
		}
		for _, op := range doc.Operations {
			out = append(out, APIOperation{Method: op.Method, Template: op.Template, Tags: op.Tags, Summary: op.Summary, Declared: op.AnyOf, Open: op.Open})
		}
	case s.Traffic != nil:
		recovery := traffic.NewRecovery()
		err := s.each(func(_ int, o traffic.Observation, problem error) error {
			if problem == nil && callOf(o).needed() {
				recovery.Add(o.Method, o.Path, o.Credential.ID, 1)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out = recovered(recovery)
	}
	return withRoutes(out, s.Routes), nil
}

func (s ScopeSources) each(yield func(line int, o traffic.Observation, problem error) error) error {
	in, err := s.Traffic()
	if err != nil {
		return err
	}
	defer in.Close()
	if err := traffic.ReadObservations(in, yield); err != nil {
		return fmt.Errorf("traffic file: %w", err)
	}
	return nil
}

func recovered(r *traffic.Recovery) (out []APIOperation) {
	for _, op := range r.Operations() {
		if op.Method != "*" && op.Method != "OPTIONS" && op.Method != "HEAD" {
			out = append(out, APIOperation{Method: op.Method, Template: op.Template})
		}
	}
	return out
}

// withRoutes takes the scopes of routes for those that operations declare, and
// the routes that no operation is for as operations of their own.
func withRoutes(operations []APIOperation, routes []policy.Route) []APIOperation {
	if len(routes) == 0 {
		return operations
	}
	rules := policy.Ruleset{}.Build(routes, nil)
	taken := map[string]bool{}
	for i, op := range operations {
		candidates := rules.Candidates(op.Method, op.Template, traffic.IsIdentifier)
		route := candidates[0]
		if len(candidates) > 1 || route == nil {
			continue
		}
		taken[route.Match()] = true
		operations[i].Open = route.Open
		if operations[i].Declared = nil; len(route.Scopes) > 0 && !route.Open {
			operations[i].Declared = [][]string{route.Scopes}
		}
	}
	for _, route := range routes {
		if taken[route.Match()] || route.Method == "" || strings.HasSuffix(route.Template, "/**") {
			continue
		}
		op := APIOperation{Method: route.Method, Template: route.Template, Open: route.Open}
		if len(route.Scopes) > 0 {
			op.Declared = [][]string{route.Scopes}
		}
		operations = append(operations, op)
	}
	return operations
}

// InferFiles infers the scopes of callers from files alone.
func InferFiles(s ScopeSources, o InferOptions) (Inference, error) {
	operations, err := s.operations()
	if err != nil {
		return Inference{}, err
	}
	table := newOperationTable(DesignScopes(operations, s.Actions))
	if len(s.Routes) > 0 {
		table.rules = policy.Ruleset{}.Build(s.Routes, nil)
	}
	fold := newInferFold(table, o)
	lines, malformed, bad := 0, 0, []BadLine{}
	err = s.each(func(line int, o traffic.Observation, problem error) error {
		lines++
		if problem != nil {
			malformed++
			if len(bad) < maxBadLines {
				bad = append(bad, BadLine{line, problem.Error()})
			}
			return nil
		}
		fold.add(callOf(o))
		return nil
	})
	if err != nil {
		return Inference{}, err
	}
	out := fold.result()
	out.Lines, out.Malformed, out.BadLines = lines-malformed, malformed, bad
	return out, nil
}

// DesignScopes designs scopes for what was recorded, or for a document, with
// those of the rules that hold now.
func (r *Road) DesignScopes(ctx context.Context, document []byte, actions Actions) (Design, error) {
	operations, err := r.operations(ctx, document)
	if err != nil {
		return Design{}, err
	}
	return DesignScopes(operations, actions), nil
}

// InferScopes infers the scopes of callers from what was recorded.
func (r *Road) InferScopes(ctx context.Context, document []byte, actions Actions, o InferOptions) (Inference, error) {
	operations, err := r.operations(ctx, document)
	if err != nil {
		return Inference{}, err
	}
	table := newOperationTable(DesignScopes(operations, actions))
	table.rules = r.Rules()
	fold := newInferFold(table, o)
	err = r.Store.Traffic(ctx, traffic.Filter{From: o.Window.From, To: o.Window.To}, func(row traffic.Row) error {
		fold.add(callsOf(row))
		return nil
	})
	if err != nil {
		return Inference{}, err
	}
	return fold.result(), nil
}

func (r *Road) operations(ctx context.Context, document []byte) ([]APIOperation, error) {
	var out []APIOperation
	if len(document) > 0 {
		doc, err := ScopeSources{OpenAPI: document}.operations()
		if err != nil {
			return nil, err
		}
		out = doc
	} else {
		recovery := traffic.NewRecovery()
		err := r.Store.Traffic(ctx, traffic.Filter{}, func(row traffic.Row) error {
			if callsOf(row).needed() {
				recovery.Add(row.Method, row.Template, row.Credential.ID, row.Calls)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out = recovered(recovery)
	}
	var routes []policy.Route
	for _, route := range r.Rules().Routes() {
		routes = append(routes, *route)
	}
	return withRoutes(out, routes), nil
}
