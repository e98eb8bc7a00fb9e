package oauthclient

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"
)

func TestIssuerMetadataURLs(t *testing.T) {
	for issuer, want := range map[string][]string{
		"https://example.com":          {"https://example.com/.well-known/oauth-authorization-server", "https://example.com/.well-known/openid-configuration"},
		"https://example.com/issuer1":  {"https://example.com/.well-known/oauth-authorization-server/issuer1", "https://example.com/issuer1/.well-known/openid-configuration", "https://example.com/.well-known/openid-configuration/issuer1"},
		"https://example.com/issuer1/": {"https://example.com/.well-known/oauth-authorization-server/issuer1", "https://example.com/issuer1/.well-known/openid-configuration", "https://example.com/.well-known/openid-configuration/issuer1"},
	} {
		if got := issuerMetadataURLs(issuer); !slices.Equal(got, want) {
			t.Errorf("checklist_159 %s: %v", issuer, got)
		}
	}
}

func TestResourceMetadataURLs(t *testing.T) {
	for api, want := range map[string][]string{
		"https://resource.example.com/resource1": {"https://resource.example.com/.well-known/oauth-protected-resource/resource1", "https://resource.example.com/.well-known/oauth-protected-resource"},
		"https://resource.example.com/":          {"https://resource.example.com/.well-known/oauth-protected-resource"},
	} {
		u, err := url.Parse(api)
		if err != nil {
			t.Fatal(err)
		}
		if got := resourceMetadataURLs(u); !slices.Equal(got, want) {
			t.Errorf("checklist_164 %s: %v", api, got)
		}
	}
}

func TestMetadataIsLookedForInOrder(t *testing.T) {
	place := "/.well-known/oauth-authorization-server/tenant"
	var asked []string
	server := httptest.NewServer(nil)
	defer server.Close()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		switch r.URL.Path {
		case place:
			_ = json.NewEncoder(w).Encode(metadata{Issuer: server.URL + "/tenant", TokenEndpoint: server.URL + "/t"})
		case "/.well-known/oauth-authorization-server/tenant":
			_, _ = w.Write([]byte("<html>every path answers 200 here"))
		default:
			http.NotFound(w, r)
		}
	})
	for _, place = range []string{"/.well-known/oauth-authorization-server/tenant", "/tenant/.well-known/openid-configuration", "/.well-known/openid-configuration/tenant"} {
		asked = nil
		config := &Config{Issuer: server.URL + "/tenant"}
		got, err := config.Discover(context.Background())
		if err != nil || got != server.URL+"/t" {
			t.Errorf("metadata at %s: %q, %v (asked %v)", place, got, err, asked)
		}
		seen := len(asked)
		if _, err := config.Discover(context.Background()); err != nil || len(asked) != seen {
			t.Errorf("asked again: %v, %v", asked, err)
		}
	}
}

func TestFailingServerIsNotPassedOver(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/oauth-authorization-server" {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		t.Errorf("asked for %s", r.URL.Path)
	}))
	defer server.Close()
	if _, err := (&Config{Issuer: server.URL}).Discover(context.Background()); err == nil {
		t.Error("no error")
	}
}

func TestCheckHandover(t *testing.T) {
	for _, tc := range []struct {
		api, to string
		ok      bool
	}{
		{"https://api.example.com", "https://auth.example.com", true},
		{"http://127.0.0.1:8484", "http://127.0.0.1:8485", true},
		{"http://localhost:8484", "https://auth.example.com", true},
		{"https://api.example.com", "http://127.0.0.1:9999", false},
		{"https://api.example.com", "https://localhost", false},
		{"https://api.example.com", "http://auth.example.com", false},
		{"", "https://auth.example.com", true},
	} {
		if err := checkHandover(tc.api, tc.to); (err == nil) != tc.ok {
			t.Errorf("apikey of %s to %s: %v", tc.api, tc.to, err)
		}
	}
}

func TestCheckResource(t *testing.T) {
	for _, tc := range []struct {
		resource, api string
		ok            bool
	}{
		{"https://a.example", "https://a.example/", true},
		{"https://a.example/", "https://a.example", true},
		{"https://a.example", "https://A.example:443/v1/x", true},
		{"https://a.example/v1", "https://a.example/v1/x", true},
		{"https://a.example/v1", "https://a.example/v10", false},
		{"https://a.example/v1", "https://a.example", false},
		{"https://a.example", "https://b.example", false},
		{"http://a.example", "https://a.example", false},
		{"https://a.example#x", "https://a.example", false},
		{"", "https://a.example", false},
		{"a.example", "https://a.example", false},
	} {
		u, err := url.Parse(tc.api)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkResource(tc.resource, u); (err == nil) != tc.ok {
			t.Errorf("metadata of %q for %s: %v", tc.resource, tc.api, err)
		}
	}
}

func TestClockOff(t *testing.T) {
	base := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tc := range map[string]struct {
		date           string
		sent, received time.Duration
		want           time.Duration
		known          bool
	}{
		"same":               {base.Format(http.TimeFormat), 0, time.Second, 0, true},
		"cut to the second":  {base.Format(http.TimeFormat), 900 * time.Millisecond, 950 * time.Millisecond, 0, true},
		"ten minutes ahead":  {base.Format(http.TimeFormat), 10 * time.Minute, 10*time.Minute + time.Second, 10*time.Minute - time.Second, true},
		"ten minutes behind": {base.Format(http.TimeFormat), -10*time.Minute - time.Second, -10 * time.Minute, -10 * time.Minute, true},
		"slow answer":        {base.Format(http.TimeFormat), -40 * time.Second, time.Second, 0, true},
		"no Date":            {"", 0, 0, 0, false},
		"no date":            {"yesterday", 0, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := &answer{header: http.Header{"Date": {tc.date}}, sent: base.Add(tc.sent), received: base.Add(tc.received)}
			if off, known := clockOff(a); off != tc.want || known != tc.known {
				t.Errorf("off by %s, known %v", off, known)
			}
		})
	}
}

func FuzzCheckResource(f *testing.F) {
	f.Add("https://a.example/v1", "https://a.example/v1/x")
	f.Fuzz(func(t *testing.T, resource, api string) {
		u, err := url.Parse(api)
		if err != nil || u.Host == "" {
			return
		}
		if checkResource(resource, u) == nil {
			r, err := url.Parse(resource)
			if err != nil || origin(r) != origin(u) {
				t.Errorf("%q passes for %q", resource, api)
			}
		}
	})
}
