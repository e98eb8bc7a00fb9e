package signin

import (
	"net/http"

	"github.com/offkey/offkey/internal/session"
)

// showLogout asks whether to sign out, for a request of authserver; without one
// it is our own page (OIDC RP-Initiated Logout §2: a person who was not meant is
// not signed out by a link).
func showLogout(v visit) error {
	if v.r.URL.Query().Get(paramRequest) == "" {
		_, person, err := v.s.current(v.r)
		if err != nil {
			return err
		}
		if person == nil {
			return v.s.show(v.w, http.StatusOK, "signedout", v.view("signedout.title", session.Request{}))
		}
		return v.logoutPage(session.Request{}, person.Name, "")
	}
	q, err := v.request()
	if err != nil {
		return err
	}
	f, err := v.s.facts(v.r, q)
	if err != nil {
		return err
	}
	if judge(q, f) != needLogout {
		return v.s.proceed(v.w, v.r, q)
	}
	asks, err := v.asksLogout(q)
	if err != nil {
		return err
	}
	v.allowBack(q, "")
	return v.logoutPage(q, f.person.Name, asks)
}

// asksLogout is the name of the client that asks, if any does.
func (v visit) asksLogout(q session.Request) (string, error) {
	if q.ClientID == "" {
		return "", nil
	}
	c, err := v.s.options.Clients.Client(v.r.Context(), q.ClientID)
	return clientName(c), err
}

func (v visit) logoutPage(q session.Request, name, client string) error {
	data := chooseView{view: v.view("logout.title", q), Name: name, Client: client}
	data.CSRF = v.token(q.ID, thePerson)
	return v.s.show(v.w, http.StatusOK, "logout", data)
}

func postLogout(v visit) error {
	id := v.r.PostForm.Get(paramRequest)
	if err := v.checkToken(id, thePerson); err != nil {
		return err
	}
	yes := v.r.PostForm.Get("decision") == "yes"
	mine, person, err := v.s.current(v.r)
	if err != nil {
		return err
	}
	if id == "" {
		switch {
		case !yes:
			v.s.redirect(v.w, v.r, v.s.path(pathAccount))
			return nil
		case person != nil:
			if err := v.s.End(v.w, v.r, mine.ID); err != nil {
				return err
			}
		}
		v.s.redirect(v.w, v.r, v.s.path(pathLogout))
		return nil
	}
	q, err := v.request()
	if err != nil {
		return err
	}
	f, err := v.s.facts(v.r, q)
	if err != nil {
		return err
	}
	if q.Kind != session.ForLogout { // else it would answer what asks for more, without asking
		return v.s.proceed(v.w, v.r, q)
	}
	a := answerOf(q, f, v.s.now())
	if !yes && a.Error == "" {
		a.Error = "access_denied"
	}
	return v.s.answer(v.w, v.r, q, a, nil)
}
