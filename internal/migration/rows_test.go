package migration

import (
	"net/netip"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// noon is a Monday in the middle of a quarter.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// seen is n calls with an apikey, answered with 200 an hour ago. Each change
// makes them something else.
func seen(id, method, template string, n int64, changes ...func(*traffic.Row)) traffic.Row {
	at := noon.Add(-time.Hour)
	r := traffic.Row{
		Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: id}, Method: method, Template: template, Status: 200,
		UserAgent: "curl/8.7", Source: netip.MustParsePrefix("203.0.113.0/24"), Carrier: "header:X-API-Key", Calls: n, First: at, Last: at,
	}
	for _, change := range changes {
		change(&r)
	}
	r.Hour = r.Last.Truncate(time.Hour)
	return r
}

func at(when time.Time) func(*traffic.Row) {
	return func(r *traffic.Row) { r.First, r.Last = when, when }
}
func ago(d time.Duration) func(*traffic.Row) { return at(noon.Add(-d)) }
func status(code int) func(*traffic.Row)     { return func(r *traffic.Row) { r.Status = code } }
func agent(name string) func(*traffic.Row)   { return func(r *traffic.Row) { r.UserAgent = name } }
func carrier(name string) func(*traffic.Row) { return func(r *traffic.Row) { r.Carrier = name } }
func outcome(code string) func(*traffic.Row) { return func(r *traffic.Row) { r.Outcome = code } }
func from(network string) func(*traffic.Row) {
	return func(r *traffic.Row) { r.Source = netip.MustParsePrefix(network) }
}
func kind(k string) func(*traffic.Row) {
	return func(r *traffic.Row) {
		r.Credential.Kind = k
		if k == traffic.KindNone || k == traffic.KindUnknown {
			r.Credential.ID, r.UserAgent, r.Source = "", "", netip.Prefix{}
		}
	}
}

func route(t testing.TB, match string, scopes ...string) policy.Route {
	t.Helper()
	r, err := policy.ParseRoute(match)
	if err != nil {
		t.Fatal(err)
	}
	r.Scopes = oauth.Scope(scopes)
	return r
}

const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
	python  = "python-requests/2.32.3"
)
