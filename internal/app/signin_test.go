package app

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/policy"
)

func newJar(t *testing.T) http.CookieJar {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return jar
}

func TestPeopleSignInToTheirAccount(t *testing.T) {
	p := runProcess(t, "")
	p.put("ana.password", anasPassword+"\n")
	p.write("people: {users: [{name: ana, password_file: ana.password}]}\n")
	p.reloads()
	browser := &http.Client{Jar: newJar(t)}
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
	t.Run("who is told of it by mail, and mailed what they ask for", func(t *testing.T) {
		p.write("people: {users: [{name: ana, email: ana@example.com, password_file: ana.password}]}\n")
		p.reloads()
		ben := &directory.Person{ID: directory.NewID(), Name: "ben", Email: "ben@example.com", Status: directory.Active, Source: directory.SourceAPI, Created: p.Now()}
		if err := p.db.CreateAccount(t.Context(), &directory.Account{Person: ben}, system("person.created", ben.ID)); err != nil {
			t.Fatal(err)
		}
		stranger := &http.Client{Jar: newJar(t)}
		send := func(path, to, name string) {
			form := url.Values{"username": {name}, "password": {anasPassword}}
			for _, field := range regexp.MustCompile(`type="hidden" name="(csrf|r)" value="([^"]*)"`).FindAllStringSubmatch(page(stranger.Get(issuer+path)), -1) {
				form.Set(field[1], field[2])
			}
			page(stranger.PostForm(issuer+to, form))
		}
		send("/account", "/signin", "ana")
		send("/forgot", "/forgot", "ana") // whose password is of the file
		send("/forgot", "/forgot", "ben")
		for deadline := time.Now().Add(patience); len(p.outboxFiles()) < 2; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("waited in vain")
			}
		}
		messages := ""
		for _, file := range p.outboxFiles() {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			messages += string(raw)
		}
		if strings.Count(messages, "To: <ana@") != 1 || !strings.Contains(messages, "new browser") || strings.Count(messages, "To: <ben@") != 1 || !strings.Contains(messages, "/reset?token") {
			t.Errorf("got %s", messages)
		}
	})
	t.Run("and reads whose pages they are", func(t *testing.T) {
		if _, err := p.db.UpdateSettings(t.Context(), func(s *policy.Settings) error {
			s.Service = "Harbour Boats"
			return nil
		}, system("service.named", "service")); err != nil {
			t.Fatal(err)
		}
		if shown := page(browser.Get(issuer + "/account")); !strings.Contains(shown, "<footer>Harbour Boats</footer>") {
			t.Errorf("got %s", shown)
		}
	})
	if metadata := page(browser.Get(issuer + "/.well-known/oauth-authorization-server")); !strings.Contains(metadata, "token_endpoint") {
		t.Errorf("the authorization server answers %s", metadata)
	}
}
