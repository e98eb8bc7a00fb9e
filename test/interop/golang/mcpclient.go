package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/auth/extauth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
)

// mcpAuth is how the client gets tokens: with a secret, for a person by the URL of
// its document, or for a person as a client that registers itself.
func mcpAuth(a ask) (auth.OAuthHandler, error) {
	if a.Secret != "" {
		return extauth.NewClientCredentialsHandler(&extauth.ClientCredentialsHandlerConfig{Credentials: &oauthex.ClientCredentials{
			ClientID: a.Client, ClientSecretAuth: &oauthex.ClientSecretAuth{ClientSecret: a.Secret}, Issuer: a.Issuer,
		}})
	}
	config := &auth.AuthorizationCodeHandlerConfig{
		RedirectURL: a.Redirect, RequestRefreshToken: a.Refresh,
		AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			back, err := browse(args.URL, "")
			if err != nil {
				return nil, err
			}
			return &auth.AuthorizationResult{Code: back.Get("code"), State: back.Get("state"), Iss: back.Get("iss")}, nil
		},
	}
	if a.Document != "" {
		config.ClientIDMetadataDocumentConfig = &auth.ClientIDMetadataDocumentConfig{URL: a.Document}
	} else {
		config.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "Go SDK", RedirectURIs: []string{a.Redirect}, TokenEndpointAuthMethod: "none", GrantTypes: []string{"authorization_code", "refresh_token"},
		}}
	}
	return auth.NewAuthorizationCodeHandler(config)
}

// goMCP connects to an MCP server of which it knows the URL alone, calls tools, and
// goes on in the same session once the test has asked for more.
func goMCP(ctx context.Context, a ask) (g got, err error) {
	handler, err := mcpAuth(a)
	if err != nil {
		return g, err
	}
	progress := make(chan struct{}, 1)
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1.0.0"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(context.Context, *mcp.ProgressNotificationClientRequest) { progress <- struct{}{} },
	})
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: a.Resource, OAuthHandler: handler}, nil)
	if err != nil {
		return g, err
	}
	defer session.Close()
	g.Protocol = session.InitializeResult().ProtocolVersion
	if err := whoami(ctx, session, &g); err != nil {
		return g, err
	}
	if err := meet(ctx, session, progress); err != nil {
		return g, err
	}
	tokens, err := handler.TokenSource(ctx)
	if err != nil {
		return g, err
	}
	token, err := tokens.Token()
	if err != nil {
		return g, err
	}
	g.AccessToken, g.RefreshToken = token.AccessToken, token.RefreshToken != ""
	write(map[string]string{"step": "ask for more"})
	if err := read(&struct{}{}); err != nil {
		return g, err
	}
	return g, whoami(ctx, session, &g)
}

// whoami notes what the server knows of the caller.
func whoami(ctx context.Context, session *mcp.ClientSession, g *got) error {
	r, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "whoami"})
	if err != nil {
		return err
	}
	raw, err := json.Marshal(r.StructuredContent)
	if err != nil {
		return err
	}
	var c caller
	if err := json.Unmarshal(raw, &c); err != nil || r.IsError {
		return fmt.Errorf("whoami: %w in %s", err, raw)
	}
	g.Callers = append(g.Callers, c)
	return nil
}

// meet calls a tool that tells of its progress and ends only when another call has
// released it, which is made when the first word has come: what lies between
// must not hold anything back.
func meet(ctx context.Context, session *mcp.ClientSession, progress <-chan struct{}) error {
	id := rand.Text()
	waited := make(chan error, 1)
	go func() {
		params := &mcp.CallToolParams{Name: "wait", Arguments: meeting{id}, Meta: mcp.Meta{}}
		params.SetProgressToken(id)
		_, err := session.CallTool(ctx, params)
		waited <- err
	}()
	select {
	case <-progress:
	case err := <-waited:
		return errors.Join(errors.New("wait ended before it was released"), err)
	case <-ctx.Done():
		return fmt.Errorf("no progress came: %w", ctx.Err())
	}
	if _, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "release", Arguments: meeting{id}}); err != nil {
		return err
	}
	return <-waited
}
