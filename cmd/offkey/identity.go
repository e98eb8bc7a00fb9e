package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/offkey/offkey/sdk/go/oauthclient"
	"golang.org/x/oauth2"
)

// identity is who a caller's command acts for, and where its tokens come from.
type identity struct {
	config *oauthclient.Config
	login  *login // nil: a client acts for itself
	token  func(ctx context.Context, anew bool) (token cachedToken, kept bool, err error)
}

// identity is the client that the flags name; without any it is the person who
// is signed in, else the client of the folder.
func (f identityFlags) identity(t *terminal, s scopeFlags) (*identity, error) {
	dir, err := f.folder()
	if err != nil {
		return nil, err
	}
	if f.Client == "" && f.Issuer == "" && f.TokenURL == "" && f.Cert == "" && f.onlyWithIssuer() == "" {
		l, err := readLogin(dir)
		if err != nil {
			return nil, err
		}
		if l != nil && f.DPoP && !l.DPoP {
			return nil, wrongUsage("the tokens of this sign-in are bound to no key", "leave out --dpop, or sign in with `offkey login --dpop`")
		}
		if l != nil {
			return l.identity(t, dir, s)
		}
	}
	config, dir, err := f.config(t)
	if err != nil {
		return nil, err
	}
	if err := s.apply(config); err != nil {
		return nil, err
	}
	cache := newTokenCache(t, dir)
	return &identity{config: config, token: func(ctx context.Context, anew bool) (cachedToken, bool, error) { return cache.token(ctx, config, anew) }}, nil
}

func (l *login) identity(t *terminal, dir string, s scopeFlags) (*identity, error) {
	config, err := l.config(dir)
	if err != nil {
		return nil, err
	}
	if err := s.apply(config); err != nil {
		return nil, err
	}
	id := &identity{config: config, login: l}
	source := loginSource{dir: dir, cache: newTokenCache(t, dir), own: s.Scope == nil && config.Resource == l.Resource}
	id.token = func(ctx context.Context, anew bool) (cachedToken, bool, error) {
		token, kept, fresh, err := source.token(ctx, config, anew)
		if fresh != nil {
			id.login = fresh
		}
		return token, kept, err
	}
	return id, nil
}

// loginSource gives the tokens of a login. Processes take turns: a refresh token
// that two send at one time looks stolen, and ends the login.
type loginSource struct {
	dir   string
	cache tokenCache
	own   bool // the token of the login itself, not a narrower one
}

func (s loginSource) token(ctx context.Context, config *oauthclient.Config, anew bool) (token cachedToken, kept bool, l *login, err error) {
	now := s.cache.now
	for attempt := range 2 {
		if l, err = readLogin(s.dir); err != nil {
			return cachedToken{}, false, nil, err
		}
		if l == nil {
			return cachedToken{}, false, nil, signInAgain("nobody is signed in", nil)
		}
		if s.own && !anew && l.fresh(now()) {
			return l.cachedToken, true, l, nil
		}
		if attempt > 0 {
			break
		}
		if unlock := s.cache.lock(ctx, loginFile); unlock != nil {
			defer unlock()
		}
	}
	if l.RefreshToken == "" {
		if s.own && l.usable(now()) {
			return l.cachedToken, true, l, nil
		}
		return cachedToken{}, false, l, signInAgain("the sign-in of "+l.SignedIn.Format(time.RFC3339)+" is over", nil)
	}
	asked := now()
	issued, err := config.Refresh(ctx, oauthclient.Secret(l.RefreshToken))
	if err != nil {
		return s.failed(l, anew, err)
	}
	token = tokenOf(issued, asked)
	l.RefreshToken = issued.RefreshToken
	if s.own {
		l.cachedToken = token
	}
	return token, false, l, l.write(s.dir)
}

// failed is what becomes of a token that was not renewed: the old one is used
// while it is good, unless the issuer says that the sign-in is over.
func (s loginSource) failed(l *login, anew bool, err error) (cachedToken, bool, *login, error) {
	var e *oauthclient.Error
	if errors.As(err, &e) && slices.Contains([]string{"invalid_grant", "invalid_client", "unauthorized_client"}, e.Code) {
		return cachedToken{}, false, l, signInAgain("the sign-in of "+l.SignedIn.Format(time.RFC3339)+" is over: "+e.Message, err)
	}
	if s.own && !anew && l.usable(s.cache.now()) && !errors.Is(err, context.Canceled) {
		s.cache.warn("the token could not be renewed, the old one is good until %s: %v", l.ExpiresAt.Format(time.RFC3339), err)
		return l.cachedToken, true, l, nil
	}
	return cachedToken{}, false, l, err
}

// tokenOf is an issuer's token as it is kept.
func tokenOf(issued *oauth2.Token, asked time.Time) cachedToken {
	token := cachedToken{AccessToken: issued.AccessToken, TokenType: issued.TokenType, ObtainedAt: asked.UTC()}
	token.Scope, _ = issued.Extra("scope").(string)
	if issued.ExpiresIn > 0 {
		token.ExpiresAt = asked.Add(time.Duration(issued.ExpiresIn) * time.Second).UTC().Truncate(time.Second)
	}
	return token
}
