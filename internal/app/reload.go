package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/offkey/offkey/internal/api"
	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/config"
)

// Reload reads the configuration again and puts it in force as a whole; what
// needs a restart is said in the log. On error the old one stays.
func (a *App) Reload(ctx context.Context) error {
	_, err := a.reloadFile(ctx, false, audit.Event{Actor: "system", Action: "config.reloaded"})
	return err
}

// reloadFile says what would change and, unless dryRun, changes it. Everything
// that can be wrong is found out before anything is put in force.
func (a *App) reloadFile(ctx context.Context, dryRun bool, e audit.Event) ([]config.Change, error) {
	if a.Read == nil {
		return nil, errors.New("the process runs without a configuration file")
	}
	a.reload.Lock()
	defer a.reload.Unlock()
	cfg, err := a.Read()
	if err != nil {
		return nil, err
	}
	running := a.flows.Load().cfg
	changes := cfg.Diff(running)
	if dryRun {
		return changes, nil
	}
	e.Detail = map[string]any{"file": cfg.File, "changes": changes} // without secrets
	if err := a.apply(ctx, keepBoot(cfg, running), e); err != nil {
		return nil, err
	}
	var restart []string
	for _, c := range changes {
		if c.Restart {
			restart = append(restart, c.Setting)
		}
	}
	a.Log.Info("configuration reloaded", "actor", e.Actor, "changes", len(changes), "need_restart", restart)
	return changes, nil
}

// keepBoot is cfg with the settings that a running process cannot change as
// they are in force.
func keepBoot(cfg, running *config.Loaded) *config.Loaded {
	kept := *cfg
	kept.Issuer, kept.Listen, kept.Storage, kept.Secrets = running.Issuer, running.Listen, running.Storage, running.Secrets
	kept.TLS.ClientCertificates = running.TLS.ClientCertificates
	kept.Signing, kept.Gateway.Resource = running.Signing, running.Gateway.Resource
	kept.Telemetry.Logs, kept.Telemetry.Level = running.Telemetry.Logs, running.Telemetry.Level
	return &kept
}

// apply puts a configuration in force, and e into the audit. All that can fail
// on what the file says comes first.
func (a *App) apply(ctx context.Context, cfg *config.Loaded, e audit.Event) error {
	if (cfg.TLS.Mode == "files") != (a.certs != nil) {
		return errors.New("tls.mode cannot change while the process runs; restart it")
	}
	f, err := a.buildFlows(cfg)
	if err != nil {
		return err
	}
	declared, err := a.readDeclared(ctx, cfg)
	if err != nil {
		return err
	}
	if a.certs != nil {
		if err := a.certs.load(cfg, a.Now()); err != nil {
			return err
		}
	}
	if err := a.declare(ctx, declared); err != nil {
		return err
	}
	if err := a.db.Record(ctx, e); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := a.views.useFile(ctx, cfg); err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	a.use(f)
	return nil
}

// configuration answers the management API's questions about the file.
type configuration struct{ a *App }

// File implements api.Configuration.
func (c configuration) File() string { return c.a.flows.Load().cfg.File }

// Settings implements api.Configuration.
func (c configuration) Settings() []api.Setting {
	values := c.a.flows.Load().cfg.Values()
	settings := make([]api.Setting, len(values))
	for i, v := range values {
		settings[i] = api.Setting(v)
	}
	return settings
}

// Reload implements api.Configuration.
func (c configuration) Reload(ctx context.Context, dryRun bool, e audit.Event) ([]api.SettingChange, error) {
	changes, err := c.a.reloadFile(ctx, dryRun, e)
	out := make([]api.SettingChange, len(changes))
	for i, change := range changes {
		out[i] = api.SettingChange(change)
	}
	return out, err
}
