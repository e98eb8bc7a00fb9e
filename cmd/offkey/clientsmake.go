package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type clientsCreateCmd struct {
	operatorFlags
	Name          string   `required:"" placeholder:"NAME" help:"For people."`
	Auth          string   `required:"" placeholder:"METHOD" help:"private_key_jwt, client_secret_basic, client_secret_post, federated_jwt, tls_client_auth, self_signed_tls_client_auth, or none for a public client."`
	Scopes        string   `placeholder:"LIST" help:"What it may ask for, separated by spaces."`
	JWKSFile      string   `name:"jwks-file" type:"path" placeholder:"FILE" help:"JWK set with its public keys; - is stdin."`
	JWKSURI       string   `name:"jwks-uri" placeholder:"URL" help:"Where its public keys are fetched, instead."`
	Owner         string   `placeholder:"NAME" help:"The customer or team that it belongs to."`
	ID            string   `name:"id" placeholder:"ID" help:"Its id. Default: a new one."`
	DefaultScopes string   `placeholder:"LIST" help:"What it gets when it asks for none."`
	Audience      string   `placeholder:"POLICY" help:"strict (default) or compat, for assertions."`
	SigningAlg    string   `placeholder:"ALG" help:"The only algorithm of its assertions."`
	Resource      []string `sep:"none" placeholder:"URI" help:"Audience it may ask for; repeat for several."`
	certificateFlags
	bindingFlags
	peopleFlags
	SecretOut string `type:"path" placeholder:"FILE" help:"Write the secret into a new file (0600) instead of printing it."`
	DryRun    bool   `help:"Make nothing, only check."`
}

func (clientsCreateCmd) Help() string {
	return `Examples:
  offkey clients create --name billing --auth private_key_jwt --jwks-file billing.jwks --scopes "read:orders"
  offkey clients create --name edge --auth self_signed_tls_client_auth --certificate-file edge.pem --certificate-bound
  offkey clients create --name corp --auth tls_client_auth --tls-subject "dn:CN=corp,O=Acme" --scopes "read:orders"
  offkey clients create --name shop --auth client_secret_basic --grant authorization_code --grant refresh_token \
      --redirect-uri https://shop.example/cb --scopes "openid read:orders"
  offkey clients create --id cli --name "Acme CLI" --auth none --grant device_code --grant refresh_token --scopes "read:orders"
  offkey clients create --name legacy-job --auth client_secret_basic --scopes "read:orders" --secret-out legacy-job.secret

A secret is made here, shown once, and kept as a hash only. With private_key_jwt nothing secret
ever leaves the caller: it runs ` + "`offkey keygen`" + ` and sends the public half.`
}

// Run creates.
func (c *clientsCreateCmd) Run(ctx context.Context, t *terminal) error {
	body := map[string]any{"name": c.Name, "auth": c.Auth, "scopes": strings.Fields(c.Scopes)}
	for member, value := range map[string]string{"owner": c.Owner, "client_id": c.ID, "audience": c.Audience, "signing_alg": c.SigningAlg, "jwks_uri": c.JWKSURI} {
		if value != "" {
			body[member] = value
		}
	}
	if c.DefaultScopes != "" {
		body["default_scopes"] = strings.Fields(c.DefaultScopes)
	}
	if len(c.Resource) > 0 {
		body["resources"] = c.Resource
	}
	if c.JWKSFile != "" {
		jwks, err := t.readJWKS(c.JWKSFile)
		if err != nil {
			return err
		}
		body["jwks"] = jwks
	}
	c.bind(body)
	if err := c.actForPeople(body); err != nil {
		return err
	}
	if err := c.prove(t, body); err != nil {
		return err
	}
	if c.SecretOut != "" && !strings.HasPrefix(c.Auth, "client_secret_") {
		return wrongUsage("a client of "+c.Auth+" has no secret", "leave out --secret-out")
	}
	out, err := newSecretFile(c.SecretOut, c.DryRun)
	if err != nil {
		return err
	}
	defer out.discard()
	var raw json.RawMessage
	if err := c.connect().send(ctx, "POST", "/clients", parameters("dry_run", whenTrue(c.DryRun)), body, &raw); err != nil {
		return err
	}
	if out != nil {
		if raw, err = out.take(raw); err != nil {
			return err
		}
	}
	if err := t.finish(raw, c.DryRun, func(d clientDoc) string { return fmt.Sprintf("client %s made", d.Name) }); err != nil || c.DryRun {
		return err
	}
	return t.credentials(raw, c.SecretOut)
}

// maxJWKS bounds a file with public keys, in bytes.
const maxJWKS = 64 << 10

// readJWKS reads a JSON document from a file, or from stdin for "-". Whether it
// is a good key set the server says.
func (t *terminal) readJWKS(path string) (json.RawMessage, error) {
	raw, err := t.readInput(path, maxJWKS)
	if err != nil {
		return nil, err
	}
	if !json.Valid(raw) {
		return nil, wrongUsage(path+" is no JSON document", "give a JWK set with public keys, as `offkey keygen` prints it")
	}
	return raw, nil
}

type clientsUpdateCmd struct {
	changeFlags
	Name          *string  `placeholder:"NAME" help:"For people."`
	Owner         *string  `placeholder:"NAME" help:"The customer or team that it belongs to."`
	Scopes        *string  `placeholder:"LIST" help:"What it may ask for, separated by spaces; replaces what was there."`
	DefaultScopes *string  `placeholder:"LIST" help:"What it gets when it asks for nothing."`
	Audience      *string  `placeholder:"POLICY" help:"strict or compat."`
	SigningAlg    *string  `placeholder:"ALG" help:"The only algorithm of its assertions; empty for any."`
	JWKSURI       *string  `name:"jwks-uri" placeholder:"URL" help:"Where its public keys are fetched."`
	Resource      []string `sep:"none" placeholder:"URI" help:"Audience it may ask for; replaces what was there."`
	bindingFlags
	peopleFlags
}

func (clientsUpdateCmd) Help() string {
	return `Examples:
  offkey clients update billing --scopes "read:orders create:orders" --dry-run
  offkey clients update billing --owner "Acme Ltd"
  offkey clients update billing --audience compat
  offkey clients update billing --dpop-bound

Scopes that are taken away are in no new token; tokens that are out keep them until they expire (15 minutes, unless
tokens.access.ttl says otherwise). To end those too, disable the client and enable it again.`
}

// Run updates.
func (c *clientsUpdateCmd) Run(ctx context.Context, t *terminal) error {
	body := map[string]any{}
	for member, value := range map[string]*string{"name": c.Name, "owner": c.Owner, "audience": c.Audience, "signing_alg": c.SigningAlg, "jwks_uri": c.JWKSURI} {
		if value != nil {
			body[member] = *value
		}
	}
	for member, value := range map[string]*string{"scopes": c.Scopes, "default_scopes": c.DefaultScopes} {
		if value != nil {
			body[member] = append([]string{}, strings.Fields(*value)...)
		}
	}
	if len(c.Resource) > 0 {
		body["resources"] = c.Resource
	}
	c.bind(body)
	if err := c.actForPeople(body); err != nil {
		return err
	}
	if len(body) == 0 {
		return wrongUsage("nothing to change was given", "give at least one of --name, --owner, --scopes, --default-scopes, --audience, --signing-alg, --jwks-uri, --resource, --grant, --redirect-uri, --dpop-bound, --certificate-bound, --profile")
	}
	raw, err := c.send(ctx, "PATCH", "/clients/%s", body)
	if err != nil {
		return err
	}
	return t.finish(raw, c.DryRun, func(d clientDoc) string { return fmt.Sprintf("client %s (%s) changed", d.Name, d.ID) })
}

type clientsRotateCmd struct {
	changeFlags
	JWKSFile string `name:"jwks-file" type:"path" placeholder:"FILE" xor:"what" help:"JWK set with the new public key; - is stdin."`
	Overlap  string `placeholder:"TIME" help:"How long what is there still works, as in 24h. Default 24h for secrets; keys stay until they are dropped."`
	Drop     string `placeholder:"CREDENTIAL" xor:"what" help:"Instead end one credential now, by its id."`

	SecretOut string `type:"path" placeholder:"FILE" xor:"what" help:"Write the new secret into a new file for you alone (0600), and print it nowhere."`
}

func (clientsRotateCmd) Help() string {
	return `Examples:
  offkey clients rotate legacy-job --secret-out legacy-job.new
  offkey clients rotate billing --jwks-file new.jwks --overlap 7d
  offkey clients rotate billing --drop cr_019ab...

Old and new work side by side for a while, so that callers can change over without a gap.`
}

// Run rotates.
func (c *clientsRotateCmd) Run(ctx context.Context, t *terminal) error {
	if c.Drop != "" {
		var raw json.RawMessage
		err := c.connect().send(ctx, "DELETE", at("/clients/%s/credentials/%s", c.Client, c.Drop), parameters("dry_run", whenTrue(c.DryRun)), nil, &raw)
		if err != nil {
			return err
		}
		return t.finish(raw, c.DryRun, func(d clientDoc) string {
			return fmt.Sprintf("credential %s of client %s (%s) ended", c.Drop, d.Name, d.ID)
		})
	}
	body := map[string]any{}
	if c.Overlap != "" {
		body["overlap"] = c.Overlap
	}
	path := "/clients/%s/rotate"
	if c.JWKSFile != "" {
		jwks, err := t.readJWKS(c.JWKSFile)
		if err != nil {
			return err
		}
		body["jwks"], path = jwks, "/clients/%s/keys"
	}
	out, err := newSecretFile(c.SecretOut, c.DryRun)
	if err != nil {
		return err
	}
	defer out.discard()
	raw, err := c.send(ctx, "POST", path, body)
	if err != nil {
		return err
	}
	if out != nil {
		if raw, err = out.take(raw); err != nil {
			return err
		}
	}
	if err := t.finish(raw, c.DryRun, func(d clientDoc) string {
		for _, cr := range d.Credentials {
			if !cr.Expires.IsZero() && cr.Expires.After(t.Now()) {
				return fmt.Sprintf("client %s (%s) has a new credential; the old one works until %s", d.Name, d.ID, day(cr.Expires))
			}
		}
		return fmt.Sprintf("client %s (%s) has a new credential", d.Name, d.ID)
	}); err != nil || c.DryRun || c.JWKSFile != "" {
		return err
	}
	return t.credentials(raw, c.SecretOut)
}

// readInput reads a file, or stdin for "-".
func (t *terminal) readInput(path string, most int64) ([]byte, error) {
	in := t.In
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, wrongUsage("the file "+path+" cannot be read: "+fileCause(err), "check the path")
		}
		defer file.Close()
		in = file
	}
	return readUpTo(in, path, most)
}
