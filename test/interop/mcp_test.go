package interop

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/offkey/offkey/test/binary"
)

// mcpConfig is a gateway in front of an MCP server: what docs/how-to/mcp-server.md
// shows, on loopback and with some clients. The tests set the route of the endpoint.
const mcpConfig = `issuer: http://%[1]s
storage: {dsn: "sqlite://%[2]s/offkey.db"}
outbound: {allow_private: true, ca_file: documents.pem}
listen: {issuer: "%[1]s", gateway: "%[3]s", admin: "127.0.0.1:0", ops: "127.0.0.1:0"}
features: {registration: open, client_id_metadata: on}
gateway:
  resource: http://%[3]s%[7]s
  upstreams: {notes: {url: "%[4]s", host: upstream}}
  routes: [{match: "DELETE /notes/{id}", scopes: ["change:notes"]}]
  scope_includes: {"manage:tools": ["use:tools", "change:notes"]}
  enforce: on
people:
  groups: [{name: everyone, scopes: ["use:tools", "change:notes"]}]
  users: [{name: %[5]s, email: ana@example.com, password_file: ana.password}]
clients:
  - {id: basic, auth: client_secret_basic, secret: %[6]s, scopes: ["use:tools", "change:notes", "manage:tools"], resources: ["http://%[3]s%[7]s", "https://other.example/mcp"]}
  - {id: posting, auth: client_secret_post, secret: %[6]s, scopes: ["use:tools", "change:notes"]}
  - {id: keyed, auth: private_key_jwt, jwks_file: keyed.jwks, scopes: ["use:tools", "change:notes"]}
`

// toolServer is an offkey in front of an MCP server, and the documents of clients
// that are known by them.
type toolServer struct {
	society
	endpoint  string // of the MCP server, through the gateway
	resource  string // that tokens are for
	documents string
	needed    *string // scopes of the route
}

// newToolServer starts both. A server without sessions speaks the protocol of
// 2026-07-28 with those that know it. The resource is the URL of the endpoint, or
// with another path one that has several endpoints below it.
func newToolServer(t *testing.T, stateless bool, path string) toolServer {
	t.Helper()
	var server struct{ URL string }
	background(t, golang(t), map[string]any{"library": "go-sdk", "flow": "serve", "stateless": stateless}, &server)
	dir := binary.Dir(t)
	documents := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		grants := []string{"authorization_code"}
		if r.URL.Path == "/go" { // the TypeScript SDK does not ask for more where it can renew
			grants = append(grants, "refresh_token")
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"client_id": "https://" + r.Host + r.URL.Path, "client_name": "Tool " + r.URL.Path, "token_endpoint_auth_method": "none", "application_type": "native",
			"redirect_uris": []string{"http://127.0.0.1/callback"}, "grant_types": grants, "response_types": []string{"code"},
		})
	}))
	t.Cleanup(documents.Close)
	s := toolServer{society: society{keyed: identity{ID: "keyed", file: filepath.Join(dir, "keyed.pem")}}, documents: documents.URL, needed: new(string)}
	binary.JSON(t, nil, "keygen", "--alg", "ES256", "--out", s.keyed.file, "--jwks", filepath.Join(dir, "keyed.jwks"))
	key, err := os.ReadFile(s.keyed.file)
	if err != nil {
		t.Fatal(err)
	}
	s.keyed.Key = string(key)
	gateway := freeAddress(t)
	for name, content := range map[string]string{
		"offkey.yaml":   fmt.Sprintf(mcpConfig, freeAddress(t), dir, gateway, server.URL, personName, shopSecret, path),
		"ana.password":  personPassword + "\n",
		"documents.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: documents.Certificate().Raw})),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s.Server, err = binary.Start(t, nil, "serve", "--config", filepath.Join(dir, "offkey.yaml")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(t) })
	s.endpoint, s.resource = "http://"+gateway+"/mcp", "http://"+gateway+path
	s.needs(t, "use:tools")
	return s
}

// needs sets what a call of the MCP server needs.
func (s toolServer) needs(t *testing.T, scopes ...string) {
	t.Helper()
	if now := strings.Join(scopes, " "); now != *s.needed {
		s.CLI(t, nil, append([]string{"routes", "set", "/mcp"}, scopes...)...)
		*s.needed = now
	}
}

// used is what a script says of the tools that it called.
type used struct {
	Callers []struct {
		Client, Subject, Scopes string
		Token                   bool
	}
	AccessToken  string `json:"access_token"`
	RefreshToken bool   `json:"refresh_token"`
	Protocol     string
	Error        string
	Description  string `json:"error_description"`
}

// use runs a script; between its first calls and its last one more is asked for.
func (s toolServer) use(t *testing.T, b *browser, cmd *exec.Cmd, ask map[string]any) (got used) {
	t.Helper()
	told := map[string]any{"library": "go-sdk", "flow": "mcp", "resource": s.endpoint, "issuer": s.Issuer}
	for name, value := range ask {
		told[name] = value
	}
	if b == nil || !b.leave {
		s.needs(t, "use:tools")
	}
	converse(t, cmd, told, func(line []byte) any {
		var wish struct{ Open, Step string }
		if err := json.Unmarshal(line, &wish); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		switch {
		case wish.Open != "":
			address, page := b.visit(wish.Open)
			if page != "" {
				t.Errorf("the person is left at %s: %s", address, page)
			}
			return map[string]string{"at": address}
		case wish.Step != "":
			s.needs(t, "use:tools", "change:notes")
			return map[string]string{}
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		return nil
	})
	return got
}

func typescript(t *testing.T) *exec.Cmd { return nodeScript(t, "mcp.js") }

// claimsOf reads an access token without checking it.
func claimsOf(t *testing.T, token string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(raw, &claims)
	}
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// The SDKs know the URL of the MCP server and nothing more. The challenge leads
// them to the resource metadata, that to the issuer; a person allows what the
// challenge names, and then what a 403 in the same session names.
func TestMCPClientsFindTheirWay(t *testing.T) {
	// checklist_195 checklist_220 checklist_221 checklist_222 checklist_224
	s := newToolServer(t, false, "/mcp")
	for _, tt := range []struct {
		name   string
		script func(*testing.T) *exec.Cmd
		ask    map[string]any
		client string // "" is one that registered itself
		renews bool
	}{
		{"Go SDK by its document", golang, map[string]any{"document": s.documents + "/go", "refresh": true}, s.documents + "/go", true},
		{"Go SDK registers itself", golang, nil, "", true},
		{"TypeScript SDK by its document", typescript, map[string]any{"document": s.documents + "/typescript"}, s.documents + "/typescript", false},
		{"TypeScript SDK registers itself", typescript, nil, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask := map[string]any{"redirect": "http://" + freeAddress(t) + "/callback"}
			for name, value := range tt.ask {
				ask[name] = value
			}
			b := newBrowser(t, s.Issuer)
			got := s.use(t, b, tt.script(t), ask)
			if got.Error != "" || len(got.Callers) != 2 {
				t.Fatalf("%s: %s; the person pressed %v\n%s", got.Error, got.Description, b.pages, s.Log())
			}
			if want := []string{"login-submit", "consent-allow", "consent-allow"}; !slices.Equal(b.pages, want) {
				t.Errorf("the person pressed %v, want %v", b.pages, want)
			}
			claims := claimsOf(t, got.AccessToken)
			for i, want := range []string{"use:tools", "use:tools change:notes"} {
				c := got.Callers[i]
				scopes := strings.Fields(c.Scopes)
				slices.Sort(scopes)
				wanted := strings.Fields(want)
				if tt.ask["refresh"] == true {
					wanted = append([]string{"offline_access"}, wanted...)
				}
				slices.Sort(wanted)
				if !slices.Equal(scopes, wanted) || c.Subject == "" || c.Subject != claims["sub"] || tt.client != "" && c.Client != tt.client {
					t.Errorf("call %d came as %+v, want scopes %s", i+1, c, want)
				}
				if c.Token {
					t.Error("checklist_173: the caller's token reached the MCP server")
				}
			}
			if claims["aud"] != s.endpoint {
				t.Errorf("the token is for %v, not for %s alone", claims["aud"], s.endpoint)
			}
			if got.Protocol == "" || got.RefreshToken != tt.renews {
				t.Errorf("protocol %q, refresh token %v", got.Protocol, got.RefreshToken)
			}
		})
	}
	t.Run("a person who denies", func(t *testing.T) {
		for name, script := range map[string]func(*testing.T) *exec.Cmd{"Go SDK": golang, "TypeScript SDK": typescript} {
			b := newBrowser(t, s.Issuer)
			b.leave = true
			got := s.use(t, b, script(t), map[string]any{"document": s.documents + "/denied", "redirect": "http://127.0.0.1:9/callback"})
			if !strings.Contains(got.Error, "access_denied") {
				t.Errorf("%s: %q: %s", name, got.Error, got.Description)
			}
		}
	})
}

// Without a person: what the SDKs' client credentials send (SEP-1046).
func TestMCPMachinesProveThemselves(t *testing.T) {
	// checklist_225
	s := newToolServer(t, true, "")
	const both = "use:tools change:notes"
	for _, tt := range []struct {
		name, client, protocol string
		script                 func(*testing.T) *exec.Cmd
		ask                    map[string]any
	}{
		{"TypeScript SDK by private_key_jwt", "keyed", "2025-11-25", typescript, map[string]any{"key": s.keyed.Key, "alg": "ES256", "machine_scope": both}},
		{"TypeScript SDK by secret", "basic", "2025-11-25", typescript, map[string]any{"secret": shopSecret, "machine_scope": both}},
		{"Go SDK by secret", "posting", "2026-07-28", golang, map[string]any{"secret": shopSecret}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.ask["client"] = tt.client
			got := s.use(t, nil, tt.script(t), tt.ask)
			if got.Error != "" || len(got.Callers) != 2 {
				t.Fatalf("%s: %s\n%s", got.Error, got.Description, s.Log())
			}
			if c := got.Callers[1]; c.Client != tt.client || c.Scopes != both || c.Token {
				t.Errorf("came as %+v", c)
			}
			if claims := claimsOf(t, got.AccessToken); claims["aud"] != s.resource || got.Protocol != tt.protocol {
				t.Errorf("the token is for %v, the protocol %s", claims["aud"], got.Protocol)
			}
		})
	}
}

// ask sends a request to the MCP server.
func (s toolServer) post(t *testing.T, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.endpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(raw)
}

const (
	initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"by hand","version":"1"}}}`
	ping       = `{"jsonrpc":"2.0","id":2,"method":"ping"}`
)

func TestInFrontOfAnMCPServer(t *testing.T) {
	s := newToolServer(t, false, "/mcp")
	token := func(scope, resource string) string {
		return "Authorization: Bearer " + s.clientToken(t, "basic", scope, resource)
	}
	good := token("use:tools", s.endpoint)
	t.Run("checklist_220 the challenge has scope and metadata, the metadata the issuer", func(t *testing.T) {
		resp, _ := s.post(t, initialize)
		document := strings.Replace(s.endpoint, "/mcp", "/.well-known/oauth-protected-resource/mcp", 1)
		if want := `Bearer scope="use:tools", resource_metadata="` + document + `"`; resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("WWW-Authenticate") != want {
			t.Fatalf("%s %q, want %q", resp.Status, resp.Header.Get("WWW-Authenticate"), want)
		}
		r, err := http.NewRequest(http.MethodGet, document, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("MCP-Protocol-Version", "2025-11-25")
		doc := answerOf(t, r)
		if doc["resource"] != s.endpoint || fmt.Sprint(doc["authorization_servers"]) != "["+s.Issuer+"]" {
			t.Errorf("got %v", doc)
		}
		if fmt.Sprint(doc["scopes_supported"]) != "[change:notes use:tools]" { // checklist_224
			t.Errorf("scopes_supported %v", doc["scopes_supported"])
		}
	})
	t.Run("checklist_222 400 malformed, 401 unauthenticated, 403 without the scope", func(t *testing.T) {
		again := token("use:tools", s.endpoint)
		for name, tt := range map[string]struct {
			lines  []string
			status int
			error  string
		}{
			"two tokens":        {[]string{again, again}, 400, "invalid_request"},
			"none":              {nil, 401, ""},
			"one of nobody":     {[]string{"Authorization: Bearer x.y.z"}, 401, "invalid_token"},
			"one without scope": {[]string{token("", s.endpoint)}, 403, "insufficient_scope"},
		} {
			resp, body := s.post(t, initialize, tt.lines...)
			challenge := resp.Header.Get("WWW-Authenticate")
			if resp.StatusCode != tt.status || tt.error != "" && !strings.Contains(challenge, `error="`+tt.error+`"`) || tt.error == "" && strings.Contains(challenge, "error") {
				t.Errorf("%s: %s %q %s", name, resp.Status, challenge, body)
			}
		}
	})
	t.Run("checklist_223 a broader scope satisfies a narrower one", func(t *testing.T) {
		if resp, body := s.post(t, initialize, token("manage:tools", s.endpoint)); resp.StatusCode != http.StatusOK {
			t.Errorf("%s %s", resp.Status, body)
		}
	})
	t.Run("a token in the query opens nothing", func(t *testing.T) {
		at, _ := url.Parse(s.endpoint)
		at.RawQuery = url.Values{"access_token": {strings.TrimPrefix(token("use:tools", s.endpoint), "Authorization: Bearer ")}}.Encode()
		resp, err := http.Post(at.String(), "application/json", strings.NewReader(initialize))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Error(resp.Status)
		}
	})
	t.Run("checklist_221 every request of a session is judged", func(t *testing.T) {
		resp, _ := s.post(t, initialize, good)
		session := "Mcp-Session-Id: " + resp.Header.Get("Mcp-Session-Id")
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Mcp-Session-Id") == "" {
			t.Fatalf("no session: %s", resp.Status)
		}
		if resp, body := s.post(t, ping, good, session); resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s", resp.Status, body)
		}
		for name, lines := range map[string][]string{"no token": nil, "a token that does not hold": {"Authorization: Bearer x.y.z"}, "another resource": {token("use:tools", "https://other.example/mcp")}} {
			if resp, body := s.post(t, ping, append(lines, session)...); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: %s %s", name, resp.Status, body)
			}
		}
		s.CLI(t, nil, "clients", "revoke", "basic")
		if resp, body := s.post(t, ping, good, session); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(resp.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("revoked in the middle of a session: %s %s", resp.Status, body)
		}
	})
}
