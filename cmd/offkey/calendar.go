package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// calendarDoc is what comes, and what came.
type calendarDoc struct {
	Pause *struct {
		At     time.Time `json:"at"`
		Back   time.Time `json:"back"`
		By     string    `json:"by"`
		Reason string    `json:"reason"`
	} `json:"pause"`
	Steps         []stepDoc     `json:"steps"`
	Brownouts     []brownoutDoc `json:"brownouts"`
	Freeze        time.Time     `json:"freeze_new"`
	Guards        []string      `json:"stop_if"`
	SelfExtension string        `json:"self_extension"`
	Exceptions    int64         `json:"exceptions"`
	Live          struct {
		Calls     int64 `json:"calls"`
		Refused   int64 `json:"refused"`
		WouldDeny int64 `json:"would_deny"`
		Errors    int64 `json:"errors"`
	} `json:"live"`
}

// target is what a step or a window is about.
func target(cohort, share string) string {
	name := "all"
	if cohort != "" {
		name = "cohort " + cohort
	}
	if share != "" {
		name = share + " of " + name
	}
	return name
}

type calendarCmd struct{ operatorFlags }

func (calendarCmd) Help() string {
	return `Examples:
  offkey stage calendar
  offkey stage calendar --json

What comes and what came: stages by date, brownouts, the freeze of new apikeys, guards, and the calls of the last five
minutes as guards see them.`
}

// Run shows.
func (c *calendarCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().get(ctx, "/calendar", nil, &raw); err != nil {
		return err
	}
	return t.showCalendar(raw)
}

func (t *terminal) showCalendar(raw json.RawMessage) error {
	if t.JSON {
		return t.document(raw)
	}
	var d calendarDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	state := "goes on"
	if d.Pause != nil {
		state = fmt.Sprintf("paused since %s by %s", day(d.Pause.At), d.Pause.By)
		if d.Pause.Reason != "" {
			state += ": " + d.Pause.Reason
		}
	}
	freeze, extension, guards := "not announced", "none", "none"
	if !d.Freeze.IsZero() {
		freeze = "refused from " + day(d.Freeze)
	}
	if d.SelfExtension != "" {
		extension = d.SelfExtension + ", once"
	}
	if len(d.Guards) > 0 {
		guards = strings.Join(d.Guards, "; ")
	}
	if err := writePairs(t.Out, [][2]string{
		{"campaign", printable(state)}, {"new apikeys", freeze}, {"self-extension", extension}, {"stop if", printable(guards)},
		{"exceptions", thousands(d.Exceptions)},
		{"last 5 minutes", fmt.Sprintf("%s, %s refused by the campaign, %s would be, %s of the API", count(d.Live.Calls, "call"), thousands(d.Live.Refused), thousands(d.Live.WouldDeny), count(d.Live.Errors, "error"))},
	}); err != nil {
		return err
	}
	var rows [][]string
	for _, s := range d.Steps {
		state := "planned " + s.ID
		if s.Done {
			state = "came"
		}
		rows = append(rows, []string{s.At, target(s.Cohort, s.Share), "stage " + s.Stage, state})
	}
	for _, b := range d.Brownouts {
		rows = append(rows, []string{b.From, target(b.Cohort, b.Share), "brownout to " + b.To, b.State + " " + b.ID})
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(t.Out)
	return writeTable(t.Out, []column{{head: "WHEN"}, {head: "WHO"}, {head: "WHAT"}, {head: "STATE"}}, rows)
}

type stageCancelCmd struct {
	operatorFlags
	ID     string `arg:"" help:"Id of the step, as offkey stage calendar shows it."`
	DryRun bool   `help:"Change nothing."`
}

func (stageCancelCmd) Help() string {
	return `Examples:
  offkey stage cancel st_k3jx9a2b --dry-run
  offkey stage cancel st_k3jx9a2b

Takes a step that is still to come out of the calendar.`
}

// Run cancels.
func (c *stageCancelCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().send(ctx, "DELETE", at("/calendar/steps/%s", c.ID), parameters("dry_run", whenTrue(c.DryRun)), nil, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var s stepDoc
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	words := fmt.Sprintf("%s stays out of stage %s on %s", target(s.Cohort, s.Share), s.Stage, s.At)
	if c.DryRun {
		t.say("Would be: %s. Nothing was changed.", words)
		return nil
	}
	t.done("%s", words)
	return nil
}

// pauseDoc is what a pause, or its end, changes.
type pauseDoc struct {
	Changed int64     `json:"changed"`
	Dropped []stepDoc `json:"dropped"`
	Moved   []stepDoc `json:"moved"`
}

type pauseCmd struct {
	operatorFlags
	Back   string `placeholder:"TIME" help:"Also take back what came so lately, as in 24h."`
	Reason string `placeholder:"TEXT" help:"Why; it is written into the audit."`
	DryRun bool   `help:"Change nothing."`
}

func (pauseCmd) Help() string {
	return `Examples:
  offkey stage pause --reason "support is flooded"
  offkey stage pause --back 24h

Stops the whole campaign within a second: no step of the calendar comes, brownouts end and none begins. What was
retired before stays so, unless --back takes it back. ` + "`offkey stage set`" + ` still works, and holds.`
}

// Run pauses.
func (c *pauseCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	err := c.connect().send(ctx, "POST", "/calendar/pause", parameters("dry_run", whenTrue(c.DryRun)), map[string]any{"back": c.Back, "reason": c.Reason}, &raw)
	if err != nil {
		return err
	}
	return t.finishPause(raw, c.DryRun, "the campaign is paused")
}

type resumeCmd struct {
	operatorFlags
	AsPlanned bool   `help:"Steps keep their dates; those that were due meanwhile come at once. Default: all move on by the days that it lasted."`
	Reason    string `placeholder:"TEXT" help:"Why; it is written into the audit."`
	DryRun    bool   `help:"Change nothing."`
}

func (resumeCmd) Help() string {
	return `Examples:
  offkey stage resume --dry-run
  offkey stage resume

Steps that the pause took back are not repeated: set them again if they are still wanted.`
}

// Run resumes.
func (c *resumeCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	err := c.connect().send(ctx, "POST", "/calendar/resume", parameters("dry_run", whenTrue(c.DryRun)), map[string]any{"as_planned": c.AsPlanned, "reason": c.Reason}, &raw)
	if err != nil {
		return err
	}
	return t.finishPause(raw, c.DryRun, "the campaign goes on")
}

func (t *terminal) finishPause(raw json.RawMessage, dryRun bool, words string) error {
	if t.JSON {
		return t.document(raw)
	}
	var d pauseDoc
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	words += fmt.Sprintf(", %s moved by it", count(d.Changed, "apikey"))
	for _, s := range d.Moved {
		words += fmt.Sprintf("; %s comes to stage %s at %s", target(s.Cohort, s.Share), s.Stage, s.At)
	}
	for _, s := range d.Dropped {
		words += fmt.Sprintf("; forgotten: %s to stage %s", target(s.Cohort, s.Share), s.Stage)
	}
	if dryRun {
		t.say("Would be: %s. Nothing was changed.", words)
		return nil
	}
	t.done("%s", words)
	return nil
}

type freezeCmd struct {
	operatorFlags
	From string `placeholder:"DATE" xor:"when" help:"Refuse apikeys that come up from then on, as in 2027-02-15."`
	Off  bool   `xor:"when" help:"Do not."`
}

func (freezeCmd) Help() string {
	return `Examples:
  offkey stage freeze --from 2027-02-15
  offkey stage freeze --off

Apikeys that are first seen or imported from that day on are refused with apikey_new_refused once their stage is warn or
later; the upgrade stays open to them. An apikey with a stage of its own or an extension is let through.`
}

// Run freezes.
func (c *freezeCmd) Run(ctx context.Context, t *terminal) error {
	if c.From == "" && !c.Off {
		return wrongUsage("from when?", "give --from DATE, or --off")
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "PUT", "/calendar/freeze", nil, map[string]any{"from": c.From}, &raw); err != nil {
		return err
	}
	return t.showCalendar(raw)
}

type guardsCmd struct {
	operatorFlags
	StopIf []string `arg:"" optional:"" name:"guard" help:"When the campaign pauses by itself. None: never."`
}

func (guardsCmd) Help() string {
	return `Examples:
  offkey stage guards "refused > 0.1% of calls" "refused > 50 of owner"
  offkey stage guards "errors > 5% of calls in 10m" "would_deny > 100"
  offkey stage guards

Replaces the guards. refused counts calls that a brownout refuses, or a stage that came within the last day; would_deny
what is counted in shadow; errors what the API answers with 5xx. Without "in" it is the last five minutes. When one is
met the campaign pauses, what it did in the last 24 hours is taken back, and email.to_admins is told.`
}

// Run sets.
func (c *guardsCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().send(ctx, "PUT", "/calendar/guards", nil, map[string]any{"stop_if": append([]string{}, c.StopIf...)}, &raw); err != nil {
		return err
	}
	return t.showCalendar(raw)
}

type selfExtensionCmd struct {
	operatorFlags
	Length string `arg:"" help:"How long, as in 30d; 0d is not at all."`
}

func (selfExtensionCmd) Help() string {
	return `Examples:
  offkey stage self-extension 30d
  offkey stage self-extension 0d

Whoever holds an apikey may then extend it by that long, once, by themselves: POST /upgrade/apikey/extension at
the issuer, with the apikey as the bearer token and {"reason":"…"}. Each is an exception with its date and its reason.`
}

// Run sets.
func (c *selfExtensionCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().send(ctx, "PUT", "/calendar/self-extension", nil, map[string]any{"length": c.Length}, &raw); err != nil {
		return err
	}
	return t.showCalendar(raw)
}

type exceptionsCmd struct{ operatorFlags }

func (exceptionsCmd) Help() string {
	return `Examples:
  offkey stage exceptions
  offkey stage exceptions --json

Apikeys with an extension and clients with scopes for a time: to whom, until when, by whom and why.`
}

// Run lists.
func (c *exceptionsCmd) Run(ctx context.Context, t *terminal) error {
	var raw json.RawMessage
	if err := c.connect().get(ctx, "/exceptions", nil, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var list struct {
		Exceptions []struct {
			Kind, ID, Owner, By, Reason string
			Until                       time.Time
			Scopes                      []string
		}
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	if len(list.Exceptions) == 0 {
		t.say("No exceptions.")
		return nil
	}
	var rows [][]string
	for _, e := range list.Exceptions {
		what := e.Kind
		if len(e.Scopes) > 0 {
			what += " " + strings.Join(e.Scopes, " ")
		}
		rows = append(rows, []string{day(e.Until), e.ID, printable(e.Owner), what, printable(e.By), printable(e.Reason)})
	}
	return writeTable(t.Out, []column{{head: "UNTIL"}, {head: "WHO"}, {head: "OWNER"}, {head: "WHAT"}, {head: "BY"}, {head: "WHY"}}, rows)
}
