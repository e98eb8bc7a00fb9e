package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// logoutRequest is a request to sign a person out that was found good.
type logoutRequest struct {
	ClientID string `json:"client_id,omitempty"`
	Redirect string `json:"redirect,omitempty"` // where the browser goes then; empty: to our own page
	State    string `json:"state,omitempty"`
	hint     token.Hint
	client   *client.Client // nil: nobody says who asks
}

// handleLogout signs a person out for a client (OIDC RP-Initiated Logout §2).
func (s *Server) handleLogout(w http.ResponseWriter, r *http.Request) {
	p, err := readAuthorize(w, r)
	if err != nil {
		s.refusePage(w, r, err)
		return
	}
	if s.comesWithoutCookies(r) { // else it would say that nobody is signed in any more
		s.sendAgain(w, r, pathLogout, p)
		return
	}
	q, err := s.readLogout(r.Context(), p)
	if err != nil {
		s.refusePage(w, r, err)
		return
	}
	if err := s.logout(w, r, q); err != nil {
		s.refusePage(w, r, err)
	}
}

// readLogout judges a request. What is wrong with it is shown, and nobody is sent
// anywhere (OIDC RP-Initiated Logout §4).
func (s *Server) readLogout(ctx context.Context, p oauth.Params) (q logoutRequest, err error) {
	id := p.Value("client_id")
	if raw := p.Value("id_token_hint"); raw != "" {
		if q.hint, err = token.ReadHint(raw, s.options.Issuer, s.options.Ring()); err != nil {
			return q, oauth.InvalidRequest("id_token_hint is not an ID token of this server, or its key was withdrawn").WithCause(err)
		}
		if err := checkHintClient(q.hint, id); err != nil {
			return q, err
		}
		if id == "" {
			id = q.hint.Audience[0]
		}
	}
	if id != "" {
		if q.client, err = s.findClient(ctx, id); err != nil {
			return q, err
		}
		q.ClientID = q.client.ID
	}
	if q.Redirect, err = checkAfterLogout(q.client, p.Value("post_logout_redirect_uri")); err != nil {
		return q, err
	}
	if q.State = p.Value("state"); len(q.State) > maxState {
		return q, oauth.InvalidRequest("state is longer than 4096 bytes")
	}
	return q, nil
}

// checkHintClient: a client_id beside the hint is the one that the hint was made
// for (OIDC RP-Initiated Logout §2).
func checkHintClient(hint token.Hint, clientID string) error {
	if clientID != "" && !slices.Contains(hint.Audience, clientID) {
		return oauth.InvalidRequest("client_id is another than that of id_token_hint")
	}
	return nil
}

// checkAfterLogout: the browser is sent only where the client is registered to
// have it sent, octet by octet (OIDC RP-Initiated Logout §3). Where nobody says
// who asks it is sent nowhere.
func checkAfterLogout(c *client.Client, uri string) (string, error) {
	switch {
	case uri == "" || c == nil:
		return "", nil
	case !slices.Contains(c.PostLogoutRedirectURIs, uri):
		return "", oauth.InvalidRequest("post_logout_redirect_uri is not one that this client is registered with, octet by octet")
	}
	return uri, nil
}

// logout ends the session of the browser, if the hint shows that its person is
// meant, and asks the person else (OIDC RP-Initiated Logout §2, §6).
func (s *Server) logout(w http.ResponseWriter, r *http.Request, q logoutRequest) error {
	current, signedIn, err := s.options.Browser.Current(r)
	switch {
	case err != nil:
		return fmt.Errorf("read the session: %w", err)
	case !signedIn:
		s.wasLoggedOut(w, r, q)
		return nil
	case s.meant(q, current):
		return s.endSession(w, r, q, current.ID)
	}
	payload, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("keep a logout request: %w", err)
	}
	now, id := s.options.Now(), session.NewRequestID()
	answer, err := s.options.Browser.Begin(w, r, session.Request{
		ID: id, Kind: session.ForLogout, ClientID: q.ClientID, Return: s.prefix + pathLogoutDone + "?request=" + url.QueryEscape(id),
		Payload: payload, Created: now, Expires: now.Add(session.RequestLife),
	})
	switch {
	case err != nil:
		return fmt.Errorf("ask whether to sign out: %w", err)
	case answer != nil: // there was nobody to ask any more
		s.wasLoggedOut(w, r, q)
	}
	return nil
}

// meant reports whether the hint is about the session of this browser.
func (s *Server) meant(q logoutRequest, current session.Session) bool {
	if q.client == nil || q.hint.Subject == "" {
		return false
	}
	if q.hint.Session != "" && q.hint.Session != s.subjects.Session(q.client, current.ID) {
		return false
	}
	return q.hint.Subject == s.subjects.Of(q.client, current.PersonID)
}

// handleLogoutDone is where the browser comes back with what the person said.
func (s *Server) handleLogoutDone(w http.ResponseWriter, r *http.Request) {
	p, err := oauth.ParseParams(r.URL.RawQuery)
	if err != nil {
		s.refusePage(w, r, err)
		return
	}
	waiting, err := s.options.Browser.Answered(r, p.Value("request"))
	switch {
	case errors.Is(err, session.ErrGone), err == nil && (waiting.Kind != session.ForLogout || waiting.Answer == nil):
		s.refusePage(w, r, errAnswered)
		return
	case err != nil:
		s.refusePage(w, r, fmt.Errorf("take answered request: %w", err))
		return
	}
	var q logoutRequest
	if err := json.Unmarshal(waiting.Payload, &q); err != nil {
		s.refusePage(w, r, fmt.Errorf("read answered request: %w", err))
		return
	}
	if waiting.Answer.Error != "" {
		s.writePage(w, r, http.StatusOK, stayedPage, plainPolicy, nil)
		return
	}
	if err := s.endSession(w, r, q, waiting.Answer.SessionID); err != nil {
		s.refusePage(w, r, err)
	}
}

func (s *Server) endSession(w http.ResponseWriter, r *http.Request, q logoutRequest, id string) error {
	if id != "" {
		if err := s.options.Browser.End(w, r, id); err != nil {
			return fmt.Errorf("end the session: %w", err)
		}
	}
	s.loggedOut(w, r, q)
	return nil
}

// wasLoggedOut answers where nobody is signed in. A client that registered itself
// is then sent nobody unasked: otherwise a link to this server would lead
// anywhere (RFC 9700 §4.11.2).
func (s *Server) wasLoggedOut(w http.ResponseWriter, r *http.Request, q logoutRequest) {
	if q.Redirect != "" && !s.trusted(r, q.client) {
		s.writePage(w, r, http.StatusOK, loggedOutPage, plainPolicy, pageError{Back: template.URL(q.location()), BackTo: oauth.HostOf(q.Redirect)}) //nolint:gosec // a registered URI
		return
	}
	s.loggedOut(w, r, q)
}

// location is where the browser goes then.
func (q logoutRequest) location() string {
	if q.State == "" {
		return q.Redirect
	}
	return withQuery(q.Redirect, answerParams{{"state", q.State}})
}

// loggedOut sends the browser back, with state if it came (OIDC RP-Initiated
// Logout §3).
func (s *Server) loggedOut(w http.ResponseWriter, r *http.Request, q logoutRequest) {
	if q.Redirect == "" {
		s.writePage(w, r, http.StatusOK, loggedOutPage, plainPolicy, pageError{})
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Location", q.location())
	w.WriteHeader(http.StatusSeeOther)
}

var loggedOutPage = template.Must(template.New("logged out").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>You are signed out</title>
<h1 id="logout-done">You are signed out</h1>
<p>You can close this page.</p>
{{if .Back}}<p><a id="logout-back" rel="noreferrer" href="{{.Back}}">Go back to {{.BackTo}}</a>, if you know it.</p>
{{end}}</html>
`))

var stayedPage = template.Must(template.New("stayed").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>You are still signed in</title>
<h1 id="logout-refused">You are still signed in</h1>
<p>You can close this page.</p>
</html>
`))
