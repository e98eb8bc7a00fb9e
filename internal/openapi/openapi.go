// Package openapi reads what a document says of an API's operations: OpenAPI 3
// and Swagger 2, in YAML or JSON, and writes scopes into one. What the scopes
// mean and how they are chosen is left to others; nothing is fetched, and no
// file is read that a document points to.
package openapi

import (
	"bytes"
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/pb33f/libopenapi"
	"github.com/pb33f/libopenapi/datamodel"
	"github.com/pb33f/libopenapi/datamodel/high/base"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// Document is what is read of a document.
type Document struct {
	Title      string
	Version    string // of the specification: 3.1.0, 2.0
	Operations []Operation
}

// Operation is a method on a template, with the server's path before it.
type Operation struct {
	Method   string
	Template string
	ID       string
	Summary  string
	Tags     []string
	// AnyOf are the alternatives of scopes that open it, each of scopes that are
	// needed together; none if the document names no scope.
	AnyOf [][]string
	Open  bool // passes without a credential
}

// maxDocument bounds a document, in bytes.
const maxDocument = 64 << 20

// Read reads a document.
func Read(raw []byte) (Document, error) {
	if len(raw) > maxDocument {
		return Document{}, fmt.Errorf("longer than %d MiB", maxDocument>>20)
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	doc, err := libopenapi.NewDocumentWithConfiguration(raw, &datamodel.DocumentConfiguration{
		SkipExternalRefResolution: true, SkipCircularReferenceCheck: true, IgnorePolymorphicCircularReferences: true, IgnoreArrayCircularReferences: true, SkipJSONConversion: true,
	})
	if err != nil {
		return Document{}, fmt.Errorf("not an OpenAPI document: %w", err)
	}
	defer doc.Release()
	if info := doc.GetSpecInfo(); info != nil && strings.HasPrefix(info.Version, "2") {
		return readV2(doc)
	}
	return readV3(doc)
}

func readV3(doc libopenapi.Document) (Document, error) {
	model, err := doc.BuildV3Model()
	if model == nil {
		return Document{}, fmt.Errorf("not an OpenAPI 3 document: %w", err)
	}
	m := model.Model
	schemes := map[string]bool{}
	if m.Components != nil && m.Components.SecuritySchemes != nil {
		for name, s := range m.Components.SecuritySchemes.FromOldest() {
			schemes[name] = s.Type == "oauth2" || s.Type == "openIdConnect"
		}
	}
	out := Document{Version: m.Version}
	if m.Info != nil {
		out.Title = m.Info.Title
	}
	prefix := ""
	if len(m.Servers) > 0 {
		prefix = serverPath(m.Servers[0])
	}
	if m.Paths == nil || m.Paths.PathItems == nil {
		return Document{}, fmt.Errorf("it has no paths")
	}
	for path, item := range m.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			o := Operation{Method: strings.ToUpper(method), Template: join(prefix, path), ID: op.OperationId, Summary: op.Summary, Tags: op.Tags}
			o.secure(op.Security, m.Security, schemes)
			out.add(o)
		}
	}
	return out.sorted()
}

func readV2(doc libopenapi.Document) (Document, error) {
	model, err := doc.BuildV2Model()
	if model == nil {
		return Document{}, fmt.Errorf("not a Swagger 2 document: %w", err)
	}
	m := model.Model
	schemes := map[string]bool{}
	if m.SecurityDefinitions != nil && m.SecurityDefinitions.Definitions != nil {
		for name, s := range m.SecurityDefinitions.Definitions.FromOldest() {
			schemes[name] = s.Type == "oauth2"
		}
	}
	out := Document{Version: m.Swagger}
	if m.Info != nil {
		out.Title = m.Info.Title
	}
	if m.Paths == nil || m.Paths.PathItems == nil {
		return Document{}, fmt.Errorf("it has no paths")
	}
	for path, item := range m.Paths.PathItems.FromOldest() {
		for method, op := range item.GetOperations().FromOldest() {
			o := Operation{Method: strings.ToUpper(method), Template: join(m.BasePath, path), ID: op.OperationId, Summary: op.Summary, Tags: op.Tags}
			o.secure(op.Security, m.Security, schemes)
			out.add(o)
		}
	}
	return out.sorted()
}

// serverPath is the path that all operations begin with.
func serverPath(s *v3.Server) string {
	text := s.URL
	if s.Variables != nil {
		for name, v := range s.Variables.FromOldest() {
			text = strings.ReplaceAll(text, "{"+name+"}", v.Default)
		}
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Path
}

func join(prefix, path string) string {
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix != "" && !strings.HasPrefix(prefix, "/") {
		prefix = "/" + prefix
	}
	return prefix + "/" + strings.TrimPrefix(path, "/")
}

// usual are the methods that clients call.
var usual = []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}

func (d *Document) add(o Operation) {
	if slices.Contains(usual, o.Method) {
		d.Operations = append(d.Operations, o)
	}
}

func (d Document) sorted() (Document, error) {
	if len(d.Operations) == 0 {
		return Document{}, fmt.Errorf("it has no operations")
	}
	slices.SortFunc(d.Operations, func(a, b Operation) int {
		return cmp.Or(cmp.Compare(a.Template, b.Template), cmp.Compare(slices.Index(usual, a.Method), slices.Index(usual, b.Method)))
	})
	return d, nil
}

// secure reads what an operation asks for: its own requirements if it has any,
// even none, else those of all. An alternative without an OAuth scheme, an
// apikey as a rule, says nothing about scopes.
func (o *Operation) secure(own, all []*base.SecurityRequirement, schemes map[string]bool) {
	requirements := all
	if own != nil {
		requirements = own
	}
	o.Open = own != nil && len(own) == 0
	for _, r := range requirements {
		if r.ContainsEmptyRequirement {
			o.Open, o.AnyOf = true, nil
			return
		}
		if r.Requirements == nil {
			continue
		}
		var together []string
		for name, scopes := range r.Requirements.FromOldest() {
			if !schemes[name] {
				continue
			}
			for _, s := range scopes {
				if oauth.IsScopeName(s) && !slices.Contains(together, s) {
					together = append(together, s)
				}
			}
		}
		slices.Sort(together)
		if len(together) > 0 && !slices.ContainsFunc(o.AnyOf, func(a []string) bool { return slices.Equal(a, together) }) {
			o.AnyOf = append(o.AnyOf, together)
		}
	}
}
