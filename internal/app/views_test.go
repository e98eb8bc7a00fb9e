package app

import (
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/token"
)

func TestARevocationHoldsForWhatWasIssuedUntilItIsInForce(t *testing.T) {
	p := runProcess(t, "")
	p.makeClient("billing")
	// The commit takes two seconds, and until then requests find the client
	// active.
	var during time.Time
	if _, err := p.db.UpdateClient(t.Context(), "billing", func(c *client.Client) error {
		c.Status = client.Disabled
		p.pass(time.Second)
		during = p.Now()
		p.pass(time.Second)
		return nil
	}, audit.Event{Actor: "os:0", Action: "client.disabled", Object: "billing"}); err != nil {
		t.Fatal(err)
	}
	if !p.views.revocations.Revoked(token.Claims{ClientID: "billing", IssuedAt: during.Truncate(time.Second)}) {
		t.Error("a token that was issued while the client was being disabled is good")
	}
	p.pass(time.Hour)
	if p.views.revocations.Revoked(token.Claims{ClientID: "billing", IssuedAt: p.Now()}) {
		t.Error("a token of an hour later is refused")
	}
}

func TestAnExchangedTokenIsIntrospectedByTheStageOfItsApikey(t *testing.T) {
	p := runProcess(t, "")
	k := &apikey.Key{ID: "ak_1", Fingerprint: p.data.pepper.Fingerprint("old-key"), KnownBy: apikey.KnownByImport, Created: p.Now()}
	if _, err := p.db.ImportAPIKeys(t.Context(), []*apikey.Key{k}, audit.Event{}); err != nil {
		t.Fatal(err)
	}
	if !p.views.opensUpgrade("ak_1") || p.views.opensUpgrade("ak_2") {
		t.Error("an apikey that is known opens it, one that is gone does not")
	}
	for _, stage := range []apikey.Stage{apikey.Retired, apikey.UpgradeOnly} {
		if _, err := p.road.SetStage(t.Context(), migration.StageChange{Stage: stage, All: true}); err != nil {
			t.Fatal(err)
		}
		if got, want := p.views.opensUpgrade("ak_1"), stage.OpensUpgrade(); got != want {
			t.Errorf("stage of all is %v: %v", stage, got)
		}
	}
	if err := (&learner{p.db}).Suspend(t.Context(), "ak_1", true); err != nil {
		t.Fatal(err)
	}
	if p.views.opensUpgrade("ak_1") {
		t.Error("one that the API refuses opens it")
	}
}
