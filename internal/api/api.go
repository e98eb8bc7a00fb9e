// Package api is the management API: JSON over HTTP under /api/v1, on a socket
// that only the user of the process and root can reach, and on the admin
// listener for those who have a token for it. Everything that the commands of
// operators and the console do, they do through it.
//
// A handler reads the request, calls one function, and writes. What stages,
// plans and inventories mean is package migration's; here is who may ask, how
// it is spelled, and what is written into the audit about it.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/internal/token"
)

// Store is what the management API asks of storage, by topic.
type Store interface {
	ClientStore
	PeopleStore
	APIKeyStore
	RuleStore
	AuditLog
	SigningStore
	TrustStore
	RegistrationTokenStore
	// Leak returns the record with that id, or leak.ErrNotFound.
	Leak(ctx context.Context, id string) (*leak.Record, error)
	Leaks(ctx context.Context, f leak.Filter) (records []*leak.Record, next string, err error)
	// Check looks whether the data file is whole.
	Check(ctx context.Context) error
}

// Options are what the management API works with. All but Bearers,
// Now and Log are needed.
type Options struct {
	Store        Store
	Road         Road
	People       *directory.Directory
	Links        Links
	Keyring      Keyring
	Config       Configuration
	Trust        Trust
	Ruleset      func() *policy.Ruleset // the rules in force
	Surroundings func() Surroundings
	Verify       func(token string) (*token.Verified, error)
	Fingerprint  func(apikey string) secret.Hash // under which an apikey is kept
	Bearers      Bearers                         // nil: nobody asks from afar
	Now          func() time.Time                // nil is time.Now
	Log          *slog.Logger                    // nil drops it
}

// Server answers the management API.
type Server struct {
	o     Options
	store Store
	now   func() time.Time
	log   *slog.Logger
}

// New makes a Server.
func New(o Options) (*Server, error) {
	for name, missing := range map[string]bool{
		"Store": o.Store == nil, "Road": o.Road == nil, "Keyring": o.Keyring == nil, "People": o.People == nil, "Links": o.Links == nil, "Config": o.Config == nil, "Trust": o.Trust == nil, "Ruleset": o.Ruleset == nil,
		"Surroundings": o.Surroundings == nil, "Verify": o.Verify == nil, "Fingerprint": o.Fingerprint == nil,
	} {
		if missing {
			return nil, errors.New("management API: Options." + name + " is missing")
		}
	}
	s := &Server{o: o, store: o.Store, now: o.Now, log: o.Log}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s, nil
}

// answer is the body of a success that is not 200.
type answer struct {
	status int
	body   any
}

// endpoint is one thing that can be asked.
type endpoint struct {
	pattern string // of http.ServeMux, below /api/v1
	serve   func(r *http.Request) (any, error)
}

// endpoints is the table of contents.
func (s *Server) endpoints() []endpoint {
	return []endpoint{
		{"GET /status", s.status},
		{"GET /burn-down", s.burnDown},
		{"GET /report", s.report},
		{"GET /calls", s.calls},
		{"GET /doctor", s.examine},

		{"GET /apikeys", s.listAPIKeys},
		{"GET /apikeys/{id}", s.showAPIKey},
		{"POST /apikeys/lookup", s.lookUpAPIKey},
		{"POST /apikeys/import", s.importAPIKeys},
		{"POST /apikeys/map", s.mapAPIKeys},
		{"PATCH /apikeys", s.describeAPIKeys},
		{"POST /apikeys/{id}/map", s.mapAPIKey},
		{"POST /apikeys/{id}/extend", s.extendAPIKey},
		{"POST /apikeys/{id}/revoke", s.revokeAPIKey},
		{"POST /apikeys/{id}/block", s.blockAPIKey},

		{"GET /leaks", s.listLeaks},
		{"POST /leaks", s.openLeak},
		{"GET /leaks/{id}", s.showLeak},
		{"POST /leaks/{id}/close", s.closeLeak},
		{"GET /scan", s.scanEnds},
		{"POST /scan", s.identify},

		{"GET /clients", s.listClients},
		{"POST /clients", s.createClient},
		{"GET /clients/{id}", s.showClient},
		{"PATCH /clients/{id}", s.updateClient},
		{"DELETE /clients/{id}", s.deleteClient},
		{"POST /clients/{id}/rotate", s.rotateClient},
		{"POST /clients/{id}/approve", s.approveClient},
		{"POST /clients/{id}/disable", s.disableClient},
		{"POST /clients/{id}/enable", s.enableClient},
		{"POST /clients/{id}/keys", s.addClientKeys},
		{"POST /clients/{id}/revoke", s.revokeClient},
		{"DELETE /clients/{id}/credentials/{credential}", s.deleteCredential},

		{"GET /registration-tokens", s.listRegistrationTokens},
		{"POST /registration-tokens", s.createRegistrationToken},
		{"DELETE /registration-tokens/{id}", s.revokeRegistrationToken},

		{"GET /trust", s.listTrust},
		{"POST /trust", s.addTrust},
		{"POST /trust/test", s.testTrust},
		{"GET /trust/{id}", s.showTrust},
		{"DELETE /trust/{id}", s.removeTrust},
		{"POST /trust/{id}/disable", s.disableTrust},
		{"POST /trust/{id}/enable", s.enableTrust},

		{"GET /people", s.listPeople},
		{"POST /people", s.createPerson},
		{"POST /people/invite", s.invitePerson},
		{"POST /people/import", s.importPeople},
		{"GET /people/{id}", s.showPerson},
		{"PATCH /people/{id}", s.updatePerson},
		{"DELETE /people/{id}", s.deletePerson},
		{"POST /people/{id}/disable", s.disablePerson},
		{"POST /people/{id}/enable", s.enablePerson},
		{"POST /people/{id}/reset-mfa", s.resetMFA},
		{"POST /people/{id}/reset-password", s.resetPassword},
		{"POST /people/{id}/revoke", s.revokePerson},
		{"GET /people/{id}/sessions", s.listSessions},
		{"DELETE /people/{id}/sessions/{session}", s.endSession},
		{"GET /groups", s.listGroups},
		{"PUT /groups/{name}", s.setGroup},
		{"DELETE /groups/{name}", s.deleteGroup},
		{"POST /revoke-all", s.revokeAll},
		{"GET /service-name", s.showServiceName},
		{"PUT /service-name", s.setServiceName},

		{"GET /routes", s.listRoutes},
		{"PUT /routes", s.setRoute},
		{"DELETE /routes", s.unsetRoute},
		{"POST /routes/enforce", s.enforce},
		{"POST /routes/test", s.testRoute},
		{"GET /scopes", s.listScopeWords},
		{"PUT /scopes", s.describeScope},
		{"POST /scopes/design", s.designScopes},
		{"POST /scopes/infer", s.inferScopes},
		{"POST /observe/open", s.openLog},
		{"POST /observe/read", s.readLog},
		{"POST /plan", s.plan},
		{"POST /stage", s.setStage},
		{"POST /notify", s.notifyOwners},
		{"GET /cohorts", s.listCohorts},
		{"GET /calendar", s.showCalendar},
		{"DELETE /calendar/steps/{id}", s.cancelStep},
		{"POST /calendar/pause", s.pause},
		{"POST /calendar/resume", s.resume},
		{"PUT /calendar/freeze", s.freeze},
		{"PUT /calendar/guards", s.setGuards},
		{"PUT /calendar/self-extension", s.setSelfExtension},
		{"GET /brownouts", s.listBrownouts},
		{"POST /brownouts", s.scheduleBrownout},
		{"POST /brownouts/cancel", s.cancelBrownout},
		{"GET /exceptions", s.listExceptions},
		{"POST /clients/{id}/widen", s.widenClient},
		{"PUT /cohorts/{name}", s.setCohort},
		{"DELETE /cohorts/{name}", s.deleteCohort},

		{"GET /audit", s.listAudit},
		{"GET /audit/verify", s.verifyAudit},
		{"GET /signing", s.listSigning},
		{"POST /signing/rotate", s.rotateSigning},
		{"POST /signing/{kid}/drop", s.dropSigning},
		{"GET /config", s.showConfig},
		{"POST /config/reload", s.reloadConfig},
	}
}

// requestTimeout bounds one request; a plan over months of traffic takes
// seconds.
const requestTimeout = 2 * time.Minute

// Remote serves /api/v1 to whoever sends a token for it.
func (s *Server) Remote() http.Handler {
	next := s.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := s.admitBearer(r)
		if err != nil {
			s.writeProblem(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// Handler serves /api/v1 to connections that ConnContext has vouched for, and
// to requests that As has.
func (s *Server) Handler() http.Handler {
	mux, known := http.NewServeMux(), http.NewServeMux()
	methods := map[string][]string{}
	for _, e := range s.endpoints() {
		method, path, _ := strings.Cut(e.pattern, " ")
		methods[path] = append(methods[path], method)
		mux.HandleFunc(method+" /api/v1"+path, s.handle(e))
	}
	for path, allowed := range methods {
		slices.Sort(allowed)
		known.HandleFunc("/api/v1"+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			s.writeProblem(w, r, problem(http.StatusMethodNotAllowed, "method_not_allowed", "", "%s is not for this, but %s", r.Method, strings.Join(allowed, ", ")))
		})
	}
	known.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.writeProblem(w, r, problem(http.StatusNotFound, "not_found", "the management API is under /api/v1; is the command of another release than the server?", "%s names nothing here", r.URL.Path))
	})
	mux.Handle("/", known)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := actorOf(r.Context()); err != nil {
			s.writeProblem(w, r, problem(http.StatusForbidden, "forbidden", "", "%v", err))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		mux.ServeHTTP(w, r.WithContext(ctx))
	})
}

// handle makes an http.HandlerFunc of what returns its answer.
func (s *Server) handle(e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := s.checkScope(r, e.pattern); err != nil {
			s.writeProblem(w, r, err)
			return
		}
		body, err := e.serve(r)
		if err != nil {
			s.writeProblem(w, r, err)
			return
		}
		if a, ok := body.(answer); ok {
			write(w, "application/json", a.status, a.body)
			return
		}
		write(w, "application/json", http.StatusOK, body)
	}
}

// event describes a change that r makes.
func event(r *http.Request, action, object string, detail any) audit.Event {
	actor, _ := actorOf(r.Context()) // Handler lets nobody in without
	return audit.Event{Actor: actor, Action: action, Object: object, Detail: detail}
}
