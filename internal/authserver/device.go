package authserver

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/authserver/grant"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/limit"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
	"github.com/offkey/offkey/internal/token"
)

// devices is the device flow and how often it may begin: a public client's can
// be begun by anybody. How many wait at one time is bounded by the grant.
type devices struct {
	grant   grant.DeviceCode
	sources *limit.Limiter
	clients *limit.Limiter
}

func newDevices(g grant.DeviceCode) *devices {
	return &devices{
		grant:   g,
		sources: limit.New(1.0/10, 20, 1<<16),
		clients: limit.New(2, 300, 1<<14),
	}
}

// allow takes one beginning of a client's flow by a source.
func (d *devices) allow(source netip.Addr, clientID string, now time.Time) error {
	ok, after := d.sources.Allow(clientauth.SourceName(source), now)
	if ok {
		ok, after = d.clients.Allow(clientID, now)
	}
	if !ok {
		return clientauth.TooMany("too many devices begin at one time: try again in %d s", after)
	}
	return nil
}

// handleDeviceAuthorize is the device authorization endpoint (RFC 8628 §3.1).
func (s *Server) handleDeviceAuthorize(w http.ResponseWriter, r *http.Request) {
	resp, err := s.startDevice(w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	writeSecret(w, http.StatusOK, resp)
}

func (s *Server) startDevice(w http.ResponseWriter, r *http.Request) (oauth.DeviceResponse, error) {
	form, err := readForm(w, r, "resource")
	if err != nil {
		return oauth.DeviceResponse{}, err
	}
	from, err := s.readSender(w, r, pathDeviceAuthorize)
	if err != nil {
		return oauth.DeviceResponse{}, err
	}
	proof := s.proof(r, form, pathDeviceAuthorize)
	who, err := s.auth.Authenticate(r.Context(), proof)
	if err != nil {
		return oauth.DeviceResponse{}, err
	}
	if err := checkMayAsk(who.Client(), oauth.GrantDeviceCode, true); err != nil {
		return oauth.DeviceResponse{}, err
	}
	now := s.options.Now()
	if err := s.device.allow(proof.Source, who.Client().ID, now); err != nil {
		return oauth.DeviceResponse{}, err
	}
	bound, err := s.bindDevice(r.Context(), who.Client(), from)
	if err != nil {
		return oauth.DeviceResponse{}, err
	}
	origin := session.Origin{Source: proof.Source, UserAgent: cleanAgent(r.UserAgent())}
	code, d, err := s.device.grant.Start(r.Context(), who, grant.Request{Form: form, Confirmation: bound, At: now}, origin)
	if err != nil {
		return oauth.DeviceResponse{}, err
	}
	page := s.endpoint(pathDevice)
	return oauth.DeviceResponse{
		DeviceCode: code.Reveal(), UserCode: d.Ask.UserCode, VerificationURI: page,
		VerificationURIComplete: page + "?user_code=" + d.Ask.UserCode, // RFC 8628 §3.3.1
		ExpiresIn:               int64(d.Expires.Sub(d.Created) / time.Second), Interval: int64(d.Interval / time.Second),
	}, nil
}

// bindDevice is what the device proved to hold when it began. Nobody has to: what
// tokens must be bound to is asked when there is one to issue.
func (s *Server) bindDevice(ctx context.Context, c *client.Client, from sender) (token.Confirmation, error) {
	if from.proof == nil && !(c.CertificateBound && len(from.certs) > 0) {
		return token.Confirmation{}, nil
	}
	bound, err := from.bind(c)
	if err != nil {
		return token.Confirmation{}, err
	}
	return bound, s.spendProof(ctx, from.proof)
}

// cleanAgent is what a program says of itself, as it may be shown to people: one
// line, and not long.
func cleanAgent(s string) string {
	const most = 120 // characters
	clean := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if runes := []rune(clean); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return clean
}
