package gateway

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

// echoHeaders makes the API note the headers that it gets.
func (w *world) echoHeaders() *http.Header {
	seen := &http.Header{}
	w.handle(func(_ http.ResponseWriter, r *http.Request) {
		*seen = r.Header.Clone()
		seen.Set("Host", r.Host)
	})
	return seen
}

func TestG09ForwardedHeaders(t *testing.T) {
	forged := []string{
		"X-Forwarded-For: 198.51.100.9", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X-Forwarded-Port: 1",
		"X-Forwarded-Prefix: /admin", "X-Forwarded-Uri: /admin", "X-Forwarded-Method: DELETE", "X_Forwarded_For: 198.51.100.9",
		"X-Forwarded.Server: x", "Forwarded: for=198.51.100.9", "X-Real-IP: 198.51.100.9", "X-Original-URL: /admin",
		"X-Rewrite-URL: /admin", "X-Client-IP: 198.51.100.9", "True-Client-IP: 198.51.100.9", "CF-Connecting-IP: 198.51.100.9",
		"X-Envoy-Original-Path: /admin", "X-Original-Forwarded-For: 198.51.100.9", "X-HTTP-Host-Override: evil.example",
	}
	t.Run("from a stranger they are dropped and built anew", func(t *testing.T) {
		w := newWorld(t, nil).serve()
		seen := w.echoHeaders()
		w.get("/", append(forged, "X-Unrelated: stays")...)
		want := map[string][]string{"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {testHost}, "X-Forwarded-Proto": {"http"}, "X-Unrelated": {"stays"}}
		for name, v := range want {
			if !slices.Equal((*seen)[name], v) {
				t.Errorf("%s: %q, want %q", name, (*seen)[name], v)
			}
		}
		for _, line := range forged {
			name := http.CanonicalHeaderKey(strings.SplitN(line, ":", 2)[0])
			if want[name] == nil && len((*seen)[name]) > 0 {
				t.Errorf("%s reached the API: %q", name, (*seen)[name])
			}
		}
	})
	t.Run("from a trusted proxy they are passed on", func(t *testing.T) {
		w := newWorld(t, func(w *world) { w.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }).serve()
		seen := w.echoHeaders()
		w.get("/", "X-Forwarded-For: 203.0.113.7, 198.51.100.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: www.example.com", "Forwarded: for=203.0.113.7", "X-Forwarded-Prefix: /p")
		for name, want := range map[string]string{
			"X-Forwarded-For": "203.0.113.7, 198.51.100.9, 127.0.0.1", "X-Forwarded-Proto": "https",
			"X-Forwarded-Host": "www.example.com", "Forwarded": "for=203.0.113.7", "X-Forwarded-Prefix": "/p",
		} {
			if got := seen.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	})
	t.Run("from a trusted proxy, but not in a spelling that it passed on from a stranger", func(t *testing.T) {
		w := newWorld(t, func(w *world) { w.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }).serve()
		seen := w.echoHeaders()
		w.get("/", "X-Forwarded-For: 203.0.113.7", "X_Forwarded_For: 6.6.6.6", "X-Forwarded.Host: forged", "X_Real_IP: 6.6.6.6", "X-Real-IP: 203.0.113.7")
		if got := fmt.Sprint(*seen); strings.Contains(got, "6.6.6.6") || strings.Contains(got, "forged") || seen.Get("X-Real-Ip") != "203.0.113.7" {
			t.Error(got)
		}
	})
	t.Run("Connection cannot take ours away", func(t *testing.T) {
		w := newWorld(t, nil).serve()
		seen := w.echoHeaders()
		w.get("/", "Connection: X-Forwarded-For, X-Forwarded-Proto")
		if seen.Get("X-Forwarded-For") != "127.0.0.1" || seen.Get("X-Forwarded-Proto") != "http" {
			t.Errorf("%v", *seen)
		}
	})
}

func TestSourceBehindProxies(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	}).build()
	tests := []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"a stranger is its address", "198.51.100.9:1", []string{"203.0.113.7"}, "198.51.100.9"},
		{"behind one proxy", "10.0.0.1:1", []string{"203.0.113.7"}, "203.0.113.7"},
		{"behind two", "10.0.0.1:1", []string{"203.0.113.7, 10.9.9.9"}, "203.0.113.7"},
		{"what the caller put before is not believed", "10.0.0.1:1", []string{"1.2.3.4, 203.0.113.7"}, "203.0.113.7"},
		{"over two lines", "10.0.0.1:1", []string{"203.0.113.7", "10.2.2.2"}, "203.0.113.7"},
		{"proxy without the header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"junk ends the search", "10.0.0.1:1", []string{"203.0.113.7, unknown, 10.2.2.2"}, "10.2.2.2"},
		{"IPv6 proxy", "[fd00::1]:1", []string{"2001:db8::5"}, "2001:db8::5"},
		{"mapped IPv4", "[::ffff:10.0.0.1]:1", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := w.gateway.sourceOf(&http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": tt.forwarded}})
			if got.String() != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestG10IdentityHeadersInNoOtherSpelling(t *testing.T) {
	w := newWorld(t, nil).serve()
	seen := w.echoHeaders()
	forged := []string{
		"X-Offkey-Client: forged", "x-offkey-client: forged", "X_Offkey_Client: forged", "X.Offkey.Scopes: forged", "X-Offkey_Subject: forged",
		"x_OFFKEY-credential: forged", "X-Offkey-Anything-Later: forged",
	}
	for name, line := range map[string]string{
		"checklist_176 without credential": "Accept: */*",
		"with a token":                     "Authorization: Bearer " + w.issue(t, w.ours, "cl_1", time.Hour, "read:a", "read:b"),
	} {
		t.Run(name, func(t *testing.T) {
			w.get("/", append(forged, line, "Connection: X-Offkey-Client, close")...)
			for header, v := range *seen {
				if strings.Contains(fmt.Sprint(v), "forged") {
					t.Errorf("%s: %q reached the API", header, v)
				}
			}
			if name == "with a token" && (seen.Get("X-Offkey-Client") != "cl_1" || seen.Get("X-Offkey-Scopes") != "read:a read:b" ||
				seen.Get("X-Offkey-Subject") != "cl_1" || !strings.HasPrefix(seen.Get("X-Offkey-Credential"), "token:")) {
				t.Errorf("identity headers: %v", *seen)
			}
		})
	}
}

func TestG11ConnectionCannotRemoveWhatWasJudged(t *testing.T) {
	w := newWorld(t, nil).serve()
	seen := w.echoHeaders()
	w.know("sk_live_abcdefgh1234", apikey.Key{})
	for _, line := range []string{"X-API-Key: sk_live_abcdefgh1234", "Authorization: KEY sk_live_abcdefgh1234", "Cookie: apikey=sk_live_abcdefgh1234"} {
		t.Run(line, func(t *testing.T) {
			name, value, _ := strings.Cut(line, ": ")
			w.get("/", line, "Connection: close, "+strings.ToLower(name), "X-Hop: gone", "Connection: x-hop")
			if got := seen.Get(name); got != value {
				t.Errorf("%s: %q, want %q", name, got, value)
			}
			if seen.Get("X-Hop") != "" {
				t.Error("a hop-by-hop header was passed on (RFC 9110 §7.6.1)")
			}
		})
	}
}

// TestG08ForwardAuthHeadersAreNotBelieved: there is no forward-auth endpoint in
// this release, and headers that stand for another request change nothing,
// whoever sends them.
func TestG08ForwardAuthHeadersAreNotBelieved(t *testing.T) {
	w := newWorld(t, func(w *world) { w.options.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }).serve()
	w.get("/v1/real", "X-Forwarded-Uri: /v1/other", "X-Original-URI: /v1/other", "X-Forwarded-Method: DELETE", "X-Envoy-Original-Path: /v1/other")
	rows := w.rows()
	if len(rows) != 1 || rows[0].Method != "GET" {
		t.Errorf("%+v", rows)
	}
	if p := w.get("/_offkey/auth", "X-Forwarded-Uri: /v1/other").problem(t); p.Code != codeNotFound {
		t.Errorf("code %s", p.Code)
	}
}

// TestG26NoCallIsMadeForSomebodyElse: redirects are the caller's to follow, and
// there is nothing that makes several calls of one.
func TestG26NoCallIsMadeForSomebodyElse(t *testing.T) {
	w := newWorld(t, nil).serve()
	calls := 0
	w.handle(func(rw http.ResponseWriter, r *http.Request) {
		calls++
		http.Redirect(rw, r, "http://127.0.0.1/internal", http.StatusTemporaryRedirect)
	})
	got := w.get("/a", "X-Forwarded-For: 10.0.0.1")
	if got.StatusCode != http.StatusTemporaryRedirect || got.Header.Get("Location") != "http://127.0.0.1/internal" || calls != 1 {
		t.Errorf("status %d to %q after %d calls", got.StatusCode, got.Header.Get("Location"), calls)
	}
}

func TestHostIsTheCallersUnlessAskedOtherwise(t *testing.T) {
	for _, own := range []bool{false, true} {
		w := newWorld(t, func(w *world) { w.options.Upstreams[0].OwnHost = own }).serve()
		seen := w.echoHeaders()
		w.get("/")
		want := testHost
		if own {
			want = strings.TrimPrefix(w.upstream, "http://")
		}
		if got := seen.Get("Host"); got != want {
			t.Errorf("OwnHost %v: Host %q, want %q", own, got, want)
		}
	}
}

func TestNothingIsInventedInTheRequest(t *testing.T) {
	w := newWorld(t, nil).serve()
	seen := w.echoHeaders()
	w.get("/")
	for _, name := range []string{"User-Agent", "Accept-Encoding", "Accept", "Content-Type", "Content-Length", "Te"} {
		if v, there := (*seen)[name]; there {
			t.Errorf("%s: %q was added", name, v)
		}
	}
}

func TestWhatNetHTTPLeavesOutOfARequestReachesTheAPI(t *testing.T) {
	w := newWorld(t, nil).serve()
	seen := w.echoHeaders()
	for _, method := range []string{"GET", "HEAD", "DELETE", "POST"} {
		w.send(method, "/", "User-Agent:", "User-Agent: second", "Content-Length: 0")
		if got := (*seen)["User-Agent"]; !slices.Equal(got, []string{"", "second"}) {
			t.Errorf("%s: User-Agent %q", method, got)
		}
		if got := (*seen)["Content-Length"]; !slices.Equal(got, []string{"0"}) {
			t.Errorf("%s: Content-Length %q", method, got)
		}
	}
}
