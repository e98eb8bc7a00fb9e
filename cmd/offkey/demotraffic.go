package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// demoCaller is a program of somebody that uses the products API, as it was
// written years ago.
type demoCaller struct {
	name, userAgent string
	key             string
	where           string // as a person would say it
	sign            func(r *http.Request, key string)
	calls           []string // "GET /v1/products", one after the other
	every           time.Duration

	mu     sync.Mutex
	client *http.Client
	tokens bool // client sends tokens: the key is no longer sent
	counts map[int]int
}

func newDemoCallers() []*demoCaller {
	callers := []*demoCaller{
		{
			name: "web-shop", userAgent: "web-shop/3.1 python-requests/2.32.3", where: "X-API-Key: …",
			sign:  func(r *http.Request, key string) { r.Header.Set("X-API-Key", key) },
			calls: []string{"GET /v1/products", "GET /v1/products/1", "GET /v1/products/3", "GET /v1/products", "GET /v1/products/2"}, every: 70 * time.Millisecond,
		},
		{
			name: "stock-import", userAgent: "stock-import/1.4 Java/21.0.4", where: "Authorization: KEY …",
			sign:  func(r *http.Request, key string) { r.Header.Set("Authorization", "KEY "+key) },
			calls: []string{"GET /v1/stock", "POST /v1/products", "GET /v1/stock", "GET /v1/stock"}, every: 110 * time.Millisecond,
		},
		{
			name: "price-board", userAgent: "price-board/0.9 curl/8.7.1", where: "?api_key=…",
			sign:  func(r *http.Request, key string) { r.URL.RawQuery = "api_key=" + key },
			calls: []string{"GET /v1/products", "GET /v1/products/4"}, every: 90 * time.Millisecond,
		},
	}
	for _, c := range callers {
		c.key = "shop_" + rand.Text()
		c.client = &http.Client{Timeout: 10 * time.Second}
		c.counts = map[int]int{}
	}
	return callers
}

// letThemCall has each caller call until the function returned is called.
func letThemCall(callers []*demoCaller, base string) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for _, c := range callers {
		wait.Go(func() { c.run(ctx, base) })
	}
	return func() error {
		cancel()
		wait.Wait()
		return nil
	}
}

func (c *demoCaller) run(ctx context.Context, base string) {
	tick := time.NewTicker(c.every)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.call(ctx, base, c.calls[n%len(c.calls)])
	}
}

// call makes one call and counts how it was answered; 0 is no answer.
func (c *demoCaller) call(ctx context.Context, base, operation string) {
	method, path, _ := strings.Cut(operation, " ")
	req, err := http.NewRequestWithContext(ctx, method, base+path, nil)
	if err != nil {
		return // the operations are written above
	}
	if method == http.MethodPost {
		body := fmt.Sprintf(`{"name":"Bowl %s","price":11.5}`, rand.Text()[:4])
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", c.userAgent)
	c.mu.Lock()
	client, counts := c.client, c.counts
	if !c.tokens {
		c.sign(req, c.key)
	}
	c.mu.Unlock()
	status := 0
	if resp, err := client.Do(req); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		status = resp.StatusCode
	} else if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	counts[status]++ // of the span in which it began
	c.mu.Unlock()
}

// sendTokens is the change of three lines: from now on the program calls with a
// client that fetches tokens.
func (c *demoCaller) sendTokens(client *http.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.client, c.tokens, c.counts = client, true, map[int]int{}
}

// countAnew forgets what was counted.
func (c *demoCaller) countAnew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts = map[int]int{}
}

// counted are the calls answered with success, and all others.
func (c *demoCaller) counted() (good, bad int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for status, n := range c.counts {
		if status >= 200 && status < 300 {
			good += n
		} else {
			bad += n
		}
	}
	return good, bad
}
