package store

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/offkey/offkey/internal/client"
	sessions "github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// joinSession notes that a client has to do with a session.
func (x *tx) joinSession(g token.Grant) error {
	if g.Session == "" {
		return nil
	}
	_, err := x.exec(`INSERT INTO session_client (session_id, client_id) SELECT id, ? FROM browser_session WHERE id = ? ON CONFLICT DO NOTHING`, g.ClientID, g.Session)
	return err
}

// noteLogout notes for the clients of a session that wish to be told that it has
// ended. Clients that are not kept here wish nothing.
func (x *tx) noteLogout(s sessions.Session) error {
	var ids []string
	if err := x.each(`SELECT client_id FROM session_client WHERE session_id = ? ORDER BY client_id`, args{s.ID}, func(scan func(...any) error) error {
		var id string
		defer func() { ids = append(ids, id) }()
		return scan(&id)
	}); err != nil {
		return err
	}
	for _, id := range ids {
		c, err := x.client(id)
		switch {
		case errors.Is(err, client.ErrNotFound), err == nil && c.BackchannelLogoutURI == "":
			continue
		case err != nil:
			return err
		}
		if _, err := x.exec(`INSERT INTO logout_notice (id, client_id, session_id, person_id, created, due, attempts) VALUES (?, ?, ?, ?, ?, ?, 0)`,
			rand.Text(), id, s.ID, s.PersonID, micros(x.now), micros(x.now)); err != nil {
			return err
		}
	}
	_, err := x.exec(`DELETE FROM session_client WHERE session_id = ?`, s.ID)
	return err
}

// DueNotices returns up to limit notices that are to be tried at now.
func (db *DB) DueNotices(ctx context.Context, now time.Time, limit int) (list []sessions.Notice, err error) {
	err = db.view(ctx, func(s *session) error {
		return s.each(`SELECT id, client_id, session_id, person_id, created, due, attempts FROM logout_notice WHERE due <= ? ORDER BY due LIMIT ?`,
			args{micros(now), orDefault(limit)}, func(scan func(...any) error) error {
				var n sessions.Notice
				var created, due int64
				if err := scan(&n.ID, &n.ClientID, &n.SessionID, &n.PersonID, &created, &due, &n.Attempts); err != nil {
					return err
				}
				n.Created, n.Due = instant(created), instant(due)
				list = append(list, n)
				return nil
			})
	})
	return list, err
}

// SettleNotice notes an attempt: heard, or not to be tried again, it goes; else
// it is due later.
func (db *DB) SettleNotice(ctx context.Context, id string, again time.Time) error {
	return db.change(ctx, func(x *tx) error {
		if again.IsZero() {
			_, err := x.exec(`DELETE FROM logout_notice WHERE id = ?`, id)
			return err
		}
		_, err := x.exec(`UPDATE logout_notice SET due = ?, attempts = attempts + 1 WHERE id = ?`, micros(again), id)
		return err
	})
}
