package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/secret"
)

// record writes the audit entry of the transition that runs.
func (x *tx) record(e audit.Event) error {
	e.Actor, e.Action, e.Object = storable(e.Actor), storable(e.Action), storable(e.Object) // before it is hashed
	entry, err := x.head.Append(e, x.now)
	if err != nil {
		return err
	}
	if err := x.later(`INSERT INTO audit_entry (seq, at, actor, action, object, detail, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		entry.Seq, micros(entry.At), entry.Actor, entry.Action, entry.Object, string(entry.Detail), entry.Prev[:], entry.Hash[:]); err != nil {
		return fmt.Errorf("audit entry %d: %w", entry.Seq, err)
	}
	x.head = entry.Head()
	return nil
}

// Record writes an audit entry of a change that is kept elsewhere, as in the
// configuration file.
func (db *DB) Record(ctx context.Context, e audit.Event) error {
	return db.change(ctx, func(x *tx) error { return x.record(e) })
}

// The head is noted apart from the entries, once per commit, so that entries
// cut off at the end of the log are missed.

func noteHead(s *session, head audit.Head) error {
	return s.later(`INSERT INTO meta (name, value) VALUES ('audit_head', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
		fmt.Sprintf("%d %s", head.Seq, head.Hash))
}

func readHead(s *session) (audit.Head, error) {
	return headBy(s, `SELECT value FROM meta WHERE name = 'audit_head'`)
}

// takeHead is readHead, and keeps all others from writing until the transaction
// ends: they meet at this row.
func takeHead(s *session) (audit.Head, error) {
	return headBy(s, `SELECT value FROM meta WHERE name = 'audit_head' FOR UPDATE`)
}

func headBy(s *session, query string) (audit.Head, error) {
	var value, hash string
	err := s.one(query, nil, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return audit.Head{}, nil
	}
	if err != nil {
		return audit.Head{}, err
	}
	var head audit.Head
	if _, err := fmt.Sscanf(value, "%d %s", &head.Seq, &hash); err != nil {
		return audit.Head{}, fmt.Errorf("noted head of the audit log %q: %w", value, err)
	}
	head.Hash, err = secret.ParseHash(hash)
	return head, err
}

// AuditHead is the end of the audit log as noted by the last change: the last
// of AuditEntries must match it.
func (db *DB) AuditHead(ctx context.Context) (head audit.Head, err error) {
	err = db.view(ctx, func(s *session) error {
		head, err = readHead(s)
		return err
	})
	return head, err
}

// AuditEntries returns up to limit entries after afterSeq, oldest first.
func (db *DB) AuditEntries(ctx context.Context, afterSeq int64, limit int) (entries []audit.Entry, err error) {
	err = db.view(ctx, func(s *session) error {
		entries, err = s.auditEntries(afterSeq, orDefault(limit))
		return err
	})
	return entries, err
}

func (s *session) auditEntries(afterSeq int64, limit int) (entries []audit.Entry, err error) {
	err = s.each(`SELECT seq, at, actor, action, object, detail, prev, hash FROM audit_entry WHERE seq > ? ORDER BY seq LIMIT ?`,
		args{afterSeq, limit}, func(scan func(...any) error) error {
			var e audit.Entry
			var at int64
			var detail string
			var prev, hash []byte
			if err := scan(&e.Seq, &at, &e.Actor, &e.Action, &e.Object, &detail, &prev, &hash); err != nil {
				return err
			}
			e.At = instant(at)
			if detail != "" {
				e.Detail = json.RawMessage(detail)
			}
			if e.Prev, err = toHash(prev); err != nil {
				return fmt.Errorf("audit entry %d: %w", e.Seq, err)
			}
			if e.Hash, err = toHash(hash); err != nil {
				return fmt.Errorf("audit entry %d: %w", e.Seq, err)
			}
			entries = append(entries, e)
			return nil
		})
	return entries, err
}

// VerifyAudit checks the whole chain up to the head that is noted when it is
// called. It returns how many entries hold and the head; an error names the
// first entry that does not.
func (db *DB) VerifyAudit(ctx context.Context) (entries int64, head audit.Head, err error) {
	end, err := db.AuditHead(ctx)
	if err != nil {
		return 0, audit.Head{}, err
	}
	var v audit.Verifier
	for v.Head().Seq < end.Seq {
		page, err := db.AuditEntries(ctx, v.Head().Seq, maxPage)
		if err != nil {
			return v.Entries(), v.Head(), err
		}
		if len(page) == 0 {
			return v.Entries(), v.Head(), fmt.Errorf("audit entries %d to %d are missing at the end of the log", v.Head().Seq+1, end.Seq)
		}
		for _, e := range page {
			if e.Seq > end.Seq {
				break
			}
			if err := v.Add(e); err != nil {
				return v.Entries(), v.Head(), err
			}
		}
	}
	if v.Head() != end {
		return v.Entries(), v.Head(), fmt.Errorf("audit entry %d is not the one that was noted as the head: the log was written anew", end.Seq)
	}
	return v.Entries(), v.Head(), nil
}

// toHash reads a hash as stored.
func toHash(b []byte) (secret.Hash, error) {
	if len(b) != len(secret.Hash{}) {
		return secret.Hash{}, fmt.Errorf("hash has %d bytes", len(b))
	}
	return secret.Hash(b), nil
}

// micros is a time as stored: microseconds since 1970, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant reads what micros wrote.
func instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
