package api

import (
	"context"
	"io"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/traffic"
)

// Road is what the management API asks of package migration. Calls that were
// counted before it is asked are in what it answers.
type Road interface {
	// Inventory lists a page of apikeys with what they did.
	Inventory(ctx context.Context, f migration.InventoryFilter) (items []migration.Item, next string, err error)
	Show(ctx context.Context, id string) (migration.Detail, error)
	// Tell tells owners what is due.
	Tell(ctx context.Context, o migration.TellOrder) (migration.TellResult, error)
	Plan(ctx context.Context, q migration.PlanRequest) (migration.Plan, error)
	Status(ctx context.Context) (migration.Status, error)
	BurnDown(ctx context.Context, days int) (migration.BurnDown, error)
	// Evidence gathers what there is to show as of a moment; zero is now.
	Evidence(ctx context.Context, asOf time.Time) (migration.Evidence, error)
	// CallsOf says what a credential did, nil is all of them.
	CallsOf(ctx context.Context, c *traffic.Credential, since time.Time) (migration.Calls, error)
	SetStage(ctx context.Context, c migration.StageChange) (migration.StageResult, error)
	Campaign
	MapAll(ctx context.Context, q migration.MapRequest) (migration.MapReport, error)
	Import(ctx context.Context, o migration.ImportOptions, in io.Reader) (migration.ImportReport, error)
	// Approve lets a client have what it waits for; nil scopes are all.
	Approve(ctx context.Context, clientID string, scopes oauth.Scope, actor string) (*client.Client, error)
	// Observed lists the operations that were seen and that no rule is for.
	Observed(ctx context.Context) ([]migration.ObservedOperation, error)
	// DesignScopes designs scopes for the operations of an OpenAPI document, or
	// without one for those that were seen.
	DesignScopes(ctx context.Context, document []byte, actions migration.Actions) (migration.Design, error)
	// OpenLog says where reading of an access log goes on that begins so; ReadLog
	// counts the next part of it.
	OpenLog(ctx context.Context, head []byte) (migration.LogPlace, error)
	ReadLog(ctx context.Context, b migration.LogBatch, in io.Reader) (migration.LogPlace, error)
	InferScopes(ctx context.Context, document []byte, actions migration.Actions, o migration.InferOptions) (migration.Inference, error)
	// FindLeaked finds out what a credential is, or returns migration.ErrNotOurs.
	FindLeaked(ctx context.Context, credential string) (leak.Subject, error)
	// OpenLeak puts a leak on record, contains it and tells of it, as ordered.
	OpenLeak(ctx context.Context, o migration.LeakOrder) (migration.LeakReport, error)
	ShowLeak(ctx context.Context, id string) (migration.LeakReport, error)
	ListLeaks(ctx context.Context, f leak.Filter) (leaks []migration.LeakReport, next string, err error)
	// CloseLeak ends one; with restore what was stopped goes on.
	CloseLeak(ctx context.Context, id, reason, actor string, restore bool) (migration.LeakReport, error)
}

// APIKeyStore is what the management of apikeys asks of storage.
type APIKeyStore interface {
	APIKey(ctx context.Context, id string) (*apikey.Key, error)
	APIKeys(ctx context.Context, f apikey.Filter) (keys []*apikey.Key, next string, err error)
	APIKeyByFingerprint(ctx context.Context, fingerprint secret.Hash) (*apikey.Key, error)
	// UpdateAPIKeys changes all of them or none.
	UpdateAPIKeys(ctx context.Context, ids []string, change func(*apikey.Key) error, e audit.Event) ([]*apikey.Key, error)
	// ContainAPIKey blocks it and stops what was made with it at since or
	// later, in one step.
	ContainAPIKey(ctx context.Context, id string, since time.Time, e audit.Event) (apikey.Contained, error)
}
