package interop

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser is one that a person holds: it keeps cookies, follows redirects within
// the issuer, and fills in the pages by the ids that they promise.
type browser struct {
	t      *testing.T
	issuer string
	client *http.Client
	// pages are the ids of the buttons that were pressed.
	pages []string
	// leave has the person say no where they are asked.
	leave bool
}

const (
	personName     = "ana"
	personPassword = "paper boats in the harbour"
)

func newBrowser(t *testing.T, issuer string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, issuer: issuer, client: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// buttons are those that a person presses, in the order in which a page that has
// several is answered, with what they fill in before.
var buttons = []struct {
	id   string
	fill map[string]string
}{
	{"login-submit", map[string]string{"username": personName, "password": personPassword}},
	{"consent-allow", map[string]string{"decision": "allow"}},
	{"device-submit", nil},
	{"device-confirm", map[string]string{"decision": "allow"}},
	{"logout-confirm", map[string]string{"decision": "yes"}},
}

// visit goes to a page and on until the browser has left the issuer, or nothing
// is left to do there; it returns the address and, of the latter, the text.
func (b *browser) visit(at string) (address, page string) {
	b.t.Helper()
	r, err := http.NewRequest(http.MethodGet, at, nil)
	for range 20 {
		if err != nil {
			b.t.Fatal(err)
		}
		at = r.URL.String()
		if !strings.HasPrefix(at, b.issuer+"/") {
			return at, ""
		}
		resp, doErr := b.client.Do(r)
		if doErr != nil {
			b.t.Fatal(doErr)
		}
		body, readErr := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if readErr != nil {
			b.t.Fatal(readErr)
		}
		if location, lErr := resp.Location(); lErr == nil {
			r, err = http.NewRequest(http.MethodGet, location.String(), nil)
			continue
		}
		if r, err = b.press(resp.Request.URL, string(body)); r == nil && err == nil {
			return at, string(body)
		}
	}
	b.t.Fatalf("%s leads in circles: %v", at, b.pages)
	return "", ""
}

var (
	forms  = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)".*?</form>`)
	inputs = regexp.MustCompile(`<input [^>]*>`)
	attr   = func(name string) *regexp.Regexp { return regexp.MustCompile(` ` + name + `="([^"]*)"`) }
	names  = attr("name")
	values = attr("value")
)

// press fills in the form of the first button that the page has, and sends it.
func (b *browser) press(base *url.URL, page string) (*http.Request, error) {
	for _, button := range buttons {
		for _, form := range forms.FindAllStringSubmatch(page, -1) {
			if !strings.Contains(form[0], `id="`+button.id+`"`) {
				continue
			}
			b.pages = append(b.pages, button.id)
			sent := url.Values{}
			for _, input := range inputs.FindAllString(form[0], -1) {
				if name := names.FindStringSubmatch(input); name != nil {
					value := values.FindStringSubmatch(input)
					sent.Set(name[1], "")
					if value != nil {
						sent.Set(name[1], html.UnescapeString(value[1]))
					}
				}
			}
			for name, value := range button.fill {
				sent.Set(name, value)
			}
			if b.leave && sent.Get("decision") == "allow" {
				sent.Set("decision", "deny")
			}
			action, err := base.Parse(html.UnescapeString(form[1]))
			if err != nil {
				return nil, err
			}
			r, err := http.NewRequest(http.MethodPost, action.String(), strings.NewReader(sent.Encode()))
			if err == nil {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Origin", base.Scheme+"://"+base.Host)
				r.Header.Set("Sec-Fetch-Site", "same-origin")
			}
			return r, err
		}
	}
	return nil, nil
}
