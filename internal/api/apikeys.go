package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/migration"
)

// seen is a time that may be missing; missing is before all others.
func seen(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

var apikeyOrders = map[string]func(a, b migration.Item) int{
	"id":         func(a, b migration.Item) int { return 0 },
	"calls":      func(a, b migration.Item) int { return cmp.Compare(b.Calls, a.Calls) }, // the most first
	"last_used":  func(a, b migration.Item) int { return seen(b.LastUsed).Compare(seen(a.LastUsed)) },
	"first_used": func(a, b migration.Item) int { return seen(a.FirstUsed).Compare(seen(b.FirstUsed)) },
	"owner":      func(a, b migration.Item) int { return strings.Compare(a.Owner, b.Owner) },
	"stage":      func(a, b migration.Item) int { return cmp.Compare(a.Stage, b.Stage) },
}

// apikeyFilter chooses what is listed. Stage is the one that holds, which an
// apikey may share with all others.
type apikeyFilter struct {
	stage  *apikey.Stage
	owner  string
	unused time.Time // no call since then; zero is any
	where  string
}

func (f apikeyFilter) takes(i migration.Item) bool {
	switch {
	case f.stage != nil && i.Stage != *f.stage:
	case f.owner == "-" && i.Owner != "":
	case f.owner != "" && f.owner != "-" && i.Owner != f.owner:
	case !f.unused.IsZero() && !seen(i.LastUsed).Before(f.unused):
	case f.where != "" && !slices.ContainsFunc(i.Carriers, func(c string) bool {
		kind, _, _ := strings.Cut(c, ":")
		return c == f.where || kind == f.where
	}):
	default:
		return true
	}
	return false
}

func (s *Server) listAPIKeys(r *http.Request) (any, error) {
	q, err := readQuery(r, "stage", "owner", "unused", "where", "sort", "limit", "after")
	if err != nil {
		return nil, err
	}
	limit, err := q.number("limit", defaultPage, maxPage)
	if err != nil {
		return nil, err
	}
	f := apikeyFilter{owner: q.text("owner"), where: q.text("where")}
	if name := q.text("stage"); name != "" {
		stage, err := apikey.ParseStage(name)
		if err != nil {
			return nil, badRequest("", "%v", err)
		}
		f.stage = &stage
	}
	if f.unused, err = q.since("unused", s.now()); err != nil {
		return nil, err
	}
	items, err := s.inventory(r.Context())
	if err != nil {
		return nil, err
	}
	items = slices.DeleteFunc(items, func(i migration.Item) bool { return !f.takes(i) })
	id := func(i migration.Item) string { return i.ID }
	if err := sortBy(items, apikeyOrders, q.text("sort"), id); err != nil {
		return nil, err
	}
	part, next, err := page(items, id, limit, q.text("after"))
	if err != nil {
		return nil, err
	}
	return struct {
		APIKeys []migration.Item `json:"apikeys"`
		Next    *string          `json:"next"`
	}{orNone(part), next}, nil
}

// inventoryPage is how many apikeys are counted while the traffic is read once.
const inventoryPage = 20_000

func (s *Server) inventory(ctx context.Context) ([]migration.Item, error) {
	var all []migration.Item
	for f := (apikey.Filter{Limit: inventoryPage}); ; {
		part, next, err := s.o.Road.Inventory(ctx, f)
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
		if f.After = next; next == "" {
			return all, nil
		}
	}
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
