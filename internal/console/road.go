package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/client/snippet"
	"github.com/offkey/offkey/internal/migration"
)

// Are we done yet, and if not, when?
var overview = page{"overview", "Overview", func(v *visit) (any, error) {
	var data struct {
		Status  migration.Status
		Bars    []bar
		Burn    burn
		Busiest []migration.Item // what holds us up
		Held    int64            // calls of these
		Waiting []*client.Client
	}
	if err := v.get("/status", &data.Status); err != nil {
		return nil, err
	}
	data.Bars = stageBar(data.Status.APIKeys.ByStage)
	var days migration.BurnDown
	if err := v.get("/burn-down", &days, "days", "90"); err != nil {
		return nil, err
	}
	data.Burn = burnOf(days)
	if v.May("read:offkey.apikeys") {
		var list apikeyList
		if err := v.get("/apikeys", &list, "sort", "calls", "limit", "10"); err != nil {
			return nil, err
		}
		for _, k := range list.APIKeys {
			if k.Calls > 0 {
				data.Busiest, data.Held = append(data.Busiest, k), data.Held+k.Calls
			}
		}
	}
	if v.May("read:offkey.clients") {
		var list clientList
		if err := v.get("/clients", &list, "status", "pending", "limit", "20"); err != nil {
			return nil, err
		}
		data.Waiting = list.Clients
	}
	return data, nil
}}

// apikeyList is a page of `GET /apikeys`.
type apikeyList struct {
	APIKeys []migration.Item `json:"apikeys"`
	Next    *string          `json:"next"`
	Filter  url.Values       `json:"-"`
}

// Command is what shows the same in a terminal.
func (l apikeyList) Command() string {
	words := []string{"offkey apikeys list"}
	for _, flag := range []string{"stage", "owner", "unused", "where", "sort"} {
		if value := l.Filter.Get(flag); value != "" {
			words = append(words, "--"+flag+" "+snippet.ShellQuote(value))
		}
	}
	return strings.Join(words, " ")
}

// NextPage is the query of the page that follows, "" after the last.
func (l apikeyList) NextPage() string { return nextPage(l.Filter, l.Next) }

func nextPage(filter url.Values, next *string) string {
	if next == nil {
		return ""
	}
	q := url.Values{}
	for name, values := range filter {
		q[name] = values
	}
	q.Set("after", *next)
	return q.Encode()
}

// Rows implements table.
func (l apikeyList) Rows() (head []string, rows [][]string) {
	head = []string{"id", "last4", "label", "owner", "stage", "first_used", "last_used", "calls", "callers", "carriers", "user_agents", "risks", "flow", "client_id"}
	for _, k := range l.APIKeys {
		rows = append(rows, []string{k.ID, k.Last4, k.Label, k.Owner, k.Stage.String(), csvTime(k.FirstUsed), csvTime(k.LastUsed), strconv.FormatInt(k.Calls, 10),
			strconv.Itoa(k.Callers), strings.Join(k.Carriers, " "), strings.Join(k.UserAgents, ", "), strings.Join(k.Risks, " "), k.Flow, k.ClientID})
	}
	return head, rows
}

// Which apikeys are there, who uses them, which can go now?
var apikeys = page{"apikeys", "API keys", func(v *visit) (any, error) {
	q := v.r.URL.Query()
	list := apikeyList{Filter: url.Values{}}
	pairs := []string{"limit", "100"}
	if q.Get("format") == "csv" {
		pairs[1] = "1000"
	}
	for _, name := range []string{"stage", "owner", "unused", "where", "sort"} {
		if value := q.Get(name); value != "" {
			list.Filter.Set(name, value)
			pairs = append(pairs, name, value)
		}
	}
	if list.Filter.Get("sort") == "" {
		pairs = append(pairs, "sort", "calls")
	}
	err := v.get("/apikeys", &list, append(pairs, "after", q.Get("after"))...)
	return list, err
}}

// What exactly breaks if this apikey dies today?
var oneAPIKey = page{"apikey", "API key", func(v *visit) (any, error) {
	var data struct {
		Key    migration.Detail
		Stages []string
	}
	data.Stages = []string{"inherit", "observe", "warn", "brownout", "upgrade_only", "retired"}
	return &data, v.get("/apikeys/"+url.PathEscape(v.r.PathValue("id")), &data.Key)
}}

// Whose calls fail, if I enforce this?
var plan = page{"plan", "Plan", func(v *visit) (any, error) {
	q := v.r.URL.Query()
	data := struct {
		Asked                          bool
		Stage, Cohort, Window, Enforce string
		Cohorts                        []string
		Plan                           migration.Plan
	}{Stage: q.Get("stage"), Cohort: q.Get("cohort"), Window: q.Get("window"), Enforce: q.Get("enforce")}
	var cohorts cohortList
	if v.May("read:offkey.cohorts") {
		if err := v.get("/cohorts", &cohorts); err != nil {
			return nil, err
		}
	}
	for _, c := range cohorts.Cohorts {
		data.Cohorts = append(data.Cohorts, c.Name)
	}
	if data.Asked = data.Stage != ""; !data.Asked {
		data.Stage, data.Window = apikey.UpgradeOnly.String(), "14d"
		return data, nil
	}
	body := map[string]string{"stage": data.Stage}
	for name, value := range map[string]string{"cohort": data.Cohort, "window": data.Window, "enforce": data.Enforce} {
		if value != "" {
			body[name] = value
		}
	}
	return data, v.ask(http.MethodPost, "/plan", nil, body, &data.Plan)
}}

type cohortList struct {
	Cohorts []migration.CohortItem `json:"cohorts"`
}

// What happens to whom, on which date?
var campaign = page{"campaign", "Campaign", func(v *visit) (any, error) {
	var data struct {
		Status  migration.Status
		Bars    []bar
		Cohorts []migration.CohortItem
		Stages  []string

		Calendar   migration.Calendar
		Exceptions []migration.Exception
	}
	data.Stages = []string{"observe", "warn", "brownout", "upgrade_only", "retired"}
	if err := v.get("/status", &data.Status); err != nil {
		return nil, err
	}
	data.Bars = stageBar(data.Status.APIKeys.ByStage)
	if err := v.get("/calendar", &data.Calendar); err != nil {
		return nil, err
	}
	var given struct {
		Exceptions []migration.Exception `json:"exceptions"`
	}
	if v.May("read:offkey.exceptions") {
		if err := v.get("/exceptions", &given); err != nil {
			return nil, err
		}
	}
	data.Exceptions = given.Exceptions
	var list cohortList
	err := v.get("/cohorts", &list)
	data.Cohorts = list.Cohorts
	return data, err
}}

// A key is out: how bad, and is it contained?
var leaks = page{"leaks", "Leaks", func(v *visit) (any, error) {
	var list struct {
		Leaks []migration.LeakReport `json:"leaks"`
	}
	err := v.get("/leaks", &list)
	slices.Reverse(list.Leaks)
	return list, err
}}
