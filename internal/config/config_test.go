package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/offkey/offkey/internal/apikey"
	"github.com/offkey/offkey/internal/policy"
)

const smallest = `
issuer: https://auth.example.com
gateway:
  resource: https://api.example.com
  upstreams: {api: {url: "http://10.0.3.7:8080"}}
`

func parse(t *testing.T, text string, environ ...string) *Loaded {
	t.Helper()
	l, err := Parse("offkey.yaml", []byte(text), environ)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// refused parses text and returns what was said about it.
func refused(t *testing.T, text string, environ ...string) string {
	t.Helper()
	_, err := Parse("offkey.yaml", []byte(text), environ)
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error is %v, want Problems", err)
	}
	return err.Error()
}

func TestIssuerAndOneUpstreamAreACompleteFile(t *testing.T) {
	l := parse(t, smallest)
	if l.Listen.Gateway != "127.0.0.1:8484" || time.Duration(l.Tokens.Access.TTL) != 15*time.Minute {
		t.Fatalf("defaults are missing: %+v", l.Config)
	}
}

func TestHostOfTheUpstreamIsTheDefaultResource(t *testing.T) {
	l := parse(t, "issuer: https://a.example\ngateway: {upstreams: {api: {hosts: [api.example.com], url: \"http://10.0.3.7:8080\"}}}")
	if l.Gateway.Resource != "https://api.example.com" {
		t.Fatalf("resource is %q", l.Gateway.Resource)
	}
}

func TestEverySectionIsRead(t *testing.T) {
	l := parse(t, `
issuer: https://auth.example.com
trusted_proxies: [10.0.0.0/8, "::1/128"]
signing: {alg: EdDSA, rotate_every: 90d}
gateway:
  resource: https://api.example.com
  enforce: shadow
  limits: {per_client: 100/s}
  upstreams: {api: {hosts: [api.example.com], url: "http://10.0.3.7:8080", token_call: headers}}
  routes:
    - {match: "GET /v1/health", auth: none}
    - {match: "GET /v1/orders/**", scopes: [read:orders], enforce: on}
apikeys:
  where:
    - {in: header, name: X-API-Key}
    - {in: authorization, scheme: KEY}
    - {in: query, name: api_key}
  known_by: [{type: upstream, valid_unless: [401, 403]}, {type: imported}]
  probe: false
migration:
  stage: warn
  calendar: {deprecated: 2027-01-15, sunset: 2027-09-30}
`)
	carriers, err := l.APIKeys.Carriers()
	if err != nil || len(carriers) != 3 {
		t.Fatalf("carriers: %v, %v", carriers, err)
	}
	routes, err := l.PolicyRoutes()
	if err != nil || len(routes) != 2 || !routes[0].Open || routes[1].Enforce != policy.On {
		t.Fatalf("routes: %+v, %v", routes, err)
	}
	if l.Migration.Stage != apikey.Warn || l.Gateway.Enforce != policy.Shadow || len(l.TrustedProxies) != 2 {
		t.Fatalf("%+v", l.Config)
	}
	if got := l.Gateway.Limits.PerClient.PerSecond(); got != 100 {
		t.Fatalf("limit is %v per second", got)
	}
}

// byMail is a file with a mail server.
func byMail(server string) string {
	return smallest + "email: {from: offkey@example.com, to_admins: [ops@example.com], smtp: {" + server + "}}"
}

func TestWhoSendsMailAndWhoIsTold(t *testing.T) {
	for issuer, want := range map[string]string{
		"https://auth.example.com":      "<offkey@auth.example.com>",
		"https://auth.example.com:8443": "<offkey@auth.example.com>",
		"http://127.0.0.1:8485":         "<offkey@localhost>",
		"http://localhost:8485":         "<offkey@localhost>",
		"https://bücher.example":        "<offkey@localhost>",
	} {
		l := parse(t, strings.Replace(smallest, "https://auth.example.com", issuer, 1))
		if from, err := l.Sender(); err != nil || from.String() != want {
			t.Errorf("%s: %s, %v", issuer, from.String(), err)
		}
	}
	l := parse(t, byMail("host: smtp.example.com, port: 2525, user: offkey, password: hunter2"))
	admins, err := l.Email.Admins()
	if err != nil || len(admins) != 1 || admins[0].Address != "ops@example.com" {
		t.Errorf("%v, %v", admins, err)
	}
	if from, err := l.Sender(); err != nil || from.Address != "offkey@example.com" || l.Email.SMTP.TLS != "starttls" {
		t.Errorf("%v, %v, %s", from, err, l.Email.SMTP.TLS)
	}
}

func TestBadFilesNameLineAndFix(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a slip in a name", smallest + "migratoin: {stage: warn}", "offkey.yaml:6: unknown setting migratoin; did you mean migration?"},
		{"a slip below", smallest + "signing: {rotate_evry: 3d}", "offkey.yaml:6: unknown setting signing.rotate_evry; did you mean signing.rotate_every?"},
		{"a setting in the wrong section", smallest + "tokens: {rotate_every: 3d}", "did you mean signing.rotate_every?"},
		{"a value out of a list", smallest + "migration: {stage: retire}", `offkey.yaml:6: migration.stage: "retire" is not one of observe, warn`},
		{"a duration", smallest + "tokens: {access: {ttl: soon}}", `"soon" is not a duration: write 15m, 24h or 30d`},
		{"no YAML", "issuer: [", "offkey.yaml:1: not valid YAML"},
		{"a setting twice", smallest + "issuer: https://b.example", "issuer is set twice, first in line 2"},
		{"no issuer", "gateway: {resource: https://a.example, upstreams: {api: {url: \"http://127.0.0.1:1\"}}}", "issuer is missing"},
		{"no upstream", "issuer: https://a.example", "gateway.upstreams is missing"},
		{"http issuer beyond loopback", strings.Replace(smallest, "https://auth", "http://auth", 1), "not loopback"},
		{"http issuer on a name that begins like loopback", strings.Replace(smallest, "https://auth", "http://127.0.0.1", 1), "not loopback"},
		{"sunset before deprecation", smallest + "migration: {calendar: {deprecated: 2027-09-30, sunset: 2027-01-15}}", "offkey.yaml:6: migration.calendar.sunset is before"},
		{"a variable that is not set", smallest + "storage: {dsn: \"${NOWHERE}\"}", "environment variable NOWHERE is not set"},
		{"a file that is not there", smallest + "secrets: {pepper: \"${file:nowhere}\"}", "nowhere"},
		{"a scalar for a section", smallest + "signing: ES256", "signing is a section"},
		{"a scalar for a list", smallest + "apikeys: {where: header}", "apikeys.where is a list"},
		{"tokens outliving keys", smallest + "signing: {keep_after: 1m}", "tokens would outlive their signing key"},
		{"a route with dot segments", strings.Replace(smallest, "resource:", "routes: [{match: \"GET /a/../b\"}]\n  resource:", 1), "dot segments"},
		{"a broader scope with a space", strings.Replace(smallest, "resource:", "scope_includes: {manage: [\"read orders\"]}\n  resource:", 1), "gateway.scope_includes.manage has \"read orders\""},
		{"an exchange of nobody's tokens", smallest + "clients: [{id: x, auth: private_key_jwt, jwks_uri: 'https://x.example/jwks', grants: [token_exchange]}]", "clients[0].exchange.from and the grant"},
		{"an exchange without proof", smallest + "clients: [{id: x, auth: none, grants: [token_exchange], exchange: {from: [y]}}]", "has token_exchange"},
		{"a client without credential", smallest + "clients: [{id: x, auth: private_key_jwt}]", "clients[0] has no public key"},
		{"a mail server without a sender", smallest + "email: {to_admins: [ops@example.com], smtp: {host: smtp.example.com}}", "email.from is missing"},
		{"a mail server and nobody to tell", smallest + "email: {from: offkey@example.com, smtp: {host: smtp.example.com}}", "email.to_admins is empty"},
		{"a mail server without its name", smallest + "email: {smtp: {port: 25}}", "offkey.yaml:6: email.smtp.host is missing"},
		{"a mail server with its port", byMail("host: \"smtp.example.com:587\""), "write smtp.example.com, and its port as email.smtp.port"},
		{"a port that is none", byMail("host: smtp.example.com, port: 65536"), "email.smtp.port is 65536"},
		{"mail in the clear over a network", byMail("host: smtp.example.com, tls: none"), "email.smtp.tls is none on a host that is not loopback"},
		{"a password in the clear", byMail("host: 127.0.0.1, tls: none, user: x, password: hunter2"), "passwords are not sent in the clear"},
		{"a user without password", byMail("host: smtp.example.com, user: x"), "email.smtp has one of user and password"},
		{"an unknown way to TLS", byMail("host: smtp.example.com, tls: opportunistic"), `"opportunistic" is not one of starttls, implicit, none`},
		{"a sender that is no address", smallest + "email: {from: offkey}", `offkey.yaml:6: email.from is "offkey", which is no mail address`},
		{"an admin that is no address", smallest + "email: {to_admins: [ops@example.com, \"a@b.example\\r\\nBcc: c@d.example\"]}", "email.to_admins[1] is"},
		{"too many admins", smallest + "email: {to_admins: [" + strings.Repeat("ops@example.com, ", 10) + "ops@example.com]}", "more than 10 addresses"},
		{"an unknown store", smallest + "storage: {dsn: \"mysql://x\"}", "this release cannot open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := refused(t, c.text); !strings.Contains(got, c.want) {
				t.Errorf("says\n  %s\nwant\n  %s", got, c.want)
			}
		})
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	got := refused(t, smallest+"signing: {alg: HS256, rotate_evry: 1d}\ntokens: {access: {ttl: x}}")
	if n := len(strings.Split(got, "\n")); n != 3 {
		t.Fatalf("%d problems reported, want 3:\n%s", n, got)
	}
}

func TestEnvironmentComesBeforeTheFile(t *testing.T) {
	l := parse(t, smallest, "OFFKEY_ISSUER=https://other.example", "OFFKEY_TOKENS_ACCESS_TTL=5m", "OFFKEY_TRUSTED_PROXIES=10.0.0.0/8,192.0.2.0/24")
	if l.Issuer != "https://other.example" || l.Tokens.Access.TTL.String() != "5m" || len(l.TrustedProxies) != 2 {
		t.Fatalf("%+v", l.Config)
	}
	if l.Origins["issuer"] != "OFFKEY_ISSUER" {
		t.Fatalf("origin of issuer is %q", l.Origins["issuer"])
	}
	if got := refused(t, smallest, "OFFKEY_SIGNING_ALG=none"); !strings.Contains(got, "OFFKEY_SIGNING_ALG") {
		t.Fatalf("says %s", got)
	}
}

func TestSecretsExpandAndNeverShow(t *testing.T) {
	folder := t.TempDir()
	const hidden = "the-secret-itself-0123456789-0123456789"
	if err := os.WriteFile(filepath.Join(folder, "shop.secret"), []byte(hidden+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "offkey.yaml")
	text := smallest + "clients:\n  - {id: shop, auth: client_secret_basic, secret: \"${file:shop.secret}\"}\n"
	l, err := Parse(file, []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	if l.Clients[0].Secret.Reveal() != hidden {
		t.Fatal("the secret was not read from its file")
	}
	shown, err := json.Marshal(l.Values())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(shown), hidden) {
		t.Fatal("config show prints a secret")
	}
	other := *l
	other.Clients = []Client{l.Clients[0]}
	if err := other.Clients[0].Secret.UnmarshalText([]byte(hidden + "-new")); err != nil {
		t.Fatal(err)
	}
	diff := other.Diff(l)
	if len(diff) != 1 || diff[0].Setting != "clients[0].secret" {
		t.Fatalf("a changed secret is not in the diff, or more is: %+v", diff)
	}
	if raw, _ := json.Marshal(diff); strings.Contains(string(raw), hidden) {
		t.Fatal("config diff prints a secret")
	}
}

func TestAChangedMailPasswordIsInTheDiff(t *testing.T) {
	a, b := parse(t, byMail("host: smtp.example.com, user: x, password: hunter2")), parse(t, byMail("host: smtp.example.com, user: x, password: hunter3"))
	diff := b.Diff(a)
	if len(diff) != 1 || diff[0].Setting != "email.smtp.password" || diff[0].Restart || strings.Contains(diff[0].From+diff[0].To, "hunter") {
		t.Fatalf("%+v", diff)
	}
}

func TestAShortSecretIsRefusedWithoutRepeatingIt(t *testing.T) {
	got := refused(t, smallest+"clients: [{id: x, auth: client_secret_basic, secret: hunter2hunter2}]")
	if !strings.Contains(got, "shorter than 32") || strings.Contains(got, "hunter2") {
		t.Fatalf("says %s", got)
	}
}

func TestWithoutAFileFlagsAreTheOrigin(t *testing.T) {
	c := Default()
	c.Issuer, c.Gateway.Resource = "http://127.0.0.1:1", "http://127.0.0.1:2"
	c.Gateway.Upstreams = map[string]Upstream{"api": {URL: "http://127.0.0.1:3"}}
	l, err := New(c, []string{"OFFKEY_SIGNING_ALG=EdDSA"})
	if err != nil {
		t.Fatal(err)
	}
	origins := map[string]string{}
	for _, v := range l.Values() {
		origins[v.Setting] = v.Origin
	}
	for setting, want := range map[string]string{
		"issuer": "flags", "gateway.upstreams.api.url": "flags", "signing.alg": "OFFKEY_SIGNING_ALG", "tls.mode": "default",
	} {
		if origins[setting] != want {
			t.Errorf("%s comes from %q, want %q", setting, origins[setting], want)
		}
	}
}

func TestDiffSaysWhatNeedsARestart(t *testing.T) {
	a, b := parse(t, smallest), parse(t, smallest+"listen: {ops: \"127.0.0.1:9\"}\nmigration: {stage: warn}\n")
	diff := b.Diff(a)
	if len(diff) != 2 || !diff[0].Restart || diff[1].Restart {
		t.Fatalf("%+v", diff)
	}
}

// Decision 0049: what configures offkey is counted apart from the fields of
// objects that may be declared in the file.
func TestSettingsStayBelowTheirLimit(t *testing.T) {
	settings, fields := 0, 0
	for _, path := range Settings() {
		if strings.Contains(path, "[]") {
			fields++
		} else {
			settings++
		}
	}
	if settings > 100 || fields > 90 {
		t.Fatalf("%d settings of at most 100, %d fields of declared objects of at most 90", settings, fields)
	}
}

func TestSchemaDescribesEverySetting(t *testing.T) {
	raw, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	for _, setting := range Settings() {
		if top, _, _ := strings.Cut(setting, "."); s.Properties[strings.TrimSuffix(top, "[]")] == nil {
			t.Errorf("%s is not in the schema", setting)
		}
	}
}

func TestDurationsAndRatesAreWrittenAsTheyAreRead(t *testing.T) {
	for _, s := range []string{"15m", "30d", "90s", "1h", "1h30m"} {
		var d Duration
		if err := d.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		want := s
		if s == "90s" {
			want = "1m30s"
		}
		if d.String() != want {
			t.Errorf("%s is written %s", s, d)
		}
	}
	for _, s := range []string{"100/s", "5/m", "7/h"} {
		var r Rate
		if err := r.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if text, _ := r.MarshalText(); string(text) != s {
			t.Errorf("%s is written %s", s, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(smallest))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("issuer: ${file:/etc/passwd}\nissuer: x"))
	f.Add([]byte("clients: [{id: ${X}}]\ngateway: {upstreams: {\"\": {url: \"\"}}}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := Parse("offkey.yaml", raw, []string{"X=1"})
		if err == nil {
			l.Values()
		}
	})
}

func TestCertificatesOfCallersNeedSomewhereToComeFrom(t *testing.T) {
	edge := "clients: [{id: edge, auth: self_signed_tls_client_auth, certificate_file: edge.pem}]\n"
	for name, tt := range map[string]struct{ text, want string }{
		"a client without a way":            {smallest + edge, "none can be sent"},
		"the listener without TLS":          {smallest + "listen: {mtls: \":8488\"}\n", "listen.mtls"},
		"asked for without TLS":             {smallest + "tls: {client_certificates: true}\n", "tls.client_certificates"},
		"a header of nobody":                {smallest + "tls: {client_certificate_header: Client-Cert}\n", "trusted_proxies"},
		"a header that is none":             {smallest + "trusted_proxies: [10.0.0.0/8]\ntls: {client_certificate_header: \"a b\"}\n", "no name of a header"},
		"tls_client_auth without authority": {smallest + "trusted_proxies: [10.0.0.0/8]\ntls: {client_certificate_header: Client-Cert}\nclients: [{id: corp, auth: tls_client_auth, tls_subject: \"dn:CN=a\"}]\n", "tls.client_ca"},
	} {
		if got := refused(t, tt.text); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	parse(t, smallest+"trusted_proxies: [10.0.0.0/8]\ntls: {client_certificate_header: Client-Cert}\n"+edge)
}

func TestARouteMayAskForMoreThanScopes(t *testing.T) {
	l := parse(t, smallest+"  routes:\n    - {match: \"POST /v1/payments\", scopes: [pay], dpop: required, acr: [\"urn:mfa\"], max_age: 10m}\n    - {match: \"GET /v1/**\"}\n")
	routes, err := l.PolicyRoutes()
	if err != nil {
		t.Fatal(err)
	}
	if d := routes[0].Demands; !d.DPoP || d.MaxAge != 600 || len(d.ACR) != 1 || routes[1].DPoP || routes[1].StepUp() {
		t.Errorf("%+v and %+v", d, routes[1].Demands)
	}
	if got := refused(t, smallest+"  routes: [{match: \"GET /a\", auth: none, dpop: required}]\n"); !strings.Contains(got, "auth: none") {
		t.Error(got)
	}
	if got := refused(t, smallest+"  routes: [{match: \"GET /a\", acr: [\"a b\"]}]\n"); !strings.Contains(got, "acr") {
		t.Error(got)
	}
}
