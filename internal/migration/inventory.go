package migration

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
	Contact    string         `json:"contact"`
	Granted    []string       `json:"granted_scopes"` // by its source
	Expires    *time.Time     `json:"expires"`        // at its source
}

// Detail is an Item with all that is known, as `apikeys show` prints it.
type Detail struct {
	Item
	Window   Window       `json:"window"`
	Programs []ProgramUse `json:"programs"`
	Scopes   []ScopeUse   `json:"scopes"`
}

// InventoryFilter chooses what is listed, and in which order. Holds is the stage
// that holds for an apikey, by whatever gives it that; Inherit is any.
type InventoryFilter struct {
	apikey.Filter
	Holds apikey.Stage
	// ByStage sorts by the stage that holds, which storage cannot.
	ByStage bool
}

// Inventory lists a page of apikeys, in the order asked for, with what they did
// in the last 30 days. What it costs depends on the page, not on how many
// apikeys or calls there are, unless the stage decides: that is in no table.
func (r *Road) Inventory(ctx context.Context, f InventoryFilter) (items []Item, next string, err error) {
	now, rules := r.Now(), r.Rules()
	f.Since = now.Add(-inventoryWindow)
	keys, next, err := r.apikeyPage(ctx, f, func(k *apikey.Key) apikey.Stage { return rules.StageOf(k, now) })
	if err != nil || len(keys) == 0 {
		return []Item{}, "", err
	}
	used, room := make(map[string]*usage, len(keys)), newSpace()
	ids := make([]string, 0, len(keys))
	for _, k := range keys {
		used[k.ID] = newUsage(room)
		ids = append(ids, k.ID)
	}
	if err := r.Store.APIKeyDays(ctx, ids, f.Since, func(row traffic.Row) { used[row.Credential.ID].add(row) }); err != nil {
		return nil, "", err
	}
	uses, err := r.Store.APIKeyUses(ctx, ids)
	if err != nil {
		return nil, "", err
	}
	items = make([]Item, 0, len(keys))
	for _, k := range keys {
		items = append(items, itemOf(k, used[k.ID], uses[k.ID], rules, now))
	}
	return items, next, nil
}

// mostItems is the most that one page of an inventory holds.
const mostItems = 1000

// apikeyPage is a page of apikeys. Those of another stage than the one asked for
// are left out of what storage gives, until the page is full.
func (r *Road) apikeyPage(ctx context.Context, f InventoryFilter, stageOf func(*apikey.Key) apikey.Stage) (keys []*apikey.Key, next string, err error) {
	limit := min(cmp.Or(f.Limit, 100), mostItems)
	if f.ByStage {
		return r.pageByStage(ctx, f, limit, stageOf)
	}
	if f.Limit = limit; f.Holds != apikey.Inherit {
		f.Limit = mostItems
	}
	for {
		page, more, err := r.Store.APIKeys(ctx, f.Filter)
		if err != nil {
			return nil, "", err
		}
		for i, k := range page {
			if f.Holds != apikey.Inherit && stageOf(k) != f.Holds {
				continue
			}
			if keys = append(keys, k); len(keys) == limit && (more != "" || i < len(page)-1) {
				return keys, k.ID, nil
			}
		}
		if f.After = more; more == "" {
			return keys, "", nil
		}
	}
}

// pageByStage reads all apikeys to sort them by the stage that holds.
func (r *Road) pageByStage(ctx context.Context, f InventoryFilter, limit int, stageOf func(*apikey.Key) apikey.Stage) (keys []*apikey.Key, next string, err error) {
	after := f.After
	f.After, f.Limit = "", mostItems
	for more := true; more; more = f.After != "" {
		page, next, err := r.Store.APIKeys(ctx, f.Filter)
		if err != nil {
			return nil, "", err
		}
		keys, f.After = append(keys, page...), next
	}
	slices.SortStableFunc(keys, func(a, b *apikey.Key) int {
		return cmp.Or(cmp.Compare(stageOf(a), stageOf(b)), cmp.Compare(a.ID, b.ID))
	})
	if after != "" {
		at := slices.IndexFunc(keys, func(k *apikey.Key) bool { return k.ID == after })
		if at < 0 {
			return nil, "", fmt.Errorf("apikey %s: %w", after, apikey.ErrNotFound)
		}
		keys = keys[at+1:]
	}
	if f.Holds != apikey.Inherit {
		keys = slices.DeleteFunc(keys, func(k *apikey.Key) bool { return stageOf(k) != f.Holds })
	}
	if len(keys) > limit {
		return keys[:limit], keys[limit-1].ID, nil
	}
	return keys, "", nil
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
		Contact: k.Contact, Granted: append([]string{}, strings.Fields(k.Scopes)...), Expires: instant(k.Expires),
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
