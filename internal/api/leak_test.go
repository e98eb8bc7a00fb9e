package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
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

func TestATrialIsJudgedAsTheCallWouldBe(t *testing.T) {
	w := newWorld(t)
	id := w.apikey("some-key-0123456789-abcd", "", "")
	issuer := token.NewIssuer(issuerURL, w.ring.Current, w.now)
	issued, err := issuer.Issue(token.Authorization{
		Client: &client.Client{ID: id}, Resources: []string{resourceURL}, Life: 15 * time.Minute, APIKeyID: id,
	})
	if err != nil {
		t.Fatal(err)
	}
	trial := map[string]any{"method": "GET", "path": "/v1/orders", "token": issued.Token}
	if d := w.ask(200, "POST", "/routes/test", trial); d.text("decision") != "allow" {
		t.Errorf("an exchanged token: %v", d)
	}
	w.ask(200, "POST", "/stage", map[string]any{"stage": "retired", "all": true})
	if d := w.ask(200, "POST", "/routes/test", trial); d.text("decision") != "deny" || d.text("code") != "invalid_token" {
		t.Errorf("an exchanged token whose apikey is retired: %v", d)
	}
	w.ask(201, "POST", "/clients", map[string]any{"client_id": "billing", "name": "billing", "auth": "client_secret_basic"})
	w.ask(200, "POST", "/clients/billing/disable", nil)
	if d := w.ask(200, "POST", "/routes/test", map[string]any{"method": "GET", "path": "/v1/orders", "client": "billing"}); d.text("decision") != "deny" || d.text("code") != "invalid_token" {
		t.Errorf("a disabled client: %v", d)
	}
}
