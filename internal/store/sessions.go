package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/secret"
	sessions "github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

const sessionColumns = `id, cookie, person_id, created, last_seen, idle, expires, auth_time, acr, amr, user_agent, source`

// StartSession keeps that a person has signed in, for the request that waited
// for it, and returns the session. A session of the same person that the browser
// had before, by the hash of its cookie, is the one that goes on, with the new
// cookie and login: its id is known to clients. One of somebody else is ended.
// It returns sessions.ErrGone where the request waits no more. Of a thousand and
// one sessions of a person the oldest is ended.
func (db *DB) StartSession(ctx context.Context, s sessions.Session, before secret.Hash, request sessions.Waiting, e audit.Event) (started sessions.Session, err error) {
	if s.ID == "" || s.Cookie.IsZero() || s.PersonID == "" {
		return sessions.Session{}, errors.New("session without id, cookie or person")
	}
	err = db.change(ctx, func(x *tx) error {
		started = s
		old, err := x.sessionBy(`SELECT `+sessionColumns+` FROM browser_session WHERE cookie = ?`, before[:])
		switch {
		case errors.Is(err, sessions.ErrNoSession):
		case err != nil:
			return err
		case old.PersonID == s.PersonID && !old.Ended(s.LastSeen):
			started.ID, started.Created = old.ID, old.Created
			if _, err := x.exec(`DELETE FROM browser_session WHERE id = ?`, old.ID); err != nil {
				return err
			}
		default:
			if err := x.endSession(old); err != nil {
				return err
			}
		}
		if err := x.insertSession(started); err != nil {
			return err
		}
		if err := x.endOldest(s.PersonID); err != nil {
			return err
		}
		if _, err := x.progress(request, s.LastSeen, func(p *sessions.Progress) error {
			*p = sessions.Progress{SessionID: started.ID}
			return nil
		}); err != nil {
			return err
		}
		e.Object = started.ID
		return x.record(e)
	})
	if err != nil {
		return sessions.Session{}, err
	}
	return started, nil
}

// mostSessions is how many sessions one person can have.
const mostSessions = 1000

// endOldest ends those beyond.
func (x *tx) endOldest(personID string) error {
	beyond, err := x.sessionsBy(`SELECT `+sessionColumns+` FROM browser_session WHERE person_id = ? ORDER BY created DESC LIMIT 10 OFFSET ?`, personID, mostSessions)
	if err != nil {
		return err
	}
	for _, s := range beyond {
		if err := x.endSession(s); err != nil {
			return err
		}
	}
	return nil
}

// SessionByCookie returns the session whose cookie has that hash, or
// sessions.ErrNoSession. It may have ended.
func (db *DB) SessionByCookie(ctx context.Context, cookie secret.Hash) (s sessions.Session, err error) {
	err = db.view(ctx, func(r *session) error {
		s, err = r.sessionBy(`SELECT `+sessionColumns+` FROM browser_session WHERE cookie = ?`, cookie[:])
		return err
	})
	return s, err
}

// SessionsOf returns the sessions of a person that have not ended at now, the
// oldest first.
func (db *DB) SessionsOf(ctx context.Context, personID string, now time.Time) (list []sessions.Session, err error) {
	err = db.view(ctx, func(r *session) error {
		list, err = r.sessionsBy(`SELECT `+sessionColumns+` FROM browser_session WHERE person_id = ? AND ends > ? ORDER BY created`, personID, micros(now))
		return err
	})
	return list, err
}

// TouchSession notes that a session was used at a time. It never goes back.
func (db *DB) TouchSession(ctx context.Context, id string, at time.Time) error {
	return db.change(ctx, func(x *tx) error {
		s, err := x.sessionBy(`SELECT `+sessionColumns+` FROM browser_session WHERE id = ?`, id)
		if err != nil || !at.After(s.LastSeen) || s.Ended(at) {
			return err
		}
		s.LastSeen = at
		_, err = x.exec(`UPDATE browser_session SET last_seen = ?, ends = ? WHERE id = ?`, micros(at), micros(endOf(s)), id)
		return err
	})
}

// EndSession ends a session: its tokens are refused from then on. With a person
// it must be theirs. It returns sessions.ErrNoSession if there is none.
func (db *DB) EndSession(ctx context.Context, id, personID string, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		s, err := x.sessionBy(`SELECT `+sessionColumns+` FROM browser_session WHERE id = ?`, id)
		switch {
		case err != nil:
			return err
		case personID != "" && s.PersonID != personID:
			return sessions.ErrNoSession
		}
		if err := x.endSession(s); err != nil {
			return err
		}
		return x.record(e)
	})
}

// EndSessionsOf ends the sessions of a person, but for the one that is kept, and
// returns how many those were.
func (db *DB) EndSessionsOf(ctx context.Context, personID, keep string, e audit.Event) (ended int, err error) {
	err = db.change(ctx, func(x *tx) error {
		if ended, err = x.endSessionsOf(personID, keep); err != nil {
			return err
		}
		return x.record(e)
	})
	return ended, err
}

// endSessionsOf ends the sessions of a person in the transition that runs, as
// when they are disabled or their password is reset.
func (x *tx) endSessionsOf(personID, keep string) (ended int, err error) {
	list, err := x.sessionsBy(`SELECT `+sessionColumns+` FROM browser_session WHERE person_id = ? ORDER BY created`, personID)
	if err != nil {
		return 0, err
	}
	for _, s := range list {
		if s.ID == keep {
			continue
		}
		if err := x.endSession(s); err != nil {
			return 0, err
		}
		ended++
	}
	return ended, nil
}

// endSession ends a session, whatever ends it: nobody is signed in there, and
// what was issued in it is refused.
func (x *tx) endSession(s sessions.Session) error {
	if _, err := x.exec(`DELETE FROM browser_session WHERE id = ?`, s.ID); err != nil {
		return err
	}
	if err := x.noteLogout(s); err != nil {
		return err
	}
	return x.revoke(token.Revocation{Kind: token.RevokeSession, ID: s.ID})
}

// cleanSessions ends up to limit sessions that were not used for too long, or
// have had their time.
func (x *tx) cleanSessions(now time.Time, limit int) (int64, error) {
	list, err := x.sessionsBy(`SELECT `+sessionColumns+` FROM browser_session WHERE ends <= ? ORDER BY ends LIMIT ?`, micros(now), limit)
	if err != nil {
		return 0, err
	}
	for _, s := range list {
		if err := x.endSession(s); err != nil {
			return 0, err
		}
	}
	return int64(len(list)), nil
}

// endOf is when a session ends if it is not used again.
func endOf(s sessions.Session) time.Time {
	if idle := s.LastSeen.Add(s.Idle); s.Idle > 0 && idle.Before(s.Expires) {
		return idle
	}
	return s.Expires
}

func (x *tx) insertSession(s sessions.Session) error {
	amr, err := joinWords(s.AMR)
	if err != nil {
		return fmt.Errorf("session %s: %w", s.ID, err)
	}
	_, err = x.exec(`INSERT INTO browser_session (`+sessionColumns+`, ends) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		s.ID, s.Cookie[:], s.PersonID, micros(s.Created), micros(s.LastSeen), s.Idle.Microseconds(), micros(s.Expires),
		micros(s.AuthTime), s.ACR, amr, s.UserAgent, s.Source, micros(endOf(s)))
	return err
}

func (s *session) sessionBy(query string, a ...any) (sessions.Session, error) {
	list, err := s.sessionsBy(query, a...)
	if err == nil && len(list) == 0 {
		err = sessions.ErrNoSession
	}
	if err != nil {
		return sessions.Session{}, err
	}
	return list[0], nil
}

func (s *session) sessionsBy(query string, a ...any) (list []sessions.Session, err error) {
	err = s.each(query, a, func(scan func(...any) error) error {
		var one sessions.Session
		var cookie []byte
		var created, seen, idle, expires, auth int64
		var amr string
		if err := scan(&one.ID, &cookie, &one.PersonID, &created, &seen, &idle, &expires, &auth, &one.ACR, &amr, &one.UserAgent, &one.Source); err != nil {
			return err
		}
		if one.Cookie, err = toHash(cookie); err != nil {
			return fmt.Errorf("session %s: %w", one.ID, err)
		}
		one.Created, one.LastSeen, one.Expires, one.AuthTime = instant(created), instant(seen), instant(expires), instant(auth)
		one.Idle, one.AMR = time.Duration(idle)*time.Microsecond, splitWords(amr)
		list = append(list, one)
		return nil
	})
	return list, err
}

// live reports whether that session of that person has not ended at now.
func (s *session) live(id, personID string, now time.Time) (bool, error) {
	var there int
	err := s.one(`SELECT 1 FROM browser_session WHERE id = ? AND person_id = ? AND ends > ?`, args{id, personID, micros(now)}, &there)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
