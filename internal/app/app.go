// Package app builds the process from its configuration: the store, the views
// that calls read, the flows, the listeners, the background jobs; and takes it
// down again. It is the one place that knows every part; what the parts do is
// theirs.
package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offkey/offkey/internal/api"
	"github.com/offkey/offkey/internal/authserver"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/gateway"
	"github.com/offkey/offkey/internal/keyring"
	"github.com/offkey/offkey/internal/migration"
	"github.com/offkey/offkey/internal/notify"
	"github.com/offkey/offkey/internal/store"
	"github.com/offkey/offkey/internal/token"
	"github.com/offkey/offkey/internal/traffic"
	"github.com/prometheus/client_golang/prometheus"
)

// Options are what a process gets besides its configuration.
type Options struct {
	Log     *slog.Logger
	Version string
	// Read gives the configuration anew for a reload; nil where there is no
	// file.
	Read func() (*config.Loaded, error)
	Now  func() time.Time // nil: time.Now
	// Socket is where operators' commands reach the process, "" for its place in
	// the data directory.
	Socket string
}

// App is a running offkey.
type App struct {
	Options
	data      *dataDir
	db        *store.DB
	views     *views
	recorder  *recorder
	mtlsPort  string            // of the mtls listener, "" if it is off
	replays   *token.Replays    // DPoP proofs seen by the gateways of the process
	nonces    *token.Nonces     // of the gateways of the process
	vouched   gateway.Vouched   // by every configuration of the process
	hashes    *directory.Hasher // of apikeys, as others made them
	outbox    *notify.Outbox
	certs     *certificate // nil without TLS
	health    health
	metrics   *prometheus.Registry
	addresses Addresses

	admin   *admin
	issuing *authserver.Metrics
	road    *migration.Road
	flows   atomic.Pointer[flows]
	calls   []*http.Server // for callers
	watch   []*http.Server // for operators and their tools, who watch it stop
	jobs    *jobs
	failed  chan error
	running sync.WaitGroup
	reload  sync.Mutex // one at a time
}

// Start opens everything and serves on the listeners, which it owns from then
// on if it succeeds. It returns when the process is ready to take calls.
func Start(ctx context.Context, cfg *config.Loaded, l *Listeners, o Options) (*App, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &App{Options: o, metrics: newMetrics(), issuing: authserver.NewMetrics(), failed: make(chan error, 8)}
	a.hashes = directory.NewHasher(1)
	a.replays, a.nonces = token.NewReplays(), token.NewNonces([]byte(rand.Text()))
	a.metrics.MustRegister(a.issuing.Collectors()...)
	a.admin = newAdmin(cfg, l, o.Now())
	if l.MTLS != nil {
		_, a.mtlsPort, _ = net.SplitHostPort(l.MTLS.Addr().String())
	}
	for _, step := range []func() error{
		func() error { return a.open(ctx, cfg) },
		func() error { return a.begin(cfg) },
		func() error { return a.serve(cfg, l) },
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, a.close())
		}
	}
	return a, nil
}

// open opens what is kept and fills the views from it.
func (a *App) open(ctx context.Context, cfg *config.Loaded) (err error) {
	if cfg.TLS.Mode == "files" {
		a.certs = new(certificate)
		if err := a.certs.load(cfg, a.Now()); err != nil {
			return err
		}
	}
	if a.data, err = openDataDir(cfg); err != nil {
		return err
	}
	a.db, err = store.Open(ctx, store.Options{
		DSN: cfg.StorageDSN(), Now: a.Now, Log: a.Log,
		// Not the ttl of the file: exchanged tokens may live longer, a reload can
		// change it, and tokens are out from before the start.
		TokenLife: config.LongestTTL + time.Minute,
	})
	if err != nil {
		return err
	}
	if err := a.checkPepper(ctx); err != nil {
		return err
	}
	ring := keyring.New(a.db, a.data.master, keyring.Options{
		Alg: cfg.Signing.Alg, RotateEvery: time.Duration(cfg.Signing.RotateEvery),
		PublishAhead: time.Duration(cfg.Signing.PublishAhead), KeepAfter: time.Duration(cfg.Signing.KeepAfter),
	}, a.Now)
	a.views = newViews(a.db, a.data.master, ring, cfg, a.Log, a.Now)
	a.recorder = &recorder{tally: traffic.NewTally(), db: a.db}
	if err := a.views.load(ctx); err != nil {
		return err
	}
	a.db.Subscribe(a.views.renew)
	if err := a.openOutbox(cfg); err != nil {
		return err
	}
	a.views.people.Teller, a.views.people.Words = a.outbox, a.wordsOfThePlace
	if a.road, err = a.buildRoad(cfg); err != nil {
		return err
	}
	a.recorder.count = a.road.Count
	if err := ring.Tend(ctx); err != nil {
		return err
	}
	declared, err := a.readDeclared(ctx, cfg)
	if err != nil {
		return err
	}
	return a.declare(ctx, declared)
}

// checkPepper refuses a pepper that the apikeys in the store were not
// fingerprinted with: every one of them would look unknown.
func (a *App) checkPepper(ctx context.Context) error {
	kept, err := a.db.Identify(ctx, "pepper", a.data.pepperID)
	if err != nil {
		return fmt.Errorf("check the pepper: %w", err)
	}
	if kept != a.data.pepperID {
		return errors.New("the pepper is not the one that this database was made with, so none of its apikeys would be recognised; put pepper.key back from your backup, or set secrets.pepper to it")
	}
	return nil
}

// begin makes the first flows.
func (a *App) begin(cfg *config.Loaded) error {
	f, err := a.buildFlows(cfg)
	if err != nil {
		return err
	}
	a.use(f)
	return nil
}

// use lets calls in on the flows. What the ones before counted is stored.
func (a *App) use(f *flows) {
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	a.outbox.Use(f.mail)
	a.running.Go(func() {
		f.gateway.Run(ctx)
		f.forget()
	})
	before := a.flows.Swap(f)
	if before == nil {
		return
	}
	before.stop()
	before.gateway.CloseIdleConnections()
	if err := before.issuer.FlushUsage(ctx, a.db); err != nil {
		a.Log.Error("when credentials were last used is not stored", "error", err)
	}
}

// serve starts the listeners and the jobs.
func (a *App) serve(cfg *config.Loaded, l *Listeners) error {
	socket, err := api.Listen(cmp.Or(a.Socket, SocketPath(a.data.path)))
	if err != nil {
		return err
	}
	https := scheme(cfg)
	a.addresses = Addresses{
		Gateway: URLOf(l.Gateway, https), Issuer: URLOf(l.Issuer, https),
		Console: a.admin.url, Ops: URLOf(l.Ops, "http"), Data: a.data.path,
	}
	if err := a.makeSetupLink(); err != nil {
		return errors.Join(err, socket.Close())
	}
	a.health.checks = []check{
		{"storage", func(ctx context.Context) error { _, err := a.db.AuditHead(ctx); return err }},
		{"signing key", func(context.Context) error { _, err := a.views.ring.Current().Signer(a.Now()); return err }},
		{"views", func(context.Context) error {
			if a.views.stale.Load() {
				return errors.New("a stored change is not yet in force")
			}
			return nil
		}},
	}
	calls := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.flows.Load().gateway.ServeHTTP(w, r) })
	issuing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.flows.Load().issue(w, r) })
	a.listen(&a.calls, "gateway", gateway.NewServer(a.overTLS(calls), a.Log), a.guarded(cfg, l.Gateway))
	a.listen(&a.calls, "issuer", plainServer(issuing, a.Log), a.encrypted(l.Issuer))
	if l.MTLS != nil {
		a.addresses.MTLS = URLOf(l.MTLS, "https")
		a.listen(&a.calls, "mtls", plainServer(issuing, a.Log), tls.NewListener(l.MTLS, a.certs.asking()))
	}
	a.listen(&a.watch, "ops", plainServer(opsHandler(&a.health, a.metrics), a.Log), l.Ops)
	management, err := a.managementAPI()
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	pages, err := a.buildConsole(management)
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	a.listen(&a.watch, "admin", plainServer(a.adminHandler(management, pages.Handler()), a.Log), l.Admin)
	server := plainServer(management.Handler(), a.Log)
	server.ConnContext = api.ConnContext
	a.listen(&a.watch, "socket", server, socket)
	a.startJobs()
	return nil
}

func (a *App) startJobs() {
	a.jobs = startJobs(a.Log,
		job{"store counted calls", 500 * time.Millisecond, a.recorder.Flush},
		job{"store last uses", 5 * time.Second, func(ctx context.Context) error { return a.flows.Load().issuer.FlushUsage(ctx, a.db) }},
		job{"renew views", 500 * time.Millisecond, a.views.repair},
		job{"tend the campaign", time.Second, a.leading("campaign", a.road.Tend)},
		job{"deliver mail", 2 * time.Second, a.outbox.Deliver},
		job{"deliver webhooks", 2 * time.Second, a.outbox.DeliverHooks},
		job{"tend signing keys", time.Minute, a.views.ring.Tend},
		job{"make signing keys", 200 * time.Millisecond, a.views.ring.TendWanted},
		job{"tell clients of logouts", time.Second, a.leading("logouts", a.tellLogouts)},
		job{"clean", 15 * time.Second, a.clean},
	)
}

// clean forgets what has had its time, in batches until there is no more: what
// comes in a busy quarter of a minute must go in one.
func (a *App) clean(ctx context.Context) error {
	const batch = 2000
	a.views.revocations.Prune(a.Now())
	return a.leading("clean", func(ctx context.Context) error {
		for ctx.Err() == nil {
			if n, err := a.db.Clean(ctx, a.Now(), batch); err != nil || n < batch {
				return err
			}
		}
		return nil
	})(ctx)
}

// listen serves until the server is shut down; any other end is a failure of
// the process.
func (a *App) listen(among *[]*http.Server, name string, s *http.Server, l net.Listener) {
	*among = append(*among, s)
	a.running.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.failed <- fmt.Errorf("the %s listener ended: %w", name, err)
		}
	})
}

// guarded is the gateway's listener: each connection's bytes are looked at
// before net/http parses them.
func (a *App) guarded(cfg *config.Loaded, l net.Listener) net.Listener {
	refused := func(code string, peer net.Addr) {
		a.Log.Warn("a request was refused before it was parsed", "code", code, "peer", peer.String())
	}
	switch {
	case a.certs == nil:
	case cfg.TLS.ClientCertificates:
		return gateway.GuardTLSListener(l, a.certs.asking(), handshakeTimeout, refused)
	default:
		return gateway.GuardTLSListener(l, a.certs.config(), handshakeTimeout, refused)
	}
	return gateway.GuardListener(l, refused)
}

// Addresses are where the process can be reached.
func (a *App) Addresses() Addresses { return a.addresses }

// Failed tells when a listener has ended by itself.
func (a *App) Failed() <-chan error { return a.failed }

// Flush stores the calls counted so far.
func (a *App) Flush(ctx context.Context) error { return a.recorder.Flush(ctx) }

// Stop lets calls under way finish until ctx ends, stores what was counted and
// closes everything. /readyz says so as long as it lasts.
func (a *App) Stop(ctx context.Context) error {
	a.health.draining.Store(true)
	return errors.Join(drain(ctx, a.calls), drain(ctx, a.watch), a.close())
}

// drain takes no more calls and waits for those under way.
func drain(ctx context.Context, servers []*http.Server) error {
	var drained sync.WaitGroup
	errs := make([]error, len(servers))
	for i, s := range servers {
		drained.Go(func() {
			if errs[i] = s.Shutdown(ctx); errs[i] != nil {
				errs[i] = errors.Join(fmt.Errorf("calls were still under way: %w", errs[i]), s.Close())
			}
		})
	}
	drained.Wait()
	return errors.Join(errs...)
}

// close ends what open and serve began, as far as they came.
func (a *App) close() error {
	var errs []error
	f := a.flows.Load()
	if f != nil {
		f.stop()
	}
	for _, s := range slices.Concat(a.calls, a.watch) {
		errs = append(errs, s.Close())
	}
	if a.jobs != nil {
		a.jobs.stop()
	}
	a.running.Wait()
	if f != nil {
		f.gateway.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		errs = append(errs, a.recorder.Flush(ctx), f.issuer.FlushUsage(ctx, a.db))
	}
	if a.db != nil {
		errs = append(errs, a.db.Close())
	}
	return errors.Join(errs...)
}
