package migration

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

func TestAnAPIKeyIsExchangedForWhatItDid(t *testing.T) {
	w := newWorld(t, route(t, "GET /v1/orders/**", "orders:read"))
	k := w.inUse(value)
	w.calls(seen(k.ID, "POST", "/v1/orders", 1, ago(time.Minute))) // fresh, and the apikey can do it anyway
	a, err := w.Exchange(w.ctx, value, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case a.Scope.String() != "create:orders orders:read":
		t.Errorf("scope %q", a.Scope)
	case a.Life <= 0 || a.Life > 15*time.Minute:
		t.Errorf("lives %v", a.Life)
	case a.APIKeyID != k.ID:
		t.Errorf("falls with %q", a.APIKeyID)
	case len(a.Resources) != 1 || a.Resources[0] != "https://api.example.com":
		t.Errorf("for %q", a.Resources)
	case a.Client == nil || a.Client.ID != k.ID || a.Client.Owner != "Acme":
		t.Errorf("issued to %+v", a.Client)
	}
	if w.clients() != 0 {
		t.Error("a client was made")
	}
}

func TestWhoTheExchangedTokenIsIssuedTo(t *testing.T) {
	w := newWorld(t)
	k := w.inUse(value)
	c := w.register(value)
	issued := func() string {
		t.Helper()
		a, err := w.Exchange(w.ctx, value, nil, "https://b.example.com")
		if err != nil || a.APIKeyID != k.ID || a.Resources[0] != "https://b.example.com" {
			t.Fatalf("%+v, %v", a, err)
		}
		return a.Client.ID
	}
	if id := issued(); id != c.ID { // G-27: one bucket, one audit subject
		t.Errorf("of a mapped apikey to %s, want its client %s", id, c.ID)
	}
	if _, err := w.db.UpdateClient(w.ctx, c.ID, func(c *client.Client) error { c.Status = client.Disabled; return nil }, audit.Event{}); err != nil {
		t.Fatal(err)
	}
	if id := issued(); id != k.ID {
		t.Errorf("of an apikey whose client is disabled to %s", id)
	}
}

func TestExchangeIsRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*world, *apikey.Key)
		value  string
		scope  oauth.Scope
		code   string
		want   string
	}{
		{"checklist_94 an apikey that nobody knows", nil, "made up", nil, oauth.CodeInvalidRequest, "subject_token: this apikey is not known here, or no longer accepted"},
		{"checklist_98 a blocked one, with the same answer", func(w *world, k *apikey.Key) { w.move(k.ID, apikey.Blocked) }, value, nil, oauth.CodeInvalidRequest, "subject_token: this apikey is not known here, or no longer accepted"},
		{"checklist_98 a retired one", func(w *world, k *apikey.Key) { w.moveAll(apikey.Retired) }, value, nil, oauth.CodeInvalidRequest, "retired"},
		{"one that the API has refused", func(w *world, k *apikey.Key) { w.edit(k.ID, func(k *apikey.Key) { k.Suspended = true }) }, value, nil, oauth.CodeInvalidRequest, "refused this apikey"},
		{"checklist_95 more scope than its calls used", nil, value, oauth.Scope{"read:orders", "delete:orders"}, oauth.CodeInvalidScope, "delete:orders"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			k := w.inUse(value)
			if tt.change != nil {
				tt.change(w, k)
			}
			_, err := w.Exchange(w.ctx, tt.value, tt.scope, "")
			var refused *oauth.Error
			if !errors.As(err, &refused) || refused.Code != tt.code || refused.Status != http.StatusBadRequest || !strings.Contains(refused.Description, tt.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestLessScopeMayBeAskedFor(t *testing.T) {
	w := newWorld(t)
	k := w.inUse(value)
	w.calls(seen(k.ID, "POST", "/v1/orders", 1, ago(time.Minute)))
	if a, err := w.Exchange(w.ctx, value, oauth.Scope{"read:orders"}, ""); err != nil || a.Scope.String() != "read:orders" {
		t.Errorf("%q, %v", a.Scope, err)
	}
}
