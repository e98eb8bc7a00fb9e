package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// assertionCmd makes one client assertion, for a person who wants to follow
// each step with curl, or to find out why an issuer refuses them.
type assertionCmd struct {
	identityFlags
	Life    time.Duration `default:"60s" help:"How long it can be used; most issuers take a few minutes at most."`
	Explain bool          `help:"Show on stderr what is in it, and the curl that uses it."`
}

func (assertionCmd) Help() string {
	return `Examples:
  offkey assertion --explain
  offkey assertion --issuer https://auth.example.com --client billing --keyfile key.pem --explain

The assertion goes to standard output. It is good for one request: the issuer remembers its jti.`
}

// lookTime is how long --explain looks for the token endpoint.
const lookTime = 5 * time.Second

// Run makes and prints it. Nothing is sent, except that --explain looks up the
// token endpoint of an issuer that is not known yet.
func (c *assertionCmd) Run(ctx context.Context, t *terminal) error {
	if c.Life < time.Second {
		return wrongUsage("--life is too short to be used", "give it a minute: --life 60s")
	}
	config, _, err := c.config(t)
	if err != nil {
		return err
	}
	if config.Secret != "" {
		return wrongUsage("a client with a secret makes no assertions", "give --keyfile")
	}
	config.AssertionLife = c.Life
	if c.Audience != "" {
		config.Audience = c.Audience
	}
	assertion, err := config.Assertion(ctx)
	if err != nil {
		return err
	}
	header, claims, err := opened(assertion)
	if err != nil {
		return err
	}
	if t.JSON {
		return t.document(map[string]any{"assertion": assertion, "header": header, "claims": claims})
	}
	if c.Explain {
		c.explain(ctx, t, config, header, claims)
	}
	_, err = fmt.Fprintln(t.Out, assertion)
	return err
}

// opened reads the two readable parts of a JWT that was just made.
func opened(jwt string) (header, claims json.RawMessage, err error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return nil, nil, fmt.Errorf("the assertion has %d parts, not 3", len(parts))
	}
	if header, err = base64.RawURLEncoding.DecodeString(parts[0]); err == nil {
		claims, err = base64.RawURLEncoding.DecodeString(parts[1])
	}
	return header, claims, err
}

func (c *assertionCmd) explain(ctx context.Context, t *terminal, config *oauthclient.Config, header, claims []byte) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	endpoint, err := config.Discover(ctx)
	if err != nil {
		t.warn("the token endpoint was not found: %v", err)
		endpoint = "TOKEN_ENDPOINT"
	}
	t.say("header  %s", header)
	t.say("        typ: this is a client assertion and no other kind of JWT; kid: which registered key signed it")
	t.say("claims  %s", claims)
	t.say("        iss and sub: the client; aud: the issuer, alone; jti: usable once; exp: until %s\n", t.Now().Add(c.Life).Format(time.TimeOnly))
	t.say("curl %s \\", shellQuote(endpoint))
	t.say("  --data-urlencode grant_type=%s \\", oauth.GrantClientCredentials)
	if len(config.Scopes) > 0 {
		t.say("  --data-urlencode scope=%s \\", shellQuote(strings.Join(config.Scopes, " ")))
	}
	if config.Resource != "" {
		t.say("  --data-urlencode resource=%s \\", shellQuote(config.Resource))
	}
	t.say("  --data-urlencode client_assertion_type=%s \\", oauth.AssertionTypeJWTBearer)
	t.say("  --data-urlencode client_assertion=\"$(offkey assertion%s)\"\n", c.arguments())
}
