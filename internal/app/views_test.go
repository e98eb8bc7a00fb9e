package app

import (
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
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
