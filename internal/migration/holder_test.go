package migration

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
)

func TestAHolderIsToldOfTheirProgramAndNotWhoseTheAPIKeyIs(t *testing.T) {
	w := newWorld(t, route(t, "GET /v1/orders/**", "read:orders"))
	k := w.inUse(value)
	w.move(k.ID, apikey.Warn)
	h, err := w.HeldBy(w.ctx, value)
	if err != nil {
		t.Fatal(err)
	}
	if h.Last4 != "cdef" || h.Stage != apikey.Warn || h.Since == nil || !h.Upgrade || h.Reason != "" || h.Scopes.String() != "read:orders" || h.Programs != 1 || h.Clients != 0 {
		t.Errorf("%+v", h)
	}
	raw, err := json.Marshal(h)
	if err != nil || strings.Contains(string(raw), "Acme") || strings.Contains(string(raw), value) || strings.Contains(string(raw), k.ID) {
		t.Errorf("a finder learns too much: %s %v", raw, err)
	}
}

func TestWhatAHolderIsToldIsWhatRegisteringDoes(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world, *apikey.Key)
		can    bool
		reason string
	}{
		{"a call lately", func(*world, *apikey.Key) {}, true, ""},
		{"no call for ten minutes", func(w *world, _ *apikey.Key) { w.pass(11 * time.Minute) }, false, "call the API with this apikey first"},
		{"a client is there already", func(w *world, _ *apikey.Key) { w.register(value) }, true, "a client for each program"},
		{"in the query", func(w *world, k *apikey.Key) {
			w.calls(seen(k.ID, "GET", "/v1/orders", 1, at(w.now()), carrier("query:api_key")))
		}, true, "may be in several hands"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, route(t, "GET /v1/orders/**", "read:orders"))
			k := w.inUse(value)
			tt.change(w, k)
			h, err := w.HeldBy(w.ctx, value)
			if err != nil || h.Upgrade != tt.can || !strings.Contains(h.Reason, tt.reason) || tt.reason == "" && h.Reason != "" {
				t.Errorf("%+v, %v", h, err)
			}
		})
	}
}

func TestUnknownAndBlockedAreOneAnswerToAHolder(t *testing.T) {
	w := newWorld(t)
	k := w.inUse(value)
	w.move(k.ID, apikey.Blocked)
	_, blocked := w.HeldBy(w.ctx, value)
	_, unknown := w.HeldBy(w.ctx, "made up")
	var one, other *oauth.Error
	if !errors.As(blocked, &one) || !errors.As(unknown, &other) || *one != *other {
		t.Errorf("%v, %v", blocked, unknown)
	}
}
