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
)

// StageChange moves apikeys along the road, or back.
type StageChange struct {
	Stage  apikey.Stage
	IDs    []string // the apikeys, or
	All    bool     // all that have no stage of their own
	Until  time.Time
	Since  time.Time // of a leak, for Blocked: what was made with the apikeys since goes too
	Actor  string
	Reason string // for the audit, may be empty
	DryRun bool
}

// StageResult says what a StageChange did, or with DryRun would do.
type StageResult struct {
	Stage    apikey.Stage `json:"stage"`
	Changed  int          `json:"changed"` // apikeys for which another stage holds
	Kept     int          `json:"kept"`    // apikeys that stay where they were
	Disabled []string     `json:"disabled_clients,omitempty"`
	DryRun   bool         `json:"dry_run,omitempty"`
}

// What SetStage can find wrong with a StageChange.
var (
	ErrNoTarget      = errors.New("say for which apikeys: by id, or for all")
	ErrStageDeclared = errors.New("the configuration file sets the stage of all: change migration.stage there and reload, or take it out")
	ErrStageOfAll    = errors.New("this stage is for single apikeys")
)

// stageSet is what the audit says about a StageChange.
type stageSet struct {
	Stage   apikey.Stage  `json:"stage"`
	Before  *apikey.Stage `json:"before,omitempty"`
	APIKeys []string      `json:"apikeys,omitempty"`
	Until   time.Time     `json:"until,omitzero"`
	Since   time.Time     `json:"since,omitzero"`
	Reason  string        `json:"reason,omitempty"`
	Changed int           `json:"changed,omitempty"`
	Kept    int           `json:"kept,omitempty"`
}

// stageChunk is how many apikeys are moved in one transaction.
const stageChunk = 1000

// SetStage moves apikeys to a stage. It takes effect with the answer, and so
// does the way back. Retiring and blocking end what the apikeys were exchanged
// for; blocking also disables the clients that were made with them since Since.
func (r *Road) SetStage(ctx context.Context, c StageChange) (StageResult, error) {
	switch {
	case c.All == (len(c.IDs) > 0):
		return StageResult{}, ErrNoTarget
	case c.All:
		return r.setStageOfAll(ctx, c)
	}
	slices.Sort(c.IDs)
	return r.setStageOf(ctx, c, slices.Compact(c.IDs))
}

func (r *Road) setStageOfAll(ctx context.Context, c StageChange) (StageResult, error) {
	switch {
	case c.Stage == apikey.Inherit:
		return StageResult{}, fmt.Errorf("inherit: %w", ErrStageOfAll)
	case c.Stage == apikey.Blocked:
		return StageResult{}, fmt.Errorf("blocked, after a leak: %w; retired refuses all", ErrStageOfAll)
	case r.StageDeclared != nil && r.StageDeclared():
		return StageResult{}, ErrStageDeclared
	}
	res := StageResult{Stage: c.Stage, DryRun: c.DryRun}
	before := r.Rules().Stage
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		if k.Stage == apikey.Inherit && before != c.Stage {
			res.Changed++
		} else {
			res.Kept++
		}
		return nil
	}); err != nil || c.DryRun {
		return res, err
	}
	detail := stageSet{Stage: c.Stage, Before: &before, Until: c.Until, Reason: c.Reason, Changed: res.Changed, Kept: res.Kept}
	_, err := r.Store.UpdateSettings(ctx, func(s *policy.Settings) error {
		if s.Stage != c.Stage {
			s.Stage, s.StageSince = c.Stage, r.Now()
		}
		s.StageUntil = untilOf(c, s.StageUntil)
		return nil
	}, audit.Event{Actor: c.Actor, Action: "stage.set", Object: "all", Detail: detail})
	return res, err
}

// untilOf is the announced end after a change: what it says, else what was said
// before, which going back to observe takes back.
func untilOf(c StageChange, before time.Time) time.Time {
	switch {
	case !c.Until.IsZero():
		return c.Until
	case c.Stage == apikey.Observe || c.Stage == apikey.Inherit:
		return time.Time{}
	}
	return before
}

func (r *Road) setStageOf(ctx context.Context, c StageChange, ids []string) (StageResult, error) {
	res := StageResult{Stage: c.Stage, DryRun: c.DryRun}
	keys, err := r.apikeysOf(ctx, ids)
	if err != nil {
		return res, err
	}
	var move []string
	for _, k := range keys {
		if k.Stage == c.Stage && (c.Until.IsZero() || c.Until.Equal(k.Until)) {
			res.Kept++
			continue
		}
		res.Changed++
		move = append(move, k.ID)
	}
	if c.DryRun {
		return res, nil
	}
	for chunk := range slices.Chunk(move, stageChunk) {
		if err := r.move(ctx, c, chunk, &res); err != nil {
			return res, err
		}
	}
	return res, nil
}

// apikeysOf reads apikeys by id; each must be there.
func (r *Road) apikeysOf(ctx context.Context, ids []string) ([]*apikey.Key, error) {
	keys := make([]*apikey.Key, 0, len(ids))
	for _, id := range ids {
		k, err := r.Store.APIKey(ctx, id)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (r *Road) move(ctx context.Context, c StageChange, ids []string, res *StageResult) error {
	if c.Stage == apikey.Blocked {
		for _, id := range ids {
			stopped, err := r.Store.ContainAPIKey(ctx, id, c.Since, audit.Event{
				Actor: c.Actor, Action: "apikey.blocked", Object: id, Detail: stageSet{Stage: c.Stage, Since: c.Since, Reason: c.Reason},
			})
			if err != nil {
				return err
			}
			res.Disabled = append(res.Disabled, stopped.Clients...)
		}
		return nil
	}
	now := r.Now()
	detail := stageSet{Stage: c.Stage, APIKeys: ids, Until: c.Until, Reason: c.Reason}
	object := ids[0]
	if len(ids) > 1 {
		object = fmt.Sprintf("%d apikeys", len(ids))
	}
	_, err := r.Store.UpdateAPIKeys(ctx, ids, func(k *apikey.Key) error {
		if k.Stage != c.Stage {
			k.Stage, k.StageSince = c.Stage, now
		}
		k.Until = untilOf(c, k.Until)
		k.Revoked = time.Time{}
		if c.Stage == apikey.Retired {
			k.Revoked = now
		}
		return nil
	}, audit.Event{Actor: c.Actor, Action: "apikey.stage_set", Object: object, Detail: detail})
	return err
}
