package authserver

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

// answerParams are the parameters of an authorization response, in order.
type answerParams [][2]string

func (p answerParams) encode() string {
	var b strings.Builder
	for i, pair := range p {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pair[0] + "=" + url.QueryEscape(pair[1]))
	}
	return b.String()
}

// respond sends the answer of an authorization request to its client, with state
// as it came and iss (RFC 6749 §4.1.2, RFC 9207 §2).
func (s *Server) respond(w http.ResponseWriter, r *http.Request, d destination, p answerParams) {
	if d.state != "" {
		p = append(p, [2]string{"state", d.state})
	}
	p = append(p, [2]string{"iss", s.options.Issuer})
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	if d.mode == oauth.ModeFormPost {
		s.writePage(w, r, http.StatusOK, formPostPage, formPostPolicy, map[string]any{"Title": "Going back to the application", "Action": template.URL(d.redirectURI), "Params": p}) //nolint:gosec // a registered URI
		return
	}
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Location", withQuery(d.redirectURI, p))
	w.WriteHeader(http.StatusSeeOther) // RFC 9700 §4.12: never 307
}

// withQuery adds parameters to a redirect URI, whose own query stays (RFC 6749
// §3.1.2).
func withQuery(uri string, p answerParams) string {
	switch {
	case !strings.Contains(uri, "?"):
		return uri + "?" + p.encode()
	case strings.HasSuffix(uri, "?") || strings.HasSuffix(uri, "&"):
		return uri + p.encode()
	}
	return uri + "&" + p.encode()
}

// refuse sends an error to the client (RFC 6749 §4.1.2.1). Where nobody is
// signed in and the client registered itself, the person decides whether to
// follow: otherwise a link to this server would lead anywhere (RFC 9700
// §4.11.2).
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, d destination, err error, silent bool) {
	e, named := asOAuth(err)
	if !named {
		e = oauth.ServerError(err)
	}
	s.logError(r, err, e)
	p := answerParams{{"error", e.Code}}
	if e.Description != "" {
		p = append(p, [2]string{"error_description", oauth.CleanDescription(e.Description)})
	}
	if silent || s.trusted(r, d.client) {
		s.respond(w, r, d, p)
		return
	}
	if d.state != "" {
		p = append(p, [2]string{"state", d.state})
	}
	p = append(p, [2]string{"iss", s.options.Issuer})
	s.errorPage(w, r, http.StatusBadRequest, pageError{
		Code: e.Code, Description: oauth.CleanDescription(e.Description),
		Back: template.URL(withQuery(d.redirectURI, p)), BackTo: oauth.HostOf(d.redirectURI), //nolint:gosec // a registered URI
	})
}

// trusted reports whether the browser may be sent to the client without a
// question: an operator registered it, or somebody is signed in.
func (s *Server) trusted(r *http.Request, c *client.Client) bool {
	if c.Source != client.SourceRegistration && c.Source != client.SourceDocument {
		return true
	}
	_, signedIn, err := s.options.Browser.Current(r)
	return err == nil && signedIn
}

// pageError is what the error page says.
type pageError struct {
	Code, Description string
	Back              template.URL // where the person may follow; empty: nowhere
	BackTo            string
}

// refusePage answers with the error page: nothing is sent to a client that is
// not known, nor to an address that is not its own (RFC 6749 §4.1.2.1).
func (s *Server) refusePage(w http.ResponseWriter, r *http.Request, err error) {
	e, named := asOAuth(err)
	if !named {
		e = oauth.ServerError(err)
	}
	s.logError(r, err, e)
	status := http.StatusBadRequest
	if e.Status >= http.StatusInternalServerError || e.Status == http.StatusRequestEntityTooLarge || e.Status == http.StatusTooManyRequests {
		status = e.Status
	}
	s.errorPage(w, r, status, pageError{Code: e.Code, Description: oauth.CleanDescription(e.Description)})
}

func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, status int, e pageError) {
	s.writePage(w, r, status, errorPage, plainPolicy, e)
}

// Pages are without script and style of others; none can be framed (RFC 9700
// §4.16).
const plainPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var errorPage = template.Must(template.New("error").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>This request cannot be answered</title>
<h1>This request cannot be answered</h1>
<p>The application that sent you here made a mistake, or its link is too old. Go back to it and start again; if that does not help, send its makers these lines:</p>
<pre id="error">{{.Code}}{{with .Description}}: {{.}}{{end}}</pre>
{{if .Back}}<p><a id="error-back" rel="noreferrer" href="{{.Back}}">Go back to {{.BackTo}}</a>, if you know it.</p>
{{end}}</html>
`))

// submitScript sends a form at once. The policy of the page names its hash.
const submitScript = `document.forms[0].submit()`

var formPostPolicy = func() string {
	sum := sha256.Sum256([]byte(submitScript))
	return "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// formPostPage answers by a form (OAuth 2.0 Form Post Response Mode §2). Without
// scripts the person presses its button.
var formPostPage = template.Must(template.New("form_post").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{.Title}}</title>
<form method="post" action="{{.Action}}">
{{range .Params}}<input type="hidden" name="{{index . 0}}" value="{{index . 1}}">
{{end}}<button id="form-post-submit" type="submit">Continue</button>
</form>
<script>` + submitScript + `</script>
</html>
`))

// writePage answers with one of the pages of this package.
func (s *Server) writePage(w http.ResponseWriter, r *http.Request, status int, page *template.Template, policy string, data any) {
	var b strings.Builder
	if err := page.Execute(&b, data); err != nil {
		s.logError(r, err, oauth.ServerError(err))
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(b.String()))
}

// errNoClient and errNoRedirect show the error page.
var (
	errNoClient   = oauth.InvalidRequest("client_id is missing or not known here")
	errNoRedirect = oauth.InvalidRequest("redirect_uri is missing, or not one that this client is registered with, octet by octet")
)
