package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/policy"
)

func TestTheAuditIsReadFromBothEnds(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.pass(time.Hour)
		w.client(fmt.Sprintf("c%d", i), "client_secret_basic")
	}
	// Entry 1 is the first signing key, made by the process itself.
	numbers := func(query string) string {
		var out []string
		for _, e := range w.ask(200, "GET", "/audit?"+query, nil).list("entries") {
			out = append(out, fmt.Sprint(e.number("seq")))
		}
		return strings.Join(out, " ")
	}
	for query, want := range map[string]string{
		"":                                "1 2 3 4 5 6",
		"limit=2":                         "1 2",
		"limit=2&after=2":                 "3 4",
		"order=desc":                      "6 5 4 3 2 1",
		"order=desc&limit=2":              "6 5",
		"order=desc&limit=2&after=5":      "4 3",
		"actor=system":                    "1",
		"actor=" + self():                 "2 3 4 5 6",
		"since=2h30m":                     "4 5 6",
		"since=2h30m&order=desc":          "6 5 4",
		"since=2027-03-10T15:30:00Z":      "5 6",
		"order=desc&actor=system&limit=1": "1",
		"after=6":                         "",
	} {
		w.run(t, query, func(t *testing.T) {
			if got := numbers(query); got != want {
				t.Errorf("entries are %q, want %q", got, want)
			}
		})
	}
	if d := w.ask(200, "GET", "/audit?limit=2", nil); d.text("next") != "2" {
		t.Errorf("next is %v, want 2", d["next"])
	}
	if d := w.ask(200, "GET", "/audit?order=desc&limit=5", nil); d.text("next") != "2" {
		t.Errorf("next is %v, want 2", d["next"])
	}
	for _, query := range []string{"limit=6", "order=desc&limit=6", "actor=system&limit=1"} {
		if d := w.ask(200, "GET", "/audit?"+query, nil); d["next"] != nil {
			t.Errorf("%s: next of the last page is %v, want null", query, d["next"])
		}
	}
	w.refused(400, "GET", "/audit?order=up", nil, "asc")
	w.refused(400, "GET", "/audit?after=x", nil, "number")
}

func TestALongAuditIsReadInParts(t *testing.T) {
	w := newWorld(t)
	var writers sync.WaitGroup
	for range 70 { // together, so that they share their commits
		writers.Go(func() {
			for range 30 {
				if err := w.db.SetRoute(t.Context(), policy.Route{Method: "GET", Template: "/x"}, audit.Event{Actor: "os:1", Action: "test", Object: "x"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	first := w.ask(200, "GET", "/audit?order=desc&actor=system", nil).list("entries")
	if len(first) != 1 || first[0].number("seq") != 1 {
		t.Errorf("looking back for the first entry finds %v", first)
	}
	if got := w.ask(200, "GET", "/audit?object=x&limit=1000&after=1500", nil).list("entries"); len(got) != 601 {
		t.Errorf("%d entries after 1500, want 601", len(got))
	}
	if d := w.ask(200, "GET", "/audit/verify", nil); d["ok"] != true || d.number("entries") != 2101 {
		t.Errorf("verifying says %v", d)
	}
}

func TestSigningKeysAreListedRotatedAndDropped(t *testing.T) {
	w := newWorld(t)
	states := func() string {
		return strings.Join(column(w.ask(200, "GET", "/signing", nil).list("keys"), "state"), " ")
	}
	if states() != "signing" {
		t.Fatalf("states are %q", states())
	}
	w.unchanged(func() { w.ask(200, "POST", "/signing/rotate?dry_run=true", nil) })
	next := w.ask(200, "POST", "/signing/rotate", nil)
	w.audited("signing_key.rotated")
	if next.text("state") != "next" || states() != "signing next" {
		t.Errorf("after a rotation states are %q", states())
	}
	w.pass(25 * time.Hour)
	if states() != "published signing" {
		t.Errorf("once it signs states are %q", states())
	}
	w.pass(48 * time.Hour)
	if states() != "retired signing" {
		t.Errorf("once the old one's tokens are gone states are %q", states())
	}
	if now := w.ask(200, "POST", "/signing/rotate", map[string]bool{"immediately": true}); now.text("state") != "signing" {
		t.Errorf("a key made to sign at once is %s", now.text("state"))
	}

	kid := next.text("kid")
	w.unchanged(func() {
		if d := w.ask(200, "POST", "/signing/"+kid+"/drop?dry_run=true", nil); d.text("state") != "published" {
			t.Errorf("the dry run shows %v", d)
		}
	})
	if d := w.ask(200, "POST", "/signing/"+kid[:8]+"/drop", nil); d.text("state") != "dropped" {
		t.Errorf("dropping says %v", d)
	}
	w.audited("signing_key.dropped")
	if states() != "retired dropped signing" {
		t.Errorf("after dropping states are %q", states())
	}
	w.refused(409, "POST", "/signing/"+kid+"/drop", nil, "was dropped")
	w.refused(404, "POST", "/signing/none/drop", nil, "none")
}

func TestTheConfigurationIsShownComparedAndReloaded(t *testing.T) {
	w := newWorldWith(t, plainConfig+"secrets: {pepper: \"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI=\"}\n")
	setting := func(name string) document {
		for _, s := range w.ask(200, "GET", "/config", nil).list("settings") {
			if s.text("setting") == name {
				return s
			}
		}
		t.Fatalf("there is no setting %s", name)
		return nil
	}
	if s := setting("issuer"); s.text("value") != issuerURL || !strings.HasSuffix(s.text("origin"), "offkey.yaml:1") || s["boot"] != true {
		t.Errorf("issuer is %v", s)
	}
	if s := setting("tokens.access.ttl"); s.text("origin") != "default" {
		t.Errorf("a setting of nobody is %v", s)
	}
	if s := setting("secrets.pepper"); strings.Contains(s.text("value"), "c2Vj") || s.text("value") == "" {
		t.Errorf("a secret is shown as %q", s.text("value"))
	}
	w.write(w.file, plainConfig+"tokens: {access: {ttl: 5m}}\n")
	d := w.ask(200, "POST", "/config/reload?dry_run=true", nil)
	if got := strings.Join(column(d.list("changes"), "setting"), " "); got != "secrets.pepper tokens.access.ttl" {
		t.Errorf("the file changes %s", got)
	}
	if s := setting("tokens.access.ttl"); s.text("value") != "15m" {
		t.Errorf("after a dry run it is %v", s)
	}
	w.ask(200, "POST", "/config/reload", nil)
	if s := setting("tokens.access.ttl"); s.text("value") != "5m" {
		t.Errorf("after a reload it is %v", s)
	}
	w.write(w.file, plainConfig+"tokns: {}\n")
	w.refused(422, "POST", "/config/reload", nil, "bad_config", "tokns", "still the old one")
	if s := setting("tokens.access.ttl"); s.text("value") != "5m" {
		t.Errorf("after a bad file it is %v", s)
	}
}
