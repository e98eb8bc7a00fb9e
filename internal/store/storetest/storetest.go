// Package storetest is what a store promises, as tests: an engine that passes
// Run can stand in for any other. Races are part of it, for what may happen
// only once must hold for callers that arrive together.
//
// What is one engine's own (its files, locks, upgrades, full disks) is tested
// beside it.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
)

// Store is every method that the rest of offkey asks of storage.
type Store interface {
	Close() error
	Subscribe(func([]store.Change))
	ChangesSince(ctx context.Context, seq int64, limit int) ([]store.Change, error)

	Told(ctx context.Context, yield func(apikey.Telling)) error
	NoteTold(ctx context.Context, told []apikey.Telling, e audit.Event) error

	Client(ctx context.Context, id string) (*client.Client, error)
	Clients(ctx context.Context, f client.Filter) (clients []*client.Client, next string, err error)
	CreateClient(ctx context.Context, c *client.Client, e audit.Event) error
	UpdateClient(ctx context.Context, id string, update func(*client.Client) error, e audit.Event) (*client.Client, error)
	DeleteClient(ctx context.Context, id string, e audit.Event) error
	TouchClients(ctx context.Context, used map[string]map[string]time.Time) error

	directory.Store
	People(ctx context.Context, f directory.Filter) (people []*directory.Person, next string, err error)
	DeletePerson(ctx context.Context, id string, e audit.Event) error
	EndPerson(ctx context.Context, id string, e audit.Event) error
	Groups(ctx context.Context) ([]directory.Group, error)
	Members(ctx context.Context) (map[string]int, error)
	UpdateGroup(ctx context.Context, name string, update func(g *directory.Group, there bool) error, e audit.Event) (directory.Group, error)
	DeleteGroup(ctx context.Context, name string, e audit.Event) error
	RevokeEverything(ctx context.Context, e audit.Event) error
	TrustRules(ctx context.Context) ([]*client.TrustRule, error)
	CreateTrustRule(ctx context.Context, r *client.TrustRule, e audit.Event) error
	SetTrustDisabled(ctx context.Context, id string, disabled bool, e audit.Event) error
	DeleteTrustRule(ctx context.Context, id string, e audit.Event) error
	RegisterClient(ctx context.Context, r client.Registration, decide func(*client.Client, *client.RegistrationToken) error, e audit.Event) error
	UpstreamPerson(ctx context.Context, issuer, subject string) (id string, err error)
	CreateUpstreamAccount(ctx context.Context, issuer, subject string, a *directory.Account, e audit.Event) error
	RegistrationTokens(ctx context.Context) ([]*client.RegistrationToken, error)
	CreateRegistrationToken(ctx context.Context, t *client.RegistrationToken, e audit.Event) error
	DeleteRegistrationToken(ctx context.Context, id string, e audit.Event) error

	SpendAssertion(ctx context.Context, clientID, jti string, expires time.Time) (fresh bool, err error)
	SpendProof(ctx context.Context, jkt, jti string, expires time.Time) (fresh bool, err error)
	Revoke(ctx context.Context, r token.Revocation, e audit.Event) error
	Revocations(ctx context.Context, now time.Time) ([]token.Revocation, error)
	RevocationsNamed(ctx context.Context, names []string) ([]token.Revocation, error)
	keyring.Store

	IssueCode(ctx context.Context, c token.Code, pushed secret.Hash, e audit.Event) error
	RedeemCode(ctx context.Context, h secret.Hash, now time.Time) (token.Code, error)
	KeepGrant(ctx context.Context, g token.Grant, e audit.Event) error
	Grant(ctx context.Context, id string) (token.Grant, error)
	RevokeGranted(ctx context.Context, personID, clientID string, e audit.Event) error
	StartFamily(ctx context.Context, f token.Family, e audit.Event) error
	Family(ctx context.Context, t token.RefreshToken) (token.Family, error)
	UseFamily(ctx context.Context, t, next token.RefreshToken, now time.Time, grace time.Duration) (token.Standing, error)
	DueNotices(ctx context.Context, now time.Time, limit int) ([]session.Notice, error)
	SettleNotice(ctx context.Context, id string, again time.Time) error
	PushRequest(ctx context.Context, p session.Pushed, limits session.PushedLimits) error
	PushedRequest(ctx context.Context, h secret.Hash, now time.Time) (session.Pushed, error)
	DropPushed(ctx context.Context, h secret.Hash) error

	APIKey(ctx context.Context, id string) (*apikey.Key, error)
	APIKeyByFingerprint(ctx context.Context, fingerprint secret.Hash) (*apikey.Key, error)
	APIKeys(ctx context.Context, f apikey.Filter) (keys []*apikey.Key, next string, err error)
	ImportAPIKeys(ctx context.Context, keys []*apikey.Key, e audit.Event) (apikey.ImportResult, error)
	ImportedAPIKey(ctx context.Context, k *apikey.Key) (*apikey.Key, error)
	PinAPIKey(ctx context.Context, id string, fingerprint secret.Hash, last4, prefix string, e audit.Event) (*apikey.Key, error)
	KeepPepper(ctx context.Context, name string, sealed []byte, e audit.Event) error
	Peppers(ctx context.Context) (map[string][]byte, error)
	APIKeyDays(ctx context.Context, ids []string, since time.Time, yield func(traffic.Row)) error
	LearnAPIKey(ctx context.Context, k *apikey.Key, e audit.Event) (*apikey.Key, error)
	UpdateAPIKeys(ctx context.Context, ids []string, update func(*apikey.Key) error, e audit.Event) ([]*apikey.Key, error)
	ContainAPIKey(ctx context.Context, id string, since time.Time, e audit.Event) (apikey.Contained, error)
	SealAPIKey(ctx context.Context, apikeyID, clientID, upstream string, sealed []byte, e audit.Event) error
	SealedAPIKey(ctx context.Context, clientID, upstream string) (sealed []byte, apikeyID string, err error)
	SealedAPIKeys(ctx context.Context) (map[string]int, error)
	OpenLeak(ctx context.Context, o leak.Opening, e audit.Event) (r *leak.Record, fresh bool, err error)
	UpdateLeak(ctx context.Context, id string, update func(*leak.Record) error, e audit.Event) (*leak.Record, error)
	CloseLeak(ctx context.Context, id, actor, words string, restore bool, e audit.Event) (*leak.Record, error)
	Leak(ctx context.Context, id string) (*leak.Record, error)
	Leaks(ctx context.Context, f leak.Filter) (records []*leak.Record, next string, err error)
	ClientWithSecret(ctx context.Context, hash secret.Hash, now time.Time) (clientID, credential string, err error)
	RegisterUpgrade(ctx context.Context, apikeyID string, c *client.Client, mapKey bool,
		decide func(existing []*client.Client, k *apikey.Key) error, e audit.Event) error

	Routes(ctx context.Context) ([]policy.Route, error)
	SetRoute(ctx context.Context, r policy.Route, e audit.Event) error
	DeleteRoute(ctx context.Context, match string, e audit.Event) error
	Settings(ctx context.Context) (policy.Settings, error)
	UpdateSettings(ctx context.Context, update func(*policy.Settings) error, e audit.Event) (policy.Settings, error)

	AddTraffic(ctx context.Context, rows []traffic.Row) error
	LogPositions(ctx context.Context, start string) ([]traffic.LogPosition, error)
	AddLogTraffic(ctx context.Context, rows []traffic.Row, p traffic.LogPosition, from int64) error
	Traffic(ctx context.Context, f traffic.Filter, yield func(traffic.Row) error) error
	TrafficFloor(ctx context.Context) (time.Time, error)
	PruneTraffic(ctx context.Context, before time.Time, limit int) (deleted int, err error)
	DailyCalls(ctx context.Context, from, to time.Time) ([]traffic.Day, error)
	APIKeyUse(ctx context.Context, id string) (first, last, lastOK time.Time, err error)
	APIKeyUses(ctx context.Context, ids []string) (map[string]apikey.Use, error)

	StartDevice(ctx context.Context, d session.Device, limits session.DeviceLimits, now time.Time) error
	Device(ctx context.Context, code secret.Hash) (session.Device, error)
	WaitingDevice(ctx context.Context, userCode string, now time.Time) (session.Device, error)
	AnswerDevice(ctx context.Context, code secret.Hash, a session.Answer, e audit.Event) error
	PollDevice(ctx context.Context, code secret.Hash, now time.Time) (tooSoon bool, err error)
	RedeemDevice(ctx context.Context, code secret.Hash, now time.Time) (session.Device, error)
	StartSession(ctx context.Context, s session.Session, before secret.Hash, request session.Waiting, e audit.Event) (session.Session, error)
	SessionByCookie(ctx context.Context, cookie secret.Hash) (session.Session, error)
	SessionsOf(ctx context.Context, personID string, now time.Time) ([]session.Session, error)
	TouchSession(ctx context.Context, id string, at time.Time) error
	EndSession(ctx context.Context, id, personID string, e audit.Event) error
	EndSessionsOf(ctx context.Context, personID, keep string, e audit.Event) (ended int, err error)
	PutRequest(ctx context.Context, q session.Request, limits session.RequestLimits) error
	Request(ctx context.Context, w session.Waiting, now time.Time) (session.Request, error)
	ProgressRequest(ctx context.Context, w session.Waiting, now time.Time, update func(*session.Progress) error) (session.Request, error)
	AnswerRequest(ctx context.Context, w session.Waiting, a session.Answer, consent *session.Consent, e audit.Event) error
	TakeRequest(ctx context.Context, w session.Waiting, now time.Time) (session.Request, error)
	Consent(ctx context.Context, personID, clientID string, resources []string) (session.Consent, error)
	ConsentsOf(ctx context.Context, personID string) ([]session.Consent, error)
	WithdrawConsent(ctx context.Context, personID, clientID string, e audit.Event) error

	AuditEntries(ctx context.Context, afterSeq int64, limit int) ([]audit.Entry, error)
	AuditHead(ctx context.Context) (audit.Head, error)
	VerifyAudit(ctx context.Context) (entries int64, head audit.Head, err error)

	Identify(ctx context.Context, name, value string) (kept string, err error)
	Clean(ctx context.Context, now time.Time, limit int) (deleted int, err error)
	Check(ctx context.Context) error
	Backup(ctx context.Context, path string) error
}

// Open opens the store whose data lies at place, an empty directory at first.
// Opened again after Close it has the same data.
type Open func(t *testing.T, place string, now func() time.Time) Store

// Run checks every promise on stores that open opens.
func Run(t *testing.T, open Open) {
	for _, group := range []struct {
		name  string
		tests func(*testing.T, Open)
	}{
		{"transitions", testTransitions},
		{"audit", testAudit},
		{"changes", testChanges},
		{"clients", testClients},
		{"people", testPeople},
		{"groups", testGroups},
		{"links", testLinks},
		{"assertions", testAssertions},
		{"revocations", testRevocations},
		{"signing keys", testSigningKeys},
		{"codes", testCodes},
		{"refresh families", testFamilies},
		{"pushed requests", testPushed},
		{"logout notices", testNotices},
		{"apikeys", testAPIKeys},
		{"hashes", testHashes},
		{"lists of apikeys", testLists},
		{"leaks", testLeaks},
		{"leaks on record", testLeakRecords},
		{"what owners were told", testTold},
		{"sealed apikeys", testSealed},
		{"upgrade", testUpgrade},
		{"routes", testRoutes},
		{"settings", testSettings},
		{"devices", testDevices},
		{"sessions", testSessions},
		{"requests", testRequests},
		{"consents", testConsents},
		{"trust", testTrust},
		{"registration", testRegistration},
		{"upstream people", testUpstreamPeople},
		{"traffic", testTraffic},
		{"logs", testLogs},
		{"upkeep", testUpkeep},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			group.tests(t, open)
		})
	}
}

// trial is a store under test and what is around it.
type trial struct {
	Store
	t     *testing.T
	open  Open
	place string
	clock *clock
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// noon is when tests start. It has more digits than a store keeps.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.FixedZone("", 3600))

// kept is a time as a store keeps it.
func kept(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }

func setUp(t *testing.T, open Open) *trial {
	t.Helper()
	b := &trial{t: t, open: open, place: t.TempDir(), clock: &clock{at: noon}}
	b.Store = open(t, b.place, b.clock.now)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// reopen closes the store and opens it again.
func (b *trial) reopen() {
	b.t.Helper()
	b.ok(b.Close())
	b.Store = b.open(b.t, b.place, b.clock.now)
}

// ok ends the test for an error.
func (b *trial) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// is checks that err is target.
func (b *trial) is(err, target error) {
	b.t.Helper()
	if !errors.Is(err, target) {
		b.t.Fatalf("error is %v, want %v", err, target)
	}
}

// same checks two values by their JSON.
func (b *trial) same(what string, got, want any) {
	b.t.Helper()
	g, err := json.Marshal(got)
	b.ok(err)
	w, err := json.Marshal(want)
	b.ok(err)
	if string(g) != string(w) {
		b.t.Fatalf("%s:\n got %s\nwant %s", what, g, w)
	}
}

// entries are all audit entries.
func (b *trial) entries() []audit.Entry {
	b.t.Helper()
	entries, err := b.AuditEntries(b.ctx(), 0, 1_000_000)
	b.ok(err)
	return entries
}

// changes is the whole change log.
func (b *trial) changes() []store.Change {
	b.t.Helper()
	changes, err := b.ChangesSince(b.ctx(), 0, 1_000_000)
	b.ok(err)
	return changes
}

func (b *trial) ctx() context.Context { return b.t.Context() }

// did is an event to hand in.
func did(action string) audit.Event {
	return audit.Event{Actor: "os:1000", Action: action, Object: "it", Detail: map[string]string{"why": "test"}}
}

// together runs n calls that start at one moment, and waits for them.
func together(n int, call func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			call(i)
		})
	}
	close(start)
	wg.Wait()
}
