package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
)

// TestWarnAnnounces holds RFC 9745 §2.1 and RFC 8594 §3.
func TestWarnAnnounces(t *testing.T) {
	deprecated := time.Date(2027, 1, 15, 0, 0, 0, 0, time.UTC)
	sunset := time.Date(2027, 9, 30, 23, 59, 59, 0, time.UTC)
	links := []string{
		`<https://docs.example.com/move>; rel="deprecation"; type="text/html"`,
		`<https://docs.example.com/move>; rel="sunset"; type="text/html"`,
	}
	tests := []struct {
		name   string
		notice Notice
		key    apikey.Key
		api    http.Header // what the API sends
		want   http.Header
	}{
		{"dates of all", Notice{deprecated, sunset, "https://docs.example.com/move"}, apikey.Key{}, nil, http.Header{
			"Deprecation": {"@1799971200"}, "Sunset": {"Thu, 30 Sep 2027 23:59:59 GMT"}, "Link": links, "Cache-Control": {"private"},
		}},
		{"no dates: since the stage was set", Notice{}, apikey.Key{}, nil, http.Header{
			"Deprecation": {"@1799712000"}, "Cache-Control": {"private"},
		}},
		{"dates of the apikey", Notice{Sunset: sunset},
			apikey.Key{Stage: apikey.Warn, StageSince: deprecated, Until: sunset.AddDate(0, 1, 0)}, nil, http.Header{
				"Deprecation": {"@1799971200"}, "Sunset": {"Sat, 30 Oct 2027 23:59:59 GMT"}, "Cache-Control": {"private"},
			}},
		{"never a sunset before the deprecation", Notice{Deprecated: sunset, Sunset: deprecated}, apikey.Key{}, nil, http.Header{
			"Deprecation": {"@1822348799"}, "Cache-Control": {"private"},
		}},
		{"what the API says of itself stays", Notice{deprecated, sunset, "https://docs.example.com/move"}, apikey.Key{},
			http.Header{"Deprecation": {"@1"}, "Sunset": {"Fri, 01 Jan 2100 00:00:00 GMT"}, "Link": {`</v2>; rel="successor-version"`}, "Cache-Control": {"no-store"}},
			http.Header{"Deprecation": {"@1"}, "Sunset": {"Fri, 01 Jan 2100 00:00:00 GMT"},
				"Link": append([]string{`</v2>; rel="successor-version"`}, links...), "Cache-Control": {"no-store"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, func(w *world) { w.options.Notice = tt.notice }).serve()
			w.setRules(policy.Ruleset{Stage: apikey.Warn, Since: time.Date(2027, 1, 12, 0, 0, 0, 0, time.UTC), UpstreamVouches: true})
			w.know("sk_live_abcdefgh1234", tt.key)
			w.handle(func(rw http.ResponseWriter, r *http.Request) {
				for name, v := range tt.api {
					rw.Header()[name] = v
				}
			})
			got := w.get("/", "X-API-Key: sk_live_abcdefgh1234")
			seen := http.Header{}
			for _, name := range []string{"Deprecation", "Sunset", "Link", "Cache-Control"} {
				if v := got.Header.Values(name); len(v) > 0 {
					seen[name] = v
				}
			}
			if diff := cmp.Diff(tt.want, seen); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOnlyCallsWithAnAPIKeyAreWarned(t *testing.T) {
	w := newWorld(t, func(w *world) { w.options.Notice.Page = "https://docs.example.com/move" }).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Warn, Since: w.now(), UpstreamVouches: true})
	w.know("sk_live_observed0001", apikey.Key{Stage: apikey.Observe})
	for name, tt := range map[string]struct {
		line string
		warn bool
	}{
		"no credential":                 {"Accept: */*", false},
		"a token":                       {"Authorization: Bearer " + w.issue(t, w.ours, "cl_1", time.Hour), false},
		"an unknown apikey":             {"X-API-Key: sk_live_nobodyknows00", true},
		"an apikey that stays observed": {"X-API-Key: sk_live_observed0001", false},
	} {
		got := w.get("/", tt.line)
		if warned := got.Header.Get("Deprecation") != ""; warned != tt.warn {
			t.Errorf("%s: warned %v, want %v", name, warned, tt.warn)
		}
		if !tt.warn && len(got.Header["Cache-Control"])+len(got.Header["Link"]) > 0 {
			t.Errorf("%s: headers were added: %v", name, got.Header)
		}
	}
}

func TestG22KeepPrivate(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing said", "", "private"},
		{"a life stays", "max-age=60", "max-age=60, private"},
		{"public is the contrary", "public, max-age=60", "max-age=60, private"},
		{"no-store stays alone", "no-store", "no-store"},
		{"no-store among others", "no-cache, No-Store", "no-cache, No-Store"},
		{"private stays", "private, max-age=1", "private, max-age=1"},
		{"private for one header is not private", `private="set-cookie", max-age=1`, `private="set-cookie", max-age=1, private`},
		{"a comma in quotes", `no-cache="a, b", public`, `no-cache="a, b", private`},
		{"s-maxage without meaning stays", "s-maxage=60", "s-maxage=60, private"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			if tt.in != "" {
				h.Set("Cache-Control", tt.in)
			}
			keepPrivate(h)
			if got := h.Values("Cache-Control"); len(got) != 1 || got[0] != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	t.Run("two lines", func(t *testing.T) {
		h := http.Header{"Cache-Control": {"public", "max-age=5"}}
		keepPrivate(h)
		if diff := cmp.Diff([]string{"max-age=5, private"}, h["Cache-Control"]); diff != "" {
			t.Error(diff)
		}
	})
}

// TestG22EnforcedAnswersArePrivate: an answer that was given because of a
// credential must not be handed to others by a cache in between.
func TestG22EnforcedAnswersArePrivate(t *testing.T) {
	w := newWorld(t, nil).serve()
	w.setRules(policy.Ruleset{Stage: apikey.Observe, Enforce: policy.On}, "GET /a -> s", "GET /open -> open")
	w.know("sk_live_abcdefgh1234", apikey.Key{})
	w.handle(func(rw http.ResponseWriter, r *http.Request) { rw.Header().Set("Cache-Control", "public, max-age=60") })
	for _, tt := range []struct{ target, line, want string }{
		{"/a", "X-API-Key: sk_live_abcdefgh1234", "max-age=60, private"},
		{"/a", "Authorization: Bearer " + w.issue(t, w.ours, "cl_1", time.Hour, "s"), "max-age=60, private"},
		{"/open", "Accept: */*", "public, max-age=60"},
	} {
		if got := w.get(tt.target, tt.line).Header.Get("Cache-Control"); got != tt.want {
			t.Errorf("%s with %.20s: %q, want %q", tt.target, tt.line, got, tt.want)
		}
	}
}
