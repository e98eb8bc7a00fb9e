package app

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/traffic"
)

// TestAFloodOfMadeUpApikeysGrowsNothing sends them through the whole process:
// on routes where strangers are refused and where all are answered, on paths
// that are made up too. Package gateway does the same with a million, without
// the network.
func TestAFloodOfMadeUpApikeysGrowsNothing(t *testing.T) {
	const total = floodSize
	w := newWorld(t, nil)
	real := newKey()
	id := w.learn(real)
	flood := func(from, n int) {
		for i := from; i < from+n; i++ {
			path := [...]string{"/v1/orders", "/open", fmt.Sprintf("/made/up/%d", i), fmt.Sprintf("/open?x=%d", i)}[i%4]
			a, err := w.try("GET", path, "X-API-Key", fmt.Sprintf("sk_live_%020d", i), "User-Agent", fmt.Sprintf("agent-%d/1", i))
			if err != nil || a.status != http.StatusOK && a.status != http.StatusUnauthorized {
				t.Fatalf("%d %s %v", a.status, a.body, err)
			}
		}
	}
	flood(0, total/4)
	before, rowsBefore := w.heap(), w.rows()
	flood(total/4, total)
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	grown, rows := w.heap()-before, w.rows()
	t.Logf("after %d more: the heap grew by %d KiB, traffic has %d rows, %d before", total, grown>>10, rows, rowsBefore)
	if grown > 8<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if rows > rowsBefore+20 { // an hour may have begun
		t.Errorf("traffic has %d rows, %d before", rows, rowsBefore)
	}
	keys, _, err := w.db.APIKeys(t.Context(), apikey.Filter{Limit: 100})
	if err != nil || len(keys) != 1 || keys[0].ID != id {
		t.Errorf("%d apikeys are known, %v", len(keys), err)
	}
	// The count is kept, and the real one is served as ever.
	var calls int64
	err = w.db.Traffic(t.Context(), traffic.Filter{Credential: &traffic.Credential{Kind: traffic.KindUnknown}}, func(r traffic.Row) error {
		calls += r.Calls
		return nil
	})
	if err != nil || calls < int64(total+total/4) {
		t.Errorf("%d calls are counted, %v", calls, err)
	}
	if a := w.call("GET", "/v1/orders", "X-API-Key", real); a.status != http.StatusOK {
		t.Errorf("the real one: %d", a.status)
	}
}

// heap is what is in use.
func (w *world) heap() int64 {
	noRedirects.CloseIdleConnections()
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// rows counts what is stored of traffic.
func (w *world) rows() (n int) {
	w.Helper()
	if err := w.Flush(w.Context()); err != nil {
		w.Fatal(err)
	}
	if err := w.db.Traffic(w.Context(), traffic.Filter{}, func(traffic.Row) error { n++; return nil }); err != nil {
		w.Fatal(err)
	}
	return n
}
