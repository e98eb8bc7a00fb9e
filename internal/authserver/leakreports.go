package authserver

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"time"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/leak"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/oauth"
)

// LeakDesk takes reports of leaked credentials.
type LeakDesk interface {
	// TakeReports puts those that are ours on record, stops them where block says
	// so, and tells their owners. The answers say which were ours.
	TakeReports(ctx context.Context, by string, from netip.Addr, reports []leak.Reported, block bool) (ours []bool, err error)
}

// What becomes of a report.
const (
	ReportsOff   = "off" // nobody reports, and so does the zero value
	ReportsTell  = "tell"
	ReportsBlock = "block"
)

// Bounds of the public endpoint. Whoever can guess apikeys could stop others'
// with it: few at a time, from few places at once.
const (
	maxReported    = 20
	reportsAtOnce  = 4
	reportPause    = 250 * time.Millisecond
	reportDeadline = 20 * time.Second
)

// leakDoors are the endpoints for reports of leaks.
type leakDoors struct {
	bySource *limit.Limiter
	all      *limit.Limiter
	running  chan struct{}
}

func newLeakDoors() leakDoors {
	return leakDoors{
		bySource: limit.New(60.0/3600, 20, 1<<14), all: limit.New(2, 60, 16), running: make(chan struct{}, reportsAtOnce),
	}
}

func takesReports(setting string) bool { return setting == ReportsTell || setting == ReportsBlock }

// leakReport is what whoever found something says.
type leakReport struct {
	Credentials []string `json:"credentials"`
	Where       string   `json:"where"`
}

// handleLeakReport takes reports from anybody. Its answer is the same at the
// same time whether a credential is known here or not: it must not become a way
// to try them.
func (s *Server) handleLeakReport(w http.ResponseWriter, r *http.Request) {
	received, err := s.takeLeakReport(w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeSecret(w, http.StatusAccepted, struct {
		Received int `json:"received"`
	}{received})
}

func (s *Server) takeLeakReport(w http.ResponseWriter, r *http.Request) (int, error) {
	began := time.Now()
	source := s.options.Source(r)
	if ok, after := s.leaks.bySource.Allow(clientauth.SourceName(source), s.options.Now()); !ok {
		return 0, clientauth.TooMany("too many reports come from this address: try again in %d s", after)
	}
	if ok, after := s.leaks.all.Allow("all", s.options.Now()); !ok {
		return 0, clientauth.TooMany("too many reports come in: try again in %d s", after)
	}
	report, err := readLeakReport(w, r)
	if err != nil {
		return 0, err
	}
	reports := make([]leak.Reported, len(report.Credentials))
	for i, c := range report.Credentials {
		reports[i] = leak.Reported{Credential: c, Where: report.Where}
	}
	select {
	case s.leaks.running <- struct{}{}:
		defer func() { <-s.leaks.running }()
	default:
		return 0, oauth.TemporarilyUnavailable("too many reports at once: try again")
	}
	// Whoever hangs up does not stop what was begun.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), reportDeadline)
	defer cancel()
	_, err = s.options.Leaks.TakeReports(ctx, leak.ByReport, source, reports, s.options.LeakReports == ReportsBlock)
	waitUntil(r.Context(), began.Add(reportPause))
	if err != nil {
		return 0, oauth.TemporarilyUnavailable("the report could not be taken: try again").WithCause(err)
	}
	return len(reports), nil
}

// waitUntil returns at that time, or when nobody waits any more.
func waitUntil(ctx context.Context, at time.Time) {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func readLeakReport(w http.ResponseWriter, r *http.Request) (leakReport, error) {
	var report leakReport
	if mediaType(r) != "application/json" {
		return report, oauth.InvalidRequest("the body must be application/json, and Content-Type must say so")
	}
	body, err := readBody(w, r)
	if err != nil {
		return report, err
	}
	if err := json.Unmarshal(body, &report); err != nil {
		return report, oauth.InvalidRequest(`the body must be {"credentials": ["…"], "where": "URL"}`).WithCause(err)
	}
	switch n := len(report.Credentials); {
	case n == 0:
		return report, oauth.InvalidRequest("credentials is empty: name what was found")
	case n > maxReported:
		return report, oauth.InvalidRequest("at most 20 credentials are taken at a time")
	}
	return report, nil
}
