package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/audit"
	sessions "github.com/offkey/offkey/internal/session"
)

const requestColumns = `id, browser, kind, client_id, return_to, payload, demand, ask, progress, answer, created, expires`

// PutRequest keeps a request that waits for its person. Of more requests than
// limits say, in one browser or in all, the oldest are forgotten. Nothing is
// audited: strangers may do this.
func (db *DB) PutRequest(ctx context.Context, q sessions.Request, limits sessions.RequestLimits) error {
	row, err := requestRow(q)
	if err != nil {
		return err
	}
	return db.change(ctx, func(x *tx) error {
		var seq int64
		if err := x.one(`INSERT INTO browser_request (`+requestColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq`, row, &seq); err != nil {
			return err
		}
		// Numbers have gaps, so there may be fewer than All; counting them would
		// take longer the more there are.
		if _, err := x.exec(`DELETE FROM browser_request WHERE seq <= ?`, seq-int64(limits.All)); err != nil {
			return err
		}
		_, err := x.exec(`DELETE FROM browser_request WHERE seq IN (SELECT seq FROM browser_request WHERE browser = ? ORDER BY seq DESC LIMIT ? OFFSET ?)`,
			q.Browser[:], limits.PerBrowser, limits.PerBrowser)
		return err
	})
}

// Request returns what waits in that browser, answered or not, or
// sessions.ErrGone.
func (db *DB) Request(ctx context.Context, w sessions.Waiting, now time.Time) (q sessions.Request, err error) {
	err = db.view(ctx, func(s *session) error {
		q, err = s.request(w, now)
		return err
	})
	return q, err
}

// ProgressRequest lets update change how far a person has come with a request
// that waits for an answer, with nobody changing it in between, and returns the
// request as it then is.
func (db *DB) ProgressRequest(ctx context.Context, w sessions.Waiting, now time.Time, update func(*sessions.Progress) error) (q sessions.Request, err error) {
	err = db.change(ctx, func(x *tx) error {
		q, err = x.progress(w, now, update)
		return err
	})
	if err != nil {
		return sessions.Request{}, err
	}
	return q, nil
}

func (x *tx) progress(w sessions.Waiting, now time.Time, update func(*sessions.Progress) error) (sessions.Request, error) {
	q, err := x.request(w, now)
	switch {
	case err != nil:
		return q, err
	case q.Answer != nil:
		return q, sessions.ErrGone
	}
	if err := update(&q.Progress); err != nil {
		return q, err
	}
	progress, err := json.Marshal(q.Progress)
	if err != nil {
		return q, fmt.Errorf("request %s: %w", q.ID, err)
	}
	_, err = x.exec(`UPDATE browser_request SET progress = ? WHERE id = ?`, string(progress), q.ID)
	return q, err
}

// AnswerRequest keeps what the person said, and with a consent what they
// allowed. The first answer stands: sessions.ErrGone if the request waits no
// more. An answer in a session that has ended is none: sessions.ErrNoSession.
func (db *DB) AnswerRequest(ctx context.Context, w sessions.Waiting, a sessions.Answer, consent *sessions.Consent, e audit.Event) error {
	answer, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("answer of a request: %w", err)
	}
	return db.change(ctx, func(x *tx) error {
		q, err := x.request(w, a.At)
		switch {
		case err != nil:
			return err
		case q.Answer != nil:
			return sessions.ErrGone
		}
		if a.PersonID != "" {
			live, err := x.live(a.SessionID, a.PersonID, a.At)
			if err != nil {
				return err
			}
			if !live {
				return sessions.ErrNoSession
			}
		}
		if _, err := x.exec(`UPDATE browser_request SET answer = ? WHERE id = ?`, string(answer), q.ID); err != nil {
			return err
		}
		if consent != nil {
			if err := x.remember(*consent); err != nil {
				return err
			}
		}
		return x.record(e)
	})
}

// TakeRequest takes an answered request out, in one step: of any number that
// arrive together one gets it, the others sessions.ErrGone.
func (db *DB) TakeRequest(ctx context.Context, w sessions.Waiting, now time.Time) (q sessions.Request, err error) {
	err = db.change(ctx, func(x *tx) error {
		if q, err = x.request(w, now); err != nil {
			return err
		}
		if q.Answer == nil {
			return sessions.ErrGone
		}
		_, err := x.exec(`DELETE FROM browser_request WHERE id = ?`, q.ID)
		return err
	})
	if err != nil {
		return sessions.Request{}, err
	}
	return q, nil
}

// cleanRequests forgets up to limit requests that have expired at now.
func (x *tx) cleanRequests(now time.Time, limit int) (int64, error) {
	return x.exec(`DELETE FROM browser_request WHERE seq IN (SELECT seq FROM browser_request WHERE expires <= ? ORDER BY expires LIMIT ?)`, micros(now), limit)
}

func requestRow(q sessions.Request) (args, error) {
	if q.ID == "" || q.Browser.IsZero() || q.Kind == "" || q.Expires.IsZero() {
		return nil, errors.New("request without id, browser, kind or end")
	}
	if len(q.Payload) > sessions.MaxPayload {
		return nil, fmt.Errorf("request %s: a payload of %d bytes", q.ID, len(q.Payload))
	}
	row := args{q.ID, q.Browser[:], q.Kind, q.ClientID, q.Return, append([]byte{}, q.Payload...)}
	for _, part := range []any{q.Demand, q.Ask, q.Progress, q.Answer} {
		raw, err := json.Marshal(part)
		if err != nil {
			return nil, fmt.Errorf("request %s: %w", q.ID, err)
		}
		if string(raw) == "null" {
			raw = nil
		}
		row = append(row, string(raw))
	}
	return append(row, micros(q.Created), micros(q.Expires)), nil
}

// request returns what waits in that browser at now.
func (s *session) request(w sessions.Waiting, now time.Time) (sessions.Request, error) {
	var q sessions.Request
	var browser []byte
	var demand, ask, progress, answer string
	var created, expires int64
	err := s.one(`SELECT `+requestColumns+` FROM browser_request WHERE id = ?`, args{w.Request},
		&q.ID, &browser, &q.Kind, &q.ClientID, &q.Return, &q.Payload, &demand, &ask, &progress, &answer, &created, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return sessions.Request{}, sessions.ErrGone
	}
	if err != nil {
		return sessions.Request{}, err
	}
	if q.Browser, err = toHash(browser); err != nil {
		return sessions.Request{}, fmt.Errorf("request %s: %w", q.ID, err)
	}
	q.Created, q.Expires = instant(created), instant(expires)
	if w.Browser.IsZero() || !q.Browser.Equal(w.Browser) || !now.Before(q.Expires) {
		return sessions.Request{}, sessions.ErrGone
	}
	for _, part := range []struct {
		text string
		into any
	}{{demand, &q.Demand}, {ask, &q.Ask}, {progress, &q.Progress}, {answer, &q.Answer}} {
		if part.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(part.text), part.into); err != nil {
			return sessions.Request{}, fmt.Errorf("request %s: %w", q.ID, err)
		}
	}
	return q, nil
}
