package resourceserver

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// Demand is what a handler asks of a token.
type Demand func(*demands)

type demands struct {
	scopes oauth.Scope
	acr    []string
	maxAge time.Duration
	dpop   bool
}

// Scopes asks for all of these scopes.
func Scopes(names ...string) Demand {
	return func(d *demands) { d.scopes = append(d.scopes, names...) }
}

// SignedIn asks that the token's person has signed in in one of these ways (acr), if
// any is given, and no longer than maxAge ago, if it is not zero (RFC 9470).
func SignedIn(maxAge time.Duration, acr ...string) Demand {
	return func(d *demands) { d.maxAge, d.acr = maxAge, append(d.acr, acr...) }
}

// DPoP asks that the token is bound to a key (RFC 9449).
func DPoP() Demand { return func(d *demands) { d.dpop = true } }

// Protect runs next for callers whose token holds and meets the demands. Its context
// has the [Caller].
func (a *API) Protect(next http.Handler, asked ...Demand) http.Handler {
	d := demands{dpop: a.config.RequireDPoP}
	for _, demand := range asked {
		demand(&d)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, err := a.identify(w, r, &d)
		if err == nil && caller != nil {
			err = d.metBy(caller, a.config.Now())
		}
		switch {
		case err != nil:
			a.refuse(w, r, &d, err)
		case caller != nil: // nil: answered already
			keepPrivate(w.Header())
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
		}
	})
}

// ProtectFunc is Protect for a function.
func (a *API) ProtectFunc(next http.HandlerFunc, asked ...Demand) http.Handler {
	return a.Protect(next, asked...)
}

// keepPrivate: the answer depends on who calls (RFC 9111 §5.2.2.7).
func keepPrivate(h http.Header) {
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "private")
	}
}

// identify finds out who calls.
func (a *API) identify(w http.ResponseWriter, r *http.Request, d *demands) (*Caller, error) {
	lines := r.Header["Authorization"]
	if a.gateway != nil && len(r.Header[headerAssertion]) > 0 {
		return a.fromGateway(r)
	}
	if len(lines) > 1 {
		return nil, oauth.InvalidRequest("the request has more than one Authorization header")
	}
	scheme, raw := "", ""
	if len(lines) == 1 {
		scheme, raw, _ = strings.Cut(strings.TrimSpace(lines[0]), " ")
		raw = strings.TrimSpace(raw)
	}
	switch {
	case strings.EqualFold(scheme, oauth.TokenTypeBearer) && raw != "":
		return a.fromToken(r, raw, false)
	case strings.EqualFold(scheme, oauth.TokenTypeDPoP) && raw != "":
		return a.fromToken(r, raw, true)
	case a.config.APIKeys == nil || !a.config.APIKeys(r):
		return nil, errMissing
	case a.config.Offkey == "":
		return &Caller{Credential: ofAPIKey}, nil
	}
	return a.fromOffkey(w, r)
}

// errMissing is answered without a code: who sends no token is told where to get one
// and nothing else (RFC 6750 §3.1).
var errMissing = errors.New("no access token")

var errForeign = oauth.InvalidToken("the token is of another issuer than the one of this API")

// fromToken checks an access token and that whoever sends it holds what it is bound
// to (RFC 9449 §7.1, §7.2; RFC 8705 §3).
func (a *API) fromToken(r *http.Request, raw string, asDPoP bool) (*Caller, error) {
	verified, err := a.verifier.Verify(r.Context(), raw)
	switch {
	case errors.Is(err, token.ErrForeign):
		return nil, errForeign
	case err != nil:
		return nil, err
	}
	bound := verified.Confirmation()
	switch {
	case asDPoP && bound.JKT == "":
		return nil, oauth.InvalidToken("the access token is not bound to a DPoP key: send it as Bearer")
	case asDPoP:
		err = a.checkProof(r, raw, bound.JKT)
	case bound.JKT != "":
		return nil, oauth.InvalidToken("the access token is bound to a DPoP key: send it under the scheme DPoP, with a proof").WithScheme(oauth.TokenTypeDPoP)
	case bound.X5TS256 != "":
		err = a.checkCertificate(r, bound.X5TS256)
	}
	if err != nil {
		return nil, err
	}
	claims, login := verified.Claims(), verified.Login()
	return &Caller{
		ClientID: claims.ClientID, Subject: claims.Subject, Scopes: slices.Clone(claims.Scope), TokenID: claims.ID, Credential: "token:" + claims.ID,
		Expires: claims.Expires, ACR: login.ACR, AuthTime: login.AuthTime, Bound: bound.Bound(),
	}, nil
}

// checkProof: the proof is for this request, at the URL that the API is known by,
// and was not used before (RFC 9449 §4.3, §7.1).
func (a *API) checkProof(r *http.Request, raw, jkt string) error {
	now := a.config.Now()
	proof, err := token.CheckProof(r.Header["Dpop"], token.ProofRequest{
		Method: r.Method, URL: a.origin + r.URL.EscapedPath(), AccessToken: raw, JKT: jkt, At: now,
	})
	if err != nil {
		return err
	}
	if fresh, room := a.replays.Spend(proof, now); !fresh || !room {
		return oauth.InvalidDPoPProof("this DPoP proof was used before: make a new one with a new jti for each request")
	}
	return nil
}

// checkCertificate: the caller's certificate is the one that the token is bound to
// (RFC 8705 §3).
func (a *API) checkCertificate(r *http.Request, x5t string) error {
	var ders [][]byte
	switch {
	case a.config.Certificates != nil:
		ders = a.config.Certificates(r)
	case r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		ders = [][]byte{r.TLS.PeerCertificates[0].Raw}
	}
	if len(ders) == 0 || token.CertificateThumbprint(ders[0]) != x5t {
		return oauth.InvalidToken("the access token is bound to another TLS certificate than that of this connection")
	}
	return nil
}

// stepUp is a refusal that a stronger or newer sign-in ends (RFC 9470 §3).
type stepUp struct{}

func (stepUp) Error() string {
	return "the person of the token has to sign in again, as acr_values and max_age say"
}

// ofAPIKey is, or begins, the Credential of callers with an API key.
const ofAPIKey = "apikey"

// metBy is what the caller lacks. Demands that mean a new token come before scopes,
// which come with it.
func (d *demands) metBy(c *Caller, now time.Time) error {
	switch {
	case strings.HasPrefix(c.Credential, ofAPIKey):
		return nil // API keys have no scopes: whoever let it pass has judged it
	case d.dpop && !c.Bound:
		return oauth.InvalidToken("this takes tokens that are bound to a DPoP key alone").WithScheme(oauth.TokenTypeDPoP)
	case len(d.acr) > 0 && !slices.Contains(d.acr, c.ACR),
		d.maxAge > 0 && (c.AuthTime.IsZero() || now.Sub(c.AuthTime) > d.maxAge):
		return stepUp{}
	case !oauth.Scope(c.Scopes).Covers(d.scopes):
		return oauth.InsufficientScope("the access token lacks a scope")
	}
	return nil
}

// refuse answers with a challenge (RFC 6750 §3, RFC 9728 §5.1).
func (a *API) refuse(w http.ResponseWriter, r *http.Request, d *demands, err error) {
	ch := oauth.Challenge{Scheme: oauth.TokenTypeBearer, ResourceMetadata: a.metadata}
	status, detail := http.StatusUnauthorized, "An access token is needed."
	var e *oauth.Error
	switch {
	case errors.Is(err, errMissing):
		if d.dpop {
			ch.Scheme = oauth.TokenTypeDPoP
		}
	case errors.Is(err, stepUp{}):
		ch.Error, ch.Description = "insufficient_user_authentication", err.Error()
		detail = err.Error()
		if len(d.acr) > 0 {
			ch.Extra = append(ch.Extra, oauth.Attribute{Name: "acr_values", Value: strings.Join(d.acr, " ")})
		}
		if d.maxAge > 0 {
			ch.Extra = append(ch.Extra, oauth.Attribute{Name: "max_age", Value: strconv.FormatInt(int64(d.maxAge/time.Second), 10)})
		}
	case errors.As(err, &e):
		ch.Error, ch.Description, detail = e.Code, e.Description, e.Description
		ch.Scheme = cmp.Or(e.Scheme, ch.Scheme)
		switch e.Code {
		case oauth.CodeInsufficientScope:
			status, ch.Scope = http.StatusForbidden, d.scopes
		case oauth.CodeInvalidRequest:
			status = http.StatusBadRequest
		case oauth.CodeInvalidDPoPProof:
			ch.Scheme = oauth.TokenTypeDPoP
		}
	default: // ours: the token may be good
		writeProblem(w, http.StatusServiceUnavailable, "temporarily_unavailable", "The access token cannot be checked now. Try again.")
		return
	}
	if ch.Scheme == oauth.TokenTypeDPoP {
		ch.Extra = append(ch.Extra, oauth.Attribute{Name: "algs", Value: strings.Join(proofAlgorithms, " ")})
	}
	w.Header().Set("WWW-Authenticate", ch.String())
	writeProblem(w, status, cmp.Or(ch.Error, "credential_missing"), detail)
}
