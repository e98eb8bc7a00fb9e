package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// leakCmd groups what is done about leaked credentials. Without a subcommand one
// is looked at and put on record.
type leakCmd struct {
	Open  leakOpenCmd  `cmd:"" default:"withargs" help:"How far a leak reaches; stop it, tell its owner."`
	List  leakListCmd  `cmd:"" help:"Leaks on record."`
	Show  leakShowCmd  `cmd:"" help:"One leak: how far it reaches, and what remains to be done."`
	Close leakCloseCmd `cmd:"" help:"End a leak; with --restore it was none."`
}

type leakOpenCmd struct {
	operatorFlags
	APIKeyStdin bool   `name:"apikey-stdin" xor:"what" help:"Read what leaked from standard input: an apikey, a client secret or a token."`
	APIKeyFile  string `name:"apikey-file" type:"path" xor:"what" placeholder:"FILE" help:"Read it from a file."`
	ID          string `name:"id" xor:"what" placeholder:"ID" help:"Or the id, unique beginning or label of the apikey, the client, or the leak."`
	Since       string `placeholder:"TIME" help:"When it may have got out, as in 3h, 7d or 2027-09-30T14:00:00Z. Default: nobody knows."`
	Where       string `placeholder:"TEXT" help:"Where it was found, such as a URL."`
	Reason      string `placeholder:"TEXT" help:"For the record."`
	Contain     bool   `help:"Stop it now, and what was made with it since."`
	Notify      bool   `help:"Tell its owner and the admins."`
	Yes         bool   `help:"Do not ask."`
	DryRun      bool   `help:"Change nothing, put nothing on record."`
}

func (leakOpenCmd) Help() string {
	return `Examples:
  offkey leak --apikey-file found.txt --since 3h --dry-run    # how bad is it?
  offkey leak --apikey-stdin --since 2027-09-30T10:00:00Z --contain --notify
  offkey leak --id ak_019ab --contain
  offkey leak list
  offkey leak close lk_019ab --reason "owner has a new client"
  offkey leak close lk_019ab --restore                        # a false alarm

The apikey is blocked, the clients made with it since then are disabled and their tokens refused, in one step. All of
it can be taken back but the tokens. It is on record from the first look: open, contained, notified, replaced, closed.`
}

// maxSecretInput bounds a credential that is read, in bytes.
const maxSecretInput = 16 << 10

// leaked reads what has leaked; "" where it is named by id.
func (c *leakOpenCmd) leaked(t *terminal) (string, error) {
	var in io.Reader
	switch {
	case c.APIKeyStdin:
		in = t.In
	case c.APIKeyFile != "":
		file, err := os.Open(c.APIKeyFile)
		if err != nil {
			return "", wrongUsage("the file "+c.APIKeyFile+" cannot be read: "+fileCause(err), "check the path")
		}
		defer file.Close()
		in = file
	case c.ID != "":
		return "", nil
	default:
		return "", wrongUsage("what has leaked?", "give --apikey-stdin, --apikey-file FILE or --id ID")
	}
	raw, err := readUpTo(in, "what has leaked", maxSecretInput)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(raw))
	if text == "" {
		return "", wrongUsage("what was given as leaked is empty", "")
	}
	return text, nil
}

// Run looks, and does what was asked for.
func (c *leakOpenCmd) Run(ctx context.Context, t *terminal) error {
	secret, err := c.leaked(t)
	if err != nil {
		return err
	}
	if c.Contain && !c.DryRun && !c.APIKeyStdin { // standard input cannot be asked
		if err := t.confirm(c.Yes, "Its calls will be refused at once. Contain the leak?"); err != nil {
			return err
		}
	}
	body := map[string]any{"secret": secret, "id": c.ID, "since": c.Since, "where": c.Where, "reason": c.Reason, "contain": c.Contain, "notify": c.Notify}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/leaks", parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	return t.showLeak(raw)
}

type leakDoc struct {
	ID      string `json:"id"`
	Subject struct {
		Kind  string `json:"kind"`
		ID    string `json:"id"`
		Last4 string `json:"last4"`
	} `json:"subject"`
	Owner      string    `json:"owner"`
	By         string    `json:"by"`
	Where      string    `json:"where"`
	Status     string    `json:"status"`
	Opened     time.Time `json:"opened"`
	Since      time.Time `json:"since"`
	ReplacedBy string    `json:"replaced_by"`
	Disabled   []string  `json:"clients_disabled"`
	Reports    int64     `json:"reports"`
	DryRun     bool      `json:"dry_run"`
	Timeline   []struct {
		At    time.Time `json:"at"`
		Actor string    `json:"actor"`
		What  string    `json:"what"`
	} `json:"timeline"`
	Radius  *radiusDoc `json:"radius"`
	Replace []string   `json:"replace"`
}

type radiusDoc struct {
	Calls   int64 `json:"calls"`
	Refused int64 `json:"refused"`
	Routes  []struct {
		Method   string `json:"method"`
		Template string `json:"template"`
		Calls    int64  `json:"calls"`
	} `json:"routes"`
	Scopes []struct {
		Name string `json:"name"`
	} `json:"scopes"`
	Programs []suspectDoc `json:"programs"`
	Networks []suspectDoc `json:"networks"`
	Clients  []struct {
		ID      string    `json:"client_id"`
		Name    string    `json:"name"`
		Status  string    `json:"status"`
		Created time.Time `json:"created"`
		Since   bool      `json:"since"`
		Calls   int64     `json:"calls"`
	} `json:"clients"`
	Limits []string `json:"limits"`
}

type suspectDoc struct {
	Name  string    `json:"name"`
	Calls int64     `json:"calls"`
	First time.Time `json:"first_used"`
	Last  time.Time `json:"last_used"`
	New   bool      `json:"new"`
}

// name is what leaked, for people.
func (d leakDoc) name() string {
	name := d.Subject.Kind + " " + d.Subject.ID
	if d.Subject.Last4 != "" {
		name = d.Subject.Kind + " ..." + d.Subject.Last4 + " (" + d.Subject.ID + ")"
	}
	return name
}

func (t *terminal) showLeak(raw json.RawMessage) error {
	if t.JSON {
		return t.document(raw)
	}
	var d leakDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	since := "nobody knows"
	if !d.Since.IsZero() {
		since = d.Since.UTC().Format("2006-01-02 15:04 UTC")
	}
	if err := writePairs(t.Out, [][2]string{
		{"leak", d.ID}, {"what", d.name()}, {"owner", orDash(d.Owner)}, {"status", d.Status}, {"found at", d.Where}, {"out since", since},
		{"replaced by", d.ReplacedBy},
	}); err != nil {
		return err
	}
	if d.Radius != nil {
		if err := d.Radius.print(t); err != nil {
			return err
		}
	}
	if len(d.Timeline) > 0 {
		fmt.Fprintln(t.Out)
		rows := make([][]string, len(d.Timeline))
		for i, e := range d.Timeline {
			rows[i] = []string{e.At.UTC().Format(time.DateTime), e.Actor, e.What}
		}
		if err := writeTable(t.Out, []column{{head: "WHEN"}, {head: "WHO"}, {head: "WHAT"}}, rows); err != nil {
			return err
		}
	}
	if len(d.Replace) > 0 {
		fmt.Fprintln(t.Out, "\nTo do")
		for i, step := range d.Replace {
			fmt.Fprintf(t.Out, "%2d  %s\n", i+1, printable(step))
		}
	}
	if d.DryRun {
		t.say("Nothing was changed, and nothing is on record.")
	}
	return nil
}

// maxLeakRows is how much of each table a person is shown.
const maxLeakRows = 15

func (r *radiusDoc) print(t *terminal) error {
	scopes := make([]string, len(r.Scopes))
	for i, s := range r.Scopes {
		scopes[i] = s.Name
	}
	calls := thousands(r.Calls)
	if r.Refused > 0 {
		calls += ", of which " + thousands(r.Refused) + " refused"
	}
	if err := writePairs(t.Out, [][2]string{{"calls since", calls}, {"scopes opened", orDash(strings.Join(scopes, " "))}}); err != nil {
		return err
	}
	var routes, suspects, clients [][]string
	for _, x := range r.Routes[:min(len(r.Routes), maxLeakRows)] {
		routes = append(routes, []string{x.Method + " " + x.Template, thousands(x.Calls)})
	}
	for _, part := range []struct {
		kind string
		of   []suspectDoc
	}{{"network", r.Networks}, {"program", r.Programs}} {
		for _, x := range part.of[:min(len(part.of), maxLeakRows)] {
			suspects = append(suspects, []string{x.Name, part.kind, map[bool]string{true: "NEW", false: "known"}[x.New], thousands(x.Calls), x.First.UTC().Format("2006-01-02 15:04"), x.Last.UTC().Format("2006-01-02 15:04")})
		}
	}
	for _, x := range r.Clients[:min(len(r.Clients), maxLeakRows)] {
		when := "before"
		if x.Since {
			when = "SINCE"
		}
		clients = append(clients, []string{x.ID, x.Name, x.Status, when, day(x.Created.Truncate(time.Minute)), thousands(x.Calls)})
	}
	for _, table := range []struct {
		heads []column
		rows  [][]string
	}{
		{[]column{{head: "ROUTE"}, {head: "CALLS", right: true}}, routes},
		{[]column{{head: "FROM"}, {head: "IS A"}, {head: "SEEN BEFORE"}, {head: "CALLS", right: true}, {head: "FIRST"}, {head: "LAST"}}, suspects},
		{[]column{{head: "CLIENT MADE WITH IT"}, {head: "NAME"}, {head: "STATUS"}, {head: "MADE"}, {head: "ON"}, {head: "CALLS", right: true}}, clients},
	} {
		if len(table.rows) == 0 {
			continue
		}
		fmt.Fprintln(t.Out)
		if err := writeTable(t.Out, table.heads, table.rows); err != nil {
			return err
		}
	}
	for _, limit := range r.Limits {
		t.say("note: %s", limit)
	}
	return nil
}

type leakListCmd struct {
	operatorFlags
	listFlags
	OpenOnly bool `name:"open" help:"Only those that are not closed."`
}

func (leakListCmd) Help() string {
	return `Examples:
  offkey leak list --open
  offkey leak list --csv --limit 0`
}

// Run lists.
func (c *leakListCmd) Run(ctx context.Context, t *terminal) error {
	found, err := c.connect().list(ctx, "/leaks", "leaks", parameters("open", whenTrue(c.OpenOnly), "after", c.After), c.Limit)
	if err != nil {
		return err
	}
	return c.show(t, "leaks", found, []string{"id", "subject", "owner", "status", "by", "where", "since", "opened", "contained_at", "notified_at", "replaced_by", "closed_at", "reports"}, func() error {
		if len(found.items) == 0 {
			t.say("No leaks on record.")
			return nil
		}
		rows := make([][]string, len(found.items))
		for i, item := range found.items {
			var d leakDoc
			if err := json.Unmarshal(item, &d); err != nil {
				return err
			}
			rows[i] = []string{d.ID, d.name(), orDash(d.Owner), d.Status, d.By, ago(t.Now(), d.Opened), thousands(d.Reports)}
		}
		return writeTable(t.Out, []column{{head: "LEAK"}, {head: "WHAT"}, {head: "OWNER"}, {head: "STATUS"}, {head: "BY"}, {head: "OPENED"}, {head: "REPORTS", right: true}}, rows)
	})
}

type leakShowCmd struct {
	operatorFlags
	ID string `arg:"" name:"id" help:"Id of the leak."`
}

func (leakShowCmd) Help() string {
	return `Examples:
  offkey leak show lk_019ab
  offkey leak show lk_019ab --json | jq .radius.networks`
}

// Run shows.
func (c *leakShowCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().get(ctx, at("/leaks/%s", c.ID), nil, &raw); err != nil {
		return err
	}
	return t.showLeak(raw)
}

type leakCloseCmd struct {
	operatorFlags
	ID      string `arg:"" name:"id" help:"Id of the leak."`
	Reason  string `placeholder:"TEXT" help:"For the record."`
	Restore bool   `help:"It was a false alarm: the apikey has its stage again, and the clients are enabled."`
	Yes     bool   `help:"Do not ask."`
}

func (leakCloseCmd) Help() string {
	return `Examples:
  offkey leak close lk_019ab --reason "replaced by client globex-ci"
  offkey leak close lk_019ab --restore --yes

Closing stops nothing and opens nothing: the apikey stays blocked. With --restore it works again, and so do the clients
that were disabled with it; tokens that were refused stay so.`
}

// Run closes.
func (c *leakCloseCmd) Run(ctx context.Context, t *terminal) error {
	if c.Restore {
		if err := t.confirm(c.Yes, "What has leaked will work again. Restore it?"); err != nil {
			return err
		}
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", at("/leaks/%s/close", c.ID), nil, map[string]any{"reason": c.Reason, "restore": c.Restore}, &raw); err != nil {
		return err
	}
	return t.showLeak(raw)
}
