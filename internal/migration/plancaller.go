package migration

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/traffic"
)

// Why the record does not tell what would become of a call.
const (
	ReasonRouteUnknown  = "route_unknown"   // its path was not kept closely enough
	ReasonScopeUnknown  = "scope_unknown"   // its token had less than its client may ask for
	ReasonClientDeleted = "client_deleted"  // nobody knows what the client might ask for
	ReasonProofUnknown  = "proof_unknown"   // whether its token was bound to a DPoP key
	ReasonSignInUnknown = "sign_in_unknown" // how and when its person signed in
)

// planned is who made recorded calls, as they would be judged.
type planned struct {
	policy.Principal
	id     string
	apikey bool
	client *client.Client // of a token, or mapped to the apikey
	// scopeUnknown is why the token may have had more scopes than Principal
	// says, or "".
	scopeUnknown string
}

// atBest is the Principal with a token that has all that it may have had of what
// the route asks for. The record keeps nothing of a token but its client.
func (who planned) atBest(route *policy.Route, call policy.Call) policy.Principal {
	p := who.Principal
	if route == nil || p.Kind != policy.TokenClient {
		return p
	}
	if who.scopeUnknown != "" {
		p.Scope = route.Scopes
	}
	p.DPoP = true
	if len(route.ACR) > 0 && who.mayHavePerson() {
		p.ACR = route.ACR[0]
	}
	if who.mayHavePerson() {
		p.AuthTime = call.At
	}
	return p
}

// mayHavePerson: a client that acts for itself alone has tokens without a person.
func (who planned) mayHavePerson() bool {
	return who.client == nil || slices.ContainsFunc(who.client.Grants, func(grant string) bool { return grant != oauth.GrantClientCredentials })
}

// unknown is why the answer to a call depends on what was not recorded; refused is
// what it is answered with the least that its token may have had.
func (who planned) unknown(refused policy.Decision) string {
	code := refused.Code
	if refused.Allow {
		code = refused.Shadow
	}
	switch code {
	case policy.CodeDPoPRequired:
		return ReasonProofUnknown
	case policy.CodeStepUp:
		return ReasonSignInUnknown
	}
	return who.scopeUnknown
}

// callerOf makes the Principal again that the gateway saw. What a row does not
// keep of its call, the outcome tells: the rules that it broke.
func (f *planFold) callerOf(c traffic.Credential, outcome string) planned {
	who := planned{id: cmp.Or(c.ID, c.Kind)}
	code := codeOf(outcome)
	switch c.Kind {
	case traffic.KindAPIKey:
		f.apikeyCaller(&who, c.ID)
	case traffic.KindClient:
		f.tokenCaller(&who, c.ID, code)
	case traffic.KindUnknown:
		who.Kind = policy.UnknownAPIKey
	}
	switch code {
	case policy.CodeInvalidToken, policy.CodeInvalidProof, policy.CodeUseNonce:
		who.Kind, who.Bad = policy.BadToken, code
	case policy.CodeForeignToken:
		who.Kind = policy.ForeignToken
	case policy.CodeCredentialConflict, policy.CodeCredentialDuplicate:
		who.Fault = code
	}
	return who
}

func (f *planFold) apikeyCaller(who *planned, id string) {
	k := f.callers.apikeys[id]
	who.apikey, who.Principal = true, policy.OfAPIKey(k)
	switch {
	case k != nil:
		who.client = f.callers.clients[k.ClientID]
	case f.callers.unlisted: // whoever wrote the file knew it
		who.Principal = policy.OfAPIKey(&apikey.Key{ID: id})
	}
	if f.IDs != nil && f.only[id] {
		who.Stage = f.Stage
	}
}

// tokenCaller judges the calls of a token by the scopes that its client may ask
// for. Where a token is known to have had less, what its client will ask for
// next cannot be told.
func (f *planFold) tokenCaller(who *planned, id, code string) {
	who.Principal = policy.Principal{Kind: policy.TokenClient, ID: id, ClientID: id}
	if k := f.callers.apikeys[id]; k != nil { // tokens that an apikey was exchanged for
		who.Principal, who.scopeUnknown = policy.OfExchangedToken(cmp.Or(k.ClientID, id), nil, k), ReasonScopeUnknown
		if f.IDs != nil && f.only[id] {
			who.Stage = f.Stage
		}
		return
	}
	who.client = f.callers.clients[id]
	switch {
	case f.callers.unlisted:
		who.scopeUnknown = ReasonScopeUnknown
	case who.client == nil:
		who.scopeUnknown = ReasonClientDeleted
	case who.client.Status != client.Active:
		who.Kind = policy.BadToken
	case code == policy.CodeInsufficientScope:
		who.scopeUnknown = ReasonScopeUnknown
	default:
		who.Scope = who.client.Scopes
	}
	who.DPoP = who.client != nil && who.client.DPoPBound // it gets no others
}

// codeOf is the code in an outcome: "denied:CODE", "shadow:CODE".
func codeOf(outcome string) string {
	_, code, _ := strings.Cut(outcome, ":")
	return code
}

// problemOf says again that a request was ambiguous.
func problemOf(outcome string) string {
	if codeOf(outcome) == policy.CodeAmbiguousRequest {
		return "ambiguous when it was recorded"
	}
	return ""
}

// fixOf says what the operator or the caller does about a refusal.
func fixOf(who planned, op operation, d policy.Decision) string {
	operation := op.method + " " + op.template
	switch d.Code {
	case policy.CodeAPIKeyBrownout, policy.CodeAPIKeyUpgradeOnly, policy.CodeAPIKeyRetired:
		if who.client != nil {
			return fmt.Sprintf("client %s is there for it: its caller still has to send tokens instead of the apikey", who.client.ID)
		}
		return fmt.Sprintf("its caller runs `offkey upgrade`, or `offkey apikeys map %s --client ID`", who.id)
	case policy.CodeAPIKeyNew:
		return fmt.Sprintf("it came up after the freeze of new apikeys: its caller runs `offkey upgrade`, or `offkey apikeys extend %s` gives it time", who.id)
	case policy.CodeAPIKeyBlocked:
		return "give its owner a client: `offkey clients create`"
	case policy.CodeAPIKeyUnknown:
		return "bring the apikeys in with `offkey apikeys import`, if they are real"
	case policy.CodeInsufficientScope:
		missing := d.Route.Scopes.Minus(who.Scope)
		if who.client == nil {
			return fmt.Sprintf("its token needs scope %s", missing)
		}
		return fmt.Sprintf("`offkey clients update %s --scopes %q`", who.id, who.Scope.Union(missing).String())
	case policy.CodeUnknownRoute:
		if scope, ok := scopeName(op.method, op.template); ok {
			return fmt.Sprintf("`offkey routes set %q %s`", strings.Replace(operation, "HEAD ", "GET ", 1), scope)
		}
		return "give it a route: `offkey routes set`"
	case policy.CodeCredentialMissing, policy.CodeForeignToken:
		return fmt.Sprintf("give the caller a client, or let %s pass with auth none", operation)
	case policy.CodeInvalidToken:
		if who.client != nil {
			return fmt.Sprintf("client %s is %s", who.client.ID, who.client.Status)
		}
		return "the caller asks for a new token"
	case policy.CodeInvalidProof, policy.CodeUseNonce:
		return "the caller makes its DPoP proofs anew: its library does, once it knows nonces and the time"
	case policy.CodeDPoPRequired:
		return "the caller asks for tokens that are bound to a DPoP key"
	case policy.CodeStepUp:
		return "its tokens have no person who could sign in again: let the route ask for less, or the caller act for people"
	case policy.CodeCredentialConflict, policy.CodeCredentialDuplicate:
		return "the caller sends one credential, once"
	case policy.CodeAmbiguousRequest:
		return "the caller writes the path without encoded slashes, dot segments and the like"
	}
	return ""
}

func undecidableFix(reason string) string {
	switch reason {
	case ReasonRouteUnknown:
		return "its path was not kept closely enough to tell the routes apart: ask about a traffic file with --traffic"
	case ReasonScopeUnknown:
		return "the client may ask for more than it did: check with its owner"
	case ReasonProofUnknown:
		return "whether its tokens are bound to a DPoP key was not recorded: `offkey clients update` can make sure that they are"
	case ReasonSignInUnknown:
		return "how and when its person signed in was not recorded: the application has to send them to sign in again when it is asked to"
	case ReasonClientDeleted:
		return "the client is deleted: its calls will not come back"
	}
	return ""
}
