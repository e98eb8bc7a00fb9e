package api_test

import (
	"testing"
	"time"
)

func TestOrdersAboutACampaignThatAreRefused(t *testing.T) {
	w := newWorld(t)
	w.apikey("some-key-0123456789-abcd", "nightly", "Acme")
	w.ask(200, "PUT", "/cohorts/acme", map[string]any{"owners": []string{"Acme"}})
	for name, tt := range map[string]struct {
		status       int
		method, path string
		body         any
	}{
		"a cohort of nobody":              {400, "PUT", "/cohorts/x", map[string]any{}},
		"a cohort with a bad name":        {400, "PUT", "/cohorts/A%20b", map[string]any{"share": "5%"}},
		"a cohort of a bad share":         {400, "PUT", "/cohorts/x", map[string]any{"share": "5"}},
		"a cohort of a bad route":         {400, "PUT", "/cohorts/x", map[string]any{"routes": []string{"get /x"}}},
		"a cohort of no apikey":           {404, "PUT", "/cohorts/x", map[string]any{"apikeys": []string{"nobody"}}},
		"a cohort before none":            {404, "PUT", "/cohorts/x", map[string]any{"share": "5%", "before": "none"}},
		"an owner of two lines":           {400, "PUT", "/cohorts/x", map[string]any{"owners": []string{"a\nb"}}},
		"no such cohort":                  {404, "DELETE", "/cohorts/none", nil},
		"a stage for no such cohort":      {404, "POST", "/stage", map[string]any{"stage": "warn", "cohort": "none"}},
		"a stage for a cohort and all":    {400, "POST", "/stage", map[string]any{"stage": "warn", "cohort": "acme", "all": true}},
		"a stage in the past":             {400, "POST", "/stage", map[string]any{"stage": "warn", "cohort": "acme", "at": "2020-01-01"}},
		"a stage at no date":              {400, "POST", "/stage", map[string]any{"stage": "warn", "cohort": "acme", "at": "soon"}},
		"a plan for no such cohort":       {404, "POST", "/plan", map[string]any{"stage": "warn", "cohort": "none"}},
		"a plan about nothing":            {400, "POST", "/plan", map[string]any{}},
		"a plan for apikeys and a share":  {400, "POST", "/plan", map[string]any{"stage": "warn", "apikeys": []string{"nightly"}, "share": "5%"}},
		"a plan of routes that are none":  {400, "POST", "/plan", map[string]any{"stage": "warn", "routes": []any{map[string]any{"match": "get /x"}}}},
		"a brownout of nobody":            {409, "POST", "/brownouts", map[string]any{"for": "10m"}},
		"a brownout without a length":     {400, "POST", "/brownouts", map[string]any{}},
		"a brownout of a month":           {400, "POST", "/brownouts", map[string]any{"for": "30d"}},
		"a brownout in the past":          {400, "POST", "/brownouts", map[string]any{"for": "10m", "at": "2020-01-01"}},
		"no such brownout":                {404, "POST", "/brownouts/cancel", map[string]any{"id": "br_none"}},
		"a brownout and all":              {400, "POST", "/brownouts/cancel", map[string]any{"id": "br_none", "all": true}},
		"no such step":                    {404, "DELETE", "/calendar/steps/st_none", nil},
		"going on without a pause":        {409, "POST", "/calendar/resume", nil},
		"a pause back to no time":         {400, "POST", "/calendar/pause", map[string]any{"back": "long"}},
		"a freeze from no date":           {400, "PUT", "/calendar/freeze", map[string]any{"from": "soon"}},
		"a guard that is none":            {400, "PUT", "/calendar/guards", map[string]any{"stop_if": []string{"too many"}}},
		"an extension of two years":       {400, "PUT", "/calendar/self-extension", map[string]any{"length": "731d"}},
		"widening nobody":                 {404, "POST", "/clients/nobody/widen", map[string]any{"for": "1d", "reason": "x"}},
		"members that are not known here": {400, "POST", "/brownouts", map[string]any{"for": "10m", "until": "then"}},
	} {
		w.run(t, name, func(t *testing.T) { w.refused(tt.status, tt.method, tt.path, tt.body) })
	}
}

func TestACampaignByOrders(t *testing.T) {
	w := newWorld(t)
	id := w.apikey("some-key-0123456789-abcd", "nightly", "Acme")
	w.calls(id, 12, "GET", "/v1/orders", "header:X-API-Key", time.Hour)
	w.unchanged(func() {
		if d := w.ask(200, "PUT", "/cohorts/acme?dry_run=true", map[string]any{"owners": []string{"Acme"}}); d.number("apikeys") != 1 {
			t.Errorf("%v", d)
		}
	})
	w.ask(200, "PUT", "/cohorts/acme", map[string]any{"owners": []string{"Acme"}})
	w.ask(200, "POST", "/stage", map[string]any{"stage": "brownout", "cohort": "acme"})
	w.unchanged(func() {
		if d := w.ask(200, "POST", "/brownouts?dry_run=true", map[string]any{"cohort": "acme", "for": "10m"}); d.number("apikeys") != 1 || d.number("expected") != 1 {
			t.Errorf("%v", d)
		}
		w.ask(200, "POST", "/calendar/pause?dry_run=true", map[string]any{"back": "1h"})
	})
	w.ask(200, "POST", "/brownouts", map[string]any{"cohort": "acme", "for": "10m", "reason": "rehearsal"})
	w.audited("brownout.began")
	if d := w.ask(200, "GET", "/apikeys/"+id, nil); d.text("stage") != "brownout" || d.text("stage_by") != "cohort" || d.text("cohort") != "acme" {
		t.Errorf("%v", d)
	}
	w.clock.Add(int64(time.Minute))
	w.ask(200, "POST", "/calendar/pause", map[string]any{"back": "1h", "reason": "support"})
	w.audited("campaign.paused")
	if d := w.ask(200, "GET", "/apikeys/"+id, nil); d.text("stage") != "observe" {
		t.Errorf("%v", d)
	}
	w.ask(200, "POST", "/calendar/resume", nil)
	w.audited("campaign.resumed")
	w.ask(200, "POST", "/plan", map[string]any{"at": "2027-05-01", "routes": []any{map[string]any{"match": "GET /v1/orders", "scopes": []string{"read:orders"}}}})
}
