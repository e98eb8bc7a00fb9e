package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/traffic"
)

// keyedAPI lets calls through that bring the right apikey.
func keyedAPI(right string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-API-Key") != right {
			rw.WriteHeader(http.StatusUnauthorized)
		}
	}
}

// TestCallsBeforeLearningAreCountedUnderTheAPIKey: an apikey is known only after
// the API was asked about its route, and what it did until then is its own.
func TestCallsBeforeLearningAreCountedUnderTheAPIKey(t *testing.T) {
	const right = "right-0123456789"
	w := newWorld(t, func(w *world) {
		w.handle(keyedAPI(right))
		w.options.Learning = Learning{Learner: w.learnt, Probe: true}
	}).serve()
	go w.gateway.Run(t.Context())
	for range 3 {
		w.get("/v1/orders/7", "X-API-Key: "+right)
	}
	w.get("/v1/orders/7", "X-API-Key: junk-0123456789")
	waitFor(t, func() bool { return w.learnt.count() == 1 })
	w.get("/v1/orders/8", "X-API-Key: "+right)
	calls := map[string]int64{}
	waitFor(t, func() bool {
		for _, row := range w.rows() {
			calls[row.Credential.Kind] += row.Calls
		}
		return calls[traffic.KindAPIKey] == 4
	})
	if calls[traffic.KindUnknown] != 1 || len(calls) != 2 {
		t.Fatalf("counted %v, want 4 of the apikey and 1 unknown", calls)
	}
}

// TestAPIKeySeenFirstWhereTheAPICannotBeAsked: a POST is never repeated, so the
// apikey's next GET takes its place.
func TestAPIKeySeenFirstWhereTheAPICannotBeAsked(t *testing.T) {
	const right = "right-0123456789"
	w := newWorld(t, func(w *world) {
		w.handle(keyedAPI(right))
		w.options.Learning = Learning{Learner: w.learnt, Probe: true}
	}).serve()
	go w.gateway.Run(t.Context())
	w.send("POST", "/v1/orders", "X-API-Key: "+right, "Content-Length: 0")
	w.get("/v1/orders/7", "X-API-Key: "+right)
	waitFor(t, func() bool { return w.learnt.count() == 1 })
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatal("waited for ten seconds")
}
