package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/offkey/offkey/bench/load"
)

// peopleConfig is an issuer with one person, who may sign in as often as they
// like: its limits are by source, and the load says that it is many.
const peopleConfig = `issuer: http://%[1]s
storage: {dsn: "sqlite://%[2]s/offkey.db"}
trusted_proxies: [127.0.0.0/8]
listen: {issuer: "%[1]s", gateway: "127.0.0.1:0", admin: "127.0.0.1:0", ops: "127.0.0.1:0"}
gateway: {resource: "https://api.example.com", upstreams: {api: {url: "http://127.0.0.1:9"}}}
people:
  groups: [{name: buyers, scopes: [read:orders]}]
  users: [{name: ana, email: ana@example.com, password_file: ana.password, groups: [buyers]}]
clients:
  - {id: shop, auth: client_secret_basic, secret: %[3]s, grants: [authorization_code, refresh_token, client_credentials], redirect_uris: ["https://shop.example/cb"], scopes: [openid, offline_access, read:orders]}
`

const (
	personPassword = "paper boats in the harbour"
	personSecret   = "a-secret-of-the-shop-0123456789abcdef"
	deviceClients  = 50 // each may begin some hundreds at once
)

// benchPeople measures what people take part in, by the CPU of a flow that was
// finished: every page and request of it together.
func benchPeople(ctx context.Context, o options, dir string, out io.Writer) (kept bool, err error) {
	s, issuer, err := startPeople(ctx, dir)
	if err != nil {
		return false, err
	}
	defer s.stop()
	p := &people{issuer: issuer, workers: make([]*worker, o.connections)}
	for i := range p.workers {
		if p.workers[i], err = p.signIn(ctx); err != nil {
			return false, fmt.Errorf("sign in: %w", err)
		}
	}
	rows := suite{
		title: "Flows of people, each whole", baseline: "client_credentials", requests: o.flows,
		subjects: []subject{
			{name: "client_credentials", process: s.process(), load: secretLoad(o, issuer, "shop", personSecret)},
			{name: "refresh token renewed", process: s.process(), flow: p.many((*worker).renew)},
			{name: "code: authorize, token (signed in, allowed before)", process: s.process(), flow: p.many((*worker).code)},
			{name: "device: begin, one early poll, three pages, token", process: s.process(), flow: p.many((*worker).device)},
		},
	}
	return rows.run(ctx, o.rounds, out)
}

func startPeople(ctx context.Context, dir string) (s *server, issuer string, err error) {
	data, err := os.MkdirTemp(dir, "people-*")
	if err != nil {
		return nil, "", err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	address := l.Addr().String()
	_ = l.Close()
	var config strings.Builder
	fmt.Fprintf(&config, peopleConfig, address, data, personSecret)
	for i := range deviceClients {
		fmt.Fprintf(&config, "  - {id: cli-%d, auth: none, grants: [device_code, refresh_token], scopes: [openid, offline_access, read:orders]}\n", i)
	}
	for name, content := range map[string]string{"offkey.yaml": config.String(), "ana.password": personPassword} {
		if err := os.WriteFile(filepath.Join(data, name), []byte(content), 0o600); err != nil {
			return nil, "", err
		}
	}
	s, err = start(ctx, serverCore, filepath.Join(dir, "offkey"), "serve", "--config", filepath.Join(data, "offkey.yaml"), "--json")
	return s, "http://" + address, err
}

// people are the browsers and programs that flows go through.
type people struct {
	issuer  string
	workers []*worker
	serial  atomic.Int64
}

// worker is one browser, in which somebody is signed in, and the programs that
// its person uses.
type worker struct {
	*people
	browser *http.Client
	refresh string
}

// many runs n flows side by side.
func (p *people) many(flow func(*worker, context.Context) error) func(context.Context, int) (load.Result, error) {
	return func(ctx context.Context, n int) (load.Result, error) {
		var left atomic.Int64
		left.Store(int64(n))
		times := make([][]time.Duration, len(p.workers))
		errs := make([]error, len(p.workers))
		var wg sync.WaitGroup
		for i, w := range p.workers {
			wg.Go(func() {
				for left.Add(-1) >= 0 && errs[i] == nil {
					began := time.Now()
					errs[i] = flow(w, ctx)
					times[i] = append(times[i], time.Since(began))
				}
			})
		}
		wg.Wait()
		all := slices.Concat(times...)
		slices.Sort(all)
		if err := errors.Join(errs...); err != nil || len(all) == 0 {
			return load.Result{}, err
		}
		return load.Result{Requests: len(all), P50: all[len(all)/2], P99: all[len(all)*99/100]}, nil
	}
}

// signIn makes a browser, goes through the whole flow once, and allows all.
func (p *people) signIn(ctx context.Context) (*worker, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	w := &worker{people: p, browser: &http.Client{
		Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: 2},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return w, w.code(ctx)
}

// verifier is of RFC 7636 appendix B.
const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

// code is an authorization code flow for OpenID Connect with a refresh token.
func (w *worker) code(ctx context.Context) error {
	at, err := w.visit(ctx, w.issuer+"/authorize?"+url.Values{
		"client_id": {"shop"}, "response_type": {"code"}, "redirect_uri": {"https://shop.example/cb"}, "scope": {"openid offline_access read:orders"},
		"state": {rand.Text()}, "nonce": {rand.Text()}, "code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}.Encode())
	if err != nil {
		return err
	}
	back, err := url.Parse(at)
	if err != nil || back.Query().Get("code") == "" {
		return fmt.Errorf("no code in %s: %w", at, err)
	}
	tokens, err := w.token(ctx, "shop", url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {"https://shop.example/cb"}, "code_verifier": {verifier},
	})
	if err == nil && (tokens.IDToken == "" || tokens.RefreshToken == "") {
		err = errors.New("no ID token or no refresh token")
	}
	w.refresh = tokens.RefreshToken
	return err
}

// renew uses the refresh token, and keeps the next.
func (w *worker) renew(ctx context.Context) error {
	tokens, err := w.token(ctx, "shop", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {w.refresh}})
	if tokens.RefreshToken != "" {
		w.refresh = tokens.RefreshToken
	}
	return err
}

// device is a device flow: the program begins and asks too early, the person
// types and confirms the code, and the program gets its tokens.
func (w *worker) device(ctx context.Context) error {
	id := "cli-" + strconv.FormatInt(w.serial.Add(1)%deviceClients, 10)
	var begun struct {
		DeviceCode string `json:"device_code"`
		Page       string `json:"verification_uri_complete"`
	}
	if _, err := w.post(ctx, "/device/authorize", "", url.Values{"client_id": {id}, "scope": {"openid offline_access read:orders"}}, &begun); err != nil {
		return err
	}
	poll := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "client_id": {id}, "device_code": {begun.DeviceCode}}
	if status, err := w.post(ctx, "/token", "", poll, nil); err != nil || status != http.StatusBadRequest {
		return fmt.Errorf("a poll before the answer: %d, %w", status, err)
	}
	if _, err := w.visit(ctx, begun.Page); err != nil {
		return err
	}
	tokens, err := w.token(ctx, "", poll)
	if err == nil && (tokens.IDToken == "" || tokens.RefreshToken == "") {
		err = errors.New("no ID token or no refresh token")
	}
	return err
}

type granted struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
}

func (w *worker) token(ctx context.Context, client string, form url.Values) (got granted, err error) {
	status, err := w.post(ctx, "/token", client, form, &got)
	if err == nil && (status != http.StatusOK || got.AccessToken == "") {
		err = fmt.Errorf("no token: %d", status)
	}
	return got, err
}

// post is a request of a program.
func (w *worker) post(ctx context.Context, path, client string, form url.Values, v any) (status int, err error) {
	r, err := w.form(ctx, w.issuer+path, form)
	if err != nil {
		return 0, err
	}
	if client != "" {
		r.SetBasicAuth(client, personSecret)
	}
	status, _, body, err := w.do(r)
	if err == nil && v != nil {
		err = json.Unmarshal([]byte(body), v)
	}
	return status, err
}

func (w *worker) form(ctx context.Context, to string, form url.Values) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r, err
}

// do sends a request as if from somewhere else each time.
func (w *worker) do(r *http.Request) (status int, location, body string, err error) {
	n := w.serial.Add(1)
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255))
	resp, err := w.browser.Do(r)
	if err != nil {
		return 0, "", "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if to, lErr := resp.Location(); lErr == nil {
		location = to.String()
	}
	return resp.StatusCode, location, string(raw), err
}

// buttons are what a person presses, by the ids that the pages promise.
var buttons = []struct {
	id   string
	fill url.Values
}{
	{"login-submit", url.Values{"username": {"ana"}, "password": {personPassword}}},
	{"consent-allow", url.Values{"decision": {"allow"}}},
	{"device-submit", nil},
	{"device-confirm", url.Values{"decision": {"allow"}}},
}

var (
	forms  = regexp.MustCompile(`(?s)<form method="post" action="([^"]*)".*?</form>`)
	inputs = regexp.MustCompile(`<input [^>]*name="([^"]*)"[^>]*value="([^"]*)"`)
)

// visit goes from page to page, pressing buttons, until there is none or another
// site is reached.
func (w *worker) visit(ctx context.Context, at string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	for range 20 {
		if err != nil {
			return "", err
		}
		status, location, page, err := w.do(r)
		switch {
		case err != nil:
			return "", err
		case location != "" && !strings.HasPrefix(location, w.issuer+"/"):
			return location, nil
		case location != "":
			if r, err = http.NewRequestWithContext(ctx, http.MethodGet, location, nil); err != nil {
				return "", err
			}
			continue
		case status != http.StatusOK:
			return "", fmt.Errorf("%s: %d", r.URL, status)
		}
		next, err := w.press(ctx, page)
		if next == nil {
			return r.URL.String(), err
		}
		r = next
	}
	return "", fmt.Errorf("%s leads in circles", at)
}

func (w *worker) press(ctx context.Context, page string) (*http.Request, error) {
	for _, button := range buttons {
		for _, form := range forms.FindAllStringSubmatch(page, -1) {
			if !strings.Contains(form[0], `id="`+button.id+`"`) {
				continue
			}
			sent := url.Values{}
			for _, input := range inputs.FindAllStringSubmatch(form[0], -1) {
				sent.Set(input[1], html.UnescapeString(input[2]))
			}
			for name, values := range button.fill {
				sent[name] = values
			}
			return w.form(ctx, w.issuer+html.UnescapeString(form[1]), sent)
		}
	}
	return nil, nil
}
