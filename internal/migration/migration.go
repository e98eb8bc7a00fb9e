// Package migration is the road from apikeys to OAuth: which apikeys there are
// and what each does (Inventory), which scopes a caller needs, whose calls would
// fail under other rules (Plan), how an apikey becomes a client (Register) or a
// token (Exchange), and moving stages.
//
//	traffic.Row -> Inventory, scopes -> Plan -> policy.Settings
//
// What it finds out it finds out from recorded traffic, by folds that need no
// storage and no clock and so are tested without either. Refusing calls is
// policy's work, done by the gateway: the plan asks the same function.
package migration

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
)

// Store is what the road asks of storage.
type Store interface {
	APIKeyStore
	ClientStore
	TrafficStore
	SettingStore
	LeakStore
	LogStore
	TellingStore
	EvidenceStore
}

// APIKeyStore keeps apikeys.
type APIKeyStore interface {
	APIKey(ctx context.Context, id string) (*apikey.Key, error)
	APIKeyByFingerprint(ctx context.Context, fingerprint secret.Hash) (*apikey.Key, error)
	APIKeys(ctx context.Context, f apikey.Filter) (keys []*apikey.Key, next string, err error)
	APIKeyUses(ctx context.Context, ids []string) (map[string]apikey.Use, error)
	// ImportedAPIKey is the one that ImportAPIKeys would find for an apikey.
	ImportedAPIKey(ctx context.Context, k *apikey.Key) (*apikey.Key, error)
	ImportAPIKeys(ctx context.Context, keys []*apikey.Key, e audit.Event) (apikey.ImportResult, error)
	// UpdateAPIKeys changes all of them or none. What an apikey was exchanged
	// for is revoked when it is retired or blocked.
	UpdateAPIKeys(ctx context.Context, ids []string, update func(*apikey.Key) error, e audit.Event) ([]*apikey.Key, error)
	// ContainAPIKey blocks it and stops what was made with it at since or later,
	// in one step.
	ContainAPIKey(ctx context.Context, id string, since time.Time, e audit.Event) (apikey.Contained, error)
}

// ClientStore keeps clients.
type ClientStore interface {
	Client(ctx context.Context, id string) (*client.Client, error)
	Clients(ctx context.Context, f client.Filter) (clients []*client.Client, next string, err error)
	// ClientsOfAPIKey are those that an apikey has registered.
	ClientsOfAPIKey(ctx context.Context, apikeyID string) ([]*client.Client, error)
	UpdateClient(ctx context.Context, id string, update func(*client.Client) error, e audit.Event) (*client.Client, error)
	// RegisterUpgrade adds the client that an apikey has made, after decide has
	// seen those that it made before, with nothing coming in between.
	RegisterUpgrade(ctx context.Context, apikeyID string, c *client.Client, mapKey bool, decide func(existing []*client.Client, k *apikey.Key) error, e audit.Event) error
}

// TrafficStore keeps what was seen.
type TrafficStore interface {
	Traffic(ctx context.Context, f traffic.Filter, yield func(traffic.Row) error) error
	// APIKeyDays is the traffic of apikeys since a day, folded to days.
	APIKeyDays(ctx context.Context, ids []string, since time.Time, yield func(traffic.Row)) error
	TrafficFloor(ctx context.Context) (oldest time.Time, err error)
	DailyCalls(ctx context.Context, from, to time.Time) ([]traffic.Day, error)
}

// SettingStore keeps the rules that hold for all.
type SettingStore interface {
	Settings(ctx context.Context) (policy.Settings, error)
	UpdateSettings(ctx context.Context, update func(*policy.Settings) error, e audit.Event) (policy.Settings, error)
}

// Options are what a Road works with. Those not marked optional are needed.
type Options struct {
	Store  Store
	Rules  func() *policy.Ruleset // that hold now
	Pepper *secret.Pepper
	Now    func() time.Time
	// Resource is the default audience of tokens.
	Resource string
	// Vouched says when the API itself last accepted an apikey that was learnt
	// from it, zero if it has not lately. Without it no such apikey is traded.
	Vouched func(apikeyID string) time.Time
	// Reader knows where apikeys travel, for reading access logs; optional.
	Reader func() *apikey.Reader
	// KeepPepper keeps the secret of HMACs that others made of apikeys; needed by
	// Import of such.
	KeepPepper func(ctx context.Context, name string, pepper []byte, actor string) error
	// Recognise finds the apikey of which so far only a hash is known, nil if
	// value is none; optional.
	Recognise func(ctx context.Context, value string) *apikey.Key
	// OwnerGone reports whether the person with a mail address is known and has
	// left; optional.
	OwnerGone func(ctx context.Context, contact string) bool
	// Notifier is told of every registration; optional.
	Notifier Notifier
	// Postman tells owners what becomes of their apikeys; optional.
	Postman Postman
	// LeakNotifier is told of leaks; optional.
	LeakNotifier LeakNotifier
	// VerifyToken reads an access token of ours, whatever its audience; without it
	// none is recognised among leaked credentials.
	VerifyToken func(string) (*token.Verified, error)
	// APIKey finds an apikey without storage, nil if it is not known; without it
	// guards count no refusals.
	APIKey func(id string) *apikey.Key
	// Alarm tells the operators that a guard was met; optional.
	Alarm func(ctx context.Context, subject, text string)
	// StageDeclared reports whether the configuration file sets the stage of
	// all, which then cannot be set otherwise; optional.
	StageDeclared func() bool
	Log           *slog.Logger // optional
}

// Road answers what is asked about the retirement of apikeys, and changes how
// far it has gone. Safe for concurrent use.
type Road struct {
	Options
	burn      burnDown
	logs      *LogReader
	meter     meter
	tending   sync.Mutex // one Tend at a time
	quietSeen time.Time
	toldAt    time.Time // likewise
	toldAllAt time.Time // likewise
}

// New makes a Road.
func New(o Options) (*Road, error) {
	if o.Store == nil || o.Rules == nil || o.Pepper == nil || o.Now == nil || o.Resource == "" {
		return nil, errors.New("migration: Store, Rules, Pepper, Now and Resource are needed")
	}
	if o.Vouched == nil {
		o.Vouched = func(string) time.Time { return time.Time{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Road{Options: o}
	r.logs = r.newLogReader()
	return r, nil
}

// Window is a span of time, From included, To not.
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// inventoryWindow is how far back inventory, scopes and status look.
const inventoryWindow = 30 * 24 * time.Hour
