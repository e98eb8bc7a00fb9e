package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/policy"
)

// Settings returns the rules that hold for all; the zero Settings before any
// were set.
func (db *DB) Settings(ctx context.Context) (settings policy.Settings, err error) {
	err = db.view(ctx, func(s *session) error {
		settings, _, err = s.settings()
		return err
	})
	return settings, err
}

// UpdateSettings lets update change the settings, with nobody changing them in
// between, and returns them as they then are. The error of update leaves all as
// it was. The detail of e is written down after update has run.
func (db *DB) UpdateSettings(ctx context.Context, update func(*policy.Settings) error, e audit.Event) (settings policy.Settings, err error) {
	err = db.change(ctx, func(x *tx) error {
		if settings, err = x.changeSettings(update); err != nil {
			return err
		}
		return x.record(e)
	})
	if err != nil {
		return policy.Settings{}, err
	}
	return settings, nil
}

func (x *tx) changeSettings(update func(*policy.Settings) error) (policy.Settings, error) {
	settings, stored, err := x.settings()
	if err != nil {
		return policy.Settings{}, err
	}
	before, err := members(settings)
	if err != nil {
		return policy.Settings{}, err
	}
	if err := update(&settings); err != nil {
		return policy.Settings{}, err
	}
	after, err := members(settings)
	if err != nil {
		return policy.Settings{}, err
	}
	return settings, x.writeSettings(stored, before, after)
}

// writeSettings writes the members that differ. Those that this release does
// not know, of a newer one, stay as they are.
func (x *tx) writeSettings(stored, before, after map[string]json.RawMessage) error {
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if string(after[name]) == string(stored[name]) {
			continue
		}
		if _, err := x.exec(`INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
			name, string(after[name])); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		if err := x.changed(ChangeSetting, name); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, kept := after[name]; kept {
			continue
		}
		if _, err := x.exec(`DELETE FROM setting WHERE name = ?`, name); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
		if err := x.changed(ChangeSetting, name); err != nil {
			return err
		}
	}
	return nil
}

// settings reads the settings, and the stored members that they are made of.
func (s *session) settings() (settings policy.Settings, stored map[string]json.RawMessage, err error) {
	stored = map[string]json.RawMessage{}
	if err := s.each(`SELECT name, value FROM setting`, nil, func(scan func(...any) error) error {
		var name, value string
		if err := scan(&name, &value); err != nil {
			return err
		}
		stored[name] = json.RawMessage(value)
		return nil
	}); err != nil {
		return policy.Settings{}, nil, err
	}
	document, err := json.Marshal(stored)
	if err != nil {
		return policy.Settings{}, nil, fmt.Errorf("settings: %w", err)
	}
	if err := json.Unmarshal(document, &settings); err != nil {
		return policy.Settings{}, nil, fmt.Errorf("settings: %w", err)
	}
	return settings, stored, nil
}

// members takes the settings apart by their JSON names.
func members(settings policy.Settings) (m map[string]json.RawMessage, err error) {
	document, err := json.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return m, json.Unmarshal(document, &m)
}
