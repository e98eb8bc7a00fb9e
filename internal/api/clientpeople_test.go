package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
)

func TestAClientThatActsForPeopleIsMadeAndChanged(t *testing.T) {
	w := newWorld(t)
	made := w.client("shop", "client_secret_basic", "grants", []string{oauth.GrantAuthorizationCode, oauth.GrantRefreshToken},
		"redirect_uris", []string{"https://shop.example/cb"}, "pkce_optional", true, "backchannel_logout_uri", "https://shop.example/out")
	kept := w.stored(made.text("client_id"))
	if !kept.Allows(oauth.GrantAuthorizationCode) || !slices.Equal(kept.RedirectURIs, []string{"https://shop.example/cb"}) || !kept.PKCEOptional ||
		!kept.BackchannelLogoutSession || kept.ApplicationType != client.Web || len(kept.Credentials) != 1 {
		t.Errorf("kept is %+v", kept)
	}
	w.ask(200, "PATCH", "/clients/"+kept.ID, map[string]any{"redirect_uris": []string{"https://shop.example/new"}})
	if got := w.stored(kept.ID); !slices.Equal(got.RedirectURIs, []string{"https://shop.example/new"}) || !got.PKCEOptional {
		t.Errorf("changed to %+v", got.Details)
	}

	public := w.client("cli", "none", "grants", []string{oauth.GrantDeviceCode, oauth.GrantRefreshToken})
	if kept := w.stored(public.text("client_id")); kept.Confidential() || len(kept.Credentials) != 0 || public["client_secret"] != nil {
		t.Errorf("kept is %+v, told %v", kept, public)
	}
}

func TestAClientThatActsForPeopleIsHeldToTheRules(t *testing.T) {
	w := newWorld(t)
	code := []string{oauth.GrantAuthorizationCode}
	for name, tt := range map[string]struct {
		members map[string]any
		want    string
	}{
		"no redirect URI":          {map[string]any{"auth": "client_secret_basic", "grants": code}, "redirect_uris"},
		"redirect without code":    {map[string]any{"auth": "client_secret_basic", "redirect_uris": []string{"https://a.example/cb"}}, "authorization_code"},
		"a fragment":               {map[string]any{"auth": "client_secret_basic", "grants": code, "redirect_uris": []string{"https://a.example/cb#x"}}, "fragment"},
		"plain http":               {map[string]any{"auth": "client_secret_basic", "grants": code, "redirect_uris": []string{"http://a.example/cb"}}, "redirect_uris"},
		"a script":                 {map[string]any{"auth": "client_secret_basic", "grants": code, "redirect_uris": []string{"javascript:alert(1)"}}, "redirect_uris"},
		"public without grants":    {map[string]any{"auth": "none"}, "cannot act for itself"},
		"public acting for itself": {map[string]any{"auth": "none", "grants": []string{oauth.GrantDeviceCode, oauth.GrantClientCredentials}}, "prove"},
		"public without PKCE":      {map[string]any{"auth": "none", "grants": code, "redirect_uris": []string{"https://a.example/cb"}, "pkce_optional": true}, "pkce_optional"},
		"refresh of nothing":       {map[string]any{"auth": "client_secret_basic", "grants": []string{oauth.GrantRefreshToken}}, "refresh_token"},
		"an unknown grant":         {map[string]any{"auth": "client_secret_basic", "grants": []string{"password"}}, "password"},
	} {
		tt.members["name"] = "x"
		answer := mustJSON(t, w.ask(400, "POST", "/clients", tt.members))
		if !strings.Contains(answer, tt.want) {
			t.Errorf("%s: %s does not say %q", name, answer, tt.want)
		}
	}
}
