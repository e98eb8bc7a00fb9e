package app

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
)

// forecast is a world with callers whose calls were recorded in observe, under
// rules that change at random.
type forecast struct {
	*world
	rnd    *rand.Rand
	keys   []*apikey.Key
	values map[string]string // of an apikey, by its id
	tokens map[string]func() string
	calls  []recordedCall
	window migration.Window
}

// recordedCall is one call as a plan names it, and as it is made again.
type recordedCall struct {
	id, method, path, template string
	how                        string // "", twice: the apikey is sent twice, exchanged: as a token that it is exchanged for
}

func (c recordedCall) route() string { return c.method + " " + c.template }

// TestForecastEqualsEnforcement asks for a plan, then does what was planned, and
// has every recorded call made again through the real gateway: what the plan
// says of a call is what becomes of it.
func TestForecastEqualsEnforcement(t *testing.T) {
	rounds := 24
	if os.Getenv("OFFKEY_TEST_LONG") == "1" {
		rounds = 250 // what was recorded is kept for 90 days, and a round takes hours
	}
	f := newForecast(t, 20261128)
	decided, undecided, refused := 0, 0, 0
	for round := range rounds {
		f.pass(time.Duration(2+f.rnd.IntN(8)) * time.Hour)
		f.shuffle()
		f.pass(2 * time.Second) // tokens say when they were issued in whole seconds, and revocations go by that
		q, change := f.question()
		q.At = f.now()
		asked := f.asked(q)
		plan, err := f.road.Plan(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change.DryRun = false
			if _, err := f.road.SetStage(t.Context(), *change); err != nil {
				t.Fatalf("%+v: %v", change, err)
			}
		}
		for _, c := range f.calls {
			if !asked[c.id] {
				continue
			}
			want := said(plan, c)
			if want == "?" {
				undecided++
				continue
			}
			got := f.made(c)
			if got == "?" {
				continue
			}
			if decided++; got != want {
				settings, _ := f.db.Settings(t.Context())
				k, _ := f.db.APIKey(t.Context(), c.id)
				t.Fatalf("round %d: %+v: the plan says %q, the gateway answers %q\nquestion %+v\napikey %+v\nsettings %+v", round, c, want, got, q, k, settings)
			}
			if want != "" {
				refused++
			}
		}
	}
	t.Logf("%d calls decided, %d of them refused, %d undecided", decided, refused, undecided)
	if decided < 10*undecided || refused < decided/10 || refused > decided*9/10 {
		t.Errorf("of %d decided calls %d were refused, %d were undecided: the test says little", decided, refused, undecided)
	}
}

// asked are the callers that a plan is about.
func (f *forecast) asked(q migration.PlanRequest) map[string]bool {
	some := q.IDs != nil || q.Cohort != "" || q.Share != 0
	asked := map[string]bool{}
	for _, c := range f.calls {
		asked[c.id] = !some || slices.Contains(q.IDs, c.id)
	}
	for _, k := range f.keys {
		if q.IDs == nil && some && f.views.rules.Load().InCohort(f.views.apikeys.ByID(k.ID), q.Cohort, q.Share) {
			asked[k.ID] = true
		}
	}
	return asked
}

// said is what a plan says of a call: the code of its refusal, "" if it passes,
// "?" if that is not known.
func said(p migration.Plan, c recordedCall) string {
	for _, group := range p.Undecided {
		if group.ID == c.id && group.Route == c.route() {
			return "?"
		}
	}
	for _, group := range p.Callers {
		if group.ID == c.id && group.Route == c.route() {
			return group.Reason
		}
	}
	return ""
}

func newForecast(t *testing.T, seed uint64) *forecast {
	f := &forecast{
		world: newWorld(t, func(c *config.Config) {
			api := c.Gateway.Upstreams["api"]
			api.TokenCall = "headers"
			c.Gateway.Upstreams["api"] = api
		}),
		rnd: rand.New(rand.NewPCG(seed, seed)), values: map[string]string{}, tokens: map[string]func() string{},
	}
	for i := range 12 {
		value := fmt.Sprintf("sk_%s_%s", []string{"live", "test"}[i%2], strings.TrimPrefix(newKey(), "sk_live_"))
		f.api.set(value, true)
		k := &apikey.Key{
			ID: apikey.NewID(), Fingerprint: f.data.pepper.Fingerprint(value), Last4: value[len(value)-4:], Prefix: value[:8],
			Owner: []string{"Acme", "Globex", "Initech", ""}[i%4], Label: []string{"batch", ""}[i/6], Created: f.now().Add(-time.Duration(i) * 24 * time.Hour),
		}
		f.values[k.ID], f.keys = value, append(f.keys, k)
	}
	if _, err := f.db.ImportAPIKeys(t.Context(), f.keys, audit.Event{Actor: "test", Action: "apikeys.imported"}); err != nil {
		t.Fatal(err)
	}
	for _, scopes := range []string{"read:orders", "read:orders create:orders admin"} {
		f.client(scopes)
	}
	f.record()
	return f
}

// client makes one that gets its tokens with a secret.
func (f *forecast) client(scopes string) {
	f.Helper()
	var made struct {
		ClientID string `json:"client_id"`
		Secret   string `json:"client_secret"`
	}
	f.operate("POST", "/clients", map[string]any{"name": "c" + fmt.Sprint(len(f.tokens)), "auth": "client_secret_post", "scopes": strings.Fields(scopes)}, &made)
	f.tokens[made.ClientID] = func() string {
		var token struct {
			AccessToken string `json:"access_token"`
		}
		f.decode(f.form("/token", map[string][]string{
			"grant_type": {oauth.GrantClientCredentials}, "client_id": {made.ClientID}, "client_secret": {made.Secret}, "scope": {scopes},
		}), &token)
		return token.AccessToken
	}
}

// record has everybody call everything once, while nothing is refused.
func (f *forecast) record() {
	f.Helper()
	ids := []string{}
	for _, k := range f.keys {
		ids = append(ids, k.ID)
	}
	for id := range f.tokens {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	ids = append(ids, "none", "unknown") // after those who make paths known
	for _, id := range ids {
		for _, path := range []string{"/v1/orders", "/v1/orders/7", "/v1/users/active", "/open"} {
			template := strings.Replace(path, "/7", "/{id}", 1)
			c := recordedCall{id: id, method: []string{"GET", "POST"}[f.rnd.IntN(2)], path: path, template: template}
			if id == "none" || id == "unknown" {
				c.method = "GET"
			}
			f.recorded(c)
		}
	}
	for i, k := range f.keys { // a path of its own for each way, since a plan names callers and routes
		f.recorded(recordedCall{id: k.ID, method: "GET", path: "/v1/orders/twice", template: "/v1/orders/twice", how: "twice"})
		f.recorded(recordedCall{id: k.ID, method: "GET", path: "/v1/users/a%2Fb", template: f.recorder.tally.Templates.Of(policy.ParseTarget("/v1/users/a%2Fb").Path)})
		if i%2 == 0 {
			f.recorded(recordedCall{id: k.ID, method: "GET", path: "/v1/exchanged", template: "/v1/exchanged", how: "exchanged"})
		}
	}
	if err := f.Flush(f.Context()); err != nil {
		f.Fatal(err)
	}
	f.window = migration.Window{From: f.now().Add(-2 * time.Hour), To: f.now().Add(time.Minute)}
}

// recorded makes a call that passes, to be recorded.
func (f *forecast) recorded(c recordedCall) {
	f.Helper()
	f.calls = append(f.calls, c)
	if got := f.made(c); got != "" {
		f.Fatalf("%+v is refused in observe: %s", c, got)
	}
}

// exchanged is a token for an apikey, "" where the apikey opens no exchange any
// more. What it was exchanged for before falls with it, which other tests hold.
func (f *forecast) exchanged(value string) string {
	f.Helper()
	a := f.form("/token", map[string][]string{
		"grant_type": {oauth.GrantTokenExchange}, "subject_token": {value}, "subject_token_type": {"urn:offkey:params:token-type:apikey"},
	})
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if a.status == 200 {
		f.decode(a, &token)
	}
	return token.AccessToken
}

// made makes a call, and returns the code of its refusal, "" if it passed, "?" if
// it could not be made.
func (f *forecast) made(c recordedCall) string {
	f.Helper()
	var headers []string
	switch value := f.values[c.id]; {
	case c.how == "exchanged":
		token := f.exchanged(value)
		switch k := f.views.apikeys.ByID(c.id); {
		case token != "":
		case f.views.rules.Load().StageOf(k, f.now()).OpensUpgrade():
			return "?" // its calls need no scope under these rules: there is nothing to exchange it for
		default:
			return policy.CodeInvalidToken
		}
		headers = []string{"Authorization", "Bearer " + token}
	case c.how == "twice":
		headers, c.path = []string{"X-API-Key", value}, c.path+"?api_key="+value
	case value != "":
		headers = []string{"X-API-Key", value}
	case f.tokens[c.id] != nil:
		headers = []string{"Authorization", "Bearer " + f.tokens[c.id]()}
	case c.id == "unknown":
		headers = []string{"X-API-Key", "sk_live_nobodyknowsthisone"}
	}
	a := f.call(c.method, c.path, headers...)
	_, rest, found := strings.Cut(a.body, `"code":"`)
	if !found || a.header.Get("Content-Type") != "application/problem+json" {
		return ""
	}
	code, _, _ := strings.Cut(rest, `"`)
	return code
}

// chance is true once in n.
func (f *forecast) chance(n int) bool { return f.rnd.IntN(n) == 0 }

// hours is a moment some hours away, never now.
func (f *forecast) hours(from, to int) time.Time {
	h := from + f.rnd.IntN(to-from)
	if h == 0 {
		h = to
	}
	return f.now().Add(time.Duration(h) * time.Hour)
}

// shuffle makes other rules: routes, enforcement, cohorts, steps, windows, a
// pause, a freeze, stages of single apikeys and exceptions.
func (f *forecast) shuffle() {
	f.Helper()
	ctx, event := f.Context(), audit.Event{Actor: "test", Action: "test.shuffled"}
	routes, err := f.db.Routes(ctx)
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range routes {
		if err := f.db.DeleteRoute(ctx, r.Match(), event); err != nil {
			f.Fatal(err)
		}
	}
	for _, match := range []string{"GET /v1/orders", "POST /v1/orders/**", "/v1/**", "GET /v1/users/active", "/open", "GET /v1/orders/{id}"} {
		if f.chance(2) {
			continue
		}
		r, err := policy.ParseRoute(match)
		if err != nil {
			f.Fatal(err)
		}
		r.Source, r.Enforce, r.Open = policy.SourceSet, policy.Enforce(f.rnd.IntN(4)), f.chance(6)
		r.Scopes = [][]string{{"read:orders"}, {"create:orders"}, {"read:orders", "admin"}, nil}[f.rnd.IntN(4)]
		if f.chance(12) {
			r.Demands = policy.Demands{MaxAge: 600}
		}
		if err := f.db.SetRoute(ctx, r, event); err != nil {
			f.Fatal(err)
		}
	}
	if _, err := f.db.UpdateSettings(ctx, func(s *policy.Settings) error {
		*s = policy.Settings{
			Stage: apikey.Stage(1 + f.rnd.IntN(5)), StageSince: f.hours(-100, -1), Enforce: policy.Enforce(f.rnd.IntN(4)), Campaign: f.campaign(),
		}
		for id := range f.tokens {
			if f.chance(4) {
				s.ClientEnforce = map[string]policy.Enforce{id: policy.Enforce(1 + f.rnd.IntN(3))}
			}
		}
		return nil
	}, event); err != nil {
		f.Fatal(err)
	}
	for _, k := range f.keys {
		own, cohort, extension := apikey.Inherit, "", apikey.Extension{}
		switch f.rnd.IntN(8) {
		case 0:
			own = apikey.Stage(1 + f.rnd.IntN(6))
		case 1:
			extension = apikey.Extension{Until: f.hours(-20, 40), Granted: f.hours(-40, -21), By: "test", Reason: "test"}
		case 2:
			cohort = "named"
		}
		if _, err := f.db.UpdateAPIKeys(ctx, []string{k.ID}, func(k *apikey.Key) error {
			k.Stage, k.Cohort, k.Extension = own, cohort, extension
			return nil
		}, event); err != nil {
			f.Fatal(err)
		}
	}
}

// campaign is one with everything that there is, at random.
func (f *forecast) campaign() (c policy.Campaign) {
	c.Cohorts = []policy.Cohort{
		{Name: "acme", Match: policy.Match{Owners: []string{"Acme"}}}, {Name: "batch", Match: policy.Match{Labels: []string{"batch"}, Prefixes: []string{"sk_test_"}}},
		{Name: "half", Match: policy.Match{Share: 5000}}, {Name: "named", Match: policy.Match{Named: true}},
	}
	f.rnd.Shuffle(len(c.Cohorts), func(i, j int) { c.Cohorts[i], c.Cohorts[j] = c.Cohorts[j], c.Cohorts[i] })
	c.Cohorts = c.Cohorts[:f.rnd.IntN(len(c.Cohorts)+1)]
	names := []string{""}
	for _, cohort := range c.Cohorts {
		names = append(names, cohort.Name)
	}
	target := func() (string, policy.Share) {
		if f.chance(3) {
			return names[f.rnd.IntN(len(names))], policy.Share(1 + f.rnd.IntN(9999))
		}
		return names[f.rnd.IntN(len(names))], 0
	}
	for range f.rnd.IntN(8) {
		s := policy.Step{Stage: apikey.Stage(1 + f.rnd.IntN(5)), At: f.hours(-60, 60)}
		s.Cohort, s.Share = target()
		if s.Set = s.At.Add(-time.Duration(f.rnd.IntN(20)) * time.Hour); s.Set.After(f.now()) {
			s.Set = f.now().Add(-time.Minute)
		}
		c.Steps = append(c.Steps, s)
	}
	for i := range f.rnd.IntN(3) {
		w := policy.Window{ID: fmt.Sprint("br_", i), From: f.hours(-10, 5)}
		w.To = w.From.Add(time.Duration(1+f.rnd.IntN(10))*time.Hour + 30*time.Minute)
		w.Cohort, w.Share = target()
		c.Windows = append(c.Windows, w)
	}
	if f.chance(5) {
		at := f.hours(-30, -1)
		c.Pause = policy.Pause{At: at, Back: at.Add(-time.Duration(f.rnd.IntN(30)) * time.Hour), By: "test"}
	}
	if f.chance(3) {
		c.Freeze = f.hours(-24*12, 24)
	}
	return c
}

// question is what to plan, and the change that it is about: none where the plan
// asks about what is in force.
func (f *forecast) question() (q migration.PlanRequest, c *migration.StageChange) {
	q.Window = f.window
	stages := []apikey.Stage{apikey.Observe, apikey.Warn, apikey.UpgradeOnly, apikey.Retired}
	stage := stages[f.rnd.IntN(len(stages))]
	switch cohorts := f.views.rules.Load().Campaign.Cohorts; f.rnd.IntN(5) {
	case 0:
		q.Stage, c = stage, &migration.StageChange{Stage: stage, All: true}
	case 1:
		if len(cohorts) > 0 {
			q.Stage, q.Cohort = stage, cohorts[f.rnd.IntN(len(cohorts))].Name
			c = &migration.StageChange{Stage: stage, Cohort: q.Cohort}
		}
	case 2:
		q.Stage, q.Share = stage, policy.Share(1+f.rnd.IntN(9999))
		c = &migration.StageChange{Stage: stage, Share: q.Share}
	case 3:
		for range 1 + f.rnd.IntN(3) {
			q.IDs = append(q.IDs, f.keys[f.rnd.IntN(len(f.keys))].ID)
		}
		q.Stage, c = stage, &migration.StageChange{Stage: stage, IDs: slices.Clone(q.IDs)}
	}
	return q, c
}
