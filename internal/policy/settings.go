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
}

// ErrNotFound is what a store answers about a route that is not there.
var ErrNotFound = errors.New("no such route")
