package api

import (
	"context"
	"net/http"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
)

// Links are the one-time links that people are sent.
type Links interface {
	// URL is where a link leads.
	URL(purpose directory.Purpose, raw secret.Text) string
	// Mail sends one to its person. What it returns says that it was not.
	Mail(ctx context.Context, p *directory.Person, l directory.Link, url string) error
}

// linkAnswer is a one-time link. URL is a secret, and shown this once.
type linkAnswer struct {
	Purpose directory.Purpose `json:"purpose"`
	URL     string            `json:"url"`
	Expires time.Time         `json:"expires"`
	Mailed  bool              `json:"mailed"`
}

// makeLink makes a link and, if it is to be mailed, puts the message into the
// outbox before the answer.
func (s *Server) makeLink(ctx context.Context, purpose directory.Purpose, p *directory.Person, mail bool, e audit.Event) (*linkAnswer, error) {
	raw, l, err := s.o.People.NewLink(ctx, purpose, p.ID, e)
	if err != nil {
		return nil, err
	}
	made := &linkAnswer{Purpose: purpose, URL: s.o.Links.URL(purpose, raw), Expires: l.Expires}
	if mail && p.Email != "" {
		if err := s.o.Links.Mail(ctx, p, l, made.URL); err != nil {
			return nil, err
		}
		made.Mailed = true
	}
	return made, nil
}

// invitePerson makes somebody who chooses by a link how to sign in. Somebody who
// was invited before and has not come is sent another link.
func (s *Server) invitePerson(r *http.Request) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[personProposal](r)
	if err != nil {
		return nil, err
	}
	if p.Password != "" || p.PasswordHash != "" {
		return nil, badRequest("make them with `offkey people create` instead", "whoever is invited chooses a password themselves")
	}
	made, again, err := s.invited(r.Context(), p)
	if err != nil {
		return nil, err
	}
	if dryRun {
		return personAnswer{Person: made, DryRun: true}, s.wouldFit(r.Context(), made)
	}
	if !again {
		if err := s.store.CreateAccount(r.Context(), &directory.Account{Person: made}, event(r, "person.invited", made.ID, about(made))); err != nil {
			return nil, err
		}
	}
	link, err := s.makeLink(r.Context(), directory.ForInvite, made, p.Mail == nil || *p.Mail, event(r, "person.link_made", made.ID, nil))
	if err != nil {
		return nil, err
	}
	return answer{http.StatusCreated, personAnswer{Person: made, Link: link}}, nil
}

// invited is who is to be invited, and whether they were before.
func (s *Server) invited(ctx context.Context, p personProposal) (*directory.Person, bool, error) {
	if found, err := s.o.People.Find(ctx, p.Name); err == nil {
		if found.Status != directory.Invited {
			return nil, false, problem(http.StatusConflict, "exists", "send a link to choose anew with `offkey people reset-password`", "%s is there already", found.Name)
		}
		return found.Person, true, nil
	}
	made, err := p.person(s.now())
	if err != nil {
		return nil, false, err
	}
	made.Status = directory.Invited
	return made, false, nil
}

// resetPassword makes a link by which somebody chooses another password.
func (s *Server) resetPassword(r *http.Request) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	body, err := readJSON[struct {
		Mail *bool `json:"mail"`
	}](r)
	if err != nil {
		return nil, err
	}
	found, err := s.findPerson(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	account, err := s.o.People.Account(r.Context(), found.ID)
	if err != nil {
		return nil, err
	}
	if account.PasswordMark != "" {
		return nil, problem(http.StatusConflict, "declared_in_file", "change it there, then run `offkey config reload`", "the password of %s is declared in the configuration file", found.Name)
	}
	if dryRun {
		return personAnswer{Person: account.Person, DryRun: true}, found.Open()
	}
	link, err := s.makeLink(r.Context(), directory.ForReset, found.Person, body.Mail == nil || *body.Mail, event(r, "person.link_made", found.ID, nil))
	if err != nil {
		return nil, err
	}
	return personAnswer{Person: account.Person, Link: link}, nil
}
