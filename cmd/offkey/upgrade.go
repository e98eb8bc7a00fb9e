package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// upgradeCmd trades an apikey for a client: a key pair made here, registered
// with the apikey as the one proof, tried out, and the lines of code to change.
type upgradeCmd struct {
	API         string `name:"api" required:"" placeholder:"URL" help:"The API that the apikey opens."`
	APIKeyStdin bool   `name:"apikey-stdin" xor:"apikey" help:"Read the apikey from standard input."`
	APIKeyFile  string `name:"apikey-file" xor:"apikey" type:"path" placeholder:"FILE" help:"Read it from a file. Without either it is read from OFFKEY_APIKEY."`
	Name        string `placeholder:"NAME" help:"What the API's operator sees; default the name of this folder."`
	Lang        string `enum:"go,node,python,java,dotnet,curl," default:"" placeholder:"LANG" help:"Show the lines to change for go, node, python, java, dotnet or curl; default by the files in this folder."`
	Alg         string `default:"ES256" placeholder:"ALG" help:"ES256 or EdDSA."`
	Dir         string `env:"OFFKEY_DIR" type:"path" placeholder:"DIR" help:"Folder of the caller's clients; default: offkey in the configuration folder."`
	Again       bool   `help:"Register a new client although there is one for this API."`
	DryRun      bool   `name:"dry-run" help:"Find the issuer and say what would be done; send no apikey, write nothing."`
}

func (upgradeCmd) Help() string {
	return `Examples:
  offkey upgrade --api https://api.example.com --apikey-stdin < apikey.txt
  OFFKEY_APIKEY=... offkey upgrade --api https://api.example.com --lang python
  offkey upgrade --api https://api.example.com --dry-run

Makes a key pair here, registers its public half with the apikey as proof, tries it out, and prints the lines to
change in the program. The apikey goes on working until its operator retires it. Run again it goes on where it ended.
Exit code 6: the API's operator has to approve it first.`
}

// upgradeDocument is what scripts read.
type upgradeDocument struct {
	ClientID  string   `json:"client_id"`
	Issuer    string   `json:"issuer"`
	Scopes    []string `json:"scopes"`
	Dir       string   `json:"dir"`
	NextSteps []string `json:"next_steps"`
	API       string   `json:"api"`
	Resource  string   `json:"resource"`
	Existing  bool     `json:"existing"`
	// What waits for the approval of the API's operator.
	Pending       bool     `json:"pending,omitempty"`
	PendingScopes []string `json:"pending_scopes,omitempty"`
}

// Run is the upgrade, step by step. What one step has made is on disk before
// the next begins, so that it can be run again whenever it was interrupted.
func (c *upgradeCmd) Run(ctx context.Context, t *terminal) error {
	root, err := identityFlags{Dir: c.Dir}.folder()
	if err != nil {
		return err
	}
	former, err := clientsOf(root, c.API)
	if err != nil {
		return err
	}
	if len(former) > 0 && !c.Again {
		t.skip("client %q for %s is in %s already; --again registers a new one", former[0].ClientID, c.API, former[0].Dir)
		return c.resume(ctx, t, former[0])
	}
	if c.DryRun {
		return c.preview(ctx, t, root)
	}
	apikey, err := c.apikey(t)
	if err != nil {
		return err
	}
	// A wrong URL is seen before a key pair is made for it.
	if _, err := (oauthclient.RegisterRequest{API: c.API, Now: t.Now}).FindIssuer(ctx); err != nil {
		return err
	}
	key, pending, err := c.preparedKey(root)
	if err != nil {
		return err
	}
	t.done("key pair made here; the private half stays in %s", root)
	client, err := c.register(ctx, t, apikey, key, pending)
	if err != nil {
		return c.explain(err, pending)
	}
	if err := settle(root, pending, client, former); err != nil {
		return err
	}
	t.done("client %q registered at %s with %s", client.ClientID, client.Issuer, scopeWords(client.Scopes))
	if client.Pending {
		return c.waits(t, client, false)
	}
	if err := c.prove(ctx, t, client); err != nil {
		return err
	}
	return c.show(t, client, false)
}

// resume shows the client that is there. If it, or a part of its scopes, waited
// for approval, the issuer is asked how that stands.
func (c *upgradeCmd) resume(ctx context.Context, t *terminal, client *oauthclient.Client) error {
	if c.DryRun || !client.Pending && len(client.PendingScopes) == 0 {
		return c.show(t, client, true)
	}
	whole := *client
	whole.Scopes, whole.PendingScopes, whole.Pending = slices.Concat(client.Scopes, client.PendingScopes), nil, false
	now := &whole
	err := c.ask(ctx, t, now)
	if refusalCode(err) == "invalid_scope" && len(client.PendingScopes) > 0 {
		now = client
		err = c.ask(ctx, t, now)
	}
	switch {
	case refusalCode(err) == "unauthorized_client" && client.Pending:
		return c.waits(t, client, true)
	case err != nil:
		return err
	}
	now.Pending = false
	if err := writeJSONFile(filepath.Join(now.Dir, oauthclient.ClientFile), now); err != nil {
		return err
	}
	t.done("token with %s", scopeWords(now.Scopes))
	return c.show(t, now, true)
}

// ask asks for a token with all scopes of a client.
func (c *upgradeCmd) ask(ctx context.Context, t *terminal, client *oauthclient.Client) error {
	config := client.Config()
	config.Now = t.Now
	_, err := config.NewToken(ctx)
	return err
}

func refusalCode(err error) string {
	var e *oauthclient.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// waits says that the client is there and of no use yet.
func (c *upgradeCmd) waits(t *terminal, client *oauthclient.Client, existing bool) error {
	if t.JSON {
		if err := c.show(t, client, existing); err != nil {
			return err
		}
	}
	return &failure{exit: exitUnmet, code: "upgrade_needs_approval",
		message: fmt.Sprintf("the client %q is registered and gets no token before the API's operator has approved it. The apikey goes on working as before", client.ClientID),
		fix:     "ask the operator, then run the same command again: it goes on where this one ends"}
}

// apikey reads the apikey from the one place that was named. It is never an
// argument: those are seen by every user of the machine, and kept in histories.
func (c *upgradeCmd) apikey(t *terminal) (oauthclient.Secret, error) {
	var value string
	var err error
	switch {
	case c.APIKeyStdin:
		value, err = readSecret(t.In, "standard input")
	case c.APIKeyFile != "":
		value, err = t.readSecretFile(c.APIKeyFile)
	default:
		if value = t.Env("OFFKEY_APIKEY"); value == "" {
			return "", wrongUsage("no apikey is given", "add --apikey-stdin or --apikey-file FILE, or set OFFKEY_APIKEY")
		}
	}
	return oauthclient.Secret(strings.TrimSpace(value)), err
}

// preparedKey is the key pair to register, on disk before anybody hears of its
// public half. One that waits there from an earlier try is taken: a
// registration whose answer was lost, or that waited for approval, is then
// repeated with the same key.
func (c *upgradeCmd) preparedKey(root string) (key *jose.SigningKey, pending string, err error) {
	alg, err := clientAlgorithm(c.Alg)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256([]byte(plainURL(c.API)))
	pending = filepath.Join(root, ".pending-"+hex.EncodeToString(sum[:6]))
	path := filepath.Join(pending, "key.pem")
	if data, err := os.ReadFile(path); err == nil {
		if key, err := jose.ParseSigningKeyPEM(data); err == nil && key.Alg() == alg {
			return key, pending, nil
		}
	}
	if key, err = jose.GenerateSigningKey(alg); err != nil {
		return nil, "", err
	}
	if err := makeFolder(pending); err != nil {
		return nil, "", err
	}
	return key, pending, writeKey(path, key)
}

// register sends the public half, and the apikey in the header of that one
// request.
func (c *upgradeCmd) register(ctx context.Context, t *terminal, apikey oauthclient.Secret, key *jose.SigningKey, pending string) (*oauthclient.Client, error) {
	set, err := json.Marshal(jose.KeySet{Keys: []jose.PublicKey{key.Public()}})
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	made, err := oauthclient.Register(ctx, oauthclient.RegisterRequest{
		API: c.API, APIKey: apikey, Name: cmp.Or(c.Name, programName()), PublicJWKS: set, Algorithm: string(key.Alg()), Now: t.Now,
	})
	if err != nil {
		return nil, err
	}
	if made.AccessToken != "" { // told once, so that it is on disk before anything else is done
		registration := registrationFile{made.ManageURL, string(made.AccessToken)}
		if err := writeJSONFile(filepath.Join(pending, "registration.json"), registration); err != nil {
			return nil, err
		}
	}
	return &oauthclient.Client{
		ClientID: made.ClientID, Issuer: made.Issuer, TokenURL: made.TokenURL, Resource: made.Resource, API: c.API,
		Scopes: made.Scopes, KeyFile: "key.pem", KeyID: key.ID(), Algorithm: string(key.Alg()), RegisteredAt: made.IssuedAt,
		Pending: made.Pending, PendingScopes: made.PendingScopes,
	}, nil
}

// registrationFile is how a client manages its registration (RFC 7592 §3).
type registrationFile struct {
	URL   string `json:"registration_client_uri"`
	Token string `json:"registration_access_token"`
}

// explain adds what this command knows to a refused registration.
func (c *upgradeCmd) explain(err error, pending string) error {
	var waiting *oauthclient.PendingError
	if errors.As(err, &waiting) {
		fix := "run the same command again once the API's operator has approved it; the key pair waits in " + pending
		if waiting.Fix != "" {
			fix = waiting.Fix + "; then " + fix
		}
		return &failure{exit: exitUnmet, code: "upgrade_needs_approval", err: err, fix: fix,
			message: "the registration waits for the approval of the API's operator: " + waiting.Message + ". The apikey goes on working as before"}
	}
	return err
}

// prove asks for a token without scope, which shows that the issuer knows the
// key, then for one with the scopes.
func (c *upgradeCmd) prove(ctx context.Context, t *terminal, client *oauthclient.Client) error {
	config := client.Config()
	config.Now = t.Now
	tries := [][]string{nil}
	if len(client.Scopes) > 0 {
		tries = append(tries, client.Scopes)
	}
	for _, scopes := range tries {
		config.Scopes = scopes
		token, err := config.NewToken(ctx)
		if err != nil {
			f := *asFailure(err)
			f.message = fmt.Sprintf("the client %q is registered and saved in %s, but its first token was refused: %s", client.ClientID, client.Dir, f.message)
			return &f
		}
		granted, _ := token.Extra("scope").(string)
		t.done("token with %s", scopeWords(strings.Fields(granted)))
	}
	return nil
}

// preview is the upgrade without its effects.
func (c *upgradeCmd) preview(ctx context.Context, t *terminal, root string) error {
	found, err := oauthclient.RegisterRequest{API: c.API, Now: t.Now}.FindIssuer(ctx)
	if err != nil {
		return err
	}
	if t.JSON {
		return t.document(map[string]any{"dry_run": true, "issuer": found.Issuer, "registration_endpoint": found.RegistrationURL, "resource": found.Resource, "dir": root})
	}
	t.say("Would make a key pair (%s) below %s,", c.Alg, root)
	t.say("send its public half and the apikey to %s,", found.RegistrationURL)
	t.say("and ask %s for tokens for %s. Nothing was done.", found.Issuer, found.Resource)
	return nil
}

// show prints the result: the lines to change on stdout, the words beside them
// on stderr.
func (c *upgradeCmd) show(t *terminal, client *oauthclient.Client, existing bool) error {
	lang := cmp.Or(c.Lang, languageHere())
	lines, err := linesToChange(lang, c.API, client)
	if err != nil {
		return err
	}
	again := "offkey token --client " + shellQuote(client.ClientID)
	if c.Dir != "" {
		again += " --dir " + shellQuote(c.Dir)
	}
	document := upgradeDocument{
		ClientID: client.ClientID, Issuer: client.Issuer, Scopes: client.Scopes, Dir: client.Dir, API: client.API, Resource: client.Resource, Existing: existing,
		Pending: client.Pending, PendingScopes: client.PendingScopes,
		NextSteps: []string{
			"get a token: " + again,
			"change the program (" + lang + "):\n" + lines,
			"stop sending the apikey once the program works with tokens; both work until then",
		},
	}
	if len(client.PendingScopes) > 0 {
		t.warn("%s: for the API's operator to approve; run the same command again after that", scopeWords(client.PendingScopes))
	}
	if t.JSON {
		return t.document(document)
	}
	t.say("\nChange in your code (%s; --lang go|node|python|java|dotnet|curl):\n", lang)
	if _, err := fmt.Fprint(t.Out, lines); err != nil {
		return err
	}
	t.say("\nTry it: %s\nThe apikey and the client both work until one of them is retired: stop sending the apikey once the program works.", again)
	return nil
}

func scopeWords(scopes []string) string {
	switch len(scopes) {
	case 0:
		return "no scope"
	case 1:
		return "scope " + scopes[0]
	}
	return "scopes " + strings.Join(scopes, " ")
}

// programName is what the client is called if nobody says: the folder that the
// program is in.
func programName() string {
	if here, err := os.Getwd(); err == nil {
		if name := filepath.Base(here); len(name) > 1 {
			return name
		}
	}
	return "offkey upgrade"
}
