package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// offkey is a running `offkey up`.
type offkey struct {
	*server
	program string

	Gateway, Issuer, Data string
}

// startOffkey starts one with a new data directory.
func startOffkey(ctx context.Context, dir, upstream string) (*offkey, error) {
	data, err := os.MkdirTemp(dir, "data-*")
	if err != nil {
		return nil, err
	}
	return startOffkeyIn(ctx, dir, data, upstream)
}

func startOffkeyIn(ctx context.Context, dir, data, upstream string) (*offkey, error) {
	o := &offkey{program: filepath.Join(dir, "offkey")}
	const free = "127.0.0.1:0"
	s, err := start(ctx, serverCore, o.program, "up", "--upstream", upstream, "--data", data,
		"--gateway", free, "--issuer", free, "--admin", free, "--ops", free, "--apikey-in", "header:X-API-Key", "--json")
	if err != nil {
		return nil, err
	}
	o.server = s
	if err := json.Unmarshal([]byte(s.said), o); err != nil {
		return nil, fmt.Errorf("offkey said %q: %w", s.said, err)
	}
	return o, nil
}

// cli runs an operator command and reads what it says into v; nil drops it.
func (o *offkey) cli(ctx context.Context, v any, input string, args ...string) error {
	cmd := exec.CommandContext(ctx, o.program, append(args, "--data", o.Data, "--json")...)
	var errOut bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader([]byte(input)), &errOut
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("offkey %v: %w: %s", args, err, errOut.String())
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(out, v)
}

// credential is what a client proves itself with.
type credential struct {
	id     string
	secret string
	key    *ecdsa.PrivateKey
}

func (o *offkey) secretClient(ctx context.Context) (credential, error) {
	var made struct {
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
	}
	err := o.cli(ctx, &made, "", "clients", "create", "--name", "secret", "--auth", "client_secret_basic", "--scopes", scope)
	return credential{id: made.ClientID, secret: made.ClientSecret}, err
}

func (o *offkey) keyClient(ctx context.Context) (credential, error) {
	key, err := newKey()
	if err != nil {
		return credential{}, err
	}
	set, err := publicKeySet(key)
	if err != nil {
		return credential{}, err
	}
	var made struct {
		ClientID string `json:"client_id"`
	}
	err = o.cli(ctx, &made, string(set), "clients", "create", "--name", "key", "--auth", "private_key_jwt", "--scopes", scope, "--jwks-file", "-")
	return credential{id: made.ClientID, key: key}, err
}
