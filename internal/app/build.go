package app

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/federation"
	"github.com/offkey/offkey/internal/gateway"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/notify"
	"github.com/offkey/offkey/internal/signin"
	"github.com/offkey/offkey/internal/token"
)

// flows are the parts that take calls, as one configuration wants them. A
// reload makes new ones; calls under way end on those that they began on.
type flows struct {
	cfg       *config.Loaded
	gateway   *gateway.Gateway
	issuer    *authserver.Server
	signin    *signin.Service
	trust     *federation.Trust
	clients   *clientFinder
	upstreams []*upstream
	poster    authserver.Poster
	mail      notify.Settings
	stop      context.CancelFunc // ends what the gateway does beside calls
	forget    func()             // closes what the gateway has opened to ask about apikeys
}

// tokenCacheSize bounds the verified access tokens that are remembered.
const tokenCacheSize = 50_000

// buildFlows makes the flows of a configuration. Nothing serves yet.
func (a *App) buildFlows(cfg *config.Loaded) (f *flows, err error) {
	f = &flows{cfg: cfg, forget: func() {}}
	defer func(made *flows) {
		if err != nil {
			made.forget()
		}
	}(f)
	if f.clients, err = a.clientsOf(cfg); err != nil {
		return nil, err
	}
	if f.gateway, err = a.buildGateway(cfg, f); err != nil {
		return nil, err
	}
	if f.upstreams, err = a.buildUpstreams(cfg); err != nil {
		return nil, err
	}
	if f.signin, err = a.buildSignin(cfg, f); err != nil {
		return nil, err
	}
	if f.issuer, err = a.buildIssuer(cfg, f); err != nil {
		return nil, err
	}
	if f.mail, err = mailSettings(cfg); err != nil {
		return nil, err
	}
	return f, nil
}

// buildRoad makes the road, which is the same for every configuration of a
// process.
func (a *App) buildRoad(cfg *config.Loaded) (*migration.Road, error) {
	verifier := token.NewVerifier(token.VerifierOptions{
		Issuer: cfg.Issuer, AnyAudience: true, Ring: a.views.ring.Current, Revocations: a.views.revocations, Now: a.Now,
	})
	return migration.New(migration.Options{
		LeakNotifier: a.outbox, Postman: a.outbox, VerifyToken: verifier.Verify,
		Store: a.db, Rules: a.views.rules.Load, Pepper: a.data.pepper, Vouched: a.vouched.At, Now: a.Now,
		Resource: cfg.Gateway.Resource, Notifier: a.outbox, Log: a.Log, KeepPepper: a.keepPepper, Recognise: a.recognise, APIKey: a.views.apikeys.ByID, Alarm: a.outbox.TellAdmins, OwnerGone: a.ownerGone,
		Reader:        func() *apikey.Reader { return a.flows.Load().gateway.Reader },
		StageDeclared: func() bool { return a.views.file.Load().Migration.Stage != apikey.Inherit },
	})
}

// upgradePage is where callers trade an apikey in a browser, "" if they may not.
func upgradePage(cfg *config.Loaded) string {
	if cfg.Migration.Upgrade == "off" {
		return ""
	}
	return strings.TrimSuffix(cfg.Issuer, "/") + "/upgrade"
}

func (a *App) buildGateway(cfg *config.Loaded, f *flows) (*gateway.Gateway, error) {
	carriers, err := cfg.APIKeys.Carriers()
	if err != nil {
		return nil, fmt.Errorf("apikeys.where: %w", err)
	}
	reader, err := apikey.NewReader(carriers)
	if err != nil {
		return nil, fmt.Errorf("apikeys.where: %w", err)
	}
	upstreams, err := upstreamsOf(cfg, carriers)
	if err != nil {
		return nil, err
	}
	recognition, forget, err := a.recognition(cfg)
	f.forget = forget
	if err != nil {
		return nil, err
	}
	o := gateway.Options{
		Upstreams: upstreams, Resource: cfg.Gateway.Resource, Issuer: cfg.Issuer, UpgradePage: upgradePage(cfg),
		Reader: reader, Pepper: a.data.pepper, Index: a.views.apikeys, Rules: &a.views.rules,
		Verifier: token.NewVerifier(token.VerifierOptions{
			Issuer: cfg.Issuer, Audience: cfg.Gateway.Resource, Ring: a.views.ring.Current,
			Revocations: a.views.revocations, Now: a.Now, CacheSize: tokenCacheSize,
		}),
		Tally:    a.recorder.tally,
		Learning: a.learning(cfg), Recognition: recognition,
		Notice: gateway.Notice{
			Deprecated: cfg.Migration.Calendar.Deprecated.Time, Sunset: cfg.Migration.Calendar.Sunset.Time,
			Page: cmp.Or(cfg.Migration.Docs, upgradePage(cfg)),
		},
		Assertions: keyring.NewDerived(a.data.master, "what gateways say of calls", a.Now), Minter: a.minter(cfg, f),
		Unsealer: &sealer{db: a.db, master: a.data.master}, TrustedProxies: cfg.TrustedProxies, CertificateHeader: cfg.TLS.CertificateHeader,
		AsksCertificates: cfg.TLS.ClientCertificates, Replays: a.replays, Nonces: a.gatewayNonces(cfg),
		PreflightOrigins: cfg.Gateway.PreflightOrigins,
		Log:              a.Log, Metrics: a.metrics, Now: a.Now,
	}
	if o.Issuers, err = a.issuers(cfg); err != nil {
		return nil, err
	}
	if cfg.Telemetry.Access {
		o.AccessLog = a.Log
	}
	if rate := cfg.Gateway.Limits.PerClient; rate.Count > 0 {
		o.PerClient = limit.New(rate.PerSecond(), rate.Count, 100_000)
	}
	return gateway.New(o)
}

// upstreamsOf are the APIs of the file. An apikey that is put back travels
// where apikeys travel first.
func upstreamsOf(cfg *config.Loaded, carriers []apikey.Carrier) ([]gateway.Upstream, error) {
	var upstreams []gateway.Upstream
	for name, u := range cfg.Gateway.Upstreams {
		target, err := url.Parse(u.URL)
		if err != nil {
			return nil, fmt.Errorf("gateway.upstreams.%s.url: %w", name, err)
		}
		call, err := gateway.ParseTokenCall(u.TokenCall)
		if err != nil {
			return nil, fmt.Errorf("gateway.upstreams.%s: %w", name, err)
		}
		keyCall, err := gateway.ParseAPIKeyCall(u.APIKeyCall)
		if err != nil {
			return nil, fmt.Errorf("gateway.upstreams.%s: %w", name, err)
		}
		up := gateway.Upstream{
			APIKeyCall: keyCall,
			Name:       name, Hosts: u.Hosts, URL: target, OwnHost: u.Host == "upstream",
			TokenCall: call, Secret: u.Secret.Value, StripQuery: u.StripQuery,
		}
		switch {
		case u.Secret.In != "":
			if up.In, err = apikey.ParseCarrier(u.Secret.In); err != nil {
				return nil, fmt.Errorf("gateway.upstreams.%s.secret.in: %w", name, err)
			}
		case call == gateway.SendAPIKey:
			up.In = carriers[0]
		}
		if u.CAFile != "" {
			if up.RootCAs, err = certPool(cfg.Path(u.CAFile)); err != nil {
				return nil, fmt.Errorf("gateway.upstreams.%s.ca_file: %w", name, err)
			}
		}
		upstreams = append(upstreams, up)
	}
	return upstreams, nil
}

func certPool(file string) (*x509.CertPool, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}

func (a *App) buildIssuer(cfg *config.Loaded, f *flows) (*authserver.Server, error) {
	outbound := federation.Options{AllowPrivate: cfg.Outbound.AllowPrivate, CAFile: cfg.Path(cfg.Outbound.CAFile)}
	fetcher, err := federation.NewFetcher(outbound)
	if err != nil {
		return nil, err
	}
	// Issuers that an operator trusts do not wait behind slow servers that
	// strangers name as their jwks_uri, and neither do clients that are to hear of
	// a logout.
	trusted, err := federation.NewFetcher(outbound)
	if err != nil {
		return nil, err
	}
	if f.poster, err = federation.NewFetcher(outbound); err != nil {
		return nil, err
	}
	f.trust = a.federation(cfg, trusted)
	o := authserver.Options{
		Issuer: cfg.Issuer, Resource: cfg.Gateway.Resource, Resources: append(resourcesOf(cfg), a.admin.resource),
		Clients: f.clients, Spender: a.db, KeySets: federation.NewKeySets(fetcher, 1000, a.Now),
		Federation:  f.trust,
		Ring:        a.views.ring.Current,
		TokenIssuer: token.NewIssuer(cfg.Issuer, a.views.ring.Current, a.Now),
		Verifier: token.NewVerifier(token.VerifierOptions{
			Issuer: cfg.Issuer, AnyAudience: true, Ring: a.views.ring.Current,
			Revocations: a.views.revocations, Now: a.Now,
		}),
		Revocations: a.views.revocations, Revoker: a.db, APIKeyHolds: a.views.opensUpgrade,
		TokenLife: time.Duration(cfg.Tokens.Access.TTL), AssertionLife: time.Duration(cfg.Tokens.ClientAssertion.MaxLife), Now: a.Now, Log: a.Log, Metrics: a.issuing,
		Source: func(r *http.Request) netip.Addr { return f.gateway.Source(r) },
	}
	if err := a.bindTokens(cfg, f, &o); err != nil {
		return nil, err
	}
	a.letClientsRegister(cfg, fetcher, &o)
	o.ClientDocuments, o.KeepClient = f.clients.documents != nil, f.clients.keep
	a.letPeopleGrant(cfg, f, &o)
	o.Leaks, o.LeakReports, o.LeakScanning = a.road, cfg.Leaks.Report, cfg.Leaks.GitHub
	o.ScanningKey = federation.NewScanningKeys(trusted, "", a.Now).Key
	if cfg.Migration.Upgrade != "off" {
		t := &trade{road: a.road, record: a.recordUse, seal: a.sealerFor(cfg)}
		o.Registrar, o.Exchanger, o.Holders = t, t, t
	}
	return authserver.New(o)
}

// resourcesOf are the audiences that clients of the file ask for.
func resourcesOf(cfg *config.Loaded) []string {
	var all []string
	for _, c := range cfg.Clients {
		all = append(append(all, c.Resources...), c.Exchange.Resources...)
	}
	return all
}
