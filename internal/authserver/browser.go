package authserver

import (
	"net/http"

	"github.com/offkey/offkey/internal/authserver/grant"
	"github.com/offkey/offkey/internal/session"
)

// Browser is the person's side of a request, package signin.
type Browser interface {
	// Begin takes q to the person at the browser. Where nothing has to be asked,
	// or prompt=none forbids it, it returns the answer and writes nothing. Else
	// it has stored q and answered the HTTP request with a redirect to a page;
	// the browser comes back to q.Return.
	Begin(w http.ResponseWriter, r *http.Request, q session.Request) (*session.Answer, error)
	// Answered takes the answered request with that id out of storage, once: it
	// must come from the browser that it began in. session.ErrGone if there is
	// none (any more).
	Answered(r *http.Request, id string) (session.Request, error)
	// Current returns the session of the browser, if somebody is signed in.
	Current(r *http.Request) (session.Session, bool, error)
	// End ends a session, for logout: cookies cleared on w, everything that hangs
	// on it revoked.
	End(w http.ResponseWriter, r *http.Request, sessionID string) error
}

// People finds whom tokens are about.
type People = grant.People
