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
	Words
}

// Words are what people read about the API and whoever runs it. They decide
// nothing.
type Words struct {
	// Scopes says by name and language what a scope opens; the language "" is for
	// all that have none of their own.
	Scopes map[string]map[string]string `json:"scope_words,omitempty"`
	// Service is the name of what people sign in to; "": the host of the issuer.
	Service string `json:"service_name,omitempty"`
}

// Scope says what a scope opens, "" if nobody has said it.
func (w Words) Scope(name, language string) string {
	if text := w.Scopes[name][language]; text != "" {
		return text
	}
	return w.Scopes[name][""]
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
