package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
)

// ErrWrong is a proof that proves nothing. It is the same for a wrong password,
// somebody who has none and nobody at all, so that strangers learn no names.
var ErrWrong = errors.New("that is not right")

// Options are what a Directory works with.
type Options struct {
	Store  Store
	Master *secret.MasterKey // seals secrets of authenticator apps
	Hasher *Hasher           // nil: as many at a time as there are cores
	Now    func() time.Time  // nil: time.Now
	Teller Teller            // nil: nobody is told of changes
	Words  func() []string   // of this place, which no password is made of; nil: none
	// OperatorScopes are what members of a group with RoleAdmin may hand on
	// beside the scopes of their groups: those of offkey's own API.
	OperatorScopes oauth.Scope
	// Capacity is how many people are kept in memory; 0 is 20,000.
	Capacity int
}

// Directory answers who somebody is, and whether they are. Safe for concurrent
// use.
type Directory struct {
	Options
	cache *cache
}

// New makes a Directory.
func New(o Options) *Directory {
	if o.Hasher == nil {
		o.Hasher = NewHasher(0)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Capacity <= 0 {
		o.Capacity = 20_000
	}
	load := func(ctx context.Context, id string) (*Standing, error) {
		s, err := o.Store.Standing(ctx, id)
		if err == nil && s.Has(RoleAdmin) {
			s.MayGrant = s.MayGrant.Union(o.OperatorScopes)
		}
		return s, err
	}
	return &Directory{Options: o, cache: newCache(load, o.Capacity)}
}

// Standing returns a person with what their groups say, or ErrNotFound. It is
// read from memory where it was asked for before, and is never older than the
// last change.
func (d *Directory) Standing(ctx context.Context, id string) (*Standing, error) {
	return d.cache.standing(ctx, id)
}

// Forget makes the next question about that person read them again. Call it
// after every change, before the change is acknowledged.
func (d *Directory) Forget(id string) { d.cache.forget(id) }

// ForgetAll does so for everybody: a group has changed.
func (d *Directory) ForgetAll() { d.cache.forgetAll() }

// Find returns the person with that name or email address, or ErrNotFound.
func (d *Directory) Find(ctx context.Context, login string) (*Standing, error) {
	id, err := d.Store.PersonID(ctx, LoginOf(login))
	if err != nil {
		return nil, err
	}
	return d.Standing(ctx, id)
}

// Account returns a person with how they can prove themselves.
func (d *Directory) Account(ctx context.Context, id string) (*Account, error) {
	return d.Store.Account(ctx, id)
}

// event is what a person does to their own account.
func event(personID, action string, detail any) audit.Event {
	return audit.Event{Actor: "person:" + personID, Action: action, Object: personID, Detail: detail}
}

// CheckPassword returns who has that name or address and that password. It is
// ErrWrong, after as much work, where nobody has; ErrBusy where too many others
// are before it. To whoever has the password it says why nobody is let in:
// ErrDisabled, ErrForbidden. A hash of another program is made anew.
func (d *Directory) CheckPassword(ctx context.Context, login, password string) (*Standing, error) {
	account, err := d.accountOf(ctx, login)
	if err != nil {
		return nil, err
	}
	var hash PasswordHash
	if account != nil {
		hash = account.Password
	}
	matches, err := d.Hasher.Matches(ctx, hash, password)
	switch {
	case err != nil:
		return nil, err
	case account == nil || !matches:
		return nil, ErrWrong
	}
	s, err := d.open(ctx, account.ID)
	if err == nil && hash.Outdated() {
		err = d.renewHash(ctx, account.ID, hash, password)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// accountOf is nil for nobody.
func (d *Directory) accountOf(ctx context.Context, login string) (*Account, error) {
	if len(login) > longestEmail {
		return nil, nil
	}
	id, err := d.Store.PersonID(ctx, LoginOf(login))
	if err == nil {
		var account *Account
		if account, err = d.Store.Account(ctx, id); err == nil {
			return account, nil
		}
	}
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return nil, err
}

// open is the one door: everything that lets somebody in goes through it.
func (d *Directory) open(ctx context.Context, id string) (*Standing, error) {
	s, err := d.Standing(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := s.Open(); err != nil {
		return nil, err
	}
	return s, nil
}

// renewHash replaces the hash of another program by ours, unless the password
// was changed meanwhile. Where there is no turn for it, the next sign-in does.
func (d *Directory) renewHash(ctx context.Context, id string, old PasswordHash, password string) error {
	fresh, err := d.Hasher.Hash(ctx, password)
	if errors.Is(err, ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = d.Store.UpdateAccount(ctx, id, func(a *Account) error {
		if a.Password.Reveal() == old.Reveal() {
			a.Password = fresh
		}
		return nil
	}, event(id, "person.password_rehashed", nil))
	return err
}

// CheckTOTP takes the code of a person's authenticator app, which is spent then:
// neither it nor one before it is taken again (RFC 6238 §5.2). ErrWrong is all
// that it says.
func (d *Directory) CheckTOTP(ctx context.Context, id, code string) error {
	if _, err := d.open(ctx, id); err != nil {
		return err
	}
	account, err := d.Store.Account(ctx, id)
	if err != nil {
		return err
	}
	if account.TOTP.IsZero() {
		return ErrWrong
	}
	key, err := d.openTOTP(account.TOTP.Sealed, id)
	if err != nil {
		return err
	}
	step, ok := matchTOTP(key, code, d.Now(), account.TOTP.Step)
	if !ok {
		return ErrWrong
	}
	_, err = d.Store.UpdateAccount(ctx, id, func(a *Account) error {
		if a.TOTP.Step >= step || !slices.Equal(a.TOTP.Sealed, account.TOTP.Sealed) { // another was first
			return ErrWrong
		}
		a.TOTP.Step = step
		return nil
	}, audit.Event{})
	return err
}

// SealTOTP seals the secret of an authenticator app for its person.
func (d *Directory) SealTOTP(id string, key secret.Text) []byte {
	return d.Master.Seal([]byte(key.Reveal()), "totp of "+id)
}

// HasTOTP reports whether an account has an authenticator app with this secret.
func (d *Directory) HasTOTP(a *Account, key secret.Text) (bool, error) {
	if a.TOTP.IsZero() {
		return false, nil
	}
	have, err := d.openTOTP(a.TOTP.Sealed, a.ID)
	return err == nil && secret.Same(have.Reveal(), key.Reveal()), err
}

func (d *Directory) openTOTP(sealed []byte, id string) (secret.Text, error) {
	raw, err := d.Master.Open(sealed, "totp of "+id)
	if err != nil {
		return secret.Text{}, fmt.Errorf("open the secret of the authenticator app of %s: %w", id, err)
	}
	return secret.NewText(string(raw)), nil
}

// SetTOTP makes an authenticator app a factor of a person, once its first code
// shows that the app has the secret. sealed is of SealTOTP: what was shown to
// nobody else. The code is spent.
func (d *Directory) SetTOTP(ctx context.Context, id string, sealed []byte, code string) error {
	if _, err := d.open(ctx, id); err != nil {
		return err
	}
	key, err := d.openTOTP(sealed, id)
	if err != nil {
		return ErrWrong // it came from a browser
	}
	step, ok := matchTOTP(key, code, d.Now(), 0)
	if !ok {
		return ErrWrong
	}
	_, err = d.Update(ctx, id, func(a *Account) error {
		a.TOTP = TOTP{Sealed: sealed, Step: step, Created: d.Now()}
		return nil
	}, event(id, "person.totp_set", nil))
	return err
}

// RemoveTOTP takes the authenticator app from a person.
func (d *Directory) RemoveTOTP(ctx context.Context, id string) error {
	return d.change(ctx, id, "person.totp_removed", nil, func(a *Account) error {
		a.TOTP = TOTP{}
		return nil
	})
}

// NewRecoveryCodes gives a person codes for when their other factor is lost, in
// place of those from before. They are shown once: only hashes are kept.
func (d *Directory) NewRecoveryCodes(ctx context.Context, id string) ([]string, error) {
	codes := make([]string, RecoveryCodes)
	hashes := make([]secret.Hash, RecoveryCodes)
	for i := range codes {
		codes[i] = newRecoveryCode()
		hashes[i] = hashRecoveryCode(d.Master, id, codes[i])
	}
	err := d.change(ctx, id, "person.recovery_codes_made", nil, func(a *Account) error {
		a.Recovery = slices.Clone(hashes)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// CheckRecovery takes a recovery code, which is spent then.
func (d *Directory) CheckRecovery(ctx context.Context, id, code string) (left int, err error) {
	hash := hashRecoveryCode(d.Master, id, code)
	detail := map[string]int{}
	err = d.change(ctx, id, "person.recovery_code_used", detail, func(a *Account) error {
		kept := slices.DeleteFunc(slices.Clone(a.Recovery), hash.Equal)
		if len(kept) == len(a.Recovery) {
			return ErrWrong
		}
		a.Recovery, left = kept, len(kept)
		detail["left"] = left
		return nil
	})
	return left, err
}

// change is something that a person does to their own account. detail may be
// completed by update.
func (d *Directory) change(ctx context.Context, id, action string, detail any, update func(*Account) error) error {
	if _, err := d.open(ctx, id); err != nil {
		return err
	}
	_, err := d.Update(ctx, id, update, event(id, action, detail))
	return err
}

// SetPassword gives a person another password. All that began before ends:
// sessions, tokens and grants.
func (d *Directory) SetPassword(ctx context.Context, id, password string) error {
	s, err := d.open(ctx, id)
	if err != nil {
		return err
	}
	hash, err := d.newPassword(ctx, s.Person, password)
	if err != nil {
		return err
	}
	return d.change(ctx, id, "person.password_set", nil, func(a *Account) error { return a.setPassword(hash) })
}

// newPassword holds a password to the policy and makes its hash.
func (d *Directory) newPassword(ctx context.Context, p *Person, password string) (PasswordHash, error) {
	if err := d.CheckNew(p, password); err != nil {
		return PasswordHash{}, err
	}
	return d.Hasher.Hash(ctx, password)
}

// ErrDeclared is a change of what the configuration file says.
var ErrDeclared = errors.New("this is declared in the configuration file: change it there")

// setPassword replaces the password, unless the file gives it. What began with
// the one before ends.
func (a *Account) setPassword(hash PasswordHash) error {
	if a.PasswordMark != "" {
		return ErrDeclared
	}
	a.End = a.End || !a.Password.IsZero()
	a.Password = hash
	return nil
}

// NoteSignIn remembers when a person signed in last.
func (d *Directory) NoteSignIn(ctx context.Context, id string) error {
	return d.Store.NoteSignIn(ctx, id)
}
