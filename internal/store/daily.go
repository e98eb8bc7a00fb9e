package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/traffic"
)

// keepDaily is how long the counts of days are kept.
const keepDaily = 400 * 24 * time.Hour

// noteDaily adds rows to the counts of their days.
func (x *tx) noteDaily(rows []traffic.Row) error {
	type key struct {
		day  int64
		kind string
	}
	type sum struct{ calls, refused int64 }
	sums, methods := map[key]sum{}, map[string]string{}
	for _, r := range rows {
		kind, err := x.kindOfCalls(r, methods)
		if err != nil {
			return err
		}
		k := key{micros(r.Hour.UTC().Truncate(24 * time.Hour)), kind}
		s := sums[k]
		s.calls += r.Calls
		if r.Denied() {
			s.refused += r.Calls
		}
		sums[k] = s
	}
	for k, s := range sums {
		if _, err := x.exec(`INSERT INTO daily_calls (day, kind, calls, refused) VALUES (?, ?, ?, ?) ON CONFLICT (day, kind) DO UPDATE SET
			calls = daily_calls.calls + excluded.calls, refused = daily_calls.refused + excluded.refused`, k.day, k.kind, s.calls, s.refused); err != nil {
			return fmt.Errorf("calls of a day: %w", err)
		}
	}
	return nil
}

// kindOfCalls is under which kind of credential a row counts: where an apikey
// travels, how a client proves itself.
func (x *tx) kindOfCalls(r traffic.Row, methods map[string]string) (string, error) {
	switch r.Credential.Kind {
	case traffic.KindAPIKey:
		place, _, _ := strings.Cut(r.Carrier, ":")
		switch place {
		case "header", "authorization", "query", "cookie", "basic":
			return "apikey:" + place, nil
		}
		return "apikey:other", nil
	case traffic.KindClient:
		method, known := methods[r.Credential.ID]
		if !known {
			c, err := x.client(r.Credential.ID)
			switch {
			case err == nil:
				method = string(c.AuthMethod)
			case errors.Is(err, client.ErrNotFound): // gone, or an apikey that was exchanged
				method = "other"
			default:
				return "", err
			}
			methods[r.Credential.ID] = method
		}
		return "client:" + method, nil
	case "":
		return traffic.KindNone, nil
	}
	return r.Credential.Kind, nil
}

// DailyCalls are the counts of the days from one to before another, the oldest
// first; zero times are no bound.
func (db *DB) DailyCalls(ctx context.Context, from, to time.Time) (days []traffic.Day, err error) {
	end := int64(1<<63 - 1)
	if !to.IsZero() {
		end = micros(to)
	}
	err = db.view(ctx, func(s *session) error {
		return s.each(`SELECT day, kind, calls, refused FROM daily_calls WHERE day >= ? AND day < ? ORDER BY day, kind`, args{micros(from), end}, func(scan func(...any) error) error {
			var day int64
			var d traffic.Day
			if err := scan(&day, &d.Kind, &d.Calls, &d.Refused); err != nil {
				return err
			}
			d.Day = instant(day)
			days = append(days, d)
			return nil
		})
	})
	return days, err
}

func (x *tx) cleanDaily(now time.Time, limit int) (int64, error) {
	return x.exec(`DELETE FROM daily_calls WHERE (day, kind) IN (SELECT day, kind FROM daily_calls WHERE day < ? ORDER BY day LIMIT ?)`, micros(now.Add(-keepDaily)), limit)
}
