package migration

import (
	"errors"
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

// ErrBlocked is what is said of an apikey that was blocked after a leak: it is
// given no more time.
var ErrBlocked = errors.New("the apikey is blocked after a leak")

// Extend grants an exception: until its end k follows it, and afterwards its
// cohort or all. A stage of its own ends with it.
func Extend(k *apikey.Key, e apikey.Extension) error {
	if k.Stage == apikey.Blocked {
		return ErrBlocked
	}
	k.Stage, k.StageSince, k.Until, k.Revoked = apikey.Inherit, time.Time{}, time.Time{}, time.Time{}
	k.Extension = e
	return nil
}
