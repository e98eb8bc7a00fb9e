package grant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/offkey/offkey/internal/authserver/clientauth"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/token"
)

// maxActors is the most that an act chain may hold: whoever reads a token has to
// believe all of them.
const maxActors = 5

// Subjects verifies the tokens that are brought, with all that can have become
// of them: revoked, their client disabled, their apikey gone.
type Subjects interface {
	// AccessToken returns what an access token of ours says. One that is not
	// good, or no longer, is an *oauth.Error.
	AccessToken(ctx context.Context, raw string) (token.Claims, error)
}

// TokenExchange trades a token for one that another client can use further on,
// and that says who acts for whom (RFC 8693 §2). Which client may do that with
// whose tokens is in its registration; nobody may by default. There is no
// refresh token, and what comes of a token falls with the grant of that token.
type TokenExchange struct {
	Subjects Subjects
	Targets  Targets
	Life     time.Duration // of its tokens, at most
}

// Authorize decides a request of an authenticated client.
func (g TokenExchange) Authorize(ctx context.Context, who clientauth.Authenticated, r Request) (token.Authorization, error) {
	c := who.Client()
	if err := cmp.Or(checkExchanger(c), checkExchangeForm(r.Form)); err != nil {
		return token.Authorization{}, err
	}
	subject, err := g.Subjects.AccessToken(ctx, r.Form.Value("subject_token"))
	if err != nil {
		return token.Authorization{}, notGood("subject_token", err)
	}
	actor, err := g.actor(ctx, c, subject, r.Form)
	if err != nil {
		return token.Authorization{}, err
	}
	if err := cmp.Or(checkTaken(c, subject), checkHolder(subject, r.Confirmation), checkMayAct(subject, actor), checkActors(actor)); err != nil {
		return token.Authorization{}, err
	}
	scope, err := exchangedScope(c, subject, r.Form)
	if err != nil {
		return token.Authorization{}, err
	}
	resources, err := g.resources(c, r.Form)
	if err != nil {
		return token.Authorization{}, err
	}
	life := wholeSeconds(min(g.Life, subject.Expires.Sub(r.At)))
	if life < time.Second {
		return token.Authorization{}, oauth.InvalidRequest("subject_token expires this second")
	}
	return token.Authorization{
		Client: c, Subject: subject.Subject, Scope: scope, Resources: resources, Life: life,
		APIKeyID: subject.APIKeyID, GrantID: cmp.Or(subject.GrantID, token.GrantOfToken(subject.ID)), Login: subject.Login, Actor: actor,
		Confirmation: r.Confirmation, From: cmp.Or(subject.From, subject.ClientID), Kept: true,
	}, nil
}

// checkExchanger: who acts for others must have proved itself, and an operator
// must have said so (RFC 8693 §5).
func checkExchanger(c *client.Client) error {
	switch {
	case !c.Confidential():
		return oauth.UnauthorizedClient("a public client cannot exchange tokens: it has nothing to prove itself with")
	case len(c.Exchange.From) == 0:
		return oauth.UnauthorizedClient("this client may exchange nobody's tokens: have an operator name the clients in exchange.from")
	}
	return nil
}

// accessTokenTypes are the names of an access token of ours (RFC 8693 §3).
var accessTokenTypes = []string{oauth.TypeAccessToken, oauth.TypeJWT}

// checkExchangeForm reads the parameters of RFC 8693 §2.1 that have one meaning
// only.
func checkExchangeForm(form oauth.Params) error {
	if err := checkTokenTypes(form); err != nil {
		return err
	}
	switch {
	case !slices.Contains(accessTokenTypes, form.Value("subject_token_type")):
		return oauth.InvalidRequest("subject_token_type is not one that can be exchanged here: it is " + oauth.TypeAccessToken + " for most")
	case form.Has("actor_token") && !slices.Contains(accessTokenTypes, form.Value("actor_token_type")):
		return oauth.InvalidRequest("actor_token_type must be " + oauth.TypeAccessToken)
	}
	return checkRequestedType(form)
}

// notGood is what is answered where a token that was brought is refused
// (RFC 8693 §2.2.2).
func notGood(parameter string, err error) error {
	var refused *oauth.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, token.ErrForeign):
		return oauth.InvalidRequest(parameter + " is no token of this server")
	case errors.As(err, &refused) && refused.Code == oauth.CodeInvalidToken:
		return oauth.InvalidRequest(parameter + " is refused: " + refused.Description).WithCause(err)
	}
	return err
}

// actor is who acts in the result, with those who acted before (RFC 8693 §4.1).
func (g TokenExchange) actor(ctx context.Context, c *client.Client, subject token.Claims, form oauth.Params) (*token.Actor, error) {
	switch given := form.Has("actor_token"); {
	case given && c.Exchange.Act == client.ActNone:
		return nil, oauth.InvalidRequest("actor_token is sent, and this client's exchanges name no actor")
	case given:
		return g.actorOf(ctx, c, subject, form.Value("actor_token"))
	case c.Exchange.Act == client.ActRequired:
		return nil, oauth.InvalidRequest("actor_token is missing: this client's exchanges name an actor")
	case c.Exchange.Act == client.ActNone, subject.ClientID == c.ID:
		return subject.Actor, nil
	}
	return &token.Actor{Subject: c.ID, Actor: subject.Actor}, nil
}

// actorOf is the subject of an actor_token: a token that is the client's own, or
// one that it may exchange, and in which nobody acts for another already.
func (g TokenExchange) actorOf(ctx context.Context, c *client.Client, subject token.Claims, raw string) (*token.Actor, error) {
	acting, err := g.Subjects.AccessToken(ctx, raw)
	switch {
	case err != nil:
		return nil, notGood("actor_token", err)
	case acting.ClientID != c.ID && !c.Exchange.Takes(acting.ClientID):
		return nil, oauth.InvalidRequest("actor_token was issued to a client whose tokens this client may not bring")
	case acting.Actor != nil:
		return nil, oauth.InvalidRequest("actor_token names an actor itself: bring a token of the one who acts")
	case acting.Bound():
		return nil, oauth.InvalidRequest("actor_token is bound to a key, which proves nothing in somebody else's request: bring one that is not")
	}
	return &token.Actor{Subject: acting.Subject, Actor: subject.Actor}, nil
}

// checkTaken: policy says whose tokens this client may bring; nobody's by
// default (RFC 8693 §5).
func checkTaken(c *client.Client, subject token.Claims) error {
	if !c.Exchange.Takes(subject.ClientID) {
		return oauth.InvalidRequest("subject_token was issued to a client whose tokens this client may not exchange: an operator names those in exchange.from")
	}
	return nil
}

// checkHolder: a token that is bound to a key is of no use to whoever does not
// hold that key, and so cannot be traded for one that is (RFC 9449 §6, RFC 8705
// §3).
func checkHolder(subject token.Claims, have token.Confirmation) error {
	if subject.Bound() && subject.Confirmation != have {
		return oauth.InvalidRequest("subject_token is bound to a key: prove that key in this request")
	}
	return nil
}

// checkMayAct: a subject token that says who may act for it is held to that
// (RFC 8693 §4.4). A result without an actor is no exception.
func checkMayAct(subject token.Claims, actor *token.Actor) error {
	if subject.MayAct != "" && (actor == nil || actor.Subject != subject.MayAct) {
		return oauth.InvalidRequest("subject_token says in may_act who may act for it, and that is somebody else")
	}
	return nil
}

// checkActors bounds the chain (RFC 8693 §4.1).
func checkActors(actor *token.Actor) error {
	n := 0
	for ; actor != nil; actor = actor.Actor {
		n++
	}
	if n > maxActors {
		return oauth.InvalidRequest(fmt.Sprintf("more than %d would act for one another", maxActors))
	}
	return nil
}

// forPeople are scopes that only mean something where somebody signs in: no
// exchange gives an ID token or a refresh token.
var forPeople = oauth.Scope{"openid", "offline_access"}

// exchangedScope is what was asked for, if both the subject token and the client
// have all of it; without scope it is what both have (RFC 8693 §2.2.1).
func exchangedScope(c *client.Client, subject token.Claims, form oauth.Params) (oauth.Scope, error) {
	both := subject.Scope.Intersect(c.Scopes).Minus(forPeople)
	requested, err := oauth.ParseScope(form.Value("scope"))
	switch {
	case err != nil:
		return nil, err
	case requested.IsZero():
		return both, nil
	case !both.Covers(requested):
		refused := requested.Minus(both)
		return nil, oauth.InvalidScope(fmt.Sprintf("%d of the %d scopes asked for are not both in the subject_token and allowed to this client", len(refused), len(requested)))
	}
	return requested, nil
}

// resources are what the result is for (RFC 8693 §2.1: resource and audience
// name the same here).
func (g TokenExchange) resources(c *client.Client, form oauth.Params) ([]string, error) {
	allowed := c.Exchange.Resources
	if len(allowed) == 0 {
		allowed = c.Resources
	}
	return g.Targets.Choose(allowed, append(form.Values("resource"), form.Values("audience")...))
}
