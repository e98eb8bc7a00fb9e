package app

import (
	"context"
	"time"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/traffic"
)

// road is the road as operators see it: what was counted is stored before it
// is looked at, so that a call made just now is in the answer.
type road struct {
	*migration.Road
	recorder *recorder
}

// ownerGone reports whether the person with a mail address is known and has left.
func (a *App) ownerGone(ctx context.Context, contact string) bool {
	who, err := a.views.people.Find(ctx, contact)
	return err == nil && who.Status == directory.Disabled
}

// Inventory implements api.Road.
func (r road) Inventory(ctx context.Context, f migration.InventoryFilter) ([]migration.Item, string, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return nil, "", err
	}
	return r.Road.Inventory(ctx, f)
}

// Show implements api.Road.
func (r road) Show(ctx context.Context, id string) (migration.Detail, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.Detail{}, err
	}
	return r.Road.Show(ctx, id)
}

// Plan implements api.Road.
func (r road) Plan(ctx context.Context, q migration.PlanRequest) (migration.Plan, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.Plan{}, err
	}
	return r.Road.Plan(ctx, q)
}

// Status implements api.Road.
func (r road) Status(ctx context.Context) (migration.Status, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.Status{}, err
	}
	return r.Road.Status(ctx)
}

// Observed implements api.Road.
func (r road) Observed(ctx context.Context) ([]migration.ObservedOperation, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return nil, err
	}
	return r.Road.Observed(ctx)
}

// DesignScopes implements api.Road.
func (r road) DesignScopes(ctx context.Context, document []byte, actions migration.Actions) (migration.Design, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.Design{}, err
	}
	return r.Road.DesignScopes(ctx, document, actions)
}

// InferScopes implements api.Road.
func (r road) InferScopes(ctx context.Context, document []byte, actions migration.Actions, o migration.InferOptions) (migration.Inference, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.Inference{}, err
	}
	return r.Road.InferScopes(ctx, document, actions, o)
}

// OpenLeak implements api.Road.
func (r road) OpenLeak(ctx context.Context, o migration.LeakOrder) (migration.LeakReport, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.LeakReport{}, err
	}
	return r.Road.OpenLeak(ctx, o)
}

// ShowLeak implements api.Road.
func (r road) ShowLeak(ctx context.Context, id string) (migration.LeakReport, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.LeakReport{}, err
	}
	return r.Road.ShowLeak(ctx, id)
}

// BurnDown implements api.Road.
func (r road) BurnDown(ctx context.Context, days int) (migration.BurnDown, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.BurnDown{}, err
	}
	return r.Road.BurnDown(ctx, days)
}

// Evidence implements api.Road.
func (r road) Evidence(ctx context.Context, asOf time.Time) (migration.Evidence, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.Evidence{}, err
	}
	return r.Road.Evidence(ctx, asOf)
}

// CallsOf implements api.Road.
func (r road) CallsOf(ctx context.Context, c *traffic.Credential, since time.Time) (migration.Calls, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.Calls{}, err
	}
	return r.Road.CallsOf(ctx, c, since)
}
