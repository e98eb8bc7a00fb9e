package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const forgedKey = "sk_live_forged000001"

// TestNobodyMakesAnAPIKeyUp goes through the ways in which somebody without an
// apikey, or with one, gets the API to answer another one with success.
func TestNobodyMakesAnAPIKeyUp(t *testing.T) {
	tests := []struct {
		name   string
		answer func(rw http.ResponseWriter, r *http.Request) int
		calls  [][]string // method, target, headers
	}{
		{"by OPTIONS, which answers the right origins",
			func(_ http.ResponseWriter, r *http.Request) int {
				if r.Method != "OPTIONS" {
					return 0
				}
				if r.Header.Get("Origin") == "https://shop.example" {
					return 204
				}
				return 403
			},
			[][]string{
				{"OPTIONS", "/v1/orders", "Origin: https://evil.example"},
				{"OPTIONS", "/v1/orders", "Origin: https://evil.example", "X-API-Key: sk_live_wrongwrong99"},
				{"OPTIONS", "/v1/orders", "Origin: https://shop.example", "X-API-Key: " + forgedKey},
			}},
		{"by a public route that refuses other origins",
			func(_ http.ResponseWriter, r *http.Request) int {
				if r.Header.Get("Origin") != "" {
					return 403
				}
				return 200
			},
			[][]string{
				{"GET", "/v1/status", "X-API-Key: " + forgedKey},
				{"GET", "/v1/status", "Origin: https://evil.example"},
				{"GET", "/v1/status", "Origin: https://evil.example", "X-API-Key: sk_live_wrongwrong99"},
				{"GET", "/v1/status", "X-API-Key: " + forgedKey},
			}},
		{"by a public path of a template that is refused elsewhere",
			func(_ http.ResponseWriter, r *http.Request) int {
				if r.URL.Path == "/v1/items/8" {
					return 200
				}
				return 0
			},
			[][]string{
				{"GET", "/v1/items/7"},
				{"GET", "/v1/items/7", "X-API-Key: sk_live_wrongwrong99"},
				{"GET", "/v1/items/8", "X-API-Key: " + forgedKey},
			}},
		{"beside a real one in a parameter that nobody configured",
			func(_ http.ResponseWriter, r *http.Request) int {
				if strings.Contains(r.URL.RawQuery, goodKey) {
					return 200
				}
				return 0
			},
			[][]string{
				{"GET", "/v1/orders"},
				{"GET", "/v1/orders", "X-API-Key: sk_live_wrongwrong99"},
				{"GET", "/v1/orders?key=" + goodKey, "X-API-Key: " + forgedKey},
				{"GET", "/v1/orders?subscription%2dkey=" + goodKey, "X-API-Key: " + forgedKey},
			}},
		{"with a real one as a word beside it",
			func(_ http.ResponseWriter, r *http.Request) int {
				if strings.Contains(r.Header.Get("Authorization"), goodKey) {
					return 200
				}
				return 0
			},
			[][]string{
				{"GET", "/v1/orders"},
				{"GET", "/v1/orders", "Authorization: KEY sk_live_wrongwrong99"},
				{"GET", "/v1/orders", "Authorization: KEY " + goodKey + " " + forgedKey},
				{"GET", "/v1/orders", "Authorization: KEY " + forgedKey + "," + goodKey},
			}},
	}
	for _, probe := range []bool{true, false} {
		for _, tt := range tests {
			if !probe && strings.Contains(tt.name, "public") {
				continue // without asking the API, its answers to callers are all there is
			}
			t.Run(fmt.Sprintf("%s, probing %v", tt.name, probe), func(t *testing.T) {
				w, api := learningWorld(t, probe)
				api.answer = tt.answer
				for _, c := range tt.calls {
					w.send(c[0], c[1], append(c[2:], "Content-Length: 0")...)
				}
				for range 3 {
					w.round()
				}
				if w.learnt.count() != 0 {
					t.Errorf("learnt %+v", w.learnt.learnt)
				}
			})
		}
	}
}

// TestWhatWaitsToBeLearntIsSmall: what strangers send with an apikey that may be
// learnt is kept in part only.
func TestWhatWaitsToBeLearntIsSmall(t *testing.T) {
	w, _ := learningWorld(t, false)
	long := strings.Repeat("m", 100_000)
	w.send("POST", "/v1/orders", "X-API-Key: "+goodKey, "Content-Length: 0")
	w.send("POST", "/v1/orders", "X-API-Key: "+goodKey, "User-Agent: "+long, "Content-Length: 0")
	w.send(strings.ToUpper(long), "/v1/orders", "X-API-Key: sk_live_wrongwrong99", "Content-Length: 0")
	l := w.gateway.learner
	l.mu.Lock()
	defer l.mu.Unlock()
	heard := 0
	for _, calls := range l.pending {
		for _, h := range calls {
			heard += len(h.observation.UserAgent) + len(h.observation.Method)
		}
	}
	if heard == 0 || heard > 2000 {
		t.Errorf("%d bytes are kept of what was heard", heard)
	}
	for at := range l.places {
		if len(at.method) > 20 {
			t.Errorf("a place has a method of %d bytes", len(at.method))
		}
	}
}
