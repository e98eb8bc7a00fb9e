package gateway

import (
	"net/http"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
)

// restarted is a gateway that knows goodKey from before, and has no evidence
// about any place.
func restarted(t *testing.T, probe bool) (*world, *pickyAPI, *Vouched) {
	vouched := new(Vouched)
	api := &pickyAPI{good: []string{goodKey}}
	w := newWorld(t, func(w *world) { w.options.Learning = Learning{Learner: w.learnt, Probe: probe, Vouched: vouched} }).serve()
	w.handle(api.ServeHTTP)
	w.know(goodKey, apikey.Key{ID: "ak_1", KnownBy: apikey.KnownByUpstream})
	return w, api, vouched
}

func TestTheAPIVouchesForALearntAPIKey(t *testing.T) {
	t.Run("from the call by which it is learnt", func(t *testing.T) {
		w, _ := learningWorld(t, true)
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		w.round()
		k := w.index.Lookup(w.pepper.Fingerprint(goodKey))
		if k == nil || !w.gateway.learner.Vouched.At(k.ID).Equal(w.now()) {
			t.Errorf("%+v", k)
		}
	})
	t.Run("after a restart once the API was asked about the place", func(t *testing.T) {
		w, api, vouched := restarted(t, true)
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		if !vouched.At("ak_1").IsZero() {
			t.Error("a success is believed at a place that nobody has seen refuse anything")
		}
		w.round()
		if n := len(api.probes()); n != 2 || !vouched.At("ak_1").Equal(w.now()) {
			t.Errorf("%d probes, vouched %s", n, vouched.At("ak_1"))
		}
		w.advance(5 * time.Minute)
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		w.round()
		if n := len(api.probes()); n != 2 || !vouched.At("ak_1").Equal(w.now()) {
			t.Errorf("%d probes for the second call, vouched %s", n, vouched.At("ak_1"))
		}
	})
	t.Run("and the change of another thing in the learner's work is none", func(t *testing.T) {
		w, _, _ := restarted(t, true)
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		w.round()
		if w.learnt.count() != 0 {
			t.Errorf("learnt again: %+v", w.learnt.learnt)
		}
	})
	t.Run("where the API must not be asked as long as no stranger is answered", func(t *testing.T) {
		w, api, vouched := restarted(t, false)
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		if len(api.probes()) > 0 || !vouched.At("ak_1").Equal(w.now()) {
			t.Errorf("%q, vouched %s", api.probes(), vouched.At("ak_1"))
		}
	})
	t.Run("for twenty minutes at most", func(t *testing.T) {
		w, _, vouched := restarted(t, false)
		first := w.now()
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		w.know("sk_live_other0000002", apikey.Key{ID: "ak_2", KnownBy: apikey.KnownByUpstream})
		w.advance(9 * time.Minute)
		if !vouched.At("ak_1").Equal(first) {
			t.Error("forgotten early")
		}
		for range 2 {
			w.advance(10 * time.Minute)
			vouched.note("ak_2", w.now())
		}
		if !vouched.At("ak_1").IsZero() {
			t.Error("kept for long")
		}
	})
}

// TestWhatTheAPIDoesNotVouchFor goes through the successes, and others, that an
// apikey which the API has revoked could still have.
func TestWhatTheAPIDoesNotVouchFor(t *testing.T) {
	always := func(status int, header ...string) func(http.ResponseWriter, *http.Request) int {
		return func(rw http.ResponseWriter, r *http.Request) int {
			if r.UserAgent() == probeAgent {
				return 0
			}
			for i := 0; i+1 < len(header); i += 2 {
				rw.Header().Set(header[i], header[i+1])
			}
			return status
		}
	}
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request) int
		method string
		with   []string
	}{
		"a refusal":                   {answer: always(401)},
		"an answer of a cache":        {answer: always(200, "Age", "3")},
		"not modified":                {answer: always(304)},
		"a redirect":                  {answer: always(302)},
		"an error":                    {answer: always(500)},
		"a success beside a cookie":   {with: []string{"Cookie: session=valid"}},
		"a success beside a password": {with: []string{"Authorization: Basic YTpi"}},
		"a place that answers all":    {answer: func(http.ResponseWriter, *http.Request) int { return 200 }},
		"a place that answers any key": {answer: func(_ http.ResponseWriter, r *http.Request) int {
			if r.Header.Get("X-Api-Key") != "" {
				return 200
			}
			return 0
		}},
		"a method that cannot be asked": {method: "POST", with: []string{"Content-Length: 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, api, vouched := restarted(t, true)
			api.answer = tc.answer
			if tc.method == "" {
				tc.method = "GET"
			}
			for range 3 {
				w.send(tc.method, "/v1/orders", append(tc.with, "X-API-Key: "+goodKey)...)
				w.round()
				w.advance(2 * time.Second)
			}
			if at := vouched.At("ak_1"); !at.IsZero() {
				t.Errorf("vouched at %s", at)
			}
		})
	}
	t.Run("an imported apikey, which needs nobody's word", func(t *testing.T) {
		w, api, vouched := restarted(t, true)
		w.know("sk_live_imported0003", apikey.Key{ID: "ak_2", KnownBy: apikey.KnownByImport})
		api.good = append(api.good, "sk_live_imported0003")
		w.get("/v1/orders", "X-API-Key: sk_live_imported0003")
		w.round()
		if len(api.probes()) > 0 || !vouched.At("ak_2").IsZero() {
			t.Errorf("%q", api.probes())
		}
	})
}

// TestPlacesThatProveNothingCostNoMore: the API is asked once, however many calls
// known apikeys make there.
func TestPlacesThatProveNothingCostNoMore(t *testing.T) {
	w, api, vouched := restarted(t, true)
	api.answer = func(_ http.ResponseWriter, r *http.Request) int {
		if r.UserAgent() == probeAgent {
			return 404
		}
		return 0
	}
	for range 30 {
		w.get("/v1/orders", "X-API-Key: "+goodKey)
		w.round()
		w.advance(time.Minute)
	}
	if n := len(api.probes()); n != 2 || !vouched.At("ak_1").IsZero() || len(w.gateway.learner.doubts) > 0 {
		t.Errorf("%d probes, vouched %s, %d doubts", n, vouched.At("ak_1"), len(w.gateway.learner.doubts))
	}
}
