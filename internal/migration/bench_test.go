package migration

import (
	"fmt"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// busy is a month of a thousand apikeys: 100,000 rows.
func busy(b *testing.B) *world {
	w := newWorld(b, route(b, "GET /v1/orders/**", "read:orders"), route(b, "POST /v1/orders", "create:orders"))
	values := make([]string, 1000)
	for i := range values {
		values[i] = fmt.Sprintf("live_%016d", i)
	}
	w.imported(values...)
	var rows []traffic.Row
	for i, k := range w.keys() {
		for h := range 100 {
			rows = append(rows, seen(k.ID, "GET", []string{"/v1/orders", "/v1/orders/{id}", "/v1/users"}[(i+h)%3], 7, ago(time.Duration(7*h)*time.Hour)))
		}
	}
	for len(rows) > 0 {
		n := min(len(rows), 5000)
		w.calls(rows[:n]...)
		rows = rows[n:]
	}
	return w
}

func BenchmarkRoad(b *testing.B) {
	w := busy(b)
	b.Run("inventory of 1000 apikeys", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if items, _, err := w.Inventory(w.ctx, InventoryFilter{Filter: apikey.Filter{Limit: 1000}}); err != nil || len(items) != 1000 {
				b.Fatal(len(items), err)
			}
		}
	})
	b.Run("plan over 30 days", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if p, err := w.Plan(w.ctx, PlanRequest{Stage: apikey.Retired, Enforce: policy.On, Window: Window{From: noon.Add(-inventoryWindow)}}); err != nil || p.WouldDeny == 0 {
				b.Fatal(p, err)
			}
		}
	})
	b.Run("one apikey", func(b *testing.B) {
		id := w.keys()[500].ID
		b.ReportAllocs()
		for b.Loop() {
			if d, err := w.Show(w.ctx, id); err != nil || d.Calls != 700 {
				b.Fatal(d, err)
			}
		}
	})
	b.Run("status that is watched", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.Status(w.ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPlanRow(b *testing.B) {
	rules := policy.Ruleset{Stage: apikey.Observe}.Build(func() (routes []policy.Route) {
		for i := range 400 {
			routes = append(routes, route(b, fmt.Sprintf("GET /v1/things%d/**", i), "read:things"))
		}
		return routes
	}(), nil)
	f, err := newPlanFold(PlanRequest{Stage: apikey.Retired, Enforce: policy.On}, rules, known())
	if err != nil {
		b.Fatal(err)
	}
	row := seen("ak_1", "GET", "/v1/things399/{id}", 3)
	b.ReportAllocs()
	for b.Loop() {
		f.add(row)
	}
}
