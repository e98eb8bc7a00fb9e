package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/secret"
)

// apikeyDetails is the column details.
type apikeyDetails struct {
	Scopes  string         `json:"scopes,omitempty"`
	Expires time.Time      `json:"expires,omitzero"`
	Source  string         `json:"source,omitempty"`
	Hash    *apikey.Hashed `json:"hash,omitempty"`
}

const noDetails = `{}`

func readDetails(k *apikey.Key, text string) error {
	if text == noDetails {
		return nil
	}
	var d apikeyDetails
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return fmt.Errorf("details: %w", err)
	}
	k.Scopes, k.Expires, k.Source, k.Hash = d.Scopes, d.Expires, d.Source, d.Hash
	return nil
}

func writeDetails(k *apikey.Key) string {
	raw, err := json.Marshal(apikeyDetails{k.Scopes, k.Expires, k.Source, k.Hash})
	if err != nil {
		panic("store: " + err.Error()) // strings, bytes and a time
	}
	return string(raw)
}

// ImportedAPIKey returns the apikey that an imported one is, or
// apikey.ErrNotFound.
func (db *DB) ImportedAPIKey(ctx context.Context, k *apikey.Key) (known *apikey.Key, err error) {
	err = db.view(ctx, func(s *session) error {
		known, err = s.importedAPIKey(k)
		return err
	})
	return known, err
}

func (s *session) importedAPIKey(k *apikey.Key) (*apikey.Key, error) {
	if k.Hash == nil {
		return s.apikeyByFingerprint(k.Fingerprint)
	}
	mark := k.Hash.Mark()
	return s.onlyAPIKey("apikey", `SELECT `+apikeyColumns+` FROM apikey WHERE id = (SELECT apikey_id FROM apikey_hash WHERE mark = ?)`, mark[:])
}

// PinAPIKey notes which apikey it is of which only a hash was known: from now on
// its fingerprint finds it. Where that is another one's already, which was
// learnt, the two become one that keeps the other's id. It returns the apikey,
// also where somebody else has pinned it since.
func (db *DB) PinAPIKey(ctx context.Context, id string, fingerprint secret.Hash, last4, prefix string, e audit.Event) (pinned *apikey.Key, err error) {
	err = db.change(ctx, func(x *tx) error {
		pinned = nil
		k, err := x.apikey(id)
		if err == nil && k.Hash != nil {
			return x.pinAPIKey(&pinned, *k, fingerprint, last4, prefix, e)
		}
		if err != nil && !errors.Is(err, apikey.ErrNotFound) {
			return err
		}
		pinned, err = x.apikeyByFingerprint(fingerprint)
		return err
	})
	if err != nil {
		return nil, err
	}
	return pinned, nil
}

func (x *tx) pinAPIKey(pinned **apikey.Key, k apikey.Key, fingerprint secret.Hash, last4, prefix string, e audit.Event) error {
	k.Hash, k.Last4, k.Prefix = nil, last4, prefix
	same, err := x.apikeyByFingerprint(fingerprint)
	switch {
	case errors.Is(err, apikey.ErrNotFound):
		if _, err := x.exec(`UPDATE apikey SET fingerprint = ? WHERE id = ?`, fingerprint[:], k.ID); err != nil {
			return err
		}
		if err := x.updateAPIKey(&k); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := x.mergeAPIKey(same, &k); err != nil {
			return err
		}
		k.ID = same.ID
	}
	if *pinned, err = x.apikey(k.ID); err != nil {
		return err
	}
	return x.record(e)
}

// mergeAPIKey makes one of an apikey and what was imported about it. A stage or
// client that somebody gave the imported one goes over, where the other has none.
func (x *tx) mergeAPIKey(same, imported *apikey.Key) error {
	merged := apikey.Merged(*same, *imported)
	if merged.Stage == apikey.Inherit || imported.Stage == apikey.Blocked {
		merged.Stage, merged.StageSince, merged.Until, merged.Revoked = imported.Stage, imported.StageSince, imported.Until, imported.Revoked
	}
	if merged.ClientID == "" {
		merged.ClientID = imported.ClientID
	}
	if _, err := x.exec(`UPDATE apikey_hash SET apikey_id = ? WHERE apikey_id = ?`, same.ID, imported.ID); err != nil {
		return err
	}
	if _, err := x.exec(`DELETE FROM apikey WHERE id = ?`, imported.ID); err != nil {
		return err
	}
	if err := x.changed(ChangeAPIKey, imported.ID); err != nil {
		return err
	}
	return x.updateAPIKey(&merged)
}

// KeepPepper keeps the secret of an HMAC, sealed, under its name.
func (db *DB) KeepPepper(ctx context.Context, name string, sealed []byte, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		n, err := x.exec(`INSERT INTO apikey_pepper (name, sealed) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, name, sealed)
		if err != nil || n == 0 {
			return err
		}
		if err := x.changed(ChangePepper, name); err != nil {
			return err
		}
		return x.record(e)
	})
}

// Peppers returns the sealed secrets of HMACs by their names.
func (db *DB) Peppers(ctx context.Context) (sealed map[string][]byte, err error) {
	sealed = map[string][]byte{}
	err = db.view(ctx, func(s *session) error {
		return s.each(`SELECT name, sealed FROM apikey_pepper`, nil, func(scan func(...any) error) error {
			var name string
			var raw []byte
			if err := scan(&name, &raw); err != nil {
				return err
			}
			sealed[name] = raw
			return nil
		})
	})
	return sealed, err
}
