package signin

import (
	"context"
	"errors"
	"net/http"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/session"
)

// aboutForgot is what the form of the page is about.
const aboutForgot = "forgotten password"

// forgotView is the page by which somebody asks for a link to choose another
// password.
type forgotView struct {
	view
	Done bool
}

func showForgot(v visit) error { return v.forgotPage(http.StatusOK, false, nil) }

func (v visit) forgotPage(status int, done bool, wrong *problem) error {
	v.haveBrowser()
	data := forgotView{view: v.view("forgot.title", session.Request{}), Done: done}
	data.CSRF, data.Problem = v.token(aboutForgot, anybody), wrong
	return v.s.show(v.w, status, "forgot", data)
}

// postForgot answers everybody alike, and before anything is looked up: neither
// the answer nor its time says who has an account. What is limited here is
// limited by who asks, and not by whom they ask about.
func postForgot(v visit) error {
	if err := v.checkToken(aboutForgot, anybody); err != nil {
		return err
	}
	name := v.r.PostForm.Get("username")
	if name == "" {
		return v.forgotPage(http.StatusBadRequest, false, &problem{Field: "username", Key: "signin.missing"})
	}
	if ok, wait := v.s.limits.asks.Allow(v.s.sourceOf(v.r), v.s.now()); !ok {
		v.tooSoon(wait)
		return v.forgotPage(http.StatusTooManyRequests, false, &problem{Key: "signin.toosoon"})
	}
	name = name[:min(len(name), longestTyped)]
	known, language := v.s.readKnown(v.r), v.t.language
	if !v.s.do(func(ctx context.Context) { v.s.sendReset(ctx, name, known, language) }) {
		return errTooMany
	}
	return v.forgotPage(http.StatusOK, true, nil)
}

// sendReset mails a link to whoever has that name or address, if they have one to
// whom this is open. known is what the browser that asks is known by.
func (s *Service) sendReset(ctx context.Context, name string, known []string, language string) {
	person, err := s.options.People.Find(ctx, name)
	if errors.Is(err, directory.ErrNotFound) {
		return
	}
	if err == nil {
		if !s.mayMail(person.ID, s.knownAmong(known, person.ID)) {
			s.options.Log.InfoContext(ctx, "no further link to choose another password is sent for a while", "person", person.ID)
			return
		}
		err = s.mailReset(ctx, person.ID, language)
	}
	switch {
	case errors.Is(err, directory.ErrNoReset), errors.Is(err, directory.ErrDisabled), errors.Is(err, directory.ErrForbidden):
		s.options.Log.InfoContext(ctx, "a link to choose another password was asked for and not sent", "person", person.ID, "why", err)
	case err != nil:
		s.options.Log.ErrorContext(ctx, "a link to choose another password is not sent", "error", err)
	}
}

func (s *Service) mailReset(ctx context.Context, personID, language string) error {
	raw, l, person, err := s.options.People.ForgottenLink(ctx, personID)
	if err != nil {
		return err
	}
	return s.options.Mail.Link(ctx, person.Person, l, raw, language)
}

// mayMail reports whether another message may be caused for an account. Each new
// link puts an end to the one before, so that whoever asks again and again could
// spoil those of its person: between two there is half the life of a link, and
// one that is good is always in the mailbox. A browser that the person has signed
// in with has a count of its own.
func (s *Service) mayMail(personID, known string) bool {
	now := s.now()
	if known != "" {
		ok, _ := s.limits.mails.Allow("known "+known+" "+personID, now)
		return ok
	}
	if ok, _ := s.limits.mails.Allow(personID, now); !ok {
		return false
	}
	ok, _ := s.limits.anyMail.Allow("", now)
	return ok
}
