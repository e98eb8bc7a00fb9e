package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
)

func zitadel(ctx context.Context, a ask) (rp.RelyingParty, error) {
	return rp.NewRelyingPartyOIDC(ctx, a.Issuer, a.Client, a.Secret, a.Redirect, a.Scope,
		rp.WithSigningAlgsFromDiscovery(), rp.WithHTTPClient(&http.Client{Timeout: 10 * time.Second}))
}

// zitadelCode is the authorization code flow of zitadel/oidc.
func zitadelCode(ctx context.Context, a ask) (g got, err error) {
	party, err := zitadel(ctx, a)
	if err != nil {
		return g, err
	}
	state, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	back, err := browse(rp.AuthURL(state, party, rp.WithCodeChallenge(oauth2.S256ChallengeFromVerifier(verifier))), "")
	if err != nil {
		return g, err
	}
	if back.Get("state") != state {
		return g, errors.New("state came back changed")
	}
	t, err := rp.CodeExchange[*oidc.IDTokenClaims](ctx, back.Get("code"), party, rp.WithCodeVerifier(verifier))
	if err != nil {
		return g, err
	}
	g = got{AccessToken: t.AccessToken, TokenType: t.TokenType, RefreshToken: t.RefreshToken != ""}
	if g.Claims, err = object(t.IDTokenClaims); err != nil {
		return g, err
	}
	info, err := rp.Userinfo[*oidc.UserInfo](ctx, t.AccessToken, t.TokenType, t.IDTokenClaims.Subject, party)
	if err != nil {
		return g, err
	}
	if g.Userinfo, err = object(info); err != nil {
		return g, err
	}
	next, err := rp.RefreshTokens[*oidc.IDTokenClaims](ctx, party, t.RefreshToken, "", "")
	if err != nil {
		return g, err
	}
	g.Refreshed = next.AccessToken
	if err := rp.RevokeToken(ctx, party, next.RefreshToken, "refresh_token"); err != nil {
		return g, err
	}
	out, err := rp.EndSession(ctx, party, t.IDToken, a.Home, "bye", "", nil)
	if err == nil && out != nil {
		g.Logout = out.String()
	}
	return g, err
}

// zitadelDevice is the device flow of zitadel/oidc.
func zitadelDevice(ctx context.Context, a ask) (g got, err error) {
	party, err := zitadel(ctx, a)
	if err != nil {
		return g, err
	}
	device, err := rp.DeviceAuthorization(ctx, a.Scope, party, httphelper.RequestAuthorization(func(*http.Request) {}))
	if err != nil {
		return g, err
	}
	if _, err := browse(device.VerificationURIComplete, device.UserCode); err != nil {
		return g, err
	}
	t, err := rp.DeviceAccessToken(ctx, device.DeviceCode, time.Duration(device.Interval)*time.Second, party)
	if err != nil {
		return g, err
	}
	return got{AccessToken: t.AccessToken, TokenType: t.TokenType, RefreshToken: t.RefreshToken != ""}, nil
}

// object is what JSON makes of v.
func object(v any) (m map[string]any, err error) {
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, &m)
	}
	return m, err
}
