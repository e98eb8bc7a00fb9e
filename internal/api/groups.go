package api

import (
	"net/http"
	"slices"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
)

// groupAnswer is a group as it is shown.
type groupAnswer struct {
	directory.Group
	Members int  `json:"members"` // of everyone: -1, for all
	DryRun  bool `json:"dry_run,omitempty"`
}

func shownGroup(g directory.Group, members map[string]int) groupAnswer {
	g.Scopes = orNone(g.Scopes)
	shown := groupAnswer{Group: g, Members: members[g.Name]}
	if g.Name == directory.Everyone {
		shown.Members = -1
	}
	return shown
}

func (s *Server) listGroups(r *http.Request) (any, error) {
	if _, err := readQuery(r, "limit", "after"); err != nil {
		return nil, err
	}
	groups, err := s.store.Groups(r.Context())
	if err != nil {
		return nil, err
	}
	members, err := s.store.Members(r.Context())
	if err != nil {
		return nil, err
	}
	list := struct {
		Groups []groupAnswer `json:"groups"`
		Next   *string       `json:"next"`
	}{Groups: []groupAnswer{}}
	for _, g := range groups {
		list.Groups = append(list.Groups, shownGroup(g, members))
	}
	return list, nil
}

// groupChanges are what is to be different about a group. What is left out
// stays; an empty text of a policy says nothing from then on.
type groupChanges struct {
	Scopes      *[]string              `json:"scopes"`
	Roles       *[]string              `json:"roles"`
	Interactive *directory.Interactive `json:"interactive"`
	MFA         *directory.MFA         `json:"mfa"`
	SessionIdle *directory.Span        `json:"session_idle"`
	SessionMax  *directory.Span        `json:"session_max"`
	Reauth      *directory.Span        `json:"reauth"`
}

func (c groupChanges) apply(g *directory.Group) error {
	if g.Source == directory.SourceFile {
		return problem(http.StatusConflict, "declared_in_file", "change it there, then run `offkey config reload`", "the group %s is declared in the configuration file under people.groups", g.Name)
	}
	g.Source = directory.SourceAPI
	if c.Scopes != nil {
		scopes := oauth.Scope{}
		for _, name := range *c.Scopes {
			scope, err := oauth.ParseScope(name)
			if err != nil {
				return badRequest("", "%v", err)
			}
			scopes = scopes.Union(scope) // each once
		}
		g.Scopes = scopes
	}
	if c.Roles != nil {
		for _, role := range *c.Roles {
			if role != directory.RoleAdmin {
				return badRequest("", "there is no role %q: it is admin", role)
			}
		}
		g.Roles = slices.Compact(*c.Roles)
	}
	put(&g.Policy.Interactive, c.Interactive)
	put(&g.Policy.MFA, c.MFA)
	put(&g.Policy.SessionIdle, c.SessionIdle)
	put(&g.Policy.SessionMax, c.SessionMax)
	put(&g.Policy.Reauth, c.Reauth)
	if err := g.Policy.Check(); err != nil {
		return badRequest("", "%v", err)
	}
	return nil
}

func put[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}

func (s *Server) setGroup(r *http.Request) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	c, err := readJSON[groupChanges](r)
	if err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	if err := directory.CheckGroupName(name); err != nil {
		return nil, badRequest("", "%v", err)
	}
	members, err := s.store.Members(r.Context())
	if err != nil {
		return nil, err
	}
	if dryRun {
		groups, err := s.store.Groups(r.Context())
		if err != nil {
			return nil, err
		}
		g := directory.Group{Name: name}
		if i := slices.IndexFunc(groups, func(g directory.Group) bool { return g.Name == name }); i >= 0 {
			g = groups[i]
		}
		err = c.apply(&g)
		shown := shownGroup(g, members)
		shown.DryRun = true
		return shown, err
	}
	detail := map[string]any{}
	g, err := s.store.UpdateGroup(r.Context(), name, func(g *directory.Group, _ bool) error {
		if err := c.apply(g); err != nil {
			return err
		}
		detail["scopes"], detail["roles"], detail["policy"] = orNone(g.Scopes), orNone(g.Roles), g.Policy
		return nil
	}, event(r, "group.set", name, detail))
	if err != nil {
		return nil, err
	}
	return shownGroup(g, members), nil
}

func (s *Server) deleteGroup(r *http.Request) (any, error) {
	dryRun, err := dryRunOf(r)
	if err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	groups, err := s.store.Groups(r.Context())
	if err != nil {
		return nil, err
	}
	members, err := s.store.Members(r.Context())
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(groups, func(g directory.Group) bool { return g.Name == name })
	switch {
	case i < 0:
		return nil, problem(http.StatusNotFound, "not_found", "the groups are "+namesOf(groups), "there is no group %q", name)
	case groups[i].Source == directory.SourceFile:
		return nil, groupChanges{}.apply(&groups[i])
	case name == directory.Everyone || name == directory.Admins:
		return nil, problem(http.StatusConflict, "always_there", "", "the group %s is always there", name)
	}
	shown := shownGroup(groups[i], members)
	if shown.DryRun = dryRun; !dryRun {
		err = s.store.DeleteGroup(r.Context(), name, event(r, "group.deleted", name, map[string]int{"members": shown.Members}))
	}
	return shown, err
}
