package app

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/migration"
)

// The size of the campaign: days are simulated, with a clock that is moved.
const (
	campaignAPIKeys = 1000
	campaignOwners  = 200
	campaignDays    = 90
)

// caller is whoever has one apikey.
type caller struct {
	key, id, owner string
	silent         bool // calls nothing
	moved          bool // to tokens: the apikey is not sent any more
	never          bool // does not move, whatever is announced
}

// campaign is a world of callers, and who of them a plan has named.
type campaign struct {
	*world
	callers []*caller
	named   map[string]bool // would be refused, as a plan said before it was done
	day     int
	refused int
}

// TestACampaignOfNinetyDays takes 1,000 apikeys of 200 owners to their end: the
// unused first, then a cohort with brownouts, then shares, then all; with a
// pause, a rollback, extensions and a leak on the way. Nobody is refused whom the
// plan had not named, and at the end no apikey is accepted.
func TestACampaignOfNinetyDays(t *testing.T) {
	c := newCampaign(t)
	do := map[int]func(){
		1: func() {
			c.operate("PUT", "/calendar/guards", map[string]any{"stop_if": []string{"errors > 50% of calls"}}, nil)
			c.operate("PUT", "/calendar/self-extension", map[string]string{"length": "30d"}, nil)
			c.operate("PUT", "/cohorts/partners", map[string]any{"owners": c.ownersOf(50)}, nil)
			c.move(map[string]any{"stage": "warn", "all": true, "at": c.at(5)})
		},
		6: func() { c.everybodyIsWarned() },
		// Unused first: the plan names nobody, and nobody is refused.
		32: func() {
			c.operate("PUT", "/cohorts/quiet", map[string]any{"unused": "30d", "before": "partners"}, nil)
			if p := c.plan(map[string]any{"stage": "retired", "cohort": "quiet"}); p.WouldDeny != 0 || len(p.NotCovered) == 0 {
				t.Errorf("unused, and the plan says %+v", p)
			}
			c.move(map[string]any{"stage": "retired", "cohort": "quiet"})
		},
		35: func() { c.move(map[string]any{"stage": "brownout", "cohort": "partners"}) },
		38: func() {
			c.brownout("partners", c.moment(40))
			c.someMove("partners", 3) // a third of those who were told
		},
		42: func() {
			c.plan(map[string]any{"stage": "upgrade_only", "cohort": "partners"})
			c.move(map[string]any{"stage": "upgrade_only", "cohort": "partners", "at": c.at(50)})
			c.extendSome()
		},
		46: func() { c.someMove("partners", 2) },
		// A leak in the middle.
		52: func() { c.leak() },
		// A share of all, found to be too much, and the whole campaign paused.
		55: func() {
			c.plan(map[string]any{"stage": "upgrade_only", "share": "10%"})
			c.move(map[string]any{"stage": "upgrade_only", "share": "10%", "at": c.at(56)})
		},
		57: func() {
			before := c.accepted()
			c.operate("POST", "/calendar/pause", map[string]string{"back": "2d", "reason": "support is flooded"}, nil)
			if after := c.accepted(); after <= before {
				t.Errorf("paused, and %d apikeys are accepted where %d were", after, before)
			}
		},
		59: func() { c.operate("POST", "/calendar/resume", nil, nil) },
		60: func() { // the way back for one cohort
			c.move(map[string]any{"stage": "warn", "cohort": "partners"})
			if c.partnersRefused() > 1 { // the one that was blocked
				t.Error("rolled back, and still refused")
			}
		},
		62: func() {
			c.plan(map[string]any{"stage": "upgrade_only", "cohort": "partners"})
			c.move(map[string]any{"stage": "upgrade_only", "cohort": "partners"})
		},
		64: func() { c.someMove("", 2) },
		66: func() {
			for day, share := range map[int]string{68: "25%", 72: "50%"} {
				c.plan(map[string]any{"stage": "upgrade_only", "share": share})
				c.move(map[string]any{"stage": "upgrade_only", "share": share, "at": c.at(day)})
			}
			c.plan(map[string]any{"stage": "upgrade_only"})
			c.move(map[string]any{"stage": "upgrade_only", "all": true, "at": c.at(76)})
		},
		74: func() { c.someMove("", 2) },
		78: func() {
			c.plan(map[string]any{"stage": "retired"})
			c.move(map[string]any{"stage": "retired", "all": true, "at": c.at(80)})
			c.move(map[string]any{"stage": "retired", "cohort": "partners", "at": c.at(80)})
			// Exceptions have ended by then, and the plan says whom that stops.
			c.plan(map[string]any{"at": c.at(86)})
		},
	}
	for ; c.day < campaignDays; c.pass(24 * time.Hour) {
		if act := do[c.day]; act != nil {
			act()
		}
		c.today()
		c.day++
	}
	c.atTheEnd()
}

func newCampaign(t *testing.T) *campaign {
	c := &campaign{named: map[string]bool{}, world: newWorld(t, func(cfg *config.Config) { cfg.APIKeys.KnownBy = []config.KnownBy{{Type: "imported"}} })}
	c.pass(time.Until(time.Now().Truncate(24 * time.Hour).Add(36 * time.Hour))) // to noon: windows do not cross midnight
	var keys []*apikey.Key
	for i := range campaignAPIKeys {
		who := &caller{key: newKey(), id: apikey.NewID(), owner: fmt.Sprintf("owner %03d", i%campaignOwners), silent: i%10 < 3, never: i%23 == 0}
		c.api.set(who.key, true)
		c.callers = append(c.callers, who)
		keys = append(keys, &apikey.Key{ID: who.id, Fingerprint: c.data.pepper.Fingerprint(who.key), Last4: who.key[len(who.key)-4:], Owner: who.owner, Created: c.now()})
	}
	if _, err := c.db.ImportAPIKeys(t.Context(), keys, audit.Event{Actor: "test", Action: "apikeys.imported"}); err != nil {
		t.Fatal(err)
	}
	return c
}

// moment is noon of a day, at is that as operators write it.
func (c *campaign) moment(day int) time.Time {
	return c.now().Add(time.Duration(day-c.day) * 24 * time.Hour).Truncate(time.Hour)
}
func (c *campaign) at(day int) string { return c.moment(day).Format(time.RFC3339) }

func (c *campaign) ownersOf(n int) (owners []string) {
	for i := range n {
		owners = append(owners, fmt.Sprintf("owner %03d", i))
	}
	return owners
}

func (c *campaign) isPartner(who *caller) bool { return who.owner < "owner 050" }

// move sets a stage, which must move somebody.
func (c *campaign) move(order map[string]any) {
	c.Helper()
	var res migration.StageResult
	if c.operate("POST", "/stage", order, &res); res.Changed == 0 {
		c.Errorf("day %d: %v moves nobody", c.day, order)
	}
}

// plan asks who would be refused, and notes whom it names.
func (c *campaign) plan(question map[string]any) (p migration.Plan) {
	c.Helper()
	question["window"] = "30d"
	c.operate("POST", "/plan", question, &p)
	for _, who := range p.Callers {
		c.named[who.ID] = true
	}
	if p.Undecidable != 0 {
		c.Errorf("day %d: %d calls are undecidable", c.day, p.Undecidable)
	}
	return p
}

// today has everybody call who does: some of them each day, one after the
// other in a few lines. Whoever is refused must have been named.
func (c *campaign) today() {
	c.Helper()
	if err := c.road.Tend(c.Context()); err != nil {
		c.Fatal(err)
	}
	var lines sync.WaitGroup
	var mu sync.Mutex
	for line := range 4 {
		lines.Go(func() {
			for i, who := range c.callers {
				if i%4 != line || who.silent || who.moved || i/4%everySoManyDays != c.day%everySoManyDays {
					continue
				}
				a, err := c.try("GET", "/v1/orders", "X-API-Key", who.key)
				if err != nil {
					c.Error(err)
					return
				}
				if a.status == 200 {
					continue
				}
				mu.Lock()
				if c.refused++; !c.named[who.id] {
					c.Errorf("day %d: %s of %s is refused, and no plan had named it: %s", c.day, who.id, who.owner, a.body)
				}
				mu.Unlock()
			}
		})
	}
	lines.Wait()
}

func (c *campaign) everybodyIsWarned() {
	c.Helper()
	a := c.call("GET", "/v1/orders", "X-API-Key", c.callers[5].key)
	if want := fmt.Sprintf("@%d", c.moment(5).Unix()); a.header.Get("Deprecation") != want {
		c.Errorf("Deprecation %q, want %q", a.header.Get("Deprecation"), want)
	}
}

// brownout plans one, previewed, and looks at it while it lasts.
func (c *campaign) brownout(cohort string, at time.Time) {
	c.Helper()
	order := map[string]any{"cohort": cohort, "at": at.Format(time.RFC3339), "for": "1h"}
	var preview migration.BrownoutResult
	c.operate("POST", "/brownouts?dry_run=true", order, &preview)
	for _, who := range preview.Preview.Callers {
		c.named[who.ID] = true
	}
	c.operate("POST", "/brownouts", order, nil)
	back := c.now()
	c.pass(at.Add(time.Minute).Sub(back))
	for _, who := range c.callers[:60] {
		if who.silent {
			continue
		}
		a := c.call("GET", "/v1/orders", "X-API-Key", who.key)
		if refused := a.has("apikey_brownout"); refused != c.isPartner(who) || refused != (a.header.Get("Retry-After") != "") {
			c.Errorf("in the brownout %s is answered with %d %s", who.owner, a.status, a.body)
		}
	}
	c.pass(back.Sub(c.now()))
}

// someMove has one of n of the callers send tokens from now on.
func (c *campaign) someMove(cohort string, n int) {
	for i, who := range c.callers {
		if !who.never && i/7%n == 0 && (cohort == "" || c.isPartner(who)) {
			who.moved = true
		}
	}
}

// extendSome has some partners extend their apikeys by themselves, once.
func (c *campaign) extendSome() {
	c.Helper()
	n := 0
	for _, who := range c.callers {
		if !c.isPartner(who) || who.silent || who.moved || n == 8 {
			continue
		}
		n++
		held, err := c.road.ExtendHeld(c.Context(), who.key, "the release is in a month")
		if err != nil || held.Until == nil || !held.Until.Equal(c.moment(80)) {
			c.Fatalf("%+v, %v", held, err)
		}
	}
	var list struct{ Exceptions []migration.Exception }
	if c.operate("GET", "/exceptions", nil, &list); len(list.Exceptions) != n || n == 0 {
		c.Errorf("%d exceptions of %d", len(list.Exceptions), n)
	}
}

// leak blocks an apikey that was found somewhere.
func (c *campaign) leak() {
	c.Helper()
	i := slices.IndexFunc(c.callers, func(who *caller) bool { return c.isPartner(who) && !who.silent && !who.moved })
	who := c.callers[i]
	c.plan(map[string]any{"stage": "blocked", "apikeys": []string{who.id}})
	c.operate("POST", "/apikeys/"+who.id+"/block", map[string]string{"reason": "found in a public repository"}, nil)
	if a := c.call("GET", "/v1/orders", "X-API-Key", who.key); !a.has("apikey_blocked") {
		c.Errorf("the leaked one is answered with %d %s", a.status, a.body)
	}
	who.moved = true
}

// accepted counts the apikeys that pass now.
func (c *campaign) accepted() (n int) {
	c.Helper()
	rules := c.views.rules.Load()
	for _, who := range c.callers {
		if rules.StageOf(c.views.apikeys.ByID(who.id), c.now()).Passes() {
			n++
		}
	}
	return n
}

// partnersRefused counts those who call and do not pass now.
func (c *campaign) partnersRefused() (n int) {
	rules := c.views.rules.Load()
	for _, who := range c.callers {
		if c.isPartner(who) && !who.silent && !rules.StageOf(c.views.apikeys.ByID(who.id), c.now()).Passes() {
			n++
		}
	}
	return n
}

// atTheEnd no apikey is accepted, by the real gateway; nothing is left as an
// exception, and the audit tells each step.
func (c *campaign) atTheEnd() {
	c.Helper()
	for _, who := range c.callers {
		if a := c.call("GET", "/v1/orders", "X-API-Key", who.key); a.status != 401 || !strings.Contains(a.body, `"code":"apikey_`) {
			c.Fatalf("%s of %s is answered with %d %s", who.id, who.owner, a.status, a.body)
		}
	}
	if n := c.accepted(); n != 0 {
		c.Errorf("%d apikeys are accepted", n)
	}
	var list struct{ Exceptions []migration.Exception }
	if c.operate("GET", "/exceptions", nil, &list); len(list.Exceptions) != 0 {
		c.Errorf("exceptions are left: %+v", list.Exceptions)
	}
	if _, _, err := c.db.VerifyAudit(c.Context()); err != nil {
		c.Error(err)
	}
	entries, err := c.db.AuditEntries(c.Context(), 0, 10_000)
	if err != nil {
		c.Fatal(err)
	}
	actions := map[string]int{}
	for _, e := range entries {
		actions[e.Action]++
	}
	for action, want := range map[string]int{"campaign.step": 8, "campaign.paused": 1, "campaign.resumed": 1, "brownout.scheduled": 1, "apikey.extended": 8, "apikey.blocked": 1} {
		if actions[action] != want {
			c.Errorf("%s is %d times in the audit, want %d", action, actions[action], want)
		}
	}
	if c.refused == 0 {
		c.Error("nobody was ever refused: the test says nothing")
	}
	c.Logf("%d calls were refused on the way, all of them named before", c.refused)
}
