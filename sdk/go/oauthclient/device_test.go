package oauthclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// deviceIssuer is an issuer with a device flow: it answers polls in turn, and
// knows one refresh token at a time.
type deviceIssuer struct {
	*httptest.Server
	mu      sync.Mutex
	start   map[string]any    // members of the device response, as changed
	answers []string          // error codes of the polls; "" is a token
	drop    map[string]bool   // members of the metadata that are left out
	forms   []url.Values      // what was asked of the token endpoint
	begun   url.Values        // what was asked of the device endpoint
	revoked map[string]string // token to client
	refresh string
}

func newDeviceIssuer(t *testing.T) *deviceIssuer {
	t.Helper()
	d := &deviceIssuer{start: map[string]any{}, drop: map[string]bool{}, revoked: map[string]string{}}
	d.Server = httptest.NewServer(http.HandlerFunc(d.serve))
	t.Cleanup(d.Close)
	return d
}

func (d *deviceIssuer) config() *oauthclient.Config {
	return &oauthclient.Config{Issuer: d.URL, ClientID: "cli", AuthMethod: oauthclient.None, Scopes: []string{"openid", "read:orders"}}
}

func (d *deviceIssuer) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = r.ParseForm()
	reply := func(status int, body map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	switch r.URL.Path {
	case "/.well-known/oauth-authorization-server":
		body := map[string]any{"issuer": d.URL, "token_endpoint": d.URL + "/token", "device_authorization_endpoint": d.URL + "/device", "revocation_endpoint": d.URL + "/revoke", "userinfo_endpoint": d.URL + "/userinfo"}
		for name := range d.drop {
			delete(body, name)
		}
		reply(200, body)
	case "/device":
		d.begun = r.PostForm
		body := map[string]any{"device_code": "dc-1", "user_code": "BCDF-GHJK", "verification_uri": d.URL + "/d", "verification_uri_complete": d.URL + "/d?user_code=BCDF-GHJK", "expires_in": 60, "interval": 0.01}
		for name, value := range d.start {
			body[name] = value
		}
		reply(200, body)
	case "/token":
		d.forms = append(d.forms, r.PostForm)
		code := ""
		if len(d.answers) > 0 {
			code, d.answers = d.answers[0], d.answers[1:]
		}
		if r.PostForm.Get("grant_type") == "refresh_token" && r.PostForm.Get("refresh_token") != d.refresh {
			code = "invalid_grant"
		}
		switch code {
		case "":
			d.refresh += "r"
			body := map[string]any{"access_token": "at-" + d.refresh, "token_type": "Bearer", "expires_in": 900, "scope": "read:orders", "refresh_token": d.refresh}
			reply(200, body)
		case "500":
			reply(500, map[string]any{})
		default:
			reply(400, map[string]any{"error": code})
		}
	case "/revoke":
		d.revoked[r.PostForm.Get("token")] = r.PostForm.Get("client_id")
		reply(200, map[string]any{})
	case "/userinfo":
		if r.Header.Get("Authorization") != "Bearer at-r" {
			reply(401, map[string]any{"error": "invalid_token"})
			return
		}
		reply(200, map[string]any{"sub": "pe_1", "name": "Ana"})
	default:
		http.NotFound(w, r)
	}
}

func TestAPersonSignsInOnAnotherDevice(t *testing.T) {
	d := newDeviceIssuer(t)
	d.answers = []string{"authorization_pending", "authorization_pending", "500", ""}
	c := d.config()
	c.Resource = "https://api.example.com"
	prompt, err := c.StartDevice(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if prompt.UserCode != "BCDF-GHJK" || prompt.CompleteURL != d.URL+"/d?user_code=BCDF-GHJK" || time.Until(prompt.Expires) > time.Minute {
		t.Errorf("%+v", prompt)
	}
	if got := d.begun; got.Get("client_id") != "cli" || got.Get("scope") != "openid read:orders" || got.Get("resource") != "https://api.example.com" || got.Has("client_assertion") || got.Has("client_secret") {
		t.Errorf("it asked %v", got)
	}
	token, err := c.WaitDevice(t.Context(), prompt)
	if err != nil || token.AccessToken != "at-r" || token.RefreshToken != "r" || token.Extra("scope") != "read:orders" {
		t.Fatalf("%+v, %v", token, err)
	}
	if len(d.forms) != 4 || d.forms[0].Get("device_code") != "dc-1" || d.forms[0].Get("client_id") != "cli" {
		t.Errorf("it polled %v", d.forms)
	}
	claims, err := c.Userinfo(t.Context(), oauthclient.Secret(token.AccessToken))
	if err != nil || claims["sub"] != "pe_1" {
		t.Errorf("%v, %v", claims, err)
	}
	next, err := c.Refresh(t.Context(), oauthclient.Secret(token.RefreshToken))
	if err != nil || next.AccessToken != "at-rr" || next.RefreshToken != "rr" {
		t.Errorf("%+v, %v", next, err)
	}
	if _, err := c.Refresh(t.Context(), "r"); codeOf(err) != "invalid_grant" {
		t.Errorf("the old refresh token: %v", err)
	}
	if err := c.RevokeToken(t.Context(), "rr"); err != nil || d.revoked["rr"] != "cli" {
		t.Errorf("%v, %v", d.revoked, err)
	}
}

func codeOf(err error) string {
	var e *oauthclient.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestAnAnswerThatEndsTheWaitIsTold(t *testing.T) {
	for _, code := range []string{"access_denied", "expired_token", "invalid_grant"} {
		d := newDeviceIssuer(t)
		d.answers = []string{"authorization_pending", code, ""}
		prompt, err := d.config().StartDevice(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.config().WaitDevice(t.Context(), prompt); codeOf(err) != code {
			t.Errorf("%s: %v", code, err)
		}
	}
	d := newDeviceIssuer(t)
	d.start["expires_in"] = 0.05
	d.answers = make([]string, 0)
	for range 100 {
		d.answers = append(d.answers, "authorization_pending")
	}
	prompt, err := d.config().StartDevice(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.config().WaitDevice(t.Context(), prompt); codeOf(err) != "expired_token" {
		t.Errorf("nobody came: %v", err)
	}
}

func TestToldToSlowDownItPollsLater(t *testing.T) { // RFC 8628 §3.5
	d := newDeviceIssuer(t)
	d.answers = []string{"slow_down", ""}
	prompt, err := d.config().StartDevice(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := d.config().WaitDevice(ctx, prompt); !errors.Is(err, context.DeadlineExceeded) || len(d.forms) != 1 {
		t.Errorf("it polled %d times: %v", len(d.forms), err)
	}
}

func TestADeviceFlowThatCannotBeTrusted(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(d *deviceIssuer)
		want   string
	}{
		"without a device endpoint":       {func(d *deviceIssuer) { d.drop["device_authorization_endpoint"] = true }, "not_supported"},
		"a page in the clear":             {func(d *deviceIssuer) { d.start["verification_uri"] = "http://auth.example.com/d" }, "insecure_url"},
		"a page that is no URL":           {func(d *deviceIssuer) { d.start["verification_uri_complete"] = "javascript:alert(1)" }, "bad_config"},
		"without a user code":             {func(d *deviceIssuer) { d.start["user_code"] = "" }, "bad_response"},
		"without a device code":           {func(d *deviceIssuer) { d.start["device_code"] = nil }, "bad_response"},
		"that has expired when it begins": {func(d *deviceIssuer) { d.start["expires_in"] = 0 }, "bad_response"},
		"an interval that is no number":   {func(d *deviceIssuer) { d.start["interval"] = "often" }, "bad_response"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDeviceIssuer(t)
			tc.change(d)
			if _, err := d.config().StartDevice(t.Context()); codeOf(err) != tc.want {
				t.Errorf("%v", err)
			}
		})
	}
	d := newDeviceIssuer(t)
	d.start["user_code"] = "BC\x1b[2JDF\n"
	if prompt, err := d.config().StartDevice(t.Context()); err != nil || strings.ContainsAny(prompt.UserCode, "\x1b\n") {
		t.Errorf("it would write to the terminal: %q, %v", prompt.UserCode, err)
	}
	c := d.config()
	c.Secret = "a secret that a public client cannot have"
	if _, err := c.StartDevice(t.Context()); codeOf(err) != "bad_config" {
		t.Errorf("a public client with a secret: %v", err)
	}
}
