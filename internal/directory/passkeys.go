package directory

import (
	"bytes"
	"context"
	"slices"

	"github.com/offkey/offkey/internal/audit"
)

// Passkey finds a passkey and whose it is, or ErrNoPasskey. Whether the person
// may come in is asked when the passkey is used.
func (d *Directory) Passkey(ctx context.Context, credentialID []byte) (*Passkey, error) {
	account, err := d.Store.AccountOfPasskey(ctx, credentialID)
	if err != nil {
		return nil, err
	}
	if i := account.passkey(credentialID); i >= 0 {
		return &account.Passkeys[i], nil
	}
	return nil, ErrNoPasskey
}

func (a *Account) passkey(credentialID []byte) int {
	return slices.IndexFunc(a.Passkeys, func(k Passkey) bool { return bytes.Equal(k.ID, credentialID) })
}

// AddPasskey makes a passkey a factor of the person that it names.
func (d *Directory) AddPasskey(ctx context.Context, k Passkey) error {
	k.Created = d.Now()
	return d.change(ctx, k.PersonID, "person.passkey_added", map[string]string{"name": k.Name}, func(a *Account) error {
		return a.addPasskey(k)
	})
}

func (a *Account) addPasskey(k Passkey) error {
	switch {
	case len(a.Passkeys) >= MostPasskeys:
		return ErrTooMany
	case a.passkey(k.ID) >= 0:
		return ErrExists
	}
	k.PersonID = a.ID
	a.Passkeys = append(a.Passkeys, k)
	return nil
}

// UsePasskey notes that a signature of a passkey was verified, and returns who
// that is. A count that does not go up is ErrCloned: the passkey is left as it
// was and nobody is let in.
func (d *Directory) UsePasskey(ctx context.Context, credentialID []byte, count uint32, backedUp bool) (*Standing, error) {
	k, err := d.Passkey(ctx, credentialID)
	if err != nil {
		return nil, err
	}
	s, err := d.open(ctx, k.PersonID)
	if err != nil {
		return nil, err
	}
	_, err = d.Store.UpdateAccount(ctx, k.PersonID, func(a *Account) error {
		i := a.passkey(credentialID)
		switch {
		case i < 0:
			return ErrNoPasskey
		case !CountHolds(a.Passkeys[i].SignCount, count):
			return ErrCloned
		}
		k := &a.Passkeys[i]
		k.SignCount, k.BackedUp, k.LastUsed = count, backedUp, d.Now()
		return nil
	}, audit.Event{})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// RenamePasskey gives a passkey another name.
func (d *Directory) RenamePasskey(ctx context.Context, id string, credentialID []byte, name string) error {
	return d.change(ctx, id, "person.passkey_renamed", map[string]string{"name": name}, func(a *Account) error {
		i := a.passkey(credentialID)
		if i < 0 {
			return ErrNoPasskey
		}
		a.Passkeys[i].Name = name
		return nil
	})
}

// RemovePasskey takes a passkey from a person.
func (d *Directory) RemovePasskey(ctx context.Context, id string, credentialID []byte) error {
	return d.change(ctx, id, "person.passkey_removed", nil, func(a *Account) error {
		i := a.passkey(credentialID)
		if i < 0 {
			return ErrNoPasskey
		}
		a.Passkeys = slices.Delete(a.Passkeys, i, i+1)
		return nil
	})
}
