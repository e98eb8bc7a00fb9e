package app

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAStageIsTakenBackWithTheNextCall: no call after the order is answered has
// the old answer, while others call. The time that an order and a call take
// together is logged, not judged: it is the machine's.
func TestAStageIsTakenBackWithTheNextCall(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey()
	id := w.learn(key)
	var over atomic.Bool
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for !over.Load() {
				if _, err := w.try("GET", "/v1/orders", "X-API-Key", key); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer func() { over.Store(true); others.Wait() }()
	worst := time.Duration(0)
	for range 10 {
		for stage, want := range map[string]int{"retired": http.StatusUnauthorized, "observe": http.StatusOK} {
			began := time.Now()
			w.stage(stage, id)
			if a := w.call("GET", "/v1/orders", "X-API-Key", key); a.status != want || want == http.StatusUnauthorized && !a.has("apikey_retired") {
				t.Fatalf("the call after `stage set %s` is answered with %d %s", stage, a.status, a.body)
			}
			worst = max(worst, time.Since(began))
		}
	}
	t.Logf("from the order to the first call that shows it: at most %s", worst)
}

func TestEnforcementIsTakenBackWithTheNextCall(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey()
	w.learn(key)
	w.enforce()
	for _, step := range []struct {
		enforce string
		want    int
	}{{"on", http.StatusForbidden}, {"off", http.StatusOK}, {"shadow", http.StatusOK}, {"on", http.StatusForbidden}} {
		w.operate("POST", "/routes/enforce", map[string]string{"enforce": step.enforce}, nil)
		if a := w.call("GET", "/v1/other", "X-API-Key", key); a.status != step.want {
			t.Errorf("enforce %s: %d %s", step.enforce, a.status, a.body)
		}
	}
}

// TestARevokedTokenIsRefusedByTheVeryNextCall has the token in the gateway's
// cache, and callers who go on using it: whoever begins a call after the answer
// of /revoke is refused.
func TestARevokedTokenIsRefusedByTheVeryNextCall(t *testing.T) {
	w := newWorld(t, nil)
	key := newKey()
	w.learn(key)
	w.enforce()
	_, c := w.mustRegister(key, "orders")
	for range 5 {
		token, kept := w.token(c), w.token(c)
		use := func() (answer, error) { return w.try("GET", "/v1/orders", "Authorization", "Bearer "+token) }
		for range 3 { // in the cache by now
			if a, err := use(); err != nil || a.status != http.StatusOK {
				t.Fatalf("%d %s %v", a.status, a.body, err)
			}
		}
		var revoked, over atomic.Bool
		var callers sync.WaitGroup
		var late atomic.Int64
		for range 4 {
			callers.Go(func() {
				for !over.Load() {
					after := revoked.Load()
					a, err := use()
					switch {
					case err != nil:
						t.Error(err)
						return
					case after && !a.has("invalid_token"):
						t.Errorf("a call after the answer of /revoke: %d %s", a.status, a.body)
					case after:
						late.Add(1)
					}
				}
			})
		}
		if a := w.post("/revoke", c, url.Values{"token": {token}}); a.status != http.StatusOK {
			t.Fatalf("/revoke: %d %s", a.status, a.body)
		}
		revoked.Store(true)
		if a, err := use(); err != nil || a.status != http.StatusUnauthorized || !a.has("invalid_token") || !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("the next call: %d %s %v", a.status, a.body, err)
		}
		for deadline := time.Now().Add(patience); late.Load() < 8 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		}
		over.Store(true)
		callers.Wait()
		if a := w.call("GET", "/v1/orders", "Authorization", "Bearer "+kept); a.status != http.StatusOK {
			t.Errorf("another token of the client: %d %s", a.status, a.body)
		}
	}
}

// TestWhoWatchesSeesItStop: as long as calls are under way, /readyz says that no
// more are taken, and operators are answered.
func TestWhoWatchesSeesItStop(t *testing.T) {
	w := newWorld(t, nil)
	began, end := make(chan struct{}), make(chan struct{})
	w.api.hold(began, end)
	key := newKey()
	w.api.set(key, true)
	called := make(chan answer, 1)
	go func() {
		a, err := w.try("GET", "/v1/orders", "X-API-Key", key)
		if err != nil {
			a.body = err.Error()
		}
		called <- a
	}()
	<-began
	stopped := make(chan error, 1)
	go func() { stopped <- w.Stop(t.Context()) }()
	w.eventually(func() bool {
		resp, err := http.Get(w.Addresses().Ops + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return err == nil && resp.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "draining")
	})
	w.eventually(func() bool {
		_, err := w.try("GET", "/open")
		return err != nil // no new call is taken
	})
	w.operate("GET", "/status", nil, nil)
	close(end)
	if a := <-called; a.status != http.StatusOK {
		t.Errorf("the call under way: %d %s", a.status, a.body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
