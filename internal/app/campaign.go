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
