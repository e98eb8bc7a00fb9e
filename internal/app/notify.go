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

// webhookOf is who is posted what owners are told, nil for nobody.
func webhookOf(cfg *config.Loaded) (*notify.Webhook, error) {
	w := cfg.Migration.Webhook
	if w.URL == "" {
		return nil, nil
	}
	fetcher, err := federation.NewFetcher(federation.Options{AllowPrivate: cfg.Outbound.AllowPrivate, CAFile: cfg.Path(cfg.Outbound.CAFile)})
	if err != nil {
		return nil, err
	}
	return &notify.Webhook{URL: w.URL, Secret: w.Secret, Post: fetcher.PostJSON}, nil
}

// mailSettings is how a configuration wants owners to be told.
func mailSettings(cfg *config.Loaded) (s notify.Settings, err error) {
	s.Issuer, s.API, s.Upgrade = cfg.Issuer, cfg.Gateway.Resource, upgradePage(cfg)
	if s.Webhook, err = webhookOf(cfg); err != nil {
		return s, err
	}
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
