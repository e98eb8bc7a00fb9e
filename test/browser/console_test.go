package browser

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/offkey/offkey/test/binary"
	"github.com/offkey/offkey/test/chromium"
)

// consolePages are all pages, with something that each must show.
var consolePages = []struct{ path, name, shows string }{
	{"/", "overview", "What holds us up"}, {"/apikeys", "apikeys", "…0123"}, {"/callers", "callers", "billing"}, {"/routes?method=GET&path=/v1/orders/7", "routes", "Try a call"},
	{"/plan?stage=upgrade_only&window=14d", "plan", "Would be refused"}, {"/campaign", "campaign", "Cohorts"}, {"/leaks", "leaks", "No leak is on record"},
	{"/evidence?verify=1", "evidence", "whole"}, {"/people", "people", "Groups and policies"}, {"/trust", "trust", "Signing keys"}, {"/health", "health", "Check"}, {"/settings", "settings", "gateway.resource"},
}

// TestConsole is an operator without a terminal: the link of the start, the
// first administrator, every page, and an apikey moved along the road.
func TestConsole(t *testing.T) {
	chromium.Need(t)
	server := binary.Up(t, keyedAPI(t))
	learn(t, server)
	server.CLI(t, nil, "clients", "create", "--name", "billing", "--auth", "client_secret_basic", "--scopes", "read:orders")
	w := &world{t: t, issuer: server.Console}
	b := w.browser()

	b.Do(chromedp.Navigate(server.Setup))
	b.Type("#username", "ana")
	b.Type("#password", password)
	b.Type("#repeat", password)
	b.Do(chromedp.Submit("#password"))
	b.settled()
	b.Open(server.Console + "/")
	b.Do(chromedp.WaitReady("body"))
	if strings.HasPrefix(chromium.Says[string](b.Browser, "location.href"), server.Issuer) { // the set-up signs nobody in
		b.login()
	}
	b.See("#main h1")
	if title := chromium.Says[string](b.Browser, `document.querySelector("h1").textContent`); title != "Overview" {
		t.Fatalf("at %s: %s\n%s", chromium.Says[string](b.Browser, "location.href"), title, server.Log())
	}
	for _, p := range consolePages {
		b.Open(server.Console + p.path)
		b.See("#main h1")
		if text := chromium.Says[string](b.Browser, `document.body.innerText`); !strings.Contains(text, p.shows) {
			t.Errorf("%s does not show %q:\n%s", p.path, p.shows, text)
		}
		b.LooksRight("console-" + p.name)
	}

	b.Open(server.Console + "/apikeys")
	b.Click("table a")
	b.See(".impact")
	b.LooksRight("console-apikey")
	b.Do(chromedp.SetValue(`form[action="/do/stage"] select`, "retired"), chromedp.Click(`form[action="/do/stage"] button`))
	b.See("#confirm")
	b.LooksRight("console-confirm")
	if status := call(t, server.Gateway+"/v1/orders", apikey, ""); status != http.StatusOK {
		t.Errorf("before it is confirmed: %d", status)
	}
	b.Click("#confirm")
	b.See(".done")
	if status := call(t, server.Gateway+"/v1/orders", apikey, ""); status != http.StatusUnauthorized {
		t.Errorf("once it is retired: %d", status)
	}
	var audit struct {
		Entries []struct{ Actor, Action string }
	}
	server.CLI(t, &audit, "audit")
	last := audit.Entries[len(audit.Entries)-1]
	if !strings.HasPrefix(last.Actor, "person:pe_") {
		t.Errorf("the audit says %+v", last)
	}
}

// settled waits until the page that a form leads to is there.
func (b *browser) settled() {
	b.w.t.Helper()
	time.Sleep(300 * time.Millisecond)
	b.Do(chromedp.WaitReady("body"))
}
