package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/offkey/offkey/sdk/go/oauthclient"
	"golang.org/x/oauth2"
	"rsc.io/qr"
)

// loginFlags say where somebody is signed in.
type loginFlags struct {
	Dir string `env:"OFFKEY_DIR" type:"path" placeholder:"DIR" help:"Folder of the caller's files; default: offkey in the configuration folder."`
}

func (f loginFlags) folder() (string, error) { return identityFlags{Dir: f.Dir}.folder() }

// login is who is signed in, and the tokens of that: in a file for its owner
// alone.
type login struct {
	Issuer       string    `json:"issuer"`
	ClientID     string    `json:"client_id"`
	Resource     string    `json:"resource,omitempty"`
	Subject      string    `json:"subject,omitempty"`
	Name         string    `json:"name,omitempty"`
	Email        string    `json:"email,omitempty"`
	SignedIn     time.Time `json:"signed_in"`
	RefreshToken string    `json:"refresh_token,omitempty"`
	DPoP         bool      `json:"dpop,omitempty"` // bound to the key of the folder
	cachedToken
}

// loginFile is where a login is kept, in the caller's folder.
const loginFile = "login.json"

// readLogin returns the login of a folder, nil where nobody is signed in.
func readLogin(dir string) (*login, error) {
	raw, err := os.ReadFile(filepath.Join(dir, loginFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	l := new(login)
	if err == nil {
		err = json.Unmarshal(raw, l)
	}
	if err != nil || l.Issuer == "" || l.ClientID == "" {
		path := filepath.Join(dir, loginFile)
		return nil, failed("bad_login", path+" is not what `offkey login` writes: "+fileCause(cmp.Or(err, errors.New("it is incomplete"))), "delete it, and run `offkey login`", err)
	}
	return l, nil
}

func (l *login) write(dir string) error {
	if err := makeFolder(dir); err != nil {
		return err
	}
	return writeJSONFile(filepath.Join(dir, loginFile), l)
}

// config is the public client that somebody signed in with; dir is where its
// proof key is, if it has one.
func (l *login) config(dir string) (*oauthclient.Config, error) {
	config := &oauthclient.Config{Issuer: l.Issuer, ClientID: l.ClientID, AuthMethod: oauthclient.None, Resource: l.Resource, UserAgent: userAgent()}
	return config, identityFlags{DPoP: l.DPoP}.bind(config, dir)
}

// take keeps the tokens of an answer.
func (l *login) take(token *oauth2.Token, asked time.Time) {
	l.cachedToken = tokenOf(token, asked)
	l.RefreshToken = token.RefreshToken
}

// signInAgain is the failure of a login that is over.
func signInAgain(why string, err error) error {
	return &failure{exit: exitSignIn, code: "sign_in", message: why, fix: "run `offkey login`", err: err}
}

type loginCmd struct {
	loginFlags
	API      string  `xor:"where" required:"" placeholder:"URL" help:"The API to call; it says who issues its tokens."`
	Issuer   string  `xor:"where" required:"" placeholder:"URL" help:"An issuer of your own choice, instead."`
	Server   string  `xor:"where" required:"" placeholder:"URL" help:"An offkey to operate from here: the URL of its console."`
	Client   string  `default:"cli" env:"OFFKEY_CLIENT" placeholder:"ID" help:"The public client to sign in with. Default: cli."`
	Scope    string  `placeholder:"SCOPES" help:"Scopes, separated by spaces. Default: what the client is given by default."`
	Resource *string `placeholder:"URL" help:"The API that the tokens are for, with --issuer."`
	DPoP     bool    `name:"dpop" help:"Have the tokens bound to a key of this machine, so that nobody else can use them (RFC 9449)."`
	QR       bool    `name:"qr" help:"Show the QR code although standard error is no terminal."`
}

func (loginCmd) Help() string {
	return `Examples:
  offkey login --api https://api.example.com --scope "openid read:orders"
  offkey login --issuer https://auth.example.com --client cli
  offkey login --server https://offkey-admin.example.com
  offkey call GET https://api.example.com/v1/orders

A page opens in any browser, also on another device; the code is compared there. ` + "`offkey token` and `offkey call`" + ` then act for
you, and renew by themselves, until ` + "`offkey logout`" + `. The tokens are in login.json in the caller's folder, for you alone
(mode 0600). The issuer needs a public client for it, which an operator declares in the file ({id: cli, auth: none, grants:
[device_code, refresh_token], scopes: […]}) or makes with ` + "`offkey clients create --id cli --auth none --grant device_code …`" + `.`
}

// Run signs in.
func (c *loginCmd) Run(ctx context.Context, t *terminal) error {
	dir, err := c.folder()
	if err != nil {
		return err
	}
	if c.Server != "" { // its management API is an API like another
		c.API, dir = strings.TrimSuffix(c.Server, "/")+managementPath, filepath.Join(dir, operatorFolder)
		if c.Client == "cli" {
			c.Client = operatorClient
		}
	}
	scopes, err := parseScopes(c.Scope)
	if err != nil {
		return err
	}
	l, err := c.at(ctx)
	if err != nil {
		return err
	}
	config, err := l.config(dir)
	if err != nil {
		return err
	}
	config.Scopes = scopes
	prompt, err := config.StartDevice(ctx)
	if err != nil {
		return c.hint(err)
	}
	if err := c.show(t, prompt); err != nil {
		return err
	}
	asked := t.Now()
	token, err := config.WaitDevice(ctx, prompt)
	if err != nil {
		return err
	}
	l.SignedIn = asked.UTC().Truncate(time.Second)
	l.take(token, t.Now())
	l.describe(ctx, config)
	if err := l.write(dir); err != nil {
		return err
	}
	if t.JSON {
		return t.document(l.document())
	}
	t.done("signed in%s at %s", ofWhom(l), l.Issuer)
	if l.Scope == "" {
		t.warn("the token has no scope, so it opens nothing that asks for one: name them with --scope")
	}
	if l.RefreshToken == "" {
		t.warn("it cannot be renewed and ends at %s: the client is not registered for refresh_token", l.end().Format(time.RFC3339))
	}
	return nil
}

// at is where to sign in.
func (c *loginCmd) at(ctx context.Context) (*login, error) {
	l := &login{Issuer: c.Issuer, ClientID: c.Client, DPoP: c.DPoP}
	if c.Resource != nil {
		l.Resource = *c.Resource
	}
	if c.API == "" {
		return l, nil
	}
	if c.Resource != nil {
		return nil, wrongUsage("--resource goes with --issuer", "leave it out: the API says what it is called")
	}
	resource, issuers, err := oauthclient.IssuersOf(ctx, c.API)
	if err != nil {
		return nil, err
	}
	l.Issuer, l.Resource = issuers[0], resource
	return l, nil
}

// hint says what an operator has to do where there is no such client.
func (c *loginCmd) hint(err error) error {
	var e *oauthclient.Error
	if errors.As(err, &e) && slices.Contains([]string{"invalid_client", "unauthorized_client"}, e.Code) {
		e.Fix = "the issuer needs a public client " + c.Client + " for it: clients: [{id: " + c.Client + ", auth: none, grants: [device_code, refresh_token], scopes: […]}]," +
			" or `offkey clients create --id " + c.Client + " --name NAME --auth none --grant device_code --grant refresh_token --scopes LIST`; or name another with --client"
	}
	return err
}

// promptDocument is what a program shows in place of us.
type promptDocument struct {
	URL         string    `json:"verification_uri"`
	CompleteURL string    `json:"verification_uri_complete,omitempty"`
	UserCode    string    `json:"user_code"`
	Expires     time.Time `json:"expires_at"`
}

// show tells where to go and what to type. With --json that is one line on
// standard error, since standard output is for the outcome.
func (c *loginCmd) show(t *terminal, p *oauthclient.DevicePrompt) error {
	if t.JSON {
		return json.NewEncoder(t.Err).Encode(promptDocument{p.URL, p.CompleteURL, p.UserCode, p.Expires.UTC().Truncate(time.Second)})
	}
	t.say("Open   %s", cmp.Or(p.CompleteURL, p.URL))
	t.say("Code   %s\n", p.UserCode)
	if c.QR || isTerminal(t.Err) {
		code, err := qr.Encode(cmp.Or(p.CompleteURL, p.URL), qr.L)
		if err == nil { // one that is too long for a code is typed
			fmt.Fprint(t.Err, t.drawQR(code), "\n")
		}
	}
	t.say("The page must show the same code. Waiting until %s…", p.Expires.Local().Format("15:04"))
	return nil
}

// drawQR draws two rows of a code in one line of text, with the white margin
// that readers need. Without colours a dark terminal is assumed.
func (t *terminal) drawQR(code *qr.Code) string {
	const margin = 2
	var b strings.Builder
	for y := -margin; y < code.Size+margin; y += 2 {
		if t.Colour {
			b.WriteString("\x1b[40;97m")
		}
		for x := -margin; x < code.Size+margin; x++ {
			// What lies outside of the code is white.
			b.WriteString(map[[2]bool]string{{false, false}: "█", {false, true}: "▀", {true, false}: "▄", {true, true}: " "}[[2]bool{code.Black(x, y), code.Black(x, y+1)}])
		}
		if t.Colour {
			b.WriteString("\x1b[0m")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// describe asks who was signed in, where the token may know it.
func (l *login) describe(ctx context.Context, config *oauthclient.Config) {
	if !slices.Contains(strings.Fields(l.Scope), "openid") {
		return
	}
	claims, err := config.Userinfo(ctx, oauthclient.Secret(l.AccessToken))
	if err != nil {
		return // who it is is only shown
	}
	text := func(name string) string { s, _ := claims[name].(string); return printable(s) }
	l.Subject, l.Email = text("sub"), text("email")
	l.Name = cmp.Or(text("preferred_username"), text("name"), l.Email)
}

func ofWhom(l *login) string {
	if who := cmp.Or(l.Name, l.Subject); who != "" {
		return " as " + who
	}
	return ""
}

// loginDocument is who is signed in, without any token.
type loginDocument struct {
	Issuer   string    `json:"issuer"`
	ClientID string    `json:"client_id"`
	Resource string    `json:"resource,omitempty"`
	Subject  string    `json:"subject,omitempty"`
	Name     string    `json:"name,omitempty"`
	Email    string    `json:"email,omitempty"`
	Scope    string    `json:"scope"`
	SignedIn time.Time `json:"signed_in,omitzero"`
	Expires  time.Time `json:"expires_at,omitzero"` // of the access token
	Renews   bool      `json:"renews"`
}

func (l *login) document() loginDocument {
	return loginDocument{l.Issuer, l.ClientID, l.Resource, l.Subject, l.Name, l.Email, l.Scope, l.SignedIn, l.ExpiresAt, l.RefreshToken != ""}
}

type logoutCmd struct {
	loginFlags
	Operator bool `help:"End the sign-in of offkey login --server, instead of that of a caller."`
}

func (logoutCmd) Help() string {
	return `Examples:
  offkey logout

The issuer is told, so that the tokens are refused from then on, and the file is deleted in any case.`
}

// Run signs out.
func (c *logoutCmd) Run(ctx context.Context, t *terminal) error {
	dir, err := c.folder()
	if err != nil {
		return err
	}
	if c.Operator {
		dir = filepath.Join(dir, operatorFolder)
	}
	l, err := readLogin(dir)
	if err != nil {
		return err
	}
	revoked := false
	if l != nil {
		config, err := l.config(dir)
		if err == nil {
			err = config.RevokeToken(ctx, oauthclient.Secret(cmp.Or(l.RefreshToken, l.AccessToken)))
		}
		if revoked = err == nil; !revoked {
			t.warn("the issuer was not told, and takes the tokens until they end: %v", err)
		}
		if err := os.Remove(filepath.Join(dir, loginFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return unwritable(dir, err)
		}
	}
	if t.JSON {
		return t.document(map[string]bool{"signed_out": l != nil, "revoked": revoked})
	}
	if l == nil {
		t.say("Nobody is signed in.")
		return nil
	}
	t.done("signed out%s at %s", ofWhom(l), l.Issuer)
	return nil
}

type whoamiCmd struct{ identityFlags }

func (whoamiCmd) Help() string {
	return `Examples:
  offkey whoami
  offkey whoami --json

It says who ` + "`offkey token` and `offkey call`" + ` act for: the person who is signed in, else the client of the folder. Exit code 4:
nobody.`
}

// Run says who.
func (c *whoamiCmd) Run(ctx context.Context, t *terminal) error {
	id, err := c.identity(t, scopeFlags{})
	if err != nil {
		return err
	}
	document := loginDocument{Issuer: id.config.Issuer, ClientID: id.config.ClientID, Resource: id.config.Resource, Scope: strings.Join(id.config.Scopes, " "), Renews: true}
	if id.login != nil {
		if _, _, err := id.token(ctx, false); err != nil { // one that is over is nobody
			return err
		}
		document = id.login.document()
	}
	if t.JSON {
		return t.document(document)
	}
	signedIn := "" // a client of its own never is
	if id.login != nil {
		signedIn = ago(t.Now(), document.SignedIn)
	}
	return writePairs(t.Out, [][2]string{
		{"name", document.Name}, {"email", document.Email}, {"subject", document.Subject}, {"client", document.ClientID}, {"issuer", document.Issuer},
		{"API", document.Resource}, {"scope", document.Scope}, {"signed in", signedIn},
	})
}
