package signin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
)

// signInView is the page with name and password.
type signInView struct {
	view
	Name      string
	Client    string // who asks, "" for ourselves
	Again     string // whom it must be, where somebody is signed in already
	Passkey   *ceremony
	Upstreams []Upstream
	Forgot    bool // another password can be asked for
}

// showSignIn shows the page, or begins a visit to one's own account.
func showSignIn(v visit) error {
	if v.r.URL.Query().Get(paramRequest) == "" {
		return v.beginOwn(session.ForAccount, v.s.path(pathAccount), session.Demand{})
	}
	q, err := v.request()
	if err != nil {
		return err
	}
	f, err := v.s.facts(v.r, q)
	if err != nil {
		return err
	}
	if v.r.URL.Query().Has("other") {
		f.session = nil // somebody else wants to sign in, however far the one before has come
	} else if judge(q, f) != needSignIn || stepsUp(q, f) {
		return v.s.proceed(v.w, v.r, q)
	}
	return v.signInPage(http.StatusOK, q, f, q.Demand.LoginHint, nil)
}

// beginOwn begins a request of our own pages.
func (v visit) beginOwn(kind, back string, d session.Demand) error {
	a, err := v.s.Begin(v.w, v.r, session.Request{ID: session.NewRequestID(), Kind: kind, Return: back, Demand: d})
	if err == nil && a != nil {
		v.s.redirect(v.w, v.r, back)
	}
	return err
}

func (v visit) signInPage(status int, q session.Request, f facts, name string, wrong *problem) error {
	data := signInView{view: v.view("signin.title", q), Name: name, Upstreams: v.s.options.Upstreams, Forgot: v.s.options.Mail != nil}
	data.Problem = wrong
	if f.client != nil {
		data.Client = f.client.Name
	}
	if f.session != nil && (q.Demand.PersonID == "" || q.Demand.PersonID == f.person.ID) {
		data.Again = f.person.Name
		if name == "" {
			data.Name = f.person.Name
		}
	}
	var err error
	if data.Passkey, err = v.signInCeremony(q); err != nil {
		return err
	}
	data.Script = data.Passkey != nil
	v.allowBack(q, "")
	return v.s.show(v.w, status, "signin", data)
}

// longestTyped bounds a name that is shown again and counted.
const longestTyped = 254

// postSignIn checks name and password. Whatever is wrong, the answer is the same
// and takes as long: nobody learns who has an account here.
func postSignIn(v visit) error {
	q, err := v.posted()
	if err != nil {
		return err
	}
	name, password := v.r.PostForm.Get("username"), v.r.PostForm.Get("password")
	f, err := v.s.facts(v.r, q)
	if err != nil {
		return err
	}
	if name == "" || password == "" {
		field := "username"
		if name != "" {
			field = "password"
		}
		return v.signInPage(http.StatusBadRequest, q, f, name, &problem{Field: field, Key: "signin.missing"})
	}
	name = name[:min(len(name), longestTyped)]
	g, err := v.guessFor(name)
	if err != nil {
		return err
	}
	person, wait, err := v.guessPassword(g, name, password)
	switch {
	case wait > 0:
		v.tooSoon(wait)
		return v.signInPage(http.StatusTooManyRequests, q, f, name, &problem{Key: "signin.toosoon"})
	case errors.Is(err, directory.ErrWrong):
		return v.signInPage(http.StatusUnauthorized, q, f, name, &problem{Field: "password", Key: "signin.wrong"})
	case err != nil:
		return err
	}
	return v.proved(q, person, "pwd")
}

// guessPassword looks at a password, unless too many were wrong.
func (v visit) guessPassword(g guess, name, password string) (person *directory.Standing, wait time.Duration, err error) {
	at := v.s.limits.places(g)
	if wait = at.take(v.s.now()); wait > 0 {
		return nil, wait, nil
	}
	if person, err = v.s.options.People.CheckPassword(v.r.Context(), name, password); !errors.Is(err, directory.ErrWrong) {
		at.back(v.s.now())
	}
	return person, 0, err
}

// guessFor says what a wrong password for a name counts against: that name, as
// it was typed, whether or not somebody has it. Only for a browser that somebody
// has signed in with it is looked who that is.
func (v visit) guessFor(name string) (guess, error) {
	g := guess{source: v.s.sourceOf(v.r), account: directory.LoginOf(name)}
	if len(v.s.readKnown(v.r)) == 0 {
		return g, nil
	}
	person, err := v.s.options.People.Find(v.r.Context(), name)
	switch {
	case err == nil:
		g.known = v.s.knownAs(v.r, person.ID)
	case !errors.Is(err, directory.ErrNotFound):
		return g, err
	}
	return g, nil
}

// proved goes on after somebody has proved to be that person by the first
// factor: with the second where there is one, or there has to be.
func (v visit) proved(q session.Request, person *directory.Standing, amr ...string) error {
	if want := q.Demand.PersonID; want != "" && want != person.ID {
		f, err := v.s.facts(v.r, q)
		if err != nil {
			return err
		}
		return v.signInPage(http.StatusForbidden, q, f, "", &problem{Key: "signin.other"})
	}
	factors, err := v.s.factors(v.r.Context(), person.ID)
	if err != nil {
		return err
	}
	if level, _ := levelFor(q.Demand, person.Policy, factors, v.s.passkeys != nil); level == session.ACRPassword {
		return v.signedIn(q, person, session.ACRPassword, amr)
	}
	q, err = v.s.options.Store.ProgressRequest(v.r.Context(), v.s.waiting(v.r, q.ID), v.s.now(), func(p *session.Progress) error {
		*p = session.Progress{PersonID: person.ID, AMR: amr}
		return nil
	})
	if err != nil {
		return err
	}
	return v.s.proceed(v.w, v.r, q)
}

// signedIn starts a session, always under a new cookie: one that was planted
// before opens nothing.
func (v visit) signedIn(q session.Request, person *directory.Standing, acr string, amr []string) error {
	now := v.s.now()
	value := newCookie()
	made := session.Session{
		ID: session.NewID(), Cookie: secret.HashOf(value), PersonID: person.ID, Created: now, LastSeen: now,
		UserAgent: shortAgent(v.r.UserAgent()), Source: v.s.sourceOf(v.r),
		Login: session.Login{AuthTime: now.Truncate(time.Second), ACR: acr, AMR: slices.Compact(slices.Clone(amr))},
	}
	made.Idle, made.Expires = lifeOf(person.Policy, now)
	before := readCookie(v.r, v.s.cookies.session)
	e := audit.Event{Actor: actor(person.ID), Action: "session.started", Detail: map[string]any{"person": person.ID, "acr": acr, "amr": made.AMR, "source": made.Source}}
	made, err := v.s.options.Store.StartSession(v.r.Context(), made, before, v.s.waiting(v.r, q.ID), e)
	if err != nil {
		return err
	}
	if err := v.s.options.People.NoteSignIn(v.r.Context(), person.ID); err != nil {
		v.s.options.Log.Error("when a person signed in last is not stored", "error", err)
	}
	if v.s.knownAs(v.r, person.ID) == "" {
		v.tell(directory.NewBrowser, person)
	}
	v.s.setCookie(v.w, v.s.cookies.session, value, made.Expires.Sub(now))
	v.s.setKnown(v.w, v.r, person.ID)
	q.Progress = session.Progress{SessionID: made.ID}
	v.replaceCookie(v.s.cookies.session, value)
	return v.s.proceed(v.w, v.r, q)
}

// tell tells a person of this visit.
func (v visit) tell(kind directory.EventKind, person *directory.Standing) {
	v.s.options.People.SignedIn(v.r.Context(), kind, directory.Notice{
		Person: person.Person, Program: friendlyAgent(v.r.UserAgent()), Network: v.s.sourceOf(v.r), Language: v.t.language,
	})
}

// replaceCookie lets what follows in this visit see the browser as it will be.
func (v visit) replaceCookie(name, value string) {
	kept := slices.DeleteFunc(v.r.Cookies(), func(c *http.Cookie) bool { return c.Name == name })
	v.r.Header.Del("Cookie")
	for _, c := range append(kept, &http.Cookie{Name: name, Value: value}) {
		v.r.AddCookie(c)
	}
}

// chooseView asks whether to go on as who is signed in.
type chooseView struct {
	view
	Name   string
	Client string
}

func showChoose(v step) error {
	v.allowBack(v.q, "")
	data := chooseView{view: v.view("choose.title", v.q), Name: v.f.person.Name, Client: clientName(v.f.client)}
	data.CSRF = v.token(v.q.ID, thePerson)
	return v.s.show(v.w, http.StatusOK, "choose", data)
}

func postChoose(v step) error {
	if v.f.session == nil || v.r.PostForm.Get("as") == "other" {
		v.s.redirect(v.w, v.r, v.s.path(pathSignIn)+"?"+url.Values{paramRequest: {v.q.ID}, "other": {"1"}}.Encode())
		return nil
	}
	q, err := v.s.options.Store.ProgressRequest(v.r.Context(), v.s.waiting(v.r, v.q.ID), v.s.now(), func(p *session.Progress) error {
		*p = session.Progress{SessionID: v.f.session.ID, Chosen: true}
		return nil
	})
	if err != nil {
		return err
	}
	return v.s.proceed(v.w, v.r, q)
}

// showRefused says that the account cannot do what is asked for; the person can
// go back to the client with that, or sign in as somebody else.
func showRefused(v step) error {
	v.allowBack(v.q, "")
	return v.s.show(v.w, http.StatusForbidden, "refused", chooseView{view: v.view("refused.title", v.q), Client: clientName(v.f.client)})
}

func postRefused(v visit) error {
	q, err := v.posted()
	if err != nil {
		return err
	}
	return v.s.answer(v.w, v.r, q, session.Answer{Error: errUnmet, Description: whyAsk[needRefusal], At: v.s.now()}, nil)
}

// postElsewhere goes to another place where the person can prove themselves.
func postElsewhere(v visit) error {
	q, err := v.posted()
	if err != nil {
		return err
	}
	for _, u := range v.s.options.Upstreams {
		if u.Name == v.r.PostForm.Get("upstream") {
			return u.Begin(v.w, v.r, q.ID)
		}
	}
	return errForm
}

// Arrived brings in somebody who has proved to another place to be that person,
// for a request that waits in this browser. The error is session.ErrGone where
// it does not.
func (s *Service) Arrived(w http.ResponseWriter, r *http.Request, requestID string, person *directory.Standing, acr string, amr []string) error {
	v := visit{s: s, w: w, r: r, t: pickLanguage(r)}
	secured(w)
	q, err := s.options.Store.Request(r.Context(), s.waiting(r, requestID), s.now())
	switch {
	case err != nil:
		return err
	case q.Answer != nil:
		return session.ErrGone
	case person.Open() != nil:
		return person.Open()
	case acr == session.ACRPassword:
		return v.proved(q, person, amr...)
	}
	return v.signedIn(q, person, acr, amr)
}

func clientName(c *client.Client) string {
	if c == nil {
		return ""
	}
	if c.Name == "" {
		return c.ID
	}
	return c.Name
}
