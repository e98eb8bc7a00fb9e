package signin

import (
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/session"
)

// accountPages are below /account: one's own, and nobody else's.
var accountPages = map[string]struct{ show, post action }{
	"":                 {signedInOnly(showAccount), nil},
	"/password":        {lately(showPassword), lately(changePassword)},
	"/address":         {lately(showAddress), lately(setAddress)},
	"/address/verify":  {nil, signedInOnly(verifyAddress)},
	"/app":             {lately(showApp), lately(setApp)},
	"/app/remove":      {nil, lately(removeApp)},
	"/recovery":        {nil, lately(makeRecovery)},
	"/passkeys":        {lately(showPasskeys), lately(addPasskey)},
	"/passkeys/remove": {nil, lately(removePasskey)},
	"/sessions/end":    {nil, signedInOnly(endSessions)},
	"/apps/withdraw":   {nil, signedInOnly(withdraw)},
}

// aboutAccount is what forms of the account are about.
const aboutAccount = "account"

// member is a visit of somebody who is signed in.
type member struct {
	visit
	session session.Session
	person  *directory.Standing
}

// signedInOnly sends strangers to sign in, and refuses forms of others.
func signedInOnly(a func(member) error) action {
	return func(v visit) error {
		found, person, err := v.s.current(v.r)
		if err != nil {
			return err
		}
		if person == nil {
			return v.beginOwn(session.ForAccount, v.s.path(pathAccount), session.Demand{})
		}
		if v.r.Method == http.MethodPost {
			if err := v.checkToken(aboutAccount, thePerson); err != nil {
				return err
			}
		}
		v.haveBrowser()
		return a(member{v, found, person})
	}
}

// lately is signedInOnly for what changes how one signs in: whoever finds a
// browser open has to prove to be its person.
func lately(a func(member) error) action {
	return signedInOnly(func(m member) error {
		since := m.s.now().Add(-time.Duration(m.person.Policy.Reauth))
		if m.session.AuthTime.Before(since) {
			back := m.r.URL.Path
			if m.r.Method == http.MethodPost {
				back = m.s.path(pathAccount)
			}
			return m.beginOwn(session.ForAccount, back, session.Demand{Since: since, PersonID: m.person.ID, LoginHint: m.person.Name})
		}
		return a(m)
	})
}

func (m member) view(title string) view {
	v := m.visit.view(title, session.Request{})
	v.CSRF = m.token(aboutAccount, thePerson)
	return v
}

func (m member) home() error {
	m.s.redirect(m.w, m.r, m.s.path(pathAccount))
	return nil
}

// accountView is one's own account.
type accountView struct {
	view
	Person   *directory.Standing
	Factors  directory.Factors
	Passkeys []passkeyLine
	Sessions []sessionLine
	Apps     []appLine
	// CanPasskey says whether passkeys can be had here at all, CanMail whether
	// messages are sent, OwnAddress whether the person says what their address is.
	CanPasskey, CanMail, OwnAddress bool
}

type passkeyLine struct {
	Mark, Name        string
	Created, LastUsed time.Time
}

type sessionLine struct {
	ID, Agent, Source string
	Created, LastSeen time.Time
	Here              bool
}

type appLine struct {
	ID, Name string
	Since    time.Time
	Scopes   []scopeLine
}

func showAccount(m member) error {
	account, err := m.s.options.People.Account(m.r.Context(), m.person.ID)
	if err != nil {
		return err
	}
	data := accountView{view: m.view("account.title"), Person: m.person, Factors: account.Factors(), CanPasskey: m.s.passkeys != nil}
	data.CanMail = m.s.options.Mail != nil
	data.OwnAddress = data.CanMail && m.person.Source == directory.SourceAPI
	data.Wide = true
	for _, k := range account.Passkeys {
		data.Passkeys = append(data.Passkeys, passkeyLine{passkeyMark(k.ID), k.Name, k.Created, k.LastUsed})
	}
	if data.Sessions, err = m.sessions(); err != nil {
		return err
	}
	if data.Apps, err = m.apps(); err != nil {
		return err
	}
	return m.s.show(m.w, http.StatusOK, "account", data)
}

func (m member) sessions() (lines []sessionLine, err error) {
	list, err := m.s.options.Store.SessionsOf(m.r.Context(), m.person.ID, m.s.now())
	for _, one := range list {
		name := friendlyAgent(one.UserAgent)
		if name == "" {
			name = one.UserAgent
		}
		lines = append(lines, sessionLine{one.ID, name, one.Source, one.Created, one.LastSeen, one.ID == m.session.ID})
	}
	return lines, err
}

// apps are the clients that the person has allowed something, one line each.
func (m member) apps() (lines []appLine, err error) {
	list, err := m.s.options.Store.ConsentsOf(m.r.Context(), m.person.ID)
	if err != nil {
		return nil, err
	}
	for _, c := range list {
		if n := len(lines); n > 0 && lines[n-1].ID == c.ClientID {
			lines[n-1].Scopes = append(lines[n-1].Scopes, m.describe(c.Scope)...)
			continue
		}
		name := c.ClientID
		known, err := m.s.options.Clients.Client(m.r.Context(), c.ClientID)
		switch {
		case err == nil:
			name = clientName(known)
		case !errors.Is(err, client.ErrNotFound):
			m.s.options.Log.InfoContext(m.r.Context(), "a client that somebody allowed something cannot be read", "client", c.ClientID, "error", err)
		}
		lines = append(lines, appLine{c.ClientID, name, c.At, m.describe(c.Scope)})
	}
	return lines, nil
}

func showPassword(m member) error { return m.passwordPage(http.StatusOK, nil) }

func (m member) passwordPage(status int, wrong *problem) error {
	data := m.view("password.title")
	data.Problem = wrong
	return m.s.show(m.w, status, "password", data)
}

// changePassword gives another password. The old one is asked for, however late
// the person signed in: a browser that was left open is not enough. All
// sessions end with it.
func changePassword(m member) error {
	factors, err := m.s.factors(m.r.Context(), m.person.ID)
	if err != nil {
		return err
	}
	if factors.Password {
		g := guess{source: m.s.sourceOf(m.r), account: m.person.ID, known: m.s.knownAs(m.r, m.person.ID)}
		_, wait, err := m.guessPassword(g, m.person.Name, m.r.PostForm.Get("old"))
		switch {
		case wait > 0:
			m.tooSoon(wait)
			return m.passwordPage(http.StatusTooManyRequests, &problem{Key: "signin.toosoon"})
		case errors.Is(err, directory.ErrWrong):
			return m.passwordPage(http.StatusBadRequest, &problem{Field: "old", Key: "password.old"})
		case err != nil:
			return err
		}
	}
	chosen, wrong := m.chosenPassword()
	if wrong != nil {
		return m.passwordPage(http.StatusBadRequest, wrong)
	}
	err = m.s.options.People.SetPassword(m.r.Context(), m.person.ID, chosen)
	if wrong := m.aboutPassword(err); wrong != nil {
		return m.passwordPage(http.StatusBadRequest, wrong)
	}
	if err != nil {
		return err
	}
	m.s.setCookie(m.w, m.s.cookies.session, "", -1)
	return m.home()
}

// chosenPassword is a new password that was typed twice alike.
func (v visit) chosenPassword() (string, *problem) {
	chosen := v.r.PostForm.Get("password")
	switch {
	case chosen == "":
		return "", &problem{Field: "password", Key: "password.missing"}
	case chosen != v.r.PostForm.Get("repeat"):
		return "", &problem{Field: "repeat", Key: "password.repeat"}
	}
	return chosen, nil
}

// aboutPassword says what is wrong with a new password, nil if err is about
// something else.
func (v visit) aboutPassword(err error) *problem {
	switch {
	case errors.Is(err, directory.ErrPassword):
		return &problem{Field: "password", Key: "password.bad", Args: []any{directory.ShortestPassword}}
	case errors.Is(err, directory.ErrDeclared):
		return &problem{Key: "password.declared"}
	}
	return nil
}

func showApp(m member) error { return m.appPage(http.StatusOK, nil) }

func (m member) appPage(status int, wrong *problem) error {
	app, err := m.newApp(m.person.Person)
	if err != nil {
		return err
	}
	data := enrolView{view: m.view("app.title"), App: app}
	data.Problem = wrong
	return m.s.show(m.w, status, "app", data)
}

// setApp adds an authenticator app, and gives recovery codes to who has none:
// the app will be lost one day.
func setApp(m member) error {
	err := m.addApp(m.person.ID)
	if errors.Is(err, directory.ErrWrong) {
		return m.appPage(http.StatusBadRequest, &problem{Field: "otp", Key: "enrol.wrong"})
	}
	if err != nil {
		return err
	}
	factors, err := m.s.factors(m.r.Context(), m.person.ID)
	if err != nil || factors.Recovery > 0 {
		return errors.Join(err, m.home())
	}
	return makeRecovery(m)
}

func removeApp(m member) error {
	if err := m.s.options.People.RemoveTOTP(m.r.Context(), m.person.ID); err != nil {
		return err
	}
	return m.home()
}

// makeRecovery shows new recovery codes, once.
func makeRecovery(m member) error {
	codes, err := m.s.options.People.NewRecoveryCodes(m.r.Context(), m.person.ID)
	if err != nil {
		return err
	}
	return m.s.show(m.w, http.StatusOK, "recovery", struct {
		view
		Codes []string
	}{m.view("recovery.title"), codes})
}

func showPasskeys(m member) error { return m.passkeyPage(http.StatusOK, nil) }

func (m member) passkeyPage(status int, wrong *problem) error {
	asks, err := m.addCeremony(aboutAccount, m.person.ID)
	if err != nil {
		return err
	}
	data := enrolView{view: m.view("passkey.title"), Passkey: asks}
	data.Problem, data.Script = wrong, true
	return m.s.show(m.w, status, "passkey", data)
}

func addPasskey(m member) error {
	k, err := m.newPasskey(aboutAccount, m.person.ID)
	if err == nil {
		k.Name = m.passkeyName()
		err = m.s.options.People.AddPasskey(m.r.Context(), k)
	}
	switch {
	case errors.Is(err, errPasskey), errors.Is(err, errChallenge), errors.Is(err, directory.ErrExists):
		return m.passkeyPage(http.StatusBadRequest, &problem{Key: "passkey.notadded"})
	case errors.Is(err, directory.ErrTooMany):
		return m.passkeyPage(http.StatusBadRequest, &problem{Key: "passkey.toomany"})
	case err != nil:
		return err
	}
	return m.home()
}

func removePasskey(m member) error {
	id, err := base64.RawURLEncoding.DecodeString(m.r.PostForm.Get("passkey"))
	if err != nil {
		return errForm
	}
	err = m.s.options.People.RemovePasskey(m.r.Context(), m.person.ID, id)
	if err != nil && !errors.Is(err, directory.ErrNoPasskey) {
		return err
	}
	return m.home()
}

// endSessions ends one session of the person, or all but this one.
func endSessions(m member) error {
	e := audit.Event{Actor: actor(m.person.ID), Action: "session.ended", Object: m.r.PostForm.Get("session")}
	var err error
	if e.Object == "" {
		e.Action, e.Object = "session.others_ended", m.person.ID
		_, err = m.s.options.Store.EndSessionsOf(m.r.Context(), m.person.ID, m.session.ID, e)
	} else {
		err = m.s.options.Store.EndSession(m.r.Context(), e.Object, m.person.ID, e)
	}
	if err != nil && !errors.Is(err, session.ErrNoSession) {
		return err
	}
	return m.home()
}

// withdraw takes back what the person allowed a client.
func withdraw(m member) error {
	id := m.r.PostForm.Get("client")
	if id == "" {
		return errForm
	}
	e := audit.Event{Actor: actor(m.person.ID), Action: "consent.withdrawn", Object: id}
	if err := m.s.options.Store.WithdrawConsent(m.r.Context(), m.person.ID, id, e); err != nil {
		return err
	}
	return m.home()
}
