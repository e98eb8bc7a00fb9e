package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// stageCmd groups what is done about stages.
type stageCmd struct {
	Set     stageSetCmd `cmd:"" help:"Move apikeys along the road, or back, now or at a date."`
	Cohorts cohortsCmd  `cmd:"" help:"Sets of apikeys that move together: list, set, delete."`

	Calendar      calendarCmd      `cmd:"" help:"What comes, and what came."`
	Cancel        stageCancelCmd   `cmd:"" help:"Take a step out of the calendar."`
	Pause         pauseCmd         `cmd:"" help:"Stop the whole campaign at once."`
	Resume        resumeCmd        `cmd:"" help:"Let it go on."`
	Guards        guardsCmd        `cmd:"" help:"When it pauses by itself."`
	Freeze        freezeCmd        `cmd:"" help:"From when on new apikeys are refused."`
	SelfExtension selfExtensionCmd `cmd:"" help:"How long callers may extend an apikey by themselves, once."`
	Exceptions    exceptionsCmd    `cmd:"" help:"What was granted beside the campaign, and until when."`
}

type stageSetCmd struct {
	operatorFlags
	Stage  string   `arg:"" help:"observe, warn, brownout, upgrade_only, retired or blocked; inherit gives an apikey or a cohort back what holds without."`
	APIKey []string `name:"apikey" sep:"none" placeholder:"ID" xor:"whose,cohort,share" help:"This apikey: id, unique beginning or label. Repeat for several."`
	Cohort string   `placeholder:"NAME" xor:"cohort" help:"The apikeys of this cohort."`
	Share  string   `placeholder:"PERCENT" xor:"share" help:"This share of the cohort, or of all, as in 5%. The same apikeys each time, and more with more."`
	All    bool     `xor:"whose,cohort,share" help:"All apikeys that have no stage of their own."`
	At     string   `placeholder:"DATE" help:"Not now but then, as in 2027-09-30 or 2027-09-30T14:00:00Z."`
	Until  string   `placeholder:"DATE" help:"With --all or --apikey: the end that is announced to callers, as in 2027-09-30."`
	Reason string   `placeholder:"TEXT" help:"Why; it is written into the audit."`
	DryRun bool     `help:"Change nothing."`
}

func (stageSetCmd) Help() string {
	return `Examples:
  offkey plan retired --apikey ak_019ab        # first see whose calls would fail
  offkey stage set retired --apikey ak_019ab
  offkey stage set warn --all --until 2027-09-30
  offkey stage set upgrade_only --cohort partners --at 2027-09-30
  offkey stage set upgrade_only --share 5%
  offkey stage set observe --apikey ak_019ab   # takes it back within a second

Stages:
  observe       calls pass, and are recorded
  warn          calls pass, with Deprecation and Sunset headers
  brownout      as warn, and refused in the windows of ` + "`offkey brownout`" + `
  upgrade_only  calls are refused; the apikey still opens ` + "`offkey upgrade`" + `
  retired       calls are refused, and so is the upgrade
  blocked       for a leak; see ` + "`offkey apikeys block`"
}

type stageDoc struct {
	Stage    string   `json:"stage"`
	Cohort   string   `json:"cohort"`
	Share    string   `json:"share"`
	At       string   `json:"at"`
	Changed  int64    `json:"changed"`
	Kept     int64    `json:"kept"`
	Disabled []string `json:"disabled_clients"`
}

// Run sets.
func (c *stageSetCmd) Run(ctx context.Context, t *terminal) error {
	if !c.All && len(c.APIKey) == 0 && c.Cohort == "" && c.Share == "" {
		return wrongUsage("whose stage?", "give --apikey ID, --cohort NAME, --share 5%, or --all")
	}
	body := map[string]any{
		"stage": c.Stage, "apikeys": append([]string{}, c.APIKey...), "cohort": c.Cohort, "share": c.Share, "all": c.All,
		"at": c.At, "until": c.Until, "reason": c.Reason,
	}
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/stage", parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var s stageDoc
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	words := fmt.Sprintf("%s moved to stage %s", count(s.Changed, "apikey"), s.Stage)
	if s.Stage == "inherit" {
		words = count(s.Changed, "apikey") + " moved to the stage of all"
	}
	if c.All {
		words = fmt.Sprintf("stage of all is %s: %s moved", s.Stage, count(s.Changed, "apikey"))
	}
	if s.At != "" {
		words = fmt.Sprintf("stage %s from %s: %s move", s.Stage, s.At, count(s.Changed, "apikey"))
	}
	if s.Kept > 0 {
		words += fmt.Sprintf(", %s not", thousands(s.Kept))
	}
	if len(s.Disabled) > 0 {
		words += ", clients disabled: " + strings.Join(s.Disabled, " ")
	}
	if c.DryRun {
		t.say("Would be: %s. Nothing was changed. `offkey plan %s` says whose calls would fail.", words, s.Stage)
		return nil
	}
	t.done("%s", words)
	return nil
}
