package api

import (
	"net/http"

	"github.com/offkey/offkey/internal/token"
)

// revocationAnswer says what is refused from now on.
type revocationAnswer struct {
	Kind   string `json:"kind"` // person, client, session or all
	ID     string `json:"id"`
	Name   string `json:"name,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// revokePerson ends the sessions of a person, and refuses what was issued for
// them until now.
func (s *Server) revokePerson(r *http.Request) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	found, err := s.findPerson(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if !dryRun {
		err = s.store.EndPerson(r.Context(), found.ID, event(r, "person.revoked", found.ID, nil))
	}
	return revocationAnswer{token.RevokePerson, found.ID, found.Name, dryRun}, err
}

// revokeClient refuses what a client was issued until now. It may ask anew.
func (s *Server) revokeClient(r *http.Request) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	c, err := s.findClient(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if !dryRun {
		err = s.store.Revoke(r.Context(), token.Revocation{Kind: token.RevokeClient, ID: c.ID, Before: s.now()}, event(r, "client.revoked", c.ID, nil))
	}
	return revocationAnswer{token.RevokeClient, c.ID, c.Name, dryRun}, err
}

// endSession ends one browser session of a person, and refuses what was issued
// in it.
func (s *Server) endSession(r *http.Request) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	found, err := s.findPerson(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	id := r.PathValue("session")
	sessions, err := s.store.SessionsOf(r.Context(), found.ID, s.now())
	if err != nil {
		return nil, err
	}
	there := false
	for _, one := range sessions {
		there = there || one.ID == id
	}
	if !there {
		return nil, problem(http.StatusNotFound, "not_found", "see `offkey people sessions "+found.Name+"`", "%s has no session %q", found.Name, id)
	}
	if !dryRun {
		err = s.store.EndSession(r.Context(), id, found.ID, event(r, "session.ended", id, map[string]string{"person": found.ID}))
	}
	return revocationAnswer{token.RevokeSession, id, found.Name, dryRun}, err
}

// revokeAll ends every session and refuses all that was issued until now, to
// whomever.
func (s *Server) revokeAll(r *http.Request) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	if !dryRun {
		err = s.store.RevokeEverything(r.Context(), event(r, "everything.revoked", token.All, nil))
	}
	return revocationAnswer{Kind: token.RevokeAll, ID: token.All, DryRun: dryRun}, err
}
