package gateway

import (
	"net/http"
	"testing"
)

func TestACallPasses(t *testing.T) {
	w := newWorld(t, nil).serve()
	got := w.get("/v1/orders/7", "X-API-Key: sk_live_abcdefgh1234")
	if got.StatusCode != http.StatusOK || got.body != "ok" {
		t.Fatalf("status %d, body %q", got.StatusCode, got.body)
	}
}
