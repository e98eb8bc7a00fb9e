package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/migration"
)

// mapAPIKeys maps all apikeys without a client that have one that fits. By csv
// the body of the request is the list that says which.
func (s *Server) mapAPIKeys(r *http.Request) (any, error) {
	q, err := readQuery(r, "by", "dry_run")
	if err != nil {
		return nil, err
	}
	dryRun, err := q.flag("dry_run")
	if err != nil {
		return nil, err
	}
	m := migration.MapRequest{By: q.text("by"), DryRun: dryRun}
	m.Actor, _ = actorOf(r.Context()) // Handler lets nobody in without
	if m.By == migration.MapByPairs {
		if m.Pairs, err = migration.ReadPairs(http.MaxBytesReader(nil, r.Body, maxImportBytes)); err != nil {
			return nil, badRequest("", "%v", err)
		}
	}
	if err := m.Check(); err != nil {
		return nil, badRequest("", "%v", err)
	}
	return s.o.Road.MapAll(r.Context(), m)
}

// description is what people know of apikeys: it replaces what is given, "" takes
// away.
type description struct {
	APIKeys []string `json:"apikeys"`  // ids, unique beginnings of them, or labels
	OfOwner string   `json:"of_owner"` // all apikeys of this owner; "-": of nobody
	Owner   *string  `json:"owner"`
	Contact *string  `json:"contact"`
	Label   *string  `json:"label"`
}

// maxDescribed bounds the apikeys of one change.
const maxDescribed = 10_000

// describeAPIKeys says whose apikeys are, and who is told about them.
func (s *Server) describeAPIKeys(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	p, err := readJSON[description](r)
	if err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	keys, err := s.described(r, p)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	if !dryRun && len(ids) > 0 {
		object := ids[0]
		if len(ids) > 1 {
			object = fmt.Sprintf("%d apikeys", len(ids))
		}
		p.APIKeys = ids
		if _, err := s.store.UpdateAPIKeys(r.Context(), ids, p.apply, event(r, "apikey.described", object, p)); err != nil {
			return nil, err
		}
	}
	return struct {
		APIKeys []string `json:"apikeys"`
		DryRun  bool     `json:"dry_run,omitempty"`
	}{ids, dryRun}, nil
}

func (p description) check() error {
	if p.Owner == nil && p.Contact == nil && p.Label == nil {
		return badRequest("give --owner, --contact or --label", "nothing is to be changed")
	}
	if (len(p.APIKeys) == 0) == (p.OfOwner == "") {
		return badRequest("name apikeys, or all of an owner with --of", "it does not say which apikeys")
	}
	for name, text := range map[string]*string{"owner": p.Owner, "contact": p.Contact, "label": p.Label} {
		if text == nil {
			continue
		}
		if err := checkLine(name, *text, false); err != nil {
			return err
		}
	}
	if c := p.Contact; c != nil && *c != "" && (!strings.Contains(*c, "@") || strings.ContainsAny(*c, " <>")) {
		return badRequest("", "the contact is no mail address")
	}
	return nil
}

func (p description) apply(k *apikey.Key) error {
	for _, field := range []struct{ to, from *string }{{&k.Owner, p.Owner}, {&k.Contact, p.Contact}, {&k.Label, p.Label}} {
		if field.from != nil {
			*field.to = strings.TrimSpace(*field.from)
		}
	}
	return nil
}

// described finds the apikeys that are meant.
func (s *Server) described(r *http.Request, p description) (keys []*apikey.Key, err error) {
	keys = []*apikey.Key{}
	if p.OfOwner == "" {
		for _, ref := range p.APIKeys {
			k, err := s.findAPIKey(r.Context(), ref)
			if err != nil {
				return nil, err
			}
			keys = append(keys, k)
		}
		return keys, nil
	}
	f := apikey.Filter{Owner: p.OfOwner, Limit: maxPage}
	if f.Owner == "-" {
		f.Owner, f.NoOwner = "", true
	}
	for {
		part, next, err := s.store.APIKeys(r.Context(), f)
		if err != nil {
			return nil, err
		}
		if keys = append(keys, part...); len(keys) > maxDescribed {
			return nil, badRequest("change them by a list: `offkey apikeys import`", "that owner has more than %d apikeys", maxDescribed)
		}
		if f.After = next; next == "" {
			return keys, nil
		}
	}
}
