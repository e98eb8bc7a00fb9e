package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// CohortItem is a cohort with where it stands.
type CohortItem struct {
	policy.Cohort
	APIKeys int            `json:"apikeys"` // in it, and in no cohort before it
	Stages  map[string]int `json:"stages"`  // of these, by the stage that holds
	Next    *policy.Step   `json:"next"`    // of the calendar
}

// CohortChange makes a cohort, or changes one.
type CohortChange struct {
	Name  string
	Match policy.Match
	// Members are put into it by name: these apikeys, and those that called one
	// of the routes in the last 30 days, or nothing since Unused.
	IDs    []string
	Routes []policy.Route
	Unused time.Time
	Before string // the cohort that it is asked before; "" leaves it, a new one is last
	Actor  string
	DryRun bool
}

// CohortResult says what a CohortChange did, or with DryRun would do.
type CohortResult struct {
	policy.Cohort
	APIKeys int  `json:"apikeys"` // in it
	Moved   int  `json:"moved"`   // apikeys for which another stage holds now
	DryRun  bool `json:"dry_run,omitempty"`
}

// ErrTooManyCohorts bounds what is asked about each call.
var ErrTooManyCohorts = fmt.Errorf("there are %d cohorts already", policy.MaxCohorts)

// Cohorts lists the cohorts in the order in which they are asked.
func (r *Road) Cohorts(ctx context.Context) ([]CohortItem, error) {
	rules, now := r.Rules(), r.Now()
	items := []CohortItem{}
	for _, c := range rules.Campaign.Cohorts {
		item := CohortItem{Cohort: c, Stages: map[string]int{}}
		for _, s := range rules.Steps {
			if s.Cohort == c.Name && s.At.After(now) && (item.Next == nil || s.At.Before(item.Next.At)) {
				item.Next = &s
			}
		}
		items = append(items, item)
	}
	err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		name := rules.CohortOf(k)
		if i := slices.IndexFunc(items, func(c CohortItem) bool { return c.Name == name }); i >= 0 {
			items[i].APIKeys++
			items[i].Stages[rules.StageOf(k, now).String()]++
		}
		return nil
	})
	return items, err
}

// SetCohort makes a cohort, or changes who is in it.
func (r *Road) SetCohort(ctx context.Context, c CohortChange) (CohortResult, error) {
	members, err := r.members(ctx, c)
	if err != nil {
		return CohortResult{}, err
	}
	c.Match.Named, c.Match.Quiet = members != nil, !c.Unused.IsZero() && c.IDs == nil && c.Routes == nil
	made := policy.Cohort{Name: c.Name, Match: c.Match, Created: r.Now()}
	if err := made.Check(); err != nil {
		return CohortResult{}, err
	}
	change := func(s *policy.Settings) error { return placeCohort(s, made, c.Before) }
	res := CohortResult{Cohort: made, DryRun: c.DryRun}
	join, leave, err := r.countMembers(ctx, made, members, change, &res)
	if err != nil || c.DryRun {
		return res, err
	}
	event := audit.Event{Actor: c.Actor, Action: "cohort.set", Object: c.Name, Detail: res}
	if _, err := r.Store.UpdateSettings(ctx, change, event); err != nil {
		return res, err
	}
	return res, errors.Join(r.assign(ctx, join, c.Name, c.Actor), r.assign(ctx, leave, "", c.Actor))
}

// placeCohort puts a cohort where it is asked for.
func placeCohort(s *policy.Settings, c policy.Cohort, before string) error {
	at := slices.IndexFunc(s.Cohorts, func(have policy.Cohort) bool { return have.Name == c.Name })
	s.Cohorts = slices.Clone(s.Cohorts)
	switch {
	case at >= 0 && before == "":
		s.Cohorts[at] = c
		return nil
	case at >= 0:
		s.Cohorts = slices.Delete(s.Cohorts, at, at+1)
	case len(s.Cohorts) >= policy.MaxCohorts:
		return ErrTooManyCohorts
	}
	at = len(s.Cohorts)
	if before != "" {
		if at = slices.IndexFunc(s.Cohorts, func(have policy.Cohort) bool { return have.Name == before }); at < 0 {
			return fmt.Errorf("%s: %w", before, policy.ErrNoCohort)
		}
	}
	s.Cohorts = slices.Insert(s.Cohorts, at, c)
	return nil
}

// members are the ids of the apikeys that are put into a cohort by name, nil
// where none are.
func (r *Road) members(ctx context.Context, c CohortChange) (map[string]bool, error) {
	if c.IDs == nil && c.Routes == nil && c.Unused.IsZero() {
		return nil, nil
	}
	members := map[string]bool{}
	if _, err := r.apikeysOf(ctx, c.IDs); err != nil {
		return nil, err
	}
	for _, id := range c.IDs {
		members[id] = true
	}
	if c.Routes != nil {
		if err := r.callersOf(ctx, c.Routes, members); err != nil {
			return nil, err
		}
	}
	if !c.Unused.IsZero() {
		return members, r.unusedSince(ctx, c.Unused, members)
	}
	return members, nil
}

// callersOf adds the apikeys that called one of the routes lately.
func (r *Road) callersOf(ctx context.Context, routes []policy.Route, to map[string]bool) error {
	rules := policy.Ruleset{}.Build(routes, nil)
	return r.Store.Traffic(ctx, traffic.Filter{From: r.Now().Add(-inventoryWindow)}, func(row traffic.Row) error {
		if row.Credential.Kind != traffic.KindAPIKey || to[row.Credential.ID] {
			return nil
		}
		for _, route := range rules.Candidates(row.Method, row.Template, traffic.IsIdentifier) {
			if route != nil {
				to[row.Credential.ID] = true
			}
		}
		return nil
	})
}

// unusedSince adds the apikeys that were there and made no call since.
func (r *Road) unusedSince(ctx context.Context, since time.Time, to map[string]bool) error {
	var page []*apikey.Key
	judge := func() error {
		uses, err := r.Store.APIKeyUses(ctx, idsOf(page))
		for _, k := range page {
			if latest(uses[k.ID].Last, k.Created).Before(since) {
				to[k.ID] = true
			}
		}
		page = page[:0]
		return err
	}
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		if page = append(page, k); len(page) < stageChunk {
			return nil
		}
		return judge()
	}); err != nil {
		return err
	}
	return judge()
}

func idsOf(keys []*apikey.Key) []string {
	ids := make([]string, 0, len(keys))
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

// countMembers counts what a cohort takes and moves, and finds who joins and who
// leaves it by name.
func (r *Road) countMembers(ctx context.Context, c policy.Cohort, members map[string]bool, change func(*policy.Settings) error, res *CohortResult) (join, leave []string, err error) {
	rules, now := r.Rules(), r.Now()
	after, err := r.changed(ctx, rules, change)
	if err != nil {
		return nil, nil, err
	}
	err = r.eachAPIKey(ctx, func(k *apikey.Key) error {
		then := *k
		switch {
		case members[k.ID] && k.Cohort != c.Name:
			then.Cohort = c.Name
			join = append(join, k.ID)
		case !members[k.ID] && k.Cohort == c.Name:
			then.Cohort = ""
			leave = append(leave, k.ID)
		}
		if after.InCohort(&then, c.Name, 0) {
			res.APIKeys++
		}
		if rules.StageOf(k, now) != after.StageOf(&then, now) {
			res.Moved++
		}
		return nil
	})
	return join, leave, err
}

// assign puts apikeys into a cohort by name, or with "" into none.
func (r *Road) assign(ctx context.Context, ids []string, cohort, actor string) error {
	action, object := "cohort.joined", cohort
	if cohort == "" {
		action, object = "cohort.left", fmt.Sprintf("%d apikeys", len(ids))
	}
	for chunk := range slices.Chunk(ids, stageChunk) {
		if _, err := r.Store.UpdateAPIKeys(ctx, chunk, func(k *apikey.Key) error {
			k.Cohort = cohort
			return nil
		}, audit.Event{Actor: actor, Action: action, Object: object, Detail: map[string]any{"apikeys": chunk}}); err != nil {
			return err
		}
	}
	return nil
}

// DeleteCohort removes a cohort with its steps and windows; its apikeys follow
// the next that they are in, or all.
func (r *Road) DeleteCohort(ctx context.Context, name, actor string, dryRun bool) (CohortResult, error) {
	rules := r.Rules()
	c := rules.Campaign.Cohort(name)
	if c == nil {
		return CohortResult{}, fmt.Errorf("%s: %w", name, policy.ErrNoCohort)
	}
	res := CohortResult{Cohort: *c, DryRun: dryRun}
	change := func(s *policy.Settings) error {
		s.Cohorts = slices.DeleteFunc(slices.Clone(s.Cohorts), func(c policy.Cohort) bool { return c.Name == name })
		s.Steps = slices.DeleteFunc(slices.Clone(s.Steps), func(step policy.Step) bool { return step.Cohort == name })
		s.Windows = slices.DeleteFunc(slices.Clone(s.Windows), func(w policy.Window) bool { return w.Cohort == name })
		return nil
	}
	after, err := r.changed(ctx, rules, change)
	if err != nil {
		return res, err
	}
	var named []string
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		if rules.InCohort(k, name, 0) {
			res.APIKeys++
		}
		if k.Cohort == name {
			named = append(named, k.ID)
		}
		if rules.StageOf(k, r.Now()) != after.StageOf(k, r.Now()) {
			res.Moved++
		}
		return nil
	}); err != nil || dryRun {
		return res, err
	}
	if _, err := r.Store.UpdateSettings(ctx, change, audit.Event{Actor: actor, Action: "cohort.deleted", Object: name, Detail: res}); err != nil {
		return res, err
	}
	return res, r.assign(ctx, named, "", actor)
}
