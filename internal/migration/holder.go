package migration

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
)

// Holding is what whoever holds an apikey is told of it: what concerns their own
// program, and not whose the apikey is. Who found it somewhere learns no name.
type Holding struct {
	Last4 string       `json:"last4"`
	Stage apikey.Stage `json:"stage"`
	Since *time.Time   `json:"since,omitempty"` // when the stage began
	Until *time.Time   `json:"until,omitempty"` // when the apikey stops working, where that is known
	// Upgrade says whether the apikey can be traded for a client now; Reason why
	// not, or what will then wait for the API's operator.
	Upgrade bool   `json:"upgrade"`
	Reason  string `json:"reason,omitempty"`
	// Scopes are what its client would have at once, PendingScopes what an
	// operator would have to approve first.
	Scopes        oauth.Scope `json:"scopes"`
	PendingScopes oauth.Scope `json:"pending_scopes,omitempty"`
	Programs      int         `json:"programs"` // seen with it
	Clients       int         `json:"clients"`  // that stand for it already
}

// HeldBy answers whoever holds an apikey. An unknown apikey and a blocked one
// are one error, an *oauth.Error as Register has it.
func (r *Road) HeldBy(ctx context.Context, value string) (Holding, error) {
	k, err := r.upgradable(ctx, value)
	if err != nil {
		return Holding{}, err
	}
	seen, err := r.evidenceOf(ctx, k)
	if err != nil {
		return Holding{}, err
	}
	existing, err := r.Store.ClientsOfAPIKey(ctx, k.ID)
	if err != nil {
		return Holding{}, oauth.ServerError(err)
	}
	standing := r.Rules().StandingOf(k, r.Now())
	h := Holding{Last4: k.Last4, Stage: standing.Stage, Programs: seen.programs, Clients: len(existing), Until: instant(standing.Sunset), Since: instant(standing.Since)}
	refused := cmp.Or(r.checkVouched(k, &seen), checkRoomForClients(existing))
	h.Scopes, h.PendingScopes, h.Reason = splitFresh(namesOf(seen.scopes), seen.scopes, r.Now())
	h.Reason = cmp.Or(why(refused), waitReason(existing, seen), h.Reason)
	h.Upgrade = refused == nil
	return h, nil
}

// why is what a refusal says to the developer of the caller.
func why(refused error) string {
	var e *oauth.Error
	if errors.As(refused, &e) {
		return e.Description
	}
	return ""
}
