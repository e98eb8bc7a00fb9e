package policy

import (
	"cmp"
	"net/http"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/oauth"
)

// Kind is what a call proved about who makes it.
type Kind uint8

const (
	// Nobody sent no credential that offkey reads.
	Nobody Kind = iota
	// KnownAPIKey sent one apikey that offkey knows.
	KnownAPIKey
	// UnknownAPIKey sent one apikey that offkey does not know.
	UnknownAPIKey
	// TokenClient sent a verified access token.
	TokenClient
	// BadToken sent a token of a trusted issuer that does not hold.
	BadToken
	// ForeignToken sent a bearer token that no trusted issuer made.
	ForeignToken
)

// Principal is who makes a call, as far as it is proven. The zero Principal is
// nobody.
type Principal struct {
	Kind     Kind
	ID       string       // apikey id, or client id of a token
	ClientID string       // the client that an apikey is mapped to, or the token's
	Stage    apikey.Stage // the apikey's own stage
	APIKey   *apikey.Key  // the apikey; nil where offkey does not know it
	Scope    oauth.Scope  // of the token
	DPoP     bool         // the token is bound to a key, which the caller has proved
	ACR      string       // of the token's person; "" without one
	AuthTime time.Time    // when that person signed in; zero without one
	// Bad is the code of a BadToken; "" is CodeInvalidToken.
	Bad string
	// Exchanged tokens stand for an apikey, whose stage is Stage: they fall
	// with it.
	Exchanged bool
	// Fault is a credential rule that the call breaks whoever makes it:
	// CodeCredentialConflict or CodeCredentialDuplicate.
	Fault string
}

// OfAPIKey is who calls with that apikey and no other credential; nil is an
// apikey that offkey does not know. One that its source no longer has counts as
// unknown, unless its own stage refuses it in any case.
func OfAPIKey(k *apikey.Key) Principal {
	if k == nil || k.Disowned() && (k.Stage == apikey.Inherit || k.Stage.Passes()) {
		return Principal{Kind: UnknownAPIKey}
	}
	return Principal{Kind: KnownAPIKey, ID: k.ID, ClientID: k.ClientID, Stage: k.Stage, APIKey: k}
}

// OfExchangedToken is who calls with a token that an apikey was exchanged for;
// from is that apikey, nil if it is gone. One that the API refuses carries no
// token either.
func OfExchangedToken(clientID string, scope oauth.Scope, from *apikey.Key) Principal {
	p := Principal{Kind: TokenClient, ID: clientID, ClientID: clientID, Scope: scope, Exchanged: true, Stage: apikey.Blocked}
	if from != nil && !from.Suspended {
		p.Stage, p.APIKey = from.Stage, from
	}
	return p
}

// Call is one call as judged.
type Call struct {
	Method  string
	Path    string // canonical
	Problem string // why the strict rules refuse the request, or ""
	At      time.Time
}

// The codes of a Decision. Codes of refusals are stable: each has a page in
// docs/errors.
const (
	CodeNotEnforced = "not_enforced"
	CodeOpenRoute   = "open_route"
	CodeAPIKey      = "apikey"
	CodeUnverified  = "apikey_unverified" // the API itself judges it
	CodeToken       = "token"

	CodeAPIKeyBrownout    = "apikey_brownout"
	CodeAPIKeyUpgradeOnly = "apikey_upgrade_only"
	CodeAPIKeyRetired     = "apikey_retired"
	CodeAPIKeyBlocked     = "apikey_blocked"
	CodeAPIKeyUnknown     = "apikey_unknown"
	CodeAPIKeyNew         = "apikey_new_refused"

	CodeCredentialMissing   = "credential_missing"
	CodeCredentialConflict  = "credential_conflict"
	CodeCredentialDuplicate = "credential_duplicate"
	CodeInvalidToken        = "invalid_token"
	CodeForeignToken        = "token_foreign"
	CodeInvalidProof        = "invalid_dpop_proof"
	CodeUseNonce            = "use_dpop_nonce"
	CodeInsufficientScope   = "insufficient_scope"
	CodeDPoPRequired        = "dpop_required"
	CodeStepUp              = "insufficient_user_authentication"
	CodeUnknownRoute        = "unknown_route"
	CodeAmbiguousRequest    = "ambiguous_request"
)

// Decision is the answer to one call.
type Decision struct {
	Allow  bool
	Code   string
	Status int          // of a refusal, else 0
	Route  *Route       // nil when no rule matched
	Stage  apikey.Stage // that held for the apikey, Inherit without one
	// Shadow is the code with which the call, though it passes, would be
	// refused by a rule that is counted and not yet enforced, or "".
	Shadow string
	// Announce asks for the deprecation headers on the answer.
	Announce bool
}

// Denied reports whether the call is refused.
func (d Decision) Denied() bool { return !d.Allow }

func allow(code string) Decision            { return Decision{Allow: true, Code: code} }
func deny(status int, code string) Decision { return Decision{Status: status, Code: code} }

// Decide answers one call. The gateway asks it live and the plan asks it again
// about recorded calls, so a forecast cannot differ from enforcement.
func (rs *Ruleset) Decide(p Principal, c Call) Decision {
	return rs.DecideOn(rs.Match(c.Method, c.Path), p, c)
}

// DecideOn is Decide for a call whose route is known, nil if it has none. The
// plan asks it about recorded templates, which Match cannot find like a path.
func (rs *Ruleset) DecideOn(route *Route, p Principal, c Call) Decision {
	stage := rs.stageHeld(p, c.At)
	d := rs.decideStage(p, stage, c.At)
	if d.Allow {
		d = rs.decideRules(p, c, route, d)
	}
	d.Route = route
	if p.Kind == KnownAPIKey || p.Kind == UnknownAPIKey {
		d.Stage = stage
		d.Announce = d.Allow && (stage == apikey.Warn || stage == apikey.Brownout)
	}
	return d
}

// stageHeld is the stage of the apikey that a call comes with, or that its token
// stands for.
func (rs *Ruleset) stageHeld(p Principal, at time.Time) apikey.Stage {
	switch {
	case p.Kind != KnownAPIKey && p.Kind != UnknownAPIKey && !p.Exchanged:
		return apikey.Inherit
	case p.Stage != apikey.Inherit:
		return p.Stage
	}
	return rs.stageBeside(p.APIKey, at)
}

// decideStage answers what needs no route: a token that does not hold is
// refused whatever is enforced, since nobody had one before offkey, and an
// apikey past its stage is refused on every route, known or not.
func (rs *Ruleset) decideStage(p Principal, stage apikey.Stage, at time.Time) Decision {
	switch p.Kind {
	case BadToken:
		return deny(http.StatusUnauthorized, cmp.Or(p.Bad, CodeInvalidToken))
	case TokenClient:
		if p.Exchanged && !stage.OpensUpgrade() {
			return deny(http.StatusUnauthorized, CodeInvalidToken)
		}
		if p.Fault == CodeCredentialConflict {
			return deny(http.StatusUnauthorized, CodeCredentialConflict)
		}
	case KnownAPIKey:
		switch {
		case stage.Passes() && stage >= apikey.Warn && p.Stage == apikey.Inherit && rs.IsNew(p.APIKey, at):
			return deny(http.StatusUnauthorized, CodeAPIKeyNew)
		case stage == apikey.Brownout && rs.inWindow(p.APIKey, at) != nil:
			return deny(http.StatusUnauthorized, CodeAPIKeyBrownout)
		case stage.Passes():
		case stage == apikey.UpgradeOnly:
			return deny(http.StatusUnauthorized, CodeAPIKeyUpgradeOnly)
		case stage == apikey.Retired:
			return deny(http.StatusUnauthorized, CodeAPIKeyRetired)
		default:
			return deny(http.StatusUnauthorized, CodeAPIKeyBlocked)
		}
	case UnknownAPIKey:
		if !stage.Passes() || (stage == apikey.Brownout && rs.inWindow(nil, at) != nil) {
			return deny(http.StatusUnauthorized, CodeAPIKeyUnknown)
		}
	}
	return allow(CodeNotEnforced)
}

// decideRules answers by route and scope as far as they are enforced for this
// call; passed is the answer where they are not.
func (rs *Ruleset) decideRules(p Principal, c Call, route *Route, passed Decision) Decision {
	judged, enforce := rs.judge(p, c, route)
	if enforce == On {
		return judged
	}
	if enforce == Shadow && judged.Denied() {
		passed.Shadow = judged.Code
	}
	return passed
}

// judge is the answer with every rule enforced, and how far it is enforced.
// What is ambiguous is counted even where nothing is enforced, so that it is
// known before it is refused.
func (rs *Ruleset) judge(p Principal, c Call, route *Route) (Decision, Enforce) {
	counted := max(rs.Strictness(), Shadow)
	switch {
	case c.Problem != "":
		return deny(http.StatusBadRequest, CodeAmbiguousRequest), counted
	case p.Fault == CodeCredentialDuplicate:
		return deny(http.StatusBadRequest, CodeCredentialDuplicate), counted // RFC 6750 §3.1
	case p.Fault != "":
		return deny(http.StatusUnauthorized, p.Fault), counted
	}
	return rs.judgeRoute(p, route, c.At), rs.EnforcementOf(route, p.ClientID)
}

// judgeRoute is the answer of one route to one principal. Demands come before the
// scopes: a token that is to be got anew is got with both.
func (rs *Ruleset) judgeRoute(p Principal, route *Route, at time.Time) Decision {
	switch {
	case route != nil && route.Open:
		return allow(CodeOpenRoute)
	case p.Kind == Nobody:
		return deny(http.StatusUnauthorized, CodeCredentialMissing)
	case p.Kind == ForeignToken:
		return deny(http.StatusUnauthorized, CodeForeignToken)
	case p.Kind == UnknownAPIKey && !rs.UpstreamVouches:
		return deny(http.StatusUnauthorized, CodeAPIKeyUnknown)
	case route == nil:
		return deny(http.StatusForbidden, CodeUnknownRoute)
	case p.Kind == KnownAPIKey:
		return allow(CodeAPIKey)
	case p.Kind == UnknownAPIKey:
		return allow(CodeUnverified)
	}
	if unmet := route.metBy(p, at); unmet != "" {
		return deny(http.StatusUnauthorized, unmet)
	}
	if p.Kind == TokenClient && rs.satisfies(p.Scope, route.Scopes) {
		return allow(CodeToken)
	}
	return deny(http.StatusForbidden, CodeInsufficientScope) // RFC 6750 §3.1
}
