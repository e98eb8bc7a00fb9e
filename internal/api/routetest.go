package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/token"
)

// trial is a call that is not made: who would make it is an apikey or a client
// by id, a credential as it would be sent, or nobody.
type trial struct {
	Method string       `json:"method"`
	Path   string       `json:"path"` // as it would be sent
	APIKey string       `json:"apikey"`
	Client string       `json:"client"`
	Scopes *oauth.Scope `json:"scopes"` // of a token of client; left out: all that it may ask for

	APIKeySecret string `json:"apikey_secret"`
	Token        string `json:"token"`
}

type trialAnswer struct {
	Decision string      `json:"decision"` // allow or deny
	Code     string      `json:"code"`
	Status   int         `json:"status,omitempty"`
	Rule     *string     `json:"rule"` // the match of the route, null without one
	Scopes   oauth.Scope `json:"scopes"`
	Path     string      `json:"path"` // canonical
	Enforce  string      `json:"enforce"`
	// Shadow is the code with which the call would be refused if what is
	// counted were enforced.
	Shadow  string `json:"shadow,omitempty"`
	Problem string `json:"problem,omitempty"` // what is ambiguous about the target
	Stage   string `json:"stage,omitempty"`
}

func (s *Server) testRoute(r *http.Request) (any, error) {
	if _, err := readQuery(r); err != nil {
		return nil, err
	}
	p, err := readJSON[trial](r)
	if err != nil {
		return nil, err
	}
	switch {
	case p.Method == "" || p.Method != strings.ToUpper(p.Method):
		return nil, badRequest("write GET or another method in capitals", "method is %q", p.Method)
	case p.Path == "":
		return nil, badRequest("write it as it is sent, as in /v1/orders/7", "path is missing")
	}
	target := policy.ParseTarget(p.Path)
	if target.Refused() {
		return nil, badRequest("write it as it is sent, as in /v1/orders/7", "path is %q, which names no path", p.Path)
	}
	who, err := s.principal(r.Context(), p)
	if err != nil {
		return nil, err
	}
	call := policy.Call{Method: p.Method, Path: target.Path, Problem: string(target.Problem), At: s.now()}
	rules := s.o.Ruleset()
	d := rules.Decide(who, call)
	a := trialAnswer{
		Decision: "deny", Code: d.Code, Status: d.Status, Scopes: oauth.Scope{}, Path: target.Path,
		Enforce: rules.EnforcementOf(d.Route, who.ClientID).String(), Shadow: d.Shadow, Problem: string(target.Problem),
	}
	if d.Allow {
		a.Decision = "allow"
	}
	if d.Route != nil {
		match := d.Route.Match()
		a.Rule, a.Scopes = &match, orNone(d.Route.Scopes)
	}
	if d.Stage != apikey.Inherit {
		a.Stage = d.Stage.String()
	}
	return a, nil
}

// principal is who would make the call.
func (s *Server) principal(ctx context.Context, p trial) (policy.Principal, error) {
	given := 0
	for _, value := range []string{p.APIKey, p.Client, p.APIKeySecret, p.Token} {
		if value != "" {
			given++
		}
	}
	switch {
	case given > 1:
		return policy.Principal{}, badRequest("leave all but one out", "more than one of apikey, client, apikey_secret and token is given")
	case p.Scopes != nil && p.Client == "":
		return policy.Principal{}, badRequest("name the client too", "scopes are those of a token, and no client is named")
	case p.APIKey != "":
		k, err := s.findAPIKey(ctx, p.APIKey)
		if err != nil {
			return policy.Principal{}, err
		}
		return policy.OfAPIKey(k), nil
	case p.APIKeySecret != "":
		k, err := s.store.APIKeyByFingerprint(ctx, s.o.Fingerprint(p.APIKeySecret))
		if err != nil && !errors.Is(err, apikey.ErrNotFound) {
			return policy.Principal{}, err
		}
		return policy.OfAPIKey(k), nil
	case p.Token != "":
		return s.tokenPrincipal(ctx, p.Token)
	case p.Client != "":
		c, err := s.findClient(ctx, p.Client)
		if err != nil {
			return policy.Principal{}, err
		}
		scope := c.Scopes
		if p.Scopes != nil {
			scope = *p.Scopes
		}
		if c.Status == client.Disabled { // its tokens are refused
			return policy.Principal{Kind: policy.BadToken}, nil
		}
		return policy.Principal{Kind: policy.TokenClient, ID: c.ID, ClientID: c.ID, Scope: scope, DPoP: c.DPoPBound}, nil
	}
	return policy.Principal{}, nil
}

// tokenPrincipal judges a token as the gateway does where whoever sends it holds
// what it is bound to.
func (s *Server) tokenPrincipal(ctx context.Context, raw string) (policy.Principal, error) {
	verified, err := s.o.Verify(raw)
	var refused *oauth.Error
	switch {
	case errors.Is(err, token.ErrForeign):
		return policy.Principal{Kind: policy.ForeignToken}, nil
	case errors.As(err, &refused):
		return policy.Principal{Kind: policy.BadToken}, nil
	case err != nil:
		return policy.Principal{}, err
	}
	id, from := verified.ClientID(), verified.Claims().APIKeyID
	p := policy.Principal{Kind: policy.TokenClient, ID: id, ClientID: id, Scope: verified.Scope()}
	if from != "" {
		k, err := s.store.APIKey(ctx, from)
		if err != nil && !errors.Is(err, apikey.ErrNotFound) {
			return policy.Principal{}, err
		}
		p = policy.OfExchangedToken(id, verified.Scope(), k) // k is nil where it is gone
	}
	login := verified.Login()
	p.DPoP, p.ACR, p.AuthTime = verified.Confirmation().JKT != "", login.ACR, login.AuthTime
	return p, nil
}
