package migration

import (
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/traffic"
)

func TestEvidenceTellsRefusedHereFromRevokedThere(t *testing.T) {
	w := newWorld(t)
	accepted := w.learnt("a")
	sealed := w.learnt("b", func(k *apikey.Key) { k.Stage = apikey.Retired })
	refused := w.learnt("c", func(k *apikey.Key) { k.Stage = apikey.Blocked })
	revoked := w.learnt("d", func(k *apikey.Key) { k.Suspended = true })
	excepted := w.learnt("e", func(k *apikey.Key) {
		k.Extension = apikey.Extension{Until: noon.Add(240 * time.Hour), Granted: noon.Add(-time.Hour), By: "os:0", Reason: "release"}
	})
	w.madeClient("cl_1", "", noon.Add(-time.Hour))
	if err := w.db.SealAPIKey(w.ctx, sealed.ID, "cl_1", "api", []byte("x"), audit.Event{Actor: "system", Action: "apikey.sealed"}); err != nil {
		t.Fatal(err)
	}
	w.calls(
		seen(accepted.ID, "GET", "/v1/orders", 5), seen(refused.ID, "GET", "/v1/orders", 2, outcome("denied:apikey_blocked")),
		seen("cl_1", "GET", "/v1/orders", 7, kind(traffic.KindClient)), seen(accepted.ID, "GET", "/v1/old", 9, ago(40*24*time.Hour)),
	)
	e, err := w.Evidence(w.ctx, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, k := range e.APIKeys {
		states[k.ID] = k.State
	}
	for id, want := range map[string]string{accepted.ID: StateAccepted, sealed.ID: StateSealed, refused.ID: StateRefused, revoked.ID: StateRevoked, excepted.ID: StateAccepted} {
		if states[id] != want {
			t.Errorf("state %q, want %q", states[id], want)
		}
	}
	if s := e.Summary; s.APIKeys != 5 || s.Accepted != 3 || s.Sealed != 1 || s.Refused != 1 || s.Revoked != 1 || s.Exceptions != 1 || s.LastCalled != 2 {
		t.Errorf("%+v", s)
	}
	if len(e.Access) != 1 || e.Access[0] != (RouteAccess{Method: "GET", Template: "/v1/orders", APIKeys: 2, Clients: 1, ByAPIKey: 7, ByToken: 7, Refused: 2}) {
		t.Errorf("access %+v", e.Access)
	}
	if len(e.Exceptions) != 1 || e.Exceptions[0].Reason != "release" || e.Exceptions[0].Owner != "Acme" {
		t.Errorf("exceptions %+v", e.Exceptions)
	}
	if !e.Audit.OK || e.Audit.Entries == 0 || len(e.Clients) != 1 || e.Clients[0].Calls != 7 {
		t.Errorf("audit %+v, clients %+v", e.Audit, e.Clients)
	}
	for _, a := range e.Actions {
		if a.Actor == "system" {
			t.Errorf("the process's own: %+v", a)
		}
	}
}

func TestEvidenceOfAPastDayIsReadFromTheLog(t *testing.T) {
	w := newWorld(t)
	one, two, three := w.learnt("a"), w.learnt("b"), w.learnt("c")
	day := func(n int) { w.set(noon.AddDate(0, 0, n)) }
	set := func(stage apikey.Stage, c StageChange) {
		t.Helper()
		c.Stage, c.Actor = stage, "os:0"
		if _, err := w.SetStage(w.ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	day(1)
	set(apikey.Retired, StageChange{IDs: []string{one.ID}})
	day(2)
	set(apikey.Blocked, StageChange{IDs: []string{two.ID}})
	day(3)
	set(apikey.Inherit, StageChange{IDs: []string{one.ID}}) // taken back
	day(4)
	l, err := w.OpenLeak(w.ctx, LeakOrder{Subject: leak.Subject{Kind: leak.KindAPIKey, ID: three.ID}, By: leak.ByOperator, Actor: "os:0", Contain: true})
	if err != nil {
		t.Fatal(err)
	}
	day(5)
	if _, err := w.CloseLeak(w.ctx, l.ID, "", "os:0", true); err != nil {
		t.Fatal(err)
	}
	day(6)
	set(apikey.Retired, StageChange{All: true})
	day(7)
	late := w.learnt("d")
	for _, tc := range []struct {
		day               int
		accepted, apikeys int
	}{{0, 3, 3}, {1, 2, 3}, {2, 1, 3}, {3, 2, 3}, {4, 1, 3}, {5, 2, 3}, {6, 0, 3}, {7, 0, 4}} {
		e, err := w.Evidence(w.ctx, noon.AddDate(0, 0, tc.day).Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if e.Summary.Accepted != tc.accepted || e.Summary.APIKeys != tc.apikeys {
			t.Errorf("day %d: %+v", tc.day, e.Summary)
		}
		if strings.Contains(strings.Join(e.Limits, "\n"), "does not lead") {
			t.Errorf("day %d: %q", tc.day, e.Limits)
		}
	}
	if _, err := w.db.UpdateAPIKeys(w.ctx, []string{late.ID}, func(k *apikey.Key) error { k.Stage = apikey.Warn; return nil }, audit.Event{Actor: "x", Action: "x"}); err != nil {
		t.Fatal(err)
	}
	e, err := w.Evidence(w.ctx, noon)
	if err != nil || !strings.Contains(strings.Join(e.Limits, "\n"), "stages of then") {
		t.Errorf("%v, %v", e.Limits, err)
	}
	e, err = w.Evidence(w.ctx, noon.AddDate(0, 0, 7).Add(-time.Nanosecond))
	if err != nil || e.Summary.APIKeys != 3 {
		t.Errorf("a moment before: %+v, %v", e.Summary, err)
	}
}
