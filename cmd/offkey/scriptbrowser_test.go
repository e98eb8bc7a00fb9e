package main

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// approve is a person with a browser: it waits for the prompt of `offkey login
// --json` in a file, opens the page that it names, signs in and allows it.
//
//	approve FILE NAME PASSWORD-FILE [deny]
func (w *world) approve(ts *testscript.TestScript, _ bool, args []string) {
	need(ts, "approve FILE NAME PASSWORD-FILE [deny]", args, 3)
	var prompt struct {
		URL  string `json:"verification_uri_complete"`
		Code string `json:"user_code"`
	}
	wait(ts, func() (string, bool) {
		raw, err := os.ReadFile(ts.MkAbs(args[0]))
		if err != nil {
			return err.Error(), false
		}
		first, _, _ := strings.Cut(string(raw), "\n")
		return string(raw), json.Unmarshal([]byte(first), &prompt) == nil && prompt.URL != ""
	})
	button := "device-confirm"
	if len(args) > 3 {
		button = "device-deny"
	}
	b := newBrowser(ts)
	b.fill = map[string]string{"username": args[1], "password": strings.TrimSpace(ts.ReadFile(args[2]))}
	page := b.open(http.MethodGet, prompt.URL, nil)
	for range 8 {
		switch {
		case strings.Contains(page, `id="device-done"`):
			return
		case strings.Contains(page, `id="device-confirm"`):
			if !strings.Contains(page, prompt.Code) {
				ts.Fatalf("the page does not show %s:\n%s", prompt.Code, page)
			}
			page = b.press(page, button)
		case strings.Contains(page, `id="login-submit"`):
			page = b.press(page, "login-submit")
		case strings.Contains(page, `id="device-submit"`):
			page = b.press(page, "device-submit")
		default:
			ts.Fatalf("a page that nobody expects:\n%s", page)
		}
	}
	ts.Fatalf("the pages have no end; the last is\n%s", page)
}

// redeem is a person who opens a one-time link and chooses a password; with !
// the page must say that it cannot be used.
//
//	redeem URL NAME PASSWORD-FILE
func (w *world) redeem(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, "redeem URL NAME PASSWORD-FILE", args, 3)
	b := newBrowser(ts)
	password := strings.TrimSpace(ts.ReadFile(args[2]))
	b.fill = map[string]string{"username": args[1], "password": password, "repeat": password}
	page := b.open(http.MethodGet, args[0], nil)
	if !strings.Contains(page, `id="link-submit"`) {
		if !neg {
			ts.Fatalf("the link cannot be used:\n%s", page)
		}
		return
	}
	if page = b.press(page, "link-submit"); strings.Contains(page, `id="link-submit"`) != neg {
		ts.Fatalf("the page after the link is\n%s", page)
	}
}

// browser is as much of one as the sign-in pages need.
type browser struct {
	ts   *testscript.TestScript
	http *http.Client
	at   *url.URL
	fill map[string]string
}

func newBrowser(ts *testscript.TestScript) *browser {
	jar, err := cookiejar.New(nil)
	ts.Check(err)
	return &browser{ts: ts, http: &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

func (b *browser) open(method, target string, form url.Values) string {
	req, err := http.NewRequest(method, target, strings.NewReader(form.Encode()))
	b.ts.Check(err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.http.Do(req)
	b.ts.Check(err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	b.ts.Check(err)
	b.at = resp.Request.URL
	return string(raw)
}

var (
	formTag  = regexp.MustCompile(`(?s)<form [^>]*action="([^"]*)".*?</form>`)
	inputTag = regexp.MustCompile(`<(?:input|button) [^>]*>`)
)

func attribute(tag, name string) string {
	m := regexp.MustCompile(` ` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// press submits the form that has the button.
func (b *browser) press(page, button string) string {
	for _, m := range formTag.FindAllStringSubmatch(page, -1) {
		if !strings.Contains(m[0], `id="`+button+`"`) {
			continue
		}
		form := url.Values{}
		for _, tag := range inputTag.FindAllString(m[0], -1) {
			name := attribute(tag, "name")
			if name == "" || strings.HasPrefix(tag, "<button") && attribute(tag, "id") != button {
				continue
			}
			form.Set(name, attribute(tag, "value"))
			if value, known := b.fill[name]; known {
				form.Set(name, value)
			}
		}
		action, err := b.at.Parse(html.UnescapeString(m[1]))
		b.ts.Check(err)
		return b.open(http.MethodPost, action.String(), form)
	}
	b.ts.Fatalf("no form has the button %s:\n%s", button, page)
	return ""
}
