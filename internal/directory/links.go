package directory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/secret"
)

// NewLink makes a one-time link for a person and returns the secret that stands
// in it; it is told once and only its hash is kept. An older link of the same
// purpose opens nothing any more. Of who may not come in it is why.
func (d *Directory) NewLink(ctx context.Context, purpose Purpose, personID string, e audit.Event) (secret.Text, Link, error) {
	s, err := d.open(ctx, personID)
	if err != nil {
		return secret.Text{}, Link{}, err
	}
	raw, l := newLink(purpose, personID, s.Email, d.Now())
	e.Object, e.Detail = personID, map[string]any{"purpose": purpose, "expires": l.Expires}
	return raw, l, d.Store.AddLink(ctx, l, e)
}

// NewSetupLink makes the link by which the first administrator makes an account,
// while there is nobody. The one before opens nothing any more. It is the zero
// Text where there is somebody.
func (d *Directory) NewSetupLink(ctx context.Context) (secret.Text, Link, error) {
	if peopled, err := d.Store.Peopled(ctx); err != nil || peopled {
		return secret.Text{}, Link{}, err
	}
	raw, l := newLink(ForSetup, "", "", d.Now())
	return raw, l, d.Store.AddLink(ctx, l, audit.Event{Actor: "system", Action: "people.setup_link_made", Object: "people", Detail: map[string]any{"expires": l.Expires}})
}

// Link returns what a link is about, while it can be used: to show the page that
// will redeem it. It is ErrSpent otherwise. The Standing is nil of a link
// ForSetup, which opens nothing once there is somebody, made in another way.
func (d *Directory) Link(ctx context.Context, raw string, purpose Purpose) (Link, *Standing, error) {
	if !secret.WellFormed(raw) {
		return Link{}, nil, ErrSpent
	}
	l, err := d.Store.Link(ctx, secret.HashOf(raw), purpose)
	if err != nil {
		return l, nil, err
	}
	if purpose == ForSetup {
		if peopled, err := d.Store.Peopled(ctx); err != nil {
			return Link{}, nil, err
		} else if peopled {
			return Link{}, nil, ErrSpent
		}
		return l, nil, nil
	}
	s, err := d.open(ctx, l.PersonID)
	return l, s, err
}

// Proof is what somebody chooses to prove themselves with: one of the two.
type Proof struct {
	Password string
	Passkey  *Passkey
}

// apply takes a proof into an account. hash is of its password.
func (p Proof) apply(a *Account, hash PasswordHash) error {
	if p.Passkey != nil {
		return a.addPasskey(*p.Passkey)
	}
	return a.setPassword(hash)
}

// hash is of the password, if there is one.
func (d *Directory) hash(ctx context.Context, who *Person, p Proof) (PasswordHash, error) {
	if p.Passkey != nil {
		p.Passkey.Created = d.Now()
		return PasswordHash{}, nil
	}
	return d.newPassword(ctx, who, p.Password)
}

// Redeem spends a link ForInvite or ForReset, and gives its person the proof in
// the same step: the link stays good if the proof does not. An address that the
// link was sent to counts as verified. A reset ends what began before, and
// leaves the second factor as it is.
func (d *Directory) Redeem(ctx context.Context, raw string, purpose Purpose, proof Proof) (*Standing, error) {
	_, s, err := d.Link(ctx, raw, purpose)
	if err != nil {
		return nil, err
	}
	if purpose != ForInvite && purpose != ForReset {
		return nil, ErrSpent
	}
	hash, err := d.hash(ctx, s.Person, proof)
	if err != nil {
		return nil, err
	}
	var before *Account
	e := event(s.ID, "person."+string(purpose)+"_redeemed", nil)
	account, err := d.Store.RedeemLink(ctx, secret.HashOf(raw), purpose, func(l Link, s *Standing, a *Account) error {
		before = a.clone()
		if err := s.Open(); err != nil { // since the page was shown
			return err
		}
		if purpose == ForReset && l.Email != a.Email {
			return ErrSpent // it was sent to an address that is not the person's any more
		}
		if l.Email != "" && l.Email == a.Email {
			a.EmailVerified = true
		}
		if a.Status == Invited {
			a.Status = Active
		}
		a.End = purpose == ForReset
		return proof.apply(a, hash)
	}, e)
	if err != nil {
		return nil, err
	}
	d.changed(ctx, before, account, e.Actor)
	return d.open(ctx, account.ID)
}

// ForgottenLink makes a link ForReset for somebody who asks for it without being
// signed in. Whoever reads their mail can then choose the password: ErrNoReset
// says that this account is not opened in that way.
func (d *Directory) ForgottenLink(ctx context.Context, id string) (secret.Text, Link, *Standing, error) {
	s, err := d.open(ctx, id)
	if err != nil {
		return secret.Text{}, Link{}, nil, err
	}
	account, err := d.Store.Account(ctx, id)
	if err != nil {
		return secret.Text{}, Link{}, nil, err
	}
	if !opensByMail(account, s) {
		return secret.Text{}, Link{}, nil, ErrNoReset
	}
	raw, l, err := d.NewLink(ctx, ForReset, id, audit.Event{Actor: "system", Action: "person.reset_asked"}) // by whom, nobody knows
	return raw, l, s, err
}

// ErrNoReset is an account whose password is not chosen anew by mail.
var ErrNoReset = errors.New("the password of this account is not chosen anew by mail")

// opensByMail reports whether whoever reads the mail of an account may choose its
// password. Not where the file gives it, nor where another provider signs the
// person in and there is nothing of ours to forget. The address has to be proved,
// or an operator's word; that of somebody who operates offkey has to be proved.
func opensByMail(a *Account, s *Standing) bool {
	f := a.Factors()
	switch {
	case a.Email == "" || a.PasswordMark != "":
		return false
	case a.Source != SourceAPI && !f.Password && f.Passkeys == 0:
		return false
	}
	return a.EmailVerified || a.Source == SourceAPI && !s.Has(RoleAdmin)
}

// NewAddressLink makes the link by which another address becomes a person's, once
// they have shown that they read what is sent there. Until then nothing changes.
// It is ErrExists where the address is somebody else's, ErrDeclared where others
// say what it is.
func (d *Directory) NewAddressLink(ctx context.Context, id, email string) (secret.Text, Link, *Standing, error) {
	if err := CheckEmail(email); err != nil {
		return secret.Text{}, Link{}, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	s, err := d.open(ctx, id)
	if err != nil {
		return secret.Text{}, Link{}, nil, err
	}
	if s.Source != SourceAPI {
		return secret.Text{}, Link{}, nil, ErrDeclared
	}
	switch other, err := d.Find(ctx, email); {
	case err == nil && other.ID != id:
		return secret.Text{}, Link{}, nil, ErrExists
	case err != nil && !errors.Is(err, ErrNotFound):
		return secret.Text{}, Link{}, nil, err
	}
	raw, l := newLink(ForAddress, id, email, d.Now())
	return raw, l, s, d.Store.AddLink(ctx, l, event(id, "person.address_asked", map[string]any{"email": email, "expires": l.Expires}))
}

// ChangeAddress spends a link ForAddress: the address that it was sent to is its
// person's from now on. by is who is signed in where it was opened: of nobody
// else it is ErrSpent, since the address may have been mistyped.
func (d *Directory) ChangeAddress(ctx context.Context, raw, by string) (*Standing, error) {
	_, s, err := d.Link(ctx, raw, ForAddress)
	if err != nil {
		return nil, err
	}
	if s.ID != by {
		return nil, ErrSpent
	}
	detail := map[string]string{}
	var before *Account
	account, err := d.Store.RedeemLink(ctx, secret.HashOf(raw), ForAddress, func(l Link, s *Standing, a *Account) error {
		before = a.clone()
		if a.Source != SourceAPI {
			return ErrDeclared
		}
		detail["before"], detail["email"] = a.Email, l.Email
		if strings.Contains(a.Name, "@") && LoginOf(a.Name) == LoginOf(a.Email) {
			a.Name = l.Email // a name that is an address is the person's own
		}
		a.Email, a.EmailVerified = l.Email, true
		return s.Open()
	}, event(s.ID, "person.address_changed", detail))
	if err != nil {
		return nil, err
	}
	d.changed(ctx, before, account, "person:"+s.ID)
	return d.open(ctx, account.ID)
}

// VerifyEmail spends a link ForEmail: the address that it was sent to is its
// person's, if it still is.
func (d *Directory) VerifyEmail(ctx context.Context, raw string) (*Standing, error) {
	_, s, err := d.Link(ctx, raw, ForEmail)
	if err != nil {
		return nil, err
	}
	account, err := d.Store.RedeemLink(ctx, secret.HashOf(raw), ForEmail, func(l Link, s *Standing, a *Account) error {
		if l.Email == "" || l.Email != a.Email {
			return ErrSpent
		}
		a.EmailVerified = true
		return s.Open()
	}, event(s.ID, "person.email_verified", nil))
	if err != nil {
		return nil, err
	}
	return d.open(ctx, account.ID)
}

// SetUp spends a link ForSetup: whoever opens it becomes the first
// administrator.
func (d *Directory) SetUp(ctx context.Context, raw, name, email string, proof Proof) (*Standing, error) {
	if _, _, err := d.Link(ctx, raw, ForSetup); err != nil {
		return nil, err
	}
	now := d.Now()
	p := &Person{ID: NewID(), Name: name, Email: email, Status: Active, Groups: []string{Admins}, Source: SourceAPI, Created: now}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	hash, err := d.hash(ctx, p, proof)
	if err != nil {
		return nil, err
	}
	a := &Account{Person: p}
	if err := proof.apply(a, hash); err != nil {
		return nil, err
	}
	if err := d.Store.CreateFirstAccount(ctx, secret.HashOf(raw), a, event(p.ID, "person.set_up", map[string]string{"name": name})); err != nil {
		return nil, err
	}
	return d.open(ctx, p.ID)
}
