package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/agent"
	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/sdk/go/oauthclient"
	"golang.org/x/oauth2"
)

// agentCmd stands beside a program that cannot change: its calls come in as they
// always were, and go out with a token.
type agentCmd struct {
	identityFlags
	scopeFlags
	API         []string `name:"api" required:"" sep:"none" placeholder:"URL" help:"Where calls go out to. HOST=URL for calls to the agent by that name, /PREFIX=URL for those whose path begins so (it is taken away); may be given several times."`
	Listen      string   `default:"127.0.0.1:7070" placeholder:"ADDRESS" help:"Where the program calls the agent."`
	Socket      string   `type:"path" placeholder:"PATH" help:"A unix socket instead, which only you can connect to."`
	SwapAPIKey  bool     `name:"swap-apikey" help:"Put a token only in place of the apikey that --apikey-file, --apikey-stdin or OFFKEY_APIKEY names."`
	APIKeyFile  string   `name:"apikey-file" xor:"apikey" type:"path" placeholder:"FILE" help:"The apikey that the program sends."`
	APIKeyStdin bool     `name:"apikey-stdin" xor:"apikey" help:"Read it from standard input."`
	APIKeyIn    []string `name:"apikey-in" placeholder:"PLACE" sep:"none" default:"header:X-API-Key" help:"Where it travels, as in query:api_key; may be given several times."`
	Others      string   `enum:"refuse,pass" default:"refuse" help:"What becomes of calls that get no token: refuse, or pass them on as they are."`
	Exposed     bool     `help:"Listen where other machines can connect. Whoever does acts for the client: use it with --swap-apikey, or in a network of your own."`
}

func (agentCmd) Help() string {
	return `Examples:
  offkey agent --api https://api.example.com
  offkey agent --api https://api.example.com --swap-apikey --apikey-file shop.apikey
  offkey agent --api /orders=https://orders.example.com --api /billing=https://billing.example.com --dpop
  offkey agent --api https://api.example.com --socket /run/shop/api.sock

The program calls http://127.0.0.1:7070 in place of the API and changes nothing else. The client is the one that
` + "`offkey upgrade`" + ` made for the API, or any other with --issuer, --client and --keyfile. Tokens are renewed before they end.`
}

// agentDocument is what scripts read, once calls are taken.
type agentDocument struct {
	URL    string   `json:"url,omitempty"`
	Socket string   `json:"socket,omitempty"`
	APIs   []string `json:"apis"`
}

// Run serves until it is interrupted.
func (c *agentCmd) Run(ctx context.Context, t *terminal) error {
	o, err := c.options(t)
	if err != nil {
		return err
	}
	a, err := agent.New(o)
	if err != nil {
		return wrongUsage(err.Error(), "see `offkey agent --help`")
	}
	l, err := c.listen(t)
	if err != nil {
		return err
	}
	if err := a.Warm(ctx); err != nil {
		_ = l.Close()
		return agentFailure(err)
	}
	document := agentDocument{Socket: c.Socket}
	if c.Socket == "" {
		document.URL = "http://" + l.Addr().String()
	}
	for _, api := range o.APIs {
		document.APIs = append(document.APIs, api.URL.String())
	}
	if t.JSON {
		_ = json.NewEncoder(t.Out).Encode(document) // one line, for whoever waits for it
	} else {
		t.done("calls to %s go out to %s with a token", cmp.Or(document.URL, document.Socket), strings.Join(document.APIs, ", "))
	}
	server := &http.Server{Handler: a, ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug)}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return server.Shutdown(ending)
}

// options are the flags as the agent takes them. Everything is checked before
// anything listens.
func (c *agentCmd) options(t *terminal) (o agent.Options, err error) {
	o = agent.Options{Others: agent.Others(c.Others), Log: slog.New(slog.NewTextHandler(t.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	if !c.SwapAPIKey && (c.APIKeyFile != "" || c.APIKeyStdin) {
		return o, wrongUsage("an apikey is given, and --swap-apikey is not", "add --swap-apikey, or leave the apikey out")
	}
	if c.SwapAPIKey {
		key, err := (&upgradeCmd{APIKeyFile: c.APIKeyFile, APIKeyStdin: c.APIKeyStdin}).apikey(t)
		if err != nil {
			return o, err
		}
		o.Swap = secret.NewText(string(key))
	}
	var carriers []apikey.Carrier
	for _, place := range c.APIKeyIn {
		carrier, err := apikey.ParseCarrier(place)
		if err != nil {
			return o, wrongUsage("--apikey-in: "+err.Error(), "")
		}
		carriers = append(carriers, carrier)
	}
	if o.Reader, err = apikey.NewReader(carriers); err != nil {
		return o, wrongUsage("--apikey-in: "+err.Error(), "")
	}
	clock := agent.NewClock(t.Now)
	for _, spec := range c.API {
		api, err := c.api(t, spec, clock)
		if err != nil {
			return o, err
		}
		o.APIs = append(o.APIs, api)
	}
	return o, nil
}

// api is one --api.
func (c *agentCmd) api(t *terminal, spec string, clock *agent.Clock) (api agent.API, err error) {
	raw := spec
	if name, rest, named := strings.Cut(spec, "="); named && !strings.Contains(name, "://") {
		raw = rest
		if strings.HasPrefix(name, "/") {
			api.Prefix = name
		} else {
			api.Host = name
		}
	}
	api.URL, err = url.Parse(raw)
	switch {
	case err != nil || api.URL.Host == "" || api.URL.Scheme != "https" && api.URL.Scheme != "http":
		return api, wrongUsage(fmt.Sprintf("--api %q is not the URL of an API", spec), "write it as https://api.example.com, with HOST= or /PREFIX= before it if there are several")
	case strings.Trim(api.URL.Path, "/") != "" || api.URL.RawQuery != "" || api.URL.User != nil:
		return api, wrongUsage(fmt.Sprintf("--api %q has more than scheme, host and port", spec), "leave the rest to the program's calls")
	case api.URL.Scheme == "http" && !agent.Local(net.JoinHostPort(api.URL.Hostname(), "0")):
		return api, wrongUsage(fmt.Sprintf("--api %q is http on another machine: tokens would travel in clear", spec), "use https")
	}
	api.URL.Path = ""
	config, err := c.client(t, api.URL.String())
	if err != nil {
		return api, err
	}
	transport := agent.NewTransport()
	if config.TLS != nil {
		transport.TLSClientConfig = config.TLS.Clone()
	}
	config.Now = clock.Now
	config.HTTPClient = &http.Client{
		Transport: clock.Watch(transport), Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	api.Transport, api.Client, api.Clock = transport, agentClient{config}, clock
	return api, nil
}

// client is the one that calls an API: of the flags, else the one that upgrade made
// for it.
func (c *agentCmd) client(t *terminal, api string) (*oauthclient.Config, error) {
	flags := c.identityFlags
	if flags.Issuer == "" && flags.TokenURL == "" && flags.Client == "" {
		dir, err := flags.folder()
		if err != nil {
			return nil, err
		}
		made, err := clientsOf(dir, api)
		if err != nil {
			return nil, err
		}
		if len(made) == 0 {
			return nil, failed("no_client", "there is no client for "+api+" in "+dir, "run `offkey upgrade --api "+api+"`, or name a client with --client, --issuer and --keyfile", nil)
		}
		flags.Client = made[0].ClientID
	}
	config, _, err := flags.config(t)
	if err != nil {
		return nil, err
	}
	return config, c.scopeFlags.apply(config)
}

// listen opens the socket or the port. Where others could connect it does so on
// demand only.
func (c *agentCmd) listen(t *terminal) (net.Listener, error) {
	if c.Socket != "" {
		l, err := agent.ListenSocket(c.Socket)
		if err != nil {
			return nil, failed("cannot_listen", "the agent cannot listen: "+err.Error(), "choose another --socket", err)
		}
		return l, nil
	}
	if !agent.Local(c.Listen) {
		if !c.Exposed {
			return nil, wrongUsage("--listen "+c.Listen+" can be reached from other machines, and whoever calls the agent acts for the client", "listen on 127.0.0.1, use --socket, or add --exposed if that is meant")
		}
		t.warn("other machines can call the agent at %s, and act for the client", c.Listen)
		if !c.SwapAPIKey {
			t.warn("nothing is asked of them: --swap-apikey would ask for the apikey")
		}
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, failed("cannot_listen", "the agent cannot listen: "+err.Error(), "choose another --listen", err)
	}
	return l, nil
}

// agentFailure says why there is no token at the start.
func agentFailure(err error) error {
	var e *oauthclient.Error
	if errors.As(err, &e) {
		return failed(e.Code, "no token: "+e.Message, e.Fix, err)
	}
	return err
}

// agentClient gets tokens for the agent.
type agentClient struct{ *oauthclient.Config }

// Token implements agent.Client.
func (c agentClient) Token(ctx context.Context) (agent.Token, error) {
	token, err := c.NewToken(ctx)
	if err != nil {
		return agent.Token{}, err
	}
	return agent.Token{Value: secret.NewText(token.AccessToken), Type: token.TokenType, Life: time.Duration(token.ExpiresIn) * time.Second}, nil
}

// Temporary implements agent.Client: the issuer is away or busy.
func (agentClient) Temporary(err error) bool {
	var e *oauthclient.Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == "unreachable" || e.Code == "bad_metadata" || e.Status >= 500 || e.Status == http.StatusTooManyRequests
}

// Authorize implements agent.Client.
func (c agentClient) Authorize(req *http.Request, t agent.Token) error {
	return c.Config.Authorize(req, &oauth2.Token{AccessToken: t.Value.Reveal(), TokenType: t.Type})
}
