package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/offkey/offkey/internal/audit"
)

// AuditLog is what reading the audit asks of storage.
type AuditLog interface {
	// AuditEntries returns up to limit entries after a sequence number, the
	// oldest first.
	AuditEntries(ctx context.Context, after int64, limit int) ([]audit.Entry, error)
	AuditHead(ctx context.Context) (audit.Head, error)
	// VerifyAudit checks the whole chain. The error names the first entry that
	// does not hold.
	VerifyAudit(ctx context.Context) (entries int64, head audit.Head, err error)
}

// auditFilter chooses entries.
type auditFilter struct {
	since  time.Time
	actor  string
	object string
}

func (f auditFilter) takes(e audit.Entry) bool {
	return (f.actor == "" || e.Actor == f.actor) && (f.object == "" || e.Object == f.object) && !e.At.Before(f.since)
}

// listAudit lists entries, the oldest first, or the newest with order=desc. The
// cursor is the sequence number of the last entry shown.
func (s *Server) listAudit(r *http.Request) (any, error) {
	q, err := readQuery(r, "since", "actor", "object", "order", "limit", "after")
	if err != nil {
		return nil, err
	}
	limit, err := q.number("limit", defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	f := auditFilter{actor: q.text("actor"), object: q.text("object")}
	if f.since, err = q.since("since", s.now()); err != nil {
		return nil, err
	}
	after := int64(-1)
	if v := q.text("after"); v != "" {
		if after, err = strconv.ParseInt(v, 10, 64); err != nil || after < 0 {
			return nil, badRequest("", "the parameter \"after\" is %q: it is the number of an entry", v)
		}
	}
	var entries []audit.Entry
	var more bool
	switch q.text("order") {
	case "", "asc":
		entries, more, err = s.auditForward(r.Context(), f, max(after, 0), limit)
	case "desc":
		entries, more, err = s.auditBackward(r.Context(), f, after, limit)
	default:
		return nil, badRequest("it is asc or desc", "the parameter \"order\" is %q", q.text("order"))
	}
	if err != nil {
		return nil, err
	}
	var next *string
	if more {
		cursor := strconv.FormatInt(entries[len(entries)-1].Seq, 10)
		next = &cursor
	}
	return struct {
		Entries []audit.Entry `json:"entries"`
		Next    *string       `json:"next"`
	}{orNone(entries), next}, nil
}

func (s *Server) auditForward(ctx context.Context, f auditFilter, after int64, limit int) (found []audit.Entry, more bool, err error) {
	for {
		part, err := s.store.AuditEntries(ctx, after, maxPage)
		if err != nil || len(part) == 0 {
			return found, false, err
		}
		for _, e := range part {
			if !f.takes(e) {
				continue
			}
			if len(found) == limit {
				return found, true, nil
			}
			found = append(found, e)
		}
		after = part[len(part)-1].Seq
	}
}

func (s *Server) auditBackward(ctx context.Context, f auditFilter, before int64, limit int) (found []audit.Entry, more bool, err error) {
	if before < 0 {
		head, err := s.store.AuditHead(ctx)
		if err != nil {
			return nil, false, err
		}
		before = head.Seq + 1
	}
	for before > 1 {
		from := max(before-maxPage-1, 0) // entries from+1 to before-1
		part, err := s.store.AuditEntries(ctx, from, int(before-from-1))
		if err != nil {
			return nil, false, err
		}
		for _, e := range slices.Backward(part) {
			switch {
			case e.At.Before(f.since):
				return found, false, nil
			case e.Seq >= before || !f.takes(e):
				continue
			case len(found) == limit:
				return found, true, nil
			}
			found = append(found, e)
		}
		before = from + 1
	}
	return found, false, nil
}

// auditVerdict says whether the chain holds.
type auditVerdict struct {
	Entries int64     `json:"entries"`
	OK      bool      `json:"ok"`
	Head    auditHead `json:"head"`
	Problem string    `json:"problem,omitempty"`
}

type auditHead struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

func (s *Server) verifyAudit(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	entries, head, err := s.store.VerifyAudit(r.Context())
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	v := auditVerdict{Entries: entries, OK: err == nil, Head: auditHead{head.Seq, head.Hash.String()}}
	if err != nil {
		v.Problem = err.Error()
	}
	return v, nil
}
