package app

import (
	"context"

	"github.com/offkey/offkey/internal/migration"
)

// SetCohort implements api.Road.
func (r road) SetCohort(ctx context.Context, c migration.CohortChange) (migration.CohortResult, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.CohortResult{}, err
	}
	return r.Road.SetCohort(ctx, c)
}

// Brownout implements api.Road.
func (r road) Brownout(ctx context.Context, o migration.BrownoutOrder) (migration.BrownoutResult, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.BrownoutResult{}, err
	}
	return r.Road.Brownout(ctx, o)
}

// Calendar implements api.Road.
func (r road) Calendar(ctx context.Context) (migration.Calendar, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.Calendar{}, err
	}
	return r.Road.Calendar(ctx)
}

// Widen implements api.Road.
func (r road) Widen(ctx context.Context, o migration.WidenOrder) (migration.WidenResult, error) {
	if err := r.recorder.Flush(ctx); err != nil {
		return migration.WidenResult{}, err
	}
	return r.Road.Widen(ctx, o)
}
