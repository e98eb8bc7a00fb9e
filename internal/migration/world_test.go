package migration

import (
	"context"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/migration/importfile"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/traffic"
)

// world is a Road over a real store, with a clock that can be moved.
type world struct {
	*Road
	testing.TB
	ctx   context.Context
	db    *store.DB
	clock atomic.Pointer[time.Time]
	rules []policy.Route
	told  []string // clients that owners were told of
	// accepted is when the API accepted apikeys; nil is at their last success.
	accepted map[string]time.Time
	source   netip.Addr
}

func newWorld(t testing.TB, rules ...policy.Route) *world {
	t.Helper()
	w := &world{TB: t, ctx: t.Context(), rules: rules, source: netip.MustParseAddr("203.0.113.7")}
	w.set(noon)
	var err error
	if w.db, err = store.Open(context.Background(), store.Options{DSN: filepath.Join(t.TempDir(), "offkey.db"), Now: w.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close() })
	pepper, err := secret.NewPepper(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if w.Road, err = New(Options{Store: w.db, Rules: w.ruleset, Pepper: pepper, Now: w.now, Resource: "https://api.example.com", Notifier: w, Vouched: w.vouched, Reader: carriers}); err != nil {
		t.Fatal(err)
	}
	return w
}

// carriers are where apikeys travel.
func carriers() *apikey.Reader {
	r, err := apikey.NewReader([]apikey.Carrier{{Kind: apikey.InHeader, Name: "X-API-Key"}, {Kind: apikey.InQuery, Name: "api_key"}})
	if err != nil {
		panic(err)
	}
	return r
}

// importFile brings in a list.
func (w *world) importFile(f importfile.File, text string, dryRun bool) (ImportReport, error) {
	return w.Import(w.ctx, ImportOptions{File: f, DryRun: dryRun, Actor: "os:0"}, strings.NewReader(text))
}

func (w *world) now() time.Time       { return *w.clock.Load() }
func (w *world) set(now time.Time)    { w.clock.Store(&now) }
func (w *world) pass(d time.Duration) { w.set(w.now().Add(d)) }

// vouched is the gateway's part.
func (w *world) vouched(apikeyID string) (at time.Time) {
	if w.accepted != nil {
		return w.accepted[apikeyID]
	}
	if err := w.db.Traffic(w.ctx, traffic.Filter{Credential: &traffic.Credential{Kind: traffic.KindAPIKey, ID: apikeyID}}, func(row traffic.Row) error {
		if row.OK() {
			at = latest(at, row.Last)
		}
		return nil
	}); err != nil {
		w.Error(err)
	}
	return at
}

// UpgradeRegistered implements Notifier.
func (w *world) UpgradeRegistered(_ context.Context, k *apikey.Key, c *client.Client, _ netip.Prefix) {
	w.told = append(w.told, k.ID+" "+c.ID)
}

// ruleset is made as the process makes it, from what is stored.
func (w *world) ruleset() *policy.Ruleset {
	s, err := w.db.Settings(w.ctx)
	if err != nil {
		w.Fatal(err)
	}
	rs := s.Ruleset()
	rs.UpstreamVouches = true
	return rs.Build(w.rules, nil)
}

// learnt is an apikey that the API has vouched for.
func (w *world) learnt(value string, changes ...func(*apikey.Key)) *apikey.Key {
	w.Helper()
	k := &apikey.Key{ID: apikey.NewID(), Fingerprint: w.Pepper.Fingerprint(value), Last4: secret.Last4(value), KnownBy: apikey.KnownByUpstream, Owner: "Acme", Created: w.now()}
	k, err := w.db.LearnAPIKey(w.ctx, k, audit.Event{Actor: "system", Action: "apikey.learnt"})
	if err != nil {
		w.Fatal(err)
	}
	if len(changes) == 0 {
		return k
	}
	keys, err := w.db.UpdateAPIKeys(w.ctx, []string{k.ID}, func(k *apikey.Key) error {
		for _, change := range changes {
			change(k)
		}
		return nil
	}, audit.Event{Actor: "test", Action: "test"})
	if err != nil {
		w.Fatal(err)
	}
	return keys[0]
}

// calls records rows as they were seen.
func (w *world) calls(rows ...traffic.Row) {
	w.Helper()
	if err := w.db.AddTraffic(w.ctx, rows); err != nil {
		w.Fatal(err)
	}
}

// inUse is a learnt apikey that has read orders for a month, a minute ago too.
func (w *world) inUse(value string, changes ...func(*apikey.Key)) *apikey.Key {
	w.Helper()
	k := w.learnt(value, changes...)
	w.calls(seen(k.ID, "GET", "/v1/orders", 10, at(w.now().Add(-30*24*time.Hour))), seen(k.ID, "GET", "/v1/orders", 1, at(w.now().Add(-time.Minute))))
	return k
}

// metadata is a registration with public keys made now.
func (w *world) metadata(changes ...func(*oauth.ClientMetadata)) oauth.ClientMetadata {
	w.Helper()
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		w.Fatal(err)
	}
	raw, err := json.Marshal(jose.KeySet{Keys: []jose.PublicKey{key.Public()}})
	if err != nil {
		w.Fatal(err)
	}
	md := oauth.ClientMetadata{ClientName: "orders", TokenEndpointAuthMethod: oauth.AuthPrivateKeyJWT, JWKS: raw}
	for _, change := range changes {
		change(&md)
	}
	return md
}

// register registers a client that must be made.
func (w *world) register(value string, changes ...func(*oauth.ClientMetadata)) *client.Client {
	w.Helper()
	c, err := w.Register(w.ctx, value, w.metadata(changes...), anAccess(), w.source)
	if err != nil {
		w.Fatalf("register: %v", err)
	}
	stored, err := w.db.Client(w.ctx, c.ID)
	if err != nil {
		w.Fatal(err)
	}
	if stored.Status != c.Status || !slices.Equal(stored.Scopes, c.Scopes) || !slices.Equal(stored.PendingScopes, c.PendingScopes) || stored.PendingReason != c.PendingReason {
		w.Fatalf("answered %+v, stored %+v", c, stored)
	}
	return c
}

func (w *world) key(id string) *apikey.Key {
	w.Helper()
	k, err := w.db.APIKey(w.ctx, id)
	if err != nil {
		w.Fatal(err)
	}
	return k
}

// audited are the actions in the audit, oldest first.
func (w *world) audited() (actions []string) {
	w.Helper()
	entries, err := w.db.AuditEntries(w.ctx, 0, 1000)
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range entries {
		actions = append(actions, e.Action)
	}
	return actions
}

func did() audit.Event { return audit.Event{Actor: "test", Action: "test"} }

// anAccess is what a client manages itself by.
func anAccess() client.Credential {
	return client.Credential{ID: client.NewCredentialID(), Kind: client.KindRegistration, Hash: secret.HashOf("access")}
}
