package app

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func TestPeopleSignInToTheirAccount(t *testing.T) {
	p := runProcess(t, "")
	p.put("ana.password", anasPassword+"\n")
	p.write("people: {users: [{name: ana, password_file: ana.password}]}\n")
	p.reloads()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	page := func(resp *http.Response, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	issuer := p.Addresses().Issuer
	shown := page(browser.Get(issuer + "/account"))
	form := url.Values{"username": {"ana"}, "password": {anasPassword}}
	for _, field := range regexp.MustCompile(`type="hidden" name="(csrf|r)" value="([^"]*)"`).FindAllStringSubmatch(shown, -1) {
		form.Set(field[1], field[2])
	}
	if account := page(browser.PostForm(issuer+"/signin", form)); !strings.Contains(account, "Where you are signed in") {
		t.Errorf("got %s after %s", account, shown)
	}
	if metadata := page(browser.Get(issuer + "/.well-known/oauth-authorization-server")); !strings.Contains(metadata, "token_endpoint") {
		t.Errorf("the authorization server answers %s", metadata)
	}
}
