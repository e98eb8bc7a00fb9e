package oauthclient_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/sdk/go/oauthclient"
	"github.com/offkey/offkey/test/farside"
)

func post(t *testing.T, client *http.Client, to string, body io.Reader) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(background(t), http.MethodPost, to, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func get(t *testing.T, client *http.Client, from string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(background(t), http.MethodGet, from, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "KEY old-apikey")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestTransportPutsTheTokenOnCalls(t *testing.T) {
	world, config := caller(t, jose.ES256)
	resp := get(t, config.Client(), world.APIURL+"/v1/orders")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	if got := world.Calls()[0].Authorization; !strings.HasPrefix(got, "Bearer ") {
		t.Error("the former Authorization header went along instead of the token")
	}
}

// revokeAll makes the API refuse every token given out so far.
func revokeAll(world *farside.World) {
	calls := world.Calls()
	world.With(func(s *farside.State) {
		for _, call := range calls {
			s.Revoked[strings.TrimPrefix(call.Authorization, "Bearer ")] = true
		}
	})
}

func TestRevokedTokenIsRenewedOnce(t *testing.T) {
	t.Run("a body that can be sent again", func(t *testing.T) {
		world, config := caller(t, jose.ES256)
		config.Scopes = []string{"create:orders"}
		client := config.Client()
		post(t, client, world.APIURL+"/v1/orders", strings.NewReader("1"))
		revokeAll(world)
		if resp := post(t, client, world.APIURL+"/v1/orders", strings.NewReader("2")); resp.StatusCode != http.StatusOK {
			t.Errorf("status %d", resp.StatusCode)
		}
		calls := world.Calls()
		if len(calls) != 3 || calls[1].Body != "2" || calls[2].Body != "2" {
			t.Errorf("calls %v", len(calls))
		}
		if got := len(world.Requests()); got != 2 {
			t.Errorf("%d token requests", got)
		}
	})
	t.Run("a stream that cannot", func(t *testing.T) {
		world, config := caller(t, jose.ES256)
		config.Scopes = []string{"create:orders"}
		client := config.Client()
		post(t, client, world.APIURL+"/v1/orders", strings.NewReader("1"))
		revokeAll(world)
		stream := struct{ io.Reader }{strings.NewReader("2")}
		if resp := post(t, client, world.APIURL+"/v1/orders", stream); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d, want the API's refusal as it is", resp.StatusCode)
		}
		if got := len(world.Calls()); got != 2 {
			t.Errorf("%d calls, want the stream sent once", got)
		}
		if resp := post(t, client, world.APIURL+"/v1/orders", strings.NewReader("3")); resp.StatusCode != http.StatusOK {
			t.Errorf("the next call has status %d, want a new token", resp.StatusCode)
		}
	})
	t.Run("no endless renewal", func(t *testing.T) {
		world, config := caller(t, jose.ES256)
		config.Resource = world.IssuerURL // a token for something else
		config.Origins = []string{world.APIURL}
		if resp := get(t, config.Client(), world.APIURL+"/v1/orders"); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d", resp.StatusCode)
		}
		if calls, requests := len(world.Calls()), len(world.Requests()); calls != 2 || requests != 2 {
			t.Errorf("%d calls and %d token requests, want 2 and 2", calls, requests)
		}
	})
	t.Run("a missing scope renews nothing", func(t *testing.T) {
		world, config := caller(t, jose.ES256)
		if resp := post(t, config.Client(), world.APIURL+"/v1/orders", nil); resp.StatusCode != http.StatusForbidden {
			t.Errorf("status %d", resp.StatusCode)
		}
		if calls, requests := len(world.Calls()), len(world.Requests()); calls != 1 || requests != 1 {
			t.Errorf("%d calls and %d token requests, want 1 and 1", calls, requests)
		}
	})
}

func TestTokenStaysWithItsAPI(t *testing.T) {
	var elsewhere []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		elsewhere = append(elsewhere, r.Header.Get("Authorization"))
	}))
	defer other.Close()

	t.Run("redirect to another host", func(t *testing.T) {
		_, config := caller(t, jose.ES256)
		redirecting := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
		defer redirecting.Close()
		config.Origins = []string{redirecting.URL}
		post(t, config.Client(), redirecting.URL, strings.NewReader("x"))
		if len(elsewhere) != 1 || elsewhere[0] != "" {
			t.Errorf("the other host saw %d calls, and an Authorization header: %v", len(elsewhere), elsewhere[0] != "")
		}
	})
	t.Run("another port is another place", func(t *testing.T) {
		world, config := caller(t, jose.ES256)
		get := get(t, config.Client(), other.URL)
		if get.StatusCode != http.StatusOK || strings.HasPrefix(elsewhere[len(elsewhere)-1], "Bearer") || len(world.Requests()) != 0 {
			t.Error("a token was fetched for, or sent to, another port")
		}
	})
	for name, tc := range map[string]struct {
		resource string
		origins  []string
		url      string
		may      bool
		err      bool
	}{
		"path of the resource":   {"https://api.example.com/v1", nil, "https://API.example.com:443/v2", true, false},
		"subdomain":              {"https://api.example.com", nil, "https://x.api.example.com/", false, false},
		"name as a prefix":       {"https://api.example.com", nil, "https://api.example.com.evil.example/", false, false},
		"user information trick": {"https://api.example.com", nil, "https://api.example.com@evil.example/", false, false},
		"other scheme":           {"https://api.example.com", nil, "http://api.example.com/", false, false},
		"in the clear":           {"http://api.example.com", nil, "http://api.example.com/", false, true},
		"loopback in the clear":  {"http://127.0.0.1:80", nil, "http://127.0.0.1/", true, false},
		"second origin":          {"https://a.example", []string{"https://b.example:8443"}, "https://b.example:8443/x", true, false},
		"nothing set":            {"", nil, "https://a.example", false, true},
		"nonsense":               {"api", nil, "https://a.example", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(tc.url)
			if err != nil {
				t.Fatal(err)
			}
			may, err := (&oauthclient.Config{Resource: tc.resource, Origins: tc.origins}).MaySend(u)
			if (err != nil) != tc.err || err == nil && may != tc.may {
				t.Errorf("may %v, error %v", may, err)
			}
		})
	}
}

// closing notes that a body was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestBodyIsClosedWhenThereIsNoToken(t *testing.T) {
	world, config := caller(t, jose.ES256)
	config.ClientID = "nobody"
	body := &closing{Reader: strings.NewReader("x")}
	req, err := http.NewRequestWithContext(background(t), http.MethodPost, world.APIURL, body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Transport(nil).RoundTrip(req); err == nil {
		t.Fatal("no error")
	}
	if !body.closed {
		t.Error("the body stays open")
	}
}

func TestRefusalOfTheAPIIsExplained(t *testing.T) {
	config := &oauthclient.Config{ClientID: "billing", Issuer: "https://a.example", Resource: "https://api.example", Scopes: []string{"read:orders"}}
	for name, tc := range map[string]struct {
		status    int
		challenge string
		code      string
		fix       string
	}{
		"scope not asked for": {403, `Bearer error="insufficient_scope", scope="create:orders"`, "insufficient_scope", `--scope "read:orders create:orders"`},
		"scope not granted":   {403, `Bearer error="insufficient_scope", scope="read:orders"`, "insufficient_scope", "did not grant it"},
		"scope not named":     {403, `Bearer error="insufficient_scope"`, "insufficient_scope", "operator"},
		"token not accepted":  {401, `Basic realm="x, y", Bearer error="invalid_token"`, "invalid_token", "https://a.example"},
		"two credentials":     {400, `Bearer error="invalid_request"`, "invalid_request", "apikey"},
		"no token seen":       {401, `Bearer resource_metadata="https://x"`, "no_credential", "proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{StatusCode: tc.status, Header: http.Header{"Www-Authenticate": {tc.challenge}}}
			why, ok := config.Explain(resp)
			if !ok || why.Code != tc.code || !strings.Contains(why.Fix, tc.fix) {
				t.Errorf("explained as %v", why)
			}
		})
	}
	t.Run("other refusals are not ours", func(t *testing.T) {
		for _, resp := range []*http.Response{
			{StatusCode: 404, Header: http.Header{}},
			{StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Basic realm=x"}}},
			{StatusCode: 200, Header: http.Header{"Www-Authenticate": {"Bearer"}}},
		} {
			if why, ok := config.Explain(resp); ok {
				t.Errorf("explained as %v", why)
			}
		}
	})
}
