package traffic

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestAnObservationIsWrittenAsItIsRead(t *testing.T) {
	for _, want := range []Observation{
		{At: time.Date(2026, 11, 23, 12, 0, 0, 5000, time.UTC), Credential: Credential{KindAPIKey, "ak_1"}, Method: "GET", Path: "/v1/orders/7", QueryNames: []string{"a", "b[]"},
			Status: 200, UserAgent: `cu"rl\ é` + "\x01", Source: netip.MustParsePrefix("203.0.113.0/24"), Carrier: "header:X-API-Key", Outcome: "shadow:x", Browser: true, Plain: true},
		{At: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Credential: Credential{Kind: KindNone}, Method: "POST", Path: "/", Status: 404},
	} {
		got, err := parseObservation(want.AppendJSON(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAWrittenPathHoldsNoSecret(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/orders/7":                                                  "/v1/orders/7",
		"/v1/orders/1795437005000123456":                                "/v1/orders/1795437005000123456",
		"/v1/orders/0198c0de-0000-7000-8000-0123456789ab":               "/v1/orders/0198c0de-0000-7000-8000-0123456789ab",
		"/reset/kJ8sPq2LxZ91mNb4/now":                                   "/reset/{id}/now",
		"/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc/":              "/reset/{id}/",
		"/v1/customer-notification-settings/email-delivery-preferences": "/v1/customer-notification-settings/email-delivery-preferences",
		"/" + strings.Repeat("a", 50) + "/" + strings.Repeat("b", 50):   "/{id}/{id}",
		"//":                             "//",
		"/" + strings.Repeat("a/", 2000): "/" + strings.Repeat("a/", 1023) + "a",
	} {
		if got := withoutDrawn(path); got != want {
			t.Errorf("%s is written as %s, want %s", path, got, want)
		}
	}
}
