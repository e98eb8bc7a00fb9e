package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/traffic"
)

// apikeyOrders are the expressions that lists are sorted by. Those with down
// have the largest first.
var apikeyOrders = map[apikey.Order]struct {
	by   string
	down bool
}{
	apikey.SortID:        {},
	apikey.SortCalls:     {by: `coalesce(calls, 0)`, down: true},
	apikey.SortLastUsed:  {by: `coalesce(last_used, 0)`, down: true},
	apikey.SortFirstUsed: {by: `coalesce(first_used, 0)`},
	apikey.SortOwner:     {by: `owner`},
}

// apikeyQuery is the query of a list; its last parameter is the limit.
func (s *session) apikeyQuery(f apikey.Filter) (query string, a args, err error) {
	order, known := apikeyOrders[f.Sort]
	if !known {
		return "", nil, fmt.Errorf("apikeys are not sorted by %q", f.Sort)
	}
	from := ` FROM apikey`
	if order.by != "" || !f.UnusedSince.IsZero() {
		from += ` LEFT JOIN apikey_use ON apikey_id = id`
	}
	var where []string
	when := func(condition string, values ...any) {
		where = append(where, condition)
		a = append(a, values...)
	}
	switch {
	case order.by == "" || f.After == "":
		when(`id > ?`, f.After)
	default:
		if err := s.afterCursor(f, order.by, order.down, from, when); err != nil {
			return "", nil, err
		}
	}
	if len(f.Stages) > 0 {
		var names args
		for _, stage := range f.Stages {
			names = append(names, stage.String())
		}
		when(`stage IN (?`+strings.Repeat(`, ?`, len(names)-1)+`)`, names...)
	}
	if f.Owner != "" || f.NoOwner {
		when(`owner = ?`, f.Owner)
	}
	if !f.UnusedSince.IsZero() {
		when(`coalesce(last_used, 0) < ?`, micros(f.UnusedSince))
	}
	if f.Where != "" {
		kind := f.Where + ":"
		when(`EXISTS (SELECT 1 FROM apikey_carrier c WHERE c.apikey_id = id AND c.day >= ? AND (c.carrier = ? OR substr(c.carrier, 1, ?) = ?))`,
			dayOf(f.Since), f.Where, len(kind), kind)
	}
	by := ``
	if order.by != "" {
		by = order.by
		if order.down {
			by += ` DESC`
		}
		by += `, `
	}
	return `SELECT ` + apikeyColumns + from + ` WHERE ` + strings.Join(where, ` AND `) + ` ORDER BY ` + by + `id LIMIT ?`, a, nil
}

// afterCursor goes on after the apikey that the page before ended with, where
// that stands now.
func (s *session) afterCursor(f apikey.Filter, by string, down bool, from string, when func(string, ...any)) error {
	var value any
	err := s.one(`SELECT `+by+from+` WHERE id = ?`, args{f.After}, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("apikey %s: %w", f.After, apikey.ErrNotFound)
	}
	if err != nil {
		return err
	}
	past := `>`
	if down {
		past = `<`
	}
	when(`(`+by+` `+past+` ? OR `+by+` = ? AND id > ?)`, value, value, f.After)
	return nil
}

// day is how long a day of apikey_day is.
const day = 24 * time.Hour

// listDays is how far back lists of apikeys look.
const listDays = 30 * day

// dayOf is the day of a time, as stored.
func dayOf(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return micros(at.UTC().Truncate(day))
}

// APIKeyDays calls yield for what apikeys did since a day, day by day for each
// of them. The rows say of the status only whether it was a success (200, or 0),
// and nothing of the outcome.
func (db *DB) APIKeyDays(ctx context.Context, ids []string, since time.Time, yield func(traffic.Row)) error {
	words := map[int64]string{}
	return db.snapshot(ctx, func(s *session) error {
		for _, id := range ids {
			number, err := s.wordNumber(printable(id))
			if err != nil {
				return err
			}
			if number <= 0 {
				continue
			}
			var rows []trafficNumbers
			if err := s.each(`SELECT day, method, template, ok, agent, source, carrier, calls, first_at, last_at FROM apikey_day
				WHERE credential = ? AND day >= ? ORDER BY day, method, template, ok, agent, source, carrier`,
				args{number, dayOf(since)}, func(scan func(...any) error) error {
					var r trafficNumbers
					var ok int64
					if err := scan(&r.hour, &r.key[2], &r.key[3], &ok, &r.key[5], &r.key[6], &r.key[7], &r.calls, &r.first, &r.last); err != nil {
						return err
					}
					r.key[4] = ok * 200
					rows = append(rows, r)
					return nil
				}); err != nil {
				return err
			}
			for _, r := range rows {
				row, err := s.spell(r, words)
				if err != nil {
					return err
				}
				row.Credential = traffic.Credential{Kind: traffic.KindAPIKey, ID: id}
				yield(row)
			}
		}
		return nil
	})
}

const (
	dayInto  = `INSERT INTO apikey_day (credential, day, method, template, ok, agent, source, carrier, calls, first_at, last_at) VALUES `
	dayRow   = `(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	dayMerge = ` ON CONFLICT (credential, day, method, template, ok, agent, source, carrier) DO UPDATE SET calls = apikey_day.calls + excluded.calls,
		first_at = CASE WHEN excluded.first_at < apikey_day.first_at THEN excluded.first_at ELSE apikey_day.first_at END,
		last_at = CASE WHEN excluded.last_at > apikey_day.last_at THEN excluded.last_at ELSE apikey_day.last_at END`
)

var (
	addDay  = dayInto + dayRow + dayMerge
	addDays = dayInto + strings.Repeat(dayRow+", ", trafficBatch-1) + dayRow + dayMerge
)

// dayCell is what makes two rows of a day one.
type dayCell [8]int64

type dayCount struct{ calls, first, last int64 }

// days folds rows of traffic into those of apikey_day.
type days struct {
	order []dayCell
	cells map[dayCell]*dayCount
}

// add takes a row as trafficValues has made it.
func (d *days) add(r traffic.Row, v [13]any) {
	if r.Credential.Kind != traffic.KindAPIKey || !r.Credential.Known() {
		return
	}
	ok := int64(0)
	if r.OK() {
		ok = 1
	}
	c := dayCell{v[2].(int64), dayOf(r.Hour), v[3].(int64), v[4].(int64), ok, v[6].(int64), v[7].(int64), v[8].(int64)}
	n := d.cells[c]
	if n == nil {
		if d.cells == nil {
			d.cells = map[dayCell]*dayCount{}
		}
		n = &dayCount{first: micros(r.First), last: micros(r.Last)}
		d.cells[c] = n
		d.order = append(d.order, c)
	}
	n.calls += r.Calls
	n.first, n.last = min(n.first, micros(r.First)), max(n.last, micros(r.Last))
}

// addDays adds the counts of days.
func (x *tx) addDays(d *days) error {
	var values args
	for i, c := range d.order {
		n := d.cells[c]
		for _, v := range c {
			values = append(values, v)
		}
		values = append(values, n.calls, n.first, n.last)
		if i%trafficBatch == trafficBatch-1 {
			if _, err := x.exec(addDays, values...); err != nil {
				return err
			}
			values = values[:0]
		}
	}
	const width = len(dayCell{}) + 3
	for ; len(values) > 0; values = values[width:] {
		if _, err := x.exec(addDay, values[:width]...); err != nil {
			return err
		}
	}
	return nil
}

// noteCarrier notes that an apikey was seen in a place on a day.
func (x *tx) noteCarrier(id, carrier string, day int64) error {
	if carrier == "" || !x.w.words.carrierIsNew(id, carrier, day) {
		return nil
	}
	_, err := x.exec(`INSERT INTO apikey_carrier (apikey_id, carrier, day) VALUES (?, ?, ?) ON CONFLICT (apikey_id, carrier) DO UPDATE SET
		day = CASE WHEN excluded.day > apikey_carrier.day THEN excluded.day ELSE apikey_carrier.day END`, id, printable(carrier), day)
	return err
}

// cleanDays forgets up to limit rows of days before the given time, and takes
// their calls out of the sums.
func (x *tx) cleanDays(before time.Time, limit int) (int64, error) {
	if limit <= 0 {
		return 0, nil
	}
	type gone struct{ credential, calls int64 }
	var rows []gone
	const chosen = `SELECT credential, day, method, template, ok, agent, source, carrier FROM apikey_day WHERE day < ?
		ORDER BY day, credential, method, template, ok, agent, source, carrier LIMIT ?`
	if err := x.each(strings.Replace(chosen, ` FROM`, `, calls FROM`, 1), args{dayOf(before), limit}, func(scan func(...any) error) error {
		var g gone
		var rest [7]int64
		if err := scan(&g.credential, &rest[0], &rest[1], &rest[2], &rest[3], &rest[4], &rest[5], &rest[6], &g.calls); err != nil {
			return err
		}
		rows = append(rows, g)
		return nil
	}); err != nil || len(rows) == 0 {
		return 0, err
	}
	sums := map[int64]int64{}
	for _, g := range rows {
		sums[g.credential] += g.calls
	}
	for credential, calls := range sums {
		if _, err := x.exec(`UPDATE apikey_use SET calls = calls - ? WHERE apikey_id = (SELECT word FROM traffic_word WHERE id = ?)`, calls, credential); err != nil {
			return 0, err
		}
	}
	return x.exec(`DELETE FROM apikey_day WHERE (credential, day, method, template, ok, agent, source, carrier) IN (`+chosen+`)`, dayOf(before), limit)
}
