package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// Owners are told once for each apikey and program: that it is on its way out,
// of each test of the end, and 30, 7 and 1 days before the end. What is told
// follows from the calendar alone, so that no mail can say another date than
// the answers to calls do.

// The occasions.
const (
	OccasionWarn     = "warn"     // it is deprecated
	OccasionBrownout = "brownout" // a window comes
	OccasionEnd      = "end"      // it stops working
)

// Notice is what the owner of an apikey is told about one program.
type Notice struct {
	apikey.Telling
	Key     *apikey.Key
	Stage   apikey.Stage
	Until   time.Time      // the end; zero: none is announced
	Window  *policy.Window // of OccasionBrownout
	Calls   int64          // of the program, in 30 days
	Route   string         // that it calls most, "" for none
	Callers int            // programs seen with the apikey
}

// Kind is the occasion without what tells it from others of its kind.
func (n Notice) Kind() string {
	kind, _, _ := strings.Cut(n.Occasion, ":")
	return kind
}

// Bundle is all notices of one telling that go to the same contact.
type Bundle struct {
	Contact string // "" is nobody's: for whoever runs the API
	Notices []Notice
}

// Message is a Bundle as it was or would be sent.
type Message struct {
	To      []string `json:"to"`
	Why     string   `json:"why"` // why they
	Subject string   `json:"subject"`
	Text    string   `json:"text"`
	APIKeys int      `json:"apikeys"`
	Notices int      `json:"notices"`
}

// Postman writes messages to owners and hands them over for delivery.
type Postman interface {
	// Write says what would be sent.
	Write(b Bundle) Message
	// Send keeps the message until it is delivered: when it returns without an
	// error it is on disk. ErrPostFull: too many wait already.
	Send(ctx context.Context, b Bundle) (Message, error)
}

// ErrPostFull is an outbox that takes no more now.
var ErrPostFull = errors.New("too many messages wait to be delivered")

// TellingStore keeps what was told.
type TellingStore interface {
	// Told visits all that was told in the last year.
	Told(ctx context.Context, yield func(apikey.Telling)) error
	NoteTold(ctx context.Context, told []apikey.Telling, e audit.Event) error
}

// The days before the end of an apikey, and before a window, on which somebody
// is told.
var (
	daysBeforeEnd    = []int{1, 7, 30}
	daysBeforeWindow = []int{1, 7}
)

// daysUntil is the smallest of days that at is not further away than; 0 for none.
func daysUntil(at, now time.Time, days []int) int {
	for _, d := range days {
		if left := at.Sub(now); left > 0 && left <= time.Duration(d)*24*time.Hour {
			return d
		}
	}
	return 0
}

// occasionsOf are what an apikey is an occasion to tell of, by its standing: the
// nearest reminder stands for those before it. It needs neither storage nor a
// clock.
func occasionsOf(k *apikey.Key, rules *policy.Ruleset, now time.Time) (occasions []Notice) {
	s := rules.StandingOf(k, now)
	if s.Stage < apikey.Warn || s.Stage > apikey.UpgradeOnly {
		return nil // nothing is said in observe, and nothing more after the end
	}
	add := func(occasion string, w *policy.Window) {
		occasions = append(occasions, Notice{Telling: apikey.Telling{APIKeyID: k.ID, Occasion: occasion}, Key: k, Stage: s.Stage, Until: s.Sunset, Window: w})
	}
	add(OccasionWarn, nil)
	if d := daysUntil(s.Sunset, now, daysBeforeEnd); d > 0 {
		add(fmt.Sprintf("%s:%d:%s", OccasionEnd, d, s.Sunset.UTC().Format(time.DateOnly)), nil)
	}
	if rules.Paused() {
		return occasions
	}
	for i := range rules.Windows {
		w := &rules.Windows[i]
		if d := daysUntil(w.From, now, daysBeforeWindow); d > 0 && rules.InCohort(k, w.Cohort, w.Share) {
			add(fmt.Sprintf("%s:%d:%s", OccasionBrownout, d, w.From.UTC().Format("2006-01-02T15:04")), w)
		}
	}
	return occasions
}

// TellOrder says whom to tell, and of what.
type TellOrder struct {
	IDs    []string // these apikeys; nil is all, or
	Cohort string   // those of a cohort
	Kind   string   // one of the occasions; "" is all that are due
	Again  bool     // also what was told before
	// Stage asks what would be told if that were the stage of all; with DryRun
	// alone. Inherit is what holds.
	Stage  apikey.Stage
	DryRun bool
	Actor  string

	newOnly bool // only apikeys that are told of an occasion for the first time
}

// TellResult is what was told, or would be.
type TellResult struct {
	Messages []Message `json:"messages"`
	Sent     int       `json:"sent"`
	Waiting  bool      `json:"waiting,omitempty"` // the outbox is full: the rest follows
	DryRun   bool      `json:"dry_run,omitempty"`
}

// How often it is looked who is to be told: of apikeys that something new is to
// be said of, and of all, for programs that were not seen before. The latter
// reads all recorded traffic.
const (
	tellEvery    = 5 * time.Minute
	tellAllEvery = 6 * time.Hour
)

// tendTelling tells what is due.
func (r *Road) tendTelling(ctx context.Context) error {
	now := r.Now()
	if r.toldAt.IsZero() {
		r.toldAt = now // what was just set can still be taken back
	}
	if r.Postman == nil || now.Sub(r.toldAt).Abs() < tellEvery {
		return nil
	}
	r.toldAt = now
	o := TellOrder{Actor: system, newOnly: now.Sub(r.toldAllAt).Abs() < tellAllEvery}
	res, err := r.Tell(ctx, o)
	if err == nil && !o.newOnly && !res.Waiting {
		r.toldAllAt = now
	}
	return err
}

// Tell tells owners what is due, or with DryRun says what it would tell them. A
// message is kept before it is noted that it was sent: one that was cut off in
// between is sent twice, and none is lost.
func (r *Road) Tell(ctx context.Context, o TellOrder) (TellResult, error) {
	res := TellResult{Messages: []Message{}, DryRun: o.DryRun}
	if r.Postman == nil {
		return res, errors.New("nobody can be told: there is no outbox")
	}
	bundles, err := r.bundles(ctx, o)
	if err != nil {
		return res, err
	}
	for _, b := range bundles {
		if o.DryRun {
			res.Messages = append(res.Messages, r.Postman.Write(b))
			continue
		}
		m, err := r.Postman.Send(ctx, b)
		if errors.Is(err, ErrPostFull) {
			res.Waiting = true
			return res, nil
		}
		if err != nil {
			return res, err
		}
		if err := r.noteTold(ctx, b, m, o.Actor); err != nil {
			return res, err
		}
		res.Messages, res.Sent = append(res.Messages, m), res.Sent+1
	}
	return res, nil
}

func (r *Road) noteTold(ctx context.Context, b Bundle, m Message, actor string) error {
	told := make([]apikey.Telling, len(b.Notices))
	ids := map[string]bool{}
	for i, n := range b.Notices {
		told[i], ids[n.APIKeyID] = n.Telling, true
	}
	return r.Store.NoteTold(ctx, told, audit.Event{Actor: actor, Action: "owner.told", Object: b.Notices[0].APIKeyID, Detail: map[string]any{
		"why": m.Why, "apikeys": len(ids), "notices": len(told), "occasion": b.Notices[0].Occasion,
	}})
}

// maxBundled bounds the notices of one message.
const maxBundled = 200

// bundles are what is due, for each contact, those first that end first.
func (r *Road) bundles(ctx context.Context, o TellOrder) ([]Bundle, error) {
	rules, now := r.Rules(), r.Now()
	if o.Stage != apikey.Inherit {
		rules = rules.With(func(rs *policy.Ruleset) {
			rs.Stage, rs.Since = o.Stage, now
			rs.Campaign.Steps = slices.DeleteFunc(slices.Clone(rs.Campaign.Steps), func(s policy.Step) bool { return !s.At.After(now) })
		})
	}
	chosen := map[string]bool{}
	for _, id := range o.IDs {
		chosen[id] = true
	}
	due := map[string][]Notice{} // by apikey
	if err := r.eachAPIKey(ctx, func(k *apikey.Key) error {
		if o.IDs != nil && !chosen[k.ID] || o.Cohort != "" && rules.CohortOf(k) != o.Cohort {
			return nil
		}
		for _, n := range occasionsOf(k, rules, now) {
			if o.Kind == "" || n.Kind() == o.Kind {
				due[k.ID] = append(due[k.ID], n)
			}
		}
		return nil
	}); err != nil || len(due) == 0 {
		return nil, err
	}
	told := map[apikey.Telling]bool{}
	if !o.Again {
		if err := r.Store.Told(ctx, func(t apikey.Telling) {
			told[t] = true
			told[apikey.Telling{APIKeyID: t.APIKeyID, Program: anyProgram, Occasion: t.Occasion}] = true
		}); err != nil {
			return nil, err
		}
	}
	if o.newOnly {
		for id, notices := range due {
			notices = slices.DeleteFunc(notices, func(n Notice) bool {
				return told[apikey.Telling{APIKeyID: id, Program: anyProgram, Occasion: n.Occasion}]
			})
			if due[id] = notices; len(notices) == 0 {
				delete(due, id)
			}
		}
		if len(due) == 0 {
			return nil, nil
		}
	}
	programs, err := r.programsOf(ctx, due)
	if err != nil {
		return nil, err
	}
	byContact := map[string][]Notice{}
	for id, notices := range due {
		for _, n := range forPrograms(notices, programs[id]) {
			if !told[n.Telling] {
				byContact[n.Key.Contact] = append(byContact[n.Key.Contact], n)
			}
		}
	}
	return bundled(byContact), nil
}

// anyProgram stands for whichever program was told; no program is called so.
const anyProgram = "\x00"

// forPrograms makes a notice for each program, or one for the apikey where
// nobody was seen with it: of an apikey that has moved and that nobody sends any
// more nobody is told.
func forPrograms(notices []Notice, seen map[string]*programUse) (all []Notice) {
	if len(seen) == 0 {
		return slices.DeleteFunc(notices, func(n Notice) bool { return n.Key.ClientID != "" })
	}
	for _, n := range notices {
		for program, t := range seen {
			n.Program, n.Calls, n.Route, n.Callers = program, t.calls, t.route(), len(seen)
			all = append(all, n)
		}
	}
	return all
}

// bundled cuts notices into messages, in an order that does not change from one
// run to the next.
func bundled(byContact map[string][]Notice) (bundles []Bundle) {
	for contact, notices := range byContact {
		slices.SortFunc(notices, func(a, b Notice) int {
			if a.Until.IsZero() != b.Until.IsZero() { // no end comes after every end
				return b.Until.Compare(a.Until)
			}
			if at := a.Until.Compare(b.Until); at != 0 {
				return at
			}
			return strings.Compare(a.APIKeyID+"\x00"+a.Program+"\x00"+a.Occasion, b.APIKeyID+"\x00"+b.Program+"\x00"+b.Occasion)
		})
		for part := range slices.Chunk(notices, maxBundled) {
			bundles = append(bundles, Bundle{Contact: contact, Notices: part})
		}
	}
	slices.SortFunc(bundles, func(a, b Bundle) int {
		return strings.Compare(a.Contact+"\x00"+a.Notices[0].APIKeyID, b.Contact+"\x00"+b.Notices[0].APIKeyID)
	})
	return bundles
}

// programUse is what one program did with an apikey.
type programUse struct {
	calls  int64
	routes map[string]int64
}

// maxToldRoutes bounds the routes that are counted to find the usual one.
const maxToldRoutes = 50

func (t *programUse) route() (most string) {
	for name, calls := range t.routes {
		if n := t.routes[most]; most == "" || calls > n || calls == n && name < most {
			most = name
		}
	}
	return most
}

// programsOf reads who was seen with apikeys in the last 30 days.
func (r *Road) programsOf(ctx context.Context, of map[string][]Notice) (map[string]map[string]*programUse, error) {
	seen := map[string]map[string]*programUse{}
	err := r.Store.Traffic(ctx, traffic.Filter{From: r.Now().Add(-inventoryWindow)}, func(row traffic.Row) error {
		if row.Credential.Kind != traffic.KindAPIKey || of[row.Credential.ID] == nil {
			return nil
		}
		programs := seen[row.Credential.ID]
		if programs == nil {
			programs = map[string]*programUse{}
			seen[row.Credential.ID] = programs
		}
		name := ProgramOf(row.UserAgent)
		t := programs[name]
		if t == nil {
			if len(programs) >= maxPrograms {
				return nil
			}
			t = &programUse{routes: map[string]int64{}}
			programs[name] = t
		}
		t.calls += row.Calls
		if route := row.Method + " " + row.Template; t.routes[route] > 0 || len(t.routes) < maxToldRoutes {
			t.routes[route] += row.Calls
		}
		return nil
	})
	return seen, err
}
