package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
)

// mostGroups bounds what is read as a whole.
const mostGroups = 1000

const groupColumns = `name, scopes, roles, policy, source, created, updated`

// Groups returns all groups by name.
func (db *DB) Groups(ctx context.Context) (groups []directory.Group, err error) {
	err = db.view(ctx, func(s *session) error {
		return s.groups(&groups, `SELECT `+groupColumns+` FROM people_group ORDER BY name`)
	})
	return groups, err
}

func (s *session) group(name string) (directory.Group, error) {
	var found []directory.Group
	if err := s.groups(&found, `SELECT `+groupColumns+` FROM people_group WHERE name = ?`, name); err != nil {
		return directory.Group{}, err
	}
	if len(found) == 0 {
		return directory.Group{}, fmt.Errorf("%w: %s", directory.ErrNoGroup, name)
	}
	return found[0], nil
}

func (s *session) groups(to *[]directory.Group, query string, a ...any) error {
	return s.each(query, a, func(scan func(...any) error) error {
		var g directory.Group
		var scopes, roles, policy string
		var created, updated int64
		if err := scan(&g.Name, &scopes, &roles, &policy, &g.Source, &created, &updated); err != nil {
			return err
		}
		g.Scopes, g.Roles, g.Created, g.Updated = splitWords(scopes), splitWords(roles), instant(created), instant(updated)
		if err := json.Unmarshal([]byte(policy), &g.Policy); err != nil {
			return fmt.Errorf("group %s: policy: %w", g.Name, err)
		}
		*to = append(*to, g)
		return nil
	})
}

// UpdateGroup lets update change a group, made where it is not there, with
// nobody changing it in between. The error of update leaves all as it was. The
// detail of e is written down after update has run.
func (db *DB) UpdateGroup(ctx context.Context, name string, update func(g *directory.Group, there bool) error, e audit.Event) (g directory.Group, err error) {
	err = db.change(ctx, func(x *tx) error {
		g, err = x.group(name)
		there := err == nil
		switch {
		case errors.Is(err, directory.ErrNoGroup):
			g = directory.Group{Name: name, Created: x.now}
		case err != nil:
			return err
		default:
			g.Updated = x.now
		}
		if err := update(&g, there); err != nil {
			return err
		}
		if g.Name != name {
			return fmt.Errorf("group %s: its name became %q: names do not change", name, g.Name)
		}
		if err := x.writeGroup(g, there); err != nil {
			return fmt.Errorf("group %s: %w", name, err)
		}
		if g, err = x.group(name); err != nil { // as it was stored
			return err
		}
		return x.record(e)
	})
	if err != nil {
		return directory.Group{}, err
	}
	return g, nil
}

func (x *tx) writeGroup(g directory.Group, there bool) error {
	if !there {
		var have int
		if err := x.one(`SELECT count(*) FROM people_group`, nil, &have); err != nil {
			return err
		}
		if have >= mostGroups {
			return fmt.Errorf("there are %d groups, which is the most", have)
		}
	}
	scopes, err := joinWords(g.Scopes)
	if err != nil {
		return err
	}
	roles, err := joinWords(g.Roles)
	if err != nil {
		return err
	}
	policy, err := json.Marshal(g.Policy)
	if err != nil {
		return err
	}
	if _, err := x.exec(`INSERT INTO people_group (`+groupColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET scopes = excluded.scopes, roles = excluded.roles, policy = excluded.policy,
			source = excluded.source, created = excluded.created, updated = excluded.updated`,
		g.Name, scopes, roles, string(policy), g.Source, micros(g.Created), micros(g.Updated)); err != nil {
		return err
	}
	return x.changed(ChangeGroup, g.Name)
}

// DeleteGroup removes a group; its members are in it no more. It returns
// directory.ErrNoGroup for one that is not there.
func (db *DB) DeleteGroup(ctx context.Context, name string, e audit.Event) error {
	return db.change(ctx, func(x *tx) error {
		if _, err := x.group(name); err != nil {
			return err
		}
		for _, remove := range []string{`DELETE FROM person_group WHERE group_name = ?`, `DELETE FROM people_group WHERE name = ?`} {
			if _, err := x.exec(remove, name); err != nil {
				return err
			}
		}
		if err := x.changed(ChangeGroup, name); err != nil { // views forget everybody
			return err
		}
		return x.record(e)
	})
}

// Members returns how many people are in each group.
func (db *DB) Members(ctx context.Context) (members map[string]int, err error) {
	members = map[string]int{}
	err = db.view(ctx, func(s *session) error {
		return s.each(`SELECT group_name, count(*) FROM person_group GROUP BY group_name`, nil, func(scan func(...any) error) error {
			var name string
			var n int
			if err := scan(&name, &n); err != nil {
				return err
			}
			members[name] = n
			return nil
		})
	})
	return members, err
}
