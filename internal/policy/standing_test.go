package policy

import (
	"fmt"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

func days(n int) time.Time { return noon.AddDate(0, 0, n) }

func TestAShareIsAlwaysTheSameAPIKeysAndMoreContainThem(t *testing.T) {
	in := map[Share]int{}
	for i := range 10_000 {
		k := &apikey.Key{ID: fmt.Sprintf("ak_01a21f77-b76a-71f2-b0ea-%012d", i)}
		for _, s := range []Share{25, 500, 1000, 5000, 9999} {
			if !s.takes(k) {
				continue
			}
			in[s]++
			for _, more := range []Share{0, 10_000, s + 1, 2 * s} {
				if !more.takes(k) {
					t.Fatalf("%s is in %s and not in %s", k.ID, s, more)
				}
			}
		}
	}
	for s, n := range in {
		if off := n - int(s); off > 150 || off < -150 {
			t.Errorf("%s of 10,000 are %d", s, n)
		}
	}
	if Share(9999).takes(nil) || !Share(0).takes(nil) {
		t.Error("an unknown apikey is in all, and in no share")
	}
}

func TestParseShare(t *testing.T) {
	for text, want := range map[string]Share{"5%": 500, "0.25%": 25, "100%": 10_000, " 33.3 % ": 3330, "5": 0, "0%": 0, "101%": 0, "-5%": 0, "NaN%": 0, "": 0, "1e9%": 0} {
		s, err := ParseShare(text)
		if s != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %v, %v", text, s, err)
		}
		if err == nil {
			if again, err := ParseShare(s.String()); err != nil || again != s {
				t.Errorf("%q: %s, %v", text, s, err)
			}
		}
	}
}

// partners are one cohort before another that they share an apikey with.
func partners(steps ...Step) Ruleset {
	return Ruleset{Stage: apikey.Observe, UpstreamVouches: true, Campaign: Campaign{
		Cohorts: []Cohort{
			{Name: "partners", Match: Match{Owners: []string{"Acme", "Globex"}}},
			{Name: "test", Match: Match{Prefixes: []string{"sk_test_"}}},
			{Name: "named", Match: Match{Named: true}},
			{Name: "nobody"},
		},
		Steps: steps,
	}}
}

func TestWhichStageAnAPIKeyHas(t *testing.T) {
	step := func(cohort string, stage apikey.Stage, day int) Step {
		return Step{Cohort: cohort, Stage: stage, At: days(day), Set: days(-100)}
	}
	acme := apikey.Key{ID: "ak_1", Owner: "Acme"}
	extended := acme
	extended.Extension = apikey.Extension{Until: days(10), Granted: days(-1)}
	both := apikey.Key{ID: "ak_2", Owner: "Acme", Prefix: "sk_test_"}
	own := apikey.Key{ID: "ak_3", Owner: "Acme", Stage: apikey.Retired, StageSince: days(-3)}
	tests := []struct {
		name  string
		steps []Step
		key   *apikey.Key
		at    int
		want  string // stage by cohort since deprecated sunset, as days
	}{
		{"nothing is planned", nil, &acme, 0, "observe all partners - - -"},
		{"an unknown apikey follows all", []Step{step("partners", apikey.Warn, -5), step("", apikey.Warn, -2)}, nil, 0, "warn all  -2 -2 -"},
		{"its cohort", []Step{step("partners", apikey.Warn, -5), step("partners", apikey.UpgradeOnly, 30)}, &acme, 0, "warn cohort partners -5 -5 30"},
		{"to the moment", []Step{step("partners", apikey.UpgradeOnly, 0)}, &acme, 0, "upgrade_only cohort partners 0 0 -"},
		{"not before", []Step{step("partners", apikey.UpgradeOnly, 1)}, &acme, 0, "observe all partners - - 1"},
		{"a cohort without a step in force leaves it to the next", []Step{step("test", apikey.Warn, -1), step("partners", apikey.Retired, 9)}, &both, 0, "warn cohort test -1 -1 9"},
		{"the first cohort in order holds", []Step{step("test", apikey.Retired, -1), step("partners", apikey.Warn, -9)}, &both, 0, "warn cohort partners -9 -9 -"},
		{"inherit gives it back", []Step{step("partners", apikey.Retired, -9), step("partners", apikey.Inherit, -1)}, &acme, 0, "observe all partners - - -"},
		{"deprecated without a break", []Step{step("", apikey.Warn, -9), step("", apikey.Observe, -8), step("", apikey.Warn, -7), step("", apikey.Brownout, -6)}, &acme, 0, "brownout all partners -6 -7 -"},
		{"its own stage goes before", []Step{step("partners", apikey.Warn, -5)}, &own, 0, "retired apikey partners -3 -3 -"},
		{"an exception goes before the cohort", []Step{step("partners", apikey.Retired, -5)}, &extended, 0, "warn extension partners -5 -5 10"},
		{"and ends by itself", []Step{step("partners", apikey.Retired, -5)}, &extended, 10, "retired cohort partners -5 -5 -"},
		{"named into a cohort", []Step{step("named", apikey.Retired, -5)}, &apikey.Key{ID: "ak_4", Cohort: "named"}, 0, "retired cohort named -5 -5 -"},
		{"a cohort that asks nothing takes nobody", []Step{step("nobody", apikey.Retired, -5)}, &apikey.Key{ID: "ak_5", Cohort: "nobody"}, 0, "observe all  - - -"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rs := partners(tt.steps...).Build(nil, nil)
			day := func(at time.Time) string {
				if at.IsZero() {
					return "-"
				}
				return fmt.Sprint(int(at.Sub(noon) / (24 * time.Hour)))
			}
			s := rs.StandingOf(tt.key, days(tt.at))
			if got := fmt.Sprintf("%s %s %s %s %s %s", s.Stage, s.By, s.Cohort, day(s.Since), day(s.Deprecated), day(s.Sunset)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			p := OfAPIKey(tt.key)
			if d := rs.Decide(p, Call{Method: "GET", Path: "/x", At: days(tt.at)}); d.Stage != s.Stage || d.Allow != s.Stage.Passes() {
				t.Errorf("decided %+v, it stands at %s", d, s.Stage)
			}
		})
	}
}

func TestAShareMovesAndComesBackWithoutTouchingTheRest(t *testing.T) {
	first, later := &apikey.Key{}, &apikey.Key{}
	for i := 0; first.ID == "" || later.ID == ""; i++ {
		id := fmt.Sprint("ak_", i)
		switch place := placeOf(id); {
		case place < 500:
			first.ID = id
		case place < 1000:
			later.ID = id
		}
	}
	stages := func(steps ...Step) string {
		rs := Ruleset{Stage: apikey.Warn, Since: days(-30), Campaign: Campaign{Steps: steps}}.Build(nil, nil)
		return fmt.Sprint(rs.StageOf(first, noon), " ", rs.StageOf(later, noon), " ", rs.StageOf(nil, noon))
	}
	five := Step{Share: 500, Stage: apikey.UpgradeOnly, At: days(-3), Set: days(-3)}
	ten := Step{Share: 1000, Stage: apikey.UpgradeOnly, At: days(-2), Set: days(-2)}
	back := Step{Share: 500, Stage: apikey.Warn, At: days(-1), Set: days(-1)}
	if got := stages(five); got != "upgrade_only warn warn" {
		t.Error(got)
	}
	if got := stages(five, ten); got != "upgrade_only upgrade_only warn" {
		t.Error(got)
	}
	if got := stages(five, ten, back); got != "warn upgrade_only warn" {
		t.Error(got)
	}
	rs := Ruleset{Stage: apikey.Observe, Since: days(-1), Campaign: Campaign{Steps: []Step{five, ten}}}.Build(nil, nil)
	if rs.StageOf(first, noon) != apikey.Observe {
		t.Error("setting all again does not take the share back")
	}
}

func TestAPauseStopsWhatWasPlannedAndTakesBackWhatCameLately(t *testing.T) {
	k := &apikey.Key{ID: "ak_1", Owner: "Acme"}
	steps := []Step{
		{Cohort: "partners", Stage: apikey.Warn, At: days(-9), Set: days(-20)},
		{Cohort: "partners", Stage: apikey.UpgradeOnly, At: days(-2), Set: days(-20)},
		{Cohort: "partners", Stage: apikey.Retired, At: days(5), Set: days(-20)},
	}
	at := func(pause Pause, more []Step, day int) apikey.Stage {
		rs := partners(append(steps[:3:3], more...)...)
		rs.Pause = pause
		return rs.Build(nil, nil).StageOf(k, days(day))
	}
	stands, back := Pause{At: days(-1), Back: days(-1)}, Pause{At: days(-1), Back: days(-3)}
	if got := at(Pause{}, nil, 6); got != apikey.Retired {
		t.Error("not paused:", got)
	}
	if got := at(stands, nil, 6); got != apikey.UpgradeOnly {
		t.Error("paused:", got)
	}
	if got := at(back, nil, 6); got != apikey.Warn {
		t.Error("paused and taken back:", got)
	}
	byHand := []Step{{Cohort: "partners", Stage: apikey.Observe, At: days(0), Set: days(0)}}
	if got := at(stands, byHand, 6); got != apikey.Observe {
		t.Error("set by hand while paused:", got)
	}
	window := []Window{{ID: "b_1", From: days(-1), To: days(1)}}
	rs := partners(Step{Cohort: "partners", Stage: apikey.Brownout, At: days(-9), Set: days(-9)})
	rs.Windows = window
	if d := rs.Build(nil, nil).Decide(OfAPIKey(k), Call{At: noon}); d.Code != CodeAPIKeyBrownout {
		t.Error(d.Code)
	}
	rs.Pause = stands
	if d := rs.Build(nil, nil).Decide(OfAPIKey(k), Call{At: noon}); !d.Allow {
		t.Error("a window refuses while the campaign is paused")
	}
	all := Ruleset{Stage: apikey.Retired, Since: days(-2), Campaign: Campaign{Pause: back, Steps: []Step{{Stage: apikey.Warn, At: days(-40), Set: days(-40)}}}}
	if got := all.Build(nil, nil).StageOf(k, noon); got != apikey.Warn {
		t.Error("the stage of all is not taken back:", got)
	}
}

func TestAWindowIsForItsCohortAndItsShare(t *testing.T) {
	rs := partners(
		Step{Cohort: "partners", Stage: apikey.Brownout, At: days(-1), Set: days(-1)}, Step{Cohort: "test", Stage: apikey.Brownout, At: days(-1), Set: days(-1)},
		Step{Stage: apikey.Brownout, At: days(-1), Set: days(-1)})
	acme, test := &apikey.Key{ID: "ak_1", Owner: "Acme"}, &apikey.Key{ID: "ak_1", Prefix: "sk_test_a"}
	refused := func(w Window) (out string) {
		rs.Windows = []Window{w}
		built := rs.Build(nil, nil)
		for _, k := range []*apikey.Key{acme, test, nil} {
			out += fmt.Sprint(built.Decide(OfAPIKey(k), Call{At: noon}).Denied(), " ")
		}
		return out
	}
	w := Window{ID: "b_1", From: noon, To: days(1)}
	if got := refused(w); got != "true true true " {
		t.Error("all:", got)
	}
	w.Cohort = "partners"
	if got := refused(w); got != "true false false " {
		t.Error("partners:", got)
	}
	w.Share = placeOf("ak_1")
	if got := refused(w); got != "false false false " {
		t.Error("a share of them:", got)
	}
}

func TestDecidingInACampaignAllocatesNothing(t *testing.T) {
	rs := partners(Step{Cohort: "test", Stage: apikey.Brownout, At: days(-1), Set: days(-1)}, Step{Share: 500, Stage: apikey.Warn, At: days(-1)})
	rs.Windows = []Window{{ID: "b", Cohort: "test", From: days(1), To: days(2)}}
	built := rs.Build(nil, nil)
	p := OfAPIKey(&apikey.Key{ID: "ak_1", Owner: "Initech", Prefix: "sk_test_"})
	if n := testing.AllocsPerRun(100, func() { built.Decide(p, Call{Method: "GET", Path: "/x", At: noon}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWhatACohortMayBeCalledAndAsk(t *testing.T) {
	for name, c := range map[string]Cohort{
		"no name": {Match: Match{Share: 1}}, "a space": {Name: "a b", Match: Match{Share: 1}}, "nobody": {Name: "a"},
		"an empty owner": {Name: "a", Match: Match{Owners: []string{" "}}}, "capitals": {Name: "A", Match: Match{Share: 1}},
	} {
		if c.Check() == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if err := (Cohort{Name: "partners-2027", Match: Match{Named: true}}).Check(); err != nil {
		t.Error(err)
	}
}

func FuzzParseShare(f *testing.F) {
	for _, seed := range []string{"5%", "0.25%", "100 %", "NaN%", "1e400%", "-0%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseShare(text)
		if err != nil {
			return
		}
		if again, err := ParseShare(s.String()); err != nil || again != s || s < 1 || s > wholeShare {
			t.Errorf("%q: %d, then %d, %v", text, s, again, err)
		}
	})
}
