package migration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
)

// LeakStore keeps leaks on record.
type LeakStore interface {
	// OpenLeak puts one on record, and contains it where that is asked for, in
	// one step.
	OpenLeak(ctx context.Context, o leak.Opening, e audit.Event) (r *leak.Record, fresh bool, err error)
	UpdateLeak(ctx context.Context, id string, update func(*leak.Record) error, e audit.Event) (*leak.Record, error)
	// CloseLeak ends one, and with restore takes back what containing it did.
	CloseLeak(ctx context.Context, id, actor, words string, restore bool, e audit.Event) (*leak.Record, error)
	Leak(ctx context.Context, id string) (*leak.Record, error)
	Leaks(ctx context.Context, f leak.Filter) (records []*leak.Record, next string, err error)
	// ClientWithSecret finds whose secret has that hash.
	ClientWithSecret(ctx context.Context, hash secret.Hash, now time.Time) (clientID, credential string, err error)
	Family(ctx context.Context, t token.RefreshToken) (token.Family, error)
}

// LeakNotifier tells owners and operators of a leak.
type LeakNotifier interface {
	// LeakFound tells of r; k or c is what leaked, the other nil. It returns in
	// words who is told, "" for nobody. When it returns the message is safe.
	LeakFound(ctx context.Context, r *leak.Record, k *apikey.Key, c *client.Client) (told string, err error)
}

// ErrNotOurs is the answer about a credential that nobody here knows.
var ErrNotOurs = errors.New("this is no credential that is known here")

// LeakOrder says what leaked, and what is to be done about it.
type LeakOrder struct {
	Subject         leak.Subject
	Since           time.Time
	By, Where       string
	Reason          string
	Contain, Notify bool
	Actor           string
	DryRun          bool
	Quiet           bool // see leak.Opening
}

// LeakReport is one leak as people look at it.
type LeakReport struct {
	*leak.Record
	Status  leak.Status `json:"status"`
	Radius  *Radius     `json:"radius,omitempty"`
	Replace []string    `json:"replace"` // what remains to be done
	DryRun  bool        `json:"dry_run,omitempty"`
}

// FindLeaked finds out what a credential is, or returns ErrNotOurs. It looks in
// the store only for what has the shape and checksum of our own secrets.
func (r *Road) FindLeaked(ctx context.Context, raw string) (leak.Subject, error) {
	raw = strings.TrimSpace(raw)
	if raw == "" || len(raw) > maxLeaked {
		return leak.Subject{}, ErrNotOurs
	}
	subject := leak.Subject{Last4: secret.Last4(raw)}
	k, err := r.Store.APIKeyByFingerprint(ctx, r.Pepper.Fingerprint(raw))
	switch {
	case err == nil:
		subject.Kind, subject.ID = leak.KindAPIKey, k.ID
		return subject, nil
	case !errors.Is(err, apikey.ErrNotFound):
		return leak.Subject{}, err
	}
	if t, ok := token.ReadRefreshToken(raw); ok {
		return r.leakedRefreshToken(ctx, t, subject)
	}
	if secret.WellFormed(raw) {
		subject.Kind = leak.KindClient
		subject.ID, subject.Part, err = r.Store.ClientWithSecret(ctx, secret.HashOf(raw), r.Now())
		if errors.Is(err, client.ErrNotFound) {
			err = ErrNotOurs
		}
		return subject, err
	}
	if r.VerifyToken != nil && strings.Count(raw, ".") == 2 {
		if v, err := r.VerifyToken(raw); err == nil {
			c := v.Claims()
			subject.Kind, subject.ID, subject.Part = leak.KindToken, c.ClientID, c.ID
			return subject, nil
		}
	}
	return leak.Subject{}, ErrNotOurs
}

// maxLeaked is the longest credential that is looked at, in bytes.
const maxLeaked = 8 << 10

func (r *Road) leakedRefreshToken(ctx context.Context, t token.RefreshToken, subject leak.Subject) (leak.Subject, error) {
	f, err := r.Store.Family(ctx, t)
	if errors.Is(err, token.ErrNoFamily) {
		return subject, ErrNotOurs
	}
	subject.Kind, subject.ID, subject.Part, subject.Grant = leak.KindToken, f.ClientID, f.Grant.ID, true
	return subject, err
}

// OpenLeak puts a leak on record, contains it and tells of it, as the order has
// it, and says how far it reaches.
func (r *Road) OpenLeak(ctx context.Context, o LeakOrder) (LeakReport, error) {
	k, c, err := r.leakedThing(ctx, o.Subject)
	if err != nil {
		return LeakReport{}, err
	}
	record := &leak.Record{
		ID: leak.NewID(), Subject: o.Subject, Owner: ownerOfLeak(k, c), By: o.By, Where: leak.OneLine(o.Where), Since: o.Since,
		Opened: r.Now(), Disabled: []string{}, Kept: []string{}, Timeline: []leak.Entry{},
	}
	record.Note(r.Now(), o.Actor, firstLine(o))
	if o.DryRun {
		return r.describeLeak(ctx, record, true)
	}
	record, fresh, err := r.Store.OpenLeak(ctx, leak.Opening{Record: record, Contain: o.Contain, Actor: o.Actor, Quiet: o.Quiet},
		audit.Event{Actor: o.Actor, Action: "leak.opened"})
	if err != nil {
		return LeakReport{}, err
	}
	if o.Notify && (fresh || !o.Quiet) {
		if record, err = r.tellOfLeak(ctx, record, k, c, o.Actor); err != nil {
			return LeakReport{}, err
		}
	}
	if o.Quiet {
		return LeakReport{Record: record, Status: record.Status()}, nil
	}
	return r.describeLeak(ctx, record, false)
}

// firstLine is what the timeline says of an order.
func firstLine(o LeakOrder) string {
	line := map[string]string{leak.ByOperator: "put on record", leak.ByReport: "reported from outside", leak.ByGitHub: "reported by secret scanning"}[o.By]
	if o.Reason != "" {
		line += ": " + o.Reason
	}
	if o.Where != "" {
		line += ", found at " + o.Where
	}
	return line
}

// leakedThing is the apikey or the client that a leak is about.
func (r *Road) leakedThing(ctx context.Context, s leak.Subject) (k *apikey.Key, c *client.Client, err error) {
	if s.Kind == leak.KindAPIKey {
		k, err = r.Store.APIKey(ctx, s.ID)
		return k, nil, err
	}
	c, err = r.Store.Client(ctx, s.ID)
	if errors.Is(err, client.ErrNotFound) && s.Kind == leak.KindToken {
		return nil, nil, nil // exchanged for an apikey that has no client
	}
	return nil, c, err
}

func ownerOfLeak(k *apikey.Key, c *client.Client) string {
	switch {
	case k != nil:
		return k.Owner
	case c != nil:
		return c.Owner
	}
	return ""
}

func (r *Road) tellOfLeak(ctx context.Context, record *leak.Record, k *apikey.Key, c *client.Client, actor string) (*leak.Record, error) {
	if r.LeakNotifier == nil {
		return record, nil
	}
	told, err := r.LeakNotifier.LeakFound(ctx, record, k, c)
	if err != nil { // what was stopped stays stopped
		r.Log.LogAttrs(ctx, slog.LevelError, "nobody could be told of a leak", slog.String("leak", record.ID), slog.Any("error", err))
		return record, nil
	}
	return r.Store.UpdateLeak(ctx, record.ID, func(l *leak.Record) error {
		if told == "" {
			l.Note(r.Now(), "system", "nobody to tell: no contact, and email.to_admins is empty; the message is in the outbox")
			return nil
		}
		l.NotifiedAt = r.Now()
		l.Note(r.Now(), "system", "told: "+told)
		return nil
	}, audit.Event{Actor: actor, Action: "leak.notified", Object: record.ID})
}

// ShowLeak is one leak in full.
func (r *Road) ShowLeak(ctx context.Context, id string) (LeakReport, error) {
	record, err := r.Store.Leak(ctx, id)
	if err != nil {
		return LeakReport{}, err
	}
	return r.describeLeak(ctx, record, false)
}

// ListLeaks is a page of leaks, the newest first, without their reach.
func (r *Road) ListLeaks(ctx context.Context, f leak.Filter) (leaks []LeakReport, next string, err error) {
	records, next, err := r.Store.Leaks(ctx, f)
	if err != nil {
		return nil, "", err
	}
	leaks = make([]LeakReport, 0, len(records))
	for _, record := range records {
		report, err := r.replacement(ctx, record)
		if err != nil {
			return nil, "", err
		}
		leaks = append(leaks, report)
	}
	return leaks, next, nil
}

// CloseLeak ends a leak; with restore it was a false alarm, and what was stopped
// goes on.
func (r *Road) CloseLeak(ctx context.Context, id, reason, actor string, restore bool) (LeakReport, error) {
	before, err := r.Store.Leak(ctx, id)
	if err != nil {
		return LeakReport{}, err
	}
	report, err := r.replacement(ctx, before)
	if err != nil {
		return LeakReport{}, err
	}
	words := "closed"
	if report.ReplacedBy != "" {
		words += ", replaced by client " + report.ReplacedBy
	}
	if reason != "" {
		words += ": " + reason
	}
	if _, err := r.Store.CloseLeak(ctx, id, actor, leak.OneLine(words), restore, audit.Event{
		Actor: actor, Action: "leak.closed", Object: id, Detail: closedDetail(before, reason, restore, report.ReplacedBy),
	}); err != nil {
		return LeakReport{}, err
	}
	return r.ShowLeak(ctx, id)
}

// closedDetail is what the audit says; evidence reads the stage that an apikey
// has again.
func closedDetail(before *leak.Record, reason string, restore bool, replacedBy string) map[string]any {
	detail := map[string]any{"reason": reason, "restored": restore, "replaced_by": replacedBy}
	if restore && before.Subject.Kind == leak.KindAPIKey && !before.ContainedAt.IsZero() {
		detail["apikey"], detail["stage"] = before.Subject.ID, before.Before
	}
	return detail
}

// describeLeak adds to a record how far it reaches and what remains to be done.
func (r *Road) describeLeak(ctx context.Context, record *leak.Record, dryRun bool) (LeakReport, error) {
	report, err := r.replacement(ctx, record)
	if err != nil {
		return report, err
	}
	radius, err := r.radiusOf(ctx, record)
	if err != nil {
		return report, err
	}
	report.Radius, report.DryRun = &radius, dryRun
	report.Replace, err = r.remaining(ctx, &report, radius)
	return report, err
}

// replacement finds the client that took the place of what leaked: an active one
// that the apikey is mapped to, made or used since the leak was found.
func (r *Road) replacement(ctx context.Context, record *leak.Record) (LeakReport, error) {
	shown := *record
	report := LeakReport{Record: &shown, Replace: []string{}}
	if record.Subject.Kind == leak.KindAPIKey && record.ReplacedBy == "" {
		k, err := r.Store.APIKey(ctx, record.Subject.ID)
		if err != nil && !errors.Is(err, apikey.ErrNotFound) {
			return report, err
		}
		if err == nil && k.ClientID != "" {
			c, err := r.Store.Client(ctx, k.ClientID)
			switch {
			case err != nil && !errors.Is(err, client.ErrNotFound):
				return report, err
			case err == nil && c.Status == client.Active && (c.Created.After(record.Opened) || c.LastUsed.After(record.Opened)):
				shown.ReplacedBy = c.ID
			}
		}
	}
	report.Status = shown.Status()
	return report, nil
}

// radiusOf reads what was done with what leaked, and with what was made with it.
func (r *Road) radiusOf(ctx context.Context, record *leak.Record) (Radius, error) {
	fold := newRadiusFold(record.Since, r.Rules())
	read := func(kind, id string, each func(traffic.Row)) error {
		return r.Store.Traffic(ctx, traffic.Filter{Credential: &traffic.Credential{Kind: kind, ID: id}}, func(row traffic.Row) error {
			each(row)
			return nil
		})
	}
	floor, err := r.Store.TrafficFloor(ctx)
	if err != nil {
		return Radius{}, err
	}
	if record.Subject.Kind != leak.KindAPIKey {
		if err := read(traffic.KindClient, record.Subject.ID, fold.add); err != nil {
			return Radius{}, err
		}
		return fold.radius(floor), nil
	}
	if err := read(traffic.KindAPIKey, record.Subject.ID, fold.add); err != nil {
		return Radius{}, err
	}
	made, err := r.madeWith(ctx, record.Subject.ID)
	if err != nil {
		return Radius{}, err
	}
	clients := make([]ClientUse, 0, len(made))
	for _, c := range made {
		use := ClientUse{ID: c.ID, Name: c.Name, Status: c.Status, Created: c.Created, Since: !c.Created.Before(record.Since)}
		if err := read(traffic.KindClient, c.ID, func(row traffic.Row) {
			fold.add(row)
			if !row.Last.Before(record.Since) {
				use.Calls += row.Calls
			}
		}); err != nil {
			return Radius{}, err
		}
		clients = append(clients, use)
	}
	radius := fold.radius(floor)
	radius.Clients = clients
	return radius, nil
}

// madeWith are the clients that were registered with an apikey.
func (r *Road) madeWith(ctx context.Context, apikeyID string) (made []*client.Client, err error) {
	for f := (client.Filter{Limit: 1000}); ; {
		page, next, err := r.Store.Clients(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, c := range page {
			if c.APIKeyID == apikeyID && c.Source == client.SourceUpgrade {
				made = append(made, c)
			}
		}
		if f.After = next; next == "" {
			return made, nil
		}
	}
}

// remaining is what is left to do about a leak, in the order in which to do it.
func (r *Road) remaining(ctx context.Context, report *LeakReport, radius Radius) ([]string, error) {
	steps := []string{}
	say := func(format string, args ...any) { steps = append(steps, fmt.Sprintf(format, args...)) }
	record := report.Record
	if report.Status == leak.Closed {
		return steps, nil
	}
	if record.ContainedAt.IsZero() {
		say("stop it: `offkey leak --id %s --contain`", cmp.Or(record.Subject.ID, record.ID))
	}
	if record.NotifiedAt.IsZero() {
		say("tell its owner: `offkey leak --id %s --notify`", record.Subject.ID)
	}
	switch record.Subject.Kind {
	case leak.KindAPIKey:
		k, err := r.Store.APIKey(ctx, record.Subject.ID)
		if err != nil {
			return nil, err
		}
		steps = append(steps, replaceAPIKey(k, record, radius)...)
	case leak.KindClient:
		say("give the client another credential: `offkey clients rotate %s`, hand it over, then `offkey clients enable %s`", record.Subject.ID, record.Subject.ID)
		if record.Subject.Part != "" {
			say("take the leaked one away: `offkey clients rotate %s --drop %s`", record.Subject.ID, record.Subject.Part)
		}
	case leak.KindToken:
		say("find out where client %s writes its tokens; the secret behind them may be there too", record.Subject.ID)
	}
	say("when nothing is left: `offkey leak close %s`", record.ID)
	return steps, nil
}

// replaceAPIKey is how the owner of a leaked apikey gets something better.
func replaceAPIKey(k *apikey.Key, record *leak.Record, radius Radius) (steps []string) {
	say := func(format string, args ...any) { steps = append(steps, fmt.Sprintf(format, args...)) }
	say("revoke apikey ...%s at the API itself: here it is refused, there it may still open everything", k.Last4)
	switch {
	case record.ReplacedBy != "":
		say("let every program of %s use client %s", cmp.Or(k.Owner, "its owner"), record.ReplacedBy)
	case len(record.Kept) > 0:
		say("let its owner say whether these clients, made before the leak, are theirs: %s", strings.Join(record.Kept, " "))
	default:
		say("the owner makes a key pair: `offkey keygen --out private.pem --jwks public.jwks`, and sends public.jwks alone")
		say("you register it: `offkey clients create --name NAME --auth private_key_jwt --jwks-file public.jwks --scopes %q`", radius.wanted.String())
		say("and map the apikey to it: `offkey apikeys map %s --client NAME`", k.ID)
	}
	for _, id := range record.Disabled {
		say("if its owner made client %s: `offkey clients enable %s`", id, id)
	}
	return steps
}
