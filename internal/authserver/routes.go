package authserver

import (
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/oauth"
)

// The paths of the endpoints, below the issuer's own.
const (
	pathToken      = "/token"
	pathIntrospect = "/introspect"
	pathRevoke     = "/revoke"
	pathRegister   = "/register"
	pathJWKS       = "/jwks"
	pathHolder     = "/upgrade/apikey"

	pathAuthorize     = "/authorize"
	pathAuthorizeDone = "/authorize/done" // where a browser comes back with an answer
	pathPAR           = "/par"
	pathUserinfo      = "/userinfo"
	pathLogout        = "/logout"
	pathLogoutDone    = "/logout/done" // where a browser comes back that was asked

	pathLeaks         = "/leaks" // reports of leaked credentials
	pathLeaksScanning = "/leaks/github"

	pathDeviceAuthorize = "/device/authorize"
	pathDevice          = "/device" // a page of signin's
)

// Handler serves every endpoint. Paths are compared as they stand: nothing is
// redirected, for a redirect could carry a credential elsewhere (RFC 9700
// §4.12).
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if h, ok := s.routes[r.URL.Path]; ok {
			h.ServeHTTP(w, r)
			return
		}
		if strings.HasPrefix(r.URL.Path, s.prefix+pathRegister+"/") && s.options.SelfRegistered != nil {
			cors(methods{http.MethodGet: s.handleManaged, http.MethodPut: s.handleManaged, http.MethodDelete: s.handleManaged}).ServeHTTP(w, r)
			return
		}
		http.Error(w, "nothing is here: the metadata of this authorization server is at "+oauth.WellKnownURL(s.options.Issuer, oauth.SuffixAuthorizationServer), http.StatusNotFound)
	})
}

// makeRoutes lays the endpoints out below the path of the issuer. The metadata
// is where RFC 8414 §3.1 puts it, before that path, and also after it and under
// the name of OpenID Connect Discovery, where clients look too.
func (s *Server) makeRoutes(prefix string) map[string]http.Handler {
	post := func(h http.HandlerFunc) http.Handler { return methods{http.MethodPost: h} }
	get := func(h http.HandlerFunc) http.Handler { return methods{http.MethodGet: h, http.MethodHead: h} }
	routes := map[string]http.Handler{
		prefix + pathToken:      cors(post(s.handleToken)),
		prefix + pathRevoke:     cors(post(s.handleRevoke)),
		prefix + pathIntrospect: post(s.handleIntrospect),
		prefix + pathJWKS:       cors(get(s.handleJWKS)),
		prefix + "/":            get(s.handleRoot),
	}
	if prefix != "" {
		routes[prefix] = get(s.handleRoot)
	}
	if s.takesRegistrations() {
		routes[prefix+pathRegister] = cors(post(s.handleRegister))
	}
	if s.options.Holders != nil {
		routes[prefix+pathHolder] = methods{http.MethodGet: s.handleHolder} // for our own page and command lines: no CORS
		routes[prefix+pathHolder+"/extension"] = post(s.handleExtend)
	}
	if s.options.Browser != nil {
		routes[prefix+pathAuthorize] = methods{http.MethodGet: s.handleAuthorize, http.MethodPost: s.handleAuthorize} // no CORS: OAuth 2.1 §3.1
		routes[prefix+pathAuthorizeDone] = methods{http.MethodGet: s.handleAuthorizeDone}
		routes[prefix+pathUserinfo] = cors(methods{http.MethodGet: s.handleUserinfo, http.MethodHead: s.handleUserinfo, http.MethodPost: s.handleUserinfo})
		routes[prefix+pathLogout] = methods{http.MethodGet: s.handleLogout, http.MethodPost: s.handleLogout}
		routes[prefix+pathLogoutDone] = methods{http.MethodGet: s.handleLogoutDone}
		routes[prefix+pathPAR] = cors(post(s.handlePAR))
	}
	if s.options.Leaks != nil && takesReports(s.options.LeakReports) {
		routes[prefix+pathLeaks] = post(s.handleLeakReport)
	}
	if s.options.Leaks != nil && s.options.ScanningKey != nil && takesReports(s.options.LeakScanning) {
		routes[prefix+pathLeaksScanning] = post(s.handleSecretScanning)
	}
	if s.device != nil {
		routes[prefix+pathDeviceAuthorize] = cors(post(s.handleDeviceAuthorize))
	}
	for _, suffix := range []string{oauth.SuffixAuthorizationServer, oauth.SuffixOpenIDConfiguration} {
		h := cors(get(s.handleMetadata))
		routes["/.well-known/"+suffix+prefix] = h
		routes[prefix+"/.well-known/"+suffix] = h
	}
	return routes
}

// methods answers each method by its handler, and others with 405 and what is
// allowed (RFC 9110 §15.5.6).
type methods map[string]http.HandlerFunc

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h, ok := m[r.Method]; ok {
		h(w, r)
		return
	}
	w.Header().Set("Allow", m.allowed())
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusMethodNotAllowed, oauth.ErrorResponse{
		Error: oauth.CodeInvalidRequest, Description: "this endpoint takes " + m.allowed() + " only",
	})
}

func (m methods) allowed() string {
	var names []string
	for _, name := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		if _, ok := m[name]; ok {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// cors lets scripts of any origin call an endpoint and read its answers: nothing
// here is answered because of a cookie, so another site learns nothing that its
// own server could not ask (OAuth 2.1 §3.1 forbids it only where people sign in).
func cors(h http.Handler) http.Handler {
	allow := h.(methods).allowed()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Origin", "*")
		if r.Method != http.MethodOptions {
			header.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After, DPoP-Nonce")
			h.ServeHTTP(w, r)
			return
		}
		header.Set("Allow", allow+", OPTIONS")
		header.Set("Access-Control-Allow-Methods", allow)
		header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP, MCP-Protocol-Version")
		header.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	})
}

const rootPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>offkey</title>
<h1>offkey</h1>
<p>This is an authorization server. Its metadata: <a href="%METADATA%">%METADATA%</a></p>
</html>
`

// handleRoot names the product to whoever opens the issuer in a browser.
func (s *Server) handleRoot(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	page := strings.ReplaceAll(rootPage, "%METADATA%", htmlEscape(oauth.WellKnownURL(s.options.Issuer, oauth.SuffixAuthorizationServer)))
	_, _ = w.Write([]byte(page))
}
