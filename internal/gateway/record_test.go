package gateway

import (
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/apikey"
)

// TestNoRecordHoldsAnAPIKey: G-24 whatever else of a call an apikey is repeated
// in, it is not kept.
func TestNoRecordHoldsAnAPIKey(t *testing.T) {
	const value = "correct-horse-battery-staple"
	w := newWorld(t, nil).serve()
	w.know(value, apikey.Key{Stage: apikey.Observe})
	w.get("/v1/orders", "X-API-Key: "+value, "User-Agent: client/1.0 key="+value)
	w.get("/v1/"+value+"/orders", "X-API-Key: "+value)
	w.get("/v1/orders", "X-API-Key: "+value, "User-Agent: client/1.0 staple")
	rows := w.rows()
	kept := false
	for _, row := range rows {
		if strings.Contains(row.UserAgent+row.Template, value) {
			t.Errorf("kept as %q, %s", row.UserAgent, row.Template)
		}
		kept = kept || row.UserAgent == "client/1.0 staple"
	}
	if len(rows) != 3 || !kept {
		t.Errorf("rows are %+v", rows)
	}
}
