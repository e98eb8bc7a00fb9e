package signin

import (
	"context"
	"errors"
	"net/http"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
)

// linkPages are where one-time links lead. Looking at one spends nothing: mail
// programs look at links before people do.
var linkPages = map[string]struct{ show, post action }{
	"/setup":   {showLink(directory.ForSetup), postLink(directory.ForSetup)},
	"/invite":  {showLink(directory.ForInvite), postLink(directory.ForInvite)},
	"/reset":   {showLink(directory.ForReset), postLink(directory.ForReset)},
	"/verify":  {showLink(directory.ForEmail), postLink(directory.ForEmail)},
	"/address": {showAddressLink, postAddressLink},
}

type linkView struct {
	view
	Purpose directory.Purpose
	Action  string // the path of the form
	Token   string
	Name    string
	Email   string
	Passkey *ceremony
}

func showLink(purpose directory.Purpose) action {
	return func(v visit) error {
		return v.linkPage(http.StatusOK, purpose, v.r.URL.Query().Get("token"), nil)
	}
}

// aboutLink is what the form of a link is about.
func aboutLink(raw string) string { return "link " + secret.HashOf(raw).String() }

func (v visit) linkPage(status int, purpose directory.Purpose, raw string, wrong *problem) error {
	v.haveBrowser()
	l, person, err := v.s.options.People.Link(v.r.Context(), raw, purpose)
	if err != nil {
		return err
	}
	data := linkView{view: v.view(string(purpose)+".title", session.Request{}), Purpose: purpose, Action: v.r.URL.Path, Token: raw, Email: l.Email}
	data.CSRF, data.Problem = v.token(aboutLink(raw), anybody), wrong
	if person != nil {
		data.Name = person.Name
		if purpose != directory.ForEmail {
			if data.Passkey, err = v.addCeremony(aboutLink(raw), person.ID); err != nil {
				return err
			}
		}
	} else {
		data.Name, data.Email = v.r.PostForm.Get("username"), v.r.PostForm.Get("email")
	}
	data.Script = data.Passkey != nil
	return v.s.show(v.w, status, "link", data)
}

// postLink spends the link, with what the person chose in the same step.
func postLink(purpose directory.Purpose) action {
	return func(v visit) error {
		raw := v.r.PostForm.Get("token")
		if err := v.checkToken(aboutLink(raw), anybody); err != nil {
			return err
		}
		wrong, err := v.redeem(purpose, raw)
		switch {
		case wrong != nil:
			return v.linkPage(http.StatusBadRequest, purpose, raw, wrong)
		case err != nil:
			return err
		}
		if purpose == directory.ForEmail {
			return v.s.show(v.w, http.StatusOK, "verified", v.view("verified.title", session.Request{}))
		}
		v.s.redirect(v.w, v.r, v.s.path(pathSignIn))
		return nil
	}
}

func (v visit) redeem(purpose directory.Purpose, raw string) (*problem, error) {
	people, ctx := v.s.options.People, v.r.Context()
	if purpose == directory.ForEmail {
		_, err := people.VerifyEmail(ctx, raw)
		return nil, err
	}
	proof, wrong, err := v.proof(purpose, raw)
	if wrong != nil || err != nil {
		return wrong, err
	}
	if purpose == directory.ForSetup {
		var first *directory.Standing
		first, err = people.SetUp(ctx, raw, v.r.PostForm.Get("username"), v.r.PostForm.Get("email"), proof)
		if err == nil && first.Email != "" && v.s.options.Mail != nil {
			v.s.sendLater(first.ID, v.t.language, func(ctx context.Context, language string) error { return v.s.mailVerify(ctx, first.ID, language) })
		}
	} else {
		_, err = people.Redeem(ctx, raw, purpose, proof)
	}
	switch {
	case errors.Is(err, directory.ErrInvalid):
		return &problem{Field: "username", Key: "setup.name"}, nil
	case errors.Is(err, directory.ErrTooMany):
		return &problem{Key: "passkey.toomany"}, nil
	}
	return v.aboutPassword(err), err
}

// proof is what the person chose to prove themselves with from now on.
func (v visit) proof(purpose directory.Purpose, raw string) (directory.Proof, *problem, error) {
	if v.r.PostForm.Get("response") == "" {
		chosen, wrong := v.chosenPassword()
		return directory.Proof{Password: chosen}, wrong, nil
	}
	_, person, err := v.s.options.People.Link(v.r.Context(), raw, purpose)
	if err != nil {
		return directory.Proof{}, nil, err
	}
	if person == nil {
		return directory.Proof{}, nil, errForm
	}
	k, err := v.newPasskey(aboutLink(raw), person.ID)
	if errors.Is(err, errPasskey) || errors.Is(err, errChallenge) {
		return directory.Proof{}, &problem{Key: "passkey.notadded"}, nil
	}
	k.Name = v.passkeyName()
	return directory.Proof{Passkey: &k}, nil, err
}
