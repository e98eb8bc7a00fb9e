// Command golang signs somebody in with a library that offkey's authors did not
// write: the tests of test/interop start it and lend it their browser.
//
// It reads one line of JSON, the ask, from stdin. Where it needs a browser it
// writes {"open": URL} and reads {"at": URL}, which is where the browser ended
// up; for a device {"open": URL, "code": user_code}. An MCP client also writes
// {"step": NAME} and reads a line when the test has done its part; an MCP server
// writes {"url": URL} and serves until the input ends. The last line that a client
// writes is what it got, or {"error", "error_description"}.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"golang.org/x/oauth2"
)

// ask is what the test wants.
type ask struct {
	Library, Flow            string
	Issuer, Client, Secret   string
	Redirect, Home, Resource string
	Scope                    []string
	NoPKCE                   bool
	Document                 string // URL of a client metadata document
	Refresh                  bool
	Stateless                bool
}

// got is what the library says of what it got, each verified by it.
type got struct {
	AccessToken  string         `json:"access_token,omitempty"`
	TokenType    string         `json:"token_type,omitempty"`
	RefreshToken bool           `json:"refresh_token"`
	Claims       map[string]any `json:"claims,omitempty"`   // of the ID token
	Userinfo     map[string]any `json:"userinfo,omitempty"` // of the endpoint
	Refreshed    string         `json:"refreshed,omitempty"`
	Logout       string         `json:"logout,omitempty"`
	Callers      []caller       `json:"callers,omitempty"` // as an MCP server saw them
	Protocol     string         `json:"protocol,omitempty"`
	Error        string         `json:"error,omitempty"`
	Description  string         `json:"error_description,omitempty"`
}

var in = bufio.NewReader(os.Stdin)

func main() {
	var a ask
	if err := read(&a); err != nil {
		panic(err)
	}
	if a.Library+" "+a.Flow == "go-sdk serve" {
		if err := serveMCP(a); err != nil {
			panic(err)
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	run := map[string]func(context.Context, ask) (got, error){
		"go-oidc code": goOIDC, "x/oauth2 device": xDevice, "zitadel/oidc code": zitadelCode, "zitadel/oidc device": zitadelDevice,
		"go-sdk mcp": goMCP,
	}[a.Library+" "+a.Flow]
	if run == nil {
		panic("there is no " + a.Library + " " + a.Flow)
	}
	g, err := run(ctx, a)
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode != "":
		g.Error, g.Description = refused.ErrorCode, refused.ErrorDescription
	case err != nil:
		g.Error = err.Error()
	}
	write(g)
}

func read(v any) error {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}

func write(v any) {
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		panic(err)
	}
}

// browse lends a browser, and returns the parameters with which it came back.
func browse(page, code string) (url.Values, error) {
	write(map[string]string{"open": page, "code": code})
	var back struct{ At string }
	if err := read(&back); err != nil {
		return nil, err
	}
	u, err := url.Parse(back.At)
	if err != nil {
		return nil, err
	}
	if e := u.Query().Get("error"); e != "" {
		return nil, fmt.Errorf("%s: %s", e, u.Query().Get("error_description"))
	}
	return u.Query(), nil
}
