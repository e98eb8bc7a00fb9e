package config

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/client"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/internal/policy"
)

// check reports what is wrong with values that are well-formed one by one, and
// completes what follows from others.
func (l *Loaded) check() Problems {
	c := &checker{l: l}
	c.issuer()
	c.upstreams()
	c.routes()
	c.scopeIncludes()
	c.apikeys()
	c.migration()
	c.email()
	c.tls()
	c.storage()
	c.lives()
	c.clients()
	c.people()
	c.trust()
	c.issuers()
	return c.problems
}

type checker struct {
	l        *Loaded
	problems Problems
}

func (c *checker) add(setting, message, fix string) {
	p := Problem{File: c.l.File, Setting: setting, Message: setting + " " + message, Fix: fix}
	for s := setting; s != ""; s = parent(s) { // a missing setting is reported at its section
		if line := c.l.lines[s]; line > 0 {
			p.Line = line
			break
		}
	}
	c.problems = append(c.problems, p)
}

func parent(setting string) string {
	if i := strings.LastIndexAny(setting, ".["); i > 0 {
		return setting[:i]
	}
	return ""
}

func (c *checker) issuer() {
	if c.l.Issuer == "" {
		c.add("issuer", "is missing", "add `issuer: https://auth.example.com`, the public URL of the authorization server")
		return
	}
	c.identifier("issuer", c.l.Issuer)
}

// issuers holds the authorization servers that are trusted beside ours to what keeps
// them apart: their names, and their identifiers.
func (c *checker) issuers() {
	names, seen := map[string]bool{}, map[string]bool{c.l.Issuer: true}
	for i := range c.l.Issuers {
		one, at := &c.l.Issuers[i], fmt.Sprintf("issuers[%d]", i)
		switch {
		case one.Name == "" || strings.Trim(one.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
			c.add(at+".name", fmt.Sprintf("is %q", one.Name), "write it in lower-case letters, digits and -, as in corp")
		case names[one.Name]:
			c.add(at+".name", "is another's too", "give each its own")
		}
		names[one.Name] = true
		if seen[one.Issuer] {
			c.add(at+".issuer", "is trusted already", "name each issuer once, and leave out our own")
		}
		seen[one.Issuer] = true
		c.identifier(at+".issuer", one.Issuer)
		if one.JWKSURI != "" {
			c.identifier(at+".jwks_uri", one.JWKSURI)
		}
		for theirs, ours := range one.Scopes {
			if !oauth.IsScopeName(ours) {
				c.add(at+".scopes", fmt.Sprintf("gives %q the meaning %q, which is no scope", theirs, ours), "")
			}
		}
		for _, client := range c.l.Clients {
			if strings.HasPrefix(client.ID, one.Name+":") {
				c.add(at+".name", fmt.Sprintf("goes before the id of our own client %q", client.ID), "choose another name")
			}
		}
		if one.Audience == "" {
			one.Audience = c.l.Gateway.Resource
		}
	}
}

// identifier holds a URL that names offkey or the API to what RFC 8414 §2 and
// RFC 8707 §2 ask of one.
func (c *checker) identifier(setting, value string) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http"):
		c.add(setting, fmt.Sprintf("is %q, which is no absolute URL", value), "write it as https://auth.example.com")
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		c.add(setting, "has a query, fragment or user", "leave them out")
	case u.Scheme == "http" && !oauth.IsLoopback(u.Hostname()):
		c.add(setting, "is http on an address that is not loopback", "use https: tokens would travel in clear")
	}
}

func (c *checker) upstreams() {
	g := &c.l.Gateway
	if len(g.Upstreams) == 0 {
		c.add("gateway.upstreams", "is missing", "name your API: `gateway: {upstreams: {api: {url: \"http://127.0.0.1:8080\"}}}`")
		return
	}
	catchAll := 0
	for _, name := range sortedNames(g.Upstreams) {
		u, at := g.Upstreams[name], "gateway.upstreams."+name
		parsed, err := url.Parse(u.URL)
		switch {
		case u.URL == "":
			c.add(at+".url", "is missing", "write where the API is, as in http://10.0.3.7:8080")
		case err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https"):
			c.add(at+".url", fmt.Sprintf("is %q, which is no http or https URL", u.URL), "write it as http://10.0.3.7:8080")
		case parsed.RawQuery != "" || parsed.Fragment != "" || parsed.User != nil:
			c.add(at+".url", "has a query, fragment or user", "leave them out")
		}
		if len(u.Hosts) == 0 {
			catchAll++
		}
		if u.TokenCall == "secret" {
			if _, err := apikey.ParseCarrier(u.Secret.In); err != nil {
				c.add(at+".secret.in", err.Error(), "token_call: secret needs to know where the secret travels, as in header:X-API-Key")
			}
			if u.Secret.Value.IsZero() {
				c.add(at+".secret.value", "is missing", "token_call: secret needs it, best as ${file:PATH}")
			}
		}
	}
	if catchAll > 0 && len(g.Upstreams) > 1 {
		c.add("gateway.upstreams", "has several upstreams, and not all of them say for which hosts", "give each its hosts")
	}
	if g.Resource == "" {
		g.Resource = c.defaultResource()
	}
	if g.Resource == "" {
		c.add("gateway.resource", "is missing", "write the public URL of the API; it is the audience of access tokens")
		return
	}
	c.identifier("gateway.resource", g.Resource)
}

func (c *checker) defaultResource() string {
	for _, name := range sortedNames(c.l.Gateway.Upstreams) {
		if hosts := c.l.Gateway.Upstreams[name].Hosts; len(hosts) > 0 {
			return "https://" + hosts[0]
		}
	}
	return ""
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// scopeIncludes holds what includes and what is included to be names of scopes.
func (c *checker) scopeIncludes() {
	for _, name := range sortedNames(c.l.Gateway.ScopeIncludes) {
		for _, scope := range append([]string{name}, c.l.Gateway.ScopeIncludes[name]...) {
			if !oauth.IsScopeName(scope) {
				c.add("gateway.scope_includes."+name, fmt.Sprintf("has %q, which is no scope", scope), "write names without spaces, as in {manage:orders: [read:orders]}")
			}
		}
	}
}

func (c *checker) routes() {
	seen := map[string]int{}
	for i, r := range c.l.Gateway.Routes {
		at := fmt.Sprintf("gateway.routes[%d]", i)
		parsed, err := policy.ParseRoute(r.Match)
		if err != nil {
			c.add(at+".match", err.Error(), "")
			continue
		}
		if before, twice := seen[parsed.Match()]; twice {
			c.add(at+".match", fmt.Sprintf("repeats gateway.routes[%d], which would always win", before), "remove one of them")
		}
		seen[parsed.Match()] = i
		if _, err := oauth.ParseScope(strings.Join(r.Scopes, " ")); err != nil {
			c.add(at+".scopes", err.Error(), "")
		}
		demands := r.Demands()
		if err := demands.Check(); err != nil {
			c.add(at, "asks for what no token can be: "+err.Error(), "")
		}
		if r.Auth == "none" && (len(r.Scopes) > 0 || demands.DPoP || demands.StepUp()) {
			c.add(at, "asks for something of a token and has auth: none", "remove one of them")
		}
	}
}

// PolicyRoutes are the routes of the file as rules.
func (c *Config) PolicyRoutes() ([]policy.Route, error) {
	routes := make([]policy.Route, 0, len(c.Gateway.Routes))
	for _, r := range c.Gateway.Routes {
		parsed, err := policy.ParseRoute(r.Match)
		if err != nil {
			return nil, err
		}
		scopes, err := oauth.ParseScope(strings.Join(r.Scopes, " "))
		if err != nil {
			return nil, err
		}
		parsed.Scopes, parsed.Open, parsed.Enforce, parsed.Source = scopes, r.Auth == "none", r.Enforce, policy.SourceFile
		parsed.Demands = r.Demands()
		routes = append(routes, parsed)
	}
	return routes, nil
}

// Carrier is the place as package apikey reads it.
func (p Place) Carrier() (apikey.Carrier, error) {
	form := p.In + ":" + p.Name
	switch p.In {
	case "authorization":
		form = p.In + ":" + p.Scheme
	case "basic":
		form = p.In
	}
	carrier, err := apikey.ParseCarrier(form)
	if err != nil || p.Pattern == "" {
		return carrier, err
	}
	carrier.Pattern, err = regexp.Compile(p.Pattern)
	return carrier, err
}

// Carriers are the places where apikeys travel.
func (a APIKeys) Carriers() ([]apikey.Carrier, error) {
	carriers := make([]apikey.Carrier, 0, len(a.Where))
	for _, p := range a.Where {
		carrier, err := p.Carrier()
		if err != nil {
			return nil, err
		}
		carriers = append(carriers, carrier)
	}
	return carriers, nil
}

// LearnsFromUpstream reports whether the API's answers make apikeys known, and
// which of them say that one is not valid.
func (a APIKeys) LearnsFromUpstream() (refusals []int, ok bool) {
	for _, k := range a.KnownBy {
		if k.Type == "upstream" {
			if len(k.ValidUnless) == 0 {
				return []int{401}, true
			}
			return k.ValidUnless, true
		}
	}
	return nil, false
}

func (c *checker) apikeys() {
	if len(c.l.APIKeys.Where) == 0 {
		c.add("apikeys.where", "is empty", "say where apikeys travel, as in `- {in: header, name: X-API-Key}`")
	}
	for i, p := range c.l.APIKeys.Where {
		at := fmt.Sprintf("apikeys.where[%d]", i)
		switch {
		case p.In == "":
			c.add(at+".in", "is missing", "it is header, authorization, query, cookie or basic")
		case p.In == "authorization" && p.Scheme == "":
			c.add(at+".scheme", "is missing", "name the scheme, as in `{in: authorization, scheme: KEY}`")
		default:
			if _, err := p.Carrier(); err != nil {
				c.add(at, err.Error(), "")
			}
		}
	}
	for i, k := range c.l.APIKeys.KnownBy {
		c.knownBy(fmt.Sprintf("apikeys.known_by[%d]", i), k)
	}
}

func (c *checker) migration() {
	cal := c.l.Migration.Calendar
	if !cal.Sunset.IsZero() && !cal.Deprecated.IsZero() && cal.Sunset.Before(cal.Deprecated.Time) {
		c.add("migration.calendar.sunset", "is before migration.calendar.deprecated", "RFC 9745 §4 wants it the same or later")
	}
	if w := c.l.Migration.Webhook; w.URL != "" {
		if u, err := url.Parse(w.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
			c.add("migration.webhook.url", "is no http URL without a user in it", "")
		}
		if len(w.Secret.Reveal()) < 24 {
			c.add("migration.webhook.secret", "is shorter than 24 characters", "make one with `openssl rand -base64 32`: without it nobody can tell our posts from others")
		}
	}
	if d := c.l.Migration.Docs; d != "" {
		if u, err := url.Parse(d); err != nil || u.Host == "" {
			c.add("migration.docs", fmt.Sprintf("is %q, which is no absolute URL", d), "")
		}
	}
}

func (c *checker) tls() {
	t := c.l.TLS
	c.clientCertificates()
	if t.Mode != "files" {
		return
	}
	for _, f := range []struct{ setting, path string }{{"tls.cert", t.Cert}, {"tls.key", t.Key}} {
		if f.path == "" {
			c.add(f.setting, "is missing", "tls.mode: files needs it")
		} else if _, err := os.Stat(c.l.Path(f.path)); err != nil {
			c.add(f.setting, "cannot be read: "+err.Error(), "")
		}
	}
}

// clientCertificates holds what is said about the certificates of callers
// together.
func (c *checker) clientCertificates() {
	t := c.l.TLS
	if t.Mode != "files" && c.l.Listen.MTLS != "" {
		c.add("listen.mtls", "is set, and there is no TLS to ask for a certificate in", "set tls.mode: files, or leave TLS to a proxy and set tls.client_certificate_header")
	}
	if t.Mode != "files" && t.ClientCertificates {
		c.add("tls.client_certificates", "is on, and there is no TLS to ask for a certificate in", "set tls.mode: files, or leave TLS to a proxy and set tls.client_certificate_header")
	}
	if t.CertificateHeader != "" && len(c.l.TrustedProxies) == 0 {
		c.add("tls.client_certificate_header", "is set, and nobody is trusted to send it", "name the networks of the proxies in trusted_proxies")
	}
	if t.CertificateHeader != "" && strings.Trim(t.CertificateHeader, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		c.add("tls.client_certificate_header", fmt.Sprintf("is %q, which is no name of a header", t.CertificateHeader), "write it as Client-Cert")
	}
	if c.l.Listen.AdminURL != "" {
		c.identifier("listen.admin_url", c.l.Listen.AdminURL)
	}
	if t.MTLSURL != "" {
		c.identifier("tls.mtls_url", t.MTLSURL)
	}
	if t.ClientCA != "" {
		if _, err := os.Stat(c.l.Path(t.ClientCA)); err != nil {
			c.add("tls.client_ca", "cannot be read: "+err.Error(), "")
		}
	}
}

// MutualTLS reports whether callers of the issuer can come with a certificate.
func (c *Config) MutualTLS() bool { return c.Listen.MTLS != "" || c.TLS.CertificateHeader != "" }

func (c *checker) storage() {
	if _, err := c.l.DataDir(); err != nil {
		c.add("storage.dsn", err.Error(), "write it as sqlite:///var/lib/offkey/offkey.db, or postgres://offkey@db.example.com/offkey")
	}
}

// Path makes a path of the file absolute: relative ones start at its folder.
func (l *Loaded) Path(p string) string {
	if p == "" || filepath.IsAbs(p) || l.File == "" {
		return p
	}
	return filepath.Join(filepath.Dir(l.File), p)
}

// StorageDSN is where the data lies: of a data file the whole path.
func (l *Loaded) StorageDSN() string {
	if path, ok := strings.CutPrefix(l.Storage.DSN, "sqlite://"); ok {
		return "sqlite://" + l.Path(path)
	}
	return l.Storage.DSN
}

// InPostgreSQL reports whether the data lies where other processes have it too.
func (l *Loaded) InPostgreSQL() bool {
	scheme, _, _ := strings.Cut(l.Storage.DSN, "://")
	return scheme == "postgres" || scheme == "postgresql"
}

// DataDir is the folder of the socket, of messages that wait and, unless
// configured, of the secrets: that of the data file, or offkey-data beside the
// configuration.
func (l *Loaded) DataDir() (string, error) {
	if l.InPostgreSQL() {
		return l.Path("offkey-data"), nil
	}
	path, ok := strings.CutPrefix(l.Storage.DSN, "sqlite://")
	if !ok || path == "" {
		return "", fmt.Errorf("is %q, which this release cannot open", l.Storage.DSN)
	}
	return filepath.Dir(l.Path(path)), nil
}

// LongestTTL is the most that tokens.access.ttl can be.
const LongestTTL = 24 * time.Hour

// Bounds of tokens.refresh.
const (
	longestRefresh = 10 * 365 * 24 * time.Hour
	longestGrace   = time.Minute
)

func (c *checker) lives() {
	ttl := time.Duration(c.l.Tokens.Access.TTL)
	if ttl < time.Second || ttl > LongestTTL {
		c.add("tokens.access.ttl", fmt.Sprintf("is %s", c.l.Tokens.Access.TTL), "use 1s to 24h; 15m is a good value")
	}
	if keep := time.Duration(c.l.Signing.KeepAfter); keep < ttl {
		c.add("signing.keep_after", "is shorter than tokens.access.ttl, so tokens would outlive their signing key", "make it at least "+c.l.Tokens.Access.TTL.String())
	}
	if every := time.Duration(c.l.Signing.RotateEvery); every <= time.Duration(c.l.Signing.PublishAhead) {
		c.add("signing.rotate_every", "is not longer than signing.publish_ahead", "")
	}
	refresh := c.l.Tokens.Refresh
	if life := time.Duration(refresh.TTL); life < time.Minute || life > longestRefresh {
		c.add("tokens.refresh.ttl", "is not between 1m and 10 years", "30 days are a good value")
	}
	if idle := time.Duration(refresh.Idle); idle < time.Minute || idle > longestRefresh {
		c.add("tokens.refresh.idle", "is not between 1m and 10 years", "make it shorter than tokens.refresh.ttl")
	}
	if grace := time.Duration(refresh.ReuseGrace); grace < 0 || grace > longestGrace {
		c.add("tokens.refresh.reuse_grace", "is longer than 1m, in which a stolen refresh token would go unnoticed", "0s or 10s are good values")
	}
	if life := time.Duration(c.l.Tokens.ClientAssertion.MaxLife); life < time.Minute || life > time.Hour {
		c.add("tokens.client_assertion.max_life", "is not between 1m and 1h", "5m is a good value")
	}
}

func (c *checker) clients() {
	ids := map[string]bool{}
	for i, cl := range c.l.Clients {
		at := fmt.Sprintf("clients[%d]", i)
		switch {
		case cl.ID == "":
			c.add(at+".id", "is missing", "")
			continue
		case ids[cl.ID]:
			c.add(at+".id", fmt.Sprintf("repeats the client %q", cl.ID), "")
		case cl.Auth == "":
			c.add(at+".auth", "is missing", "it is private_key_jwt for most, client_secret_basic for web apps that cannot, none for public clients")
		}
		ids[cl.ID] = true
		if err := client.CheckID(cl.ID); err != nil {
			c.add(at+".id", "is wrong: "+err.Error(), "choose another")
		}
		c.clientCredential(at, cl)
		if _, err := oauth.ParseScope(strings.Join(cl.Scopes, " ")); err != nil {
			c.add(at+".scopes", err.Error(), "")
		}
		for _, s := range cl.DefaultScopes {
			if !containsString(cl.Scopes, s) {
				c.add(at+".default_scopes", fmt.Sprintf("names %s, which scopes does not", s), "")
			}
		}
		c.clientGrants(at, cl)
	}
}

// grantNames are the grants by the short names that the file may use.
var grantNames = map[string]string{
	"authorization_code": oauth.GrantAuthorizationCode, "client_credentials": oauth.GrantClientCredentials, "refresh_token": oauth.GrantRefreshToken,
	"device_code": oauth.GrantDeviceCode, "token_exchange": oauth.GrantTokenExchange, "jwt_bearer": oauth.GrantJWTBearer,
}

// GrantType returns the grant type of a name of the file: a short one, or the
// grant type itself. It is "" for an unknown one.
func GrantType(name string) string {
	if long, known := grantNames[name]; known {
		return long
	}
	for _, long := range grantNames {
		if name == long {
			return long
		}
	}
	return ""
}

func (c *checker) clientGrants(at string, cl Client) {
	has := map[string]bool{}
	for _, name := range cl.Grants {
		g := GrantType(name)
		if g == "" {
			c.add(at+".grants", fmt.Sprintf("names %q, which is no grant", name), "use "+strings.Join(slices.Sorted(maps.Keys(grantNames)), ", "))
		}
		has[g] = true
	}
	switch {
	case cl.Auth == oauth.AuthNone && (has[oauth.GrantClientCredentials] || len(cl.Grants) == 0):
		c.add(at+".grants", "has client_credentials, which a client with auth: none cannot use", "name others, as in [authorization_code, refresh_token]")
	case has[oauth.GrantAuthorizationCode] && len(cl.RedirectURIs) == 0:
		c.add(at+".redirect_uris", "is missing, and authorization_code needs it", "")
	case has[oauth.GrantTokenExchange] != (len(cl.Exchange.From) > 0):
		c.add(at+".exchange.from", "and the grant token_exchange come together", "name the clients whose tokens it may exchange, or leave both out")
	case has[oauth.GrantTokenExchange] && cl.Auth == oauth.AuthNone:
		c.add(at+".grants", "has token_exchange, which a client with auth: none cannot use", "give it another auth")
	case has[oauth.GrantJWTBearer] && cl.Auth == oauth.AuthNone:
		c.add(at+".grants", "has jwt_bearer, which a client with auth: none cannot use", "give it another auth")
	case cl.PKCE == "optional" && cl.Auth == oauth.AuthNone:
		c.add(at+".pkce", "is optional, which a public client may not have", "leave it out")
	}
}

// clientCredential holds what a client proves itself with to its auth.
func (c *checker) clientCredential(at string, cl Client) {
	given := map[string]bool{
		"secret": !cl.Secret.IsZero(), "secret_file": cl.SecretFile != "", "jwks_file": cl.JWKSFile != "", "jwks_uri": cl.JWKSURI != "",
		"certificate_file": cl.CertificateFile != "", "tls_subject": cl.TLSSubject != "",
	}
	maps.DeleteFunc(given, func(_ string, set bool) bool { return !set })
	fits, missing, fix := []string{"secret", "secret_file"}, "has no secret", "add secret_file, or secret: ${VAR}"
	switch cl.Auth {
	case oauth.AuthPrivateKeyJWT:
		fits, missing, fix = []string{"jwks_file", "jwks_uri"}, "has no public key", "add jwks_file or jwks_uri"
	case oauth.AuthSelfSignedTLSClient:
		fits, missing, fix = []string{"certificate_file", "jwks_file", "jwks_uri"}, "has no certificate", "add certificate_file"
	case oauth.AuthTLSClient:
		fits, missing, fix = []string{"tls_subject"}, "does not say what its certificate must say", "add tls_subject, as in dn:CN=edge,O=Acme"
	case oauth.AuthNone, oauth.AuthFederatedJWT:
		fits, missing = nil, ""
	}
	if len(given) > 1 {
		c.add(at, "has more than one of "+strings.Join(slices.Sorted(maps.Keys(given)), ", "), "keep the one that auth needs")
	}
	for name := range given {
		if len(given) == 1 && !slices.Contains(fits, name) {
			c.add(at, "has a credential that does not fit auth: "+cl.Auth, "")
		}
	}
	mutual := cl.Auth == oauth.AuthTLSClient || cl.Auth == oauth.AuthSelfSignedTLSClient
	switch {
	case mutual && !c.l.MutualTLS(), cl.CertificateBound && !c.l.MutualTLS():
		c.add(at, "needs a TLS certificate of its client, and none can be sent", "set listen.mtls, or tls.client_certificate_header where a proxy ends TLS")
	case cl.Auth == oauth.AuthTLSClient && c.l.TLS.ClientCA == "":
		c.add(at+".auth", "is tls_client_auth, and no authority is trusted to issue certificates", "set tls.client_ca")
	}
	if len(given) == 0 && missing != "" {
		c.add(at, missing, fix)
	}
	if given["secret"] && len(cl.Secret.Reveal()) < 32 {
		c.add(at+".secret", "is shorter than 32 characters", "make one with `openssl rand -base64 32`")
	}
}
