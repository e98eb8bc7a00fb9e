package resourceserver

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/offkey/offkey/internal/oauth"
)

// writeProblem answers a request that does not reach its handler (RFC 9457 §3).
func writeProblem(w http.ResponseWriter, status int, code, detail string) {
	body, _ := json.Marshal(map[string]any{ // of strings alone: it cannot fail
		"title": http.StatusText(status), "status": status, "code": code, "detail": detail,
	})
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// MetadataPath is where [API.Metadata] belongs.
func (a *API) MetadataPath() string {
	u, err := url.Parse(a.metadata)
	if err != nil {
		return "/.well-known/" + oauth.SuffixProtectedResource
	}
	return u.EscapedPath()
}

// Metadata answers with the protected resource metadata (RFC 9728 §3), to anybody and
// from any origin.
func (a *API) Metadata() http.Handler {
	body, _ := json.Marshal(oauth.ResourceMetadata{ // of strings alone: it cannot fail
		Resource: a.config.Resource, AuthorizationServers: []string{a.config.Issuer},
		ScopesSupported: a.config.Scopes, BearerMethodsSupported: []string{"header"},
		ResourceName: a.config.Name, ResourceDocumentation: a.config.Documentation,
		DPoPSigningAlgValuesSupported: proofAlgorithms, DPoPBoundAccessTokensRequired: a.config.RequireDPoP,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Access-Control-Allow-Origin", "*")
		_, _ = w.Write(body)
	})
}
