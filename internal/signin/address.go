package signin

import (
	"context"
	"errors"
	"net/http"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/session"
)

// addressView is where another address is chosen, and where it is said what was
// sent.
type addressView struct {
	view
	Email string
	Sent  string // the address that something was sent to
}

func showAddress(m member) error { return m.addressPage(http.StatusOK, m.person.Email, "", nil) }

func (m member) addressPage(status int, email, sent string, wrong *problem) error {
	data := addressView{view: m.view("newaddress.title"), Email: email, Sent: sent}
	data.Problem = wrong
	return m.s.show(m.w, status, "newaddress", data)
}

// setAddress sends a link to the address that is to be the person's. It says
// nothing about whose it is now.
func setAddress(m member) error {
	email := m.r.PostForm.Get("email")
	email = email[:min(len(email), longestTyped)]
	switch {
	case m.person.Source != directory.SourceAPI:
		return m.addressPage(http.StatusForbidden, m.person.Email, "", &problem{Key: "newaddress.declared"})
	case directory.CheckEmail(email) != nil || email == m.person.Email:
		return m.addressPage(http.StatusBadRequest, email, "", &problem{Field: "email", Key: "newaddress.bad"})
	}
	return m.sendAnd(email, func(ctx context.Context, language string) error {
		raw, l, person, err := m.s.options.People.NewAddressLink(ctx, m.person.ID, email)
		if errors.Is(err, directory.ErrExists) {
			m.s.options.Log.InfoContext(ctx, "a link for an address that another person has was asked for and not sent", "person", m.person.ID)
			return nil
		}
		if err != nil {
			return err
		}
		return m.s.options.Mail.Link(ctx, person.Person, l, raw, language)
	})
}

// verifyAddress sends a link to the address that the person has.
func verifyAddress(m member) error {
	if m.person.Email == "" || m.person.EmailVerified {
		return m.home()
	}
	return m.sendAnd(m.person.Email, func(ctx context.Context, language string) error {
		return m.s.mailVerify(ctx, m.person.ID, language)
	})
}

// sendAnd has something sent, and says that it will be.
func (m member) sendAnd(to string, send func(ctx context.Context, language string) error) error {
	if ok, wait := m.s.limits.own.Allow(m.person.ID, m.s.now()); !ok {
		m.tooSoon(wait)
		return m.addressPage(http.StatusTooManyRequests, to, "", &problem{Key: "newaddress.toosoon"})
	}
	if !m.s.sendLater(m.person.ID, m.t.language, send) {
		return errTooMany
	}
	return m.addressPage(http.StatusOK, to, to, nil)
}

// sendLater has a message made after the answer, and reports whether there is
// room for it.
func (s *Service) sendLater(personID, language string, send func(ctx context.Context, language string) error) bool {
	return s.do(func(ctx context.Context) {
		if err := send(ctx, language); err != nil {
			s.options.Log.ErrorContext(ctx, "a link for an address is not sent", "person", personID, "error", err)
		}
	})
}

// mailVerify sends a link by which the address of somebody proves to be theirs.
func (s *Service) mailVerify(ctx context.Context, personID, language string) error {
	e := eventOf(personID, "person.link_made")
	person, err := s.options.People.Standing(ctx, personID)
	if err != nil || person.Email == "" || person.EmailVerified {
		return err
	}
	raw, l, err := s.options.People.NewLink(ctx, directory.ForEmail, personID, e)
	if err != nil {
		return err
	}
	return s.options.Mail.Link(ctx, person.Person, l, raw, language)
}

// addressLinkView is where the link to another address leads.
type addressLinkView struct {
	view
	Token string
	Name  string
	Email string
	Mine  bool // its person is signed in here
}

func showAddressLink(v visit) error {
	return v.addressLinkPage(http.StatusOK, v.r.URL.Query().Get("token"), nil)
}

// addressLinkPage shows whose address it will be. To anybody but its person there
// is nothing to do: the address may have been mistyped.
func (v visit) addressLinkPage(status int, raw string, wrong *problem) error {
	v.haveBrowser()
	l, person, err := v.s.options.People.Link(v.r.Context(), raw, directory.ForAddress)
	if err != nil {
		return err
	}
	_, here, err := v.s.current(v.r)
	if err != nil {
		return err
	}
	data := addressLinkView{view: v.view("address.title", session.Request{}), Token: raw, Name: person.Name, Email: l.Email, Mine: here != nil && here.ID == person.ID}
	data.CSRF, data.Problem = v.token(aboutLink(raw), thePerson), wrong
	return v.s.show(v.w, status, "address", data)
}

func postAddressLink(v visit) error {
	raw := v.r.PostForm.Get("token")
	if err := v.checkToken(aboutLink(raw), thePerson); err != nil {
		return err
	}
	_, here, err := v.s.current(v.r)
	if err != nil {
		return err
	}
	if here == nil {
		return v.addressLinkPage(http.StatusForbidden, raw, nil)
	}
	_, err = v.s.options.People.ChangeAddress(v.r.Context(), raw, here.ID)
	switch {
	case errors.Is(err, directory.ErrExists):
		return v.addressLinkPage(http.StatusConflict, raw, &problem{Key: "address.taken"})
	case err != nil:
		return err
	}
	return v.s.show(v.w, http.StatusOK, "verified", v.view("verified.title", session.Request{}))
}
