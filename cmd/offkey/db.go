package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"

	"github.com/offkey/offkey/internal/app"
	"github.com/offkey/offkey/internal/config"
)

// dbCmd groups what is done about the database itself.
type dbCmd struct {
	Copy dbCopyCmd `cmd:"" help:"Copy all data into a new database, as from a file into PostgreSQL."`
}

type dbCopyCmd struct {
	Config string `type:"path" default:"offkey.yaml" env:"OFFKEY_CONFIG" placeholder:"FILE" help:"The configuration whose data is copied. Default ./offkey.yaml."`
	To     string `placeholder:"DSN" help:"Where to: postgres://user@host/database or sqlite://PATH. A password goes into OFFKEY_DB_TO, or into PGPASSWORD or ~/.pgpass."`
	Verify bool   `help:"Check the audit log of the copy entry by entry."`
}

func (dbCopyCmd) Help() string {
	return `Examples:
  offkey db copy --config offkey.yaml --to postgres://offkey@db.example.com/offkey --verify
  offkey db copy --to sqlite://copy.db

A data file must not be in use: stop offkey first. Every table is read back and compared before the copy counts; where
one differs nothing is kept. The database must be new. Master key and pepper are not in it: give the new configuration the same.`
}

// Run copies.
func (c *dbCopyCmd) Run(ctx context.Context, t *terminal) error {
	if u, err := url.Parse(c.To); err == nil && u.User != nil {
		if _, has := u.User.Password(); has {
			return failed("secret_in_argument", "a password in an argument is seen by everybody on this machine", "leave it out and set OFFKEY_DB_TO to the whole address, or PGPASSWORD", nil)
		}
	}
	to := cmp.Or(c.To, t.Env("OFFKEY_DB_TO"))
	if to == "" {
		return failed("no_target", "it is not said where to", "add --to postgres://user@host/database", nil)
	}
	cfg, err := config.Load(c.Config, os.Environ())
	if err != nil {
		return failed("bad_config", err.Error(), "run `offkey config validate`", err)
	}
	tables, head, err := app.CopyData(ctx, cfg, to, c.Verify, slog.New(slog.NewTextHandler(t.Err, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return failed("not_copied", err.Error(), "correct what it says; nothing was copied", err)
	}
	rows := 0
	for _, table := range tables {
		rows += table.Rows
	}
	if t.JSON {
		return t.document(map[string]any{"tables": tables, "rows": rows, "audit": map[string]any{"entries": head.Seq, "head": head.Hash.String()}, "verified": c.Verify})
	}
	t.done("%s copied and compared; audit log: %d entries", count(rows, "row"), head.Seq)
	fmt.Fprintln(t.Err, "next: set storage.dsn to the new place, with the same secrets.master_key and secrets.pepper")
	return nil
}
