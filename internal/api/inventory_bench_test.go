package api_test

import (
	"fmt"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/traffic"
)

// BenchmarkInventory lists the busiest hundred of ten thousand apikeys, each
// with a day of hourly traffic.
func BenchmarkInventory(b *testing.B) {
	w := newWorld(b)
	var keys []*apikey.Key
	for i := range 10_000 {
		keys = append(keys, &apikey.Key{ID: apikey.NewID(), Fingerprint: w.pepper.Fingerprint(fmt.Sprint(i)), KnownBy: apikey.KnownByImport, Created: w.now()})
	}
	if _, err := w.db.ImportAPIKeys(b.Context(), keys, audit.Event{Actor: "system", Action: "bench"}); err != nil {
		b.Fatal(err)
	}
	for hour := range 24 {
		at := w.now().Add(-time.Duration(hour) * time.Hour).Truncate(time.Hour)
		var rows []traffic.Row
		for _, k := range keys {
			rows = append(rows, traffic.Row{
				Hour: at, Credential: traffic.Credential{Kind: traffic.KindAPIKey, ID: k.ID}, Method: "GET", Template: "/v1/orders", Status: 200,
				UserAgent: "curl/8.7", Source: netip.MustParsePrefix("203.0.113.0/24"), Carrier: "header:X-API-Key", Calls: 1, First: at, Last: at,
			})
		}
		if err := w.db.AddTraffic(b.Context(), rows); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		resp, err := w.http.Get("http://offkey/api/v1/apikeys?sort=calls")
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
