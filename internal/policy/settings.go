package policy

import (
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

// Settings are the rules that hold for all, as an operator has set them.
// Ruleset is made from them and from the routes.
type Settings struct {
	Stage         apikey.Stage       `json:"stage"`
	StageSince    time.Time          `json:"stage_since,omitzero"`
	Enforce       Enforce            `json:"enforce"`
	ClientEnforce map[string]Enforce `json:"client_enforce,omitempty"`
}
