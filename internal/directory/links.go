package directory

import (
	"context"
	"fmt"

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
	account, err := d.Store.RedeemLink(ctx, secret.HashOf(raw), purpose, func(l Link, s *Standing, a *Account) error {
		if err := s.Open(); err != nil { // since the page was shown
			return err
		}
		if l.Email != "" && l.Email == a.Email {
			a.EmailVerified = true
		}
		if a.Status == Invited {
			a.Status = Active
		}
		a.End = purpose == ForReset
		return proof.apply(a, hash)
	}, event(s.ID, "person."+string(purpose)+"_redeemed", nil))
	if err != nil {
		return nil, err
	}
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
