package gateway

import (
	"net/http"
	"testing"
)

func TestWhoWantsToUpgradeIsLedToTheIssuer(t *testing.T) {
	const page = "https://auth.example.com/upgrade"
	w := newWorld(t, func(w *world) { w.options.UpgradePage = page }).serve()
	r := w.get("/_offkey/upgrade?api_key=old&next=https://evil.example")
	if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != page || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	if r := w.send(http.MethodPost, "/_offkey/upgrade"); r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", r.StatusCode)
	}
	if r := newWorld(t, nil).serve().get("/_offkey/upgrade"); r.StatusCode != http.StatusNotFound {
		t.Errorf("where there is no page: %d", r.StatusCode)
	}
}
