package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

const apikeyColumns = `id, fingerprint, last4, label, owner, contact, known_by, stage, stage_since, stage_until, suspended, client_id, created, revoked, prefix, cohort, extension, details`

// APIKey returns the apikey with that id, or apikey.ErrNotFound.
func (db *DB) APIKey(ctx context.Context, id string) (k *apikey.Key, err error) {
	err = db.view(ctx, func(s *session) error {
		k, err = s.apikey(id)
		return err
	})
	return k, err
}

// APIKeyByFingerprint returns the apikey with that fingerprint, or
// apikey.ErrNotFound.
func (db *DB) APIKeyByFingerprint(ctx context.Context, fingerprint secret.Hash) (k *apikey.Key, err error) {
	err = db.view(ctx, func(s *session) error {
		k, err = s.apikeyByFingerprint(fingerprint)
		return err
	})
	return k, err
}

// APIKeys returns a page of apikeys in the order asked for, and the cursor of
// the next page, "" on the last. Asked for by id they come as one page, in that
// order.
func (db *DB) APIKeys(ctx context.Context, f apikey.Filter) (keys []*apikey.Key, next string, err error) {
	if f.IDs != nil {
		keys, err = db.apikeysByID(ctx, f)
		return keys, "", err
	}
	limit := pageSize(f.Limit)
	err = db.snapshot(ctx, func(s *session) error {
		q, a, err := s.apikeyQuery(f)
		if err != nil {
			return err
		}
		return s.apikeys(&keys, q, append(a, limit+1)...)
	})
	if len(keys) > limit {
		keys = keys[:limit]
		next = keys[limit-1].ID
	}
	return keys, next, err
}

func (db *DB) apikeysByID(ctx context.Context, f apikey.Filter) (keys []*apikey.Key, err error) {
	err = db.view(ctx, func(s *session) error {
		for _, id := range f.IDs {
			k, err := s.apikey(id)
			switch {
			case errors.Is(err, apikey.ErrNotFound):
			case err != nil:
				return err
			case (len(f.Stages) == 0 || slices.Contains(f.Stages, k.Stage)) && (f.Owner == "" || f.Owner == k.Owner):
				keys = append(keys, k)
			}
		}
		return nil
	})
	return keys, err
}

// ImportAPIKeys takes in apikeys that an operator vouches for, by their
// fingerprints or, where only a hash is known, by that. One that is known keeps
// its id, stage and client; of the rest apikey.Merged says what becomes. Bringing
// the same apikeys in again changes nothing and leaves no audit entry.
func (db *DB) ImportAPIKeys(ctx context.Context, keys []*apikey.Key, e audit.Event) (res apikey.ImportResult, err error) {
	err = db.change(ctx, func(x *tx) error {
		res = apikey.ImportResult{}
		for _, k := range keys {
			if err := x.importAPIKey(k, &res); err != nil {
				return err
			}
		}
		if res.Added+res.Updated == 0 {
			return nil
		}
		return x.record(e)
	})
	if err != nil {
		return apikey.ImportResult{}, err
	}
	return res, nil
}

func (x *tx) importAPIKey(k *apikey.Key, res *apikey.ImportResult) error {
	old, err := x.importedAPIKey(k)
	if errors.Is(err, apikey.ErrNotFound) {
		added := *k
		added.KnownBy = apikey.KnownByImport
		res.Added++
		if err := x.insertAPIKey(&added); err != nil || added.Hash == nil {
			return err
		}
		mark := added.Hash.Mark()
		_, err := x.exec(`INSERT INTO apikey_hash (mark, apikey_id) VALUES (?, ?)`, mark[:], added.ID)
		return err
	}
	if err != nil {
		return err
	}
	merged := apikey.Merged(*old, *k)
	if merged == *old {
		res.Unchanged++
		return nil
	}
	res.Updated++
	return x.updateAPIKey(&merged)
}

// LearnAPIKey adds an apikey that the API has accepted, or returns the one that
// is there with its fingerprint. Only the first leaves an audit entry.
func (db *DB) LearnAPIKey(ctx context.Context, k *apikey.Key, e audit.Event) (known *apikey.Key, err error) {
	err = db.change(ctx, func(x *tx) error {
		known, err = x.apikeyByFingerprint(k.Fingerprint)
		if !errors.Is(err, apikey.ErrNotFound) {
			return err
		}
		learnt := *k
		if err := x.insertAPIKey(&learnt); err != nil {
			return err
		}
		if known, err = x.apikey(learnt.ID); err != nil {
			return err
		}
		return x.record(e)
	})
	if err != nil {
		return nil, err
	}
	return known, nil
}

// UpdateAPIKeys lets update change each of the apikeys, in one transaction:
// when one is not there, or update returns an error, none is changed. Tokens
// that an apikey was exchanged for go when it is retired or blocked. The detail
// of e is written down after update has run.
func (db *DB) UpdateAPIKeys(ctx context.Context, ids []string, update func(*apikey.Key) error, e audit.Event) (keys []*apikey.Key, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = db.change(ctx, func(x *tx) error {
		keys = nil
		done := make(map[string]bool, len(ids))
		for _, id := range ids {
			if done[id] {
				continue
			}
			done[id] = true
			k, err := x.reviseAPIKey(id, update)
			if err != nil {
				return err
			}
			keys = append(keys, k)
		}
		return x.record(e)
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

func (x *tx) reviseAPIKey(id string, update func(*apikey.Key) error) (*apikey.Key, error) {
	old, err := x.apikey(id)
	if err != nil {
		return nil, err
	}
	k := *old
	if err := update(&k); err != nil {
		return nil, err
	}
	if k.ID != old.ID || k.Fingerprint != old.Fingerprint {
		return nil, fmt.Errorf("apikey %s: id and fingerprint do not change", id)
	}
	if err := x.updateAPIKey(&k); err != nil {
		return nil, err
	}
	if ended(k.Stage) && !ended(old.Stage) {
		if err := x.revokeAll(token.RevokeAPIKey, id); err != nil {
			return nil, err
		}
	}
	return x.apikey(id) // as it was stored, times to the microsecond
}

// ended reports whether a stage takes back what the apikey was exchanged for.
func ended(s apikey.Stage) bool { return s == apikey.Retired || s == apikey.Blocked }

// ContainAPIKey stops a leaked apikey: it is blocked, the clients that were made
// with it at since or later are disabled, and the tokens of all of these are
// revoked, in one step. Clients made with it before are named, and go on.
func (db *DB) ContainAPIKey(ctx context.Context, id string, since time.Time, e audit.Event) (stopped apikey.Contained, err error) {
	err = db.change(ctx, func(x *tx) error {
		if stopped, err = x.containAPIKey(id, since); err != nil {
			return err
		}
		return x.record(e)
	})
	if err != nil {
		return apikey.Contained{}, err
	}
	return stopped, nil
}

func (x *tx) containAPIKey(id string, since time.Time) (stopped apikey.Contained, err error) {
	if _, err := x.reviseAPIKey(id, func(k *apikey.Key) error {
		if k.Stage != apikey.Blocked {
			k.Stage, k.StageSince = apikey.Blocked, x.now
		}
		if k.Revoked.IsZero() {
			k.Revoked = x.now
		}
		return nil
	}); err != nil {
		return stopped, err
	}
	if err := x.revokeAll(token.RevokeAPIKey, id); err != nil {
		return stopped, err
	}
	made, err := x.clientsOfAPIKey(id)
	if err != nil {
		return stopped, err
	}
	stop, keep := client.SplitLeak(made, since)
	for _, c := range keep {
		stopped.Kept = append(stopped.Kept, c.ID)
	}
	for _, c := range stop {
		stopped.Clients = append(stopped.Clients, c.ID)
		c.Status = client.Disabled
		if err := x.updateClient(c); err != nil {
			return stopped, err
		}
		if err := x.revokeAll(token.RevokeClient, c.ID); err != nil {
			return stopped, err
		}
	}
	return stopped, nil
}

// SealAPIKey keeps an apikey, sealed, for calls of a client to an upstream. It
// replaces what was kept for them.
func (db *DB) SealAPIKey(ctx context.Context, apikeyID, clientID, upstream string, sealed []byte, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if _, err := x.apikey(apikeyID); err != nil {
			return err
		}
		if _, err := x.client(clientID); err != nil {
			return err
		}
		if _, err := x.exec(`INSERT INTO sealed_apikey (client_id, upstream, apikey_id, sealed, created) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (client_id, upstream) DO UPDATE SET apikey_id = excluded.apikey_id, sealed = excluded.sealed, created = excluded.created`,
			clientID, upstream, apikeyID, sealed, micros(x.now)); err != nil {
			return err
		}
		if err := x.changed(ChangeAPIKey, apikeyID); err != nil {
			return err
		}
		return x.record(e)
	})
}

// SealedAPIKey returns what SealAPIKey kept and the id of the apikey, or
// apikey.ErrNotFound.
func (db *DB) SealedAPIKey(ctx context.Context, clientID, upstream string) (sealed []byte, apikeyID string, err error) {
	err = db.view(ctx, func(s *session) error {
		err := s.one(`SELECT sealed, apikey_id FROM sealed_apikey WHERE client_id = ? AND upstream = ?`, args{clientID, upstream}, &sealed, &apikeyID)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("sealed apikey of client %s for %s: %w", clientID, upstream, apikey.ErrNotFound)
		}
		return err
	})
	return sealed, apikeyID, err
}

// SealedAPIKeys returns how many sealed copies there are of each apikey that
// has any, by its id. Such an apikey is still alive, whatever its stage.
func (db *DB) SealedAPIKeys(ctx context.Context) (copies map[string]int, err error) {
	copies = map[string]int{}
	err = db.view(ctx, func(s *session) error {
		return s.each(`SELECT apikey_id, count(*) FROM sealed_apikey GROUP BY apikey_id`, nil, func(scan func(...any) error) error {
			var id string
			var n int
			if err := scan(&id, &n); err != nil {
				return err
			}
			copies[id] = n
			return nil
		})
	})
	return copies, err
}

func (s *session) apikey(id string) (*apikey.Key, error) {
	return s.onlyAPIKey("apikey "+id, `SELECT `+apikeyColumns+` FROM apikey WHERE id = ?`, id)
}

func (s *session) apikeyByFingerprint(fingerprint secret.Hash) (*apikey.Key, error) {
	return s.onlyAPIKey("apikey", `SELECT `+apikeyColumns+` FROM apikey WHERE fingerprint = ?`, fingerprint[:])
}

func (s *session) onlyAPIKey(name, query string, a ...any) (*apikey.Key, error) {
	var found []*apikey.Key
	if err := s.apikeys(&found, query, a...); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: %w", name, apikey.ErrNotFound)
	}
	return found[0], nil
}

// apikeys appends the apikeys that a query over apikeyColumns finds.
func (s *session) apikeys(to *[]*apikey.Key, query string, a ...any) error {
	return s.each(query, a, func(scan func(...any) error) error {
		var k apikey.Key
		var fingerprint []byte
		var stage, details string
		var since, until, created, revoked int64
		var extension string
		err := scan(&k.ID, &fingerprint, &k.Last4, &k.Label, &k.Owner, &k.Contact, &k.KnownBy, &stage, &since, &until, &k.Suspended, &k.ClientID, &created, &revoked,
			&k.Prefix, &k.Cohort, &extension, &details)
		if err != nil {
			return err
		}
		if k.Fingerprint, err = toHash(fingerprint); err != nil {
			return fmt.Errorf("apikey %s: %w", k.ID, err)
		}
		if k.Stage, err = apikey.ParseStage(stage); err != nil {
			return fmt.Errorf("apikey %s: %w", k.ID, err)
		}
		if err := readDetails(&k, details); err != nil {
			return fmt.Errorf("apikey %s: %w", k.ID, err)
		}
		if k.Extension, err = readExtension(extension); err != nil {
			return fmt.Errorf("apikey %s: %w", k.ID, err)
		}
		k.StageSince, k.Until, k.Created, k.Revoked = instant(since), instant(until), instant(created), instant(revoked)
		*to = append(*to, &k)
		return nil
	})
}

// insertAPIKey adds k; it gives it an id and a time of creation if it has none.
func (x *tx) insertAPIKey(k *apikey.Key) error {
	if k.Fingerprint.IsZero() {
		return errors.New("apikey without a fingerprint")
	}
	if k.ID == "" {
		k.ID = apikey.NewID()
	}
	if k.Created.IsZero() {
		k.Created = x.now
	}
	extension, err := writeExtension(k.Extension)
	if err != nil {
		return fmt.Errorf("apikey %s: %w", k.ID, err)
	}
	if _, err := x.exec(`INSERT INTO apikey (`+apikeyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		k.ID, k.Fingerprint[:], k.Last4, k.Label, k.Owner, k.Contact, k.KnownBy, k.Stage.String(), micros(k.StageSince), micros(k.Until),
		k.Suspended, k.ClientID, micros(k.Created), micros(k.Revoked), k.Prefix, k.Cohort, extension, writeDetails(k)); err != nil {
		return fmt.Errorf("apikey %s: %w", k.ID, err)
	}
	return x.changed(ChangeAPIKey, k.ID)
}

func (x *tx) updateAPIKey(k *apikey.Key) error {
	extension, err := writeExtension(k.Extension)
	if err != nil {
		return fmt.Errorf("apikey %s: %w", k.ID, err)
	}
	if _, err := x.exec(`UPDATE apikey SET last4 = ?, label = ?, owner = ?, contact = ?, known_by = ?, stage = ?, stage_since = ?, stage_until = ?,
		suspended = ?, client_id = ?, revoked = ?, prefix = ?, cohort = ?, extension = ?, details = ? WHERE id = ?`,
		k.Last4, k.Label, k.Owner, k.Contact, k.KnownBy, k.Stage.String(), micros(k.StageSince), micros(k.Until),
		k.Suspended, k.ClientID, micros(k.Revoked), k.Prefix, k.Cohort, extension, writeDetails(k), k.ID); err != nil {
		return fmt.Errorf("apikey %s: %w", k.ID, err)
	}
	return x.changed(ChangeAPIKey, k.ID)
}

// readExtension and writeExtension keep an exception as a JSON object, "" for
// none.
func readExtension(text string) (e apikey.Extension, err error) {
	if text == "" {
		return e, nil
	}
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		return e, fmt.Errorf("extension: %w", err)
	}
	return e, nil
}

func writeExtension(e apikey.Extension) (string, error) {
	if e == (apikey.Extension{}) {
		return "", nil
	}
	for _, at := range []*time.Time{&e.Until, &e.Granted, &e.Taken} {
		if !at.IsZero() {
			*at = instant(micros(*at))
		}
	}
	text, err := json.Marshal(e)
	return string(text), err
}
