package policy

import (
	"errors"
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

// Settings are the rules that hold for all, as an operator has set them.
// Ruleset is made from them and from the routes.
type Settings struct {
	Stage         apikey.Stage       `json:"stage"`
	StageSince    time.Time          `json:"stage_since,omitzero"`
	StageUntil    time.Time          `json:"stage_until,omitzero"` // announced end, zero when none is
	Enforce       Enforce            `json:"enforce"`
	ClientEnforce map[string]Enforce `json:"client_enforce,omitempty"`
	Campaign
}

// Ruleset are the settings as rules, before the routes. Without a stage it is
// observe.
func (s Settings) Ruleset() Ruleset {
	rs := Ruleset{
		Stage: s.Stage, Since: s.StageSince, Until: s.StageUntil,
		Enforce: s.Enforce, ClientEnforce: s.ClientEnforce, Campaign: s.Campaign,
	}
	if rs.Stage == apikey.Inherit {
		rs.Stage = apikey.Observe
	}
	return rs
}

// ErrNotFound is what a store answers about a route that is not there.
var ErrNotFound = errors.New("no such route")
