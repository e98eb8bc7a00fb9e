package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/policy"
)

func (s *Server) listCohorts(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	items, err := s.o.Road.Cohorts(r.Context())
	return struct {
		Cohorts []migration.CohortItem `json:"cohorts"`
		Next    *string                `json:"next"`
	}{orNone(items), nil}, err
}

// cohortOrder says who is in a cohort: everybody who meets all that is asked.
type cohortOrder struct {
	Owners   []string `json:"owners"`
	Labels   []string `json:"labels"`
	Prefixes []string `json:"prefixes"`
	Share    string   `json:"share"`   // "5%"
	APIKeys  []string `json:"apikeys"` // these, and
	Routes   []string `json:"routes"`  // those that called one of these lately, and
	Unused   string   `json:"unused"`  // those that called nothing for so long
	Before   string   `json:"before"`  // the cohort that it is asked before
}

func (s *Server) setCohort(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[cohortOrder](r)
	if err != nil {
		return nil, err
	}
	c := migration.CohortChange{
		Name: r.PathValue("name"), Before: p.Before, DryRun: dryRun,
		Match: policy.Match{Owners: p.Owners, Labels: p.Labels, Prefixes: p.Prefixes},
	}
	c.Actor, _ = actorOf(r.Context()) // Handler lets nobody in without
	if c.Match.Share, err = parseShare(p.Share); err != nil {
		return nil, err
	}
	for _, text := range slices.Concat(p.Owners, p.Labels, p.Prefixes) {
		if err := checkLine("a value", text, true); err != nil {
			return nil, err
		}
	}
	if c.IDs, err = s.apikeyIDs(r.Context(), p.APIKeys); err != nil {
		return nil, err
	}
	for _, match := range p.Routes {
		route, err := policy.ParseRoute(match)
		if err != nil {
			return nil, badRequest("", "%v", err)
		}
		c.Routes = append(c.Routes, route)
	}
	if c.Unused, err = (query{map[string][]string{"unused": {p.Unused}}}).since("unused", s.now()); err != nil {
		return nil, err
	}
	c.Match.Chosen = chosenWords(p)
	c.Match.Named = c.Match.Chosen != ""
	if err := (policy.Cohort{Name: c.Name, Match: c.Match}).Check(); err != nil {
		return nil, badRequest("", "%v", err)
	}
	res, err := s.o.Road.SetCohort(r.Context(), c)
	return res, cohortProblem(err)
}

// chosenWords says how apikeys were put into a cohort, for people.
func chosenWords(p cohortOrder) string {
	var ways []string
	if len(p.APIKeys) > 0 {
		ways = append(ways, "by id")
	}
	if len(p.Routes) > 0 {
		ways = append(ways, "called "+strings.Join(p.Routes, ", "))
	}
	if p.Unused != "" {
		ways = append(ways, "unused "+p.Unused)
	}
	return strings.Join(ways, "; ")
}

func (s *Server) deleteCohort(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	actor, _ := actorOf(r.Context()) // Handler lets nobody in without
	res, err := s.o.Road.DeleteCohort(r.Context(), r.PathValue("name"), actor, dryRun)
	return res, cohortProblem(err)
}

// cohortProblem says in words what is wrong with a cohort.
func cohortProblem(err error) error {
	switch {
	case errors.Is(err, policy.ErrNoCohort):
		return problem(http.StatusNotFound, "not_found", "`offkey stage cohorts list` names them", "%v", err)
	case errors.Is(err, migration.ErrTooManyCohorts):
		return problem(http.StatusConflict, "too_many_cohorts", "delete one: `offkey stage cohorts delete`", "%v", err)
	}
	return err
}
