package migration

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

func TestARoadNeedsItsParts(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("made of nothing")
	}
}

func TestInventoryFromTheStore(t *testing.T) {
	w := newWorld(t)
	a, b := w.inUse("a"), w.learnt("b")
	w.calls(seen(b.ID, "GET", "/v1/x", 7, ago(40*24*time.Hour)), seen("cl_1", "GET", "/v1/x", 3, kind(traffic.KindClient)))
	items, next, err := w.Inventory(w.ctx, InventoryFilter{Filter: apikey.Filter{}})
	if err != nil || next != "" || len(items) != 2 {
		t.Fatalf("%+v, %q, %v", items, next, err)
	}
	if items[0].ID != a.ID || items[0].Calls != 11 || items[0].Callers != 1 {
		t.Errorf("%+v", items[0])
	}
	if items[1].ID != b.ID || items[1].Calls != 0 || items[1].LastUsed == nil || !items[1].LastUsed.Equal(noon.Add(-40*24*time.Hour)) {
		t.Errorf("used before the window: %+v", items[1])
	}
	one, next, err := w.Inventory(w.ctx, InventoryFilter{Filter: apikey.Filter{Limit: 1}})
	if err != nil || len(one) != 1 || next == "" || one[0].Calls != 11 {
		t.Errorf("%+v, %q, %v", one, next, err)
	}
	rest, next, err := w.Inventory(w.ctx, InventoryFilter{Filter: apikey.Filter{Limit: 1, After: next}})
	if err != nil || len(rest) != 1 || next != "" || rest[0].ID != b.ID {
		t.Errorf("%+v, %q, %v", rest, next, err)
	}
}

func TestShow(t *testing.T) {
	w := newWorld(t, route(t, "GET /v1/orders/**", "orders:read"))
	k := w.inUse(value)
	w.calls(seen(k.ID, "POST", "/v1/users", 3, agent(python)))
	d, err := w.Show(w.ctx, k.ID)
	if err != nil || d.Calls != 14 || len(d.Programs) != 2 || d.Programs[0].Name != "curl" || d.Programs[1].Sources[0] != "203.0.113.0/24" {
		t.Errorf("%+v, %v", d, err)
	}
	if namesOf(d.Scopes).String() != "create:users orders:read" || d.Scopes[0].Class != ClassWrite || d.Scopes[1].Calls != 11 {
		t.Errorf("%+v", d.Scopes)
	}
	if _, err := w.Show(w.ctx, "ak_none"); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestObserved(t *testing.T) {
	w := newWorld(t, route(t, "GET /v1/orders/**", "orders:read"))
	k := w.inUse(value)
	w.calls(
		seen(k.ID, "GET", "/v1/users", 3), seen(k.ID, "HEAD", "/v1/users", 2), seen(k.ID, "POST", "/v1/users", 9, status(201)),
		seen(k.ID, "GET", "/v1/admin", 9, status(403)), seen("", "GET", "/v1/probe", 9, kind(traffic.KindNone)), seen(k.ID, "*", "/**", 9),
	)
	got, err := w.Observed(w.ctx)
	if err != nil || fmt.Sprint(got) != "[{POST /v1/users create:users 9} {GET /v1/users read:users 5}]" {
		t.Errorf("%v, %v", got, err)
	}
	if name, ok := ScopeFor("GET", "/v1/users"); !ok || name != "read:users" {
		t.Errorf("%q", name)
	}
}

func TestThePlanComesTrue(t *testing.T) {
	// plan, then do it, then ask policy about the same calls
	w := newWorld(t, route(t, "GET /v1/orders/**", "read:orders"))
	mapped, other := w.inUse(value), w.inUse("live_other_0123456789")
	c := w.register(value)
	w.calls(seen(c.ID, "GET", "/v1/orders", 20, kind(traffic.KindClient)))
	p, err := w.Plan(w.ctx, PlanRequest{Stage: apikey.Retired, IDs: []string{mapped.ID}})
	if err != nil || p.Calls != 1 || p.WouldDeny != 1 || p.Window.To != noon || p.Window.From != noon.Add(-14*24*time.Hour) {
		t.Fatalf("%+v, %v", p, err)
	}
	checkSums(t, p)
	all, err := w.Plan(w.ctx, PlanRequest{Stage: apikey.Retired, Window: Window{From: noon.Add(-60 * 24 * time.Hour)}})
	if err != nil || all.Calls != 42 || all.WouldDeny != 22 || all.Allowed != 20 || all.APIKeys != (PlanAPIKeys{Seen: 2, Refused: 2, Mapped: 1, Unclaimed: 1}) {
		t.Fatalf("%+v, %v", all, err)
	}
	w.move(mapped.ID, apikey.Retired)
	for k, want := range map[string]bool{mapped.ID: false, other.ID: true} {
		if d := w.ruleset().Decide(policy.OfAPIKey(w.key(k)), policy.Call{Method: "GET", Path: "/v1/orders", At: noon}); d.Allow != want {
			t.Errorf("%s: %+v", k, d)
		}
	}
}
