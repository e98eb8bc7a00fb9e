package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
)

// maxDocument bounds what doctor reads of an answer, in bytes.
const maxDocument = 256 << 10

// askTimeout bounds one request of doctor.
const askTimeout = 5 * time.Second

// ask makes one GET without credentials and does not follow redirects.
func ask(ctx context.Context, c *http.Client, target string) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("User-Agent", "offkey-doctor")
	direct := *c
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := direct.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the target, which is named anyway
		}
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	return resp, body, err
}

// wellKnown is the address of a metadata document: the suffix goes between host
// and path (RFC 8414 §3.1, RFC 9728 §3.1).
func wellKnown(identifier, suffix string) (string, error) {
	u, err := url.Parse(identifier)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("%q is no absolute URL", identifier)
	}
	u.Path = "/.well-known/" + suffix + strings.TrimSuffix(u.Path, "/")
	return u.String(), nil
}

// document fetches a JSON document from a public URL.
func (x *examination) document(ctx context.Context, check, target string, into any) bool {
	resp, body, err := ask(ctx, x.HTTP, target)
	switch {
	case err != nil:
		x.failure(check, "check DNS, TLS and the proxy in front of offkey; callers use this URL", "%s does not answer: %v", target, err)
	case resp.StatusCode != http.StatusOK:
		x.failure(check, "check that the proxy in front of offkey passes this path and the host", "%s answers %s", target, resp.Status)
	case json.Unmarshal(body, into) != nil:
		x.failure(check, "something else than offkey answers at this URL", "%s answers with something that is no JSON document", target)
	default:
		x.clock(resp, "issuer")
		return true
	}
	return false
}

// issuer asks the authorization server under its public URL.
func (x *examination) issuer(ctx context.Context) {
	const check = "issuer"
	target, err := wellKnown(x.Issuer, oauth.SuffixAuthorizationServer)
	if err != nil {
		x.failure(check, "correct issuer in the configuration", "%v", err)
		return
	}
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if !x.document(ctx, check, target, &metadata) {
		return
	}
	if metadata.Issuer != x.Issuer { // RFC 8414 §3.3
		x.failure(check, "another server answers at this URL, or an old offkey does", "%s names the issuer %q, not %q", target, metadata.Issuer, x.Issuer)
		return
	}
	var keys struct {
		Keys []struct {
			KID string `json:"kid"`
		} `json:"keys"`
	}
	if !x.document(ctx, check, metadata.JWKSURI, &keys) {
		return
	}
	if signer, err := x.o.Keyring.Current().Signer(x.now()); err == nil {
		if !slices.ContainsFunc(keys.Keys, func(k struct {
			KID string `json:"kid"`
		}) bool {
			return k.KID == signer.ID()
		}) {
			x.failure(check, "remove the cache in front of it, or let it forget", "%s does not hold the key that signs, %s", metadata.JWKSURI, signer.ID())
			return
		}
	}
	x.ok(check, "%s answers, with the keys that sign", x.Issuer)
}

// gateway asks for the metadata of the API under its public URL.
func (x *examination) gateway(ctx context.Context) {
	const check = "gateway"
	target, err := wellKnown(x.Resource, oauth.SuffixProtectedResource)
	if err != nil {
		x.failure(check, "correct gateway.resource in the configuration", "%v", err)
		return
	}
	var metadata struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	if !x.document(ctx, check, target, &metadata) {
		return
	}
	switch {
	case metadata.Resource != x.Resource: // RFC 9728 §3.3
		x.failure(check, "another server answers at this URL, or gateway.resource is not the public URL of the API", "%s names the resource %q, not %q", target, metadata.Resource, x.Resource)
	case !slices.Contains(metadata.Servers, x.Issuer):
		x.failure(check, "another server answers at this URL, or an old offkey does", "%s does not name the issuer %s", target, x.Issuer)
	default:
		x.ok(check, "%s answers and names the issuer", x.Resource)
	}
}

// The bounds of how far the clock may be off: assertions live for a minute, and
// thirty seconds of difference are forgiven.
const (
	clockWarns = 30 * time.Second
	clockFails = 5 * time.Minute
)

// clock compares ours with the Date of an answer, once per source.
func (x *examination) clock(resp *http.Response, whose string) {
	check := "clock"
	if slices.ContainsFunc(x.findings, func(f Finding) bool { return f.Check == check && strings.Contains(f.Message, whose) }) {
		return
	}
	there, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	off := x.now().Sub(there).Round(time.Second)
	const fix = "synchronise both clocks (NTP): tokens and assertions live for minutes"
	switch {
	case off.Abs() > clockFails:
		x.failure(check, fix, "it differs by %s from that of the %s", off.Abs(), whose)
	case off.Abs() > clockWarns:
		x.warning(check, fix, "it differs by %s from that of the %s", off.Abs(), whose)
	default:
		x.ok(check, "it agrees with that of the %s", whose)
	}
}

// upstream asks one API directly, as somebody would who goes round the gateway.
func (x *examination) upstream(ctx context.Context, u DoctorUpstream) {
	check := "upstream " + u.Name
	if u.HTTP == nil {
		u.HTTP = x.HTTP
	}
	base, err := url.Parse(u.URL)
	if err != nil {
		x.failure(check, "", "%v", err)
		return
	}
	resp, _, err := ask(ctx, u.HTTP, u.URL)
	if err != nil {
		x.failure(check, "start it, or correct its url", "%s does not answer: %v", u.URL, err)
		return
	}
	x.clock(resp, check)
	x.ok(check, "%s answers", u.URL)
	x.openRoutes(ctx, u, base)
	x.otherAddresses(ctx, check, base)
}

// maxOpenRoutes bounds how many routes are asked without a credential.
const maxOpenRoutes = 5

// openRoutes asks protected routes directly and without a credential: where the
// API answers all the same, whoever reaches it needs no gateway.
func (x *examination) openRoutes(ctx context.Context, u DoctorUpstream, base *url.URL) {
	check := "ways round " + u.Name
	paths, err := x.protectedPaths(ctx)
	if err != nil {
		x.failure(check, "", "%v", err)
		return
	}
	open := 0
	for _, path := range paths[:min(len(paths), maxOpenRoutes)] {
		resp, _, err := ask(ctx, u.HTTP, strings.TrimSuffix(base.String(), "/")+path)
		if err == nil && resp.StatusCode >= 200 && resp.StatusCode < 300 {
			open++
			x.warning(check, "let the API refuse it, or let only offkey reach the API; if it is meant, run `offkey routes set \"GET "+path+"\" --open`",
				"the API itself answers GET %s without a credential (%d)", path, resp.StatusCode)
		}
	}
	if open == 0 && len(paths) > 0 {
		x.ok(check, "%d routes asked directly and without a credential, none answered", min(len(paths), maxOpenRoutes))
	}
}

// protectedPaths are paths without placeholders that need a credential and that
// can be asked for without effect.
func (x *examination) protectedPaths(ctx context.Context) ([]string, error) {
	rules := x.o.Ruleset()
	var paths []string
	add := func(method, template string) {
		if method == http.MethodGet && !strings.ContainsAny(template, "*{") && !slices.Contains(paths, template) {
			if r := rules.Match(method, template); r == nil || !r.Open {
				paths = append(paths, template)
			}
		}
	}
	for _, r := range rules.Routes() {
		if len(r.Scopes) > 0 {
			add(methodOf(r), r.Template)
		}
	}
	observed, err := x.proposals(ctx, rules)
	for _, o := range observed {
		add(o.Method, o.Template)
	}
	return paths, err
}

// methodOf is a method that the route takes.
func methodOf(r *policy.Route) string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// otherAddresses looks whether an API on this machine is reached from others.
func (x *examination) otherAddresses(ctx context.Context, check string, base *url.URL) {
	if !oauth.IsLoopback(base.Hostname()) {
		x.warning(check, "let a firewall or mutual TLS admit offkey alone", "%s is on the network: whoever reaches it goes round offkey", base.Host)
		return
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return
	}
	port := base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[base.Scheme]
	}
	for _, a := range addresses {
		network, ok := a.(*net.IPNet)
		if !ok || network.IP.IsLoopback() || network.IP.IsLinkLocalUnicast() {
			continue
		}
		address := net.JoinHostPort(network.IP.String(), port)
		d := net.Dialer{Timeout: time.Second}
		if conn, err := d.DialContext(ctx, "tcp", address); err == nil {
			conn.Close()
			x.warning(check, "bind it to 127.0.0.1", "it also listens on %s: whoever reaches that goes round offkey", address)
			return
		}
	}
}
