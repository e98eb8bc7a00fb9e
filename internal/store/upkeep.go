package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/audit"
)

// Clean forgets up to limit things that have had their time at now: spent jti,
// revocations, devices, codes, grants, browser sessions and what waits in them,
// one-time links, lines of the change log, traffic. It returns how many it has
// deleted; fewer than limit means that it is done. Small limits, called often,
// keep writers from waiting.
func (db *DB) Clean(ctx context.Context, now time.Time, limit int) (deleted int, err error) {
	limit = orDefault(limit)
	err = db.change(ctx, func(x *tx) error {
		deleted = 0
		for _, clean := range []func(limit int) (int64, error){
			func(limit int) (int64, error) {
				n, err := x.cleanSpent(now, limit)
				return int64(n), err
			},
			func(limit int) (int64, error) {
				return x.exec(`DELETE FROM revocation WHERE (kind, id) IN (SELECT kind, id FROM revocation WHERE expires < ? ORDER BY expires LIMIT ?)`, micros(now), limit)
			},
			func(limit int) (int64, error) { return x.cleanDevices(now, limit) },
			func(limit int) (int64, error) { return x.cleanSessions(now, limit) },
			func(limit int) (int64, error) { return x.cleanRequests(now, limit) },
			func(limit int) (int64, error) { return x.cleanChanges(now, limit) },
			func(limit int) (int64, error) { return x.cleanGrants(now, limit) },
			func(limit int) (int64, error) { return x.cleanRegistrationTokens(now, limit) },
			func(limit int) (int64, error) { return x.cleanUnused(now, limit) },
			func(limit int) (int64, error) { return x.cleanLogs(now, limit) },
			func(limit int) (int64, error) { return x.cleanNodes(now, limit) },
			func(limit int) (int64, error) { return x.cleanDaily(now, limit) },
			func(limit int) (int64, error) { return x.cleanTold(now, limit) },
			func(limit int) (int64, error) {
				return x.exec(`DELETE FROM person_link WHERE (purpose, person_id) IN (SELECT purpose, person_id FROM person_link WHERE expires < ? ORDER BY expires LIMIT ?)`, micros(now), limit)
			},
			func(limit int) (int64, error) { return x.cleanDays(now.Add(-listDays), limit) },
			func(limit int) (int64, error) {
				n, err := x.pruneTraffic(now.Add(-db.options.KeepTraffic), limit)
				return int64(n), err
			},
		} {
			n, err := clean(limit - deleted)
			if err != nil {
				return fmt.Errorf("clean: %w", err)
			}
			if deleted += int(n); deleted >= limit {
				break
			}
		}
		return nil
	})
	return deleted, err
}

// Check reads what can be damaged and reports the first thing that is wrong with
// it: the engine's own structures and references between rows, where the engine
// does not see to that itself, the schema's version, the end of the audit log. It
// takes as long as reading the file; others go on.
func (db *DB) Check(ctx context.Context) error {
	if err := db.engine.check(ctx, db); err != nil {
		return err
	}
	return errors.Join(db.checkSchema(ctx), db.checkAuditEnd(ctx))
}

func (f dataFile) check(ctx context.Context, db *DB) error {
	conn, err := db.pool.readers.Conn(ctx)
	if err != nil {
		return f.explain(err)
	}
	defer conn.Close()
	var verdict string
	if err := conn.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&verdict); err != nil {
		return f.explain(err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%s is damaged: restore a backup: %s", f.path, verdict)
	}
	var table, parent sql.NullString
	var row, rule sql.NullInt64
	err = conn.QueryRowContext(ctx, `PRAGMA foreign_key_check`).Scan(&table, &row, &parent, &rule)
	if !errors.Is(err, sql.ErrNoRows) {
		return errors.Join(err, fmt.Errorf("%s is damaged: restore a backup: a row of %s refers to a row of %s that is not there", f.path, table.String, parent.String))
	}
	return nil
}

func (db *DB) checkSchema(ctx context.Context) error {
	all, err := schemaSteps()
	if err != nil {
		return err
	}
	return db.view(ctx, func(s *session) error {
		version, err := schemaVersion(s)
		if err == nil && version != schemaNewest(all) {
			err = fmt.Errorf("schema is version %d, this offkey works with %d", version, schemaNewest(all))
		}
		return err
	})
}

// checkAuditEnd checks the last entry against the noted head. VerifyAudit
// checks them all.
func (db *DB) checkAuditEnd(ctx context.Context) error {
	return db.snapshot(ctx, func(s *session) error {
		head, err := readHead(s)
		if err != nil {
			return err
		}
		last, err := s.auditEntries(max(head.Seq-2, 0), 3) // one more than there can be
		if err != nil {
			return err
		}
		var v audit.Verifier
		if len(last) > 1 && head.Seq > 2 {
			v.Start, last = last[0].Head(), last[1:]
		}
		for _, e := range last {
			if err := v.Add(e); err != nil {
				return err
			}
		}
		if v.Head() != head {
			return fmt.Errorf("the audit log ends with entry %d, entry %d was noted as its end", v.Head().Seq, head.Seq)
		}
		return nil
	})
}
