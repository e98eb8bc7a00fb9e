package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/migration"
)

// tellOrder says whose owners are told, and of what; left out: of all that is
// due.
type tellOrder struct {
	APIKeys  []string `json:"apikeys"`
	Cohort   string   `json:"cohort"`
	Occasion string   `json:"occasion"` // warn, brownout or end
	Again    bool     `json:"again"`    // also what was told before
	Stage    string   `json:"stage"`    // with dry_run: if that were the stage of all
}

var occasions = []string{migration.OccasionWarn, migration.OccasionBrownout, migration.OccasionEnd}

func (s *Server) notifyOwners(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[tellOrder](r)
	if err != nil {
		return nil, err
	}
	switch {
	case p.Occasion != "" && !slices.Contains(occasions, p.Occasion):
		return nil, badRequest("it is "+strings.Join(occasions, ", "), "the occasion is %q", p.Occasion)
	case len(p.APIKeys) > 0 && p.Cohort != "":
		return nil, badRequest("name one of them", "apikeys are named, and a cohort too")
	case p.Cohort != "" && s.o.Ruleset().Campaign.Cohort(p.Cohort) == nil:
		return nil, problem(http.StatusNotFound, "not_found", "`offkey stage cohorts list` names them", "there is no cohort %q", p.Cohort)
	}
	stage := apikey.Inherit
	if p.Stage != "" {
		if stage, err = apikey.ParseStage(p.Stage); err != nil {
			return nil, badRequest("", "%v", err)
		}
		if !dryRun {
			return nil, badRequest("set the stage: owners are then told by themselves", "what would be told if is asked with dry_run")
		}
	}
	o := migration.TellOrder{Cohort: p.Cohort, Kind: p.Occasion, Again: p.Again, Stage: stage, DryRun: dryRun}
	o.Actor, _ = actorOf(r.Context()) // Handler lets nobody in without
	if o.IDs, err = s.apikeyIDs(r.Context(), p.APIKeys); err != nil {
		return nil, err
	}
	return s.o.Road.Tell(r.Context(), o)
}
