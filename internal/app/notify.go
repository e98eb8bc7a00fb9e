package app

import (
	"cmp"
	"fmt"
	"path/filepath"

	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/federation"
	"github.com/offkey/offkey/internal/notify"
)

// openOutbox opens the folder where messages to owners wait.
func (a *App) openOutbox(cfg *config.Loaded) (err error) {
	settings, err := mailSettings(cfg)
	if err != nil {
		return err
	}
	a.outbox, err = notify.Open(notify.Options{
		Folder: filepath.Join(a.data.path, "outbox"), Now: a.Now, Log: a.Log, Metrics: a.metrics,
	}, settings)
	return err
}

// mailSettings is how a configuration wants owners to be told.
func mailSettings(cfg *config.Loaded) (s notify.Settings, err error) {
	s.Issuer, s.API = cfg.Issuer, cfg.Gateway.Resource
	if s.From, err = cfg.Sender(); err != nil {
		return s, fmt.Errorf("email.from %w", err)
	}
	if s.Admins, err = cfg.Email.Admins(); err != nil {
		return s, fmt.Errorf("email.to_admins %w", err)
	}
	server := cfg.Email.SMTP
	if server.Host == "" {
		return s, nil
	}
	roots, err := federation.Roots(cfg.Path(cfg.Outbound.CAFile))
	if err != nil {
		return s, err
	}
	mode := notify.TLSMode(server.TLS)
	s.SMTP = &notify.SMTP{
		Host: server.Host, Port: cmp.Or(server.Port, mode.Port()), User: server.User, Password: server.Password,
		TLS: mode, RootCAs: roots,
	}
	return s, nil
}
