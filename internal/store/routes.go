package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/policy"
)

// Routes returns the routes that were set, by their match.
func (db *DB) Routes(ctx context.Context) (routes []policy.Route, err error) {
	err = db.view(ctx, func(s *session) error {
		return s.each(`SELECT match, scopes, open, enforce, source, demands FROM route ORDER BY match`, nil, func(scan func(...any) error) error {
			var match, scopes, enforce, source, demands string
			var open bool
			if err := scan(&match, &scopes, &open, &enforce, &source, &demands); err != nil {
				return err
			}
			r, err := policy.ParseRoute(match)
			if err != nil {
				return err
			}
			if err := r.Enforce.UnmarshalText([]byte(enforce)); err != nil {
				return fmt.Errorf("route %s: %w", match, err)
			}
			if err := json.Unmarshal([]byte(demands), &r.Demands); err != nil {
				return fmt.Errorf("route %s: %w", match, err)
			}
			r.Scopes, r.Open, r.Source = splitWords(scopes), open, source
			routes = append(routes, r)
			return nil
		})
	})
	return routes, err
}

// SetRoute adds a route, or replaces the one with the same match.
func (db *DB) SetRoute(ctx context.Context, r policy.Route, e audit.Event) error {
	match := r.Match()
	if _, err := policy.ParseRoute(match); err != nil {
		return err
	}
	scopes, err := joinWords(r.Scopes)
	if err != nil {
		return fmt.Errorf("route %s: %w", match, err)
	}
	demands, err := json.Marshal(r.Demands)
	if err != nil {
		return fmt.Errorf("route %s: %w", match, err)
	}
	return db.change(ctx, func(x *tx) error {
		if _, err := x.exec(`INSERT INTO route (match, scopes, open, enforce, source, demands) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (match) DO UPDATE SET scopes = excluded.scopes, open = excluded.open, enforce = excluded.enforce,
				source = excluded.source, demands = excluded.demands`,
			match, scopes, r.Open, r.Enforce.String(), r.Source, string(demands)); err != nil {
			return fmt.Errorf("route %s: %w", match, err)
		}
		if err := x.changed(ChangeRoute, match); err != nil {
			return err
		}
		return x.record(e)
	})
}

// DeleteRoute removes the route with that match, or returns policy.ErrNotFound.
func (db *DB) DeleteRoute(ctx context.Context, match string, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		n, err := x.exec(`DELETE FROM route WHERE match = ?`, match)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("route %s: %w", match, policy.ErrNotFound)
		}
		if err := x.changed(ChangeRoute, match); err != nil {
			return err
		}
		return x.record(e)
	})
}
