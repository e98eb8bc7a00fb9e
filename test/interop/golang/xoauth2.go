package main

import (
	"context"
	"errors"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

func config(a ask, endpoint oauth2.Endpoint) oauth2.Config {
	return oauth2.Config{ClientID: a.Client, ClientSecret: a.Secret, Endpoint: endpoint, RedirectURL: a.Redirect, Scopes: a.Scope}
}

// goOIDC is the authorization code flow of golang.org/x/oauth2, with discovery
// and verification by coreos/go-oidc.
func goOIDC(ctx context.Context, a ask) (g got, err error) {
	provider, err := oidc.NewProvider(ctx, a.Issuer)
	if err != nil {
		return g, err
	}
	c := config(a, provider.Endpoint())
	state, nonce, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	begin := []oauth2.AuthCodeOption{oidc.Nonce(nonce)}
	var end []oauth2.AuthCodeOption
	if !a.NoPKCE {
		begin, end = append(begin, oauth2.S256ChallengeOption(verifier)), append(end, oauth2.VerifierOption(verifier))
	}
	back, err := browse(c.AuthCodeURL(state, begin...), "")
	if err != nil {
		return g, err
	}
	if back.Get("state") != state || back.Get("iss") != a.Issuer {
		return g, errors.New("state or iss came back changed")
	}
	t, err := c.Exchange(ctx, back.Get("code"), end...)
	if err != nil {
		return g, err
	}
	if g, err = verified(ctx, provider, a, t); err != nil {
		return g, err
	}
	if g.Claims["nonce"] != nonce {
		return g, errors.New("the nonce came back changed")
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(t))
	if err != nil {
		return g, err
	}
	if err := info.Claims(&g.Userinfo); err != nil {
		return g, err
	}
	return g, refresh(ctx, c, t, &g)
}

// verified checks the ID token of a response and reads it.
func verified(ctx context.Context, provider *oidc.Provider, a ask, t *oauth2.Token) (g got, err error) {
	g = got{AccessToken: t.AccessToken, TokenType: t.TokenType, RefreshToken: t.RefreshToken != ""}
	raw, ok := t.Extra("id_token").(string)
	if !ok {
		return g, errors.New("no id_token")
	}
	id, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: a.Client}).Verify(ctx, raw)
	if err != nil {
		return g, err
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(t.AccessToken); err != nil {
			return g, err
		}
	}
	return g, id.Claims(&g.Claims)
}

// refresh gets the next access token, where there is a refresh token.
func refresh(ctx context.Context, c oauth2.Config, t *oauth2.Token, g *got) error {
	if t.RefreshToken == "" {
		return nil
	}
	next, err := c.TokenSource(ctx, &oauth2.Token{RefreshToken: t.RefreshToken}).Token()
	if err == nil {
		g.Refreshed = next.AccessToken
	}
	return err
}

// xDevice is the device flow of golang.org/x/oauth2.
func xDevice(ctx context.Context, a ask) (g got, err error) {
	provider, err := oidc.NewProvider(ctx, a.Issuer)
	if err != nil {
		return g, err
	}
	c := config(a, provider.Endpoint())
	device, err := c.DeviceAuth(ctx)
	if err != nil {
		return g, err
	}
	if _, err := browse(device.VerificationURIComplete, device.UserCode); err != nil {
		return g, err
	}
	t, err := c.DeviceAccessToken(ctx, device)
	if err != nil {
		return g, err
	}
	if g, err = verified(ctx, provider, a, t); err != nil {
		return g, err
	}
	return g, refresh(ctx, c, t, &g)
}
