package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/app"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"go.yaml.in/yaml/v3"
)

// openAPI is what is read of an OpenAPI 3 document.
type openAPI struct {
	OpenAPI    string                          `yaml:"openapi"`
	Swagger    string                          `yaml:"swagger"`
	Servers    []openAPIServer                 `yaml:"servers"`
	Security   []map[string][]string           `yaml:"security"`
	Paths      map[string]map[string]yaml.Node `yaml:"paths"`
	Components struct {
		Schemes map[string]openAPIScheme `yaml:"securitySchemes"`
	} `yaml:"components"`
}

type openAPIServer struct {
	URL       string `yaml:"url"`
	Variables map[string]struct {
		Default string `yaml:"default"`
	} `yaml:"variables"`
}

type openAPIScheme struct {
	Type   string `yaml:"type"`
	In     string `yaml:"in"`
	Name   string `yaml:"name"`
	Scheme string `yaml:"scheme"`
}

type openAPIOperation struct {
	Security *[]map[string][]string `yaml:"security"`
}

// apiFacts are what a document tells about an API.
type apiFacts struct {
	server string // URL of the first server, "" if it has none of its own
	places []config.Place
	routes []policy.Route // in the order in which they are to be tried
	named  int            // operations whose scopes the document declares
}

// readOpenAPI reads a document in JSON or YAML.
func readOpenAPI(path string, raw []byte) (apiFacts, error) {
	var doc openAPI
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return apiFacts{}, wrongUsage(path+" cannot be read as an OpenAPI document: "+err.Error(), "give OpenAPI 3 in JSON or YAML")
	}
	switch {
	case doc.Swagger != "":
		return apiFacts{}, wrongUsage(path+" is a Swagger "+doc.Swagger+" document", "convert it to OpenAPI 3")
	case !strings.HasPrefix(doc.OpenAPI, "3."):
		return apiFacts{}, wrongUsage(path+" is no OpenAPI 3 document: it does not say openapi: 3.x", "give OpenAPI 3 in JSON or YAML")
	case len(doc.Paths) == 0:
		return apiFacts{}, wrongUsage(path+" has no paths", "give the document that describes the operations")
	}
	facts := apiFacts{places: doc.places()}
	prefix := ""
	if len(doc.Servers) > 0 {
		facts.server, prefix = doc.Servers[0].read()
	}
	merged := map[string]policy.Route{}
	for template, item := range doc.Paths {
		for name, node := range item {
			method := strings.ToUpper(name)
			if !slices.Contains([]string{"GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"}, method) {
				continue
			}
			var op openAPIOperation
			if err := node.Decode(&op); err != nil {
				return apiFacts{}, wrongUsage(fmt.Sprintf("%s: %s %s cannot be read: %v", path, method, template, err), "")
			}
			route, declared, err := doc.route(method, prefix+template, op)
			if err != nil {
				return apiFacts{}, wrongUsage(fmt.Sprintf("%s: %v", path, err), "")
			}
			if declared {
				facts.named++
			}
			if other, twice := merged[route.Match()]; twice { // they differ in part of a segment only
				route.Scopes, route.Open = other.Scopes.Union(route.Scopes), other.Open && route.Open
			}
			merged[route.Match()] = route
		}
	}
	facts.routes = slices.SortedFunc(maps.Values(merged), byPath)
	return facts, nil
}

// byPath orders routes for reading, and so that of those that overlap the
// closest comes first: a name before what stands for any.
func byPath(a, b policy.Route) int {
	as, bs := strings.Split(a.Template, "/"), strings.Split(b.Template, "/")
	for i := range min(len(as), len(bs)) {
		if c := cmp.Or(cmp.Compare(openness(as[i]), openness(bs[i])), cmp.Compare(as[i], bs[i])); c != 0 {
			return c
		}
	}
	order := []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
	return cmp.Or(cmp.Compare(len(as), len(bs)), cmp.Compare(slices.Index(order, a.Method), slices.Index(order, b.Method)))
}

// openness is 1 for a segment that stands for any.
func openness(segment string) int {
	if segment == "*" || strings.HasPrefix(segment, "{") {
		return 1
	}
	return 0
}

// read is the server's URL with its variables filled in, and the path that all
// operations begin with.
func (s openAPIServer) read() (server, prefix string) {
	text := s.URL
	for name, v := range s.Variables {
		text = strings.ReplaceAll(text, "{"+name+"}", v.Default)
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", ""
	}
	prefix = strings.TrimSuffix(u.Path, "/")
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", prefix
	}
	return u.Scheme + "://" + u.Host, prefix
}

// places are where apikeys travel, by the document's security schemes.
func (doc openAPI) places() []config.Place {
	var places []config.Place
	for _, s := range doc.Components.Schemes {
		var p config.Place
		switch {
		case s.Type == "apiKey" && strings.EqualFold(s.Name, "Authorization") && s.In == "header":
			continue // the scheme is in prose at best
		case s.Type == "apiKey":
			p = config.Place{In: s.In, Name: s.Name}
		case s.Type == "http" && strings.EqualFold(s.Scheme, "basic"):
			p = config.Place{In: "basic"}
		}
		if _, err := p.Carrier(); err == nil && !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	slices.SortFunc(places, func(a, b config.Place) int { return strings.Compare(a.In+a.Name, b.In+b.Name) })
	return places
}

// route makes the rule of an operation. Scopes that the document declares win;
// without any the scope is named after action and resource.
func (doc openAPI) route(method, template string, op openAPIOperation) (r policy.Route, declared bool, err error) {
	r, err = policy.ParseRoute(method + " " + wholeSegments(template))
	if err != nil {
		return r, false, err
	}
	security, own := doc.Security, op.Security != nil
	if own {
		security = *op.Security
	}
	if own && len(security) == 0 {
		r.Open = true
		return r, false, nil
	}
	for _, alternative := range security {
		var scope oauth.Scope
		for name, scopes := range alternative {
			if kind := doc.Components.Schemes[name].Type; kind == "oauth2" || kind == "openIdConnect" {
				for _, s := range scopes {
					if oauth.IsScopeName(s) && !scope.Has(s) {
						scope = append(scope, s)
					}
				}
			}
		}
		if len(scope) > 0 {
			r.Scopes = scope.Sorted()
			return r, true, nil
		}
	}
	if name, ok := app.ScopeFor(method, r.Template); ok {
		r.Scopes = oauth.Scope{name}
	}
	return r, false, nil
}

// wholeSegments writes a segment that holds a parameter and more, such as
// {id}.json or {id}:publish, as one that stands for any.
func wholeSegments(template string) string {
	segments := strings.Split(template, "/")
	for i, s := range segments {
		if !strings.ContainsAny(s, "{}*") {
			continue
		}
		if whole := strings.HasPrefix(s, "{") && strings.IndexByte(s, '}') == len(s)-1 && strings.Count(s, "{") == 1 && len(s) > 2; !whole {
			segments[i] = "*"
		}
	}
	return strings.Join(segments, "/")
}
