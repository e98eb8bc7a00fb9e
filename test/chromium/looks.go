package chromium

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// LooksRight checks what every page holds to, in light and dark and on a narrow
// screen, and takes a picture of each for whoever wants to look at the pages:
// with OFFKEY_SCREENSHOTS=DIR they are written there.
func (b *Browser) LooksRight(name string) {
	b.T.Helper()
	for _, look := range []struct {
		suffix, scheme string
		width          int64
	}{{"light", "light", 1024}, {"dark", "dark", 1024}, {"narrow", "light", 320}} {
		b.Looks(look.scheme)
		b.Size(look.width, 700)
		b.shoot(name + "-" + look.suffix)
		if wide := b.width(); wide > look.width {
			b.T.Errorf("%s is %d px wide on a screen of %d", name, wide, look.width)
		}
	}
	b.Looks("light")
	b.Size(1024, 768)
	b.labelled(name)
}

func (b *Browser) shoot(name string) {
	b.T.Helper()
	dir := os.Getenv("OFFKEY_SCREENSHOTS")
	if dir == "" {
		return
	}
	raw, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	b.ok(err)
	b.ok(os.WriteFile(filepath.Join(dir, name+".png"), raw, 0o600))
}

// width is how wide the page is.
func (b *Browser) width() int64 {
	b.T.Helper()
	m, err := chromedp.Call(b.ctx, page.GetLayoutMetrics, cdp.Empty{})
	b.ok(err)
	return int64(m.CSSContentSize.Width)
}

// labelled checks by the accessibility tree that everything that can be typed
// into or pressed has a name.
func (b *Browser) labelled(name string) {
	b.T.Helper()
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	b.ok(err)
	controls := 0
	for _, n := range tree.Nodes {
		role := axText(n.Role)
		if n.Ignored || !slices.Contains([]string{"button", "textbox", "link"}, role) {
			continue
		}
		if controls++; axText(n.Name) == "" {
			b.T.Errorf("%s: a %s has no name", name, role)
		}
	}
	if controls == 0 {
		b.T.Errorf("%s: nothing to use was found", name)
	}
}

func axText(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return strings.Trim(string(v.Value), `"`)
}
