package store

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/traffic"
	"github.com/offkey/offkey/test/postgres"
)

func TestACopyHasEverythingAndGoesOn(t *testing.T) {
	from := openNew(t)
	ctx, now := t.Context(), time.Now()
	useAll(t, from)
	for i := range copyPage + 20 { // more than a page
		create(t, from, fmt.Sprint("cl_many_", i))
	}
	fresh, err := from.SpendAssertion(ctx, "cl_1", "once", now.Add(time.Hour))
	if err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	to := nodes(t, postgres.Shared(t).DSN(), 1)[0]
	tables, err := Copy(ctx, from, to)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, c := range tables {
		rows += c.Rows
	}
	if rows < copyPage {
		t.Errorf("%d rows in %d tables", rows, len(tables))
	}
	want, err := from.AuditHead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n, head, err := to.VerifyAudit(ctx); err != nil || head != want {
		t.Errorf("%d audit entries verify, %v", n, err)
	}
	if fresh, err := to.SpendAssertion(ctx, "cl_1", "once", now.Add(time.Hour)); err != nil || fresh {
		t.Errorf("a spent jti is fresh in the copy: %v, %v", fresh, err)
	}
	create(t, to, "cl_after") // the change log counts on, and so do the words of traffic
	if err := to.AddTraffic(ctx, []traffic.Row{{Hour: now, Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: "ak_new"}, Method: "PATCH",
		Template: "/new", Source: netip.MustParsePrefix("203.0.113.0/24"), Calls: 1, First: now, Last: now}}); err != nil {
		t.Error(err)
	}
	if _, err := Copy(ctx, from, to); err == nil {
		t.Error("a copy was made over data")
	}

	back, err := Open(ctx, Options{DSN: filepath.Join(t.TempDir(), "back.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { err = errors.Join(err, back.Close()) }()
	if _, err := Copy(ctx, to, back); err != nil {
		t.Fatal(err)
	}
	if err := back.Check(ctx); err != nil {
		t.Error(err)
	}
	if c, err := back.Client(ctx, "cl_after"); err != nil || c.ID != "cl_after" {
		t.Errorf("a client of the database is not in the data file: %v", err)
	}
	if fresh, err := back.SpendAssertion(ctx, "cl_2", "other", now.Add(time.Hour)); err != nil || !fresh {
		t.Errorf("the data file does not go on: %v, %v", fresh, err)
	}
}
