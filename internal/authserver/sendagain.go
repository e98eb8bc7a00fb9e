package authserver

import (
	"html/template"
	"net/http"

	"github.com/offkey/offkey/internal/oauth"
)

// comesWithoutCookies reports whether a browser has left our cookies out because
// the form is another site's (SameSite=Lax): who is signed in there is not known,
// which is not the same as nobody.
func (s *Server) comesWithoutCookies(r *http.Request) bool {
	if r.Method != http.MethodPost {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "cross-site":
		return true
	case "": // a browser that does not say, or none
		origin := r.Header.Get("Origin")
		return origin != "" && origin != s.origin
	}
	return false
}

// frontParams are the parameters of requests that a browser brings.
var frontParams = append([]string{"request", "request_uri", "post_logout_redirect_uri", "logout_hint"}, knownParams...)

// sendAgain has the browser send a form anew, from our own page: then its cookies
// come with it. Nothing of it is put into a URL.
func (s *Server) sendAgain(w http.ResponseWriter, r *http.Request, path string, p oauth.Params) {
	var again answerParams
	for _, name := range frontParams {
		for _, value := range p.Values(name) {
			again = append(again, [2]string{name, value})
		}
	}
	s.writePage(w, r, http.StatusOK, formPostPage, formPostPolicy, map[string]any{
		"Title": "One moment", "Action": template.URL(s.prefix + path), "Params": again, //nolint:gosec // our own path
	})
}
