package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/traffic"
)

const (
	trafficKey   = `kind, credential, method, template, status, agent, source, carrier, outcome` // with the hour
	trafficInto  = `INSERT INTO traffic (hour, ` + trafficKey + `, calls, first_at, last_at) VALUES `
	trafficRow   = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	trafficMerge = ` ON CONFLICT (hour, ` + trafficKey + `) DO UPDATE SET calls = traffic.calls + excluded.calls,
		first_at = CASE WHEN excluded.first_at < traffic.first_at THEN excluded.first_at ELSE traffic.first_at END,
		last_at = CASE WHEN excluded.last_at > traffic.last_at THEN excluded.last_at ELSE traffic.last_at END`
)

// trafficBatch is how many rows one statement adds.
const trafficBatch = 32

var (
	addTrafficRow  = trafficInto + trafficRow + trafficMerge
	addTrafficRows = trafficInto + strings.Repeat(trafficRow+", ", trafficBatch-1) + trafficRow + trafficMerge
)

// AddTraffic adds counts to those of their hours, all of them or none, and
// notes when apikeys were used. Rows that are alike may come in one call.
func (db *DB) AddTraffic(ctx context.Context, rows []traffic.Row) error {
	if len(rows) == 0 {
		return nil
	}
	return db.change(ctx, func(x *tx) error {
		if err := x.addTraffic(rows); err != nil {
			return err
		}
		if err := x.noteDaily(rows); err != nil {
			return err
		}
		return x.noteUse(rows, time.Time{})
	})
}

func (x *tx) addTraffic(rows []traffic.Row) error {
	var values args
	var perDay days
	for i, r := range rows {
		row, err := x.trafficValues(r)
		if err != nil {
			return err
		}
		perDay.add(r, row)
		values = append(values, row[:]...)
		switch {
		case i%trafficBatch == trafficBatch-1:
			_, err = x.exec(addTrafficRows, values...)
			values = values[:0]
		case i == len(rows)-1:
			err = x.addTrafficSingly(values, len(row))
		}
		if err != nil {
			return fmt.Errorf("add traffic: %w", err)
		}
	}
	if err := x.addDays(&perDay); err != nil {
		return fmt.Errorf("add traffic by day: %w", err)
	}
	return nil
}

// addTrafficSingly adds what does not fill a statement of its own.
func (x *tx) addTrafficSingly(values args, width int) error {
	for ; len(values) > 0; values = values[width:] {
		if _, err := x.exec(addTrafficRow, values[:width]...); err != nil {
			return err
		}
	}
	return nil
}

// trafficValues is a row as stored.
func (x *tx) trafficValues(r traffic.Row) (values [13]any, err error) {
	hour := micros(r.Hour.UTC().Truncate(time.Hour))
	source := ""
	if r.Source.IsValid() {
		source = r.Source.String()
	}
	numbers := [8]int64{}
	for i, word := range [8]string{r.Credential.Kind, r.Credential.ID, r.Method, r.Template, r.UserAgent, source, r.Carrier, r.Outcome} {
		if numbers[i], err = x.w.words.number(x, word, hour); err != nil {
			return values, err
		}
	}
	return [13]any{hour, numbers[0], numbers[1], numbers[2], numbers[3], int64(r.Status), numbers[4], numbers[5], numbers[6], numbers[7],
		r.Calls, micros(r.First), micros(r.Last)}, nil
}

// noteUse widens the times at which apikeys were used, and adds up their calls of
// hours that are kept.
func (x *tx) noteUse(rows []traffic.Row, kept time.Time) error {
	uses := map[string]apikey.Use{}
	for _, r := range rows {
		if r.Credential.Kind != traffic.KindAPIKey || !r.Credential.Known() {
			continue
		}
		if err := x.noteCarrier(r.Credential.ID, r.Carrier, dayOf(r.Hour)); err != nil {
			return fmt.Errorf("carrier of apikey %s: %w", r.Credential.ID, err)
		}
		use, seen := uses[r.Credential.ID]
		if !r.Hour.Before(kept) {
			use.Calls += r.Calls
		}
		if !seen || r.First.Before(use.First) {
			use.First = r.First
		}
		use.Last = later(use.Last, r.Last)
		if r.OK() {
			use.LastOK = later(use.LastOK, r.Last)
		}
		if r.Browser {
			use.LastBrowser = later(use.LastBrowser, r.Last)
		}
		if r.Plain {
			use.LastPlain = later(use.LastPlain, r.Last)
		}
		uses[r.Credential.ID] = use
	}
	for id, use := range uses {
		if _, err := x.exec(`INSERT INTO apikey_use (apikey_id, first_used, last_used, last_ok, last_browser, last_plain, calls) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (apikey_id) DO UPDATE SET calls = apikey_use.calls + excluded.calls,
				first_used = CASE WHEN excluded.first_used < apikey_use.first_used THEN excluded.first_used ELSE apikey_use.first_used END,
				last_used = CASE WHEN excluded.last_used > apikey_use.last_used THEN excluded.last_used ELSE apikey_use.last_used END,
				last_ok = CASE WHEN excluded.last_ok > apikey_use.last_ok THEN excluded.last_ok ELSE apikey_use.last_ok END,
				last_browser = CASE WHEN excluded.last_browser > apikey_use.last_browser THEN excluded.last_browser ELSE apikey_use.last_browser END,
				last_plain = CASE WHEN excluded.last_plain > apikey_use.last_plain THEN excluded.last_plain ELSE apikey_use.last_plain END`,
			id, micros(use.First), micros(use.Last), micros(use.LastOK), micros(use.LastBrowser), micros(use.LastPlain), use.Calls); err != nil {
			return fmt.Errorf("use of apikey %s: %w", id, err)
		}
	}
	return nil
}

// APIKeyUse returns when an apikey was used for the first time, the last time,
// and the last time with success; zero times where it never was.
func (db *DB) APIKeyUse(ctx context.Context, id string) (first, last, lastOK time.Time, err error) {
	uses, err := db.APIKeyUses(ctx, []string{id})
	use := uses[id]
	return use.First, use.Last, use.LastOK, err
}

// APIKeyUses is APIKeyUse of many. Those that were never used are left out.
func (db *DB) APIKeyUses(ctx context.Context, ids []string) (uses map[string]apikey.Use, err error) {
	uses = make(map[string]apikey.Use, len(ids))
	err = db.view(ctx, func(s *session) error {
		for _, id := range ids {
			var first, last, ok, browser, plain, calls int64
			err := s.one(`SELECT first_used, last_used, last_ok, last_browser, last_plain, calls FROM apikey_use WHERE apikey_id = ?`, args{id}, &first, &last, &ok, &browser, &plain, &calls)
			switch {
			case errors.Is(err, sql.ErrNoRows):
			case err != nil:
				return err
			default:
				uses[id] = apikey.Use{First: instant(first), Last: instant(last), LastOK: instant(ok), LastBrowser: instant(browser), LastPlain: instant(plain), Calls: calls}
			}
		}
		return nil
	})
	return uses, err
}

// Traffic calls yield for every recorded row that f takes, hour by hour, the
// oldest first. It reads a page at a time and holds nothing while yield runs;
// an error of yield ends it and is returned. Within an hour rows come by
// credential.
func (db *DB) Traffic(ctx context.Context, f traffic.Filter, yield func(traffic.Row) error) error {
	words := map[int64]string{}
	at := startOf(micros(f.From))
	for {
		var page []traffic.Row
		var more bool
		err := db.snapshot(ctx, func(s *session) (err error) {
			page, more, err = s.trafficPage(f, &at, words)
			return err
		})
		if err != nil {
			return fmt.Errorf("read traffic: %w", err)
		}
		for _, r := range page {
			if err := yield(r); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
	}
}

// trafficPlace is the row that a page ended with, or the start of an hour.
type trafficPlace struct {
	hour int64
	key  [9]int64 // trafficKey
}

// startOf is the place before every row of an hour.
func startOf(hour int64) trafficPlace { return trafficPlace{hour: hour, key: [9]int64{-1}} }

// trafficPage reads the rows that follow at, all of one hour, and moves at on.
func (s *session) trafficPage(f traffic.Filter, at *trafficPlace, words map[int64]string) (page []traffic.Row, more bool, err error) {
	to := int64(1<<63 - 1)
	if !f.To.IsZero() {
		to = micros(f.To)
	}
	var hour sql.NullInt64
	if err := s.one(`SELECT min(hour) FROM traffic WHERE hour >= ? AND hour < ?`, args{at.hour, to}, &hour); err != nil || !hour.Valid {
		return nil, false, err
	}
	if hour.Int64 != at.hour {
		*at = startOf(hour.Int64)
	}
	const columns = `SELECT ` + trafficKey + `, calls, first_at, last_at FROM traffic`
	query := columns + ` WHERE hour = ? AND (` + trafficKey + `) > (?, ?, ?, ?, ?, ?, ?, ?, ?) ORDER BY ` + trafficKey + ` LIMIT ?`
	a := args{at.hour}
	if f.Credential != nil {
		query = columns + ` WHERE hour = ? AND kind = ? AND credential = ?
			AND (` + trafficKey + `) > (?, ?, ?, ?, ?, ?, ?, ?, ?) ORDER BY ` + trafficKey + ` LIMIT ?`
		for _, word := range []string{f.Credential.Kind, f.Credential.ID} {
			n, err := s.wordNumber(printable(word))
			if err != nil || n < 0 {
				return nil, false, err
			}
			a = append(a, n)
		}
	}
	for _, n := range at.key {
		a = append(a, n)
	}
	rows, err := s.trafficRows(query, append(a, maxPage), at)
	if err != nil {
		return nil, false, err
	}
	if len(rows) < maxPage { // the hour is done
		*at = startOf(at.hour + time.Hour.Microseconds())
	}
	page = make([]traffic.Row, len(rows))
	for i, r := range rows {
		if page[i], err = s.spell(r, words); err != nil {
			return nil, false, err
		}
	}
	return page, true, nil
}

// trafficNumbers is a row as read: the words are numbers still.
type trafficNumbers struct {
	trafficPlace
	calls, first, last int64
}

func (s *session) trafficRows(query string, a args, at *trafficPlace) (rows []trafficNumbers, err error) {
	err = s.each(query, a, func(scan func(...any) error) error {
		r := trafficNumbers{trafficPlace: trafficPlace{hour: at.hour}}
		k := &r.key
		if err := scan(&k[0], &k[1], &k[2], &k[3], &k[4], &k[5], &k[6], &k[7], &k[8], &r.calls, &r.first, &r.last); err != nil {
			return err
		}
		rows = append(rows, r)
		return nil
	})
	if len(rows) > 0 {
		*at = rows[len(rows)-1].trafficPlace
	}
	return rows, err
}

// spell makes a traffic.Row of a row as read.
func (s *session) spell(r trafficNumbers, words map[int64]string) (row traffic.Row, err error) {
	row = traffic.Row{Hour: instant(r.hour), Status: int(r.key[4]), Calls: r.calls, First: instant(r.first), Last: instant(r.last)}
	var source string
	for _, field := range []struct {
		to     *string
		number int64
	}{
		{&row.Credential.Kind, r.key[0]}, {&row.Credential.ID, r.key[1]}, {&row.Method, r.key[2]}, {&row.Template, r.key[3]},
		{&row.UserAgent, r.key[5]}, {&source, r.key[6]}, {&row.Carrier, r.key[7]}, {&row.Outcome, r.key[8]},
	} {
		word, known := words[field.number]
		if !known && field.number != 0 {
			if err := s.one(`SELECT word FROM traffic_word WHERE id = ?`, args{field.number}, &word); err != nil {
				return row, fmt.Errorf("word %d: %w", field.number, err)
			}
			if len(words) >= maxWords {
				clear(words)
			}
			words[field.number] = word
		}
		*field.to = word
	}
	if source != "" {
		if row.Source, err = netip.ParsePrefix(source); err != nil {
			return row, err
		}
	}
	return row, nil
}

// wordNumber is the number of a word, or -1 of one that no row has.
func (s *session) wordNumber(word string) (n int64, err error) {
	if word == "" {
		return 0, nil
	}
	err = s.one(`SELECT id FROM traffic_word WHERE word = ?`, args{word}, &n)
	if errors.Is(err, sql.ErrNoRows) {
		return -1, nil
	}
	return n, err
}

// TrafficFloor is the oldest hour that is kept, the zero time when none is.
func (db *DB) TrafficFloor(ctx context.Context) (oldest time.Time, err error) {
	err = db.view(ctx, func(s *session) error {
		var hour int64
		err := s.one(`SELECT coalesce(min(hour), 0) FROM traffic`, nil, &hour)
		oldest = instant(hour)
		return err
	})
	return oldest, err
}

// PruneTraffic forgets up to limit rows of hours before the given time, and the
// words that only they held, and returns how many rows it has deleted. Fewer
// than limit means that it is done. When apikeys were used stays known.
func (db *DB) PruneTraffic(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	err = db.change(ctx, func(x *tx) error {
		deleted, err = x.pruneTraffic(before, limit)
		return err
	})
	return deleted, err
}

func (x *tx) pruneTraffic(before time.Time, limit int) (int, error) {
	limit = orDefault(limit)
	if days, err := x.cleanDays(before, limit); err != nil || int(days) == limit {
		return int(days), err
	}
	n, err := x.exec(`DELETE FROM traffic WHERE (hour, `+trafficKey+`) IN
		(SELECT hour, `+trafficKey+` FROM traffic WHERE hour < ? ORDER BY hour LIMIT ?)`, micros(before), limit)
	if err != nil || int(n) == limit {
		return int(n), err
	}
	// No row of an hour before that is left, so none holds a word last used then.
	gone, err := x.exec(`DELETE FROM traffic_word WHERE id IN (SELECT id FROM traffic_word WHERE last_hour < ? ORDER BY last_hour LIMIT ?)`,
		micros(before.UTC().Truncate(time.Hour)), limit)
	if gone > 0 {
		x.w.words.forget()
	}
	return int(n), err
}
