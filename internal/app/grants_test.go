package app

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
)

// tab is a browser that stops where it would leave the issuer.
type tab struct {
	*process
	http *http.Client
}

func (p *process) openTab() *tab {
	p.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.Fatal(err)
	}
	issuer := p.Addresses().Issuer
	return &tab{p, &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), issuer) {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

// shown is where a browser has come to.
type shown struct {
	body   string
	status int
	left   *url.URL // where it would go, if that is elsewhere
}

func (t *tab) see(resp *http.Response, err error) shown {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	s := shown{body: string(body), status: resp.StatusCode}
	if location := resp.Header.Get("Location"); location != "" {
		if s.left, err = url.Parse(location); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

var hiddenField = regexp.MustCompile(`type="hidden" name="([a-z]+)" value="([^"]*)"`)

// submit sends the form of a page with what the person adds.
func (t *tab) submit(page shown, path string, pairs ...string) shown {
	t.Helper()
	form := url.Values{}
	for _, field := range hiddenField.FindAllStringSubmatch(page.body, -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return t.see(t.http.PostForm(t.Addresses().Issuer+path, form))
}

// asked asks the issuer as a client does and returns the JSON of the answer.
func (p *process) asked(method, path string, header http.Header, form url.Values) (int, map[string]any) {
	p.Helper()
	r, err := http.NewRequest(method, p.Addresses().Issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		p.Fatal(err)
	}
	r.Header = header.Clone()
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil && err != io.EOF {
		p.Fatal(err)
	}
	return resp.StatusCode, answer
}

func TestAPersonLetsAClientIn(t *testing.T) {
	heard := make(chan string, 10)
	client := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- r.PostFormValue("logout_token")
	}))
	defer client.Close()
	p := runProcess(t, "")
	p.put("ana.password", anasPassword+"\n")
	p.write(`
outbound: {allow_private: true}
people:
  groups: [{name: staff, scopes: [read:orders]}]
  users: [{name: ana, email: ana@example.com, password_file: ana.password, groups: [staff], claims: {given_name: Ana}}]
clients:
  - id: shop
    name: Shop
    auth: client_secret_basic
    secret: ` + strings.Repeat("s", 40) + `
    grants: [authorization_code, refresh_token]
    scopes: [openid, profile, email, "read:orders"]
    redirect_uris: [https://shop.example/cb]
    post_logout_redirect_uris: [https://shop.example/bye]
    backchannel_logout_uri: ` + client.URL + `/logout
`)
	p.reloads()
	ana := p.openTab()
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	request := url.Values{
		"client_id": {"shop"}, "response_type": {"code"}, "redirect_uri": {"https://shop.example/cb"}, "scope": {"openid email read:orders"}, "state": {"st"}, "nonce": {"n"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
		"claims": {`{"id_token":{"given_name":null}}`},
	}
	authorize := p.Addresses().Issuer + "/authorize?" + request.Encode()
	page := ana.see(ana.http.Get(authorize))
	page = ana.submit(page, "/signin", "username", "ana", "password", anasPassword)
	for _, scope := range []string{"read:orders", "profile"} {
		if !strings.Contains(page.body, scope) {
			t.Errorf("the person is not asked for %s: %s", scope, page.body)
		}
	}
	page = ana.submit(page, "/consent", "decision", "allow")
	if page.left == nil || page.left.Host != "shop.example" || page.left.Query().Get("state") != "st" {
		t.Fatalf("not sent back: %d %v %s", page.status, page.left, page.body)
	}
	basic := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("shop:"+strings.Repeat("s", 40)))}}
	status, tokens := p.asked("POST", "/token", basic, url.Values{"grant_type": {"authorization_code"}, "code": {page.left.Query().Get("code")}, "code_verifier": {verifier}})
	access, _ := tokens["access_token"].(string)
	refresh, _ := tokens["refresh_token"].(string)
	idToken, _ := tokens["id_token"].(string)
	if status != 200 || access == "" || refresh == "" || tokens["scope"] != "openid email read:orders" {
		t.Fatalf("%d %v", status, tokens)
	}
	claims := p.idClaims(idToken)
	if claims["nonce"] != "n" || claims["given_name"] != "Ana" || claims["aud"] != "shop" || claims["email"] != nil {
		t.Errorf("ID token: %v", claims)
	}
	status, user := p.asked("GET", "/userinfo", http.Header{"Authorization": {"Bearer " + access}}, nil)
	if status != 200 || user["email"] != "ana@example.com" || user["email_verified"] != true || user["sub"] != claims["sub"] || user["given_name"] != nil {
		t.Errorf("userinfo: %d %v", status, user)
	}
	if page := ana.see(ana.http.Get(authorize + "&prompt=none")); page.left == nil || page.left.Query().Get("code") == "" {
		t.Errorf("asked again: %d %v", page.status, page.left)
	}
	status, tokens = p.asked("POST", "/token", basic, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
	refresh, _ = tokens["refresh_token"].(string)
	if status != 200 || refresh == "" {
		t.Fatalf("refresh: %d %v", status, tokens)
	}

	t.Run("a link alone does not sign out, the person does", func(t *testing.T) {
		page := ana.see(ana.http.Get(p.Addresses().Issuer + "/logout"))
		if !strings.Contains(page.body, `id="logout-confirm"`) {
			t.Fatalf("%d %s", page.status, page.body)
		}
		if page = ana.submit(page, "/signout", "decision", "no"); !strings.Contains(page.body, `id="logout-refused"`) {
			t.Errorf("%d %s", page.status, page.body)
		}
	})
	t.Run("checklist_206 the client's hint does, and checklist_211 all clients of the session hear of it", func(t *testing.T) {
		page := ana.see(ana.http.Get(p.Addresses().Issuer + "/logout?" + url.Values{"id_token_hint": {idToken}, "post_logout_redirect_uri": {"https://shop.example/bye"}, "state": {"x"}}.Encode()))
		if page.left == nil || page.left.String() != "https://shop.example/bye?state=x" {
			t.Fatalf("%d %v %s", page.status, page.left, page.body)
		}
		select {
		case logout := <-heard:
			said := p.idClaims(logout)
			events, _ := said["events"].(map[string]any)
			if said["sid"] != claims["sid"] || said["sub"] != claims["sub"] || said["aud"] != "shop" || said["nonce"] != nil || events["http://schemas.openid.net/event/backchannel-logout"] == nil {
				t.Errorf("checklist_210: %v", said)
			}
		case <-time.After(20 * time.Second):
			t.Error("nobody was told")
		}
		if page := ana.see(ana.http.Get(authorize + "&prompt=none")); page.left == nil || page.left.Query().Get("error") != "login_required" {
			t.Errorf("still signed in: %d %v", page.status, page.left)
		}
		if status, answer := p.asked("POST", "/token", basic, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}); status != 400 || answer["error"] != "invalid_grant" {
			t.Errorf("the refresh token of the session: %d %v", status, answer)
		}
		if status, _ := p.asked("GET", "/userinfo", http.Header{"Authorization": {"Bearer " + access}}, nil); status != 401 {
			t.Errorf("the access token of the session: %d", status)
		}
	})
	t.Run("checklist_212 a person who is disabled is signed out everywhere", func(t *testing.T) {
		page := ana.see(ana.http.Get(authorize))
		page = ana.submit(page, "/signin", "username", "ana", "password", anasPassword)
		if page.left == nil {
			t.Fatalf("%d %s", page.status, page.body)
		}
		p.write("outbound: {allow_private: true}\npeople: {users: []}\nclients: [{id: shop, auth: client_secret_basic, secret: " + strings.Repeat("s", 40) +
			", grants: [authorization_code, refresh_token], scopes: [openid, profile, email, \"read:orders\"], redirect_uris: [https://shop.example/cb], backchannel_logout_uri: " + client.URL + "/logout}]\n")
		p.reloads()
		select {
		case <-heard:
		case <-time.After(20 * time.Second):
			t.Error("nobody was told")
		}
		status, answer := p.asked("POST", "/token", basic, url.Values{"grant_type": {"authorization_code"}, "code": {page.left.Query().Get("code")}, "code_verifier": {verifier}})
		if status != 400 || answer["error"] != "invalid_grant" {
			t.Errorf("a code of hers: %d %v", status, answer)
		}
	})
}

// idClaims reads what the issuer has signed beside access tokens.
func (p *process) idClaims(jwt string) map[string]any {
	p.Helper()
	parsed, err := jose.Parse(jwt, jose.RS256)
	if err != nil {
		p.Fatal(err)
	}
	key, ok := p.views.ring.Current().Find(parsed.Header().KeyID, p.Now())
	if !ok {
		p.Fatal("signed with a key that is not published")
	}
	raw, err := parsed.Verify(key)
	if err != nil {
		p.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		p.Fatal(err)
	}
	return claims
}
