package oauthclient_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/test/farside"
)

func TestTokenIsRenewedAtFourFifthsOfItsLife(t *testing.T) {
	world, config := caller(t, jose.ES256)
	time := newClock()
	config.Now = time.Now
	world.With(func(s *farside.State) { s.Clock = time.Now })
	source := config.TokenSource(background(t))
	for _, step := range []struct {
		advance  int // seconds
		requests int // so far
	}{{0, 1}, {719, 1}, {1, 2}, {719, 2}, {900, 3}} {
		time.Advance(seconds(step.advance))
		if _, err := source.Token(); err != nil {
			t.Fatal(err)
		}
		if got := len(world.Requests()); got != step.requests {
			t.Errorf("after %d s more: %d requests, want %d", step.advance, got, step.requests)
		}
	}
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func TestCallersThatComeTogetherMakeOneRequest(t *testing.T) {
	world, config := caller(t, jose.ES256)
	const callers = 100
	arrived := make(chan struct{})
	world.With(func(s *farside.State) {
		s.Hook = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				<-arrived // hold the first request until all callers are there
			}
			return false
		}
	})
	source := config.TokenSource(background(t))
	var ready, finished sync.WaitGroup
	ready.Add(callers)
	tokens := make(chan string, callers)
	for range callers {
		finished.Go(func() {
			ready.Done()
			token, err := source.Token()
			if err != nil {
				t.Error(err)
				return
			}
			tokens <- token.AccessToken
		})
	}
	ready.Wait()
	close(arrived)
	finished.Wait()
	close(tokens)
	first := <-tokens
	for token := range tokens {
		if token != first {
			t.Error("callers got different tokens")
		}
	}
	if got := len(world.Requests()); got != 1 {
		t.Errorf("%d requests for %d callers", got, callers)
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	world, config := caller(t, jose.ES256)
	var broken atomic.Bool
	broken.Store(true)
	world.With(func(s *farside.State) {
		s.Hook = func(w http.ResponseWriter, r *http.Request) bool {
			if broken.Load() && r.URL.Path == "/token" {
				http.Error(w, "down", http.StatusBadGateway)
				return true
			}
			return false
		}
	})
	source := config.TokenSource(background(t))
	if _, err := source.Token(); err == nil {
		t.Fatal("a broken issuer gives tokens")
	}
	broken.Store(false)
	if _, err := source.Token(); err != nil {
		t.Errorf("the issuer is back, and still: %v", err)
	}
}

func TestGoodTokenOutlivesAFailedRenewal(t *testing.T) {
	world, config := caller(t, jose.ES256)
	time := newClock()
	config.Now = time.Now
	var down atomic.Bool
	var tries atomic.Int32
	world.With(func(s *farside.State) {
		s.Clock = time.Now
		s.Hook = func(w http.ResponseWriter, r *http.Request) bool {
			if down.Load() {
				tries.Add(1)
				http.Error(w, "down", http.StatusBadGateway)
			}
			return down.Load()
		}
	})
	source := config.TokenSource(background(t))
	old, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	time.Advance(seconds(800))
	for range 3 {
		token, err := source.Token()
		if err != nil || token.AccessToken != old.AccessToken {
			t.Fatalf("80 %% of the life is over, not all of it: %v", err)
		}
	}
	if tries.Load() != 1 {
		t.Errorf("%d renewals tried at once, want 1 and a pause", tries.Load())
	}
	time.Advance(seconds(100))
	if _, err := source.Token(); err == nil {
		t.Error("an expired token is given out")
	}
}

func TestOneCallersCancellationFailsNoOther(t *testing.T) {
	world, config := caller(t, jose.ES256)
	entered, leave := make(chan struct{}), make(chan struct{})
	world.With(func(s *farside.State) {
		s.Hook = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				close(entered)
				<-leave
			}
			return false
		}
	})
	transport := config.Transport(nil)
	ctx, cancel := context.WithCancel(background(t))
	call := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, world.APIURL+"/v1/orders", nil)
		if err != nil {
			return err
		}
		resp, err := transport.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- call(ctx) }()
	<-entered
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled call ends with %v", err)
	}
	go func() { second <- call(background(t)) }()
	close(leave)
	if err := <-second; err != nil {
		t.Error(err)
	}
	if got := len(world.Requests()); got != 1 {
		t.Errorf("%d token requests, want 1", got)
	}
}

func TestTokenWithoutLifeIsUsedForAMinute(t *testing.T) {
	world, config := caller(t, jose.ES256)
	time := newClock()
	config.Now = time.Now
	world.With(func(s *farside.State) { s.Clock = time.Now; s.Life = -seconds(900) })
	source := config.TokenSource(background(t))
	for _, advance := range []int{0, 40, 30} {
		time.Advance(seconds(advance))
		if _, err := source.Token(); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(world.Requests()); got != 2 {
		t.Errorf("%d requests in 70 s, want 2", got)
	}
}
