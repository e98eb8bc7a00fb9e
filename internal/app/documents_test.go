package app

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/audit"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
)

// documentOf serves one client metadata document, whose name can change.
func documentOf(t *testing.T) (id string, name *atomic.Value) {
	t.Helper()
	name = new(atomic.Value)
	name.Store("Inspector")
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "max-age=30")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"client_id": server.URL + r.URL.Path, "client_name": name.Load(), "redirect_uris": []string{"http://localhost:6274/callback"}, "grant_types": []string{"authorization_code", "refresh_token"},
		})
	}))
	t.Cleanup(server.Close)
	return server.URL + "/client.json", name
}

func TestAClientOfADocumentIsLetInByAPerson(t *testing.T) {
	// checklist_167 checklist_60 checklist_61 checklist_196
	id, name := documentOf(t)
	p := runProcess(t, "")
	p.put("ana.password", anasPassword+"\n")
	const people = `
outbound: {allow_private: true}
people:
  groups: [{name: staff, scopes: [read:orders]}]
  users: [{name: ana, email: ana@example.com, password_file: ana.password, groups: [staff]}]
`
	route, err := policy.ParseRoute("GET /v1/orders/**")
	if err != nil {
		t.Fatal(err)
	}
	route.Scopes = oauth.Scope{"read:orders"}
	if err := p.db.SetRoute(t.Context(), route, audit.Event{Actor: "os:0", Action: "route.set"}); err != nil {
		t.Fatal(err)
	}
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	authorize := p.Addresses().Issuer + "/authorize?" + url.Values{
		"client_id": {id}, "response_type": {"code"}, "redirect_uri": {"http://localhost:6274/callback"}, "scope": {"read:orders"}, "state": {"st"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode()
	ana := p.openTab()

	p.write(people)
	p.reloads()
	if page := ana.see(ana.http.Get(authorize)); page.status != http.StatusBadRequest || page.left != nil {
		t.Errorf("while it is off: %d %v", page.status, page.left)
	}
	p.write(people + "features: {client_id_metadata: on}\n")
	p.reloads()
	if _, metadata := p.asked("GET", "/.well-known/oauth-authorization-server", nil, nil); metadata["client_id_metadata_document_supported"] != true {
		t.Errorf("checklist_167 %v", metadata)
	}

	page := ana.see(ana.http.Get(authorize))
	page = ana.submit(page, "/signin", "username", "ana", "password", anasPassword)
	for _, shown := range []string{"Inspector", "localhost", "read:orders"} {
		if !strings.Contains(page.body, shown) {
			t.Errorf("checklist_60 %s is not shown: %s", shown, page.body)
		}
	}
	if _, err := p.db.Client(t.Context(), id); err == nil {
		t.Error("a row was made before anybody let it in")
	}
	redeem := func(page shown) (int, map[string]any) {
		t.Helper()
		if page.left == nil || page.left.Query().Get("code") == "" {
			t.Fatalf("not sent back: %d %v %s", page.status, page.left, page.body)
		}
		return p.asked("POST", "/token", http.Header{}, url.Values{
			"grant_type": {"authorization_code"}, "client_id": {id}, "code": {page.left.Query().Get("code")}, "code_verifier": {verifier}, "redirect_uri": {"http://localhost:6274/callback"},
		})
	}
	page = ana.submit(page, "/consent", "decision", "allow")
	status, tokens := redeem(page)
	refresh, _ := tokens["refresh_token"].(string)
	if status != http.StatusOK || tokens["scope"] != "read:orders" || refresh == "" {
		t.Fatalf("%d %v", status, tokens)
	}
	row, err := p.db.Client(t.Context(), id)
	if err != nil || row.Source != client.SourceDocument || row.Name != "Inspector" {
		t.Errorf("the operator does not see it: %+v, %v", row, err)
	}

	if page := ana.see(ana.http.Get(authorize)); page.left != nil {
		t.Errorf("any program of this machine gets an answer unasked: %s", page.left)
	}
	name.Store("Your Bank")
	p.pass(time.Minute)
	page = ana.see(ana.http.Get(authorize))
	if !strings.Contains(page.body, "Your Bank") || page.left != nil {
		t.Fatalf("checklist_61 not asked about a client that has changed: %d %v", page.status, page.left)
	}
	if status, answer := redeem(ana.submit(page, "/consent", "decision", "allow")); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	if row, err := p.db.Client(t.Context(), id); err != nil || row.Name != "Your Bank" {
		t.Errorf("%+v, %v", row, err)
	}

	p.disable(id)
	if status, answer := p.asked("POST", "/token", http.Header{}, url.Values{"grant_type": {"refresh_token"}, "client_id": {id}, "refresh_token": {refresh}}); status == http.StatusOK {
		t.Errorf("a disabled client: %v", answer)
	}
	if page := ana.see(ana.http.Get(authorize)); page.left != nil {
		t.Errorf("a disabled client: %v", page.left)
	}
}
