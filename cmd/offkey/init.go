package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/offkey/offkey/internal/config"
)

// initCmd writes a configuration to begin with.
type initCmd struct {
	Out         string `type:"path" default:"offkey.yaml" placeholder:"FILE" help:"Where it goes; - is standard output. Default ./offkey.yaml."`
	Upstream    string `placeholder:"URL" help:"Where your API is. Default: the server of the OpenAPI document, else http://127.0.0.1:8080."`
	FromOpenAPI string `name:"from-openapi" type:"path" placeholder:"FILE" help:"OpenAPI 3 document (JSON or YAML) of your API: gives routes, scopes and where apikeys travel."`
	Force       bool   `help:"Replace a file that exists."`
}

func (initCmd) Help() string {
	return `Examples:
  offkey init --upstream http://localhost:8080
  offkey init --from-openapi openapi.yaml --out /etc/offkey/offkey.yaml
  offkey serve --config offkey.yaml

The file works as it is, for this machine: nothing is refused. Its comments say what to change for a public address.
Scopes that the document declares are taken; other operations get action:resource, as in read:orders.`
}

// maxOpenAPI bounds an OpenAPI document, in bytes.
const maxOpenAPI = 32 << 20

// Run writes.
func (c *initCmd) Run(_ context.Context, t *terminal) error {
	if c.Out != "-" && !c.Force {
		if _, err := os.Lstat(c.Out); err == nil {
			return failed("file_exists", c.Out+" exists", "choose another with --out, or add --force", nil)
		}
	}
	var facts apiFacts
	if c.FromOpenAPI != "" {
		raw, err := t.readInput(c.FromOpenAPI, maxOpenAPI)
		if err != nil {
			return err
		}
		if facts, err = readOpenAPI(c.FromOpenAPI, raw); err != nil {
			return err
		}
	}
	upstream := c.Upstream
	if upstream == "" {
		upstream = facts.server
	}
	if upstream == "" {
		upstream = "http://127.0.0.1:8080"
	}
	if u, err := url.Parse(upstream); err != nil || u.Host == "" {
		return wrongUsage(fmt.Sprintf("--upstream %q is not a URL", upstream), "write it in full, with http:// or https://, as in http://localhost:8080")
	}
	text := beginning(upstream, facts)
	if _, err := config.Parse(c.Out, []byte(text), nil); err != nil {
		return badConfig(err)
	}
	if c.Out == "-" {
		_, err := fmt.Fprint(t.Out, text)
		return err
	}
	if err := writeFile(c.Out, []byte(text)); err != nil {
		var f *failure
		if errors.As(err, &f) {
			f.fix = "choose another place with --out, or make " + filepath.Dir(c.Out) + " writable"
		}
		return err
	}
	if t.JSON {
		return t.document(map[string]any{"file": c.Out, "upstream": upstream, "routes": len(facts.routes), "scopes_declared": facts.named})
	}
	t.done("%s written: API at %s, %d routes, %d of them with scopes that the document declares", c.Out, upstream, len(facts.routes), facts.named)
	t.say("Next  offkey config validate %s\n      offkey serve --config %s", shellQuote(c.Out), shellQuote(c.Out))
	return nil
}

// beginning is a configuration with comments.
func beginning(upstream string, facts apiFacts) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# offkey.yaml. Only issuer and one upstream are required; `+"`offkey config schema`"+` describes every setting.
# ${VAR} and ${file:PATH} are expanded. Each setting is also a variable: OFFKEY_ISSUER, OFFKEY_STORAGE_DSN, ...

# The public URL of the authorization server. For others than this machine: https, as in https://auth.example.com
issuer: http://127.0.0.1:8485

listen:
  gateway: 127.0.0.1:8484      # your callers use this address instead of your API's
  issuer: 127.0.0.1:8485
  admin: 127.0.0.1:8486        # keep it off public addresses
  ops: 127.0.0.1:8487          # /livez /readyz /metrics

# tls: {mode: files, cert: chain.pem, key: key.pem}    # or leave TLS to a proxy in front, and name it:
# trusted_proxies: [10.0.0.0/8]

storage:
  dsn: sqlite://offkey-data/offkey.db    # relative to this file; the folder also holds socket and secrets

gateway:
  # The public URL of your API; it is the audience of access tokens.
  resource: http://127.0.0.1:8484
  upstreams:
    api:
      url: %s
      # hosts: [api.example.com]
      # What your API receives for a call with a token: headers (identity headers), bearer (the token), secret (one
      # shared secret), apikey (the caller's former apikey, for an API that understands nothing else).
      token_call: headers
  # enforce: shadow            # off (default), shadow counts what would be refused, on refuses. Left out here, it is
                               # set with `+"`offkey routes enforce`"+`
`, quoted(upstream))
	writeRoutes(&b, facts)
	b.WriteString("\napikeys:\n  where:                       # tried in this order\n")
	places := facts.places
	if len(places) == 0 {
		places = []config.Place{{In: "header", Name: "X-API-Key"}}
	}
	for _, p := range places {
		if p.Name == "" {
			fmt.Fprintf(&b, "    - {in: %s}\n", p.In)
		} else {
			fmt.Fprintf(&b, "    - {in: %s, name: %s}\n", p.In, quoted(p.Name))
		}
	}
	b.WriteString(`    # - {in: authorization, scheme: KEY}
    # - {in: query, name: api_key}

migration:
  upgrade: on                  # callers may trade an apikey for a client
  # calendar: {deprecated: 2027-01-15, sunset: 2027-09-30}    # announced to callers from stage warn on
  # docs: https://docs.example.com/auth                       # your page about the move
  # Left out here, the stage is set with ` + "`offkey stage set`" + `; it starts with observe: nothing is refused.

# clients:                     # may be declared here (then read-only elsewhere), made with ` + "`offkey clients create`" + `,
#   - id: billing              # or made by their callers with ` + "`offkey upgrade`" + `
#     auth: private_key_jwt
#     jwks_file: billing.jwks
#     scopes: [read:orders]
`)
	return b.String()
}

// plainScope is a scope that YAML takes for text without quotation marks.
var plainScope = regexp.MustCompile(`^[a-z]+:[A-Za-z][A-Za-z0-9_.-]*$`)

func writeRoutes(b *strings.Builder, facts apiFacts) {
	if len(facts.routes) == 0 {
		b.WriteString(`  # routes:                    # first match wins; ` + "`offkey routes list`" + ` proposes some from what it sees
  #   - {match: "GET /v1/health", auth: none}
  #   - {match: "GET /v1/orders/**", scopes: [read:orders]}
`)
		return
	}
	b.WriteString("  routes:                      # first match wins\n")
	for _, r := range facts.routes {
		fmt.Fprintf(b, "    - {match: %s", quoted(r.Match()))
		switch {
		case r.Open:
			b.WriteString(", auth: none")
		case len(r.Scopes) > 0:
			names := make([]string, len(r.Scopes))
			for i, s := range r.Scopes {
				if names[i] = s; !plainScope.MatchString(s) {
					names[i] = quoted(s)
				}
			}
			fmt.Fprintf(b, ", scopes: [%s]", strings.Join(names, ", "))
		}
		b.WriteString("}\n")
	}
}

// quoted writes a string for YAML, of which JSON's strings are part.
func quoted(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(raw)
}
