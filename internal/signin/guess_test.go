package signin_test

import (
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/directory"
)

// plain is a page without what differs between two requests in any case.
func plain(p page) string {
	body := regexp.MustCompile(`(name="(csrf|r|challenge)" value|data-options)="[^"]*"`).ReplaceAllString(p.body, "$1")
	return strings.NewReplacer("nobody", "NAME", "noone", "NAME", "off", "NAME", "ana", "NAME").Replace(body)
}

func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	w := newWorld(t)
	w.withApp(w.person("ana", anasPassword))
	off := w.person("off", anasPassword)
	_, err := w.db.UpdateAccount(t.Context(), off.ID, func(a *directory.Account) error { a.Status = directory.Disabled; return nil }, did)
	w.ok(err)
	w.person("noone", "")
	w.group("shut", func(*directory.Group) {})
	w.person("nobody", anasPassword, func(a *directory.Account) { a.Groups = append(a.Groups, "shut") })
	w.group("shut", func(g *directory.Group) { g.Policy.Interactive = directory.Forbid })
	seen := map[string]page{}
	for name, login := range map[string]string{"wrong password": "ana", "no account": "nobody-at-all", "disabled": "off", "no password": "noone", "forbidden": "nobody"} {
		b := w.browser()
		p := b.authorize(asks()).login(login, "a wrong password")
		p.body = strings.ReplaceAll(p.body, "nobody-at-all", "NAME")
		seen[name] = p.is(http.StatusUnauthorized).at("/signin", "Name or password is not right")
		if set := p.header.Values("Set-Cookie"); len(set) != 0 {
			t.Errorf("%s sets %v", name, set)
		}
	}
	want := plain(seen["no account"])
	for name, p := range seen {
		if plain(p) != want {
			t.Errorf("%s shows\n%s\nand no account\n%s", name, plain(p), want)
		}
	}
}

func TestANameThatNobodyHasTakesAsLong(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	w.person("noone", "")
	p := w.browser().authorize(asks())
	p.login("nobody-at-all", "a wrong password") // makes the hash that is compared for nobody
	names := []string{"ana", "nobody-at-all", "noone"}
	took := map[string][]time.Duration{}
	for range 9 { // in turn, so that what else the machine does slows all alike
		for _, name := range names {
			at := time.Now()
			p.login(name, "a wrong password").is(http.StatusUnauthorized)
			took[name] = append(took[name], time.Since(at))
		}
	}
	for _, name := range names {
		slices.Sort(took[name])
	}
	ana := took["ana"]
	for _, name := range names[1:] {
		// The quickest says most about the work, since nothing was in its way. Bounds
		// are wide for busy machines; without the work it is a hundred times less.
		if other := took[name]; other[0] < ana[0]/10 || other[0] > ana[0]*10 {
			t.Errorf("%s took %v, ana %v", name, other, ana)
		}
	}
}

func TestGuessingIsSlowedAndLocksNobodyOut(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	w.person("ben", anasPassword)
	anas := w.browser()
	anas.authorize(asks()).login("ana", anasPassword).at("/consent")

	home := w.source
	w.source = netip.MustParseAddr("203.0.113.66")
	attacker := w.browser()
	guesses := func(name string, n int) (last page) {
		p := attacker.authorize(asks())
		for range n {
			last = p.login(name, "a wrong password")
		}
		return last
	}
	guesses("ana", 10).is(http.StatusUnauthorized)
	p := guesses("ana", 1).is(http.StatusTooManyRequests).at("/signin", "Too many tries")
	if p.header.Get("Retry-After") == "" {
		t.Error("checklist_17: no Retry-After")
	}
	t.Run("and the right password is not told from a wrong one then", func(t *testing.T) {
		attacker.authorize(asks()).login("ana", anasPassword).is(http.StatusTooManyRequests)
	})
	t.Run("a name that nobody has is slowed alike", func(t *testing.T) {
		w.source = netip.MustParseAddr("203.0.113.67")
		guesses("no-such-name", 10).is(http.StatusUnauthorized)
		guesses("no-such-name", 1).is(http.StatusTooManyRequests)
	})
	t.Run("the owner signs in where they have before, from that network too", func(t *testing.T) {
		w.source = netip.MustParseAddr("203.0.113.66")
		anas.get("/signout").send(`id="logout-confirm"`, "decision", "yes")
		anas.authorize(asks()).login("ana", anasPassword).at("/consent")
		w.source = home
	})
	t.Run("and with a new browser from elsewhere", func(t *testing.T) {
		w.browser().authorize(asks()).login("ana", anasPassword).at("/consent")
	})
	t.Run("a known browser guesses no more than a stranger", func(t *testing.T) {
		w.source = home
		anas.get("/signout").send(`id="logout-confirm"`, "decision", "yes")
		p := anas.authorize(asks())
		for range 10 {
			p.login("ana", "a wrong password").is(http.StatusUnauthorized)
		}
		p.login("ana", anasPassword).is(http.StatusTooManyRequests)
	})
	t.Run("waiting helps", func(t *testing.T) {
		w.advance(20 * time.Minute)
		anas.authorize(asks()).login("ana", anasPassword).at("/consent")
	})
}

func TestAKnownBrowserIsKnownToItsPeopleOnly(t *testing.T) {
	w := newWorld(t)
	w.person("ana", anasPassword)
	w.person("ben", anasPassword)
	b := w.browser()
	b.authorize(asks()).login("ana", anasPassword).at("/consent")
	known := b.cookie("__Host-offkey-known")
	if known == "" || strings.Contains(known, "ana") {
		t.Fatalf("the cookie is %q", known)
	}
	stolen := w.browser()
	stolen.header.Set("Cookie", "__Host-offkey-known="+known)
	w.source = netip.MustParseAddr("203.0.113.66")
	p := stolen.authorize(asks())
	stolen.header.Del("Cookie")
	for range 10 {
		p.login("ben", "a wrong password")
	}
	p.login("ben", anasPassword).is(http.StatusTooManyRequests)
}
