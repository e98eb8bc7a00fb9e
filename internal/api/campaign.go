package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
)

// Campaign is what of Road is about stages over a calendar.
type Campaign interface {
	Cohorts(ctx context.Context) ([]migration.CohortItem, error)
	SetCohort(ctx context.Context, c migration.CohortChange) (migration.CohortResult, error)
	DeleteCohort(ctx context.Context, name, actor string, dryRun bool) (migration.CohortResult, error)
	Calendar(ctx context.Context) (migration.Calendar, error)
	CancelStep(ctx context.Context, id, actor string, dryRun bool) (policy.Step, error)
	Pause(ctx context.Context, o migration.PauseOrder) (migration.PauseResult, error)
	Resume(ctx context.Context, o migration.PauseOrder) (migration.PauseResult, error)
	Freeze(ctx context.Context, from time.Time, actor string) error
	SetGuards(ctx context.Context, guards []string, actor string) ([]string, error)
	SetSelfExtension(ctx context.Context, length time.Duration, actor string) error
	Brownout(ctx context.Context, o migration.BrownoutOrder) (migration.BrownoutResult, error)
	Brownouts(ctx context.Context) ([]migration.BrownoutItem, error)
	CancelBrownout(ctx context.Context, id, reason, actor string, dryRun bool) ([]migration.BrownoutItem, error)
	Exceptions(ctx context.Context) ([]migration.Exception, error)
	Widen(ctx context.Context, o migration.WidenOrder) (migration.WidenResult, error)
	// KeepScopes is told that an operator has set the scopes of a client.
	KeepScopes(ctx context.Context, clientID, actor string) error
}

func (s *Server) showCalendar(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	return s.o.Road.Calendar(r.Context())
}

// campaignProblem says in words what is wrong with an order about the campaign.
func campaignProblem(err error) error {
	for _, bad := range []error{
		migration.ErrBrownoutLength, migration.ErrPast, migration.ErrWidenLength, migration.ErrNothingToGive,
	} {
		if errors.Is(err, bad) {
			return badRequest("", "%v", err)
		}
	}
	for known, fix := range map[error]string{
		migration.ErrNoBrownout:  "put them into it first: `offkey stage set brownout --cohort NAME`",
		migration.ErrManyWindows: "cancel some: `offkey brownout cancel`",
		migration.ErrPaused:      "`offkey stage resume` lets it go on",
		migration.ErrNotPaused:   "",
		migration.ErrManyWidened: "`offkey stage exceptions` lists them",
		migration.ErrFromFile:    "change it there, then run `offkey config reload`",
	} {
		if errors.Is(err, known) {
			return problem(http.StatusConflict, "conflict", fix, "%v", err)
		}
	}
	if errors.Is(err, migration.ErrNoStep) || errors.Is(err, migration.ErrNoWindow) {
		return problem(http.StatusNotFound, "not_found", "`offkey stage calendar` names them", "%v", err)
	}
	return cohortProblem(err)
}

func (s *Server) cancelStep(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	actor, _ := actorOf(r.Context()) // Handler lets nobody in without
	step, err := s.o.Road.CancelStep(r.Context(), r.PathValue("id"), actor, dryRun)
	return struct {
		policy.Step
		DryRun bool `json:"dry_run,omitempty"`
	}{step, dryRun}, campaignProblem(err)
}

// pauseOrder stops the campaign, or lets it go on.
type pauseOrder struct {
	Back      string `json:"back"`       // of a pause: "24h"
	AsPlanned bool   `json:"as_planned"` // of the way on
	Reason    string `json:"reason"`
}

func readPause(r *http.Request) (o migration.PauseOrder, err error) {
	if o.DryRun, err = onlyDryRun(r); err != nil {
		return o, err
	}
	p, err := readJSON[pauseOrder](r)
	if err != nil {
		return o, err
	}
	if err := checkLine("reason", p.Reason, false); err != nil {
		return o, err
	}
	if p.Back != "" {
		if o.Back, err = parseLength(p.Back); err != nil {
			return o, badRequest("", "back: %v", err)
		}
	}
	o.Reason, o.AsPlanned = p.Reason, p.AsPlanned
	o.Actor, _ = actorOf(r.Context()) // Handler lets nobody in without
	return o, nil
}

func (s *Server) pause(r *http.Request) (any, error) {
	o, err := readPause(r)
	if err != nil {
		return nil, err
	}
	res, err := s.o.Road.Pause(r.Context(), o)
	return res, campaignProblem(err)
}

func (s *Server) resume(r *http.Request) (any, error) {
	o, err := readPause(r)
	if err != nil {
		return nil, err
	}
	res, err := s.o.Road.Resume(r.Context(), o)
	return res, campaignProblem(err)
}

// freezeOrder says from when on new apikeys are refused; nothing is never.
type freezeOrder struct {
	From string `json:"from"`
}

func (s *Server) freeze(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	p, err := readJSON[freezeOrder](r)
	if err != nil {
		return nil, err
	}
	var from time.Time
	if p.From != "" {
		if from, err = parseMoment(p.From); err != nil {
			return nil, badRequest("", "from: %v", err)
		}
	}
	actor, _ := actorOf(r.Context()) // Handler lets nobody in without
	if err := s.o.Road.Freeze(r.Context(), from, actor); err != nil {
		return nil, err
	}
	return s.o.Road.Calendar(r.Context())
}

// guardOrder says when the campaign pauses by itself.
type guardOrder struct {
	StopIf []string `json:"stop_if"`
}

func (s *Server) setGuards(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	p, err := readJSON[guardOrder](r)
	if err != nil {
		return nil, err
	}
	actor, _ := actorOf(r.Context()) // Handler lets nobody in without
	if err := migration.CheckGuards(p.StopIf); err != nil {
		return nil, badRequest("", "%v", err)
	}
	if _, err := s.o.Road.SetGuards(r.Context(), p.StopIf, actor); err != nil {
		return nil, err
	}
	return s.o.Road.Calendar(r.Context())
}

// selfExtension says how long callers may extend an apikey by themselves.
type selfExtension struct {
	Length string `json:"length"` // "30d"; nothing is not at all
}

func (s *Server) setSelfExtension(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	p, err := readJSON[selfExtension](r)
	if err != nil {
		return nil, err
	}
	var length time.Duration
	if p.Length != "" {
		if length, err = parseLength(p.Length); err != nil || length > 366*24*time.Hour {
			return nil, badRequest("write it as 30d, a year at most", "length is %q", p.Length)
		}
	}
	actor, _ := actorOf(r.Context()) // Handler lets nobody in without
	if err := s.o.Road.SetSelfExtension(r.Context(), length, actor); err != nil {
		return nil, err
	}
	return s.o.Road.Calendar(r.Context())
}

func (s *Server) listBrownouts(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	items, err := s.o.Road.Brownouts(r.Context())
	return brownoutList{orNone(items), nil}, err
}

type brownoutList struct {
	Brownouts []migration.BrownoutItem `json:"brownouts"`
	Next      *string                  `json:"next"`
}

// brownoutOrder asks for a window.
type brownoutOrder struct {
	Cohort string `json:"cohort"`
	Share  string `json:"share"`
	At     string `json:"at"` // left out: now
	For    string `json:"for"`
	Reason string `json:"reason"`
}

func (s *Server) scheduleBrownout(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[brownoutOrder](r)
	if err != nil {
		return nil, err
	}
	o := migration.BrownoutOrder{Cohort: p.Cohort, Reason: p.Reason, DryRun: dryRun}
	o.Actor, _ = actorOf(r.Context()) // Handler lets nobody in without
	if err := checkLine("reason", p.Reason, false); err != nil {
		return nil, err
	}
	if o.Share, err = parseShare(p.Share); err != nil {
		return nil, err
	}
	if o.For, err = parseLength(p.For); err != nil {
		return nil, badRequest("", "for: %v", err)
	}
	if p.At != "" {
		if o.From, err = parseMoment(p.At); err != nil {
			return nil, badRequest("", "at: %v", err)
		}
	}
	res, err := s.o.Road.Brownout(r.Context(), o)
	return res, campaignProblem(err)
}

// cancelOrder names a window; nothing is all.
type cancelOrder struct {
	ID     string `json:"id"`
	All    bool   `json:"all"`
	Reason string `json:"reason"`
}

func (s *Server) cancelBrownout(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[cancelOrder](r)
	if err != nil {
		return nil, err
	}
	if p.All == (p.ID != "") {
		return nil, badRequest("name one, or say all", "it is not clear which brownout")
	}
	if err := checkLine("reason", p.Reason, false); err != nil {
		return nil, err
	}
	actor, _ := actorOf(r.Context()) // Handler lets nobody in without
	items, err := s.o.Road.CancelBrownout(r.Context(), p.ID, p.Reason, actor, dryRun)
	return struct {
		brownoutList
		DryRun bool `json:"dry_run,omitempty"`
	}{brownoutList{orNone(items), nil}, dryRun}, campaignProblem(err)
}

func (s *Server) listExceptions(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	items, err := s.o.Road.Exceptions(r.Context())
	return struct {
		Exceptions []migration.Exception `json:"exceptions"`
		Next       *string               `json:"next"`
	}{orNone(items), nil}, err
}

// widenOrder gives a client more scopes for a time.
type widenOrder struct {
	Scopes []string `json:"scopes"` // left out: what it was refused for lately
	For    string   `json:"for"`
	Reason string   `json:"reason"`
}

func (s *Server) widenClient(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[widenOrder](r)
	if err != nil {
		return nil, err
	}
	if err := checkLine("reason", p.Reason, true); err != nil {
		return nil, err
	}
	c, err := s.findClient(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	o := migration.WidenOrder{ClientID: c.ID, Reason: p.Reason, DryRun: dryRun}
	o.Actor, _ = actorOf(r.Context()) // Handler lets nobody in without
	if len(p.Scopes) > 0 {
		if o.Scopes, err = oauth.ParseScope(strings.Join(p.Scopes, " ")); err != nil {
			return nil, badRequest("", "%v", err)
		}
	}
	if o.For, err = parseLength(p.For); err != nil {
		return nil, badRequest("", "for: %v", err)
	}
	res, err := s.o.Road.Widen(r.Context(), o)
	return res, campaignProblem(err)
}
