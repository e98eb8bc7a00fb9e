package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/policy"
)

func (s *Server) status(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	return s.o.Road.Status(r.Context())
}

// burnDown counts days, today included.
func (s *Server) burnDown(r *http.Request) (any, error) {
	q, err := readQuery(r, "days")
	if err != nil {
		return nil, err
	}
	days, err := q.number("days", 90, 400)
	if err != nil {
		return nil, err
	}
	return s.o.Road.BurnDown(r.Context(), days)
}

// planQuestion asks whose calls would fail if.
type planQuestion struct {
	Stage   string          `json:"stage"`   // left out: as the calendar has it
	APIKeys []string        `json:"apikeys"` // left out: all without a stage of their own
	Cohort  string          `json:"cohort"`
	Share   string          `json:"share"` // "5%"
	At      string          `json:"at"`    // left out: now
	Enforce string          `json:"enforce"`
	Window  string          `json:"window"` // "14d", of recorded calls
	Routes  json.RawMessage `json:"routes"` // in place of those in force
}

func (s *Server) plan(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	p, err := readJSON[planQuestion](r)
	if err != nil {
		return nil, err
	}
	q, err := s.planRequest(r.Context(), p)
	if err != nil {
		return nil, err
	}
	plan, err := s.o.Road.Plan(r.Context(), q)
	return plan, cohortProblem(err)
}

func (s *Server) planRequest(ctx context.Context, p planQuestion) (q migration.PlanRequest, err error) {
	switch {
	case p.Stage == "" && p.At == "":
		return q, badRequest("name a stage, or a moment of the calendar with at", "it is not said what is asked")
	case p.Stage != "":
		if q.Stage, err = apikey.ParseStage(p.Stage); err != nil {
			return q, badRequest("", "%v", err)
		}
	}
	if len(p.APIKeys) > 0 && (p.Cohort != "" || p.Share != "") {
		return q, badRequest("ask about either", "apikeys are named, and a cohort or a share is too")
	}
	q.Cohort = p.Cohort
	if q.Share, err = parseShare(p.Share); err != nil {
		return q, err
	}
	if p.At != "" {
		if q.At, err = parseMoment(p.At); err != nil {
			return q, badRequest("", "at: %v", err)
		}
	}
	if len(p.Routes) > 0 && string(p.Routes) != "null" {
		if q.Routes, err = migration.ReadRoutes(bytes.NewReader(p.Routes)); err != nil {
			return q, badRequest("", "%v", err)
		}
	}
	if q.Enforce, err = parseEnforce(p.Enforce); err != nil {
		return q, err
	}
	if p.Window != "" {
		length, err := parseLength(p.Window)
		if err != nil || length == 0 {
			return q, badRequest("write it as 14d", "window is %q", p.Window)
		}
		q.Window.To = s.now()
		q.Window.From = q.Window.To.Add(-length)
	}
	q.IDs, err = s.apikeyIDs(ctx, p.APIKeys)
	return q, err
}

// parseShare reads 5%; nothing is no share.
func parseShare(text string) (policy.Share, error) {
	if text == "" {
		return 0, nil
	}
	share, err := policy.ParseShare(text)
	if err != nil {
		return 0, badRequest("", "%v", err)
	}
	return share, nil
}

func parseEnforce(name string) (e policy.Enforce, err error) {
	if err := e.UnmarshalText([]byte(name)); err != nil {
		return e, badRequest("", "%v", err)
	}
	return e, nil
}

// apikeyIDs resolves references; nil stays nil, which means all.
func (s *Server) apikeyIDs(ctx context.Context, refs []string) ([]string, error) {
	var ids []string
	for _, ref := range refs {
		k, err := s.findAPIKey(ctx, ref)
		if err != nil {
			return nil, err
		}
		ids = append(ids, k.ID)
	}
	return ids, nil
}

// stageOrder moves apikeys to a stage.
type stageOrder struct {
	Stage   string   `json:"stage"`
	APIKeys []string `json:"apikeys"`
	Cohort  string   `json:"cohort"`
	Share   string   `json:"share"` // "5%"
	All     bool     `json:"all"`
	At      string   `json:"at"` // of a cohort, a share or all; left out: now
	Until   string   `json:"until"`
	Reason  string   `json:"reason"`
}

func (s *Server) setStage(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[stageOrder](r)
	if err != nil {
		return nil, err
	}
	stage, err := apikey.ParseStage(p.Stage)
	if err != nil {
		return nil, badRequest("", "%v", err)
	}
	c := migration.StageChange{Stage: stage, All: p.All, Cohort: p.Cohort, Reason: p.Reason, DryRun: dryRun}
	if err := checkLine("reason", p.Reason, false); err != nil {
		return nil, err
	}
	if c.Share, err = parseShare(p.Share); err != nil {
		return nil, err
	}
	if p.At != "" {
		if c.At, err = parseMoment(p.At); err != nil {
			return nil, badRequest("", "at: %v", err)
		}
	}
	c.Actor, _ = actorOf(r.Context()) // Handler lets nobody in without
	if p.Until != "" {
		if c.Until, err = parseMoment(p.Until); err != nil {
			return nil, badRequest("", "until: %v", err)
		}
		if !c.Until.After(s.now()) {
			return nil, badRequest("", "until is %s, which has passed", p.Until)
		}
	}
	if c.IDs, err = s.apikeyIDs(r.Context(), p.APIKeys); err != nil {
		return nil, err
	}
	return s.moveStage(r.Context(), c)
}

// moveStage asks the road and says in words what it refuses.
func (s *Server) moveStage(ctx context.Context, c migration.StageChange) (migration.StageResult, error) {
	res, err := s.o.Road.SetStage(ctx, c)
	switch {
	case errors.Is(err, migration.ErrNoTarget):
		return res, badRequest("name apikeys, or a cohort, or a share, or say all", "it is not clear for which apikeys")
	case errors.Is(err, migration.ErrDateOfOne), errors.Is(err, migration.ErrUntilOfCohort), errors.Is(err, migration.ErrPast):
		return res, badRequest("", "%v", err)
	case errors.Is(err, migration.ErrFullCalendar):
		return res, problem(http.StatusConflict, "calendar_full", "", "%v", err)
	case errors.Is(err, migration.ErrStageDeclared):
		if declared := s.declared("migration.stage"); declared != nil {
			return res, declared
		}
		return res, problem(http.StatusConflict, "declared_in_file", "change it there, then run `offkey config reload`", "%v", err)
	case errors.Is(err, migration.ErrStageOfAll):
		return res, badRequest("name the apikeys", "%v", err)
	}
	return res, cohortProblem(err)
}

// stoppedAPIKey is an apikey that was revoked or blocked, what that stops, and
// what went with it.
type stoppedAPIKey struct {
	ID     string       `json:"id"`
	Last4  string       `json:"last4"`
	Stage  apikey.Stage `json:"stage"`
	Calls  int64        `json:"calls"` // in the last 30 days
	DryRun bool         `json:"dry_run,omitempty"`

	Disabled []string `json:"clients_disabled"`
	Kept     []string `json:"clients_kept"`
}

// stopOrder says why, and for a leak since when it may have been out.
type stopOrder struct {
	Reason string `json:"reason"`
	Since  string `json:"since"`
}

func (s *Server) revokeAPIKey(r *http.Request) (any, error) { return s.stop(r, apikey.Retired) }

func (s *Server) blockAPIKey(r *http.Request) (any, error) { return s.stop(r, apikey.Blocked) }

func (s *Server) stop(r *http.Request, to apikey.Stage) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[stopOrder](r)
	if err != nil {
		return nil, err
	}
	if err := checkLine("reason", p.Reason, false); err != nil {
		return nil, err
	}
	since, err := query{map[string][]string{"since": {p.Since}}}.since("since", s.now())
	if err != nil {
		return nil, err
	}
	if to == apikey.Retired && !since.IsZero() {
		return nil, badRequest("leave it out, or block the apikey", "since is about leaks")
	}
	k, err := s.findAPIKey(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	used, err := s.o.Road.Show(r.Context(), k.ID)
	if err != nil {
		return nil, err
	}
	a := stoppedAPIKey{ID: k.ID, Last4: k.Last4, Stage: to, Calls: used.Calls, DryRun: dryRun, Disabled: []string{}, Kept: []string{}}
	if dryRun {
		if to == apikey.Blocked {
			err = s.wouldContain(r.Context(), k.ID, since, &a)
		}
		return a, err
	}
	if to == apikey.Blocked {
		contained, err := s.store.ContainAPIKey(r.Context(), k.ID, since, event(r, "apikey.blocked", k.ID, p))
		a.Disabled, a.Kept = orNone(contained.Clients), orNone(contained.Kept)
		return a, err
	}
	c := migration.StageChange{Stage: to, IDs: []string{k.ID}, Reason: p.Reason}
	c.Actor, _ = actorOf(r.Context()) // Handler lets nobody in without
	_, err = s.moveStage(r.Context(), c)
	return a, err
}

// wouldContain fills in what ContainAPIKey would answer.
func (s *Server) wouldContain(ctx context.Context, apikeyID string, since time.Time, a *stoppedAPIKey) error {
	made, err := s.allClients(ctx, client.Filter{})
	if err != nil {
		return err
	}
	made = slices.DeleteFunc(made, func(c *client.Client) bool { return c.APIKeyID != apikeyID || c.Source != client.SourceUpgrade })
	stop, keep := client.SplitLeak(made, since)
	for _, c := range stop {
		a.Disabled = append(a.Disabled, c.ID)
	}
	for _, c := range keep {
		a.Kept = append(a.Kept, c.ID)
	}
	return nil
}
