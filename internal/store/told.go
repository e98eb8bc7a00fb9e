package store

import (
	"context"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
)

// keepTold is how long it is kept what owners were told.
const keepTold = 400 * 24 * time.Hour

// Told visits all that owners were told and that is still kept.
func (db *DB) Told(ctx context.Context, yield func(apikey.Telling)) error {
	return db.view(ctx, func(s *session) error {
		return s.each(`SELECT apikey_id, program, occasion FROM told ORDER BY apikey_id, program, occasion`, nil, func(scan func(...any) error) error {
			var t apikey.Telling
			if err := scan(&t.APIKeyID, &t.Program, &t.Occasion); err != nil {
				return err
			}
			yield(t)
			return nil
		})
	})
}

// NoteTold keeps that these were told, all in one step with the event.
func (db *DB) NoteTold(ctx context.Context, told []apikey.Telling, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		for _, t := range told {
			if _, err := x.exec(`INSERT INTO told (apikey_id, program, occasion, at) VALUES (?, ?, ?, ?)
				ON CONFLICT (apikey_id, program, occasion) DO UPDATE SET at = excluded.at`, t.APIKeyID, t.Program, t.Occasion, micros(x.now)); err != nil {
				return err
			}
		}
		return x.record(e)
	})
}

func (x *tx) cleanTold(now time.Time, limit int) (int64, error) {
	return x.exec(`DELETE FROM told WHERE (apikey_id, program, occasion) IN (SELECT apikey_id, program, occasion FROM told WHERE at < ? ORDER BY at LIMIT ?)`,
		micros(now.Add(-keepTold)), limit)
}
