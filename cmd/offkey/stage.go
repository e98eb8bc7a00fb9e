package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// stageCmd groups what is done about stages.
type stageCmd struct {
	Set stageSetCmd `cmd:"" help:"Move apikeys along the road, or back."`
}

type stageSetCmd struct {
	operatorFlags
	Stage  string   `arg:"" help:"observe, warn, upgrade_only, retired or blocked; inherit gives an apikey the stage of all again."`
	APIKey []string `name:"apikey" sep:"none" placeholder:"ID" xor:"whose" help:"This apikey: id, unique beginning or label. Repeat for several."`
	All    bool     `xor:"whose" help:"All apikeys that have no stage of their own."`
	Until  string   `placeholder:"DATE" help:"The end that is announced to callers, as in 2027-09-30."`
	DryRun bool     `help:"Change nothing."`
}

func (stageSetCmd) Help() string {
	return `Examples:
  offkey plan retired --apikey ak_019ab        # first see whose calls would fail
  offkey stage set retired --apikey ak_019ab
  offkey stage set warn --all --until 2027-09-30
  offkey stage set observe --apikey ak_019ab   # takes it back within a second

Stages:
  observe       calls pass, and are recorded
  warn          calls pass, with Deprecation and Sunset headers
  upgrade_only  calls are refused; the apikey still opens ` + "`offkey upgrade`" + `
  retired       calls are refused, and so is the upgrade
  blocked       for a leak; see ` + "`offkey apikeys block`"
}

type stageDoc struct {
	Stage    string   `json:"stage"`
	Changed  int64    `json:"changed"`
	Kept     int64    `json:"kept"`
	Disabled []string `json:"disabled_clients"`
}

// Run sets.
func (c *stageSetCmd) Run(ctx context.Context, t *terminal) error {
	if !c.All && len(c.APIKey) == 0 {
		return wrongUsage("whose stage?", "give --apikey ID, or --all")
	}
	body := map[string]any{"stage": c.Stage, "apikeys": append([]string{}, c.APIKey...), "all": c.All, "until": c.Until}
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
