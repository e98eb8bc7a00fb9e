package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/app"
	"github.com/offkey/offkey/internal/policy"
)

// planCmd asks recorded calls again under other rules.
type planCmd struct {
	operatorFlags
	Stage   string   `arg:"" optional:"" help:"observe, warn, brownout, upgrade_only, retired or blocked. Left out with --at: as the calendar has it then."`
	APIKey  []string `name:"apikey" sep:"none" placeholder:"ID" help:"Only this apikey; repeat for several. Default: all without a stage of their own."`
	Cohort  string   `placeholder:"NAME" help:"Only the apikeys of this cohort."`
	Share   string   `placeholder:"PERCENT" help:"Only this share of the cohort, or of all, as in 5%."`
	At      string   `placeholder:"DATE" help:"The moment that is asked about. Default: now."`
	Enforce string   `enum:",off,shadow,on" default:"" placeholder:"HOW" help:"Also ask what if rules were enforced so: on."`
	Window  string   `placeholder:"TIME" help:"How far back. Default 14d, or the whole traffic file."`
	FailOn  string   `name:"fail-on" placeholder:"CONDITION" help:"Exit with 6 unless it holds: would_deny=0, would_deny<=10, undecidable=0."`
	Routes  string   `type:"path" placeholder:"FILE" help:"Rules from a file in place of those in force. With --traffic no running offkey is asked."`
	Traffic string   `type:"path" placeholder:"FILE" help:"Recorded calls from a file, one JSON object per line; - is standard input."`
}

func (planCmd) Help() string {
	return `Examples:
  offkey plan retired
  offkey plan upgrade_only --apikey ak_019ab --window 30d
  offkey plan upgrade_only --cohort partners --fail-on would_deny=0
  offkey plan retired --share 5%
  offkey plan --at 2027-09-30
  offkey plan observe --enforce on --routes draft.yaml
  offkey plan retired --routes routes.yaml --traffic observations.jsonl --json

Whose calls would fail: recorded traffic is judged again, by the function that the gateway asks. Nothing is changed.
Set it with ` + "`offkey stage set`" + `, and take it back the same way.`
}

type planDoc struct {
	Stage       string     `json:"stage"`
	Cohort      string     `json:"cohort"`
	Share       string     `json:"share"`
	At          time.Time  `json:"at"`
	Enforce     string     `json:"enforce"`
	Window      planWindow `json:"window"`
	Calls       int64      `json:"calls"`
	Allowed     int64      `json:"allowed"`
	WouldDeny   int64      `json:"would_deny"`
	Undecidable int64      `json:"undecidable"`
	Ambiguous   int64      `json:"ambiguous"`
	Callers     []planRow  `json:"callers"`
	Undecided   []planRow  `json:"undecided"`
	NotCovered  []string   `json:"not_covered"`
	APIKeys     struct {
		Seen, Refused, Mapped, Unclaimed int
	} `json:"apikeys"`
	Malformed int `json:"malformed"`
}

type planWindow struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

type planRow struct {
	ID     string `json:"id"`
	Route  string `json:"route"`
	Calls  int64  `json:"calls"`
	Reason string `json:"reason"`
	Fix    string `json:"fix"`
}

// Run plans.
func (c *planCmd) Run(ctx context.Context, t *terminal) error {
	met, err := parseCondition(c.FailOn)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if c.Stage == "" && c.At == "" {
		return wrongUsage("which stage?", "name one, as in `offkey plan retired`, or a date of the calendar with --at")
	}
	if c.Traffic != "" {
		raw, err = c.offline(t)
	} else {
		raw, err = c.online(ctx)
	}
	if err != nil {
		return err
	}
	var p planDoc
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	if t.JSON {
		err = t.document(raw)
	} else {
		err = p.print(t)
	}
	if err != nil {
		return err
	}
	return met(p)
}

// online asks the running offkey.
func (c *planCmd) online(ctx context.Context) (raw json.RawMessage, err error) {
	body := map[string]any{
		"stage": c.Stage, "apikeys": c.APIKey, "cohort": c.Cohort, "share": c.Share, "at": c.At, "enforce": c.Enforce, "window": c.Window,
	}
	if c.Routes != "" {
		routes, err := readRoutes(c.Routes)
		if err != nil {
			return nil, err
		}
		body["routes"] = app.RoutesDocument(routes)
	}
	return raw, c.connect().send(ctx, "POST", "/plan", nil, body, &raw)
}

// offline plans from files.
func (c *planCmd) offline(t *terminal) (json.RawMessage, error) {
	stage, err := apikey.ParseStage(c.Stage)
	if err != nil {
		return nil, wrongUsage(err.Error(), "")
	}
	switch {
	case c.Routes == "":
		return nil, wrongUsage("--traffic goes with --routes", "give both, or leave --traffic out to ask the running offkey")
	case c.Cohort != "" || c.Share != "" || c.At != "":
		return nil, wrongUsage("a traffic file knows no cohorts and no calendar", "leave --cohort, --share and --at out, or ask the running offkey without --traffic")
	}
	routes, err := readRoutes(c.Routes)
	if err != nil {
		return nil, err
	}
	q := app.PlanRequest{Stage: stage, IDs: c.APIKey}
	if err := q.Enforce.UnmarshalText([]byte(c.Enforce)); err != nil {
		return nil, wrongUsage(err.Error(), "")
	}
	if c.Window != "" {
		length, err := parseLength(c.Window)
		if err != nil {
			return nil, wrongUsage("--window: "+err.Error(), "")
		}
		q.Window = app.Window{From: t.Now().Add(-length), To: t.Now()}
	}
	in, closeIn, err := t.openInput(c.Traffic)
	if err != nil {
		return nil, err
	}
	defer closeIn()
	rules := policy.Ruleset{Stage: apikey.Observe, Enforce: policy.Off}.Build(routes, nil)
	p, err := app.PlanFiles(q, rules, in)
	if err != nil {
		return nil, failed("bad_traffic", err.Error(), "write one observation per line; see the form in the documentation of `plan`", err)
	}
	for _, bad := range p.BadLines[:min(len(p.BadLines), 5)] {
		t.warn("line %d left out: %s", bad.Line, printable(bad.Problem))
	}
	return json.Marshal(p)
}

func (p planDoc) print(t *terminal) error {
	out := t.Out
	fmt.Fprintf(out, "%s, %s to %s\n", p.question(), day(p.Window.From.Truncate(time.Minute)), day(p.Window.To.Truncate(time.Minute)))
	share := ""
	if p.Calls > 0 && p.WouldDeny > 0 {
		share = fmt.Sprintf(" (%.2f %%)", 100*float64(p.WouldDeny)/float64(p.Calls))
	}
	fmt.Fprintf(out, "%s recorded calls: %s allowed, %s would be refused%s, %s undecidable\n",
		thousands(p.Calls), thousands(p.Allowed), thousands(p.WouldDeny), share, thousands(p.Undecidable))
	fmt.Fprintf(out, "%d apikeys seen, %d mapped to a client, %d unclaimed\n", p.APIKeys.Seen, p.APIKeys.Mapped, p.APIKeys.Unclaimed)
	if p.Ambiguous > 0 {
		fmt.Fprintf(out, "%s can be read in two ways: they are refused once anything is enforced\n", count(p.Ambiguous, "recorded call"))
	}
	for _, part := range []struct {
		heading string
		rows    []planRow
	}{{"WOULD BE REFUSED", p.Callers}, {"UNDECIDABLE", p.Undecided}} {
		if len(part.rows) == 0 {
			continue
		}
		fmt.Fprintln(out)
		var rows [][]string
		for _, r := range part.rows[:min(len(part.rows), maxPlanRows)] {
			rows = append(rows, []string{r.ID, r.Route, thousands(r.Calls), r.Reason, r.Fix})
		}
		if err := writeTable(out, []column{{head: part.heading}, {head: "ROUTE"}, {head: "CALLS", right: true}, {head: "WHY"}, {head: "FIX"}}, rows); err != nil {
			return err
		}
		if more := len(part.rows) - maxPlanRows; more > 0 {
			t.say("and %d more; --json has all", more)
		}
	}
	if p.Malformed > 0 {
		t.warn("%d lines of the traffic file could not be read and are not counted", p.Malformed)
	}
	if len(p.NotCovered) > 0 {
		fmt.Fprintf(out, "\nNot covered by these calls: %s\n", printable(strings.Join(p.NotCovered, "; ")))
	}
	return nil
}

// maxPlanRows is how many callers a person is shown.
const maxPlanRows = 50

// question says what was asked.
func (p planDoc) question() string {
	q := "Stage " + p.Stage
	if p.Stage == "inherit" {
		q = "As the calendar has it"
		if !p.At.IsZero() {
			q += " at " + day(p.At)
		}
	}
	switch {
	case p.Cohort != "" && p.Share != "":
		q += fmt.Sprintf(" for %s of cohort %s", p.Share, p.Cohort)
	case p.Cohort != "":
		q += " for cohort " + p.Cohort
	case p.Share != "":
		q += fmt.Sprintf(" for %s of all", p.Share)
	}
	if p.Enforce != "" && p.Enforce != "off" {
		q += ", rules enforced: " + p.Enforce
	}
	return q
}

var conditionForm = regexp.MustCompile(`^(would_deny|undecidable|ambiguous|allowed|calls)(=|<=|>=|<|>)(\d+)$`)

// parseCondition reads --fail-on. It holds by itself if there is none.
func parseCondition(text string) (func(planDoc) error, error) {
	if text == "" {
		return func(planDoc) error { return nil }, nil
	}
	m := conditionForm.FindStringSubmatch(strings.ReplaceAll(text, " ", ""))
	if m == nil {
		return nil, wrongUsage(fmt.Sprintf("--fail-on %q is no condition", text), "write it as would_deny=0")
	}
	limit, err := strconv.ParseInt(m[3], 10, 64)
	if err != nil {
		return nil, wrongUsage(fmt.Sprintf("--fail-on %q: the number is too large", text), "")
	}
	return func(p planDoc) error {
		n := map[string]int64{"would_deny": p.WouldDeny, "undecidable": p.Undecidable, "ambiguous": p.Ambiguous, "allowed": p.Allowed, "calls": p.Calls}[m[1]]
		holds := map[string]bool{"=": n == limit, "<=": n <= limit, ">=": n >= limit, "<": n < limit, ">": n > limit}[m[2]]
		if holds {
			return nil
		}
		return &failure{exit: exitUnmet, code: "condition_not_met", message: fmt.Sprintf("%s is not met: %s is %d", text, m[1], n), fix: "see the callers above, and their fixes"}
	}, nil
}

// parseLength reads 90m, 12h or 30d.
func parseLength(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%q is no length of time: write 12h or 30d", s)
}
