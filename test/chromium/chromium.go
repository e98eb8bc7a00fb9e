// Package chromium is a real Chromium for tests, and what a person holds beside
// it: passkeys and an authenticator app. What a policy, a cookie, a form and a
// passkey are is decided there and nowhere else.
package chromium

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// Browser is one Chromium with a profile of its own.
type Browser struct {
	T   *testing.T
	ctx context.Context
}

// limit bounds all that is done with one browser.
const limit = 90 * time.Second

// Need finds it. It skips where there is none, or fails where nothing may be
// missing.
func Need(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("OFFKEY_TEST_EXTRAS") == "1" {
		t.Fatal("chromium is missing: run `make setup`")
	}
	t.Skip("chromium is missing: run `make setup`, then this test runs too")
	return ""
}

// Start opens one. It ends with the test.
func Start(t *testing.T) *Browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(Need(t)), chromedp.UserDataDir(t.TempDir()), chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true))
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	tab, cancelTab := chromedp.NewContext(allocated)
	t.Cleanup(cancelTab)
	b := &Browser{T: t, ctx: tab}
	b.ok(chromedp.Do(tab)) // starts it, without the limit below
	ctx, done := context.WithTimeout(tab, limit)
	t.Cleanup(done)
	b.ctx = ctx
	b.Size(1024, 768)
	return b
}

func (b *Browser) ok(err error) {
	b.T.Helper()
	if err != nil {
		b.T.Fatal(err)
	}
}

// Do takes steps, and says where it was when one fails.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.T.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		where, _ := chromedp.Run(context.WithoutCancel(b.ctx), chromedp.Location())
		b.T.Fatalf("at %s: %v", where, err)
	}
}

// Open goes to a page.
func (b *Browser) Open(url string) { b.T.Helper(); b.Do(chromedp.Navigate(url)) }

// See waits for what a selector finds.
func (b *Browser) See(css string) { b.T.Helper(); b.Do(chromedp.WaitVisible(css)) }

// Click waits for it and clicks on it.
func (b *Browser) Click(css string) {
	b.T.Helper()
	b.Do(chromedp.WaitVisible(css), chromedp.Click(css))
}

// Type waits for a field and types into it.
func (b *Browser) Type(css, s string) {
	b.T.Helper()
	b.Do(chromedp.WaitVisible(css), chromedp.SendKeys(css, s))
}

// Size sets the screen.
func (b *Browser) Size(width, height int64) {
	b.T.Helper()
	b.Do(chromedp.EmulateViewport(width, height))
}

// Looks sets what people prefer to look at: light or dark.
func (b *Browser) Looks(scheme string) {
	b.T.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	b.ok(err)
}

// WithoutScripts switches JavaScript off.
func (b *Browser) WithoutScripts() {
	b.T.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.ok(err)
}

// WithAuthenticator plugs in something that holds passkeys and verifies its
// user.
func (b *Browser) WithAuthenticator() {
	b.T.Helper()
	_, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{})
	b.ok(err)
	_, err = chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	b.ok(err)
}

// SavesTo has what is downloaded written to a folder.
func (b *Browser) SavesTo(dir string) {
	b.T.Helper()
	_, err := chromedp.Call(b.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir})
	b.ok(err)
}

// Says evaluates an expression in the page.
func Says[T any](b *Browser, expression string) T {
	b.T.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	b.ok(err)
	return v
}
