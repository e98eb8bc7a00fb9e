package config

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/offkey/offkey/internal/directory"
)

// CheckFiles opens the files that the configuration names, and says which a start
// could not use. Their contents are looked at as far as their form goes, and are
// in no message.
func (l *Loaded) CheckFiles() Problems {
	c := &checker{l: l}
	c.file("tls.cert", l.TLS.Cert, isPEM)
	c.file("tls.key", l.TLS.Key, isPEM)
	c.file("tls.client_ca", l.TLS.ClientCA, isPEM)
	c.file("outbound.ca_file", l.Outbound.CAFile, isPEM)
	for _, name := range sortedNames(l.Gateway.Upstreams) {
		c.file("gateway.upstreams."+name+".ca_file", l.Gateway.Upstreams[name].CAFile, isPEM)
	}
	for i, cl := range l.Clients {
		at := fmt.Sprintf("clients[%d].", i)
		c.file(at+"secret_file", cl.SecretFile, isLongEnough)
		c.file(at+"jwks_file", cl.JWKSFile, isJSON)
		c.file(at+"certificate_file", cl.CertificateFile, isPEM)
	}
	for i, u := range l.People.Users {
		at := fmt.Sprintf("people.users[%d].", i)
		c.file(at+"password_file", u.PasswordFile, isText)
		c.file(at+"totp_secret_file", u.TOTPSecretFile, isTOTPSecret)
	}
	return c.problems
}

// maxNamed bounds what is read of a file that a setting names, in bytes.
const maxNamed = 1 << 20

func (c *checker) file(setting, name string, check func([]byte) error) {
	if name == "" {
		return
	}
	raw, err := readNamed(c.l.Path(name))
	if err == nil {
		err = check(raw)
	}
	if err != nil {
		c.add(setting, fmt.Sprintf("names the file %s, which %v", name, err), "correct the name, or the file: a relative name begins at the folder of the configuration")
	}
}

func readNamed(path string) ([]byte, error) {
	file, err := os.Open(path)
	var named *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("is not there")
	case errors.As(err, &named):
		return nil, fmt.Errorf("cannot be read by this user: %w", named.Err)
	case err != nil:
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxNamed+1))
	switch {
	case errors.As(err, &named):
		return nil, fmt.Errorf("cannot be read: %w", named.Err)
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", err)
	case len(raw) > maxNamed:
		return nil, fmt.Errorf("has more than %d bytes", maxNamed)
	case len(bytes.TrimSpace(raw)) == 0:
		return nil, errors.New("is empty")
	}
	return raw, nil
}

func isText([]byte) error { return nil }

func isPEM(raw []byte) error {
	if block, _ := pem.Decode(raw); block == nil {
		return errors.New("holds nothing in PEM")
	}
	return nil
}

func isJSON(raw []byte) error {
	if !json.Valid(raw) {
		return errors.New("is no JSON document")
	}
	return nil
}

// ShortestSecret is how long the secret of a client must be, in characters.
const ShortestSecret = 32

func isLongEnough(raw []byte) error {
	if len(strings.TrimRight(string(raw), "\r\n")) < ShortestSecret {
		return fmt.Errorf("holds fewer than %d characters; make one with `openssl rand -base64 32`", ShortestSecret)
	}
	return nil
}

func isTOTPSecret(raw []byte) error {
	if _, err := directory.ParseTOTPSecret(string(raw)); err != nil {
		return fmt.Errorf("holds no secret of an authenticator app: %w", err)
	}
	return nil
}
