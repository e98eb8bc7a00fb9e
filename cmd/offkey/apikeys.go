package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// apikeysCmd groups what operators do about apikeys.
type apikeysCmd struct {
	List   apikeysListCmd   `cmd:"" help:"List the apikeys in use, and what each does."`
	Show   apikeysShowCmd   `cmd:"" help:"Show one apikey: programs, routes, the scopes it needs."`
	Import apikeysImportCmd `cmd:"" help:"Bring in apikeys that you know."`
	Set    apikeysSetCmd    `cmd:"" help:"Say whose apikeys are, and who is told about them."`
	Map    apikeysMapCmd    `cmd:"" help:"Say which client replaces an apikey."`
	Extend apikeysExtendCmd `cmd:"" help:"Give an apikey more time, with the reason."`
	Revoke apikeysRevokeCmd `cmd:"" help:"Retire apikeys."`
	Block  apikeysBlockCmd  `cmd:"" help:"Stop a leaked apikey, and what was made with it."`
}

type apikeyDoc struct {
	ID        string      `json:"id"`
	Last4     string      `json:"last4"`
	Label     string      `json:"label"`
	Owner     string      `json:"owner"`
	Stage     string      `json:"stage"`
	OwnStage  bool        `json:"own_stage"`
	StageBy   string      `json:"stage_by"`
	Cohort    string      `json:"cohort"`
	Enforce   string      `json:"enforce"`
	Carriers  []string    `json:"carriers"`
	FirstUsed time.Time   `json:"first_used"`
	LastUsed  time.Time   `json:"last_used"`
	Calls     int64       `json:"calls"`
	Routes    []routeCall `json:"routes"`
	Agents    []string    `json:"user_agents"`
	Sources   []string    `json:"sources"`
	Callers   int         `json:"callers"`
	Flow      string      `json:"flow"`
	Risks     []string    `json:"risks"`
	ClientID  string      `json:"client_id"`
	KnownBy   string      `json:"known_by"`
	Until     time.Time   `json:"until"`
	Suspended bool        `json:"suspended"`
	Granted   []string    `json:"granted_scopes"`
	Contact   string      `json:"contact"`
	Expires   time.Time   `json:"expires"`

	Programs []struct {
		Name    string   `json:"name"`
		Calls   int64    `json:"calls"`
		Sources []string `json:"sources"`
	} `json:"programs"`
	Scopes []struct {
		Name  string `json:"name"`
		Calls int64  `json:"calls"`
	} `json:"scopes"`
	RiskReasons   map[string]string `json:"risk_reasons"`
	CallerDetails []struct {
		ID       string   `json:"id"`
		Calls    int64    `json:"calls"`
		Agents   []string `json:"user_agents"`
		Sources  []string `json:"sources"`
		Flow     string   `json:"flow"`
		Evidence []string `json:"evidence"`
	} `json:"caller_details"`
}

type routeCall struct {
	Method   string `json:"method"`
	Template string `json:"template"`
	Calls    int64  `json:"calls"`
}

var apikeyMembers = []string{"id", "last4", "label", "owner", "stage", "enforce", "carriers", "first_used", "last_used", "calls", "routes",
	"user_agents", "sources", "callers", "flow", "risks", "client_id"}

type apikeysListCmd struct {
	operatorFlags
	listFlags
	Stage  string `placeholder:"STAGE" help:"Only those in this stage."`
	Owner  string `placeholder:"NAME" help:"Only of this owner; - for those without one."`
	Unused string `placeholder:"TIME" help:"Only those without a call for this long, as in 30d."`
	Where  string `placeholder:"PLACE" help:"Only those seen in header, authorization, query, cookie or basic, or in one such as query:api_key."`
	Sort   string `default:"calls" placeholder:"BY" help:"calls (default, most first), last_used, first_used, owner, stage or id."`
}

func (apikeysListCmd) Help() string {
	return `Examples:
  offkey apikeys list
  offkey apikeys list --where query --sort calls
  offkey apikeys list --unused 30d --limit 0 --csv > can-go.csv
  offkey apikeys list --json | jq '.apikeys[] | select(.risks != [])'

Calls, routes and programs are those of the last 30 days. Apikeys themselves are not kept: four characters tell them
apart.`
}

// Run lists.
func (c *apikeysListCmd) Run(ctx context.Context, t *terminal) error {
	query := parameters("stage", c.Stage, "owner", c.Owner, "unused", c.Unused, "where", c.Where, "sort", c.Sort, "after", c.After)
	found, err := c.connect().list(ctx, "/apikeys", "apikeys", query, c.Limit)
	if err != nil {
		return err
	}
	return c.show(t, "apikeys", found, apikeyMembers, func() error {
		keys := make([]apikeyDoc, len(found.items))
		ids := make([]string, len(found.items))
		for i, item := range found.items {
			if err := json.Unmarshal(item, &keys[i]); err != nil {
				return err
			}
			ids[i] = keys[i].ID
		}
		whole := c.After == "" && c.Stage == "" && c.Owner == "" && c.Unused == "" && c.Where == ""
		if len(keys) == 0 && !whole {
			t.say("No apikey is like that.")
			return nil
		}
		if len(keys) == 0 {
			t.say("No apikeys. They are learnt from calls that your API answers with success; `offkey apikeys import` brings in those that you know.")
			return nil
		}
		short := shorten(ids, whole && found.next == nil)
		columns := []column{{head: "ID"}, {head: "APIKEY"}}
		named := slices.ContainsFunc(keys, func(k apikeyDoc) bool { return k.Label != "" })
		if named {
			columns = append(columns, column{head: "LABEL"})
		}
		var rows [][]string
		for _, k := range keys {
			row := []string{short[k.ID], "..." + k.Last4}
			if named {
				row = append(row, orDash(k.Label))
			}
			rows = append(rows, append(row, orDash(k.Owner), k.Stage, ago(t.Now(), k.LastUsed), thousands(k.Calls),
				fmt.Sprint(k.Callers), orDash(strings.Join(k.Carriers, " ")), orDash(k.ClientID), orDash(strings.Join(k.Risks, " "))))
		}
		return writeTable(t.Out, append(columns, []column{{head: "OWNER"}, {head: "STAGE"}, {head: "LAST USED"}, {head: "CALLS", right: true},
			{head: "CALLERS", right: true}, {head: "WHERE"}, {head: "CLIENT"}, {head: "RISKS"}}...), rows)
	})
}

// apikeyFlags name one apikey, by id or by itself.
type apikeyFlags struct {
	ID          string `arg:"" optional:"" name:"id" help:"Its id, a unique beginning of it, or its label."`
	APIKeyStdin bool   `name:"apikey-stdin" xor:"apikey" help:"Read the apikey itself from standard input instead."`
	APIKeyFile  string `name:"apikey-file" type:"path" xor:"apikey" placeholder:"FILE" help:"Read the apikey itself from a file instead."`
}

// secret is the apikey itself, "" where it is named by id.
func (f apikeyFlags) secret(t *terminal) (string, error) {
	given := f.APIKeyStdin || f.APIKeyFile != ""
	switch {
	case given && f.ID != "":
		return "", wrongUsage("both an id and an apikey are given", "give one of them")
	case f.APIKeyStdin:
		return readSecret(t.In, "standard input")
	case f.APIKeyFile != "":
		return t.readSecretFile(f.APIKeyFile)
	case f.ID == "":
		return "", wrongUsage("which apikey?", "give its id, as `offkey apikeys list` shows it, or --apikey-stdin")
	}
	return "", nil
}

type apikeysShowCmd struct {
	operatorFlags
	apikeyFlags
}

func (apikeysShowCmd) Help() string {
	return `Examples:
  offkey apikeys show ak_019ab
  offkey apikeys show "nightly report"
  offkey apikeys show --apikey-stdin < apikey.txt`
}

// Run shows.
func (c *apikeysShowCmd) Run(ctx context.Context, t *terminal) error {
	secret, err := c.secret(t)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if secret != "" {
		err = c.connect().send(ctx, "POST", "/apikeys/lookup", nil, map[string]string{"apikey_secret": secret}, &raw)
	} else {
		err = c.connect().get(ctx, at("/apikeys/%s", c.ID), nil, &raw)
	}
	if err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var k apikeyDoc
	if err := json.Unmarshal(raw, &k); err != nil {
		return err
	}
	return k.print(t)
}

// printRisks says of each risk why.
func (k apikeyDoc) printRisks(t *terminal) error {
	var rows [][]string
	for _, risk := range k.Risks {
		rows = append(rows, []string{risk, k.RiskReasons[risk]})
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(t.Out)
	return writeTable(t.Out, []column{{head: "RISK"}, {head: "WHY"}}, rows)
}

// printCallers says what each caller goes over to.
func (k apikeyDoc) printCallers(t *terminal) error {
	const most = 20
	var rows [][]string
	for _, c := range k.CallerDetails[:min(len(k.CallerDetails), most)] {
		_, tail, _ := strings.Cut(c.ID, ".")
		rows = append(rows, []string{tail, thousands(c.Calls), c.Flow, strings.Join(c.Evidence, "; ")})
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(t.Out)
	return writeTable(t.Out, []column{{head: "CALLER"}, {head: "CALLS", right: true}, {head: "REPLACED BY"}, {head: "BECAUSE"}}, rows)
}

func (k apikeyDoc) print(t *terminal) error {
	stage := k.Stage
	switch k.StageBy {
	case "all":
		stage += " (as all)"
	case "cohort":
		stage += " (as cohort " + k.Cohort + ")"
	case "extension":
		stage += " (by its extension)"
	}
	if k.Suspended {
		stage += ", suspended: whoever vouched for it does no more"
	}
	pairs := [][2]string{
		{"apikey", "..." + k.Last4}, {"id", k.ID}, {"label", k.Label}, {"owner", orDash(k.Owner)}, {"contact", k.Contact}, {"known by", k.KnownBy}, {"stage", stage}, {"until", day(k.Until)},
		{"client", orDash(k.ClientID)}, {"first used", ago(t.Now(), k.FirstUsed)}, {"last used", ago(t.Now(), k.LastUsed)},
		{"calls", thousands(k.Calls) + " in 30 days"}, {"where", orDash(strings.Join(k.Carriers, " "))}, {"replaced by", k.Flow},
		{"risks", orDash(strings.Join(k.Risks, " "))},
		{"granted at its source", strings.Join(k.Granted, " ")}, {"expires at its source", day(k.Expires)},
	}
	if err := writePairs(t.Out, pairs); err != nil {
		return err
	}
	if err := k.printRisks(t); err != nil {
		return err
	}
	if len(k.Programs) > 0 {
		fmt.Fprintln(t.Out)
		var rows [][]string
		for _, p := range k.Programs {
			rows = append(rows, []string{p.Name, thousands(p.Calls), strings.Join(p.Sources, " ")})
		}
		if err := writeTable(t.Out, []column{{head: "PROGRAM"}, {head: "CALLS", right: true}, {head: "FROM"}}, rows); err != nil {
			return err
		}
	}
	if err := k.printCallers(t); err != nil {
		return err
	}
	if len(k.Routes) > 0 {
		fmt.Fprintln(t.Out)
		var rows [][]string
		for _, r := range k.Routes {
			rows = append(rows, []string{r.Method, r.Template, thousands(r.Calls)})
		}
		if err := writeTable(t.Out, []column{{head: "METHOD"}, {head: "ROUTE"}, {head: "CALLS", right: true}}, rows); err != nil {
			return err
		}
	}
	var scopes []string
	for _, s := range k.Scopes {
		scopes = append(scopes, s.Name)
	}
	if len(scopes) > 0 {
		fmt.Fprintln(t.Out)
		return writePairs(t.Out, [][2]string{{"its successful calls need", strings.Join(scopes, " ")}})
	}
	return nil
}
