package store

import (
	"context"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// keepLogPositions is how long the position in a log is kept that is not read
// any more. Its lines are older than any traffic that is kept by then.
const keepLogPositions = 400 * 24 * time.Hour

// LogPositions returns the positions in logs whose first line has this hash.
func (db *DB) LogPositions(ctx context.Context, start string) (positions []traffic.LogPosition, err error) {
	err = db.view(ctx, func(s *session) error {
		positions = nil
		return s.each(`SELECT id, start, head, name, format, at_offset, at_line, before, mark, batches, report FROM log_position WHERE start = ? ORDER BY id LIMIT 100`,
			args{start}, func(scan func(...any) error) error {
				var p traffic.LogPosition
				var report string
				if err := scan(&p.ID, &p.Start, &p.Head, &p.Name, &p.Format, &p.Offset, &p.Line, &p.Before, &p.Mark, &p.Batches, &report); err != nil {
					return err
				}
				p.Report = []byte(report)
				positions = append(positions, p)
				return nil
			})
	})
	if err != nil {
		return nil, fmt.Errorf("read the positions in logs: %w", err)
	}
	return positions, nil
}

// AddLogTraffic adds the counts of a part of a log and moves its position from
// one offset to that of p, in one step: all of it or none. It fails with
// traffic.ErrLogMoved where the position is not at from, which is 0 for a log
// that was never read. Rows of hours that are not kept any more only note when
// apikeys were used.
func (db *DB) AddLogTraffic(ctx context.Context, rows []traffic.Row, p traffic.LogPosition, from int64) error {
	return db.change(ctx, func(x *tx) error {
		if err := x.moveLog(p, from); err != nil {
			return err
		}
		kept := make([]traffic.Row, 0, len(rows))
		floor := x.now.Add(-db.options.KeepTraffic)
		for _, r := range rows {
			if !r.Hour.Before(floor) {
				kept = append(kept, r)
			}
		}
		if err := x.addTraffic(kept); err != nil {
			return err
		}
		if err := x.noteDaily(rows); err != nil {
			return err
		}
		return x.noteUse(rows, floor)
	})
}

func (x *tx) moveLog(p traffic.LogPosition, from int64) error {
	report := string(p.Report)
	if from == 0 {
		if _, err := x.exec(`INSERT INTO log_position (id, start, head, name, format, at_offset, at_line, before, mark, batches, report, updated)
			VALUES (?, ?, ?, '', '', 0, 0, 0, '', 0, '', 0) ON CONFLICT (id) DO NOTHING`, p.ID, p.Start, p.Head); err != nil {
			return fmt.Errorf("begin log: %w", err)
		}
	}
	n, err := x.exec(`UPDATE log_position SET name = ?, format = ?, at_offset = ?, at_line = ?, before = ?, mark = ?, batches = batches + 1, report = ?, updated = ?
		WHERE id = ? AND at_offset = ?`, printable(p.Name), p.Format, p.Offset, p.Line, p.Before, p.Mark, report, micros(x.now), p.ID, from)
	switch {
	case err != nil:
		return fmt.Errorf("move the position in a log: %w", err)
	case n == 0:
		return traffic.ErrLogMoved
	}
	return nil
}

// cleanLogs forgets the positions in logs that are not read any more.
func (x *tx) cleanLogs(now time.Time, limit int) (int64, error) {
	return x.exec(`DELETE FROM log_position WHERE id IN (SELECT id FROM log_position WHERE updated < ? ORDER BY updated LIMIT ?)`,
		micros(now.Add(-keepLogPositions)), limit)
}
