package signin

import (
	"cmp"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/session"
)

// need is what a request still needs of its person.
type need int

const (
	needSignIn  need = iota // somebody must sign in, or the same person anew
	needSecond              // one of two factors is proved
	needEnrol               // and there is no second one yet
	needChoice              // somebody is signed in: is it they?
	needConsent             // may the client have it?
	needLogout              // do they want to sign out?
	needNothing             // the answer is known
	needRefusal             // it cannot be had: facts.refusal says why
)

// facts are what judge decides from.
type facts struct {
	// session is the browser's, with its person; nil where nobody is signed in
	// who may be.
	session *session.Session
	person  *directory.Standing
	factors directory.Factors
	// halfway is who has proved the first factor in this request.
	halfway        *directory.Standing
	halfwayFactors directory.Factors

	client  *client.Client // of requests for clients
	consent session.Consent
	// passkeys says whether this server can take them.
	passkeys bool
}

// judge says what a request needs next. It is asked again after every step, so
// that no step has to know what comes after it, and none can be left out.
func judge(q session.Request, f facts) need {
	if q.Kind == session.ForLogout {
		if f.session == nil {
			return needNothing // nobody is there to be signed out
		}
		return needLogout
	}
	if f.halfway != nil {
		level, reachable := levelFor(q.Demand, f.halfway.Policy, f.halfwayFactors, f.passkeys)
		switch {
		case reachable:
			return needSecond
		case !enrollable(level, f.halfway.Policy, f.halfwayFactors):
			return needRefusal
		case f.halfwayFactors.Second() && !q.Progress.Both:
			return needSecond // what there is, is proved before anything is added
		}
		return needEnrol
	}
	if n := judgeLogin(q, f); n != needNothing {
		return n
	}
	if q.Kind != session.ForClient {
		return needNothing // nothing is granted, or the device page asks for itself
	}
	return judgeConsent(q, f)
}

// judgeLogin compares the session with what the request demands (OIDC Core
// §3.1.2.1, RFC 9470 §4) and with the policy of its person.
func judgeLogin(q session.Request, f facts) need {
	if f.session == nil || q.Demand.PersonID != "" && q.Demand.PersonID != f.session.PersonID {
		return needSignIn
	}
	inThis := q.Progress.SessionID == f.session.ID && !q.Progress.Chosen
	stale := f.session.AuthTime.Before(q.Demand.Since) || q.Demand.Prompts("login")
	if !inThis && stale {
		return needSignIn
	}
	if q.Demand.Prompts("select_account") && !inThis && !q.Progress.Chosen {
		return needChoice
	}
	level, reachable := levelFor(q.Demand, f.person.Policy, f.factors, f.passkeys)
	switch {
	case session.Reaches(f.session.ACR, level):
		return needNothing
	case reachable || enrollable(level, f.person.Policy, f.factors):
		return needSignIn
	}
	return needRefusal
}

// judgeConsent asks unless the person has allowed it before (OAuth 2.1 §4.1.1),
// to a client that is still the same, and prompt=consent does not ask again.
func judgeConsent(q session.Request, f facts) need {
	scope := scopeFor(q.Ask, f.client, f.person)
	switch {
	case scope.IsZero() && !q.Ask.Scope.IsZero():
		return needConsent // the page says that there is nothing to allow
	case f.client.FirstParty && f.client.Confidential():
		return needNothing
	case !q.Demand.Prompts("consent") && !isStale(f) && assured(q, f.client) && f.consent.Covers(scope, session.FingerprintOf(f.client)):
		return needNothing
	}
	return needConsent
}

// isStale reports whether what was allowed counts no more: to a client that
// registered itself on nobody's word the person says it once each time that they
// sign in.
func isStale(f facts) bool {
	return f.client.Quarantined && f.consent.At.Before(f.session.AuthTime)
}

// assured reports whether an answer reaches the client that was allowed it
// before, and nobody else: of one that proves nothing only where https says whose
// the address is. Another program of the same machine can take any other, so that
// the person is asked each time (RFC 8252 §8.6).
func assured(q session.Request, c *client.Client) bool {
	return c.Confidential() || q.Ask.RedirectScheme == "" && !leadsHere(q.Ask.RedirectHost)
}

// levelFor is the authentication context that a sign-in must reach: what policy
// says, a second factor wherever there is one, and of the classes that the
// client prefers the first that the person can reach. reachable is false where
// the person's factors do not suffice.
func levelFor(d session.Demand, p directory.Policy, f directory.Factors, passkeys bool) (level string, reachable bool) {
	best := session.ACRPassword
	if f.TOTP {
		best = session.ACRMFA
	}
	if f.Passkeys > 0 && passkeys {
		best = session.ACRPasskey
	}
	level = session.ACRPassword
	switch {
	case p.MFA == directory.MFAPasskey:
		level = session.ACRPasskey
	case p.MFA != directory.MFANone && p.MFA != "", best != session.ACRPassword:
		level = session.ACRMFA
	}
	if i := slices.IndexFunc(d.ACRValues, func(want string) bool { return session.Reaches(best, want) }); i >= 0 {
		level = stronger(level, d.ACRValues[i])
	} else if d.Essential && len(d.ACRValues) > 0 {
		// None can be reached as things are: the weakest would do, if it can be had.
		want, known := weakest(d.ACRValues)
		if !known {
			return want, false
		}
		level = stronger(level, want)
	}
	return level, session.Reaches(best, level)
}

func stronger(a, b string) string {
	if session.Reaches(b, a) {
		return b
	}
	return a
}

// weakest is of the classes that we know, if there is one.
func weakest(values []string) (class string, known bool) {
	for _, class := range session.ACRValues {
		if slices.Contains(values, class) {
			return class, true
		}
	}
	return values[0], false
}

// enrollable reports whether the person reaches the level by a factor that they
// may add while they sign in: the first one, where policy or the client wants
// it, or a passkey, where policy does. Somebody who has one proves it first.
func enrollable(level string, p directory.Policy, f directory.Factors) bool {
	return slices.Contains(session.ACRValues, level) && (!f.Second() || p.MFA == directory.MFAPasskey && f.Passkeys == 0)
}

// unanswered is the error for a client that forbade to ask (OIDC Core §3.1.2.6,
// RFC 9470 §4).
func unanswered(n need) string {
	switch n {
	case needChoice:
		return "account_selection_required"
	case needConsent:
		return "consent_required"
	case needEnrol:
		return "interaction_required"
	case needRefusal:
		return errUnmet
	}
	return "login_required"
}

// errUnmet is the code for a class that cannot be reached (OIDC Unmet
// Authentication Requirements, RFC 9470 §4).
const errUnmet = "unmet_authentication_requirements"

// answerOf is the Answer where nothing more is needed.
func answerOf(q session.Request, f facts, at time.Time) session.Answer {
	if f.session == nil { // who is to be signed out is not there
		return session.Answer{Error: "login_required", At: at}
	}
	a := session.Answer{PersonID: f.session.PersonID, SessionID: f.session.ID, Login: f.session.Login, At: at}
	if q.Kind == session.ForClient {
		a.Scope = scopeFor(q.Ask, f.client, f.person)
	}
	return a
}

// lifeOf is when a session of somebody ends.
func lifeOf(p directory.Policy, now time.Time) (idle time.Duration, expires time.Time) {
	whole := cmp.Or(time.Duration(p.SessionMax), time.Duration(directory.Defaults.SessionMax))
	return cmp.Or(time.Duration(p.SessionIdle), time.Duration(directory.Defaults.SessionIdle)), now.Add(whole)
}

// leftOut are the scopes that are asked for and not given, to be said.
func leftOut(ask session.Ask, given oauth.Scope) oauth.Scope { return ask.Scope.Minus(given) }
