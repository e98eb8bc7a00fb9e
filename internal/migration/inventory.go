package migration

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// The risks that an apikey is flagged with.
const (
	RiskQuery   = "query"    // it travels in URLs, and so into logs
	RiskBrowser = "browser"  // browsers send it: whoever opens the page has it
	RiskShared  = "shared"   // programs on networks of their own: several callers
	RiskAdmin   = "admin"    // it opens routes of administration
	RiskUnused  = "unused"   // no call for 30 days
	RiskNoOwner = "no_owner" // nobody to ask
)

// Item is one apikey and what it does, as `apikeys list` prints it.
type Item struct {
	ID         string         `json:"id"`
	Last4      string         `json:"last4"`
	Label      string         `json:"label"`
	Owner      string         `json:"owner"`
	Stage      apikey.Stage   `json:"stage"`    // that holds for it
	StageBy    string         `json:"stage_by"` // what says so: apikey, extension, cohort or all
	Cohort     string         `json:"cohort"`
	Enforce    policy.Enforce `json:"enforce"` // that holds where no route says otherwise
	Carriers   []string       `json:"carriers"`
	FirstUsed  *time.Time     `json:"first_used"`
	LastUsed   *time.Time     `json:"last_used"`
	Calls      int64          `json:"calls"`
	Routes     []RouteUse     `json:"routes"`
	UserAgents []string       `json:"user_agents"`
	Sources    []string       `json:"sources"`
	Callers    int            `json:"callers"` // programs told apart
	Flow       string         `json:"flow"`    // grant type that replaces it
	Risks      []string       `json:"risks"`
	ClientID   string         `json:"client_id"`
	KnownBy    apikey.KnownBy `json:"known_by"`
	OwnStage   bool           `json:"own_stage"` // it does not follow the stage of all
	Until      *time.Time     `json:"until"`     // its announced end
	Suspended  bool           `json:"suspended"`
}

// Detail is an Item with all that is known, as `apikeys show` prints it.
type Detail struct {
	Item
	Window   Window       `json:"window"`
	Programs []ProgramUse `json:"programs"`
	Scopes   []ScopeUse   `json:"scopes"`
}

// Inventory lists a page of apikeys with what they did in the last 30 days.
// Most used first or last is the business of whoever prints it. The traffic is
// read once for each page: whoever wants all asks for large ones.
func (r *Road) Inventory(ctx context.Context, f apikey.Filter) (items []Item, next string, err error) {
	keys, next, err := r.apikeyPage(ctx, f)
	if err != nil || len(keys) == 0 {
		return []Item{}, "", err
	}
	now := r.Now()
	used, room := make(map[string]*usage, len(keys)), newSpace()
	ids := make([]string, 0, len(keys))
	for _, k := range keys {
		used[k.ID] = newUsage(room)
		ids = append(ids, k.ID)
	}
	filter := traffic.Filter{From: now.Add(-inventoryWindow)}
	if len(ids) == 1 {
		filter.Credential = &traffic.Credential{Kind: traffic.KindAPIKey, ID: ids[0]}
	}
	if err := r.Store.Traffic(ctx, filter, func(row traffic.Row) error {
		if u := used[row.Credential.ID]; u != nil && row.Credential.Kind == traffic.KindAPIKey {
			u.add(row)
		}
		return nil
	}); err != nil {
		return nil, "", err
	}
	uses, err := r.Store.APIKeyUses(ctx, ids)
	if err != nil {
		return nil, "", err
	}
	rules := r.Rules()
	items = make([]Item, 0, len(keys))
	for _, k := range keys {
		items = append(items, itemOf(k, used[k.ID], uses[k.ID], rules, now))
	}
	return items, next, nil
}

// apikeyPage is a page of apikeys of the size asked for, whatever the most is
// that storage gives at once.
func (r *Road) apikeyPage(ctx context.Context, f apikey.Filter) (keys []*apikey.Key, next string, err error) {
	limit := f.Limit
	for {
		page, next, err := r.Store.APIKeys(ctx, f)
		if err != nil {
			return nil, "", err
		}
		keys = append(keys, page...)
		f.After, f.Limit = next, limit-len(keys)
		if next == "" || f.Limit <= 0 {
			return keys, next, nil
		}
	}
}

// Show returns one apikey in full, or apikey.ErrNotFound.
func (r *Road) Show(ctx context.Context, id string) (Detail, error) {
	k, err := r.Store.APIKey(ctx, id)
	if err != nil {
		return Detail{}, err
	}
	now, rules := r.Now(), r.Rules()
	d := Detail{Window: Window{now.Add(-inventoryWindow), now}}
	u, scopes := newUsage(newSpace()), newScopeFold(rules)
	if err := r.Store.Traffic(ctx, traffic.Filter{From: d.Window.From, Credential: &traffic.Credential{Kind: traffic.KindAPIKey, ID: id}}, func(row traffic.Row) error {
		u.add(row)
		scopes.add(row)
		return nil
	}); err != nil {
		return Detail{}, err
	}
	uses, err := r.Store.APIKeyUses(ctx, []string{id})
	if err != nil {
		return Detail{}, err
	}
	d.Item, d.Programs, d.Scopes = itemOf(k, u, uses[id], rules, now), u.programList(), scopes.list()
	return d, nil
}

// itemOf joins what is known of an apikey with what it did. It needs neither
// storage nor a clock.
func itemOf(k *apikey.Key, u *usage, use apikey.Use, rules *policy.Ruleset, now time.Time) Item {
	same := func(s string) string { return s }
	standing := rules.StandingOf(k, now)
	use.First, use.Last = earliest(use.First, u.first), latest(use.Last, u.last)
	return Item{
		ID: k.ID, Last4: k.Last4, Label: k.Label, Owner: k.Owner, ClientID: k.ClientID, KnownBy: k.KnownBy, Suspended: k.Suspended,
		Stage: standing.Stage, StageBy: standing.By, Cohort: standing.Cohort, OwnStage: k.Stage != apikey.Inherit,
		Enforce: rules.EnforcementOf(nil, k.ClientID), Until: instant(standing.Sunset),
		Carriers: byCalls(u.carriers, same), FirstUsed: instant(use.First), LastUsed: instant(use.Last),
		Calls: u.calls, Routes: u.routeList(), UserAgents: byCalls(u.agents, same), Sources: byCalls(u.sources, netip.Prefix.String),
		Callers: len(u.programs), Flow: flowOf(u), Risks: risksOf(k, u, use.Last, now),
	}
}

// instant is at as JSON has it: null where there is none.
func instant(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

// flowOf is the grant type for whoever sends the apikey: what mostly comes from
// browsers has a person before it, everything else is a service.
func flowOf(u *usage) string {
	if u.calls > 0 && u.browser*2 > u.calls {
		return oauth.GrantAuthorizationCode
	}
	return oauth.GrantClientCredentials
}

// risksOf flags an apikey, in the order of the constants.
func risksOf(k *apikey.Key, u *usage, last, now time.Time) []string {
	risks := []string{}
	for _, r := range []struct {
		name string
		is   bool
	}{
		{RiskQuery, u.query},
		{RiskBrowser, u.browser > 0},
		{RiskShared, u.shared()},
		{RiskAdmin, u.admin},
		{RiskUnused, now.Sub(latest(last, k.Created)) >= inventoryWindow},
		{RiskNoOwner, k.Owner == ""},
	} {
		if r.is {
			risks = append(risks, r.name)
		}
	}
	return risks
}

// doubtful are the risks under which an apikey may be in other hands than its
// owner's.
func doubtful(risks []string) []string {
	return slices.DeleteFunc(slices.Clone(risks), func(risk string) bool {
		return risk != RiskQuery && risk != RiskBrowser && risk != RiskShared
	})
}
