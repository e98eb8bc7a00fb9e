package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// slowAPI answers each call in pieces, over a quarter of a second, and notes
// which calls it has seen.
type slowAPI struct {
	mu   sync.Mutex
	seen map[string]bool
}

const slowAnswer = "one two three four five"

func (a *slowAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if id := r.Header.Get("Call-Id"); id != "" {
		a.mu.Lock()
		a.seen[id] = true
		a.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, r.Body)
	for _, part := range strings.SplitAfter(slowAnswer, " ") {
		time.Sleep(50 * time.Millisecond) // what is under test is that it takes time
		_, _ = io.WriteString(w, part)
		_ = http.NewResponseController(w).Flush()
	}
}

// TestSIGTERMEndsNoCallThatIsUnderWay has callers with and without bodies, on
// connections that they keep, while offkey is told to stop: each call that the
// API has seen is answered whole.
func TestSIGTERMEndsNoCallThatIsUnderWay(t *testing.T) {
	api := &slowAPI{seen: map[string]bool{}}
	upstream := httptest.NewServer(api)
	defer upstream.Close()
	dir := shortDir(t)
	env := append(os.Environ(), "GORACE=halt_on_error=1 exitcode=66")
	p, at, err := startProcess(dir, env, append([]string{"up", "--json", "--upstream", upstream.URL, "--data", "data"}, anyPort...))
	if err != nil {
		t.Fatal(err)
	}
	defer p.kill()

	var mu sync.Mutex
	answered, unanswered := map[string]bool{}, map[string]error{}
	var stopped atomic.Bool
	var callers sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: patience}
	for c := range 16 {
		callers.Go(func() {
			for n := 0; !stopped.Load(); n++ {
				id := fmt.Sprintf("%d-%d", c, n)
				err := slowCall(client, at.Gateway, id, n%2 == 1)
				mu.Lock()
				if err == nil {
					answered[id] = true
				} else {
					unanswered[id] = err
				}
				mu.Unlock()
			}
		})
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		n := len(answered)
		mu.Unlock()
		if n >= 48 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d calls answered", n)
		}
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	before := len(answered)
	mu.Unlock()
	code, err := p.wait()
	stopped.Store(true)
	callers.Wait()
	if err != nil || code != 0 {
		t.Errorf("exit code %d, %v: %s", code, err, p.log)
	}
	lost := 0
	for id := range api.seen {
		if !answered[id] {
			lost++
			t.Errorf("the API has seen call %s, its caller got %v", id, unanswered[id])
		}
	}
	if len(answered) == before {
		t.Error("no call was under way when offkey was told to stop")
	}
	t.Logf("%d calls seen by the API, %d of them answered after SIGTERM, %d lost; %d came too late", len(api.seen), len(answered)-before, lost, len(unanswered))
}

// slowCall makes one call and reads all of its answer.
func slowCall(client *http.Client, base, id string, withBody bool) error {
	method, body := http.MethodGet, io.Reader(nil)
	if withBody {
		method, body = http.MethodPost, strings.NewReader(strings.Repeat("x", 10_000))
	}
	req, err := http.NewRequest(method, base+"/v1/slow", body)
	if err != nil {
		return err
	}
	req.Header.Set("Call-Id", id)
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || string(raw) != slowAnswer {
		return fmt.Errorf("%s %q: %w", resp.Status, raw, err)
	}
	return nil
}
