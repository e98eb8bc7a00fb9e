package api

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/migration"
)

var apikeyOrders = map[string]apikey.Order{
	"id": apikey.SortID, "calls": apikey.SortCalls, "last_used": apikey.SortLastUsed, "first_used": apikey.SortFirstUsed,
	"owner": apikey.SortOwner, "stage": apikey.SortID,
}

// apikeyFilter reads what is listed. The stage is the one that holds, which an
// apikey may share with all others; "-" is no owner.
func (s *Server) apikeyFilter(q query) (f migration.InventoryFilter, err error) {
	f.Where, f.After = q.text("where"), q.text("after")
	if f.Limit, err = q.number("limit", defaultPage, maxPage); err != nil {
		return f, err
	}
	if f.Owner = q.text("owner"); f.Owner == "-" {
		f.Owner, f.NoOwner = "", true
	}
	if name := q.text("stage"); name != "" {
		if f.Holds, err = apikey.ParseStage(name); err != nil {
			return f, badRequest("", "%v", err)
		}
	}
	if f.UnusedSince, err = q.since("unused", s.now()); err != nil {
		return f, err
	}
	order, known := apikeyOrders[cmp.Or(q.text("sort"), "id")]
	if !known {
		return f, badRequest("sort by "+strings.Join(slices.Sorted(maps.Keys(apikeyOrders)), ", "), "the list cannot be sorted by %q", q.text("sort"))
	}
	f.Sort, f.ByStage = order, q.text("sort") == "stage"
	return f, nil
}

func (s *Server) listAPIKeys(r *http.Request) (any, error) {
	q, err := readQuery(r, "stage", "owner", "unused", "where", "sort", "limit", "after")
	if err != nil {
		return nil, err
	}
	f, err := s.apikeyFilter(q)
	if err != nil {
		return nil, err
	}
	items, next, err := s.o.Road.Inventory(r.Context(), f)
	if errors.Is(err, apikey.ErrNotFound) {
		return nil, badRequest("start again without it", "the cursor %q names nothing in this list any more", f.After)
	}
	if err != nil {
		return nil, err
	}
	var cursor *string
	if next != "" {
		cursor = &next
	}
	return struct {
		APIKeys []migration.Item `json:"apikeys"`
		Next    *string          `json:"next"`
	}{orNone(items), cursor}, nil
}

// findAPIKey takes an id, a unique beginning of one, or a label.
func (s *Server) findAPIKey(ctx context.Context, ref string) (*apikey.Key, error) {
	if k, err := s.store.APIKey(ctx, ref); err == nil {
		return k, nil
	}
	var all []*apikey.Key
	for f := (apikey.Filter{Limit: maxPage}); ; {
		part, next, err := s.store.APIKeys(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, k := range part {
			if strings.HasPrefix(k.ID, ref) || k.Label == ref {
				all = append(all, k)
			}
		}
		if f.After = next; next == "" {
			return pick("apikey", ref, all, func(k *apikey.Key) (id, name string) { return k.ID, k.Label })
		}
	}
}

func (s *Server) showAPIKey(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	k, err := s.findAPIKey(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return s.o.Road.Show(r.Context(), k.ID)
}

// lookup names an apikey by itself.
type lookup struct {
	Secret string `json:"apikey_secret"`
}

func (s *Server) lookUpAPIKey(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	p, err := readJSON[lookup](r)
	if err != nil {
		return nil, err
	}
	if p.Secret == "" {
		return nil, badRequest("", "apikey_secret is missing")
	}
	k, err := s.store.APIKeyByFingerprint(r.Context(), s.o.Fingerprint(p.Secret))
	if errors.Is(err, apikey.ErrNotFound) {
		return nil, problem(http.StatusNotFound, "not_found", "it is learnt when your API answers a call with it with success, or brought in with `offkey apikeys import`", "this apikey is not known")
	}
	if err != nil {
		return nil, err
	}
	return s.o.Road.Show(r.Context(), k.ID)
}

// mapping names the client that replaces an apikey; "" is none.
type mapping struct {
	Client string `json:"client"`
}

func (s *Server) mapAPIKey(r *http.Request) (any, error) {
	p, err := readJSON[mapping](r)
	if err != nil {
		return nil, err
	}
	clientID := ""
	if p.Client != "" {
		c, err := s.findClient(r.Context(), p.Client)
		if err != nil {
			return nil, err
		}
		clientID = c.ID
	}
	return s.changeAPIKey(r, "apikey.mapped", func(k *apikey.Key) error {
		k.ClientID = clientID
		return nil
	}, map[string]string{"client": clientID})
}

// extension gives an apikey until a date.
type extension struct {
	Until  string `json:"until"`
	Reason string `json:"reason"`
}

// extendAPIKey records an exception: until its end the apikey keeps working
// whatever becomes of its cohort or of all, and then follows them. The date is
// announced.
func (s *Server) extendAPIKey(r *http.Request) (any, error) {
	p, err := readJSON[extension](r)
	if err != nil {
		return nil, err
	}
	until, err := parseMoment(p.Until)
	switch {
	case err != nil:
		return nil, badRequest("", "until: %v", err)
	case !until.After(s.now()):
		return nil, badRequest("", "until is %s, which has passed", p.Until)
	case strings.TrimSpace(p.Reason) == "":
		return nil, badRequest("say why; it is written into the audit", "reason is missing")
	}
	if err := checkLine("reason", p.Reason, true); err != nil {
		return nil, err
	}
	actor, _ := actorOf(r.Context()) // Handler lets nobody in without
	return s.changeAPIKey(r, "apikey.extended", func(k *apikey.Key) error {
		return migration.Extend(k, apikey.Extension{Until: until, Granted: s.now(), By: actor, Reason: p.Reason, Taken: k.Extension.Taken})
	}, p)
}

// changeAPIKey changes one apikey, or with dry_run a copy of it.
func (s *Server) changeAPIKey(r *http.Request, action string, change func(*apikey.Key) error, detail any) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	k, err := s.findAPIKey(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	if dryRun {
		copied := *k
		k = &copied
		if err := change(k); err != nil {
			return nil, extensionProblem(k, err)
		}
		return s.keyAnswer(k, true), nil
	}
	changed, err := s.store.UpdateAPIKeys(r.Context(), []string{k.ID}, change, event(r, action, k.ID, detail))
	if err != nil {
		return nil, extensionProblem(k, err)
	}
	return s.keyAnswer(changed[0], false), nil
}

func extensionProblem(k *apikey.Key, err error) error {
	if errors.Is(err, migration.ErrBlocked) {
		return problem(http.StatusConflict, "apikey_blocked", "give its owner a client instead: `offkey clients create`", "apikey %s is blocked after a leak", k.ID)
	}
	return err
}

// keyAnswer is an apikey after a change, with the stage and the end that hold
// for it.
type keyAnswer struct {
	*apikey.Key
	Stage  apikey.Stage `json:"stage"`
	Until  time.Time    `json:"until,omitzero"`
	DryRun bool         `json:"dry_run,omitempty"`
}

func (s *Server) keyAnswer(k *apikey.Key, dryRun bool) keyAnswer {
	standing := s.o.Ruleset().StandingOf(k, s.now())
	return keyAnswer{Key: k, Stage: standing.Stage, Until: standing.Sunset, DryRun: dryRun}
}
