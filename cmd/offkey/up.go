package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/app"
	"github.com/offkey/offkey/internal/config"
)

type upCmd struct {
	Upstream  string   `required:"" placeholder:"URL" help:"Where your API is."`
	Gateway   string   `default:"127.0.0.1:8484" placeholder:"ADDR" help:"Where callers reach it from now on."`
	Issuer    string   `default:"127.0.0.1:8485" placeholder:"ADDR" help:"The authorization server."`
	Admin     string   `default:"127.0.0.1:8486" placeholder:"ADDR" help:"Console and management API."`
	Ops       string   `default:"127.0.0.1:8487" placeholder:"ADDR" help:"/livez, /readyz, /metrics."`
	Data      string   `default:"offkey-data" env:"OFFKEY_DATA" type:"path" placeholder:"DIR" help:"Where everything is kept."`
	Socket    string   `env:"OFFKEY_SOCKET" type:"path" placeholder:"PATH" help:"Where operators' commands reach it. Default: offkey.sock in the data directory."`
	APIKeyIn  []string `name:"apikey-in" placeholder:"PLACE" sep:"none" help:"Where apikeys travel: header:X-API-Key, authorization:KEY, query:api_key, cookie:apikey, basic. May be given several times."`
	TokenCall string   `name:"token-call" default:"headers" enum:"headers,bearer,apikey" placeholder:"HOW" help:"What your API receives for a call with a token: headers (identity headers), bearer (the token), apikey (the caller's former apikey is put back: your API needs no change)."`
	NoProbe   bool     `name:"no-probe" help:"Never ask your API itself whether a route refuses wrong apikeys."`
}

func (upCmd) Help() string {
	return `Examples:
  offkey up --upstream http://localhost:8080
  offkey up --upstream http://localhost:8080 --apikey-in header:X-API-Key --apikey-in query:api_key

Everything in one process, in stage observe: nothing is refused and no byte of an answer is changed.
Stop it with Ctrl-C; what it knows stays in the data directory.`
}

// Run keeps the process until it is told to stop.
func (c upCmd) Run(ctx context.Context, t *terminal) error {
	listeners, err := app.Bind(config.Listen{Gateway: c.Gateway, Issuer: c.Issuer, Admin: c.Admin, Ops: c.Ops})
	if err != nil {
		return failed("cannot_listen", err.Error(), c.runningHint(), err)
	}
	cfg, err := c.config(listeners)
	if err != nil {
		listeners.Close()
		return err
	}
	return t.serve(ctx, cfg, listeners, app.Options{Socket: c.Socket}, func(a app.Addresses) { c.ready(t, a) })
}

// runningHint tells somebody whose ports are taken if it is by this very offkey.
func (c upCmd) runningHint() string {
	where := operatorFlags{Data: c.Data, Socket: c.Socket}
	conn, err := net.DialTimeout("unix", where.socket(), time.Second)
	if err != nil {
		return ""
	}
	_ = conn.Close() // nothing was asked
	return "an offkey with the data directory " + c.Data + " runs already: see `offkey status" + c.dataFlag() + "`"
}

// config is what the flags mean, as a whole configuration.
func (c upCmd) config(listeners *app.Listeners) (*config.Loaded, error) {
	upstream, err := url.Parse(c.Upstream)
	if err != nil || upstream.Host == "" {
		return nil, wrongUsage(fmt.Sprintf("--upstream %q is not a URL", c.Upstream), "write it in full, with http:// or https://, as in http://localhost:8080")
	}
	cfg := config.Default()
	cfg.Issuer = app.URLOf(listeners.Issuer, "http")
	cfg.Gateway.Resource = app.URLOf(listeners.Gateway, "http")
	cfg.Storage.DSN = "sqlite://" + filepath.Join(c.Data, "offkey.db")
	cfg.Gateway.Upstreams = map[string]config.Upstream{"api": {URL: c.Upstream, TokenCall: c.TokenCall, Host: hostFor(upstream)}}
	cfg.APIKeys.Probe = !c.NoProbe
	cfg.Telemetry = config.Telemetry{Logs: "text", Level: "warn"}
	if len(c.APIKeyIn) > 0 {
		cfg.APIKeys.Where = nil
	}
	for _, place := range c.APIKeyIn {
		cfg.APIKeys.Where = append(cfg.APIKeys.Where, placeOf(place))
	}
	loaded, err := config.New(cfg, os.Environ())
	if err != nil {
		return nil, &failure{exit: exitUsage, code: "bad_config", message: err.Error(), err: err}
	}
	return loaded, nil
}

// placeOf reads `header:X-API-Key`; config checks what it says.
func placeOf(s string) config.Place {
	in, name, _ := strings.Cut(s, ":")
	if in == "authorization" {
		return config.Place{In: in, Scheme: name}
	}
	return config.Place{In: in, Name: name}
}

// hostFor chooses which Host the API sees: an API somewhere on the network is
// found by its own name, one on this machine is asked as its callers ask it.
func hostFor(upstream *url.URL) string {
	host := upstream.Hostname()
	if upstream.Scheme == "https" && net.ParseIP(host) == nil && host != "localhost" {
		return "upstream"
	}
	return "preserve"
}

func (c upCmd) ready(t *terminal, a app.Addresses) {
	if t.JSON {
		_ = json.NewEncoder(t.Out).Encode(a) // one line, for whoever waits for it
		return
	}
	t.say("%s  observe  nothing is refused\n", painted(t.paint("1", "offkey "+version)))
	t.say("  API       %s  ->  %s", a.Gateway, c.Upstream)
	t.say("  Issuer    %s", a.Issuer)
	t.say("  Console   %s", a.Console)
	t.say("  Ops       %s/readyz", a.Ops)
	t.say("  Data      %s", a.Data)
	t.say("  Tokens    %s", tokenCallWords[c.TokenCall])
	t.setup(a)
	t.say("")
	t.say("Try   curl -H 'X-API-Key: YOUR-KEY' %s/", a.Gateway)
	t.say("Then  offkey apikeys list%s", c.dataFlag())
	t.say("      offkey upgrade --api %s    (what a caller runs)", a.Gateway)
}

// setup shows the link by which the first administrator makes an account.
func (t *terminal) setup(a app.Addresses) {
	if a.Setup != "" {
		t.say("  Sign-in   nobody can yet. The first administrator opens, once and within 30 minutes:\n            %s", a.Setup)
	}
}

// tokenCallWords say what the API receives in place of a token: an API that
// understands nothing of it answers 401, and nobody knows why.
var tokenCallWords = map[string]string{
	"headers": "the API sees who calls in X-Offkey-* headers; if it understands apikeys only, use --token-call apikey",
	"bearer":  "the API sees the token itself",
	"apikey":  "the API sees the caller's former apikey, once `offkey routes enforce on` is set",
}

// dataFlag is what other commands need to find this process.
func (c upCmd) dataFlag() string {
	if c.Data == "" || filepath.Base(c.Data) == "offkey-data" {
		return ""
	}
	return " --data " + shellQuote(c.Data)
}

// logger writes the process's log to standard error.
func (t *terminal) logger(cfg *config.Loaded) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Telemetry.Level)) // checked by config
	options := &slog.HandlerOptions{Level: level}
	if cfg.Telemetry.Logs == "json" {
		return slog.New(slog.NewJSONHandler(t.Err, options))
	}
	return slog.New(slog.NewTextHandler(t.Err, options))
}
