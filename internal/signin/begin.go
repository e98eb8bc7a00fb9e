package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
)

// requestLimits bound what waits: enough for many tabs, and for a flood to
// shorten the time that people have to sign in, not to end it.
var requestLimits = session.RequestLimits{PerBrowser: 20, All: 100_000}

// errTooMany is more requests from one network than are let wait.
var errTooMany = oauth.TemporarilyUnavailable("too many sign-ins begin at one time from this network: try again in a moment").WithStatus(http.StatusTooManyRequests)

// Begin takes q to the person at the browser. Where nothing has to be asked, or
// prompt=none forbids it, it returns the answer and writes nothing. Else it has
// stored q and answered the HTTP request with a redirect to a page of ours; the
// browser comes back to q.Return.
func (s *Service) Begin(w http.ResponseWriter, r *http.Request, q session.Request) (*session.Answer, error) {
	now := s.now()
	f, err := s.facts(r, q)
	if err != nil {
		return nil, err
	}
	n := judge(q, f)
	switch {
	case n == needNothing:
		a := answerOf(q, f, now)
		return &a, nil
	case q.Demand.Prompts("none"):
		return &session.Answer{Error: unanswered(n), Description: "the request forbids to ask the person: " + whyAsk[n], At: now}, nil
	}
	if ok, _ := s.limits.begins.Allow(s.sourceOf(r), now); !ok {
		return nil, errTooMany
	}
	if q.ID == "" {
		q.ID = session.NewRequestID()
	}
	q.Browser = s.browser(w, r)
	q.Created, q.Expires = now, now.Add(session.RequestLife)
	if err := s.options.Store.PutRequest(r.Context(), q, requestLimits); err != nil {
		return nil, fmt.Errorf("keep a request: %w", err)
	}
	s.redirect(w, r, s.pageFor(n, q))
	return nil, nil
}

// whyAsk is for the developer of a client.
var whyAsk = map[need]string{
	needSignIn:  "nobody is signed in in the browser as the request needs it",
	needSecond:  "a second factor is needed",
	needEnrol:   "a second factor has to be set up first",
	needChoice:  "an account has to be chosen",
	needConsent: "consent is needed",
	needLogout:  "the person has to be asked",
	needRefusal: "the person cannot reach the authentication context that is asked for",
}

// Answered takes the answered request with that id out of storage, once: it must
// come from the browser that it began in. session.ErrGone if there is none (any
// more).
func (s *Service) Answered(r *http.Request, id string) (session.Request, error) {
	return s.options.Store.TakeRequest(r.Context(), s.waiting(r, id), s.now())
}

// waiting names a request of this browser.
func (s *Service) waiting(r *http.Request, id string) session.Waiting {
	return session.Waiting{Request: id, Browser: readCookie(r, s.cookies.browser)}
}

// touchAfter is how exact the last use of a session is known: a write for each
// request would be one too many.
const touchAfter = time.Minute

// Current returns the session of the browser, if somebody is signed in there who
// still may be.
func (s *Service) Current(r *http.Request) (session.Session, bool, error) {
	found, person, err := s.current(r)
	return found, person != nil, err
}

func (s *Service) current(r *http.Request) (session.Session, *directory.Standing, error) {
	cookie := readCookie(r, s.cookies.session)
	if cookie.IsZero() {
		return session.Session{}, nil, nil
	}
	found, err := s.options.Store.SessionByCookie(r.Context(), cookie)
	if errors.Is(err, session.ErrNoSession) {
		return session.Session{}, nil, nil
	}
	if err != nil {
		return session.Session{}, nil, fmt.Errorf("read the session: %w", err)
	}
	now := s.now()
	if found.Ended(now) {
		return session.Session{}, nil, nil
	}
	person, err := s.options.People.Standing(r.Context(), found.PersonID)
	if errors.Is(err, directory.ErrNotFound) || err == nil && person.Open() != nil {
		return session.Session{}, nil, nil
	}
	if err != nil {
		return session.Session{}, nil, fmt.Errorf("read whose session it is: %w", err)
	}
	if now.Sub(found.LastSeen) >= touchAfter {
		if err := s.options.Store.TouchSession(r.Context(), found.ID, now); err != nil && !errors.Is(err, session.ErrNoSession) {
			s.options.Log.Error("when a session was last used is not stored", "error", err)
		}
		found.LastSeen = now
	}
	return found, person, nil
}

// End ends a session, for logout: everything that hangs on it is revoked, and
// the cookie cleared if it is this browser's.
func (s *Service) End(w http.ResponseWriter, r *http.Request, sessionID string) error {
	mine, _, err := s.current(r)
	if err != nil {
		return err
	}
	if mine.ID == sessionID {
		s.setCookie(w, s.cookies.session, "", -1)
	}
	err = s.options.Store.EndSession(r.Context(), sessionID, "", audit.Event{Actor: actor(mine.PersonID), Action: "session.ended", Object: sessionID})
	if errors.Is(err, session.ErrNoSession) {
		return nil
	}
	return err
}

// eventOf is what a person does to their own account.
func eventOf(personID, action string) audit.Event {
	return audit.Event{Actor: actor(personID), Action: action, Object: personID}
}

// actor is a person in the audit log.
func actor(personID string) string {
	if personID == "" {
		return "system"
	}
	return "person:" + personID
}

// facts reads what judge decides from.
func (s *Service) facts(r *http.Request, q session.Request) (facts, error) {
	f := facts{passkeys: s.passkeys != nil}
	found, person, err := s.current(r)
	if err != nil {
		return f, err
	}
	if person != nil {
		f.session, f.person = &found, person
		if f.factors, err = s.factors(r.Context(), person.ID); err != nil {
			return f, err
		}
	}
	if id := q.Progress.PersonID; id != "" {
		if f.halfway, f.halfwayFactors, err = s.halfway(r.Context(), id); err != nil {
			return f, err
		}
	}
	if q.Kind != session.ForClient {
		return f, nil
	}
	if f.client, err = s.options.Clients.Client(r.Context(), q.ClientID); err != nil {
		return f, fmt.Errorf("read the client that asks: %w", err)
	}
	if f.person != nil {
		of := q.Ask.ConsentTo(f.person.ID, f.client, nil, time.Time{})
		if f.consent, err = s.options.Store.Consent(r.Context(), of.PersonID, of.ClientID, of.Resources); err != nil {
			return f, fmt.Errorf("read what was allowed: %w", err)
		}
	}
	return f, nil
}

// halfway is who has proved the first of two factors; nil where they may not
// come in any more.
func (s *Service) halfway(ctx context.Context, id string) (*directory.Standing, directory.Factors, error) {
	person, err := s.options.People.Standing(ctx, id)
	if errors.Is(err, directory.ErrNotFound) || err == nil && person.Open() != nil {
		return nil, directory.Factors{}, nil
	}
	if err != nil {
		return nil, directory.Factors{}, err
	}
	factors, err := s.factors(ctx, id)
	return person, factors, err
}

func (s *Service) factors(ctx context.Context, id string) (directory.Factors, error) {
	account, err := s.options.People.Account(ctx, id)
	if err != nil {
		return directory.Factors{}, fmt.Errorf("read how %s proves themselves: %w", id, err)
	}
	return account.Factors(), nil
}

// pageFor is the page on which a request gets what it needs.
func (s *Service) pageFor(n need, q session.Request) string {
	page := map[need]string{
		needSignIn: pathSignIn, needSecond: pathSecond, needEnrol: pathEnrol, needChoice: pathChoose,
		needConsent: pathConsent, needLogout: pathLogout, needRefusal: pathRefused,
	}[n]
	return s.path(page) + "?" + url.Values{paramRequest: {q.ID}}.Encode()
}

// proceed sends the browser to what a request needs next, and back to where it
// came from when that is nothing.
func (s *Service) proceed(w http.ResponseWriter, r *http.Request, q session.Request) error {
	f, err := s.facts(r, q)
	if err != nil {
		return err
	}
	n := judge(q, f)
	if n == needSignIn && stepsUp(q, f) {
		q, err = s.options.Store.ProgressRequest(r.Context(), s.waiting(r, q.ID), s.now(), func(p *session.Progress) error {
			*p = session.Progress{PersonID: f.session.PersonID, AMR: f.session.AMR}
			return nil
		})
		if err != nil {
			return err
		}
		f.halfway, f.halfwayFactors = f.person, f.factors
		n = judge(q, f)
	}
	if n != needNothing {
		s.redirect(w, r, s.pageFor(n, q))
		return nil
	}
	return s.answer(w, r, q, answerOf(q, f, s.now()), nil)
}

// stepsUp reports whether the session is what the request wants but for a second
// factor: then that alone is asked for.
func stepsUp(q session.Request, f facts) bool {
	return f.session != nil && f.session.ACR == session.ACRPassword && !f.session.AuthTime.Before(q.Demand.Since) &&
		!q.Demand.Prompts("login") && (q.Demand.PersonID == "" || q.Demand.PersonID == f.session.PersonID)
}

// answer keeps what the person said and sends the browser back.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, q session.Request, a session.Answer, consent *session.Consent) error {
	e := audit.Event{Actor: actor(a.PersonID), Action: "request.answered", Object: q.ClientID, Detail: answerDetail{q.Kind, a.SessionID, a.Scope.String(), a.Error}}
	switch {
	case consent != nil:
		e.Action = "consent.given"
	case q.Kind == session.ForAccount || q.Kind == session.ForDevice: // nothing is granted by coming back to our own page
		s.redirect(w, r, q.Return)
		return nil
	}
	err := s.options.Store.AnswerRequest(r.Context(), s.waiting(r, q.ID), a, consent, e)
	if err != nil {
		return fmt.Errorf("keep the answer: %w", err)
	}
	s.redirect(w, r, q.Return)
	return nil
}

type answerDetail struct {
	Kind    string `json:"kind"`
	Session string `json:"session,omitempty"`
	Scope   string `json:"scope,omitempty"`
	Error   string `json:"error,omitempty"`
}

// redirect is a 303: what was posted here is never posted elsewhere (RFC 9700
// §4.12).
func (s *Service) redirect(w http.ResponseWriter, r *http.Request, to string) {
	secured(w)
	http.Redirect(w, r, to, http.StatusSeeOther)
}
