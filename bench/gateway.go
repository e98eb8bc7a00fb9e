package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/offkey/offkey/bench/load"
)

const (
	apikeyValue = "the-apikey-of-the-benchmark-0001"
	callPath    = "/v1/orders"
)

// benchGateway compares what may stand in front of an API. The API itself runs
// on the core of the load, but for the row where it is what is measured.
func benchGateway(ctx context.Context, o options, dir string, out io.Writer) (kept bool, err error) {
	upstream, err := start(ctx, loadCore, filepath.Join(dir, "upstream"))
	if err != nil {
		return false, err
	}
	defer upstream.stop()
	bare, err := start(ctx, serverCore, filepath.Join(dir, "upstream"))
	if err != nil {
		return false, err
	}
	defer bare.stop()
	proxy, err := start(ctx, serverCore, filepath.Join(dir, "proxy"), "-upstream", upstream.said)
	if err != nil {
		return false, err
	}
	defer proxy.stop()
	gateway, client, err := enforcingOffkey(ctx, dir, upstream.said)
	if err != nil {
		return false, err
	}
	defer gateway.stop()
	// What is cached of tokens that come once would burden the others.
	strained, strainedClient, err := enforcingOffkey(ctx, dir, upstream.said)
	if err != nil {
		return false, err
	}
	defer strained.stop()

	token, err := tokens(ctx, gateway, client, 1)
	if err != nil {
		return false, err
	}
	withKey, withToken := "X-API-Key: "+apikeyValue, "Authorization: Bearer "+token[0]
	s := suite{
		title: "Gateway, GET of 1 KB; scopes enforced", baseline: "ReverseProxy, apikey", requests: o.calls,
		subjects: []subject{
			{name: "no gateway", process: bare.process(), load: callLoad(o, bare.said, withKey)},
			{name: "ReverseProxy, apikey", process: proxy.process(), load: callLoad(o, proxy.said, withKey)},
			{name: "offkey, apikey", process: gateway.process(), load: callLoad(o, gateway.Gateway, withKey)},
			{name: "ReverseProxy, token", process: proxy.process(), load: callLoad(o, proxy.said, withToken)},
			{name: "offkey, cached token", process: gateway.process(), load: callLoad(o, gateway.Gateway, withToken)},
			{name: "offkey, new token each", process: strained.process(), load: freshTokenLoad(ctx, o, strained, strainedClient)},
		},
		limits: []limit{{"offkey, apikey", "ReverseProxy, apikey", 1.10}, {"offkey, cached token", "ReverseProxy, token", 1.10}},
	}
	nginx, err := startNginx(ctx, dir, upstream.said)
	switch {
	case err != nil:
		return false, err
	case nginx == nil:
		fmt.Fprintln(out, "\nnginx is not here and is left out: bench/setup installs it (Debian: nginx-light)")
	default:
		defer nginx.stop()
		s.subjects = slices.Insert(s.subjects, 2, subject{name: "nginx, apikey", process: nginx.process(), load: callLoad(o, nginx.said, withKey)})
	}
	return s.run(ctx, o.rounds, out)
}

// enforcingOffkey is one that has something to decide: an apikey that it knows
// and a client, on a route whose scope is enforced.
func enforcingOffkey(ctx context.Context, dir, upstream string) (*offkey, credential, error) {
	o, err := startOffkey(ctx, dir, upstream)
	if err != nil {
		return nil, credential{}, err
	}
	for _, step := range []struct {
		input string
		args  []string
	}{
		{"key,label\n" + apikeyValue + ",bench\n", []string{"apikeys", "import", "-"}},
		{"", []string{"routes", "set", "GET " + callPath, scope}},
		{"", []string{"routes", "enforce", "on"}},
	} {
		if err := o.cli(ctx, nil, step.input, step.args...); err != nil {
			return nil, credential{}, err
		}
	}
	client, err := o.secretClient(ctx)
	return o, client, err
}

// callLoad is the same call n times.
func callLoad(o options, base, credential string) func(int) (load.Load, error) {
	return func(n int) (load.Load, error) {
		addr := strings.TrimPrefix(base, "http://")
		raw := call(addr, credential)
		return load.Load{Addr: addr, Connections: o.connections, Requests: n, Status: http.StatusOK, Request: func(int) []byte { return raw }}, nil
	}
}

func call(host, credential string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: application/json\r\n%s\r\n\r\n", callPath, host, credential)
}

// freshTokenLoad sends each call with a token that the gateway has not seen.
func freshTokenLoad(ctx context.Context, o options, gateway *offkey, client credential) func(int) (load.Load, error) {
	return func(n int) (load.Load, error) {
		n /= 4 // each costs a token
		all, err := tokens(ctx, gateway, client, n)
		if err != nil {
			return load.Load{}, err
		}
		addr := strings.TrimPrefix(gateway.Gateway, "http://")
		requests := make([][]byte, n)
		for i, token := range all {
			requests[i] = call(addr, "Authorization: Bearer "+token)
		}
		return load.Load{Addr: addr, Connections: o.connections, Requests: n, Status: http.StatusOK, Request: func(i int) []byte { return requests[i] }}, nil
	}
}

// tokens asks for n tokens.
func tokens(ctx context.Context, o *offkey, client credential, n int) ([]string, error) {
	all := make([]string, n)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(n, 8) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				var err error
				if all[i], err = oneToken(ctx, o.Issuer, client); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return all, context.Cause(ctx)
}

func oneToken(ctx context.Context, issuer string, client credential) (string, error) {
	r, err := tokenRequest(issuer, url.Values{})
	if err != nil {
		return "", err
	}
	r.SetBasicAuth(url.QueryEscape(client.id), url.QueryEscape(client.secret))
	resp, err := http.DefaultClient.Do(r.WithContext(ctx))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("token request: %s (%v)", resp.Status, err)
	}
	return got.AccessToken, nil
}
