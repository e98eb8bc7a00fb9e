package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/offkey/offkey/internal/config"
)

// configCmd groups what is done about the configuration file.
type configCmd struct {
	Validate configValidateCmd `cmd:"" help:"Check a file without starting anything."`
	Show     configShowCmd     `cmd:"" help:"Show the settings in force."`
	Diff     configDiffCmd     `cmd:"" help:"Show what a reload would change."`
	Schema   configSchemaCmd   `cmd:"" help:"Print the JSON Schema of the file, for editors."`
	Reload   configReloadCmd   `cmd:"" help:"Put the file in force."`
}

type configValidateCmd struct {
	File string `arg:"" optional:"" default:"offkey.yaml" env:"OFFKEY_CONFIG" type:"path" help:"The file. Default ./offkey.yaml."`
}

func (configValidateCmd) Help() string {
	return `Examples:
  offkey config validate
  offkey config validate /etc/offkey/offkey.yaml --json

Every problem is named with file, line and fix. Exit code 1 if there is one. Files that the settings name (secret_file,
password_file, certificates, keys) are opened: run it as the user whom offkey runs as.`
}

// Run checks.
func (c *configValidateCmd) Run(_ context.Context, t *terminal) error {
	loaded, err := config.Load(c.File, os.Environ())
	if err == nil {
		if missing := loaded.CheckFiles(); len(missing) > 0 {
			err = missing
		}
	}
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		if t.JSON {
			if err := t.document(map[string]any{"file": c.File, "ok": false, "problems": problems}); err != nil {
				return err
			}
		} else {
			for _, p := range problems {
				fmt.Fprintln(t.Out, p.Error())
			}
		}
		return &failure{exit: exitFailed, code: "bad_config", message: fmt.Sprintf("%s has %s", c.File, count(len(problems), "problem")), fix: "correct the lines named", err: err}
	case err != nil:
		return failed("bad_config", err.Error(), "name the file, or make one with `offkey init`", err)
	case t.JSON:
		return t.document(map[string]any{"file": c.File, "ok": true, "problems": config.Problems{}})
	}
	t.done("%s is valid: issuer %s, %s, %s, %s", c.File, loaded.Issuer,
		count(len(loaded.Gateway.Upstreams), "upstream"), count(len(loaded.Gateway.Routes), "route"), count(len(loaded.Clients), "client"))
	return nil
}

type configShowCmd struct {
	operatorFlags
	listFlags
	Origin bool   `help:"Say where each value comes from."`
	File   string `type:"path" placeholder:"FILE" help:"Of this file, instead of the running offkey."`
}

func (configShowCmd) Help() string {
	return `Examples:
  offkey config show --origin
  offkey config show --file offkey.yaml --json

Secrets show only that they are set. A value comes from a flag, an OFFKEY_* variable, the file or the default, in
this order.`
}

// Run shows.
func (c *configShowCmd) Run(ctx context.Context, t *terminal) error {
	var settings []config.Value
	if c.File != "" {
		loaded, err := config.Load(c.File, os.Environ())
		if err != nil {
			return badConfig(err)
		}
		settings = loaded.Values()
	} else {
		var answer struct{ Settings []config.Value }
		if err := c.connect().get(ctx, "/config", nil, &answer); err != nil {
			return err
		}
		settings = answer.Settings
	}
	var found listing
	for _, v := range settings {
		raw, err := json.Marshal(v)
		if err != nil {
			return err
		}
		found.items = append(found.items, raw)
	}
	return c.show(t, "settings", found, []string{"setting", "value", "origin", "boot"}, func() error {
		columns := []column{{head: "SETTING"}, {head: "VALUE"}}
		if c.Origin {
			columns = append(columns, column{head: "FROM"})
		}
		var rows [][]string
		for _, v := range settings {
			row := []string{v.Setting, orDash(v.Value)}
			if c.Origin {
				row = append(row, v.Origin)
			}
			rows = append(rows, row)
		}
		return writeTable(t.Out, columns, rows)
	})
}

type configSchemaCmd struct{}

func (configSchemaCmd) Help() string {
	return `Examples:
  offkey config schema > offkey.schema.json
  echo '# yaml-language-server: $schema=offkey.schema.json' | cat - offkey.yaml`
}

// Run prints.
func (*configSchemaCmd) Run(_ context.Context, t *terminal) error {
	schema, err := config.Schema()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.Out, "%s\n", schema)
	return err
}

type configDiffCmd struct {
	operatorFlags
}

func (configDiffCmd) Help() string {
	return `Examples:
  offkey config diff
  offkey config diff --json

Compares the file with what is in force in the running offkey. Secrets that differ are named without their values.`
}

type configReloadCmd struct {
	operatorFlags
	DryRun bool `help:"Only say what would change."`
}

func (configReloadCmd) Help() string {
	return `Examples:
  offkey config reload --dry-run
  offkey config reload

The file is put in force as a whole; a file with a mistake is refused and the old one stays. SIGHUP does the same.`
}

// Run compares.
func (c *configDiffCmd) Run(ctx context.Context, t *terminal) error {
	return reload(ctx, t, c.operatorFlags, true)
}

// Run reloads.
func (c *configReloadCmd) Run(ctx context.Context, t *terminal) error {
	return reload(ctx, t, c.operatorFlags, c.DryRun)
}

func reload(ctx context.Context, t *terminal, where operatorFlags, dryRun bool) error {
	var raw json.RawMessage
	if err := where.connect().send(ctx, "POST", "/config/reload", parameters("dry_run", whenTrue(dryRun)), nil, &raw); err != nil {
		return err
	}
	if t.JSON {
		return t.document(raw)
	}
	var answer struct {
		File    string
		Changes []config.Change
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return err
	}
	if len(answer.Changes) == 0 {
		t.say("%s is in force as it is.", answer.File)
		return nil
	}
	var rows [][]string
	var later int
	for _, ch := range answer.Changes {
		when := "on reload"
		if ch.Restart {
			when = "at the next start"
			later++
		}
		rows = append(rows, []string{ch.Setting, orDash(ch.From), orDash(ch.To), when})
	}
	if err := writeTable(t.Out, []column{{head: "SETTING"}, {head: "IN FORCE"}, {head: "IN THE FILE"}, {head: "TAKES EFFECT"}}, rows); err != nil {
		return err
	}
	if dryRun {
		t.say("Nothing was changed. Put it in force with `offkey config reload`.")
		return nil
	}
	switch later {
	case 0:
		t.done("%s is in force", answer.File)
	case len(answer.Changes):
		t.warn("nothing of that takes effect before the next start")
	default:
		t.done("%s is in force, but for what takes effect at the next start", answer.File)
	}
	return nil
}
