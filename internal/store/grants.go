package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/secret"
	sessions "github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// keepCodes is how long a code is known after it has expired: whoever brings it
// again then is noticed.
const keepCodes = 24 * time.Hour

// IssueCode keeps a code and its grant. Where the request was pushed, it is used
// up by that: sessions.ErrNotPushed if it was before (RFC 9126 §7.3). The error
// is token.ErrRevoked where the person, the client or the session was revoked
// since it was allowed.
func (db *DB) IssueCode(ctx context.Context, c token.Code, pushed secret.Hash, e audit.Event) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("code: %w", err)
	}
	return db.change(ctx, func(x *tx) error {
		if !pushed.IsZero() {
			if err := x.usePushed(pushed); err != nil {
				return err
			}
		}
		if ended, err := x.isEnded(c.Grant.Session); err != nil || ended { // whether or not the grant would outlive it
			return errors.Join(err, token.ErrRevoked)
		}
		if err := x.keepGrant(c.Grant, c.Expires); err != nil {
			return err
		}
		if err := x.joinSession(c.Grant); err != nil {
			return err
		}
		if _, err := x.exec(`INSERT INTO authorization_code (hash, grant_id, body, expires, spent) VALUES (?, ?, ?, ?, 0)`,
			c.Hash[:], c.Grant.ID, string(body), micros(c.Expires)); err != nil {
			return err
		}
		return x.record(e)
	})
}

// RedeemCode returns a code and marks it spent in one step: of any number that
// arrive together one gets it. For a code that was spent before it returns it
// with token.ErrSpent, and has revoked what the first redemption brought (RFC
// 6749 §4.1.2). Whether the code is good for whoever brings it is not asked
// here: spent it is.
func (db *DB) RedeemCode(ctx context.Context, h secret.Hash, now time.Time) (c token.Code, err error) {
	var again bool
	err = db.change(ctx, func(x *tx) error {
		var spent int64
		again = false
		if c, spent, err = x.code(h); err != nil {
			return err
		}
		if again = spent != 0; !again {
			_, err := x.exec(`UPDATE authorization_code SET spent = ? WHERE hash = ?`, micros(now), h[:])
			return err
		}
		if err := x.revoke(token.Revocation{Kind: token.RevokeGrant, ID: c.Grant.ID, Before: x.now}); err != nil {
			return err
		}
		return x.record(audit.Event{Actor: "client:" + c.Grant.ClientID, Action: "grant.revoked", Object: c.Grant.ID, Detail: map[string]string{"why": "its code came twice"}})
	})
	if err == nil && again {
		err = token.ErrSpent
	}
	return c, err
}

func (s *session) code(h secret.Hash) (c token.Code, spent int64, err error) {
	var body string
	var expires int64
	err = s.one(`SELECT body, expires, spent FROM authorization_code WHERE hash = ?`, args{h[:]}, &body, &expires, &spent)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return token.Code{}, 0, token.ErrNoCode
	case err != nil:
		return token.Code{}, 0, err
	}
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		return token.Code{}, 0, fmt.Errorf("code: %w", err)
	}
	c.Hash, c.Expires = h, instant(expires)
	return c, spent, nil
}

// KeepGrant keeps what a person allowed where no code was made of it.
func (db *DB) KeepGrant(ctx context.Context, g token.Grant, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if err := x.keepGrant(g, x.now); err != nil {
			return err
		}
		return x.record(e)
	})
}

// Grant returns what a person allowed, or token.ErrRevoked where it is no
// longer known.
func (db *DB) Grant(ctx context.Context, id string) (g token.Grant, err error) {
	err = db.view(ctx, func(s *session) error {
		var body string
		err := s.one(`SELECT body FROM granted WHERE id = ?`, args{id}, &body)
		if errors.Is(err, sql.ErrNoRows) {
			return token.ErrRevoked
		}
		return errors.Join(err, readGrant(body, &g))
	})
	return g, err
}

func readGrant(body string, g *token.Grant) error {
	if body == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(body), g); err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	return nil
}

// keepGrant keeps a grant for as long as something of it can be alive: a token
// that is issued at the time last.
func (x *tx) keepGrant(g token.Grant, last time.Time) error {
	body, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	if revoked, err := x.isRevoked(g); err != nil || revoked {
		return errors.Join(err, token.ErrRevoked)
	}
	offline := 0
	if g.Offline() {
		offline = 1
	}
	expires := micros(last.Add(x.w.life))
	_, err = x.exec(`INSERT INTO granted (id, client_id, person_id, session_id, offline, body, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET expires = CASE WHEN excluded.expires > granted.expires THEN excluded.expires ELSE granted.expires END`,
		g.ID, g.ClientID, g.PersonID, g.Session, offline, string(body), micros(g.Created), expires)
	return err
}

// isEnded reports whether a session was ended.
func (x *tx) isEnded(sessionID string) (bool, error) {
	if sessionID == "" {
		return false, nil
	}
	var there int
	err := x.one(`SELECT 1 FROM revocation WHERE kind = ? AND id = ?`, args{token.RevokeSession, sessionID}, &there)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// isRevoked reports whether a grant is covered by a revocation: that of a person
// or client only where it is as new as the grant.
func (x *tx) isRevoked(g token.Grant) (bool, error) {
	session := g.Session
	if g.Offline() {
		session = ""
	}
	for _, of := range []struct {
		kind, id string
		whenever bool
	}{
		{token.RevokeGrant, g.ID, true}, {token.RevokeSession, session, true},
		{token.RevokePerson, g.PersonID, false}, {token.RevokeClient, g.ClientID, false}, {token.RevokeAll, token.All, false},
		{token.RevokeConsent, token.ConsentID(g.PersonID, g.ClientID), false},
	} {
		if of.id == "" {
			continue
		}
		var before int64
		err := x.one(`SELECT issued_before FROM revocation WHERE kind = ? AND id = ?`, args{of.kind, of.id}, &before)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return false, err
		case of.whenever || before >= micros(g.Created):
			return true, nil
		}
	}
	return false, nil
}

// endGrants takes with a revocation what was granted and is kept: the codes and
// refresh families that could bring new tokens.
func (x *tx) endGrants(r token.Revocation) error {
	var which string
	var a args
	switch r.Kind {
	case token.RevokeGrant:
		which, a = `id = ?`, args{r.ID}
	case token.RevokeSession:
		which, a = `session_id = ? AND session_id <> '' AND offline = 0`, args{r.ID}
	case token.RevokePerson:
		which, a = `person_id = ?`, args{r.ID}
	case token.RevokeClient:
		which, a = `client_id = ?`, args{r.ID}
	case token.RevokeConsent:
		personID, clientID, _ := strings.Cut(r.ID, " ")
		which, a = `person_id = ? AND client_id = ?`, args{personID, clientID}
	case token.RevokeAll:
		which, a = `id > ''`, nil
	default:
		return nil
	}
	if !r.Before.IsZero() && r.Kind != token.RevokeGrant && r.Kind != token.RevokeSession {
		which, a = which+` AND created <= ?`, append(a, micros(r.Before))
	}
	if err := x.revokePairwise(r, which, a); err != nil {
		return err
	}
	for _, of := range []string{
		`DELETE FROM refresh_family WHERE grant_id IN (SELECT id FROM granted WHERE ` + which + `)`,
		`DELETE FROM authorization_code WHERE spent = 0 AND grant_id IN (SELECT id FROM granted WHERE ` + which + `)`,
		`DELETE FROM granted WHERE ` + which,
	} {
		if _, err := x.exec(of, a...); err != nil {
			return err
		}
	}
	return nil
}

// revokeGranted revokes all that a person allowed one client: consent was
// withdrawn.
func (x *tx) revokeGranted(personID, clientID string) error {
	return x.revokeAll(token.RevokeConsent, token.ConsentID(personID, clientID))
}

// revokePairwise revokes, one by one, the grants of a person or session whose
// tokens do not say whose they are.
func (x *tx) revokePairwise(r token.Revocation, which string, a args) error {
	if r.Kind != token.RevokePerson && r.Kind != token.RevokeConsent && r.Kind != token.RevokeSession {
		return nil
	}
	var ids []string
	if err := x.each(`SELECT body FROM granted WHERE `+which, a, func(scan func(...any) error) error {
		var body string
		var g token.Grant
		if err := scan(&body); err != nil {
			return err
		}
		if err := readGrant(body, &g); err != nil {
			return err
		}
		if g.Pairwise {
			ids = append(ids, g.ID)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, id := range ids {
		if err := x.revoke(token.Revocation{Kind: token.RevokeGrant, ID: id, Before: x.now, Expires: r.Expires}); err != nil {
			return err
		}
	}
	return nil
}

// RevokeGranted revokes all that a person allowed one client.
func (db *DB) RevokeGranted(ctx context.Context, personID, clientID string, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if err := x.revokeGranted(personID, clientID); err != nil {
			return err
		}
		return x.record(e)
	})
}

// PushRequest keeps a pushed request. It is sessions.ErrManyPushed beyond the
// limits. Nothing is audited: strangers may do this.
func (db *DB) PushRequest(ctx context.Context, p sessions.Pushed, limits sessions.PushedLimits) error {
	return db.change(ctx, func(x *tx) error {
		var ofClient, all int
		if err := x.one(`SELECT count(*) FROM pushed_request WHERE client_id = ? AND expires > ?`, args{p.ClientID, micros(x.now)}, &ofClient); err != nil {
			return err
		}
		if err := x.one(`SELECT count(*) FROM pushed_request WHERE expires > ?`, args{micros(x.now)}, &all); err != nil {
			return err
		}
		if ofClient >= limits.PerClient || all >= limits.All {
			return fmt.Errorf("%w: %d of %s, %d in all", sessions.ErrManyPushed, ofClient, p.ClientID, all)
		}
		_, err := x.exec(`INSERT INTO pushed_request (hash, client_id, body, expires) VALUES (?, ?, ?, ?)`, p.Hash[:], p.ClientID, p.Body, micros(p.Expires))
		return err
	})
}

// PushedRequest returns a pushed request, which stays: it is used up by
// IssueCode. It is sessions.ErrNotPushed if there is none that is good at now.
func (db *DB) PushedRequest(ctx context.Context, h secret.Hash, now time.Time) (p sessions.Pushed, err error) {
	err = db.view(ctx, func(s *session) error {
		var expires int64
		err := s.one(`SELECT client_id, body, expires FROM pushed_request WHERE hash = ? AND expires > ?`, args{h[:], micros(now)}, &p.ClientID, &p.Body, &expires)
		if errors.Is(err, sql.ErrNoRows) {
			return sessions.ErrNotPushed
		}
		p.Hash, p.Expires = h, instant(expires)
		return err
	})
	return p, err
}

// DropPushed ends a pushed request that was answered without a code. One that is
// gone already is no error.
func (db *DB) DropPushed(ctx context.Context, h secret.Hash) error {
	return db.change(ctx, func(x *tx) error {
		_, err := x.exec(`DELETE FROM pushed_request WHERE hash = ?`, h[:])
		return err
	})
}

// usePushed takes a request out, once. That it expired while the person signed
// in does not matter (RFC 9126 §2.2 is about when it is brought).
func (x *tx) usePushed(h secret.Hash) error {
	n, err := x.exec(`DELETE FROM pushed_request WHERE hash = ?`, h[:])
	if err == nil && n == 0 {
		err = sessions.ErrNotPushed
	}
	return err
}

// cleanGrants forgets what was granted and has had its time.
func (x *tx) cleanGrants(now time.Time, limit int) (deleted int64, err error) {
	for _, of := range []struct {
		query  string
		before time.Time
	}{
		{`DELETE FROM authorization_code WHERE hash IN (SELECT hash FROM authorization_code WHERE expires < ? ORDER BY expires LIMIT ?)`, now.Add(-keepCodes)},
		{`DELETE FROM refresh_family WHERE grant_id IN (SELECT grant_id FROM refresh_family WHERE dead < ? ORDER BY dead LIMIT ?)`, now},
		{`DELETE FROM granted WHERE id IN (SELECT id FROM granted WHERE expires < ? ORDER BY expires LIMIT ?)`, now},
		{`DELETE FROM pushed_request WHERE hash IN (SELECT hash FROM pushed_request WHERE expires < ? ORDER BY expires LIMIT ?)`, now.Add(-keepPushed)},
	} {
		n, err := x.exec(of.query, micros(of.before), limit-int(deleted))
		if err != nil {
			return deleted, err
		}
		if deleted += n; int(deleted) >= limit {
			break
		}
	}
	return deleted, nil
}

// keepPushed is how long a pushed request stays for whoever brought it in time
// and is still signing in.
const keepPushed = 30 * time.Minute
