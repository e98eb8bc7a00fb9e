package migration

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

func TestApprove(t *testing.T) {
	doubt := func(w *world) *client.Client { // the whole client waits, and a scope
		k := w.inUse(value)
		w.calls(seen(k.ID, "POST", "/v1/orders", 1, ago(time.Hour), carrier("query:key")), seen(k.ID, "DELETE", "/v1/orders", 1, ago(time.Hour)))
		return w.register(value)
	}
	tests := []struct {
		name   string
		scopes oauth.Scope
		want   string // scopes afterwards
		err    error
	}{
		{"all that waits", nil, "read:orders create:orders delete:orders", nil},
		{"some of it", oauth.Scope{"create:orders"}, "read:orders create:orders", nil},
		{"the client only", oauth.Scope{}, "read:orders", nil},
		{"what was not asked for", oauth.Scope{"admin:orders"}, "", ErrNotAsked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := doubt(w)
			if c.Status != client.Pending || c.Scopes.String() != "read:orders" || c.PendingScopes.String() != "create:orders delete:orders" {
				t.Fatalf("%+v", c)
			}
			got, err := w.Approve(w.ctx, c.ID, tt.scopes, "os:0")
			if tt.err != nil {
				if !errors.Is(err, tt.err) || w.key(c.APIKeyID).ClientID != "" {
					t.Errorf("error %v, mapped to %q", err, w.key(c.APIKeyID).ClientID)
				}
				return
			}
			if err != nil || got.Status != client.Active || got.Scopes.String() != tt.want || len(got.PendingScopes) != 0 || got.PendingReason != "" {
				t.Errorf("%+v, %v", got, err)
			}
			if id := w.key(c.APIKeyID).ClientID; id != c.ID {
				t.Errorf("the apikey is mapped to %q", id)
			}
			if a := w.audited(); !slices.Contains(a, "client.approved") || !slices.Contains(a, "apikey.mapped") {
				t.Errorf("audited %v", a)
			}
			if _, err := w.Approve(w.ctx, c.ID, nil, "os:0"); !errors.Is(err, ErrNothingPending) {
				t.Errorf("approved twice: %v", err)
			}
		})
	}
}

func TestApprovingASecondClientLeavesTheAPIKeyWithTheFirst(t *testing.T) {
	w := newWorld(t)
	k := w.inUse(value)
	first, second := w.register(value), w.register(value)
	if _, err := w.Approve(w.ctx, second.ID, nil, "os:0"); err != nil {
		t.Fatal(err)
	}
	if id := w.key(k.ID).ClientID; id != first.ID {
		t.Errorf("mapped to %s", id)
	}
}

func TestADisabledClientIsNotApproved(t *testing.T) {
	w := newWorld(t)
	w.inUse(value)
	w.register(value)
	c := w.register(value)
	if _, err := w.db.UpdateClient(w.ctx, c.ID, func(c *client.Client) error { c.Status = client.Disabled; return nil }, audit.Event{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Approve(w.ctx, c.ID, nil, "os:0"); !errors.Is(err, ErrNothingPending) {
		t.Errorf("error %v", err)
	}
	if _, err := w.Approve(w.ctx, "cl_none", nil, "os:0"); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}
