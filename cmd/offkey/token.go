package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// tokenCmd prints an access token, for scripts, curl and credential helpers.
type tokenCmd struct {
	identityFlags
	scopeFlags
	Format  string `enum:"raw,header,json,env,exec" default:"raw" help:"raw: the token alone. header: for curl -H @-. json. env: for eval. exec: for credential helpers (version 1)."`
	NoCache bool   `name:"no-cache" help:"Ask the issuer anew."`
	For     string `placeholder:"CALL" help:"With --dpop and --format header: the call that it is for, as in \"GET https://api.example.com/v1/orders\". The proof is then printed too, and is good for one such call."`
}

func (tokenCmd) Help() string {
	return `Examples:
  curl --oauth2-bearer "$(offkey token)" https://api.example.com/v1/orders
  offkey token --format header | curl -H @- https://api.example.com/v1/orders
  offkey token --dpop --format header --for "GET https://api.example.com/v1/orders" | curl -H @- https://api.example.com/v1/orders
  offkey token --issuer https://auth.example.com --client billing --keyfile key.pem --scope "read:orders"

Tokens are kept in the folder of the client and renewed when a fifth of their life is left. Without --client and --issuer
it is the token of the person who is signed in (` + "`offkey login`" + `), if there is one. Exit code 4: there is nobody yet.`
}

// scopeFlags say what is asked for.
type scopeFlags struct {
	Scope    *string `placeholder:"SCOPES" help:"Scopes, separated by spaces; an empty one asks for none. Default: all that the client is registered for."`
	Resource *string `placeholder:"URL" help:"The API that the token is for."`
}

// apply puts them into the client's configuration.
func (f scopeFlags) apply(config *oauthclient.Config) error {
	if f.Scope != nil {
		scopes, err := parseScopes(*f.Scope)
		if err != nil {
			return err
		}
		config.Scopes = scopes
	}
	if f.Resource != nil {
		if *f.Resource != "" {
			if u, err := url.Parse(*f.Resource); err != nil || u.Scheme == "" || strings.Contains(*f.Resource, "#") {
				return wrongUsage(fmt.Sprintf("--resource %q is not an absolute URL without fragment (RFC 8707 §2)", *f.Resource), "write it as the API names itself, as in https://api.example.com")
			}
		}
		config.Resource = *f.Resource
	}
	return nil
}

// parseScopes splits on spaces; none is no scope at all.
func parseScopes(s string) ([]string, error) {
	scopes := strings.Fields(s)
	for _, scope := range scopes {
		if !oauth.IsScopeName(scope) {
			return nil, wrongUsage(fmt.Sprintf("%q is not a scope (RFC 6749 §3.3)", scope), "separate scopes by spaces, without quotes or commas around them")
		}
	}
	return scopes, nil
}

// Run gets the token, from the cache if it can, and prints it.
func (c *tokenCmd) Run(ctx context.Context, t *terminal) error {
	id, err := c.identity(t, c.scopeFlags)
	if err != nil {
		return err
	}
	method, target, found := strings.Cut(c.For, " ")
	if c.For != "" && (!found || !c.DPoP && (id.login == nil || !id.login.DPoP) || c.Format != "header") {
		return wrongUsage("--for goes with --dpop and --format header, and names method and URL", `write it as --for "GET https://api.example.com/v1/orders"`)
	}
	token, _, err := id.token(ctx, c.NoCache)
	if err != nil {
		return err
	}
	proof := ""
	if c.For != "" {
		if proof, err = id.config.Proof(method, target, token.AccessToken); err != nil {
			return err
		}
	}
	return c.print(t, token, proof)
}

// tokenDocument is what scripts read.
type tokenDocument struct {
	Version     int       `json:"version,omitempty"`
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	Scope       string    `json:"scope"`
}

func (c *tokenCmd) print(t *terminal, token cachedToken, proof string) error {
	document := tokenDocument{AccessToken: token.AccessToken, TokenType: token.TokenType, ExpiresAt: token.ExpiresAt, Scope: token.Scope}
	switch {
	case c.Format == "exec":
		document.Version = 1
		return t.document(document)
	case c.Format == "json" || t.JSON:
		return t.document(document)
	case c.Format == "header":
		text := fmt.Sprintf("Authorization: %s %s\n", cmp.Or(token.TokenType, oauth.TokenTypeBearer), token.AccessToken)
		if proof != "" {
			text += "DPoP: " + proof + "\n"
		}
		_, err := io.WriteString(t.Out, text)
		return err
	case c.Format == "env":
		_, err := fmt.Fprintf(t.Out, "export OFFKEY_ACCESS_TOKEN=%s\n", shellQuote(token.AccessToken))
		return err
	}
	_, err := fmt.Fprintln(t.Out, token.AccessToken)
	return err
}
