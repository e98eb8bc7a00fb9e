package migration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/traffic"
)

// Notifier tells the owner of an apikey what was made with it.
type Notifier interface {
	// UpgradeRegistered is called for every registration by a request from that
	// network, also of clients that wait for approval, before it is answered. It
	// is called again when a client that was never used is registered again: the
	// process may have ended before the owner was told. It must not block for
	// long.
	UpgradeRegistered(ctx context.Context, k *apikey.Key, c *client.Client, network netip.Prefix)
}

// Register makes the client that replaces an apikey, with the apikey as the
// initial access token (RFC 7591 §3). The client has the apikey's owner and the
// scopes that its calls used; what could let a thief in waits for approval.
// Source is where the request came from. Errors are *oauth.Error for the caller.
//
// access is the credential by which the client manages itself from then on (RFC
// 7592 §3). Sending the same public keys again, as after an answer that was lost,
// returns the client that they have made, without it: they are public.
func (r *Road) Register(ctx context.Context, value string, md oauth.ClientMetadata, access client.Credential, source netip.Addr) (*client.Client, error) {
	k, err := r.upgradable(ctx, value)
	if err != nil {
		return nil, err
	}
	c, err := clientFrom(md, k, r.Now())
	if err != nil {
		return nil, err
	}
	c.Credentials = append(c.Credentials, access)
	seen, err := r.evidenceOf(ctx, k)
	if err != nil {
		return nil, err
	}
	if err := r.checkVouched(k, &seen); err != nil {
		return nil, err
	}
	network := traffic.SourceOf(source)
	detail := &registration{APIKeyID: k.ID, Network: network.String()}
	decide := func(existing []*client.Client, k *apikey.Key) error {
		return r.decideRegistration(c, md.Scope, existing, k, seen, detail)
	}
	err = r.Store.RegisterUpgrade(ctx, k.ID, c, true, decide, audit.Event{
		Actor: "apikey:" + k.ID, Action: "client.registered_by_apikey", Object: c.ID, Detail: detail,
	})
	var again *registeredBefore
	switch {
	case errors.As(err, &again):
		if again.client.LastUsed.IsZero() {
			r.tell(ctx, k, again.client, network)
		}
		return again.client, nil
	case err != nil:
		return nil, asOAuth(err)
	}
	r.Log.LogAttrs(ctx, slog.LevelInfo, "a client was registered with an apikey", slog.String("apikey", k.ID), slog.String("owner", k.Owner),
		slog.String("client", c.ID), slog.String("status", string(c.Status)), slog.String("network", detail.Network))
	r.tell(ctx, k, c, network)
	return c, nil
}

func (r *Road) tell(ctx context.Context, k *apikey.Key, c *client.Client, network netip.Prefix) {
	if r.Notifier != nil {
		r.Notifier.UpgradeRegistered(ctx, k, c, network)
	}
}

// registration is what the audit says about one.
type registration struct {
	APIKeyID string        `json:"apikey_id"`
	Network  string        `json:"network"`
	Status   client.Status `json:"status"`
	Scopes   []string      `json:"scopes"`
	Pending  []string      `json:"pending_scopes,omitempty"`
	Reason   string        `json:"reason,omitempty"`
}

// decideRegistration applies the rules to the apikey and the clients as they are
// in the transaction, and completes c.
func (r *Road) decideRegistration(c *client.Client, scope string, existing []*client.Client, k *apikey.Key, seen evidence, detail *registration) error {
	if err := cmp.Or(r.checkStage(k), checkNotSuspended(k)); err != nil {
		return err
	}
	if before := sameKeys(existing, c); before != nil {
		return &registeredBefore{before}
	}
	if err := checkRoomForClients(existing); err != nil {
		return err
	}
	asked, err := askedScope(scope, seen.scopes)
	if err != nil {
		return err
	}
	c.Owner = k.Owner
	c.Scopes, c.PendingScopes, c.PendingReason = splitFresh(asked, seen.scopes, r.Now())
	if reason := waitReason(existing, seen); reason != "" {
		c.Status, c.PendingReason = client.Pending, reason
	}
	detail.Status, detail.Scopes, detail.Pending, detail.Reason = c.Status, c.Scopes, c.PendingScopes, c.PendingReason
	return nil
}

// registeredBefore carries the client that a repeated registration has made.
type registeredBefore struct{ client *client.Client }

func (e *registeredBefore) Error() string { return "registered before as " + e.client.ID }

// evidence is what traffic says about an apikey.
type evidence struct {
	risks    []string // that make it doubtful whose hands it is in
	programs int
	scopes   []ScopeUse
	stale    bool // the API's own word on it is old, since its calls are refused here
}

// evidenceOf reads the traffic of an apikey.
func (r *Road) evidenceOf(ctx context.Context, k *apikey.Key) (evidence, error) {
	u, scopes := newUsage(newSpace()), newScopeFold(r.Rules())
	err := r.Store.Traffic(ctx, traffic.Filter{Credential: &traffic.Credential{Kind: traffic.KindAPIKey, ID: k.ID}}, func(row traffic.Row) error {
		u.add(row)
		scopes.add(row)
		return nil
	})
	if err != nil {
		return evidence{}, oauth.ServerError(fmt.Errorf("read the traffic of %s: %w", k.ID, err))
	}
	uses, err := r.Store.APIKeyUses(ctx, []string{k.ID})
	if err != nil {
		return evidence{}, oauth.ServerError(fmt.Errorf("read the use of %s: %w", k.ID, err))
	}
	risks, _ := risksOf(standing{key: k, usage: u, use: uses[k.ID], callers: u.fold.callers(), now: r.Now()})
	return evidence{risks: doubtful(risks), programs: len(u.programs), scopes: scopes.list()}, nil
}

// upgradable finds the apikey that was presented and checks that it may be
// traded for something that outlives a call.
func (r *Road) upgradable(ctx context.Context, value string) (*apikey.Key, error) {
	if value == "" || len(value) > apikey.MaxLength {
		return nil, errNotAccepted()
	}
	k, err := r.Store.APIKeyByFingerprint(ctx, r.Pepper.Fingerprint(value))
	if r.Recognise != nil && (errors.Is(err, apikey.ErrNotFound) || err == nil && k.KnownBy != apikey.KnownByImport && k.KnownBy != apikey.KnownByUpstream) {
		if k, err = r.Recognise(ctx, value), nil; k == nil {
			err = apikey.ErrNotFound
		}
	}
	if errors.Is(err, apikey.ErrNotFound) {
		return nil, errNotAccepted()
	}
	if err != nil {
		return nil, oauth.ServerError(err)
	}
	return k, cmp.Or(r.checkStage(k), checkNotSuspended(k))
}

// errNotAccepted is the one answer to an apikey that nobody knows and to one
// that is blocked: whoever holds a stolen one does not learn which it is.
func errNotAccepted() *oauth.Error {
	return oauth.InvalidToken("this apikey is not known here, or no longer accepted")
}

// checkStage refuses apikeys whose stage no longer opens the upgrade, so that a
// stolen one does not outlive its end.
func (r *Road) checkStage(k *apikey.Key) error {
	switch stage := r.Rules().StageOf(k, r.Now()); {
	case stage.OpensUpgrade():
		return nil
	case stage == apikey.Retired:
		return oauth.InvalidToken("this apikey is retired: ask the operator of the API for a client")
	}
	return errNotAccepted()
}

// checkNotSuspended refuses an apikey that the API itself has refused.
func checkNotSuspended(k *apikey.Key) error {
	if k.Suspended {
		return oauth.InvalidToken("the API refused this apikey when it was last used: it opens nothing here either")
	}
	return nil
}

// recentEnough is how long ago the API may have accepted a learnt apikey.
const recentEnough = 10 * time.Minute

// checkVouched wants the API's own word that a learnt apikey still holds: nobody
// told us to trust it, and the API may have revoked it since. Where the stage
// keeps its calls from the API there can be no such word, and what the apikey
// makes waits for approval instead.
func (r *Road) checkVouched(k *apikey.Key, seen *evidence) error {
	if k.KnownBy != apikey.KnownByUpstream || r.Now().Sub(r.Vouched(k.ID)) <= recentEnough {
		return nil
	}
	if seen.stale = !r.Rules().StageOf(k, r.Now()).Passes(); seen.stale {
		return nil
	}
	return oauth.InvalidToken("call the API with this apikey first, then register within 10 minutes: no success was seen lately")
}

// maxClientsPerAPIKey bounds what one apikey can fill the store with.
const maxClientsPerAPIKey = 20

// checkRoomForClients refuses an apikey that has made too many clients.
func checkRoomForClients(existing []*client.Client) error {
	if len(existing) < maxClientsPerAPIKey {
		return nil
	}
	e := oauth.AccessDenied(fmt.Sprintf("%d clients were registered with this apikey: ask the operator of the API to delete some", len(existing)))
	e.Status = http.StatusForbidden
	return e
}

// sameKeys finds the client that was registered with exactly these public keys.
func sameKeys(existing []*client.Client, c *client.Client) *client.Client {
	thumbprints := func(c *client.Client) (out []string) {
		for _, cr := range c.Credentials {
			if cr.Kind == client.KindJWK && cr.Key != nil {
				out = append(out, cr.Key.Thumbprint())
			}
		}
		slices.Sort(out)
		return out
	}
	wanted := thumbprints(c)
	if len(wanted) == 0 {
		return nil
	}
	for _, e := range existing {
		if e.Status != client.Disabled && slices.Equal(thumbprints(e), wanted) {
			return e
		}
	}
	return nil
}

// askedScope is what is asked for: all that was used, unless scope says less or
// more.
func askedScope(scope string, used []ScopeUse) (oauth.Scope, error) {
	if scope == "" {
		return namesOf(used), nil
	}
	asked, err := oauth.ParseScope(scope)
	if err != nil {
		return nil, oauth.InvalidClientMetadata("scope is not a list of scope names").WithCause(err)
	}
	return asked, nil
}

// freshness is how long an apikey must have used a scope that writes before it
// is granted without asking.
const freshness = 7 * 24 * time.Hour

// splitFresh grants the scopes that the apikey has used. Those that write or
// administer and are new to it, and those that it never used, wait: a thief
// could else make the use himself. So do those that nobody saw the API allow.
func splitFresh(asked oauth.Scope, used []ScopeUse, now time.Time) (granted, pending oauth.Scope, reason string) {
	known := make(map[string]ScopeUse, len(used))
	for _, use := range used {
		known[use.Name] = use
	}
	var fresh, unused, unseen oauth.Scope
	for _, name := range asked {
		use, ok := known[name]
		switch {
		case !ok:
			unused = append(unused, name)
		case use.Unseen:
			unseen = append(unseen, name)
		case use.Class != ClassRead && now.Sub(use.FirstSeen) < freshness:
			fresh = append(fresh, name)
		default:
			granted = append(granted, name)
		}
	}
	var reasons []string
	if len(fresh) > 0 {
		reasons = append(reasons, fmt.Sprintf("used for less than 7 days and waiting for approval: %s", fresh))
	}
	if len(unused) > 0 {
		reasons = append(reasons, fmt.Sprintf("never used by this apikey and waiting for approval: %s", unused))
	}
	if len(unseen) > 0 {
		reasons = append(reasons, fmt.Sprintf("asked about by a proxy, so that what the API answered is not known, and waiting for approval: %s", unseen))
	}
	return granted, fresh.Union(unused).Union(unseen), strings.Join(reasons, "; ")
}

// waitReason is why the whole client waits for approval, or "".
func waitReason(existing []*client.Client, seen evidence) string {
	if len(seen.risks) > 0 {
		return fmt.Sprintf("the apikey may be in several hands (%s), so an operator approves its clients", strings.Join(seen.risks, ", "))
	}
	if seen.stale {
		return "calls with this apikey are refused here, so the API has not confirmed it lately, and an operator approves its clients"
	}
	if n := len(existing); n >= max(seen.programs, 1) {
		return fmt.Sprintf("a client for each program seen with this apikey is registered already (%d), so an operator approves more", n)
	}
	return ""
}

// asOAuth makes an *oauth.Error of what storage has failed with.
func asOAuth(err error) error {
	var known *oauth.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, apikey.ErrNotFound): // deleted meanwhile
		return errNotAccepted()
	}
	return oauth.ServerError(err)
}
