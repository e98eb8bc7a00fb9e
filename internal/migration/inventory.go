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
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
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
	Callers    int            `json:"callers"` // told apart by what they do, with what and from where
	Flow       string         `json:"flow"`    // that its caller with most calls goes over to
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
	// RiskReasons says of each risk why.
	RiskReasons map[string]string `json:"risk_reasons"`
	// CallerDetails are the callers told apart, most calls first.
	CallerDetails []CallerUse `json:"caller_details"`
}

// CallerUse is one caller behind an apikey, and what it should go over to.
type CallerUse struct {
	ID         string    `json:"id"`
	Calls      int64     `json:"calls"`
	UserAgents []string  `json:"user_agents"`
	Sources    []string  `json:"sources"`
	FirstSeen  time.Time `json:"first_used"`
	LastSeen   time.Time `json:"last_used"`
	Flow       string    `json:"flow"`
	Evidence   []string  `json:"evidence"`
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
		u := used[k.ID]
		items = append(items, itemOf(standing{key: k, usage: u, use: uses[k.ID], callers: u.fold.callers(), now: now, ownerGone: r.ownerGone(ctx, k)}, rules))
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
	s := standing{key: k, usage: u, use: uses[id], callers: u.fold.callers(), now: now, ownerGone: r.ownerGone(ctx, k)}
	d.Item, d.Programs, d.Scopes = itemOf(s, rules), u.programList(), scopes.list()
	_, d.RiskReasons = risksOf(s.widened())
	d.CallerDetails = callerUses(k, s.callers)
	return d, nil
}

// ownerGone reports whether the person who would be told is known and gone.
func (r *Road) ownerGone(ctx context.Context, k *apikey.Key) bool {
	return k.Contact != "" && r.OwnerGone != nil && r.OwnerGone(ctx, k.Contact)
}

// widened is the standing with the uses that the traffic shows.
func (s standing) widened() standing {
	s.use.First, s.use.Last = earliest(s.use.First, s.usage.first), latest(s.use.Last, s.usage.last)
	return s
}

// itemOf joins what is known of an apikey with what it did. It needs neither
// storage nor a clock.
func itemOf(s standing, rules *policy.Ruleset) Item {
	same := func(s string) string { return s }
	s.usage.settle()
	s = s.widened()
	k, u, holds := s.key, s.usage, rules.StandingOf(s.key, s.now)
	names, _ := risksOf(s)
	return Item{
		ID: k.ID, Last4: k.Last4, Label: k.Label, Owner: k.Owner, ClientID: k.ClientID, KnownBy: k.KnownBy, Suspended: k.Suspended,
		Stage: holds.Stage, StageBy: holds.By, Cohort: holds.Cohort, OwnStage: k.Stage != apikey.Inherit,
		Enforce: rules.EnforcementOf(nil, k.ClientID), Until: instant(holds.Sunset),
		Carriers: byCalls(u.carriers, same), FirstUsed: instant(s.use.First), LastUsed: instant(s.use.Last),
		Calls: u.calls, Routes: u.routeList(), UserAgents: byCalls(u.agents, same), Sources: byCalls(u.sources, netip.Prefix.String),
		Contact: k.Contact, Granted: append([]string{}, strings.Fields(k.Scopes)...), Expires: instant(k.Expires),
		Callers: len(s.callers), Flow: mainFlow(s.callers), Risks: names,
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

// mainFlow is the way of the caller with most calls.
func mainFlow(callers []*callerGroup) string {
	if len(callers) == 0 {
		return FlowClientCredentials
	}
	flow, _ := flowOf(slices.MaxFunc(callers, func(a, b *callerGroup) int { return cmp.Compare(a.calls, b.calls) }))
	return flow
}

// callerUses describes callers, most calls first.
func callerUses(k *apikey.Key, callers []*callerGroup) []CallerUse {
	out := make([]CallerUse, 0, len(callers))
	for _, g := range callers {
		agents, sources := map[string]int64{}, map[netip.Prefix]int64{}
		for _, c := range g.cells {
			agents[c.agent] += c.calls
			sources[c.source] += c.calls
		}
		use := CallerUse{
			ID: g.idOf(traffic.Credential{Kind: traffic.KindAPIKey, ID: k.ID}), Calls: g.calls, FirstSeen: g.first.UTC(), LastSeen: g.last.UTC(),
			UserAgents: byCalls(agents, func(s string) string { return s }), Sources: byCalls(sources, netip.Prefix.String),
		}
		use.Flow, use.Evidence = flowOf(g)
		out = append(out, use)
	}
	slices.SortFunc(out, func(a, b CallerUse) int { return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.ID, b.ID)) })
	return out
}
