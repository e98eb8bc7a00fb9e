package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
	"github.com/offkey/offkey/internal/secret"
)

// pickyAPI accepts a set of apikeys in X-API-Key, and notes who asked.
type pickyAPI struct {
	mu     sync.Mutex
	good   []string
	agents []string
	// answer may decide otherwise; 0 leaves it.
	answer func(rw http.ResponseWriter, r *http.Request) int
}

func (a *pickyAPI) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.agents = append(a.agents, r.Method+" "+r.RequestURI+" "+r.UserAgent()+" "+r.Header.Get("X-Api-Key"))
	if a.answer != nil {
		if status := a.answer(rw, r); status != 0 {
			rw.WriteHeader(status)
			return
		}
	}
	if !slices.Contains(a.good, r.Header.Get("X-Api-Key")) {
		rw.WriteHeader(http.StatusUnauthorized)
	}
}

func (a *pickyAPI) probes() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.agents), func(s string) bool { return !strings.Contains(s, probeAgent) })
}

const goodKey = "sk_live_abcdefgh1234"

// learningWorld is a gateway that learns in front of an API that knows goodKey.
func learningWorld(t testing.TB, probe bool) (*world, *pickyAPI) {
	api := &pickyAPI{good: []string{goodKey}}
	w := newWorld(t, func(w *world) { w.options.Learning = Learning{Learner: w.learnt, Probe: probe} }).serve()
	w.handle(api.ServeHTTP)
	return w, api
}

// round lets the learner do what is due.
func (w *world) round() bool { return w.gateway.learner.round(w.Context(), w.now()) }

// prove lets callers show that GET /v1/orders refuses both.
func (w *world) prove(method string) {
	w.send(method, "/v1/orders", "Content-Length: 0")
	w.send(method, "/v1/orders", "X-API-Key: sk_live_wrongwrong99", "Content-Length: 0")
}

func TestAnAPIKeyIsLearntFromTraffic(t *testing.T) {
	w, api := learningWorld(t, false)
	w.prove("POST")
	got := w.send("POST", "/v1/orders", "X-API-Key: "+goodKey, "Content-Length: 0")
	if got.StatusCode != http.StatusOK {
		t.Fatal(got.StatusCode)
	}
	w.round()
	if w.learnt.count() != 1 {
		t.Fatalf("%d learnt", w.learnt.count())
	}
	l := w.learnt.learnt[0]
	if l.Fingerprint != w.pepper.Fingerprint(goodKey) || l.Last4 != "1234" || l.Carrier != "header:X-API-Key" || !l.At.Equal(w.now()) {
		t.Errorf("%+v", l)
	}
	if probes := api.probes(); len(probes) > 0 {
		t.Errorf("the API was probed although it must not be: %q", probes)
	}
	w.rows()
	w.send("POST", "/v1/orders", "X-API-Key: "+goodKey, "Content-Length: 0")
	if rows := w.rows(); len(rows) != 1 || rows[0].Credential.Kind != "apikey" {
		t.Errorf("the next call is counted as %+v", rows)
	}
}

func TestWhatWaitsIsLearntOnceTheRouteIsProven(t *testing.T) {
	w, _ := learningWorld(t, false)
	w.get("/v1/orders", "X-API-Key: "+goodKey)
	w.round()
	if w.learnt.count() != 0 {
		t.Fatal("learnt on a route that nobody saw refuse anything")
	}
	w.get("/v1/orders")
	w.round()
	if w.learnt.count() != 0 {
		t.Fatal("learnt on a route that was only seen to refuse calls without an apikey")
	}
	w.get("/v1/orders", "X-API-Key: sk_live_wrongwrong99")
	w.round()
	if w.learnt.count() != 1 {
		t.Error("not learnt once both were refused")
	}
}

// TestWhatIsNotLearnt goes through the ways in which junk is answered with
// success, on a route that is proven.
func TestWhatIsNotLearnt(t *testing.T) {
	const junk = "X-API-Key: sk_live_junkjunk0001"
	status := func(n int, header ...string) func(http.ResponseWriter, *http.Request) int {
		return func(rw http.ResponseWriter, r *http.Request) int {
			for i := 0; i+1 < len(header); i += 2 {
				rw.Header().Set(header[i], header[i+1])
			}
			return n
		}
	}
	tests := []struct {
		name   string
		target string
		lines  []string
		answer func(http.ResponseWriter, *http.Request) int
	}{
		{"beside a session cookie", "/v1/orders", []string{junk, "Cookie: session=valid"}, status(200)},
		{"beside Basic credentials of another", "/v1/orders", []string{junk, "Authorization: Digest username=a"}, status(200)},
		{"beside a foreign token", "/v1/orders", []string{junk, "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.x"}, status(200)},
		{"beside another apikey", "/v1/orders?api_key=" + goodKey, []string{junk}, status(200)},
		{"beside a header that looks like a credential", "/v1/orders", []string{junk, "X-Auth-Token: valid"}, status(200)},
		{"beside a session header", "/v1/orders", []string{junk, "X-Session-Id: valid"}, status(200)},
		{"beside a signature in the query", "/v1/orders?X-Amz-Signature=valid", []string{junk}, status(200)},
		{"beside a token in the query", "/v1/orders?access_token=valid", []string{junk}, status(200)},
		{"a lookalike of the carrier", "/v1/orders", []string{junk, "X_API_Key: other"}, status(200)},
		{"304", "/v1/orders", []string{junk}, status(304)},
		{"a conditional request", "/v1/orders", []string{junk, `If-None-Match: "a"`}, status(200)},
		{"a redirect", "/v1/orders", []string{junk}, status(302, "Location", "/login")},
		{"from a cache, by Age", "/v1/orders", []string{junk}, status(200, "Age", "0")},
		{"from a cache, by X-Cache", "/v1/orders", []string{junk}, status(200, "X-Cache", "Hit from cloudfront")},
		{"from a cache, by CF-Cache-Status", "/v1/orders", []string{junk}, status(200, "CF-Cache-Status", "HIT")},
		{"from a cache, by Cache-Status", "/v1/orders", []string{junk}, status(200, "Cache-Status", "edge; hit; ttl=30")},
		{"from a cache, by X-Varnish", "/v1/orders", []string{junk}, status(200, "X-Varnish", "32770 5")},
		{"not found", "/v1/orders", []string{junk}, status(404)},
		{"forbidden", "/v1/orders", []string{junk}, status(403)},
		{"too many calls", "/v1/orders", []string{junk}, status(429)},
		{"broken API", "/v1/orders", []string{junk}, status(500)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, api := learningWorld(t, false)
			w.prove("GET")
			api.answer = tt.answer
			w.get(tt.target, tt.lines...)
			api.answer = nil
			w.round()
			if w.learnt.count() != 0 {
				t.Errorf("learnt %+v", w.learnt.learnt)
			}
			// The same route still learns what is real.
			w.get("/v1/orders", "X-API-Key: "+goodKey)
			w.round()
			if w.learnt.count() != 1 {
				t.Error("the real one was not learnt after it")
			}
		})
	}
}

// TestAnOpenRouteVouchesForNobody: an answer with success to a call without a
// good credential takes a route's word away.
func TestAnOpenRouteVouchesForNobody(t *testing.T) {
	t.Run("open to calls without an apikey", func(t *testing.T) {
		w, api := learningWorld(t, false)
		w.prove("GET")
		api.answer = func(http.ResponseWriter, *http.Request) int { return 200 }
		w.get("/v1/orders")
		w.get("/v1/orders", "X-API-Key: sk_live_junkjunk0001")
		w.round()
		if w.learnt.count() != 0 {
			t.Errorf("learnt %+v", w.learnt.learnt)
		}
	})
	t.Run("public for some paths of a template", func(t *testing.T) {
		w, api := learningWorld(t, true)
		api.answer = func(_ http.ResponseWriter, r *http.Request) int {
			if r.URL.Path == "/v1/items/8" {
				return 200
			}
			return 0
		}
		w.get("/v1/items/7")
		w.get("/v1/items/7", "X-API-Key: sk_live_wrongwrong99")
		for i := range 2000 {
			w.get("/v1/items/8", fmt.Sprintf("X-API-Key: sk_live_junk%08d", i))
			if i%50 == 0 {
				w.advance(time.Second)
				w.round()
			}
		}
		if n := w.learnt.count(); n > learntPerProof {
			t.Errorf("%d made-up apikeys were learnt, at most %d may be before the API is asked again", n, learntPerProof)
		}
	})
}

func TestTheAPIIsProbedWhereCallersDidNotShow(t *testing.T) {
	w, api := learningWorld(t, true)
	w.get("/v1/orders/7?page=2&api_key=%73k_live_queryquery22&x=%zz", "Accept: application/json")
	w.get("/v1/orders/7", "X-API-Key: "+goodKey, "User-Agent: shop/1")
	if more := w.round(); more {
		t.Error("there is more to do after the one place")
	}
	if w.learnt.count() != 1 {
		t.Fatalf("%d learnt", w.learnt.count())
	}
	probes := api.probes()
	if len(probes) != 2 {
		t.Fatalf("%d probes: %q", len(probes), probes)
	}
	if probes[0] != "GET /v1/orders/7 offkey-probe " {
		t.Errorf("without an apikey: %q", probes[0])
	}
	wrong := strings.TrimPrefix(probes[1], "GET /v1/orders/7 offkey-probe ")
	if wrong == goodKey || len(wrong) != len(goodKey) || !strings.HasPrefix(wrong, "sk_live_") {
		t.Errorf("with a wrong apikey: %q", probes[1])
	}
	t.Run("once for each template", func(t *testing.T) {
		api.good = append(api.good, "sk_live_secondkey002")
		w.get("/v1/orders/8", "X-API-Key: sk_live_secondkey002")
		w.round()
		if w.learnt.count() != 2 || len(api.probes()) != 2 {
			t.Errorf("%d learnt after %d probes", w.learnt.count(), len(api.probes()))
		}
	})
}

func TestProbes(t *testing.T) {
	t.Run("only by methods that change nothing", func(t *testing.T) {
		w, api := learningWorld(t, true)
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get"} {
			w.send(method, "/v1/orders", "X-API-Key: "+goodKey, "Content-Length: 0")
			w.round()
		}
		if probes := api.probes(); len(probes) != 0 || w.learnt.count() != 0 {
			t.Errorf("%q", probes)
		}
	})
	t.Run("HEAD by HEAD", func(t *testing.T) {
		w, api := learningWorld(t, true)
		w.send("HEAD", "/v1/orders", "X-API-Key: "+goodKey)
		w.round()
		if probes := api.probes(); len(probes) != 2 || !strings.HasPrefix(probes[0], "HEAD ") || w.learnt.count() != 1 {
			t.Errorf("%q", probes)
		}
	})
	t.Run("not with a switch turned off", func(t *testing.T) {
		w, api := learningWorld(t, false)
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		w.round()
		if probes := api.probes(); len(probes) != 0 {
			t.Errorf("%q", probes)
		}
	})
	t.Run("an API that answers everybody is believed nothing, and not asked again", func(t *testing.T) {
		w, api := learningWorld(t, true)
		api.answer = func(http.ResponseWriter, *http.Request) int { return 200 }
		for i := range 50 {
			w.get("/v1/orders", fmt.Sprintf("X-API-Key: sk_live_junk%08d", i))
			w.advance(time.Minute)
			w.round()
		}
		if w.learnt.count() != 0 || len(api.probes()) != 2 {
			t.Errorf("%d learnt after %d probes", w.learnt.count(), len(api.probes()))
		}
	})
	t.Run("an API that accepts any apikey at all", func(t *testing.T) {
		w, api := learningWorld(t, true)
		api.answer = func(_ http.ResponseWriter, r *http.Request) int {
			if r.Header.Get("X-Api-Key") != "" {
				return 200
			}
			return 401
		}
		w.get("/v1/orders", "X-API-Key: sk_live_junkjunk0001")
		w.round()
		if w.learnt.count() != 0 {
			t.Errorf("learnt %+v", w.learnt.learnt)
		}
	})
	t.Run("an unclear answer is asked again in an hour", func(t *testing.T) {
		w, api := learningWorld(t, true)
		api.answer = func(_ http.ResponseWriter, r *http.Request) int {
			if r.UserAgent() == probeAgent {
				return 500
			}
			return 0
		}
		call := func() { w.get("/v1/orders", "X-API-Key: "+goodKey); w.round() }
		call()
		call()
		if n := len(api.probes()); n != 2 {
			t.Errorf("%d probes", n)
		}
		w.advance(time.Hour)
		api.answer = nil
		call()
		if n := len(api.probes()); n != 4 || w.learnt.count() != 1 {
			t.Errorf("%d probes, %d learnt", n, w.learnt.count())
		}
	})
	t.Run("an apikey in the query is probed in the query", func(t *testing.T) {
		w, api := learningWorld(t, true)
		api.answer = func(_ http.ResponseWriter, r *http.Request) int {
			if r.URL.Query().Get("api_key") == goodKey {
				return 200
			}
			return 403
		}
		w.get("/v1/orders?page=2&api_key="+goodKey, "Accept: a/b")
		w.round()
		probes := api.probes()
		if len(probes) != 2 || !strings.HasPrefix(probes[0], "GET /v1/orders?page=2 ") ||
			!strings.HasPrefix(probes[1], "GET /v1/orders?page=2&api_key=sk_live_") || strings.Contains(probes[1], goodKey) {
			t.Errorf("%q", probes)
		}
		if w.learnt.count() != 1 {
			t.Error("not learnt")
		}
	})
	t.Run("an API that is gone proves nothing", func(t *testing.T) {
		w, api := learningWorld(t, true)
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		api.answer = func(http.ResponseWriter, *http.Request) int { panic(http.ErrAbortHandler) }
		w.round()
		if w.learnt.count() != 0 {
			t.Error("learnt")
		}
	})
}

func TestSuspension(t *testing.T) {
	w, api := learningWorld(t, true)
	w.get("/v1/orders", "X-API-Key: "+goodKey)
	w.round()
	k := w.index.Lookup(w.pepper.Fingerprint(goodKey))
	if k == nil {
		t.Fatal("not learnt")
	}
	suspended := func() bool {
		w.round()
		return w.index.ByID(k.ID).Suspended
	}
	t.Run("not by a 401 where no apikey was ever accepted", func(t *testing.T) {
		api.answer = func(_ http.ResponseWriter, r *http.Request) int {
			if r.URL.Path == "/v1/me" {
				return 401
			}
			return 0
		}
		w.get("/v1/me", "X-API-Key: "+goodKey)
		if suspended() {
			t.Error("suspended")
		}
	})
	t.Run("not by a 401 beside another credential", func(t *testing.T) {
		api.answer = func(http.ResponseWriter, *http.Request) int { return 401 }
		w.get("/v1/orders", "X-API-Key: "+goodKey, "Cookie: session=over")
		if suspended() {
			t.Error("suspended")
		}
	})
	t.Run("not by a 403, which is about rights", func(t *testing.T) {
		api.answer = func(http.ResponseWriter, *http.Request) int { return 403 }
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		if suspended() {
			t.Error("suspended")
		}
	})
	t.Run("by a 401 where apikeys are accepted", func(t *testing.T) {
		api.answer = func(http.ResponseWriter, *http.Request) int { return 401 }
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		if !suspended() {
			t.Error("not suspended")
		}
	})
	t.Run("until the API accepts it again", func(t *testing.T) {
		api.answer = nil
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		if suspended() {
			t.Error("still suspended")
		}
	})
	t.Run("an imported apikey never is", func(t *testing.T) {
		w.know("sk_live_imported0003", apikey.Key{ID: "ak_imported", KnownBy: apikey.KnownByImport})
		w.get("/v1/orders", "X-API-Key: sk_live_imported0003")
		w.round()
		if w.index.ByID("ak_imported").Suspended {
			t.Error("suspended")
		}
	})
}

func TestLearningSurvivesAStoreThatIsGone(t *testing.T) {
	w, _ := learningWorld(t, true)
	w.learnt.fail = errors.New("disk full")
	w.get("/v1/orders", "X-API-Key: "+goodKey)
	if more := w.round(); !more {
		t.Error("it is not tried again")
	}
	w.learnt.fail = nil
	w.round()
	if w.learnt.count() != 1 {
		t.Errorf("%d learnt", w.learnt.count())
	}
}

// TestRunLearnsWithinASecond runs the learner as the process does.
func TestRunLearnsByItself(t *testing.T) {
	w, _ := learningWorld(t, true)
	done := make(chan struct{})
	go func() { w.gateway.Run(t.Context()); close(done) }()
	w.get("/v1/orders", "X-API-Key: "+goodKey)
	until(t, "the apikey is learnt", func() bool { return w.learnt.count() == 1 })
}

// TestAMillionMadeUpAPIKeys: junk is answered as before, and nothing grows.
func TestAMillionMadeUpAPIKeys(t *testing.T) {
	w, _ := learningWorld(t, true)
	w.prove("GET")
	c := newCall(w.gateway)
	junk := func(n int) {
		for i := range n {
			r, _ := http.NewRequest("GET", "/", nil)
			r.RequestURI = fmt.Sprintf("/v1/orders/%d/path%d", i, i%100_000)
			r.Header = http.Header{"X-Api-Key": {fmt.Sprintf("sk_live_%012d", i)}}
			c.r, c.at, c.rules = r, w.now(), w.rules.Load()
			c.serveUpTo(http.StatusOK + 201*(i%2)) // 200 and 401 by turns
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	junk(50_000)
	before := heap()
	total := 1_000_000
	if testing.Short() || raceEnabled {
		total = 50_000
	}
	junk(total)
	grown := int64(heap()) - int64(before)
	l := w.gateway.learner
	t.Logf("heap grew by %d bytes; %d places, %d waiting, %d pending, %d templates, %d rows",
		grown, len(l.places), len(l.waiting), len(l.pending), len(w.gateway.templates.set), len(w.rows()))
	if grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if len(l.places) > maxPlaces || len(l.waiting) > maxCandidates || len(l.pending) > 2*maxCandidates || w.index.Len() != 0 {
		t.Errorf("%d places, %d waiting, %d pending, %d known", len(l.places), len(l.waiting), len(l.pending), w.index.Len())
	}
}

// serveUpTo takes a call through everything but the connection to the API, which
// answers with status.
func (c *call) serveUpTo(status int) {
	c.target = policy.ParseTarget(c.r.RequestURI)
	c.upstream = c.g.upstreams.fallback
	c.decide()
	c.g.learner.saw(c, &http.Response{StatusCode: status, Header: http.Header{}})
	c.observe(status, "")
	c.reset()
}

func TestWrongAPIKeyHasTheSameShape(t *testing.T) {
	for _, right := range []string{
		goodKey, "f47ac10b-58cc-4372-a567-0e02b2c3d479", "0123456789abcdef0123456789ABCDEF", "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY", "a", "9", "ключ", "____",
	} {
		wrong := wrongAPIKey(secret.NewText(right)).Reveal()
		if wrong == right {
			t.Errorf("%q is the right one", right)
		}
		for i := range min(len(right), len(wrong)) {
			if class(right[i]) != class(wrong[i]) {
				t.Errorf("%q became %q: byte %d is of another kind", right, wrong, i)
				break
			}
		}
	}
}

func class(c byte) string {
	switch {
	case c >= '0' && c <= '9':
		return "digit"
	case c >= 'a' && c <= 'f':
		return "hex"
	case c >= 'A' && c <= 'F':
		return "HEX"
	case c >= 'g' && c <= 'z':
		return "letter"
	case c >= 'G' && c <= 'Z':
		return "LETTER"
	}
	return string(c)
}

func TestLooksLikeCredential(t *testing.T) {
	for name, want := range map[string]bool{
		"Authorization": true, "X-Auth-Token": true, "X-Session": true, "x_api_key": true, "X-Amz-Security-Token": true, "X-Hub-Signature-256": true,
		"Cookie": true, "Proxy-Authorization": true, "PHPSESSID": true, "X-CSRF-Token": true, "password": true, "X-JWT-Assertion": true,
		"subscription-key": true, "Ocp-Apim-Subscription-Key": true, "key": true, "accessKey": true, "X-Forwarded-Client-Cert": true,
		"keyword": false, "Sec-WebSocket-Key": false, "X-Idempotency-Key": false, "Accept": false, "User-Agent": false, "Content-Type": false, "X-Request-Id": false, "Idempotency-Key": false, "Traceparent": false, "page": false,
	} {
		if got := looksLikeCredential(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
