package migration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/traffic"
)

// EvidenceStore is what evidence asks of storage beside the rest.
type EvidenceStore interface {
	// SealedAPIKeys is how many sealed copies there are of each apikey that has
	// any.
	SealedAPIKeys(ctx context.Context) (map[string]int, error)
	AuditEntries(ctx context.Context, afterSeq int64, limit int) ([]audit.Entry, error)
	// VerifyAudit checks the whole chain.
	VerifyAudit(ctx context.Context) (entries int64, head audit.Head, err error)
}

// Evidence is what there is to show about the retirement of apikeys at a moment.
type Evidence struct {
	Made       time.Time       `json:"made"`
	AsOf       time.Time       `json:"as_of"`
	Issuer     string          `json:"issuer"`
	Resource   string          `json:"resource"`
	Version    string          `json:"version"`
	Summary    EvidenceSummary `json:"summary"`
	APIKeys    []EvidenceKey   `json:"apikeys"`
	Exceptions []Exception     `json:"exceptions"`
	Clients    []EvidenceUse   `json:"clients"`
	Access     []RouteAccess   `json:"access"`
	Leaks      []LeakReport    `json:"leaks"`
	Actions    []AdminAction   `json:"actions"`
	BurnDown   BurnDown        `json:"burn_down"`
	Audit      AuditState      `json:"audit"`
	Limits     []string        `json:"limits"` // what this does not show
}

// EvidenceSummary are the figures that are asked for first.
type EvidenceSummary struct {
	APIKeys    int `json:"apikeys"`
	Accepted   int `json:"accepted"`    // calls with it pass, or a sealed copy of it is alive
	Refused    int `json:"refused"`     // at offkey; what the API itself does is not known
	Revoked    int `json:"revoked"`     // the API itself refuses it, as its answers showed
	Sealed     int `json:"sealed"`      // of Accepted, those that live as a sealed copy alone
	Exceptions int `json:"exceptions"`  // all have an owner and an end
	OpenLeaks  int `json:"open_leaks"`  // that are not closed
	LastCalled int `json:"called_last"` // apikeys that called in the 30 days before
}

// The states of an apikey in evidence.
const (
	StateAccepted = "accepted"
	StateSealed   = "refused, a sealed copy is alive"
	StateRefused  = "refused at offkey"
	StateRevoked  = "known revoked at the API"
)

// EvidenceKey is one apikey.
type EvidenceKey struct {
	ID       string       `json:"id"`
	Last4    string       `json:"last4"`
	Label    string       `json:"label"`
	Owner    string       `json:"owner"`
	State    string       `json:"state"`
	Stage    apikey.Stage `json:"stage"`
	KnownBy  string       `json:"known_by"`
	Created  time.Time    `json:"created"`
	LastUsed *time.Time   `json:"last_used"`
	Calls    int64        `json:"calls"` // in the 30 days before
	ClientID string       `json:"client_id"`
	Until    *time.Time   `json:"until"`
	Sealed   int          `json:"sealed"`
}

// EvidenceUse is one client.
type EvidenceUse struct {
	ID       string        `json:"client_id"`
	Name     string        `json:"name"`
	Owner    string        `json:"owner"`
	Auth     string        `json:"auth"`
	Status   client.Status `json:"status"`
	Scopes   string        `json:"scopes"`
	APIKey   string        `json:"apikey_id"`
	LastUsed *time.Time    `json:"last_used"`
	Calls    int64         `json:"calls"` // in the 30 days before
}

// RouteAccess is who called an operation in the 30 days before.
type RouteAccess struct {
	Method   string `json:"method"`
	Template string `json:"template"`
	APIKeys  int    `json:"apikeys"` // different ones
	Clients  int    `json:"clients"`
	ByAPIKey int64  `json:"calls_by_apikey"`
	ByToken  int64  `json:"calls_by_token"`
	Neither  int64  `json:"calls_by_neither"`
	Refused  int64  `json:"refused"` // of all, by offkey
}

// AdminAction is a change that somebody made, not the process by itself.
type AdminAction struct {
	Seq    int64           `json:"seq"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor"`
	Action string          `json:"action"`
	Object string          `json:"object"`
	Detail json.RawMessage `json:"detail,omitempty"`
}

// AuditState is the log that stands behind it.
type AuditState struct {
	Entries int64  `json:"entries"`
	OK      bool   `json:"ok"`
	Head    int64  `json:"head_seq"`
	Hash    string `json:"head_hash"`
	Problem string `json:"problem,omitempty"`
}

// Bounds of evidence. What is beyond is said to be left out.
const (
	maxActions    = 5000
	maxAccess     = 2000
	maxEvidence   = 100_000 // apikeys
	evidenceDays  = 90      // of the burn-down
	evidenceLeaks = 1000
)

// Evidence gathers what there is to show as of a moment; zero is now.
func (r *Road) Evidence(ctx context.Context, asOf time.Time) (Evidence, error) {
	now := r.Now()
	past := !asOf.IsZero() && asOf.Before(now)
	if !past {
		asOf = now
	}
	e := Evidence{
		Made: now.UTC(), AsOf: asOf.UTC(), Resource: r.Resource, APIKeys: []EvidenceKey{}, Clients: []EvidenceUse{}, Access: []RouteAccess{},
		Actions: []AdminAction{}, Exceptions: []Exception{}, Limits: []string{"what the API itself does with apikeys that offkey refuses is known from its answers alone, and only while calls reach it"},
	}
	log, err := r.readLog(ctx, &e)
	if err != nil {
		return Evidence{}, err
	}
	calls, err := r.accessOf(ctx, &e)
	if err != nil {
		return Evidence{}, err
	}
	if err := r.keysOf(ctx, &e, log, calls, past); err != nil {
		return Evidence{}, err
	}
	if err := r.clientsOf(ctx, &e, calls); err != nil {
		return Evidence{}, err
	}
	if err := r.leaksOf(ctx, &e); err != nil {
		return Evidence{}, err
	}
	days, err := r.Store.DailyCalls(ctx, asOf.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-evidenceDays), asOf)
	if err != nil {
		return Evidence{}, err
	}
	e.BurnDown = burnDownOf(days, asOf, evidenceDays)
	e.BurnDown.Forecast = forecastOf(countsOf(e.BurnDown, 30), asOf)
	return e, nil
}

// countsOf are the last days of a burn-down as a forecast takes them.
func countsOf(b BurnDown, n int) []CallCount {
	counts := make([]CallCount, 0, n)
	for _, d := range b.Days[max(0, len(b.Days)-n):] {
		var c CallCount
		for i, kind := range b.Kinds {
			switch {
			case strings.HasPrefix(kind, "apikey:"):
				c.APIKey += d.Calls[i]
			case strings.HasPrefix(kind, "client:"):
				c.Token += d.Calls[i]
			default:
				c.Other += d.Calls[i]
			}
		}
		counts = append(counts, c)
	}
	return counts
}

// accessOf counts the calls of the 30 days before, by operation and by
// credential.
func (r *Road) accessOf(ctx context.Context, e *Evidence) (map[traffic.Credential]int64, error) {
	from := e.AsOf.Add(-inventoryWindow)
	calls := map[traffic.Credential]int64{}
	access := map[operation]*RouteAccess{}
	callers := map[operation]map[traffic.Credential]bool{}
	beyond := false
	if err := r.Store.Traffic(ctx, traffic.Filter{From: from, To: e.AsOf}, func(row traffic.Row) error {
		calls[row.Credential] += row.Calls
		op := operation{row.Method, row.Template}
		a := access[op]
		if a == nil {
			if len(access) >= maxAccess {
				beyond = true
				return nil
			}
			a = &RouteAccess{Method: row.Method, Template: row.Template}
			access[op], callers[op] = a, map[traffic.Credential]bool{}
		}
		if row.Denied() {
			a.Refused += row.Calls
		}
		first := row.Credential.Known() && !callers[op][row.Credential]
		callers[op][row.Credential] = true
		switch row.Credential.Kind {
		case traffic.KindAPIKey:
			a.ByAPIKey += row.Calls
			if first {
				a.APIKeys++
			}
		case traffic.KindClient:
			a.ByToken += row.Calls
			if first {
				a.Clients++
			}
		default:
			a.Neither += row.Calls
		}
		return nil
	}); err != nil {
		return nil, err
	}
	for _, a := range access {
		e.Access = append(e.Access, *a)
	}
	slices.SortFunc(e.Access, func(a, b RouteAccess) int {
		return cmpOr(strings.Compare(a.Template, b.Template), strings.Compare(a.Method, b.Method))
	})
	floor, err := r.Store.TrafficFloor(ctx)
	if err != nil {
		return nil, err
	}
	if floor.IsZero() || floor.After(from) {
		e.Limits = append(e.Limits, "calls are on record since "+dayOr(floor, "today")+" only: access by route and last use do not reach further back")
	}
	if beyond {
		e.Limits = append(e.Limits, fmt.Sprintf("more than %d operations were called: the rest is left out", maxAccess))
	}
	return calls, nil
}

func dayOr(at time.Time, otherwise string) string {
	if at.IsZero() {
		return otherwise
	}
	return at.UTC().Format(time.DateOnly)
}

func cmpOr(values ...int) int {
	for _, v := range values {
		if v != 0 {
			return v
		}
	}
	return 0
}

// keysOf lists the apikeys, each with what holds for it.
func (r *Road) keysOf(ctx context.Context, e *Evidence, log *stageLog, calls map[traffic.Credential]int64, past bool) error {
	sealed, err := r.Store.SealedAPIKeys(ctx)
	if err != nil {
		return err
	}
	rules, unsure := log.rules(r.Rules(), e.AsOf, past), 0
	var page []*apikey.Key
	flush := func() error {
		ids := make([]string, len(page))
		for i, k := range page {
			ids[i] = k.ID
		}
		uses, err := r.Store.APIKeyUses(ctx, ids)
		if err != nil {
			return err
		}
		for _, k := range page {
			if past {
				own, sure := log.stageOf(k)
				if !sure {
					unsure++
				}
				then := *k
				then.Stage = own
				if then.Extension.Granted.After(e.AsOf) {
					then.Extension = apikey.Extension{}
				}
				k = &then
			}
			e.add(k, rules.StageOf(k, e.AsOf), rules.StandingOf(k, e.AsOf).Sunset, uses[k.ID], sealed[k.ID], calls[traffic.Credential{Kind: traffic.KindAPIKey, ID: k.ID}])
			if k.Extension.Holds(e.AsOf) {
				e.Exceptions = append(e.Exceptions, Exception{Kind: "extension", ID: k.ID, Owner: k.Owner, Until: k.Extension.Until.UTC(), By: k.Extension.By, Reason: k.Extension.Reason})
			}
		}
		page = page[:0]
		return nil
	}
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		if k.Created.After(e.AsOf) {
			return nil
		}
		if page = append(page, k); len(page) == 1000 {
			return flush()
		}
		return nil
	}); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	for _, w := range rules.Widened {
		if w.Until.After(e.AsOf) {
			e.Exceptions = append(e.Exceptions, Exception{Kind: "widening", ID: w.Client, Until: w.Until.UTC(), By: w.By, Reason: w.Reason, Scopes: w.Scopes})
		}
	}
	e.Summary.Exceptions = len(e.Exceptions)
	if past {
		e.Limits = append(e.Limits, "stages of then are read from the audit log; cohorts, calendar and the configuration file are those of now")
	}
	if unsure > 0 {
		e.Limits = append(e.Limits, fmt.Sprintf("of %d apikeys the log does not lead to the stage that they have today: their stage of then may be another", unsure))
	}
	return nil
}

// add judges one apikey.
func (e *Evidence) add(k *apikey.Key, stage apikey.Stage, until time.Time, use apikey.Use, sealed int, calls int64) {
	state := StateRefused
	switch {
	case stage.Passes() && !k.Suspended:
		state = StateAccepted
	case sealed > 0:
		state = StateSealed
	case k.Suspended:
		state = StateRevoked
	}
	s := &e.Summary
	s.APIKeys++
	switch state {
	case StateAccepted:
		s.Accepted++
	case StateSealed:
		s.Accepted++
		s.Sealed++
	case StateRevoked:
		s.Revoked++
	default:
		s.Refused++
	}
	if calls > 0 {
		s.LastCalled++
	}
	if use.Last.After(e.AsOf) {
		use.Last = time.Time{} // it is not known when it was used before
	}
	if len(e.APIKeys) == maxEvidence {
		e.Limits = append(e.Limits, fmt.Sprintf("more than %d apikeys: the rest is counted and not listed", maxEvidence))
	}
	if len(e.APIKeys) >= maxEvidence {
		return
	}
	e.APIKeys = append(e.APIKeys, EvidenceKey{
		ID: k.ID, Last4: k.Last4, Label: k.Label, Owner: k.Owner, State: state, Stage: stage, KnownBy: string(k.KnownBy), Created: k.Created,
		LastUsed: instant(use.Last), Calls: calls, ClientID: k.ClientID, Until: instant(until), Sealed: sealed,
	})
}

func (r *Road) clientsOf(ctx context.Context, e *Evidence, calls map[traffic.Credential]int64) error {
	for f := (client.Filter{Limit: 1000}); ; {
		page, next, err := r.Store.Clients(ctx, f)
		if err != nil {
			return err
		}
		for _, c := range page {
			if c.Created.After(e.AsOf) {
				continue
			}
			e.Clients = append(e.Clients, EvidenceUse{
				ID: c.ID, Name: c.Name, Owner: c.Owner, Auth: string(c.AuthMethod), Status: c.Status, Scopes: c.Scopes.String(), APIKey: c.APIKeyID,
				LastUsed: instant(c.LastUsed), Calls: calls[traffic.Credential{Kind: traffic.KindClient, ID: c.ID}],
			})
		}
		if f.After = next; next == "" {
			return nil
		}
	}
}

func (r *Road) leaksOf(ctx context.Context, e *Evidence) error {
	all, _, err := r.ListLeaks(ctx, leak.Filter{Limit: evidenceLeaks})
	if err != nil {
		return err
	}
	e.Leaks = slices.DeleteFunc(all, func(l LeakReport) bool { return l.Opened.After(e.AsOf) })
	for _, l := range e.Leaks {
		if l.ClosedAt.IsZero() || l.ClosedAt.After(e.AsOf) {
			e.Summary.OpenLeaks++
		}
	}
	return nil
}
