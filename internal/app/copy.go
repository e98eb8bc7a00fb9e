package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/store"
)

// CopyData copies all data of a configuration to another place, which must be
// new, and reports what was copied. A data file must not be open elsewhere. With
// verify the audit log of the copy is checked entry by entry.
func CopyData(ctx context.Context, cfg *config.Loaded, to string, verify bool, log *slog.Logger) (tables []store.Copied, head audit.Head, err error) {
	from, err := store.Open(ctx, store.Options{DSN: cfg.StorageDSN(), Log: log})
	if err != nil {
		return nil, audit.Head{}, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	copied, err := store.Open(ctx, store.Options{DSN: to, Log: log})
	if err != nil {
		return nil, audit.Head{}, err
	}
	defer func() { err = errors.Join(err, copied.Close()) }()
	if tables, err = store.Copy(ctx, from, copied); err != nil {
		return nil, audit.Head{}, err
	}
	if head, err = copied.AuditHead(ctx); err == nil && verify {
		_, head, err = copied.VerifyAudit(ctx)
		err = errors.Join(err, copied.Check(ctx))
	}
	return tables, head, err
}
