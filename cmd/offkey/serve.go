package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	stdlog "log"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/offkey/offkey/internal/app"
	"github.com/offkey/offkey/internal/config"
)

type serveCmd struct {
	Config string `default:"offkey.yaml" env:"OFFKEY_CONFIG" type:"path" placeholder:"FILE" help:"The configuration file."`
	Socket string `env:"OFFKEY_SOCKET" type:"path" placeholder:"PATH" help:"Where operators' commands reach it. Default: offkey.sock beside the database."`
}

func (serveCmd) Help() string {
	return `Examples:
  offkey serve --config /etc/offkey/offkey.yaml
  kill -HUP PID          reads the file again; a bad file is refused and the old one stays

SIGTERM lets calls under way finish, then ends with exit code 0.`
}

// Run keeps the process until it is told to stop.
func (c serveCmd) Run(ctx context.Context, t *terminal) error {
	read := func() (*config.Loaded, error) { return config.Load(c.Config, os.Environ()) }
	cfg, err := read()
	if err != nil {
		return badConfig(err)
	}
	listeners, err := app.Bind(cfg.Listen)
	if err != nil {
		return failed("cannot_listen", err.Error(), "", err)
	}
	return t.serve(ctx, cfg, listeners, app.Options{Read: read, Socket: c.Socket}, func(a app.Addresses) {
		if t.JSON {
			_ = json.NewEncoder(t.Out).Encode(a)
			return
		}
		t.say("offkey %s serves %s, issuer %s", version, a.Gateway, a.Issuer)
		t.setup(a)
	})
}

// badConfig shows every problem of a file, a line each.
func badConfig(err error) error {
	return &failure{exit: exitFailed, code: "bad_config", message: err.Error(), fix: "`offkey config validate` checks a file without starting", err: err}
}

// drainTime bounds how long calls under way may take once the process is told
// to stop.
const drainTime = 25 * time.Second

// ballast is how much memory serve reserves and never touches, so that the
// system gives none for it. The garbage collector runs when the heap has
// doubled, and the heap of a process that passes calls on is so small that this
// would be a hundred times a second. Unlike a larger GOGC it adds the same to a
// large heap as to a small one.
const ballast = 16 << 20

// serve runs an offkey until ctx ends or a listener fails. Where o can read the
// configuration anew it does so on SIGHUP.
func (t *terminal) serve(ctx context.Context, cfg *config.Loaded, l *app.Listeners, o app.Options, ready func(app.Addresses)) error {
	log := t.logger(cfg)
	defer runtime.KeepAlive(make([]byte, ballast))
	stdlog.SetOutput(io.Discard) // net/http prints bytes there that an API sent unasked: they may be anything
	o.Log, o.Version = log, version
	running, err := app.Start(ctx, cfg, l, o)
	if err != nil {
		return failed("cannot_start", err.Error(), "", errors.Join(err, l.Close()))
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	ready(running.Addresses())
	for {
		select {
		case <-hangup:
			if err := running.Reload(ctx); err != nil {
				log.Error("the configuration was not reloaded, the old one stays", "error", err)
			}
		case err := <-running.Failed():
			return errors.Join(err, stop(running))
		case <-ctx.Done():
			return stop(running)
		}
	}
}

// stop drains, whatever became of the context that asked for it.
func stop(running *app.App) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	return running.Stop(ctx)
}
