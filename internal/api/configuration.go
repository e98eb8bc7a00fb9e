package api

import (
	"context"
	"net/http"

	"github.com/offkey/offkey/internal/audit"
)

// Setting is one setting as it is in force. Secrets show only that they are
// set.
type Setting struct {
	Setting string `json:"setting"`
	Value   string `json:"value"`
	Origin  string `json:"origin"` // "offkey.yaml:12", "OFFKEY_ISSUER", "default"
	Boot    bool   `json:"boot,omitempty"`
}

// SettingChange is a setting that differs between the file and what is in
// force.
type SettingChange struct {
	Setting string `json:"setting"`
	From    string `json:"from"`
	To      string `json:"to"`
	Restart bool   `json:"restart"` // takes effect only at the next start
}

// Configuration is what is asked about the configuration file.
type Configuration interface {
	// File is the path of the file, "" if the process runs without one.
	File() string
	Settings() []Setting
	// Reload reads the file and puts it in force as a whole, or with dryRun
	// only says what that would change. Its error says what is wrong with the
	// file; the old configuration is then still in force.
	Reload(ctx context.Context, dryRun bool, e audit.Event) ([]SettingChange, error)
}

// undeclared is the origin of a setting that nobody has written down.
const undeclared = "default"

// declared refuses to set what the configuration declares: it would be set back
// at the next reload.
func (s *Server) declared(setting string) error {
	for _, v := range s.o.Config.Settings() {
		if v.Setting == setting && v.Value != "" && v.Origin != undeclared {
			return problem(http.StatusConflict, "declared_in_file", "change it there, then run `offkey config reload`; or remove it there to set it here",
				"%s is %s in %s, and read-only elsewhere", setting, v.Value, v.Origin)
		}
	}
	return nil
}

func (s *Server) showConfig(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	return struct {
		File     string    `json:"file"`
		Settings []Setting `json:"settings"`
		Next     *string   `json:"next"`
	}{s.o.Config.File(), orNone(s.o.Config.Settings()), nil}, nil
}

func (s *Server) reloadConfig(r *http.Request) (any, error) {
	dryRun, err := onlyDryRun(r)
	if err != nil {
		return nil, err
	}
	if s.o.Config.File() == "" {
		return nil, problem(http.StatusConflict, "no_file", "`offkey init` writes one; start with `offkey serve --config FILE`", "the server runs without a configuration file")
	}
	changes, err := s.o.Config.Reload(r.Context(), dryRun, event(r, "config.reloaded", s.o.Config.File(), nil))
	if err != nil {
		return nil, problem(http.StatusUnprocessableEntity, "bad_config", "the configuration in force is still the old one", "%v", err)
	}
	return struct {
		File    string          `json:"file"`
		Changes []SettingChange `json:"changes"`
		DryRun  bool            `json:"dry_run,omitempty"`
	}{s.o.Config.File(), orNone(changes), dryRun}, nil
}
