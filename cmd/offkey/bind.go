package main

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/offkey/offkey/internal/jose"
	"github.com/offkey/offkey/internal/oauth"
	"github.com/offkey/offkey/sdk/go/oauthclient"
)

// proofKeyFile is the key that tokens are bound to, beside them: whoever can read
// one could read the other.
const proofKeyFile = "dpop.pem"

// byCertificate reports whether the client proves itself by its certificate.
func (f identityFlags) byCertificate() bool {
	return f.Auth == oauth.AuthTLSClient || f.Auth == oauth.AuthSelfSignedTLSClient
}

// bind gives the client what its tokens are bound to.
func (f identityFlags) bind(config *oauthclient.Config, dir string) (err error) {
	if f.byCertificate() && f.Cert == "" {
		return wrongUsage("--auth "+f.Auth+" needs --cert", "add the client's certificate")
	}
	if f.CertKey != "" && f.Cert == "" {
		return wrongUsage("--cert-key needs --cert", "add the certificate that the key belongs to")
	}
	if f.Cert != "" {
		keyFile := f.CertKey
		if keyFile == "" {
			keyFile = f.Cert
		}
		pair, err := tls.LoadX509KeyPair(f.Cert, keyFile)
		if err != nil {
			return wrongUsage("the certificate cannot be used: "+fileCause(err), "give the certificate with --cert and its private key with --cert-key, both in PEM")
		}
		config.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	if f.DPoP {
		config.DPoPKeyFile, err = proofKeyIn(filepath.Join(dir, ".tokens"))
	}
	return err
}

// proofKeyIn is the key file in a folder, made where there is none. Of processes
// that come together the first one's is taken by all.
func proofKeyIn(dir string) (string, error) {
	path := filepath.Join(dir, proofKeyFile)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	key, err := jose.GenerateSigningKey(jose.ES256)
	if err != nil {
		return "", err
	}
	pem, err := key.PEM()
	if err != nil {
		return "", err
	}
	if err := makeFolder(dir); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(dir, ".new-*") // 0600
	if err != nil {
		return "", unwritable(dir, err)
	}
	defer os.Remove(file.Name())
	if _, err := file.Write(pem); err != nil {
		return "", errors.Join(unwritable(dir, err), file.Close())
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return "", unwritable(dir, err)
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) { // never over another's
		return "", unwritable(dir, err)
	}
	return path, nil
}
