package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offkey/offkey/internal/api"
	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/token"
)

// views are what calls read instead of the store. They are renewed with every
// commit, before the transition that caused it is acknowledged: whoever was
// told that a stage is set or a token is revoked never sees the old answer.
type views struct {
	db   *store.DB
	log  *slog.Logger
	now  func() time.Time
	file atomic.Pointer[config.Loaded]

	rules       atomic.Pointer[policy.Ruleset]
	settings    atomic.Pointer[policy.Settings]
	apikeys     *apikey.Index
	clients     *client.Cache
	people      *directory.Directory
	revocations *token.Revocations
	trust       atomic.Pointer[[]*client.TrustRule] // of the file, then those that were set
	ring        *keyring.Manager
	master      *secret.MasterKey

	renewing sync.Mutex
	stale    atomic.Bool // a renewal failed: all is read again
}

// clientCacheSize bounds the clients kept in memory; others are read when they
// ask.
const clientCacheSize = 20_000

func newViews(db *store.DB, master *secret.MasterKey, ring *keyring.Manager, cfg *config.Loaded, log *slog.Logger, now func() time.Time) *views {
	v := &views{
		db: db, log: log, now: now, ring: ring, master: master,
		apikeys: apikey.NewIndex(), revocations: new(token.Revocations),
		clients: client.NewCache(db.Client, clientCacheSize),
		people:  directory.New(directory.Options{Store: db, Master: master, Now: now, OperatorScopes: api.Scopes()}),
	}
	v.file.Store(cfg)
	return v
}

// load reads everything.
func (v *views) load(ctx context.Context) error {
	v.renewing.Lock()
	defer v.renewing.Unlock()
	return v.loadAll(ctx)
}

func (v *views) loadAll(ctx context.Context) error {
	v.people.ForgetAll()
	if err := v.ring.Load(ctx); err != nil {
		return err
	}
	if err := v.loadRules(ctx); err != nil {
		return err
	}
	if err := v.loadTrust(ctx, v.file.Load()); err != nil {
		return err
	}
	if err := v.loadRevocations(ctx); err != nil {
		return err
	}
	if err := v.loadPeppers(ctx); err != nil {
		return err
	}
	return v.loadAPIKeys(ctx)
}

func (v *views) loadRules(ctx context.Context) error {
	settings, err := v.db.Settings(ctx)
	if err != nil {
		return fmt.Errorf("read the rules: %w", err)
	}
	routes, err := v.db.Routes(ctx)
	if err != nil {
		return fmt.Errorf("read the routes: %w", err)
	}
	rules, err := buildRules(v.file.Load(), settings, routes)
	if err != nil {
		return err
	}
	v.settings.Store(&settings)
	v.rules.Store(rules)
	return nil
}

// buildRules joins what the file declares with what operators have set. What
// the file says comes first.
func buildRules(cfg *config.Loaded, settings policy.Settings, routes []policy.Route) (*policy.Ruleset, error) {
	declared, err := cfg.PolicyRoutes()
	if err != nil {
		return nil, fmt.Errorf("routes of the file: %w", err)
	}
	rs := settings.Ruleset()
	for name, included := range cfg.Gateway.ScopeIncludes {
		if rs.Includes == nil {
			rs.Includes = make(map[string]oauth.Scope)
		}
		rs.Includes[name] = included
	}
	_, rs.UpstreamVouches = cfg.APIKeys.LearnsFromUpstream()
	if cfg.Migration.Stage != apikey.Inherit {
		rs.Stage = cfg.Migration.Stage
	}
	if cfg.Gateway.Enforce != policy.Unset {
		rs.Enforce = cfg.Gateway.Enforce
	}
	return rs.Build(declared, routes), nil
}

func (v *views) loadRevocations(ctx context.Context) error {
	rows, err := v.db.Revocations(ctx, v.now())
	if err != nil {
		return fmt.Errorf("read the revocations: %w", err)
	}
	v.revocations.Add(rows...)
	return nil
}

// renewRevocations takes in those that were just written. Until now requests
// found the client or the apikey as it was before, so that what they were
// issued meanwhile goes too.
func (v *views) renewRevocations(ctx context.Context, names []string) error {
	rows, err := v.db.RevocationsNamed(ctx, names)
	if err != nil {
		return fmt.Errorf("read new revocations: %w", err)
	}
	now := v.now()
	for i := range rows {
		if rows[i].Before.Before(now) {
			rows[i].Before = now
		}
	}
	v.revocations.Add(rows...)
	return nil
}

// apikeyPage is how many apikeys are read at once.
const apikeyPage = 5000

func (v *views) loadAPIKeys(ctx context.Context) error {
	for after := ""; ; {
		page, next, err := v.db.APIKeys(ctx, apikey.Filter{Limit: apikeyPage, After: after})
		if err != nil {
			return fmt.Errorf("read the apikeys: %w", err)
		}
		for _, k := range page {
			v.apikeys.Put(k)
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// opensUpgrade reports whether an apikey still opens what it was exchanged for.
func (v *views) opensUpgrade(id string) bool {
	k := v.apikeys.ByID(id)
	return k != nil && !k.Suspended && v.rules.Load().StageOf(k, v.now()).OpensUpgrade() // as policy.OfExchangedToken has it
}

// renew is told the changes of each commit. Where a view cannot be read the
// next renewal reads all of them, and /readyz says so meanwhile.
func (v *views) renew(changes []store.Change) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	v.renewing.Lock()
	defer v.renewing.Unlock()
	if err := v.renewAll(ctx, changes); err != nil {
		v.stale.Store(true)
		v.log.Error("a change is stored but not yet in force: views are read again shortly", "error", err)
	}
}

func (v *views) renewAll(ctx context.Context, changes []store.Change) error {
	var rules, ring, trust, peppers bool
	var apikeys, revocations []string
	for _, c := range changes {
		switch c.Kind {
		case store.ChangeClient:
			v.clients.Forget(c.ID)
		case store.ChangePerson:
			v.people.Forget(c.ID)
		case store.ChangeGroup:
			v.people.ForgetAll()
		case store.ChangeAPIKey:
			apikeys = append(apikeys, c.ID)
		case store.ChangeRoute, store.ChangeSetting:
			rules = true
		case store.ChangeRevocation:
			revocations = append(revocations, c.ID)
		case store.ChangeSigningKey:
			ring = true
		case store.ChangeTrust:
			trust = true
		case store.ChangePepper:
			peppers = true
		case store.ChangeEverything:
			v.clients.ForgetAll()
			return v.loadAll(ctx)
		}
	}
	var errs []error
	if rules {
		errs = append(errs, v.loadRules(ctx))
	}
	if trust {
		errs = append(errs, v.loadTrust(ctx, v.file.Load()))
	}
	if len(revocations) > 0 {
		errs = append(errs, v.renewRevocations(ctx, revocations))
	}
	if ring {
		errs = append(errs, v.ring.Load(ctx))
	}
	if peppers {
		errs = append(errs, v.loadPeppers(ctx))
	}
	if len(apikeys) > 0 {
		errs = append(errs, v.renewAPIKeys(ctx, apikeys))
	}
	return errors.Join(errs...)
}

func (v *views) renewAPIKeys(ctx context.Context, ids []string) error {
	for len(ids) > 0 {
		n := min(len(ids), apikeyPage)
		page, _, err := v.db.APIKeys(ctx, apikey.Filter{IDs: ids[:n], Limit: n})
		if err != nil {
			return fmt.Errorf("read changed apikeys: %w", err)
		}
		found := make(map[string]bool, len(page))
		for _, k := range page {
			found[k.ID] = true
			v.apikeys.Put(k)
		}
		for _, id := range ids[:n] {
			if !found[id] {
				v.apikeys.Delete(id)
			}
		}
		ids = ids[n:]
	}
	return nil
}

// repair reads everything again after a renewal failed.
func (v *views) repair(ctx context.Context) error {
	if !v.stale.Load() {
		return nil
	}
	if err := v.load(ctx); err != nil {
		return err
	}
	v.stale.Store(false)
	return nil
}

// useFile puts the rules of another configuration in force.
func (v *views) useFile(ctx context.Context, cfg *config.Loaded) error {
	v.renewing.Lock()
	defer v.renewing.Unlock()
	before := v.file.Swap(cfg)
	if err := errors.Join(v.loadRules(ctx), v.loadTrust(ctx, cfg)); err != nil {
		v.file.Store(before)
		return err
	}
	return nil
}
