package app

import (
	"net/url"
	"strings"
	"testing"

	"github.com/offkey/offkey/test/farside"
)

func TestSomebodySignsInByAProvider(t *testing.T) {
	p := runProcess(t, "")
	p.put("ana.password", anasPassword+"\n")
	issuer := p.Addresses().Issuer
	// The configured issuer is not the address that the process listens on: the
	// browser of this test goes to the latter.
	provider := farside.NewProvider(t, "offkey", "the secret of offkey at corp", "http://127.0.0.1:1/upstream/corp")
	provider.Clock = p.Now
	provider.Claims = map[string]any{"sub": "up-7", "preferred_username": "bea", "email": "bea@corp.example", "email_verified": true, "groups": []string{"engineers", "other"}, "hd": "corp.example", "given_name": "Bea"}
	p.write(`
outbound: {allow_private: true}
people:
  groups: [{name: staff, scopes: [read:orders]}]
  users: [{name: ana, email: ana@corp.example, password_file: ana.password}]
trust:
  - {for: "signin:corp", from: "` + provider.URL + `", audience: [offkey], secret: the secret of offkey at corp, where: {hd: [corp.example]}, groups: {engineers: staff}}
clients: [{id: shop, auth: none, grants: [authorization_code], scopes: ["read:orders"], redirect_uris: [https://shop.example/cb]}]
`)
	p.reloads()
	authorize := issuer + "/authorize?" + url.Values{
		"client_id": {"shop"}, "response_type": {"code"}, "redirect_uri": {"https://shop.example/cb"}, "scope": {"read:orders"}, "state": {"st"},
		"code_challenge": {strings.Repeat("c", 43)}, "code_challenge_method": {"S256"},
	}.Encode()
	// arrive goes to the provider and comes back.
	arrive := func(tab *tab) shown {
		t.Helper()
		page := tab.see(tab.http.Get(authorize))
		if !strings.Contains(page.body, `value="corp"`) {
			t.Fatalf("no way to the provider: %d %s", page.status, page.body)
		}
		away := tab.submit(page, "/signin/elsewhere", "upstream", "corp")
		if away.left == nil || !strings.HasPrefix(away.left.String(), provider.URL) {
			t.Fatalf("not sent to the provider: %d %v %s", away.status, away.left, away.body)
		}
		back := tab.see(tab.http.Get(away.left.String()))
		if back.left == nil {
			t.Fatalf("the provider does not send back: %d %s", back.status, back.body)
		}
		return tab.see(tab.http.Get(issuer + back.left.RequestURI()))
	}
	bea := p.openTab()
	page := arrive(bea)
	if page.left != nil || !strings.Contains(page.body, "consent") || !strings.Contains(page.body, "read:orders") {
		t.Fatalf("not asked: %d %v %s", page.status, page.left, page.body)
	}
	page = bea.submit(page, "/consent", "decision", "allow")
	if page.left == nil || page.left.Query().Get("code") == "" {
		t.Fatalf("not let in: %d %v %s", page.status, page.left, page.body)
	}
	account := p.account("bea")
	if account == nil || account.Source != "corp" || account.Email != "bea@corp.example" || !account.EmailVerified || len(account.Groups) != 1 || account.Groups[0] != "staff" {
		t.Errorf("%+v", account)
	}
	t.Run("the same person again, with the groups that they are in now", func(t *testing.T) {
		provider.Claims["groups"], provider.Claims["preferred_username"] = []string{}, "bea-renamed"
		arrive(p.openTab())
		if again := p.account("bea"); again.ID != account.ID || len(again.Groups) != 0 {
			t.Errorf("%+v", again)
		}
	})
	t.Run("an address opens nobody's account", func(t *testing.T) {
		provider.Claims["sub"], provider.Claims["email"], provider.Claims["preferred_username"] = "up-8", "ana@corp.example", "mallory"
		if page := arrive(p.openTab()); page.status != 403 || !strings.Contains(page.body, "already") {
			t.Errorf("%d %s", page.status, page.body)
		}
	})
	t.Run("who is not of the place does not come in", func(t *testing.T) {
		provider.Claims["email"], provider.Claims["hd"] = "m@evil.example", "evil.example"
		if page := arrive(p.openTab()); page.status != 403 || !strings.Contains(page.body, "not among those") {
			t.Errorf("%d %s", page.status, page.body)
		}
	})
}
