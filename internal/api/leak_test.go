package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

// upgraded is a client that was registered with an apikey.
func (w *world) upgraded(apikeyID string, status client.Status) string {
	w.t.Helper()
	c := &client.Client{
		ID: client.NewID(), Name: "made with it", Status: status, AuthMethod: oauth.AuthPrivateKeyJWT, Audience: client.Strict,
		Grants: []string{oauth.GrantClientCredentials}, APIKeyID: apikeyID, Source: client.SourceUpgrade, Created: w.now(),
	}
	if err := w.db.CreateClient(w.t.Context(), c, audit.Event{Actor: "system", Action: "test"}); err != nil {
		w.t.Fatal(err)
	}
	return c.ID
}

func TestADryRunOfABlockShowsWhatItStops(t *testing.T) {
	w := newWorld(t)
	id, other := w.apikey("some-key-0123456789-abcd", "", ""), w.apikey("some-key-0123456789-efgh", "", "")
	old := w.upgraded(id, client.Active)
	w.pass(48 * time.Hour)
	since, waiting := w.upgraded(id, client.Active), w.upgraded(id, client.Pending)
	w.upgraded(id, client.Disabled)
	w.upgraded(other, client.Active)
	for _, order := range []map[string]string{{"since": "24h"}, {}} {
		would := w.ask(200, "POST", "/apikeys/"+id+"/block?dry_run=true", order)
		if got, want := strings.Join(would.texts("clients_disabled"), " "), since+" "+waiting; order["since"] != "" && got != want {
			t.Errorf("would be disabled %q, want %q", got, want)
		}
		done := w.ask(200, "POST", "/apikeys/"+id+"/block", order)
		for _, list := range []string{"clients_disabled", "clients_kept"} {
			if a, b := strings.Join(would.texts(list), " "), strings.Join(done.texts(list), " "); a != b {
				t.Errorf("%v: the dry run says %s %q, the block %q", order, list, a, b)
			}
		}
	}
	if c := w.stored(old); c.Status != client.Disabled {
		t.Errorf("the oldest client is %s", c.Status)
	}
}

func TestEnablingDoesNotApprove(t *testing.T) {
	w := newWorld(t)
	id := w.pending(client.Pending, "create:orders")
	w.ask(200, "POST", "/clients/"+id+"/disable", nil)
	if d := w.ask(200, "POST", "/clients/"+id+"/enable", nil); d.text("status") != "pending" {
		t.Errorf("a client that waited, was disabled and enabled again is %s", d.text("status"))
	}
	w.ask(200, "POST", "/clients/"+id+"/approve", nil)
	w.ask(200, "POST", "/clients/"+id+"/disable", nil)
	if d := w.ask(200, "POST", "/clients/"+id+"/enable", nil); d.text("status") != "active" {
		t.Errorf("one that was approved is %s", d.text("status"))
	}
}

func TestAClientMadeAgainInheritsNoEnforcement(t *testing.T) {
	w := newWorld(t)
	proposal := map[string]any{"client_id": "legacy", "name": "legacy", "auth": "client_secret_basic"}
	w.ask(201, "POST", "/clients", proposal)
	w.ask(200, "POST", "/routes/enforce", map[string]any{"enforce": "on"})
	w.ask(200, "POST", "/routes/enforce", map[string]any{"enforce": "off", "client": "legacy"})
	w.ask(200, "DELETE", "/clients/legacy", nil)
	if !w.rules().EnforcesEverywhere() {
		t.Error("a client that is gone is still exempt")
	}
	w.ask(201, "POST", "/clients", proposal)
	if e := w.rules().EnforcementOf(nil, "legacy").String(); e != "on" {
		t.Errorf("the next client of that id has enforcement %s", e)
	}
}
