package migration

import (
	"context"
	"errors"
	"net/netip"

	"github.com/offkey/offkey/internal/leak"
)

// TakeReports puts on record those of the credentials that are ours, stops them
// where block says so, and tells their owners, once each. The answers say which
// were ours, in order. A failure leaves the rest undone.
func (r *Road) TakeReports(ctx context.Context, by string, from netip.Addr, reports []leak.Reported, block bool) (ours []bool, err error) {
	ours = make([]bool, len(reports))
	actor := "stranger:" + networkOf(from)
	if by == leak.ByGitHub {
		actor = "github"
	}
	for i, reported := range reports {
		subject, err := r.FindLeaked(ctx, reported.Credential)
		if errors.Is(err, ErrNotOurs) {
			continue
		}
		if err != nil {
			return ours, err
		}
		if _, err := r.OpenLeak(ctx, LeakOrder{
			Subject: subject, By: by, Where: reported.Where, Contain: block, Notify: true, Actor: actor, Quiet: true,
		}); err != nil {
			return ours, err
		}
		ours[i] = true
	}
	return ours, nil
}
