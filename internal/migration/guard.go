package migration

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// guard is a condition under which a campaign pauses by itself.
type guard struct {
	text   string
	metric string        // refused, would_deny or errors
	limit  float64       // a number of calls, or a share in percent
	per    string        // "calls": a share of all; "owner", "apikey": of the worst one; "": of all
	within time.Duration // looked at
}

// The bounds of a guard, and what it looks at if it does not say.
const (
	guardWithin     = 5 * time.Minute
	longestGuard    = time.Hour
	leastGuardCalls = 20 // a share of fewer calls says nothing
)

var guardForm = regexp.MustCompile(`^(refused|would_deny|errors) > ([0-9]+(?:\.[0-9]+)?)(?:(%) of calls| of (owner|apikey))?(?: in ([0-9]+)(m|h))?$`)

// parseGuard reads "refused > 0.1% of calls", "refused > 50 of owner",
// "errors > 5% of calls in 10m", "would_deny > 100".
func parseGuard(text string) (guard, error) {
	m := guardForm.FindStringSubmatch(strings.Join(strings.Fields(text), " "))
	if m == nil {
		return guard{}, fmt.Errorf("%q is no guard: write `refused > 0.1%% of calls`, `refused > 50 of owner` or `errors > 5%% of calls in 10m`; refused, would_deny and errors are counted", text)
	}
	g := guard{text: m[0], metric: m[1], per: m[4], within: guardWithin}
	g.limit, _ = strconv.ParseFloat(m[2], 64) // the form says that it is one
	if m[3] != "" {
		g.per = "calls"
	}
	if m[5] != "" {
		n, err := strconv.Atoi(m[5])
		if g.within = time.Duration(n) * time.Minute; m[6] == "h" {
			g.within = time.Duration(n) * time.Hour
		}
		if err != nil || g.within <= 0 || g.within > longestGuard {
			return guard{}, fmt.Errorf("%q: a guard looks at a minute to an hour", text)
		}
	}
	return g, nil
}

// LiveCounts are the calls of the last five minutes.
type LiveCounts struct {
	Calls     int64 `json:"calls"`
	Refused   int64 `json:"refused"`    // by a brownout, or a stage that the campaign reached within the last day
	WouldDeny int64 `json:"would_deny"` // passed, and refused once the rules that are counted are enforced
	Errors    int64 `json:"errors"`     // answered 5xx by the API
}

// slot is the calls of ten seconds.
type slot struct {
	at int64 // Unix time of its start
	LiveCounts
	refused map[string]int64 // by apikey
}

const (
	slotLength   = 10
	slots        = int64(longestGuard/time.Second)/slotLength + 1
	maxSlotNames = 20_000
)

// meter counts what was recorded lately, for guards. Its zero value is empty.
type meter struct {
	mu    sync.Mutex
	slots [slots]slot
}

// campaignCodes are the refusals that come of a stage.
var campaignCodes = []string{
	policy.CodeAPIKeyBrownout, policy.CodeAPIKeyUpgradeOnly, policy.CodeAPIKeyRetired, policy.CodeAPIKeyNew,
}

// fresh reports whether the campaign began to refuse an apikey lately. Who calls
// on with one that was retired long ago must not stop a campaign, and neither may
// whoever sends made-up ones.
func (r *Road) fresh(row traffic.Row) bool {
	kind, code, _ := strings.Cut(row.Outcome, ":")
	if kind != "denied" || !slices.Contains(campaignCodes, code) || r.APIKey == nil {
		return false
	}
	k := r.APIKey(row.Credential.ID)
	if k == nil {
		return false
	}
	s := r.Rules().StandingOf(k, row.Last)
	return s.By != policy.ByAPIKey && (code == policy.CodeAPIKeyBrownout || row.Last.Sub(s.Since) < guardReach)
}

// Count notes rows that were recorded just now.
func (r *Road) Count(rows []traffic.Row) {
	fresh := make([]bool, len(rows))
	for i, row := range rows {
		fresh[i] = r.fresh(row)
	}
	r.meter.mu.Lock()
	defer r.meter.mu.Unlock()
	for i, row := range rows {
		start := row.Last.Unix() / slotLength * slotLength
		s := &r.meter.slots[start/slotLength%slots]
		switch {
		case s.at > start:
			continue // long over
		case s.at < start:
			*s = slot{at: start, refused: map[string]int64{}}
		}
		s.count(row, fresh[i])
	}
}

func (s *slot) count(row traffic.Row, fresh bool) {
	s.Calls += row.Calls
	kind, _, _ := strings.Cut(row.Outcome, ":")
	switch {
	case fresh:
		s.Refused += row.Calls
		if id := row.Credential.ID; id != "" && (s.refused[id] > 0 || len(s.refused) < maxSlotNames) {
			s.refused[id] += row.Calls
		}
	case kind == "shadow":
		s.WouldDeny += row.Calls
	}
	if row.Status >= 500 && kind != "denied" {
		s.Errors += row.Calls
	}
}

// forget begins anew: what paused a campaign once must not pause it again when it
// goes on.
func (m *meter) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slots = [slots]slot{}
}

// since sums up what was counted lately.
func (m *meter) since(from time.Time) (sum LiveCounts, refused map[string]int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	refused = map[string]int64{}
	for i := range m.slots {
		s := &m.slots[i]
		if s.at == 0 || s.at+slotLength <= from.Unix() {
			continue
		}
		sum.Calls, sum.Refused, sum.WouldDeny, sum.Errors = sum.Calls+s.Calls, sum.Refused+s.Refused, sum.WouldDeny+s.WouldDeny, sum.Errors+s.Errors
		for id, n := range s.refused {
			refused[id] += n
		}
	}
	return sum, refused
}

// Live are the calls of the last five minutes.
func (r *Road) Live() LiveCounts {
	sum, _ := r.meter.since(r.Now().Add(-guardWithin))
	return sum
}

// SetGuards says when the campaign pauses by itself; none is never.
func (r *Road) SetGuards(ctx context.Context, guards []string, actor string) ([]string, error) {
	if err := CheckGuards(guards); err != nil {
		return nil, err
	}
	read := []string{}
	for _, text := range guards {
		g, _ := parseGuard(text) // CheckGuards has read it
		read = append(read, g.text)
	}
	_, err := r.Store.UpdateSettings(ctx, func(s *policy.Settings) error {
		s.Guards = read
		return nil
	}, audit.Event{Actor: actor, Action: "campaign.guards", Object: "campaign", Detail: map[string]any{"stop_if": read}})
	return read, err
}

// guardReach is how far back a guard takes back what the calendar did.
const guardReach = 24 * time.Hour

// watch pauses the campaign if a guard is met, and tells the operators.
func (r *Road) watch(ctx context.Context) error {
	rules := r.Rules()
	if rules.Paused() {
		return nil
	}
	for _, text := range rules.Guards {
		g, err := parseGuard(text)
		if err != nil {
			continue // of a newer release
		}
		found, err := r.meets(ctx, g)
		if err != nil {
			return err
		}
		if found == "" {
			continue
		}
		return r.stop(ctx, g, found)
	}
	return nil
}

// stop pauses the campaign because a guard was met.
func (r *Road) stop(ctx context.Context, g guard, found string) error {
	reason := fmt.Sprintf("the guard `%s` was met: %s", g.text, found)
	res, err := r.Pause(ctx, PauseOrder{Back: guardReach, Reason: reason, Actor: system})
	if err != nil {
		return err
	}
	r.meter.forget()
	r.Log.LogAttrs(ctx, slog.LevelWarn, "the campaign was paused by a guard", slog.String("guard", g.text), slog.String("found", found), slog.Int("apikeys", res.Changed))
	if r.Alarm != nil {
		r.Alarm(ctx, "The campaign is paused: "+g.text, fmt.Sprintf(`The campaign was paused by itself, because %s.

%d API keys have another stage than a moment ago: what the calendar did in
the last 24 hours is taken back, and brownouts have ended. Nothing further
happens until an operator lets it:

  offkey stage calendar
  offkey plan --at DATE
  offkey stage resume
`, reason, res.Changed))
	}
	return nil
}

// meets says in words how a guard is met, "" if it is not.
func (r *Road) meets(ctx context.Context, g guard) (string, error) {
	sum, refused := r.meter.since(r.Now().Add(-g.within))
	n := map[string]int64{"refused": sum.Refused, "would_deny": sum.WouldDeny, "errors": sum.Errors}[g.metric]
	switch g.per {
	case "":
		if float64(n) > g.limit {
			return fmt.Sprintf("%s is %d in %s", g.metric, n, g.within), nil
		}
	case "calls":
		if sum.Calls >= leastGuardCalls && 100*float64(n) > g.limit*float64(sum.Calls) {
			return fmt.Sprintf("%s is %d of %d calls in %s", g.metric, n, sum.Calls, g.within), nil
		}
	default:
		return r.worst(ctx, g, refused)
	}
	return "", nil
}

// worst looks for an apikey, or an owner, with too many refused calls.
func (r *Road) worst(ctx context.Context, g guard, refused map[string]int64) (string, error) {
	if g.metric != "refused" {
		return "", nil
	}
	owners := map[string]int64{}
	for id, n := range refused {
		name := id
		if g.per == "owner" {
			k, err := r.Store.APIKey(ctx, id)
			if err != nil || k.Owner == "" {
				continue
			}
			name = k.Owner
		}
		owners[name] += n
		if float64(owners[name]) > g.limit {
			return fmt.Sprintf("%d calls of %s %s were refused in %s", owners[name], g.per, oneWord(name), g.within), nil
		}
	}
	return "", nil
}

// oneWord is a name that somebody chose, for a message.
func oneWord(name string) string {
	return fmt.Sprintf("%q", name[:min(len(name), 80)])
}

// CheckGuards reports which of them cannot be read.
func CheckGuards(guards []string) error {
	if len(guards) > policy.MaxGuards {
		return fmt.Errorf("%d guards are more than %d", len(guards), policy.MaxGuards)
	}
	for _, text := range guards {
		if _, err := parseGuard(text); err != nil {
			return err
		}
	}
	return nil
}
