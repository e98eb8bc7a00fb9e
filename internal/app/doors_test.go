package app

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/config"
	"github.com/offkey/offkey/internal/directory"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/secret"
	"github.com/offkey/offkey/test/farside"
)

// somebody is a person with every way to prove themselves.
type somebody struct {
	id, name string
	app      secret.Text
	recovery []string
	passkey  *farside.Authenticator
}

// house is an offkey on localhost, where browsers make passkeys, with a provider
// where people sign in too.
type house struct {
	*world
	process  *process
	provider *farside.Provider
	secret   string
}

var didIt = audit.Event{Actor: "os:0", Action: "test", Object: "it"}

const pkceVerifier, pkceChallenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636 appendix B

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{secret: strings.Repeat("s", 40)}
	h.world = newWorld(t, func(c *config.Config) {
		c.Issuer = strings.Replace(c.Issuer, "127.0.0.1", "localhost", 1)
		c.Outbound.AllowPrivate = true
		h.provider = farside.NewProvider(t, "offkey", "the secret of offkey at corp", c.Issuer+"/upstream/corp")
		c.Trust = []config.Trust{{For: "people", From: h.provider.URL}, {For: "signin:corp", From: h.provider.URL, Audience: []string{"offkey"}, Secret: secret.NewText("the secret of offkey at corp")}}
		people := config.Client{
			ID: "shop", Auth: "client_secret_basic", Secret: secret.NewText(h.secret), Grants: []string{"authorization_code", "refresh_token", "client_credentials"},
			Scopes: []string{"openid", "read:orders"}, RedirectURIs: []string{"https://shop.example/cb"},
		}
		middle := config.Client{ID: "middle", Auth: "client_secret_basic", Secret: secret.NewText(h.secret), Grants: []string{"token_exchange"}, Scopes: []string{"read:orders"}}
		middle.Exchange.From = []string{"shop"}
		c.Clients = []config.Client{people, middle, {ID: "agent", Auth: "client_secret_basic", Secret: secret.NewText(h.secret), Grants: []string{"jwt_bearer"}, Scopes: []string{"read:orders"}}, {ID: "cli", Auth: "none", Grants: []string{"device_code", "refresh_token"}, Scopes: []string{"read:orders"}}}
	})
	h.addresses.Issuer = h.views.file.Load().Issuer
	h.process = &process{App: h.App, TB: t}
	h.setGroup("staff", func(g *directory.Group) { g.Scopes = oauth.Scope{"read:orders"} })
	return h
}

func (h *house) setGroup(name string, change func(*directory.Group)) {
	h.Helper()
	if _, err := h.db.UpdateGroup(h.Context(), name, func(g *directory.Group, _ bool) error {
		g.Source = directory.SourceAPI
		change(g)
		return nil
	}, didIt); err != nil {
		h.Fatal(err)
	}
}

// moveIn makes somebody.
func (h *house) moveIn(name string) *somebody {
	h.Helper()
	ctx := h.Context()
	s := &somebody{id: directory.NewID(), name: name, app: directory.NewTOTPSecret(), passkey: farside.NewAuthenticator(h.T, h.addresses.Issuer)}
	s.passkey.Holder = []byte(s.id)
	a := &directory.Account{
		Person:   &directory.Person{ID: s.id, Name: name, Email: name + "@example.com", Status: directory.Active, Groups: []string{"staff"}, Source: directory.SourceAPI, Created: h.now()},
		Passkeys: []directory.Passkey{{ID: s.passkey.ID, PersonID: s.id, Name: "blue", Key: s.passkey.COSE(), Created: h.now()}},
	}
	people := h.views.people
	err := h.db.CreateUpstreamAccount(ctx, h.provider.URL, "up-"+name, a, didIt)
	for _, step := range []func() error{
		func() error { return people.SetPassword(ctx, s.id, anasPassword) },
		func() error {
			return people.SetTOTP(ctx, s.id, people.SealTOTP(s.id, s.app), farside.CodeOf([]byte(s.app.Reveal()), h.now()))
		},
		func() (err error) { s.recovery, err = people.NewRecoveryCodes(ctx, s.id); return err },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		h.Fatal(err)
	}
	h.pass(time.Minute) // each code of an app is good once
	return s
}

// tab opens a browser's.
func (h *house) tab() *tab { return h.process.openTab() }

// ask is where a client sends somebody.
func (h *house) ask(more ...string) string {
	q := url.Values{
		"client_id": {"shop"}, "response_type": {"code"}, "redirect_uri": {"https://shop.example/cb"}, "scope": {"openid read:orders"}, "state": {"st"},
		"code_challenge": {pkceChallenge}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return h.addresses.Issuer + "/authorize?" + q.Encode()
}

func (t *tab) open(url string) shown {
	t.Helper()
	return t.see(t.http.Get(url))
}

// stop is where a browser would go next.
func (t *tab) stop(do func() shown) shown {
	t.Helper()
	follow := t.http.CheckRedirect
	defer func() { t.http.CheckRedirect = follow }()
	t.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return do()
}

var passkeyOptions = regexp.MustCompile(`data-passkey="get" data-options="([^"]*)"`)

// passkey signs in on the page to sign in.
func (t *tab) passkey(page shown, s *somebody) shown {
	t.Helper()
	options := passkeyOptions.FindStringSubmatch(page.body)
	if options == nil {
		t.Fatalf("no passkey is asked for: %d %s", page.status, page.body)
	}
	return t.submit(page, "/signin/passkey", "response", s.passkey.Get(html.UnescapeString(options[1])))
}

// signedIn is a tab with a session of somebody who has let the client in, and the
// code of that.
func (h *house) signedIn(s *somebody) (*tab, string) {
	h.Helper()
	t := h.tab()
	page := t.passkey(t.open(h.ask()), s)
	if page.left == nil {
		page = t.submit(page, "/consent", "decision", "allow")
	}
	return t, code(page)
}

func code(page shown) string {
	if page.left == nil {
		return ""
	}
	return page.left.Query().Get("code")
}

func (h *house) basic(id string) http.Header {
	return http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+h.secret))}}
}

// token asks for one and says which there is: "" for none.
func (h *house) tokens(client string, form ...string) (access, refresh string) {
	h.Helper()
	header, values := http.Header{}, url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	if client == "cli" {
		values.Set("client_id", client)
	} else {
		header = h.basic(client)
	}
	_, answer := h.process.asked("POST", "/token", header, values)
	access, _ = answer["access_token"].(string)
	refresh, _ = answer["refresh_token"].(string)
	return access, refresh
}

func (h *house) redeem(code string) (access, refresh string) {
	h.Helper()
	return h.tokens("shop", "grant_type", "authorization_code", "code", code, "code_verifier", pkceVerifier)
}

// device begins the flow of `offkey login` and goes with it to where somebody is
// asked.
func (h *house) device(s *somebody) (t *tab, page shown, deviceCode string) {
	h.Helper()
	_, answer := h.process.asked("POST", "/device/authorize", http.Header{}, url.Values{"client_id": {"cli"}, "scope": {"read:orders"}})
	deviceCode, _ = answer["device_code"].(string)
	userCode, _ := answer["user_code"].(string)
	t, _ = h.signedIn(s)
	page = t.open(h.addresses.Issuer + "/device?user_code=" + userCode)
	page = t.submit(page, "/device", "user_code", userCode)
	if !strings.Contains(page.body, `id="device-confirm"`) {
		h.Fatalf("not asked: %d %s", page.status, page.body)
	}
	return t, page, deviceCode
}

func (h *house) poll(deviceCode string) bool {
	access, _ := h.tokens("cli", "grant_type", oauth.GrantDeviceCode, "device_code", deviceCode)
	return access != ""
}

// link is the page of a one-time link.
func (h *house) link(s *somebody, purpose directory.Purpose) (*tab, shown) {
	h.Helper()
	raw, _, err := h.views.people.NewLink(h.Context(), purpose, s.id, didIt)
	if err != nil {
		h.Fatal(err)
	}
	t := h.tab()
	at, _ := url.Parse(peopleLinks{h.App}.URL(purpose, raw))
	return t, t.open(h.addresses.Issuer + at.RequestURI())
}

// door is a way in, gone up to its last step. enter takes that, and reports
// whether somebody is in.
type door struct {
	name  string
	enter func() bool
}

// doors are all there are, as somebody stands before each of them.
func (h *house) doors(s *somebody) (all []door) {
	h.Helper()
	add := func(name string, enter func() bool) { all = append(all, door{name, enter}) }
	has := func(page shown, id string) bool {
		return page.status == 200 && strings.Contains(page.body, `id="`+id+`"`)
	}
	// Who is let in by a first factor is asked for the second, and then for
	// consent.
	halfway := func(page shown) bool { return has(page, "otp") }
	in := func(page shown) bool { return has(page, "consent-allow") || code(page) != "" }

	t, page := h.tab(), shown{}
	page = t.open(h.ask())
	add("password", func() bool { return halfway(t.submit(page, "/signin", "username", s.name, "password", anasPassword)) })
	{
		t := h.tab()
		page := t.open(h.ask())
		add("passkey", func() bool { return in(t.passkey(page, s)) })
	}
	for name, proof := range map[string]func() (field, value string){
		"authenticator app": func() (string, string) {
			return "otp", farside.CodeOf([]byte(s.app.Reveal()), h.now())
		},
		"recovery code": func() (string, string) { return "recovery", s.recovery[0] },
	} {
		t := h.tab()
		page := t.submit(t.open(h.ask()), "/signin", "username", s.name, "password", anasPassword)
		add(name, func() bool { field, value := proof(); return in(t.submit(page, "/signin/second", field, value)) })
	}
	{
		t := h.tab()
		page := t.open(h.ask())
		add("provider", func() bool {
			h.provider.Claims["sub"] = "up-" + s.name
			away := t.submit(page, "/signin/elsewhere", "upstream", "corp")
			return halfway(t.open(away.left.String())) // and back
		})
	}
	{
		t := h.tab()
		h.provider.Claims["sub"] = "up-" + s.name
		away := t.submit(t.open(h.ask()), "/signin/elsewhere", "upstream", "corp")
		back := t.stop(func() shown { return t.open(away.left.String()) })
		add("provider, on the way back", func() bool {
			h.provider.Claims["sub"] = "up-" + s.name
			return halfway(t.open(back.left.String()))
		})
	}
	{
		t, page, device := h.device(s)
		add("offkey login: device page", func() bool { t.submit(page, "/device", "decision", "allow"); return h.poll(device) })
	}
	{
		t, page, device := h.device(s)
		t.submit(page, "/device", "decision", "allow")
		add("offkey login: device that was allowed before", func() bool { return h.poll(device) })
	}
	{
		t, page, device := h.device(s)
		t.submit(page, "/device", "decision", "allow")
		_, refresh := h.tokens("cli", "grant_type", oauth.GrantDeviceCode, "device_code", device)
		add("offkey login: what was kept of it", func() bool {
			access, _ := h.tokens("cli", "grant_type", "refresh_token", "refresh_token", refresh)
			return access != ""
		})
	}
	{
		t, _ := h.signedIn(s)
		add("prompt=none in an older session", func() bool { return code(t.open(h.ask("prompt", "none"))) != "" })
		add("account page in an older session", func() bool {
			page := t.open(h.addresses.Issuer + "/account")
			return strings.Contains(page.body, "Where you are signed in")
		})
	}
	{
		t, _ := h.signedIn(s)
		page := t.open(h.ask("prompt", "consent"))
		add("consent page in an older session", func() bool {
			access, _ := h.redeem(code(t.submit(page, "/consent", "decision", "allow")))
			return access != ""
		})
	}
	{
		t, _ := h.signedIn(s)
		page := t.open(h.ask("prompt", "consent"))
		page = t.stop(func() shown { return t.submit(page, "/consent", "decision", "allow") })
		if page.left == nil || !strings.Contains(page.left.Path, "/authorize/done") {
			h.Fatalf("%d %v", page.status, page.left)
		}
		add("answer that was not fetched yet", func() bool {
			access, _ := h.redeem(code(t.open(h.addresses.Issuer + page.left.RequestURI())))
			return access != ""
		})
	}
	{
		_, code := h.signedIn(s)
		add("code that was issued before", func() bool { access, _ := h.redeem(code); return access != "" })
	}
	{
		_, code := h.signedIn(s)
		access, refresh := h.redeem(code)
		if access == "" || refresh == "" {
			h.Fatal("no tokens to begin with")
		}
		add("refresh", func() bool {
			access, _ := h.tokens("shop", "grant_type", "refresh_token", "refresh_token", refresh)
			return access != ""
		})
		_, code = h.signedIn(s)
		access, _ = h.redeem(code)
		add("token exchange", func() bool {
			got, _ := h.tokens("middle", "grant_type", oauth.GrantTokenExchange, "subject_token", access, "subject_token_type", oauth.TypeAccessToken)
			return got != ""
		})
		add("userinfo", func() bool {
			status, _ := h.process.asked("GET", "/userinfo", http.Header{"Authorization": {"Bearer " + access}}, nil)
			return status == 200
		})
		add("introspection", func() bool {
			_, answer := h.process.asked("POST", "/introspect", h.basic("shop"), url.Values{"token": {access}})
			return answer["active"] == true
		})
	}
	for _, purpose := range []directory.Purpose{directory.ForInvite, directory.ForEmail, directory.ForReset} { // the last one ends sessions
		t, page := h.link(s, purpose)
		add(string(purpose)+" link", func() bool {
			done := t.submit(page, linkPages[purpose], "password", "another boat in the harbour", "repeat", "another boat in the harbour")
			return done.status == 200 && !strings.Contains(done.body, `id="link-submit"`)
		})
	}
	add("an identity provider's assertion", func() bool {
		h.provider.Clock = h.now
		access, _ := h.tokens("agent", "grant_type", oauth.GrantJWTBearer, "assertion", h.provider.Vouch(h.addresses.Issuer, "agent", "up-"+s.name, "jti of "+s.name), "scope", "read:orders")
		return access != ""
	})
	add("a new link from an operator", func() bool {
		status, _ := h.world.ask("POST", "/people/"+s.id+"/reset-password", map[string]any{})
		return status < 300
	})
	return all
}

// forbid puts somebody into a group that nobody signs in of.
func (h *house) forbid(s *somebody) {
	h.Helper()
	h.setGroup("robots", func(g *directory.Group) { g.Policy.Interactive = directory.Forbid })
	if _, err := h.db.UpdateAccount(h.Context(), s.id, func(a *directory.Account) error {
		a.Groups = append(a.Groups, "robots")
		return nil
	}, didIt); err != nil {
		h.Fatal(err)
	}
}

// Every way in, of people and of what acts for them, is shut to who may not sign
// in; the same ways are open to everybody else, so that each of them is one.
func TestEveryDoorIsShutToWhoMayNotSignIn(t *testing.T) { // checklist_81, checklist_98: state is looked at, and not only signatures
	h := newHouse(t)
	for name, tc := range map[string]struct {
		shut func(*somebody)
		open bool
	}{
		"open": {func(*somebody) {}, true},
		"disabled": {func(s *somebody) {
			h.operate("POST", "/people/"+s.id+"/disable", map[string]any{}, nil)
		}, false},
		"in a group that forbids it": {h.forbid, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := h.moveIn(strings.Fields(name)[0])
			doors := h.doors(s)
			tc.shut(s)
			for _, d := range doors {
				if got := d.enter(); got != tc.open {
					t.Errorf("%s: in is %v, want %v", d.name, got, tc.open)
				}
			}
		})
	}
}

func TestAGroupThatBeginsToForbidItShutsEveryDoorOfItsMembers(t *testing.T) {
	h := newHouse(t)
	s := h.moveIn("ana")
	doors := h.doors(s)
	h.setGroup("staff", func(g *directory.Group) { g.Policy.Interactive = directory.Forbid })
	for _, d := range doors {
		if d.enter() {
			t.Errorf("%s is open", d.name)
		}
	}
}

// A service account is a client: what it proves itself with opens no page, and no
// token of it is one of a person.
func TestAServiceAccountHasNoWayToSignIn(t *testing.T) {
	h := newHouse(t)
	h.moveIn("ana")
	tab := h.tab()
	if page := tab.submit(tab.open(h.ask()), "/signin", "username", "shop", "password", h.secret); page.status != http.StatusUnauthorized {
		t.Errorf("id and secret in the form of people: %d %s", page.status, page.body)
	}
	access, refresh := h.tokens("shop", "grant_type", "client_credentials", "scope", "read:orders")
	if access == "" || refresh != "" {
		t.Fatalf("%q %q", access, refresh)
	}
	for name, form := range map[string][]string{
		"a scope of people":              {"grant_type", "client_credentials", "scope", "openid"},
		"name and password at the token": {"grant_type", "password", "username", "ana", "password", anasPassword}, // checklist_219 no password grant
		"somebody else's exchange":       {"grant_type", oauth.GrantTokenExchange, "subject_token", access, "subject_token_type", oauth.TypeAccessToken, "scope", "openid"},
	} {
		client := "shop"
		if strings.Contains(name, "exchange") {
			client = "middle"
		}
		if access, _ := h.tokens(client, form...); access != "" {
			t.Errorf("%s: a token", name)
		}
	}
	if status, _ := h.process.asked("GET", "/userinfo", http.Header{"Authorization": {"Bearer " + access}}, nil); status != http.StatusForbidden {
		t.Errorf("userinfo of a client: %d", status)
	}
	exchanged, _ := h.tokens("middle", "grant_type", oauth.GrantTokenExchange, "subject_token", access, "subject_token_type", oauth.TypeAccessToken)
	for what, token := range map[string]string{"its own": access, "exchanged": exchanged} {
		if sub := subOf(t, token); sub != "shop" {
			t.Errorf("%s token is about %q", what, sub)
		}
	}
	if _, err := h.views.people.Find(t.Context(), "shop"); err == nil {
		t.Error("the client is a person")
	}
}

func subOf(t *testing.T, jwt string) string {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return fmt.Sprintf("no JWT: %q", jwt)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Subject string `json:"sub"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims.Subject
}
