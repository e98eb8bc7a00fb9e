package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

// OpenLeak puts a leak on record, or adds to the open record of the same
// subject, and with Contain stops what leaked, in one step: an apikey and what
// was made with it since (as ContainAPIKey does), a client, a token. fresh says
// that there was no open record before.
func (db *DB) OpenLeak(ctx context.Context, o leak.Opening, e audit.Event) (r *leak.Record, fresh bool, err error) {
	if o.Record.ID == "" || o.Record.Subject.Kind == "" || o.Record.Subject.ID == "" {
		return nil, false, errors.New("leak without an id or a subject")
	}
	given := *o.Record
	err = db.change(ctx, func(x *tx) error {
		found, err := x.openLeak(given.Subject)
		if err != nil {
			return err
		}
		if fresh = found == nil; fresh {
			started := given
			started.Opened, started.Timeline, found = x.now, nil, &started
		}
		r = found
		r.Reports++
		if earlier(given.Since, r.Since) {
			r.Since = given.Since
		}
		for _, line := range given.Timeline {
			r.Note(x.now, line.Actor, line.What)
		}
		stopped := !r.ContainedAt.IsZero()
		if o.Contain {
			if err := x.containLeak(r, given.Subject, o.Actor); err != nil {
				return err
			}
		}
		if err := x.keepLeak(r, fresh); err != nil {
			return err
		}
		if o.Quiet && !fresh && (stopped || !o.Contain) {
			return nil
		}
		said := e
		if said.Object = given.Subject.ID; said.Detail == nil {
			said.Detail = leakDetail{r.ID, given.Subject.Kind, given.By, o.Contain, given.Since, r.Disabled}
		}
		return x.record(said)
	})
	if err != nil {
		return nil, false, err
	}
	return r, fresh, nil
}

// leakDetail is what the audit says of a leak.
type leakDetail struct {
	Leak      string    `json:"leak"`
	Kind      string    `json:"kind"`
	By        string    `json:"by"`
	Contained bool      `json:"contained"`
	Since     time.Time `json:"since,omitzero"`
	Disabled  []string  `json:"clients_disabled,omitempty"`
}

// earlier reports whether a leak may have begun before what is on record. A
// time that is not known is later than any.
func earlier(a, b time.Time) bool { return !a.IsZero() && (b.IsZero() || a.Before(b)) }

// containLeak stops what leaked. Doing it again stops what was made meanwhile.
func (x *tx) containLeak(r *leak.Record, subject leak.Subject, actor string) error {
	first := r.ContainedAt.IsZero()
	var words string
	switch subject.Kind {
	case leak.KindAPIKey:
		before, err := x.apikey(subject.ID)
		if err != nil {
			return err
		}
		stopped, err := x.containAPIKey(subject.ID, r.Since)
		if err != nil {
			return err
		}
		if first {
			r.Before = before.Stage
		}
		r.Disabled, r.Kept = union(r.Disabled, stopped.Clients), stopped.Kept
		words = "apikey blocked, " + clientCount(len(stopped.Clients)) + " disabled"
	case leak.KindClient:
		c, err := x.client(subject.ID)
		if err != nil {
			return err
		}
		if c.Status != client.Disabled {
			c.Status = client.Disabled
			if err := x.updateClient(c); err != nil {
				return err
			}
			r.Disabled = union(r.Disabled, []string{c.ID})
		}
		if err := x.revokeAll(token.RevokeClient, c.ID); err != nil {
			return err
		}
		words = "client disabled, and its tokens refused"
	case leak.KindToken:
		kind := token.RevokeToken
		if subject.Grant {
			kind = token.RevokeGrant
		}
		if err := x.revoke(token.Revocation{Kind: kind, ID: subject.Part, Before: x.now}); err != nil {
			return err
		}
		words = "token refused"
	default:
		return fmt.Errorf("a leak of kind %q cannot be contained", subject.Kind)
	}
	if first {
		r.ContainedAt = x.now
	}
	r.Note(x.now, actor, words)
	return nil
}

func clientCount(n int) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprint(n, " clients")
}

func union(a, b []string) []string {
	seen := make(map[string]bool, len(a))
	for _, s := range a {
		seen[s] = true
	}
	for _, s := range b {
		if !seen[s] {
			a = append(a, s)
		}
	}
	return a
}

// UpdateLeak lets update change a record, and returns it as it then is.
func (db *DB) UpdateLeak(ctx context.Context, id string, update func(*leak.Record) error, e audit.Event) (r *leak.Record, err error) {
	err = db.change(ctx, func(x *tx) error {
		if r, err = x.leak(id); err != nil {
			return err
		}
		if err := update(r); err != nil {
			return err
		}
		if err := x.keepLeak(r, false); err != nil {
			return err
		}
		return x.record(e)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// CloseLeak ends a record. With restore it first takes back what containing it
// has changed, as far as nobody has changed it since: the apikey's stage, and
// the clients that were disabled. Tokens stay refused.
func (db *DB) CloseLeak(ctx context.Context, id, actor, words string, restore bool, e audit.Event) (r *leak.Record, err error) {
	err = db.change(ctx, func(x *tx) error {
		if r, err = x.leak(id); err != nil {
			return err
		}
		if !r.ClosedAt.IsZero() {
			return fmt.Errorf("leak %s: %w", id, leak.ErrClosed)
		}
		if restore && !r.ContainedAt.IsZero() {
			if err := x.restoreLeak(r, actor); err != nil {
				return err
			}
		}
		r.ClosedAt = x.now
		r.Note(x.now, actor, words)
		if err := x.keepLeak(r, false); err != nil {
			return err
		}
		return x.record(e)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (x *tx) restoreLeak(r *leak.Record, actor string) error {
	back := 0
	if r.Subject.Kind == leak.KindAPIKey {
		if _, err := x.reviseAPIKey(r.Subject.ID, func(k *apikey.Key) error {
			if k.Stage != apikey.Blocked || r.Before == apikey.Blocked {
				return nil
			}
			k.Stage, k.StageSince, k.Revoked = r.Before, x.now, time.Time{}
			if r.Before == apikey.Retired {
				k.Revoked = x.now
			}
			return nil
		}); err != nil && !errors.Is(err, apikey.ErrNotFound) {
			return err
		}
	}
	for _, id := range r.Disabled {
		c, err := x.client(id)
		if errors.Is(err, client.ErrNotFound) || err == nil && c.Status != client.Disabled {
			continue
		}
		if err != nil {
			return err
		}
		if c.Status = client.Active; c.PendingReason != "" {
			c.Status = client.Pending // as it was: a block is no approval
		}
		if err := x.updateClient(c); err != nil {
			return err
		}
		back++
	}
	r.Note(x.now, actor, "taken back: "+clientCount(back)+" enabled again")
	return nil
}

// Leak returns the record with that id, or leak.ErrNotFound.
func (db *DB) Leak(ctx context.Context, id string) (r *leak.Record, err error) {
	err = db.view(ctx, func(s *session) error {
		r, err = s.leak(id)
		return err
	})
	return r, err
}

// Leaks returns a page of records, the newest first, and the cursor of the next
// page, "" on the last.
func (db *DB) Leaks(ctx context.Context, f leak.Filter) (records []*leak.Record, next string, err error) {
	limit := pageSize(f.Limit)
	err = db.view(ctx, func(s *session) error {
		records, err = s.leaks(`SELECT body FROM leak WHERE (? = '' OR id < ?) AND (? = 0 OR closed = 0) ORDER BY id DESC LIMIT ?`,
			f.Before, f.Before, f.OpenOnly, limit+1)
		return err
	})
	if len(records) > limit {
		records = records[:limit]
		next = records[limit-1].ID
	}
	return records, next, err
}

func (s *session) leak(id string) (*leak.Record, error) {
	found, err := s.leaks(`SELECT body FROM leak WHERE id = ?`, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("leak %s: %w", id, leak.ErrNotFound)
	}
	return found[0], nil
}

// openLeak is the open record of a subject, nil where there is none.
func (s *session) openLeak(subject leak.Subject) (*leak.Record, error) {
	found, err := s.leaks(`SELECT body FROM leak WHERE kind = ? AND subject = ? AND closed = 0`, subject.Kind, subject.ID)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

func (s *session) leaks(query string, a ...any) (records []*leak.Record, err error) {
	err = s.each(query, a, func(scan func(...any) error) error {
		var body string
		if err := scan(&body); err != nil {
			return err
		}
		var r leak.Record
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			return fmt.Errorf("leak: %w", err)
		}
		records = append(records, &r)
		return nil
	})
	return records, err
}

func (x *tx) keepLeak(r *leak.Record, fresh bool) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if fresh {
		_, err = x.exec(`INSERT INTO leak (id, kind, subject, opened, closed, body) VALUES (?, ?, ?, ?, ?, ?)`,
			r.ID, r.Subject.Kind, r.Subject.ID, micros(r.Opened), micros(r.ClosedAt), string(body))
	} else {
		_, err = x.exec(`UPDATE leak SET closed = ?, body = ? WHERE id = ?`, micros(r.ClosedAt), string(body), r.ID)
	}
	if err != nil {
		return fmt.Errorf("leak %s: %w", r.ID, err)
	}
	return x.changed(ChangeLeak, r.ID)
}

// ClientWithSecret names the client that has a live secret with that hash, and
// the id of the credential, or returns client.ErrNotFound.
func (db *DB) ClientWithSecret(ctx context.Context, hash secret.Hash, now time.Time) (clientID, credential string, err error) {
	err = db.view(ctx, func(s *session) error {
		var found []*client.Client
		if err := s.clients(&found, `SELECT `+clientColumns+` FROM client WHERE credentials LIKE ?`, "%"+hash.String()+"%"); err != nil {
			return err
		}
		for _, c := range found {
			for _, cr := range c.Credentials {
				if cr.Kind == client.KindSecret && cr.Hash.Equal(hash) && cr.Live(now) {
					clientID, credential = c.ID, cr.ID
					return nil
				}
			}
		}
		return fmt.Errorf("client with that secret: %w", client.ErrNotFound)
	})
	return clientID, credential, err
}
