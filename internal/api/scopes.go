package api

import (
	"io"
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/migration"
)

// maxOpenAPI bounds an OpenAPI document, in bytes.
const maxOpenAPI = 64 << 20

// designScopes designs scopes from what was recorded, or from the OpenAPI
// document that is the body.
func (s *Server) designScopes(r *http.Request) (any, error) {
	q, err := readQuery(r, "actions")
	if err != nil {
		return nil, err
	}
	actions, err := parseActions(q.text("actions"))
	if err != nil {
		return nil, err
	}
	document, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxOpenAPI))
	if err != nil {
		return nil, badRequest("", "the document cannot be read: %v", err)
	}
	d, err := s.o.Road.DesignScopes(r.Context(), document, actions)
	if err != nil && len(document) > 0 && r.Context().Err() == nil {
		return nil, badRequest("give OpenAPI 3 or Swagger 2, in YAML or JSON", "%v", err)
	}
	return d, err
}

// inferScopes infers the scopes of callers from what was recorded.
func (s *Server) inferScopes(r *http.Request) (any, error) {
	q, err := readQuery(r, "actions", "window", "strict", "apikey")
	if err != nil {
		return nil, err
	}
	actions, err := parseActions(q.text("actions"))
	if err != nil {
		return nil, err
	}
	o := migration.InferOptions{}
	if o.Strict, err = q.flag("strict"); err != nil {
		return nil, err
	}
	window := q.text("window")
	if window == "" {
		window = "30d"
	}
	length, err := parseLength(window)
	if err != nil || length == 0 {
		return nil, badRequest("write it as 30d", "window is %q", window)
	}
	o.Window.To = s.now()
	o.Window.From = o.Window.To.Add(-length)
	if id := q.text("apikey"); id != "" {
		if o.Only, err = s.apikeyIDs(r.Context(), strings.Split(id, ",")); err != nil {
			return nil, err
		}
	}
	document, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxOpenAPI))
	if err != nil {
		return nil, badRequest("", "the document cannot be read: %v", err)
	}
	found, err := s.o.Road.InferScopes(r.Context(), document, actions, o)
	if err != nil && len(document) > 0 && r.Context().Err() == nil {
		return nil, badRequest("give OpenAPI 3 or Swagger 2, in YAML or JSON", "%v", err)
	}
	return found, err
}

func parseActions(text string) (migration.Actions, error) {
	switch a := migration.Actions(text); a {
	case "", migration.ActionsAuto, migration.ActionsFine, migration.ActionsCoarse:
		return a, nil
	}
	return "", badRequest("it is auto, fine or coarse", "actions is %q", text)
}
