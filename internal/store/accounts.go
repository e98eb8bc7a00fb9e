package store

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/secret"
)

// account reads a person with all that is kept of how they prove themselves.
func (s *session) account(id string) (*directory.Account, error) {
	p, err := s.person(id)
	if err != nil {
		return nil, err
	}
	a := &directory.Account{Person: p}
	var password string
	var created int64
	if err := s.one(`SELECT password, password_mark, totp_sealed, totp_step, totp_created FROM person WHERE id = ?`, args{id},
		&password, &a.PasswordMark, &a.TOTP.Sealed, &a.TOTP.Step, &created); err != nil {
		return nil, err
	}
	a.TOTP.Created = instant(created)
	if len(a.TOTP.Sealed) == 0 {
		a.TOTP.Sealed = nil
	}
	if password != "" {
		if a.Password, err = directory.ParsePasswordHash(password); err != nil {
			return nil, fmt.Errorf("person %s: password: %w", id, err)
		}
	}
	if err := s.recovery(a); err != nil {
		return nil, err
	}
	return a, s.passkeys(a)
}

func (s *session) recovery(a *directory.Account) error {
	return s.each(`SELECT hash FROM recovery_code WHERE person_id = ? ORDER BY hash`, args{a.ID}, func(scan func(...any) error) error {
		var raw []byte
		if err := scan(&raw); err != nil {
			return err
		}
		hash, err := toHash(raw)
		a.Recovery = append(a.Recovery, hash)
		return err
	})
}

func (x *tx) writeRecovery(a, before *directory.Account) error {
	for _, hash := range before.Recovery {
		if slices.Contains(a.Recovery, hash) {
			continue
		}
		if _, err := x.exec(`DELETE FROM recovery_code WHERE person_id = ? AND hash = ?`, a.ID, hash[:]); err != nil {
			return err
		}
	}
	for _, hash := range a.Recovery {
		if slices.Contains(before.Recovery, hash) {
			continue
		}
		if _, err := x.exec(`INSERT INTO recovery_code (person_id, hash) VALUES (?, ?)`, a.ID, hash[:]); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) passkeys(a *directory.Account) error {
	return s.each(`SELECT id, person_id, public_key, sign_count, aaguid, transports, name, eligible, backed_up, created, last_used
		FROM passkey WHERE person_id = ? ORDER BY id`, args{a.ID}, func(scan func(...any) error) error {
		var k directory.Passkey
		var transports string
		var created, used int64
		if err := scan(&k.ID, &k.PersonID, &k.Key, &k.SignCount, &k.AAGUID, &transports, &k.Name, &k.Eligible, &k.BackedUp, &created, &used); err != nil {
			return err
		}
		k.Transports, k.Created, k.LastUsed = splitWords(transports), instant(created), instant(used)
		a.Passkeys = append(a.Passkeys, k)
		return nil
	})
}

// writePasskeys writes those that differ. A credential id that another person
// has is directory.ErrExists.
func (x *tx) writePasskeys(a, before *directory.Account) error {
	find := func(in []directory.Passkey, id []byte) *directory.Passkey {
		if i := slices.IndexFunc(in, func(k directory.Passkey) bool { return bytes.Equal(k.ID, id) }); i >= 0 {
			return &in[i]
		}
		return nil
	}
	for _, k := range before.Passkeys {
		if find(a.Passkeys, k.ID) != nil {
			continue
		}
		if _, err := x.exec(`DELETE FROM passkey WHERE id = ?`, k.ID); err != nil {
			return err
		}
	}
	for _, k := range a.Passkeys {
		k.PersonID = a.ID
		if old := find(before.Passkeys, k.ID); old != nil && reflect.DeepEqual(*old, k) {
			continue
		}
		if err := x.writePasskey(k); err != nil {
			return err
		}
	}
	return nil
}

func (x *tx) writePasskey(k directory.Passkey) error {
	transports, err := joinWords(k.Transports)
	if err != nil {
		return fmt.Errorf("passkey: %w", err)
	}
	aaguid := k.AAGUID
	if aaguid == nil {
		aaguid = []byte{}
	}
	n, err := x.exec(`INSERT INTO passkey (id, person_id, public_key, sign_count, aaguid, transports, name, eligible, backed_up, created, last_used)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET sign_count = excluded.sign_count, transports = excluded.transports,
			name = excluded.name, eligible = excluded.eligible, backed_up = excluded.backed_up, last_used = excluded.last_used
		WHERE passkey.person_id = excluded.person_id`,
		k.ID, k.PersonID, k.Key, k.SignCount, aaguid, transports, k.Name, boolean(k.Eligible), boolean(k.BackedUp), micros(k.Created), micros(k.LastUsed))
	if err == nil && n == 0 {
		err = directory.ErrExists
	}
	return err
}

// spendLink takes a link out, or returns directory.ErrSpent.
func (x *tx) spendLink(hash secret.Hash, purpose directory.Purpose) (directory.Link, error) {
	l, err := x.link(hash, purpose, micros(x.now))
	if err != nil {
		return directory.Link{}, err
	}
	n, err := x.exec(`DELETE FROM person_link WHERE hash = ? AND purpose = ?`, hash[:], purpose)
	if err == nil && n == 0 {
		err = directory.ErrSpent
	}
	return l, err
}

func (s *session) link(hash secret.Hash, purpose directory.Purpose, now int64) (directory.Link, error) {
	l := directory.Link{Hash: hash, Purpose: purpose}
	var created, expires int64
	err := s.one(`SELECT person_id, email, created, expires FROM person_link WHERE hash = ? AND purpose = ? AND expires > ?`,
		args{hash[:], purpose, now}, &l.PersonID, &l.Email, &created, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return directory.Link{}, directory.ErrSpent
	}
	l.Created, l.Expires = instant(created), instant(expires)
	return l, err
}
